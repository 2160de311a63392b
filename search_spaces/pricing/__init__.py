"""Verdicts straight from choices: the exact cost of many sets of choices at once, without building an architecture.

`cost.cost` sums the formulas over the operations of one architecture. Here the same formulas are evaluated beforehand,
once for every way in which a part of the space can be made (`rows.py`, `tables.py`); pricing an architecture is then
looking up and adding (`walk.py`). One walk serves a single set of choices (numbers, lists) and many (arrays).
"""

from search_spaces.pricing.verdicts import Price, Prices, Pricing

__all__ = ["Price", "Prices", "Pricing"]
