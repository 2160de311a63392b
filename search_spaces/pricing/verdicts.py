"""The price list of a space under a budget."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from search_spaces.budget import Budget
from search_spaces.forms import Form
from search_spaces.pricing.places import Places
from search_spaces.pricing.tables import Tables
from search_spaces.pricing.walk import walk
from search_spaces.space import Digits, Value
from search_spaces.staged import StagedSpace

# Sets of choices priced together: their columns stay in the nearest cache.
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Price:
    """What one set of choices costs in the form that is deployed.

    Attributes:
        form: As `cost.cost` chooses it.
        excess: For each limit that is crossed: cost divided by limit, minus 1.
    """

    form: Form
    weight_bytes: int
    macs: int
    excess: dict[str, float]

    @property
    def feasible(self) -> bool:
        """Whether bytes and MACs are within their limits."""
        return not self.excess


@dataclass(frozen=True, slots=True)
class Prices:
    """The same for many sets of choices, as arrays of shape (sets,)."""

    folded: npt.NDArray[np.bool_]
    weight_bytes: npt.NDArray[np.int64]
    macs: npt.NDArray[np.int64]
    feasible: npt.NDArray[np.bool_]

    def __getitem__(self, sets: npt.NDArray[np.int_]) -> "Prices":
        return Prices(self.folded[sets], self.weight_bytes[sets], self.macs[sets], self.feasible[sets])


class Pricing:
    """The price list of a space under a budget. Peak memory has no row in it: `cost.cost` knows it.

    Args:
        space: Where the choices come from.
        budget: Its limits on bytes and MACs.
    """

    def __init__(self, space: StagedSpace, budget: Budget) -> None:
        self.space = space
        self.budget = budget
        self._indices = [(c.label, {value: i for i, value in enumerate(c.values)}) for c in space.choices]
        self._places = Places.of(space)
        self._arrays = Tables.of(space)
        self._lists = self._arrays.as_lists()

    def price(self, values: Mapping[str, Value]) -> Price:
        """The price of one set of choices."""
        digits = [index[values[label]] for label, index in self._indices]
        digits.append(0)
        totals = walk(self._places, self._lists, digits, _as_it_is)
        precision = digits[self._places.precision]
        size, whole = self._lists.element[precision], self._lists.is_int8[precision]
        byte_limit, mac_limit = self.budget.weight_bytes, self.budget.macs
        folded, unfolded = totals[:3], totals[3:]
        costs = [(int(params * size + int8 * whole), int(macs)) for params, int8, macs in (folded, unfolded)]
        worst = [max(stored / byte_limit - 1, macs / mac_limit - 1, 0.0) for stored, macs in costs]
        chosen = 1 if worst[1] < worst[0] else 0
        stored, macs = costs[chosen]
        excess = self.budget.excess({"weight_bytes": stored, "macs": macs, "peak_bytes": 0}) if worst[chosen] else {}
        return Price((Form.FOLDED, Form.UNFOLDED)[chosen], stored, macs, excess)

    def prices(self, digits: Digits) -> Prices:
        """The prices of many sets of choices, given as digits of shape (choices, sets)."""
        parts = [self._prices(digits[:, at : at + _CHUNK]) for at in range(0, max(digits.shape[1], 1), _CHUNK)]
        return Prices(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _prices(self, digits: Digits) -> tuple[npt.NDArray[Any], ...]:
        columns = [*digits, np.zeros(digits.shape[1], dtype=np.int16)]
        totals = walk(self._places, self._arrays, columns, np.transpose)
        precision = columns[self._places.precision]
        size, whole = self._arrays.element[precision], self._arrays.is_int8[precision]
        byte_limit, mac_limit = self.budget.weight_bytes, self.budget.macs
        stored_folded, stored_unfolded = (totals[at] * size + totals[at + 1] * whole for at in (0, 3))
        worst_folded, worst_unfolded = (
            np.maximum(np.maximum(stored / byte_limit - 1, macs / mac_limit - 1), 0)
            for stored, macs in ((stored_folded, totals[2]), (stored_unfolded, totals[5]))
        )
        folded = ~(worst_unfolded < worst_folded)
        stored = np.where(folded, stored_folded, stored_unfolded).astype(np.int64)
        macs = np.where(folded, totals[2], totals[5]).astype(np.int64)
        return folded, stored, macs, (stored <= byte_limit) & (macs <= mac_limit)


def _as_it_is(row: Any) -> Any:
    return row
