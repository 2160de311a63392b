"""What a walk over choices looks up, filled from the rows of all parts that a space can make."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from search_spaces.cost import ELEMENT_BYTES
from search_spaces.formulas.registry import PoolAndClassify, StageEnd
from search_spaces.parts import Block, Head, Stem
from search_spaces.pricing.rows import COLUMNS, layer_rows, row, simplest
from search_spaces.staged import StagedSpace, stem_of
from search_spaces.vocabulary import STRIDES


@dataclass(frozen=True)
class Tables:
    """What `walk` looks up: arrays for many sets of choices, lists for one.

    Attributes:
        mels, frames: By the digit of the input.
        stem: Rows by (kind, width, kernels).
        stem_channel, channel: Number of a stem's or stage's width among all `channels` of the space.
        offset, radix: Number of a layer's variant: offset of its kind, plus each option's digit times its radix there.
        layer_class: By (variant, strided): which of the different ways to make a layer that is.
        layer: Rows by (class, channels before, channels after), shifted by one: row 0 is nothing.
        norm: Rows by (norm, channels), shifted by one.
        head: Rows by (pooling, channels).
        strided, half_mels, half_frames: Whether a stride halves anything, and that side.
        element, is_int8: Bytes of a parameter, by precision; 0 in int8, whose bytes have a column of their own.
    """

    mels: Any
    frames: Any
    channels: int
    stem: Any
    stem_channel: Any
    channel: Any
    offset: Any
    radix: dict[str, Any]
    layer_class: Any
    layer: Any
    norm: Any
    head: Any
    strided: Any
    half_mels: Any
    half_frames: Any
    element: Any
    is_int8: Any

    @staticmethod
    def of(space: StagedSpace) -> "Tables":
        """The tables of a space, as arrays."""
        words = space.vocabulary
        channels = tuple(sorted({*words.widths, *words.stem_widths}))
        offset, radix, layer_class, layer = _layer_tables(space, channels)
        stems = (stem_of(*choice) for choice in product(words.stems, words.stem_widths, words.stem_kernels))
        strides = [STRIDES[label] for label in words.options["stride"]]
        nothing = [[0] * COLUMNS]
        return Tables(
            mels=np.array(space.mels),
            frames=np.array(space.frames),
            channels=len(channels),
            stem=np.array([_stem_row(stem) for stem in stems], dtype=np.float64),
            stem_channel=np.array([channels.index(width) for width in words.stem_widths]),
            channel=np.array([channels.index(width) for width in words.widths]),
            offset=offset,
            radix=radix,
            layer_class=layer_class,
            layer=layer,
            norm=np.array(
                nothing + [row(StageEnd(norm), c, grids=(1, 1)) for norm in words.norms for c in channels],
                dtype=np.float64,
            ),
            head=np.array(
                [
                    row(PoolAndClassify(Head(pooling), space.classes), c, grids=(1, 1))
                    for pooling in words.poolings
                    for c in channels
                ],
                dtype=np.float64,
            ),
            strided=np.array([int(stride != (1, 1)) for stride in strides]),
            half_mels=np.array([stride[0] - 1 for stride in strides]),
            half_frames=np.array([stride[1] - 1 for stride in strides]),
            element=np.array([0 if p == "int8" else ELEMENT_BYTES[p] for p in words.precisions]),
            is_int8=np.array([int(p == "int8") for p in words.precisions]),
        )

    def as_lists(self) -> "Tables":
        """The same for Python numbers."""
        plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}
        plain["radix"] = {option: radix.tolist() for option, radix in self.radix.items()}
        return Tables(**plain)


def _stem_row(stem: Stem) -> list[int]:
    return row(simplest(stem), 1, grids=(2, 4))


def _layer_tables(
    space: StagedSpace, channels: tuple[int, ...]
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.int64]], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Offsets and radices of the variants, the class of each variant, and the rows of the classes."""
    words = space.vocabulary
    options = [option for option in words.options if option != "stride"]
    offset, classes = [], []
    radix: dict[str, list[int]] = {option: [] for option in options}
    numbers: dict[tuple[Block, bool, float | None], int] = {}
    equal: dict[bytes, int] = {}
    tables: list[npt.NDArray[np.float64]] = []
    count = 0
    for family in words.families:
        used = [option for option in options if option in family.options]
        offset.append(count)
        step = 1
        steps = {}
        for option in reversed(used):
            steps[option] = step
            step *= len(words.options[option])
        count += step
        for option in options:
            radix[option].append(steps.get(option, 0))
        for combination in product(*(words.options[option] for option in used)):
            chosen = dict(zip(used, combination, strict=True))
            block = simplest(family.block(channels[0], channels[0], (1, 1), chosen | {"expansion": 1.0}))
            rate = float(chosen["expansion"]) if "expansion" in chosen else None
            for strided in (False, True):
                key = (block, strided, rate)
                if key not in numbers:
                    rows = layer_rows(block, channels, strided, rate)
                    numbers[key] = equal.setdefault(rows.tobytes(), len(tables))
                    if numbers[key] == len(tables):
                        tables.append(rows)
                classes.append(numbers[key])
    layer = np.concatenate([np.zeros((1, COLUMNS)), np.stack(tables).reshape(-1, COLUMNS)])
    return np.array(offset), {option: np.array(steps) for option, steps in radix.items()}, np.array(classes), layer
