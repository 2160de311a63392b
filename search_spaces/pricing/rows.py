"""What each part that a space offers adds to the cost, as rows of a table.

A row is (params, bytes in int8, MACs at each input position, MACs at each output position, other MACs) of the folded
form, then the same of the unfolded form: ten integers. They come from the formulas of `formulas/`, evaluated once on a
small map.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from search_spaces.cost import stored_bytes
from search_spaces.errors import NasError
from search_spaces.forms import Form
from search_spaces.formulas.registry import Part, part_ops
from search_spaces.parts import Block, Stem
from search_spaces.widths import make_divisible

DEPLOYED = (Form.FOLDED, Form.UNFOLDED)
COLUMNS = 10
PartT = TypeVar("PartT", bound=Block | Stem)
Table = npt.NDArray[np.float64]
"""Integers, exactly; as float64 they multiply and add faster than as int64."""

# Where parts are evaluated: this map, its half, its quarter and 1 x 1 have different numbers of positions.
_SIDE = 16


def row(part: Part, c_in: int, *, grids: tuple[int, int]) -> list[int]:
    """The row of one part.

    Args:
        grids: By what a side of the map is divided where "input" and "output" positions are: (1, 2) for a layer of
            stride 2, (1, 1) where nothing shrinks, (2, 4) for a stem.
    """
    first, last = ((_SIDE // divisor) ** 2 for divisor in grids)
    result: list[int] = []
    for form in DEPLOYED:
        ops = part_ops(part, (c_in, _SIDE, _SIDE), form)
        weights, scales = sum(op.weights for op in ops), sum(op.scales for op in ops)
        others = sum(op.biases + op.others for op in ops)
        at = {first: 0, last: 0, 1: 0}
        for op in ops:
            if op.weights or op.biases:
                at[op.positions] += op.weights + op.biases
        once = at[1] + sum(op.counted for op in ops)
        result += [weights + others, stored_bytes(weights, scales, others, "int8"), at[first]]
        result += [at[last] if last != first else 0, once]
    return result


def layer_rows(block: Block, channels: tuple[int, ...], strided: bool, rate: float | None) -> Table:
    """The rows of a block for all numbers of channels before and after it: (channels before, channels after, 10).

    Args:
        rate: Its expansion rate; None for a block without expansion.
    """
    c = np.array(channels, dtype=np.float64)
    e = c if rate is None else np.array([make_divisible(n * rate) for n in channels], dtype=np.float64)
    table = _polynomial(block, strided, False)(c[:, None], e[:, None], c[None, :])
    diagonal = np.arange(len(c))
    table[diagonal, diagonal] = _polynomial(block, strided, True)(c, e, c)
    return table


_Polynomial = Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]], Table]


@lru_cache(maxsize=1 << 12)
def _polynomial(block: Block, strided: bool, staying: bool) -> _Polynomial:
    """The rows of a block as a function of the channels before it, its expanded channels and those after it.

    Every count of a block is a polynomial of degree two in these widths (a convolution multiplies two of them), so its
    coefficients follow from the formulas at ten points; one more point shows that it is one.

    Args:
        staying: Whether the block keeps the number of channels, which changes what it consists of.
    """
    before, expanded, after = 3, 31, 17  # far enough apart to stay different at all ten points
    steps = [point for point in product(range(3), repeat=3) if sum(point) <= 2 and not (staying and point[2])]

    def row_at(step: Sequence[int]) -> list[int]:
        c_in = before + step[0]
        width = c_in if staying else after + step[2]
        at = {"width": width, "stride": (2, 2) if strided else (1, 1)}
        if hasattr(block, "expanded"):
            at["expanded"] = expanded + step[1]
        return row(replace(block, **at), c_in, grids=(1, 2 if strided else 1))  # type: ignore[arg-type]

    def terms(c: Table, e: Table, w: Table) -> Table:
        x, y = c - before, e - expanded
        z = np.zeros_like(x) if staying else w - after
        return np.stack(np.broadcast_arrays(*(x**i * y**j * z**k for i, j, k in steps)), axis=-1)

    grid = np.array(steps, dtype=np.float64)
    design = terms(grid[:, 0] + before, grid[:, 1] + expanded, grid[:, 2] + after)
    coefficients = (
        np.rint(2 * np.linalg.solve(design, np.array([row_at(step) for step in steps], dtype=np.float64))) / 2
    )
    check = (5, 9, 0 if staying else 7)
    point = np.array([[float(before + check[0])], [float(expanded + check[1])], [float(after + check[2])]])
    if not np.array_equal((terms(*point) @ coefficients)[0], row_at(check)):
        raise NasError(f"the cost of {block.kind!r} is no polynomial of degree two in its widths: price it by itself")
    return lambda c, e, w: terms(c, e, w) @ coefficients


def simplest(part: PartT) -> PartT:
    """The part with the simplest kernel set that is deployed alike: what counts is what a set merges into."""
    conv = getattr(part, "conv", None)
    if conv is None:
        return part
    kernels = (conv.merged,) if len(conv.kernels) == 1 else ((1, 1), conv.merged)
    return replace(part, conv=replace(conv, kernels=kernels, dilation=1))
