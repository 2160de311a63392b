"""Random architectures for tests: points of the search spaces, and anything that can be said at all."""

from typing import TypeVar

import numpy as np

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.parts import (
    Block,
    ConvStem,
    CPMobileBlock,
    DPCPBlock,
    DSFlexiABlock,
    DSFlexiBlock,
    DSFlexiMBlock,
    Head,
    RepConv,
    RepConvBlock,
    RepMobileBlock,
    RepStem,
    ResidualBlock,
    ResNetStem,
    Stem,
    Stride,
)
from search_spaces.spaces import open_space

T = TypeVar("T")

WIDTHS = (4, 8, 12, 16, 24)
"""Even, for learnable pooling; multiples of four, for groups."""
STRIDES: tuple[Stride, ...] = ((1, 1), (1, 2), (2, 1), (2, 2), (3, 1))


def random_architectures(
    count: int, *, seed: int, mels: int = 64, frames: int = 33, space: str = "joint"
) -> list[Architecture]:
    """Draws from a space, each choice uniform, feasible or not."""
    opened, rng = open_space(space, [mels], [frames]), np.random.default_rng(seed)
    return [opened.decode(opened.sample(rng)) for _ in range(count)]


def any_architecture(rng: np.random.Generator) -> Architecture:
    """A small architecture of any parts with any options, the many that no space offers among them."""
    stem = _stem(rng)
    stages, c_in, map_kept, pools = [], stem.width, True, 1
    for _ in range(rng.integers(1, 4)):
        skip = _flip(rng)
        blocks: list[Block] = []
        for _ in range(rng.integers(1, 4)):
            width = c_in if skip or _flip(rng) else _one(rng, WIDTHS)
            stride = (1, 1) if skip or _flip(rng) else _one(rng, STRIDES)
            # A map of 16x9 survives one halving more than stem and strides of it; so there is one pool at most.
            pool = not skip and map_kept and pools > 0 and _flip(rng)
            block = _block(rng, width, stride, pool)
            pools -= block.stride != (1, 1) and isinstance(block, ResidualBlock)
            map_kept = map_kept and block.stride == (1, 1)
            blocks.append(block)
            c_in = width
        concat = map_kept and _flip(rng)
        norm = _one(rng, ("none", "residual", "residual-scalar", "frequency"))
        stages.append(Stage(tuple(blocks), skip=skip, norm=norm, concat=concat))
        c_in += stem.width if concat else 0
    return Architecture(
        input=InputShape(int(rng.integers(16, 34)), int(rng.integers(9, 18))),
        stem=stem,
        stages=tuple(stages),
        head=_head(rng),
        classes=int(rng.integers(2, 12)),
        precision=_one(rng, ("fp32", "fp16", "int8")),
    )


def _stem(rng: np.random.Generator) -> Stem:
    widths = (_one(rng, WIDTHS), _one(rng, WIDTHS))
    rep = RepStem(
        widths, _rep_conv(rng), _flip(rng), _one(rng, ("batch", "residual", "residual-scalar")), _one(rng, (0.0, 0.1))
    )
    return _one(rng, (ConvStem(widths), rep, ResNetStem(widths[1])))


def _block(rng: np.random.Generator, width: int, stride: Stride, pool: bool) -> Block:
    expanded, conv = _one(rng, WIDTHS), _rep_conv(rng)
    dpcp = DPCPBlock(
        width,
        expanded,
        stride,
        dilation=_one(rng, (1, 2, 3)),
        pooling=_one(rng, ("average", "max", "none")),
        norm_after=_one(rng, ("sum", "depthwise")),
        mixing=_one(rng, ("add", "convex")),
        mixing_start=_one(rng, (0.0, 0.5, 1.0)),
        pool_conv=_flip(rng),
        scalars=_one(rng, ("block", "downsampling")),
        output_relu=_flip(rng),
    )
    residual = ResidualBlock(
        width,
        (_one(rng, (1, 3, 5)), _one(rng, (1, 3))),
        groups=_one(rng, (1, 2, 4)),
        pool=_one(rng, ((2, 2), (2, 1), (1, 2))) if pool else None,
    )
    blocks = (
        CPMobileBlock(width, expanded, stride, grn=_flip(rng), pooled_shortcut=_flip(rng)),
        dpcp,
        RepMobileBlock(width, expanded, conv, stride),
        RepConvBlock(width, conv, stride),
        DSFlexiBlock(width, conv, stride, spare_norm=_flip(rng)),
        DSFlexiABlock(width, conv, stride),
        DSFlexiMBlock(width, expanded, conv, stride, norm=_one(rng, ("batch", "residual"))),
        residual,
    )
    return _one(rng, blocks)


def _rep_conv(rng: np.random.Generator) -> RepConv:
    sides = (1, 3, 5, 7)
    kernels = {(_one(rng, sides), _one(rng, sides)) for _ in range(rng.integers(1, 5))}
    return RepConv(tuple(kernels), _one(rng, ("none", "batch", "spare")), _flip(rng), _one(rng, (1, 2)))


def _head(rng: np.random.Generator) -> Head:
    pooling = _one(rng, ("average", "max", "attention", "gem", "learnable", "learnable"))
    if pooling != "learnable":
        return Head(pooling)
    return Head("learnable", _one(rng, ("residual", "batch")), _one(rng, (None, 8)), _flip(rng))


def _one(rng: np.random.Generator, values: tuple[T, ...]) -> T:
    return values[rng.integers(len(values))]


def _flip(rng: np.random.Generator) -> bool:
    return bool(rng.integers(2))
