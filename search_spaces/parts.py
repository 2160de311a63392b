"""The operations of each part of a network, in each form: the single description that every cost is summed from.

A part is a stem, a block, a stage's normalisation or a head. It has one input and one output map; its last operation
gives the output. `network.py` and `blocks/` build the same parts in torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from search_spaces import ops
from search_spaces.architecture import (
    ConvStem,
    CPMobileBlock,
    DPCPBlock,
    DSFlexiBlock,
    Head,
    KernelSet,
    RepStem,
)
from search_spaces.errors import NasError
from search_spaces.forms import Form
from search_spaces.ops import Op, Shape


@dataclass(frozen=True, slots=True)
class StageNorm:
    """Residual normalisation after a stage."""


Part = ConvStem | RepStem | CPMobileBlock | DPCPBlock | DSFlexiBlock | StageNorm | Head


def part_ops(part: Part, shape: Shape, form: Form, classes: int) -> tuple[Op, ...]:
    """The operations of a part, in an order in which they can run.

    Args:
        part: Stem, block, stage normalisation or head.
        shape: Of the part's input: channels, mels, frames.
        classes: Outputs of a head.

    Raises:
        NasError: If the part is of a kind without formulas: an unknown operation never counts as free.
    """
    try:
        describe = _DESCRIPTIONS[type(part)]
    except KeyError:
        raise NasError(f"no cost formula for {type(part).__name__}: add one to search_spaces/parts.py") from None
    return tuple(describe(part, shape, form, classes))


def strided(shape: Shape, width: int, stride: tuple[int, int]) -> Shape:
    """Output of a convolution or pooling with odd kernels, centred padding and any dilation."""
    return width, -(-shape[1] // stride[0]), -(-shape[2] // stride[1])


def merged_kernel(kernels: KernelSet) -> tuple[int, int]:
    """The one kernel that a kernel set merges into: its bounding box."""
    return max(k[0] for k in kernels), max(k[1] for k in kernels)


def _conv_norm(
    name: str, source: str, c_in: int, shape: Shape, kernel: tuple[int, int], form: Form, groups: int = 1
) -> list[Op]:
    """A bias-free convolution and the batch norm after it, which folding turns into a bias."""
    if form is Form.FOLDED:
        return [ops.conv(name, source, c_in, shape, kernel, groups=groups, bias=True)]
    return [
        ops.conv(f"{name}.conv", source, c_in, shape, kernel, groups=groups),
        ops.norm(name, f"{name}.conv", shape),
    ]


def _rep_conv(
    name: str, source: str, c_in: int, shape: Shape, kernels: KernelSet, form: Form, groups: int = 1
) -> list[Op]:
    """Parallel bias-free convolutions and their sum, which merge into one outside training."""
    if form is not Form.TRAINING or len(kernels) == 1:
        return [ops.conv(name, source, c_in, shape, merged_kernel(kernels), groups=groups)]
    branches = [ops.conv(f"{name}.{h}x{w}", source, c_in, shape, (h, w), groups=groups) for h, w in kernels]
    result, total = [branches[0]], branches[0].name
    for number, branch in enumerate(branches[1:], 1):
        last = number == len(branches) - 1
        result += [branch, ops.add(name if last else f"{name}.sum{number}", (total, branch.name), shape)]
        total = result[-1].name
    return result


def _conv_stem(part: ConvStem, shape: Shape, form: Form, classes: int) -> list[Op]:
    first = strided(shape, part.widths[0], (2, 2))
    second = strided(first, part.widths[1], (2, 2))
    return [
        *_conv_norm("conv1", "input", shape[0], first, (3, 3), form),
        *_conv_norm("conv2", "conv1", first[0], second, (3, 3), form),
    ]


def _rep_stem(part: RepStem, shape: Shape, form: Form, classes: int) -> list[Op]:
    first = strided(shape, part.widths[0], (2, 2))
    second = strided(first, part.widths[1], (2, 2))
    return [
        ops.norm("norm1", "input", shape),
        *_rep_conv("conv1", "norm1", shape[0], first, part.kernels, form),
        ops.norm("norm2", "conv1", first),
        *_rep_conv("conv2", "norm2", first[0], second, part.kernels, form),
    ]


def _cp_mobile(part: CPMobileBlock, shape: Shape, form: Form, classes: int) -> list[Op]:
    wide = (part.expanded, *shape[1:])
    inner = strided(shape, part.expanded, part.stride)
    outer = strided(shape, part.width, part.stride)
    return [
        *_conv_norm("expand", "input", shape[0], wide, (1, 1), form),
        *_conv_norm("depthwise", "expand", part.expanded, inner, (3, 3), form, groups=part.expanded),
        *_conv_norm("project", "depthwise", part.expanded, outer, (1, 1), form),
        *_shortcut(part, shape, outer),
    ]


def _dpcp(part: DPCPBlock, shape: Shape, form: Form, classes: int) -> list[Op]:
    wide = (part.expanded, *shape[1:])
    inner = strided(shape, part.expanded, part.stride)
    outer = strided(shape, part.width, part.stride)
    if form is Form.FOLDED and part.dilation == 1:
        # Average pooling is a convolution with equal taps: beside an undilated 3x3 it folds away completely.
        spatial = [ops.conv("spatial", "expand", part.expanded, inner, (3, 3), groups=part.expanded, bias=True)]
    else:
        branches = [
            ops.conv("depthwise", "expand", part.expanded, inner, (3, 3), groups=part.expanded, bias=True),
            ops.pool("pool", "expand", inner),
        ]
        if form is Form.FOLDED:
            spatial = [
                *branches,
                ops.channel_scale("pool_scale", "pool", inner),
                ops.add("spatial", ("depthwise", "pool_scale"), inner),
            ]
        else:
            spatial = [
                *branches,
                ops.add("sum", ("depthwise", "pool"), inner, scalars=1),
                ops.norm("spatial", "sum", inner),
            ]
    return [
        *_conv_norm("expand", "input", shape[0], wide, (1, 1), form),
        *spatial,
        *_conv_norm("project", "spatial", part.expanded, outer, (1, 1), form),
        *_shortcut(part, shape, outer),
    ]


def _shortcut(part: CPMobileBlock | DPCPBlock, shape: Shape, outer: Shape) -> list[Op]:
    """The addition after the projection, where the width stays: of the input, or of its pooled form."""
    if part.width != shape[0]:
        return []
    if part.stride == (1, 1):
        return [ops.add("add", ("project", "input"), outer)]
    return [ops.pool("shortcut", "input", outer), ops.add("add", ("project", "shortcut"), outer)]


def _dsflexi(part: DSFlexiBlock, shape: Shape, form: Form, classes: int) -> list[Op]:
    wide = (part.width, *shape[1:])
    outer = strided(shape, part.width, part.stride)
    result = [
        ops.conv("shortcut", "input", shape[0], outer, (1, 1)),
        ops.norm("norm1", "input", shape),
        ops.conv("pointwise", "norm1", shape[0], wide, (1, 1)),
        ops.norm("norm2", "pointwise", wide),
        *_rep_conv("spatial", "norm2", part.width, outer, part.kernels, form, groups=part.width),
        ops.add("add", ("spatial", "shortcut"), outer),
    ]
    if part.spare_norm:
        result.append(ops.spare("spare_norm", "add", outer, params=2 * part.width))
    return result


def _stage_norm(part: StageNorm, shape: Shape, form: Form, classes: int) -> list[Op]:
    return [ops.residual_norm("norm", "input", shape)]


def _head(part: Head, shape: Shape, form: Form, classes: int) -> list[Op]:
    if part.pooling == "average":
        return [
            *_conv_norm("classify", "input", shape[0], (classes, *shape[1:]), (1, 1), form),
            ops.pool("average", "classify", (classes, 1, 1)),
        ]
    width, half = shape[0], (shape[0] // 2, *shape[1:])
    return [
        ops.residual_norm("attention_norm1", "input", shape),
        ops.conv("attention_conv", "attention_norm1", width, half, (1, 1)),
        ops.residual_norm("attention_norm2", "attention_conv", half),
        ops.conv("attention_score", "attention_norm2", width // 2, shape, (1, 1)),
        Op("pool", ("input", "attention_score"), (2 * width, 1, 1)),
        ops.norm("norm", "pool", (2 * width, 1, 1)),
        ops.linear("classify", "norm", 2 * width, classes),
    ]


_DESCRIPTIONS: dict[type, Callable[[Any, Shape, Form, int], list[Op]]] = {
    ConvStem: _conv_stem,
    RepStem: _rep_stem,
    CPMobileBlock: _cp_mobile,
    DPCPBlock: _dpcp,
    DSFlexiBlock: _dsflexi,
    StageNorm: _stage_norm,
    Head: _head,
}
