"""An architecture: one network as a frozen value, validated when built, JSON both ways, with a canonical identity.

Shapes are (channels, mels, frames); strides and kernels are (frequency, time). A width is a number of output
channels. Nothing here imports torch: `network.build` turns an architecture into a module, `cost.cost` prices it.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import groupby
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from search_spaces.digest import digest
from search_spaces.errors import InputError

FORMAT_VERSION = 1
MOST_BLOCKS = 256
"""Far beyond any network for a microcontroller; keeps a damaged file from filling the memory."""


class ArchitectureError(InputError):
    """An architecture that cannot be: names the place inside the value, what stood there and what was expected."""


def _odd(side: int) -> int:
    if side % 2 == 0:
        raise ValueError("an odd number of taps, so that the branches of a kernel set share their centre")
    return side


def _kernel_set(kernels: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    if len(set(kernels)) < len(kernels):
        raise ValueError("kernels that differ from each other")
    return tuple(sorted(kernels))


Width = Annotated[int, Field(strict=True, ge=1, le=4096)]
Side = Annotated[int, Field(strict=True, ge=1, le=4096)]
Stride = tuple[Annotated[int, Field(strict=True, ge=1, le=4)], Annotated[int, Field(strict=True, ge=1, le=4)]]
Dilation = Annotated[int, Field(strict=True, ge=1, le=8)]
Taps = Annotated[int, Field(strict=True, ge=1, le=15), AfterValidator(_odd)]
KernelSet = Annotated[tuple[tuple[Taps, Taps], ...], Field(min_length=1, max_length=8), AfterValidator(_kernel_set)]
Precision = Literal["fp32", "fp16", "int8"]
Pooling = Literal["average", "learnable"]

_CONFIG = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, config=_CONFIG)
class InputShape:
    """The features of one clip: mel bands by frames."""

    mels: Side
    frames: Side


@dataclass(frozen=True, slots=True, config=_CONFIG)
class ConvStem:
    """CP-Mobile's stem: twice a 3x3 convolution of stride 2, batch norm, ReLU.

    Attributes:
        widths: Output channels of the two convolutions.
    """

    widths: tuple[Width, Width]
    kind: Literal["conv"] = "conv"


@dataclass(frozen=True, slots=True, config=_CONFIG)
class RepStem:
    """The Sharif stem: batch norm, RepConv of stride 2, ReLU, batch norm, RepConv of stride 2, ReLU.

    Attributes:
        widths: Output channels of the two RepConvs.
        kernels: The parallel kernels of each RepConv; they merge into one for deployment.
    """

    widths: tuple[Width, Width]
    kernels: KernelSet
    kind: Literal["rep"] = "rep"


@dataclass(frozen=True, slots=True, config=_CONFIG)
class CPMobileBlock:
    """CP-Mobile's inverted residual: expand 1x1, depthwise 3x3, project 1x1, each with batch norm; ReLU.

    The shortcut follows from the shapes: identity where nothing changes, 3x3 average pooling where only the map
    shrinks, none where the width changes.
    """

    width: Width
    expanded: Width
    stride: Stride = (1, 1)
    kind: Literal["cp-mobile"] = "cp-mobile"


@dataclass(frozen=True, slots=True, config=_CONFIG)
class DPCPBlock:
    """DynaCP's block: CP-Mobile's with a pooling branch beside a depthwise convolution that may be dilated; ReLU6.

    The branches are summed, the 3x3 average pooling weighted by one learnable scalar; the residual type (_1, _2
    or _3) follows from the shapes as in `CPMobileBlock`.
    """

    width: Width
    expanded: Width
    stride: Stride = (1, 1)
    dilation: Dilation = 1
    kind: Literal["dpcp"] = "dpcp"


@dataclass(frozen=True, slots=True, config=_CONFIG)
class DSFlexiBlock:
    """The Sharif student's block: batch norm, 1x1, LeakyReLU, batch norm, depthwise RepConv, LeakyReLU, plus a
    1x1 convolution of the block's input.

    Attributes:
        width: Output channels.
        kernels: Parallel kernels of the depthwise RepConv; they merge into one for deployment.
        stride: Of the RepConv and of the convolution on the shortcut.
        spare_norm: Whether the block holds one more batch norm that is never applied, as the published student
            does. It changes nothing but the parameter count.
    """

    width: Width
    kernels: KernelSet
    stride: Stride = (1, 1)
    spare_norm: Annotated[bool, Field(strict=True)] = False
    kind: Literal["dsflexi"] = "dsflexi"


Stem = Annotated[ConvStem | RepStem, Field(discriminator="kind")]
Block = Annotated[CPMobileBlock | DPCPBlock | DSFlexiBlock, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True, config=_CONFIG)
class Stage:
    """Consecutive blocks, with what stands around them.

    Attributes:
        blocks: At least one.
        skip: Whether the stage's input is added to its output; needs blocks that keep width and map size.
        norm: "residual" for residual normalisation after the stage (after the skip), as in the Sharif student.
    """

    blocks: Annotated[tuple[Block, ...], Field(min_length=1, max_length=MOST_BLOCKS)]
    skip: Annotated[bool, Field(strict=True)] = False
    norm: Literal["none", "residual"] = "none"


@dataclass(frozen=True, slots=True, config=_CONFIG)
class Head:
    """From the last map to one logit per scene.

    Attributes:
        pooling: "average" is CP-Mobile's head (1x1 convolution, batch norm, average over the map); "learnable" is
            the Sharif head (attention and average pooling side by side, batch norm, dropout, linear layer).
    """

    pooling: Pooling = "average"


@dataclass(frozen=True, slots=True, config=_CONFIG)
class Architecture:
    """One network and the precision its weights are deployed in.

    Attributes:
        input: Shape of the features; it belongs to the architecture because it decides the cost.
        classes: Number of scenes.
        precision: Of the deployed weights.
    """

    input: InputShape
    stem: Stem
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=MOST_BLOCKS)]
    head: Head = Head()
    classes: Annotated[int, Field(strict=True, ge=2, le=1000)] = 10
    precision: Precision = "fp16"

    def __post_init__(self) -> None:
        if sum(len(stage.blocks) for stage in self.stages) > MOST_BLOCKS:
            raise ValueError(f"at most {MOST_BLOCKS} blocks")
        c_in = self.stem.widths[1]
        for number, stage in enumerate(self.stages, 1):
            keeps_shape = all(block.width == c_in and block.stride == (1, 1) for block in stage.blocks)
            if stage.skip and not keeps_shape:
                raise ValueError(f"a stage {number} that keeps width {c_in} and stride 1x1, because it has a skip")
            c_in = stage.blocks[-1].width
        if self.head.pooling == "learnable" and c_in % 2:
            raise ValueError(f"an even last width for learnable pooling, not {c_in}")

    @property
    def blocks(self) -> Iterator[CPMobileBlock | DPCPBlock | DSFlexiBlock]:
        """All blocks from input to output."""
        return (block for stage in self.stages for block in stage.blocks)

    def at(self, mels: int, frames: int) -> "Architecture":
        """The same network for features of another shape."""
        return replace(self, input=InputShape(mels, frames))

    def canonical(self) -> "Architecture":
        """The same network written the one way that its identity is taken from.

        Stages without skip and norm only group blocks, so neighbours of that kind are joined. (Kernel sets are
        kept sorted by their type.)
        """
        stages: list[Stage] = []
        for plain, group in groupby(self.stages, key=lambda stage: not stage.skip and stage.norm == "none"):
            members = list(group)
            if plain:
                stages.append(Stage(tuple(block for stage in members for block in stage.blocks)))
            else:
                stages.extend(members)
        return replace(self, stages=tuple(stages))

    @property
    def identity(self) -> str:
        """16 hexadecimal digits; equal exactly for architectures that are one network at one precision."""
        return digest(self.canonical().to_json())

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` reads back to an equal architecture."""
        data: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return {"version": FORMAT_VERSION, **data}

    @staticmethod
    def from_json(data: Any) -> "Architecture":
        """The architecture that a JSON value describes.

        Raises:
            ArchitectureError: Naming the first place that is wrong, the value there and what was expected.
        """
        if not isinstance(data, dict):
            raise ArchitectureError(f"architecture: expected a JSON object, found {type(data).__name__}")
        fields = dict(data)
        version = fields.pop("version", None)
        if version != FORMAT_VERSION or isinstance(version, bool):
            raise ArchitectureError(
                f"architecture: version is {version!r}, expected {FORMAT_VERSION}; "
                "a later version needs a later release of acoustic-nas"
            )
        try:
            return _adapter().validate_python(fields)
        except ValidationError as error:
            raise ArchitectureError(_first_fault(error)) from None


@cache
def _adapter() -> TypeAdapter[Architecture]:
    return TypeAdapter(Architecture)


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    path = "architecture" + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    value = "" if fault["type"] == "missing" else f"={fault['input']!r:.60}"
    expected = f"expected {message}" if fault["type"] == "value_error" else message[0].lower() + message[1:]
    return f"{path}{value}: {expected}"
