"""Children of many parents at once: crossover, then mutation."""

import numpy as np
import numpy.typing as npt

from search_spaces.space import Digits, Space

_SWAPPED = (0.0, 0.25, 0.5)
"""Shares of the choices that a child may have from its second parent."""
_MUTATIONS = (1.0, 2.0, 4.0)
"""Numbers of effective choices that are drawn anew in a child, in the mean."""
_NEIGHBOUR = 0.5
"""How often an ordered choice moves by one step instead of anywhere."""


class Children:
    """Children in a space.

    Args:
        space: Whose choices they have.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._counts = np.array([len(choice.values) for choice in space.choices])
        self._ordered = np.array([choice.step is not None for choice in space.choices])
        groups = [choice.label.partition(".")[0] for choice in space.choices]
        self._group = np.unique(groups, return_inverse=True)[1]

    def of(self, parents: Digits, count: int, rng: np.random.Generator) -> Digits:
        """Children of pairs of parents drawn at random.

        Half of them have single choices of the second parent, the others whole groups: a stage, the stem.

        Args:
            parents: (choices, parents), at least one.

        Returns:
            (choices, count); some may equal a parent or each other.
        """
        first, second = rng.integers(parents.shape[1], size=(2, count))
        return self._mutated(self._crossed(parents[:, first], parents[:, second], rng), rng)

    def _crossed(self, first: Digits, second: Digits, rng: np.random.Generator) -> Digits:
        count = first.shape[1]
        by_choice = rng.random(first.shape)
        by_group = rng.random((self._group.max() + 1, count))[self._group]
        chance = np.where(rng.random(count) < 0.5, by_choice, by_group)
        return np.where(chance < rng.choice(_SWAPPED, size=count), second, first)

    def _mutated(self, digits: Digits, rng: np.random.Generator) -> Digits:
        effective = self._space.effective(digits)
        rate = rng.choice(_MUTATIONS, size=digits.shape[1]) / effective.sum(axis=0)
        chosen = effective & (rng.random(digits.shape) < rate)
        rows, columns = np.nonzero(chosen)
        before, counts = digits[rows, columns], self._counts[rows]
        anywhere = rng.integers(counts)
        beside = np.clip(before + rng.choice((-1, 1), size=len(rows)), 0, counts - 1)
        stepped = self._ordered[rows] & (rng.random(len(rows)) < _NEIGHBOUR)
        digits = digits.copy()
        digits[rows, columns] = np.where(stepped, beside, anywhere)
        return digits


def keys(space: Space, digits: Digits) -> npt.NDArray[np.int64]:
    """One number for each set of choices, (sets,): equal for sets that differ only in choices without effect.

    Different sets have different numbers but for one chance in 2**64.
    """
    weights = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, size=len(digits), dtype=np.int64)
    effective = np.where(space.effective(digits), digits + 1, 0).astype(np.int64)
    found: npt.NDArray[np.int64] = weights @ effective
    return found
