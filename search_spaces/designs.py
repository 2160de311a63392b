"""The known designs, as entered in the challenge: marks to beat, and the first points of every study; and their
teachers.

Layer tables and counts: the code of the DCASE 2025 Task 1 baseline and of the 2023 entry it derives from (cp-mobile and
its teacher cp-resnet), the DynaCP report with the reconstruction of its widths from the official parameter and MAC
counts (dynacp), the Sharif team's published code and weights (sharif and its teachers).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.errors import InputError
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
    RepStem,
    ResidualBlock,
    ResNetStem,
    Stride,
)

SHARIF_KERNELS = RepConv(((1, 1), (1, 3), (3, 1), (3, 3)))


def design(name: str) -> Architecture:
    """The known design or teacher of that name, at the input it was entered with.

    Raises:
        InputError: If there is none; names those there are.
    """
    try:
        make = {**_DESIGNS, **_TEACHERS}[name]
    except KeyError:
        known = ", ".join((*_DESIGNS, *_TEACHERS))
        raise InputError(f"no known design is named {name!r}; there are {known}") from None
    return make()


def design_names() -> tuple[str, ...]:
    """Names of the designs for a microcontroller."""
    return tuple(_DESIGNS)


def teacher_names() -> tuple[str, ...]:
    """Names of the designs that taught them."""
    return tuple(_TEACHERS)


def name_of(architecture: Architecture) -> str | None:
    """The known design that this architecture is, at its own input and number of scenes; None if it is none."""
    shape = architecture.input
    for name in _DESIGNS:
        known = replace(design(name).at(shape.mels, shape.frames), classes=architecture.classes)
        if known.identity == architecture.identity:
            return name
    return None


def _cp_mobile(
    shape: InputShape,
    stem: tuple[int, int],
    stages: tuple[tuple[tuple[int, int, Stride], ...], ...],
    *,
    grn: bool = False,
    pooled_shortcut: bool = True,
) -> Architecture:
    """A CP-Mobile: each block as (width, expanded width, stride)."""
    return Architecture(
        input=shape,
        stem=ConvStem(stem),
        stages=tuple(
            Stage(tuple(CPMobileBlock(*block, grn=grn, pooled_shortcut=pooled_shortcut) for block in blocks))
            for blocks in stages
        ),
    )


@cache
def _cp_mobile_2023() -> Architecture:
    """126,952 parameters, 28,893,268 MACs at 256x64."""
    first = ((32, 96, (1, 1)), (32, 96, (2, 2)), (32, 96, (1, 1)))
    second = ((72, 96, (2, 1)), (72, 216, (1, 1)))
    third = ((168, 216, (1, 1)),)
    return replace(_cp_mobile(InputShape(256, 64), (8, 32), (first, second, third), grn=True), precision="int8")


@cache
def _cp_mobile_2025() -> Architecture:
    """61,148 parameters, 29,419,156 MACs at 256x65."""
    first = ((32, 64, (1, 1)), (32, 64, (1, 1)), (32, 64, (1, 2)))
    second = ((56, 64, (2, 1)), (56, 120, (1, 1)))
    third = ((104, 120, (1, 1)),)
    return _cp_mobile(InputShape(256, 65), (8, 32), (first, second, third))


@cache
def _dynacp() -> Architecture:
    """61,650 parameters, 28,938,900 MACs at 256x89. Dilation 2 where the stride is 1, except in b2."""
    return Architecture(
        input=InputShape(256, 89),
        stem=ConvStem((8, 32)),
        stages=(
            Stage(
                (
                    DPCPBlock(32, 64, dilation=2),
                    DPCPBlock(32, 64, stride=(2, 1)),
                    DPCPBlock(32, 64, stride=(1, 2)),
                )
            ),
            Stage((DPCPBlock(56, 64, dilation=2), DPCPBlock(56, 120, stride=(2, 1)))),
            Stage((DPCPBlock(104, 120, dilation=2),)),
        ),
    )


@cache
def _sharif() -> Architecture:
    """31,260 parameters, 28,642,220 MACs at 256x64 with merged kernels; 36,748 and 34,605,996 in training."""
    narrow = DSFlexiBlock(32, SHARIF_KERNELS, spare_norm=True)
    wide = DSFlexiBlock(64, SHARIF_KERNELS, spare_norm=True)
    return Architecture(
        input=InputShape(256, 64),
        stem=RepStem((16, 32), SHARIF_KERNELS),
        stages=(
            Stage((narrow,) * 3, skip=True, norm="residual"),
            Stage((narrow,) * 3, skip=True, norm="residual"),
            Stage((wide,), norm="residual"),
        ),
        head=Head("learnable"),
    )


@cache
def _teacher_a() -> Architecture:
    """180,053 parameters, 167,586,956 MACs at 256x64."""
    kernels = replace(SHARIF_KERNELS, branch_norm="spare")

    def stage(width: int, *, concat: bool) -> Stage:
        return Stage((DSFlexiABlock(width, kernels),) * 3, concat=concat)

    return Architecture(
        input=InputShape(256, 64),
        stem=RepStem((16, 32), kernels, dropout=0.1),
        stages=(stage(32, concat=True), stage(64, concat=True), stage(128, concat=False)),
        head=Head("learnable", norm="batch", every_stage=True),
        precision="fp32",
    )


@cache
def _teacher_m1() -> Architecture:
    """42,322 parameters, 35,491,306 MACs at 256x64."""
    kernels = replace(SHARIF_KERNELS, branch_norm="spare")
    stem = RepStem((16, 16), kernels, input_norm=False, norm="residual-scalar")
    return _teacher_m(stem, DSFlexiMBlock(16, 96, kernels), Head("learnable", norm="batch", hidden=16))


@cache
def _teacher_m2() -> Architecture:
    """42,018 parameters, 33,530,032 MACs at 256x64."""
    kernels = replace(SHARIF_KERNELS, branch_norm="batch")
    stem = RepStem((10, 16), kernels, norm="residual")
    return _teacher_m(stem, DSFlexiMBlock(16, 96, kernels, norm="residual"), Head("learnable", hidden=16))


def _teacher_m(stem: RepStem, block: Block, head: Head) -> Architecture:
    stages = (Stage((block,) * 3, skip=True), Stage((block,) * 2, skip=True), Stage((block,)))
    return Architecture(InputShape(256, 64), stem, stages, head, precision="fp32")


@cache
def _teacher_cp_mobile() -> Architecture:
    """234,300 parameters, 42,330,532 MACs at 256x64."""
    first = ((32, 96, (1, 1)), (32, 96, (2, 2)), (32, 96, (1, 1)))
    second = ((64, 96, (2, 1)), (64, 192, (1, 1)), (64, 192, (1, 1)))
    third = ((128, 192, (1, 1)), (128, 384, (1, 1)))
    stages = (first, second, third)
    return replace(_cp_mobile(InputShape(256, 64), (8, 32), stages, grn=True, pooled_shortcut=False), precision="fp32")


@cache
def _cp_resnet() -> Architecture:
    """127,684 parameters, 28,840,396 MACs at 256x43.

    Its code pools at the positions 0, 1, 2 and 4 of a first stage of two blocks: before them, after each, and nowhere.
    """
    return _cp_resnet_pooling((2, 2), (2, 1), (2, 1), frames=43)


@cache
def _teacher_cp_resnet() -> Architecture:
    """127,684 parameters, 37,862,532 MACs at 256x64."""
    return _cp_resnet_pooling((2, 2), (2, 2), None, frames=64)


def _cp_resnet_pooling(first: Stride, second: Stride, third: Stride | None, *, frames: int) -> Architecture:
    """A CP-ResNet of receptive field rho = 8: the pools before its first three blocks."""
    blocks = (
        ResidualBlock(32, (3, 1), pool=first),
        ResidualBlock(32, (3, 3), pool=second),
        ResidualBlock(64, (3, 3), groups=2, pool=third),
        ResidualBlock(92, (3, 1)),
    )
    return Architecture(InputShape(256, frames), ResNetStem(32), (Stage(blocks),), precision="fp32")


_DESIGNS: dict[str, Callable[[], Architecture]] = {
    "cp-mobile-2023": _cp_mobile_2023,
    "cp-mobile-2025": _cp_mobile_2025,
    "dynacp": _dynacp,
    "sharif": _sharif,
}
_TEACHERS: dict[str, Callable[[], Architecture]] = {
    "cp-resnet": _cp_resnet,
    "sharif-dsflexi-a": _teacher_a,
    "sharif-dsflexi-m1": _teacher_m1,
    "sharif-dsflexi-m2": _teacher_m2,
    "sharif-cp-mobile": _teacher_cp_mobile,
    "sharif-cp-resnet": _teacher_cp_resnet,
}
