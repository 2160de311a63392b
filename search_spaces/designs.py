"""The known designs, as entered in the challenge: marks to beat, and the first points of every study.

Layer tables and counts: the DCASE 2025 Task 1 baseline's code (cp-mobile-2025); the DynaCP report with the
reconstruction of its widths from the official parameter and MAC counts (dynacp); the Sharif student's published
code and weights (sharif).
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from search_spaces.architecture import (
    Architecture,
    ConvStem,
    CPMobileBlock,
    DPCPBlock,
    DSFlexiBlock,
    Head,
    InputShape,
    RepStem,
    Stage,
)
from search_spaces.errors import InputError

SHARIF_KERNELS = ((1, 1), (1, 3), (3, 1), (3, 3))


def design(name: str) -> Architecture:
    """The known design of that name, at the input it was entered with.

    Raises:
        InputError: If there is none; names those there are.
    """
    try:
        make = _DESIGNS[name]
    except KeyError:
        known = ", ".join(_DESIGNS)
        raise InputError(f"no known design is named {name!r}; there are {known}") from None
    return make()


def design_names() -> tuple[str, ...]:
    """Names that `design` knows."""
    return tuple(_DESIGNS)


def name_of(architecture: Architecture) -> str | None:
    """The known design that this architecture is, at its own input and number of scenes; None if it is none."""
    shape = architecture.input
    for name in _DESIGNS:
        known = replace(design(name).at(shape.mels, shape.frames), classes=architecture.classes)
        if known.identity == architecture.identity:
            return name
    return None


@cache
def _cp_mobile_2025() -> Architecture:
    """61,148 parameters, 29,419,156 MACs at 256x65."""
    return Architecture(
        input=InputShape(256, 65),
        stem=ConvStem((8, 32)),
        stages=(
            Stage((CPMobileBlock(32, 64), CPMobileBlock(32, 64), CPMobileBlock(32, 64, stride=(1, 2)))),
            Stage((CPMobileBlock(56, 64, stride=(2, 1)), CPMobileBlock(56, 120))),
            Stage((CPMobileBlock(104, 120),)),
        ),
    )


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


_DESIGNS: dict[str, Callable[[], Architecture]] = {
    "cp-mobile-2025": _cp_mobile_2025,
    "dynacp": _dynacp,
    "sharif": _sharif,
}
