"""A set of choices as numbers, for a model that predicts accuracy."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from search_spaces.families import kernel_set
from search_spaces.space import Choice, Digits, Space
from search_spaces.vocabulary import STRIDES


class Features:
    """The feature vectors of a space.

    A number lies between 0 and 1 (width, depth, expansion, ...), a kernel set has one bit for each kernel, a stride one
    for each side it halves, anything else one for each value. The features of a choice without effect are 0, so what
    differs only in such choices has one vector.

    Attributes:
        names: Of the features, in order: the label of the choice, for those with several also what it stands for.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._tables = [_table(choice) for choice in space.choices]
        self.names: tuple[str, ...] = tuple(
            f"{choice.label}{suffix}"
            for choice, (suffixes, _) in zip(space.choices, self._tables, strict=True)
            for suffix in suffixes
        )

    def vectors(self, digits: Digits) -> npt.NDArray[np.float32]:
        """Sets of choices as vectors, (sets, features)."""
        effective = self._space.effective(digits)
        columns = [
            table[row] * mask[:, None] for (_, table), row, mask in zip(self._tables, digits, effective, strict=True)
        ]
        return np.concatenate(columns, axis=1)


def _table(choice: Choice) -> tuple[Sequence[str], npt.NDArray[np.float32]]:
    """Suffixes of a choice's features, and their values for each of its values."""
    if all(isinstance(value, int | float) for value in choice.values):
        numbers = np.array(choice.values, dtype=np.float64)
        scaled = (numbers - numbers.min()) / (numbers.max() - numbers.min())
        return ("",), scaled[:, None].astype(np.float32)
    option = choice.label.rpartition(".")[2]
    if option == "stride":
        halved = [[side - 1 for side in STRIDES[value]] for value in choice.values]
        return (" in frequency", " in time"), np.array(halved, dtype=np.float32)
    if option == "kernels":
        sets = [kernel_set(value) for value in choice.values]
        kernels = sorted({kernel for kernels in sets for kernel in kernels})
        bits = [[kernel in kernels_of for kernel in kernels] for kernels_of in sets]
        return [f" {h}x{w}" for h, w in kernels], np.array(bits, dtype=np.float32)
    return [f" {value}" for value in choice.values], np.eye(len(choice.values), dtype=np.float32)
