"""The parts that an architecture is put together from: stems, blocks and heads, as frozen values.

Shapes are (channels, mels, frames); strides and kernels are (frequency, time). A width is a number of output channels.
What a part costs stands in `formulas/`, its module in `blocks/`, in files of the same names.
"""

from dataclasses import replace
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass


def _odd(side: int) -> int:
    if side % 2 == 0:
        raise ValueError("an odd number of taps, so that the branches of a kernel set share their centre")
    return side


def _kernel_set(kernels: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    if len(set(kernels)) < len(kernels):
        raise ValueError("kernels that differ from each other")
    return tuple(sorted(kernels))


def _pool_size(pool: object) -> object:
    """Older files say only whether there is a pool; theirs is 2x2."""
    if isinstance(pool, bool):
        return (2, 2) if pool else None
    return pool


PartT = TypeVar("PartT")


def _with(part: PartT, **fields: object) -> PartT:
    """The part with these fields; itself where it has them, because making one anew checks every field again."""
    if all(getattr(part, name) == value for name, value in fields.items()):
        return part
    changed: PartT = replace(part, **fields)  # type: ignore[type-var]
    return changed


Width = Annotated[int, Field(strict=True, ge=1, le=4096)]
Stride = tuple[Annotated[int, Field(strict=True, ge=1, le=4)], Annotated[int, Field(strict=True, ge=1, le=4)]]
Dilation = Annotated[int, Field(strict=True, ge=1, le=8)]
Taps = Annotated[int, Field(strict=True, ge=1, le=15), AfterValidator(_odd)]
PoolSize = Annotated[Stride | None, BeforeValidator(_pool_size)]
KernelSet = Annotated[tuple[tuple[Taps, Taps], ...], Field(min_length=1, max_length=8), AfterValidator(_kernel_set)]
Flag = Annotated[bool, Field(strict=True)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]

Precision = Literal["fp32", "fp16", "int8"]
Pooling = Literal["average", "max", "attention", "gem", "learnable"]
BranchNorm = Literal["none", "batch", "spare"]
BranchPooling = Literal["average", "max", "none"]
InnerNorm = Literal["batch", "residual", "residual-scalar"]
StageNorm = Literal["none", "residual", "residual-scalar", "frequency"]

CONFIG = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, config=CONFIG)
class RepConv:
    """RepConv2d: parallel bias-free convolutions in training, one convolution when deployed.

    Attributes:
        kernels: Odd sizes (frequency, time); kept sorted. They merge into their bounding box.
        branch_norm: "batch" for a batch norm on each branch; "spare" for one that is stored but never applied, as in
            two of the Sharif teachers.
        identity: Whether the input itself is one more branch, where width and map size stay (RepVGG's identity branch).
        dilation: Of every kernel.
    """

    kernels: KernelSet
    branch_norm: BranchNorm = "none"
    identity: Flag = False
    dilation: Dilation = 1

    @property
    def merged(self) -> tuple[int, int]:
        """The one kernel that the set merges into: its bounding box."""
        return max(k[0] for k in self.kernels), max(k[1] for k in self.kernels)

    def has_identity(self, c_in: int, width: int, stride: Stride) -> bool:
        """Whether there is an identity branch between these shapes."""
        return self.identity and c_in == width and stride == (1, 1)

    def canonical(self, c_in: int, width: int, stride: Stride) -> "RepConv":
        """Without what has no effect between these shapes: an identity that does not fit, a dilated single tap."""
        dilation = 1 if self.merged == (1, 1) else self.dilation
        return _with(self, identity=self.has_identity(c_in, width, stride), dilation=dilation)


@dataclass(frozen=True, slots=True, config=CONFIG)
class ConvStem:
    """CP-Mobile's stem: twice a 3x3 convolution of stride 2, batch norm, ReLU.

    Attributes:
        widths: Output channels of the two convolutions.
    """

    widths: tuple[Width, Width]
    kind: Literal["conv"] = "conv"

    @property
    def width(self) -> int:
        """Output channels."""
        return self.widths[1]

    def canonical(self) -> "ConvStem":
        """Itself: every choice has an effect."""
        return self


