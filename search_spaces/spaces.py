"""The spaces that come with the project."""

from collections.abc import Sequence
from itertools import combinations

from search_spaces.errors import InputError
from search_spaces.families import (
    CP_MOBILE,
    CP_MOBILE_GRN,
    DPCP,
    DSFLEXI,
    DSFLEXI_2025,
    REP_CONV,
    REP_MOBILE,
    kernel_label,
)
from search_spaces.space import Value
from search_spaces.staged import StagedSpace
from search_spaces.vocabulary import STRIDES, Vocabulary

_KERNELS = ((1, 1), (1, 3), (1, 5), (3, 1), (3, 3), (5, 1), (5, 5))
ALL_KERNEL_SETS: tuple[Value, ...] = tuple(
    kernel_label(chosen) for count in range(1, len(_KERNELS) + 1) for chosen in combinations(_KERNELS, count)
)
"""All 127 sets of the seven kernels."""

_SHARIF_KERNELS = "1x1+1x3+3x1+3x3"
_EXPANSIONS: tuple[Value, ...] = (1.0, 1.5, 2.1, 3.0, 4.0)

DPCP_SPACE = Vocabulary(
    name="dpcp",
    version=1,
    stages=4,
    depth=4,
    families=(DPCP, CP_MOBILE, CP_MOBILE_GRN),
    widths=tuple(range(16, 177, 8)),
    options={
        "stride": tuple(STRIDES),
        "expansion": _EXPANSIONS,
        "dilation": (1, 2),
        "pooling": ("average", "max", "none"),
    },
    per_layer=frozenset({"stride", "dilation", "pooling"}),
    norms=("none",),
    stems=("conv",),
    stem_widths=(16, 24, 32),
    stem_kernels=("3x3",),
    poolings=("average", "max", "attention", "gem"),
    precisions=("fp16",),
)
"""DynaCP's family: for every layer a plain or dilated depthwise convolution, the pooling branch and the stride."""

REPCONV_SPACE = Vocabulary(
    name="repconv",
    version=1,
    stages=4,
    depth=4,
    families=(DSFLEXI, DSFLEXI_2025, REP_MOBILE, REP_CONV),
    widths=tuple(range(16, 129, 8)),
    options={
        "stride": tuple(STRIDES),
        "expansion": _EXPANSIONS,
        "kernels": ALL_KERNEL_SETS,
        "branches": ("plain", "norm", "norm+identity"),
        "dilation": (1, 2),
    },
    per_layer=frozenset({"stride", "kernels"}),
    norms=("none", "residual", "residual-scalar", "frequency"),
    stems=("rep", "conv"),
    stem_widths=(16, 24, 32),
    stem_kernels=ALL_KERNEL_SETS,
    poolings=("learnable", "average", "max", "attention", "gem"),
    precisions=("fp16",),
)
"""The Sharif student's family: for every layer a kernel set and the stride."""

JOINT_SPACE = Vocabulary(
    name="joint",
    version=2,
    stages=6,
    depth=3,
    families=(CP_MOBILE, CP_MOBILE_GRN, DPCP, REP_MOBILE, DSFLEXI, DSFLEXI_2025),
    widths=tuple(range(16, 177, 8)),
    options={
        "stride": tuple(STRIDES),
        "expansion": _EXPANSIONS,
        "dilation": (1, 2),
        "pooling": ("average", "max", "none"),
        "kernels": ("3x3", "1x1+3x3", "1x3+3x1+3x3", _SHARIF_KERNELS, "1x5+3x3+5x1"),
        "branches": ("plain", "norm", "norm+identity"),
    },
    per_layer=frozenset(),
    norms=("none", "residual", "frequency"),
    stems=("conv", "rep"),
    stem_widths=(16, 24, 32),
    stem_kernels=(_SHARIF_KERNELS,),
    poolings=("average", "learnable", "attention", "gem"),
    precisions=("fp16", "int8", "fp32"),
)
"""Both families, mixed stage by stage; stages of equal layers keep the number of choices small."""

_VOCABULARIES = {words.name: words for words in (JOINT_SPACE, DPCP_SPACE, REPCONV_SPACE)}
SPACE_NAMES = tuple(_VOCABULARIES)


def open_space(name: str, mels: Sequence[int], frames: Sequence[int], classes: int = 10) -> StagedSpace:
    """The space of that name.

    Args:
        mels: Numbers of mel bands that it offers for the input.
        frames: Numbers of frames that it offers.
        classes: Scenes.

    Raises:
        InputError: If there is none; names those there are.
    """
    if name not in _VOCABULARIES:
        raise InputError(f"no search space is named {name!r}; there are {', '.join(SPACE_NAMES)}")
    return StagedSpace(_VOCABULARIES[name], mels, frames, classes)
