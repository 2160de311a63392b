"""Block families: the kinds of block that a space offers, and how each of its options shows in a block."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from search_spaces.parts import (
    Block,
    CPMobileBlock,
    DPCPBlock,
    DSFlexiBlock,
    KernelSet,
    RepConv,
    RepConvBlock,
    RepMobileBlock,
    Stride,
)
from search_spaces.space import Value
from search_spaces.widths import make_divisible

_BLANK_CONV = RepConv(((1, 1),))
BRANCHES = {
    "plain": _BLANK_CONV,
    "norm": replace(_BLANK_CONV, branch_norm="batch"),
    "norm+identity": replace(_BLANK_CONV, branch_norm="batch", identity=True),
}
"""What goes with the kernels of a RepConv: nothing, a batch norm on each branch, and an identity branch besides."""


@dataclass(frozen=True)
class Family:
    """One kind of block as a space offers it.

    Attributes:
        label: Value of the choice `kind`.
        blank: A block of the family; width, stride and options are put into it.
        options: Labels of the other choices that have an effect on the family's blocks.
        skips: Whether a stage of such blocks has a skip around it where its shape allows, as in the Sharif student.
    """

    label: str
    blank: Block
    options: tuple[str, ...]
    skips: bool = False

    def block(self, c_in: int, width: int, stride: Stride, options: Mapping[str, Value]) -> Block:
        """The block after `c_in` channels with these options; options of other families are ignored."""
        own = {label: options[label] for label in self.options}
        return _with(self.blank, c_in, own, width=width, stride=stride)

    def readings(
        self, block: Block, c_in: int, offered: Mapping[str, tuple[Value, ...]]
    ) -> dict[str, tuple[Value, ...]] | None:
        """For each option the offered values that could have made this block; None if it is of another family."""
        if type(block) is not type(self.blank):
            return None
        first = {label: offered[label][0] for label in self.options}
        if _with(block, c_in, first) != self.block(c_in, block.width, block.stride, first):
            return None
        same = block.canonical(c_in)
        found = {}
        for label in self.options:
            values = offered[label]
            if label == "kernels":  # a space may offer every set, and only one of them can be the right one
                own = kernel_label(block.conv.kernels)  # type: ignore[union-attr]
                values = (own,) if own in values else ()
            found[label] = tuple(
                value for value in values if _with(block, c_in, {label: value}).canonical(c_in) == same
            )
        return found


def kernel_label(kernels: KernelSet) -> str:
    """A kernel set as its choice is labelled: "1x3+3x1"."""
    return "+".join(f"{h}x{w}" for h, w in kernels)


@cache
def kernel_set(label: Value) -> KernelSet:
    """The kernel set of a label."""
    pairs = (kernel.split("x") for kernel in str(label).split("+"))
    return tuple((int(h), int(w)) for h, w in pairs)


_Fields = dict[str, object]
_FIELDS: dict[str, Callable[[int, Value], _Fields]] = {
    "expansion": lambda c_in, value: {"expanded": make_divisible(c_in * float(value))},
    "pooling": lambda c_in, value: {"pooling": value},
    "dilation": lambda c_in, value: {"dilation": value},
    "kernels": lambda c_in, value: {"kernels": kernel_set(value)},
    "branches": lambda c_in, value: {
        "branch_norm": BRANCHES[str(value)].branch_norm,
        "identity": BRANCHES[str(value)].identity,
    },
}
"""What the value of an option sets, after so many channels: fields of the block, or else of its RepConv."""


def _with(block: Block, c_in: int, options: Mapping[str, Value], **fields: object) -> Block:
    """The block with these options and fields. Every family has the fields of its options; the type of all blocks
    together does not say so."""
    inner: _Fields = {}
    for label, value in options.items():
        for field, content in _FIELDS[label](c_in, value).items():
            (fields if hasattr(block, field) else inner)[field] = content
    if inner:
        fields["conv"] = replace(block.conv, **inner)  # type: ignore[union-attr]
    return replace(block, **fields)  # type: ignore[arg-type]


CP_MOBILE = Family("cp-mobile", CPMobileBlock(8, 8), ("expansion",))
CP_MOBILE_GRN = Family("cp-mobile-grn", CPMobileBlock(8, 8, grn=True), ("expansion",))
DPCP = Family("dpcp", DPCPBlock(8, 8), ("expansion", "dilation", "pooling"))
REP_MOBILE = Family("rep-mobile", RepMobileBlock(8, 8, _BLANK_CONV), ("expansion", "kernels", "branches", "dilation"))
REP_CONV = Family("rep-conv", RepConvBlock(8, _BLANK_CONV), ("kernels", "branches"))
DSFLEXI = Family("dsflexi", DSFlexiBlock(8, _BLANK_CONV), ("kernels",), skips=True)
DSFLEXI_2025 = Family("dsflexi-2025", DSFlexiBlock(8, _BLANK_CONV, spare_norm=True), ("kernels",), skips=True)