@dataclass(frozen=True, slots=True, config=CONFIG)
class RepStem:
    """The Sharif stem: twice a RepConv of stride 2 and ReLU, with normalisations.

    Attributes:
        widths: Output channels of the two RepConvs.
        conv: Both RepConvs.
        input_norm: Whether a batch norm stands before everything.
        norm: "batch" stands once, between the first ReLU and the second RepConv (student, teacher a); the residual
            kinds stand after each RepConv, before its ReLU (teachers m1, m2).
        dropout: In training, after the stem.
    """

    widths: tuple[Width, Width]
    conv: RepConv
    input_norm: Flag = True
    norm: InnerNorm = "batch"
    dropout: Share = 0.0
    kind: Literal["rep"] = "rep"

    @property
    def width(self) -> int:
        """Output channels."""
        return self.widths[1]

    def canonical(self) -> "RepStem":
        """Without what has no effect."""
        return _with(self, conv=self.conv.canonical(1, self.width, (2, 2)))


@dataclass(frozen=True, slots=True, config=CONFIG)
class ResNetStem:
    """CP-ResNet's stem: a 5x5 convolution of stride 2 and padding 1 (not centred), batch norm, ReLU."""

    width: Width
    kind: Literal["resnet"] = "resnet"

    def canonical(self) -> "ResNetStem":
        """Itself: every choice has an effect."""
        return self


@dataclass(frozen=True, slots=True, config=CONFIG)
class CPMobileBlock:
    """CP-Mobile's inverted residual: expand 1x1, depthwise 3x3, project 1x1, each with batch norm; ReLU.

    The shortcut follows from the shapes: identity where nothing changes (kind S), 3x3 average pooling where only the
    map shrinks (D), none where the width changes (T).

    Attributes:
        width: Output channels.
        expanded: Channels of the depthwise convolution.
        stride: Of the depthwise convolution.
        grn: Whether global response normalisation stands before the last ReLU, as in 2023.
        pooled_shortcut: Whether kind D has its shortcut; the Sharif team's teacher has none there.
    """

    width: Width
    expanded: Width
    stride: Stride = (1, 1)
    grn: Flag = False
    pooled_shortcut: Flag = True
    kind: Literal["cp-mobile"] = "cp-mobile"

    def canonical(self, c_in: int) -> "CPMobileBlock":
        """Without what has no effect after `c_in` channels."""
        pools = self.width == c_in and self.stride != (1, 1)
        return _with(self, pooled_shortcut=self.pooled_shortcut or not pools)


@dataclass(frozen=True, slots=True, config=CONFIG)
class DPCPBlock:
    """DynaCP's block: CP-Mobile's with a pooling branch P beside a depthwise convolution D that may be dilated; ReLU6.

    The residual type follows from the shapes as CP-Mobile's kinds: _2 adds the input, _3 its pooled form, _1 nothing.
    What the report leaves open is an option, with the reading that its counts support best as default.

    Attributes:
        width: Output channels.
        expanded: Channels of the branches.
        stride: Of both branches.
        dilation: Of D; 1 is the plain depthwise convolution.
        pooling: 3x3 pooling of P and of the shortcut of type _3; "none" leaves out P (and averages in the shortcut).
        norm_after: Whether the batch norm stands after the sum of the branches or on D only.
        mixing: "add" is D + a P, "convex" is (1 - a) D + a P, with one learnable scalar a.
        mixing_start: The value a is initialised with.
        pool_conv: A bias-free 1x1 depthwise convolution on P instead of the bias of D; the counts are the same.
        scalars: "block" has one scalar in every block; "downsampling" has two in each block of type _3, for P and for
            the pooled shortcut, and none elsewhere.
        output_relu: Whether ReLU6 stands after the final addition.
    """

    width: Width
    expanded: Width
    stride: Stride = (1, 1)
    dilation: Dilation = 1
    pooling: BranchPooling = "average"
    norm_after: Literal["sum", "depthwise"] = "sum"
    mixing: Literal["add", "convex"] = "add"
    mixing_start: Share = 1.0
    pool_conv: Flag = False
    scalars: Literal["block", "downsampling"] = "block"
    output_relu: Flag = True
    kind: Literal["dpcp"] = "dpcp"

    def is_downsampling(self, c_in: int) -> bool:
        """Whether the residual type is _3: the width stays, the map shrinks."""
        return self.width == c_in and self.stride != (1, 1)

    def has_scalar(self, c_in: int) -> bool:
        """Whether the pooling branch is weighted by a learnable scalar."""
        return self.pooling != "none" and (self.scalars == "block" or self.is_downsampling(c_in))

    def has_shortcut_scalar(self, c_in: int) -> bool:
        """Whether the pooled shortcut is weighted by a learnable scalar."""
        return self.scalars == "downsampling" and self.is_downsampling(c_in)

    def canonical(self, c_in: int) -> "DPCPBlock":
        """Without what has no effect after `c_in` channels."""
        block = self
        if self.pooling == "none":
            block = _with(block, norm_after="sum", pool_conv=False)
        if self.pooling == "none" and not self.is_downsampling(c_in):
            block = _with(block, scalars="block")
        if not self.has_scalar(c_in):
            block = _with(block, mixing="add")
        if not (self.has_scalar(c_in) or self.has_shortcut_scalar(c_in)):
            block = _with(block, mixing_start=1.0)
        return block


