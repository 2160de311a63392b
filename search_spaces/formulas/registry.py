"""From a part to its operations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from search_spaces.errors import NasError
from search_spaces.forms import Form
from search_spaces.formulas import dsflexi, heads, inverted_residual, ops, rep_blocks, residual, stems
from search_spaces.formulas.normalisation import stage_norm
from search_spaces.formulas.ops import Op, Shape
from search_spaces.parts import (
    Block,
    ConvStem,
    CPMobileBlock,
    DPCPBlock,
    DSFlexiABlock,
    DSFlexiBlock,
    DSFlexiMBlock,
    Head,
    RepConvBlock,
    RepMobileBlock,
    RepStem,
    ResidualBlock,
    ResNetStem,
    StageNorm,
    Stem,
)


@dataclass(frozen=True, slots=True)
class StageEnd:
    """What stands after the blocks of a stage: a normalisation, then the stem's output as further channels."""

    norm: StageNorm
    concat: int = 0
    """Channels of the stem's output; 0 if it does not follow."""


@dataclass(frozen=True, slots=True)
class StagePooling:
    """The learnable pooling of one stage's output, for a head that pools every stage."""

    head: Head


@dataclass(frozen=True, slots=True)
class Classifier:
    """The rest of such a head, behind the concatenated poolings."""

    head: Head
    classes: int


@dataclass(frozen=True, slots=True)
class PoolAndClassify:
    """A head that reads the last map."""

    head: Head
    classes: int


Part = Stem | Block | StageEnd | StagePooling | Classifier | PoolAndClassify


def part_ops(part: Part, shape: Shape, form: Form) -> tuple[Op, ...]:
    """The operations of a part, in an order in which they can run; the last one gives the part's output.

    Args:
        part: Stem, block, end of a stage or head.
        shape: Of the part's input: channels, mels, frames.

    Raises:
        NasError: If the part is of a kind without formulas: an unknown operation never counts as free.
    """
    try:
        describe = _DESCRIPTIONS[type(part)]
    except KeyError:
        raise NasError(f"no cost formula for {type(part).__name__}: add one to search_spaces/formulas/") from None
    return tuple(describe(part, shape, form))


def _stage_end(part: StageEnd, shape: Shape, form: Form) -> list[Op]:
    result = stage_norm("norm", "input", shape, part.norm)
    if part.concat:
        result.append(ops.pool("concat", result[-1].name if result else "input", (shape[0] + part.concat, *shape[1:])))
    return result


def _stage_pooling(part: StagePooling, shape: Shape, form: Form) -> list[Op]:
    return heads.learnable_pooling(part.head, shape, form)


def _classifier(part: Classifier, shape: Shape, form: Form) -> list[Op]:
    return heads.classifier(part.head, "input", shape[0], part.classes)


def _pool_and_classify(part: PoolAndClassify, shape: Shape, form: Form) -> list[Op]:
    return heads.head(part.head, shape, form, part.classes)


_DESCRIPTIONS: dict[type, Callable[[Any, Shape, Form], list[Op]]] = {
    ConvStem: stems.conv_stem,
    RepStem: stems.rep_stem,
    ResNetStem: stems.resnet_stem,
    CPMobileBlock: inverted_residual.cp_mobile,
    DPCPBlock: inverted_residual.dpcp,
    RepMobileBlock: inverted_residual.rep_mobile,
    RepConvBlock: rep_blocks.rep_conv_block,
    DSFlexiBlock: dsflexi.student,
    DSFlexiABlock: dsflexi.teacher_a,
    DSFlexiMBlock: dsflexi.teacher_m,
    ResidualBlock: residual.residual_block,
    StageEnd: _stage_end,
    StagePooling: _stage_pooling,
    Classifier: _classifier,
    PoolAndClassify: _pool_and_classify,
}
