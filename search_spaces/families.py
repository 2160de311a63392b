"""Block families: the kinds of block that a space offers, and how each of its options shows in a block."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property

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
        if type(block) is not type(self.blank) or self._rest(block) != self._rest(self.blank):
            return None
        same = block.canonical(c_in)
        found = {}
        for label in self.options:
            values = offered[label]
            if label == "kernels":  # a space may offer every set, and only one of them can be the right one
                own = kernel_label(block.conv.kernels)  # type: ignore[union-attr]
                values = (own,) if own in values else ()
            found[label] = tuple(
                value
                for value in values
                if _shows(block, c_in, label, value)
                or (_may_be_idle(block, label) and _with(block, c_in, {label: value}).canonical(c_in) == same)
            )
        return found

    def _rest(self, block: Block) -> list[object]:
        """What neither an option nor the shapes decide: it tells families of one type apart."""
        conv = getattr(block, "conv", None)
        values = [getattr(block, name) for name in self._rest_fields[0]]
        return values if conv is None else values + [getattr(conv, name) for name in self._rest_fields[1]]

    @cached_property
    def _rest_fields(self) -> tuple[list[str], list[str]]:
        decided = {"width", "stride", "conv"}.union(*(_FIELDS[label][0] for label in self.options))
        block, conv = (
            [field.name for field in fields(kind) if field.name not in decided] for kind in (type(self.blank), RepConv)
        )
        return block, conv


def kernel_label(kernels: KernelSet) -> str:
    """A kernel set as its choice is labelled: "1x3+3x1"."""
    return "+".join(f"{h}x{w}" for h, w in kernels)


@cache
def kernel_set(label: Value) -> KernelSet:
    """The kernel set of a label."""
    pairs = (kernel.split("x") for kernel in str(label).split("+"))
    return tuple((int(h), int(w)) for h, w in pairs)


_FIELDS: dict[str, tuple[tuple[str, ...], Callable[[int, Value], tuple[object, ...]]]] = {
    "expansion": (("expanded",), lambda c_in, value: (make_divisible(c_in * float(value)),)),
    "pooling": (("pooling",), lambda c_in, value: (value,)),
    "dilation": (("dilation",), lambda c_in, value: (value,)),
    "kernels": (("kernels",), lambda c_in, value: (kernel_set(value),)),
    "branches": (
        ("branch_norm", "identity"),
        lambda c_in, value: (BRANCHES[str(value)].branch_norm, BRANCHES[str(value)].identity),
    ),
}
"""Which fields of a block, or else of its RepConv, show the value of an option, and what they then are after so many
channels."""


def _with(block: Block, c_in: int, options: Mapping[str, Value], **changed: object) -> Block:
    """The block with these options and fields. Every family has the fields of its options; the type of all blocks
    together does not say so."""
    inner: dict[str, object] = {}
    for label, value in options.items():
        names, content = _FIELDS[label]
        for name, shown in zip(names, content(c_in, value), strict=True):
            (changed if hasattr(block, name) else inner)[name] = shown
    if inner:
        changed["conv"] = replace(block.conv, **inner)  # type: ignore[union-attr]
    return replace(block, **changed)  # type: ignore[arg-type]


def _shows(block: Block, c_in: int, label: str, value: Value) -> bool:
    """Whether the block is one with that value."""
    names, content = _FIELDS[label]
    place = block if hasattr(block, names[0]) else block.conv  # type: ignore[union-attr]
    return all(getattr(place, name) == shown for name, shown in zip(names, content(c_in, value), strict=True))


def _may_be_idle(block: Block, label: str) -> bool:
    """Whether the option may have no effect in this block, so that other values than the one that shows could have
    made it."""
    conv: RepConv | None = getattr(block, "conv", None)
    return conv is not None and (
        (label == "dilation" and conv.merged == (1, 1)) or (label == "branches" and conv.branch_norm == "batch")
    )


CP_MOBILE = Family("cp-mobile", CPMobileBlock(8, 8), ("expansion",))
CP_MOBILE_GRN = Family("cp-mobile-grn", CPMobileBlock(8, 8, grn=True), ("expansion",))
DPCP = Family("dpcp", DPCPBlock(8, 8), ("expansion", "dilation", "pooling"))
REP_MOBILE = Family("rep-mobile", RepMobileBlock(8, 8, _BLANK_CONV), ("expansion", "kernels", "branches", "dilation"))
REP_CONV = Family("rep-conv", RepConvBlock(8, _BLANK_CONV), ("kernels", "branches"))
DSFLEXI = Family("dsflexi", DSFlexiBlock(8, _BLANK_CONV), ("kernels",), skips=True)
DSFLEXI_2025 = Family("dsflexi-2025", DSFlexiBlock(8, _BLANK_CONV, spare_norm=True), ("kernels",), skips=True)