@dataclass(frozen=True, slots=True, config=CONFIG)
class RepMobileBlock:
    """An inverted residual as CP-Mobile's, whose depthwise convolution is a RepConv.

    Attributes:
        width: Output channels.
        expanded: Channels of the RepConv.
        conv: The depthwise RepConv; without norms on its branches, one batch norm stands after it.
        stride: Of the RepConv.
    """

    width: Width
    expanded: Width
    conv: RepConv
    stride: Stride = (1, 1)
    kind: Literal["rep-mobile"] = "rep-mobile"

    def canonical(self, c_in: int) -> "RepMobileBlock":
        """Without what has no effect after `c_in` channels."""
        return _with(self, conv=self.conv.canonical(self.expanded, self.expanded, self.stride))


@dataclass(frozen=True, slots=True, config=CONFIG)
class RepConvBlock:
    """A full RepConv and ReLU, as RepVGG's block.

    Attributes:
        width: Output channels.
        conv: The RepConv; without norms on its branches, one batch norm stands after it.
        stride: Of the RepConv.
    """

    width: Width
    conv: RepConv
    stride: Stride = (1, 1)
    kind: Literal["rep-conv"] = "rep-conv"

    def canonical(self, c_in: int) -> "RepConvBlock":
        """Without what has no effect after `c_in` channels."""
        return _with(self, conv=self.conv.canonical(c_in, self.width, self.stride))


@dataclass(frozen=True, slots=True, config=CONFIG)
class DSFlexiBlock:
    """The Sharif student's block: batch norm, 1x1, LeakyReLU, batch norm, depthwise RepConv, LeakyReLU, plus a
    1x1 convolution of the block's input.

    Attributes:
        width: Output channels.
        conv: The depthwise RepConv.
        stride: Of the RepConv and of the convolution on the shortcut.
        spare_norm: Whether the block holds one more batch norm that is never applied, as the published student
            does. It changes nothing but the parameter count.
    """

    width: Width
    conv: RepConv
    stride: Stride = (1, 1)
    spare_norm: Flag = False
    kind: Literal["dsflexi"] = "dsflexi"

    def canonical(self, c_in: int) -> "DSFlexiBlock":
        """Without what has no effect after `c_in` channels."""
        return _with(self, conv=self.conv.canonical(self.width, self.width, self.stride))


@dataclass(frozen=True, slots=True, config=CONFIG)
class DSFlexiABlock:
    """The block of the Sharif teacher a: the student's with a bias on the shortcut, and behind the RepConv batch norm,
    one weight for each channel, LeakyReLU, channel dropout 0.15; after the sum residual normalisation (scalar lambda).
    """

    width: Width
    conv: RepConv
    stride: Stride = (1, 1)
    kind: Literal["dsflexi-a"] = "dsflexi-a"

    def canonical(self, c_in: int) -> "DSFlexiABlock":
        """Without what has no effect after `c_in` channels."""
        return _with(self, conv=self.conv.canonical(self.width, self.width, self.stride))


