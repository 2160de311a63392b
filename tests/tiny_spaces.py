"""Spaces so small that every set of choices can be looked at."""

from functools import cache

import numpy as np

from search_spaces.families import CP_MOBILE, DSFLEXI, REP_CONV, REP_MOBILE
from search_spaces.space import Choices, Digits
from search_spaces.staged import StagedSpace
from search_spaces.vocabulary import Vocabulary

TINY_NAMES = ("tiny-layers", "tiny-stages")


@cache
def tiny_space(name: str) -> StagedSpace:
    """One of the tiny spaces: "tiny-layers" has strides for each layer and skips, "tiny-stages" has options without
    effect (a dilated single tap, an identity branch that does not fit)."""
    return StagedSpace(_TINY[name], [16], [9])


def all_digits(space: StagedSpace) -> Digits:
    """Every set of choices of a space."""
    sizes = tuple(len(choice.values) for choice in space.choices)
    return np.indices(sizes, dtype=np.int16).reshape(len(sizes), -1)


@cache
def effective_sets(name: str) -> tuple[Choices, ...]:
    """Every set of choices of a tiny space in which those without effect have their first value."""
    space = tiny_space(name)
    digits = all_digits(space)
    return tuple(space.values(np.unique(np.where(space.effective(digits), digits, 0), axis=1)))


_TINY = {
    "tiny-layers": Vocabulary(
        name="tiny-layers",
        version=1,
        stages=2,
        depth=2,
        families=(CP_MOBILE, DSFLEXI),
        widths=(16, 24),
        options={"stride": ("1x1", "2x1"), "expansion": (2.1,), "kernels": ("3x3",)},
        per_layer=frozenset({"stride"}),
        norms=("none",),
        stems=("conv",),
        stem_widths=(16,),
        stem_kernels=("3x3",),
        poolings=("average",),
        precisions=("fp16",),
    ),
    "tiny-stages": Vocabulary(
        name="tiny-stages",
        version=1,
        stages=2,
        depth=2,
        families=(REP_MOBILE, REP_CONV),
        widths=(16, 24),
        options={
            "stride": ("1x1",),
            "expansion": (1.0,),
            "kernels": ("1x1", "1x3+3x1"),
            "branches": ("norm", "norm+identity"),
            "dilation": (1, 2),
        },
        per_layer=frozenset(),
        norms=("none",),
        stems=("rep",),
        stem_widths=(16,),
        stem_kernels=("3x3",),
        poolings=("average",),
        precisions=("int8",),
    ),
}