@dataclass(frozen=True, slots=True, config=CONFIG)
class DSFlexiMBlock:
    """The block of the Sharif teachers m1 and m2: 1x1 to `expanded`, LeakyReLU, norm, depthwise RepConv, LeakyReLU,
    norm, 1x1, channel dropout 0.1, plus a 1x1 convolution with bias of the input; then residual normalisation.

    A further norm of the input is computed and thrown away, as in the published code; its parameters and MACs count.

    Attributes:
        width: Output channels.
        expanded: Channels of the RepConv.
        conv: The depthwise RepConv.
        stride: Of the RepConv and of the shortcut.
        norm: Of the inner norms: "batch" in m1 (where the last one has a scalar lambda), "residual" in m2.
    """

    width: Width
    expanded: Width
    conv: RepConv
    stride: Stride = (1, 1)
    norm: Literal["batch", "residual"] = "batch"
    kind: Literal["dsflexi-m"] = "dsflexi-m"

    def canonical(self, c_in: int) -> "DSFlexiMBlock":
        """Without what has no effect after `c_in` channels."""
        return _with(self, conv=self.conv.canonical(self.expanded, self.expanded, self.stride))


@dataclass(frozen=True, slots=True, config=CONFIG)
class ResidualBlock:
    """CP-ResNet's block: two convolutions of stride 1 with batch norm, a shortcut (1x1 with batch norm where the width
    changes), ReLU after the first and after the sum.

    Attributes:
        width: Output channels.
        kernels: Side of each of the two square kernels.
        groups: Of all three convolutions.
        pool: Size and stride of the max pooling before the block, which rounds down; None for no pooling.
    """

    width: Width
    kernels: tuple[Taps, Taps] = (3, 1)
    groups: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
    pool: PoolSize = None
    kind: Literal["residual"] = "residual"

    @property
    def stride(self) -> Stride:
        """By how much the pooling shrinks the map."""
        return self.pool or (1, 1)

    def canonical(self, c_in: int) -> "ResidualBlock":
        """Without what has no effect: a pooling of single values."""
        return _with(self, pool=None if self.pool == (1, 1) else self.pool)


Stem = Annotated[ConvStem | RepStem | ResNetStem, Field(discriminator="kind")]
Block = Annotated[
    CPMobileBlock
    | DPCPBlock
    | RepMobileBlock
    | RepConvBlock
    | DSFlexiBlock
    | DSFlexiABlock
    | DSFlexiMBlock
    | ResidualBlock,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, slots=True, config=CONFIG)
class Head:
    """From the last map to one logit per scene.

    Attributes:
        pooling: "average" is CP-Mobile's head: 1x1 convolution to the scenes, batch norm, average over the map; "max"
            takes the largest value instead, "attention" weighs the positions by the softmax of another 1x1 convolution.
            "gem" is the generalised mean of the features (Radenovic et al., 2018), then a linear layer. "learnable" is
            the Sharif head: attention and average pooling side by side, batch norm, dropout, linear layer.
        norm: Inside learnable pooling: residual normalisation (student, m2) or batch norm (a, m1).
        hidden: Width of one more linear layer with ReLU before the last (learnable pooling only).
        every_stage: Whether the output of every stage is pooled by itself and all are concatenated, dropout before the
            batch norm, as in the Sharif teacher a (learnable pooling only).
    """

    pooling: Pooling = "average"
    norm: Literal["residual", "batch"] = "residual"
    hidden: Width | None = None
    every_stage: Flag = False

    def __post_init__(self) -> None:
        if self.pooling != "learnable" and (self.hidden is not None or self.every_stage):
            raise ValueError(f"hidden and every_stage only with learnable pooling, not {self.pooling}")

    def canonical(self, stages: int) -> "Head":
        """Without what has no effect after so many stages."""
        if self.pooling != "learnable":
            return Head(self.pooling)
        return _with(self, every_stage=self.every_stage and stages > 1)
