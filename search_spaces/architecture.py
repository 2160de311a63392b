"""An architecture: one network as a frozen value, validated when built, JSON both ways, with a canonical identity.

Nothing here imports torch: `network.build` turns an architecture into a module, `cost.cost` prices it. Its parts are in
`parts.py`.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from search_spaces.digest import digest
from search_spaces.errors import InputError
from search_spaces.parts import (
    CONFIG,
    Block,
    Flag,
    Head,
    Precision,
    ResidualBlock,
    ResNetStem,
    StageNorm,
    Stem,
)

FORMAT_VERSION = 2
MOST_BLOCKS = 256
"""Far beyond any network for a microcontroller; keeps a damaged file from filling the memory."""

Side = Annotated[int, Field(strict=True, ge=1, le=4096)]


class ArchitectureError(InputError):
    """An architecture that cannot be: names the place inside the value, what stood there and what was expected."""


@dataclass(frozen=True, slots=True, config=CONFIG)
class InputShape:
    """The features of one clip: mel bands by frames."""

    mels: Side
    frames: Side


@dataclass(frozen=True, slots=True, config=CONFIG)
class Stage:
    """Consecutive blocks, with what stands around them.

    Attributes:
        blocks: At least one.
        skip: Whether the stage's input is added to its output; needs blocks that keep width and map size.
        norm: After the stage (after the skip): "residual" is lambda * x + instance norm as in the Sharif student,
            "residual-scalar" the same with one lambda for all channels, "frequency" the residual normalisation of the
            literature (Kim et al., 2021), whose statistics are taken for each frequency.
        concat: Whether the stem's output follows as further channels; needs blocks that keep the map size.
    """

    blocks: Annotated[tuple[Block, ...], Field(min_length=1, max_length=MOST_BLOCKS)]
    skip: Flag = False
    norm: StageNorm = "none"
    concat: Flag = False

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing around the blocks."""
        return not self.skip and self.norm == "none" and not self.concat


@dataclass(frozen=True, slots=True, config=CONFIG)
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
        """Refuses what no field can refuse by itself; each message begins with its place in the architecture."""
        count = sum(len(stage.blocks) for stage in self.stages)
        if count > MOST_BLOCKS:
            raise ValueError(f"stages: expected at most {MOST_BLOCKS} blocks in all, not {count}")
        c_in, map_kept = self.stem.width, True
        for s, stage in enumerate(self.stages):
            if stage.skip and any(block.width != c_in or block.stride != (1, 1) for block in stage.blocks):
                raise ValueError(f"stages[{s}].skip=True: expected blocks that keep width {c_in} and stride 1x1")
            map_kept = map_kept and all(block.stride == (1, 1) for block in stage.blocks)
            if stage.concat and not map_kept:
                raise ValueError(f"stages[{s}].concat=True: expected stride 1x1 in all blocks since the stem")
            for b, block in enumerate(stage.blocks):
                groups = getattr(block, "groups", 1)
                if c_in % groups or block.width % groups:
                    raise ValueError(
                        f"stages[{s}].blocks[{b}].groups={groups}: expected a divisor of the widths {c_in} and "
                        f"{block.width} around the block"
                    )
                c_in = block.width
            if self.head.every_stage and c_in % 2:
                raise ValueError(f"stages[{s}].blocks[{b}].width={c_in}: expected an even width for learnable pooling")
            c_in += self.stem.width if stage.concat else 0
        if self.head.pooling == "learnable" and c_in % 2:
            raise ValueError(f"head.pooling='learnable': expected an even number of channels before it, not {c_in}")
        self._check_map()

    def _check_map(self) -> None:
        """Refuses a map that CP-ResNet's uncentred parts would round down to nothing; all others round up."""
        for axis, (name, side) in enumerate((("mels", self.input.mels), ("frames", self.input.frames))):
            left = (side - 1) // 2 if isinstance(self.stem, ResNetStem) else -(-side // 4)
            for block in self.blocks:
                stride = block.stride[axis]
                left = left // stride if isinstance(block, ResidualBlock) else -(-left // stride)
            if left == 0:
                raise ValueError(f"input.{name}={side}: expected positions enough for this stem and these pools")

    @property
    def blocks(self) -> Iterator[Block]:
        """All blocks from input to output."""
        return (block for stage in self.stages for block in stage.blocks)

    def at(self, mels: int, frames: int) -> "Architecture":
        """The same network for features of another shape."""
        return replace(self, input=InputShape(mels, frames))

    def canonical(self) -> "Architecture":
        """The same network written the one way that its identity is taken from.

        Options without effect have their default, and a stage with nothing around it is joined to the next one, because
        it only groups blocks. (Kernel sets are kept sorted by their type.)
        """
        c_in = self.stem.width
        effective: list[Stage] = []
        for stage in self.stages:
            blocks = []
            for block in stage.blocks:
                blocks.append(block.canonical(c_in))
                c_in = block.width
            c_in += self.stem.width if stage.concat else 0
            effective.append(replace(stage, blocks=tuple(blocks)))
        head = self.head.canonical(len(self.stages))
        if self.head.every_stage:  # which reads what stands before the last stage's concatenation
            effective[-1] = replace(effective[-1], concat=False)
        stages = tuple(effective if head.every_stage else _joined(effective))
        return replace(self, stem=self.stem.canonical(), stages=stages, head=head)

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
        if version != FORMAT_VERSION or type(version) is not int:
            raise ArchitectureError(
                f"architecture.version={_shown(version)}: expected {FORMAT_VERSION}, the format of this release of "
                "acoustic-nas; other formats belong to other releases"
            )
        try:
            return _adapter().validate_python(fields)
        except ValidationError as error:
            raise ArchitectureError(_first_fault(error)) from None


def _joined(stages: list[Stage]) -> list[Stage]:
    """The fewest stages: one ends only where something follows it, or before a skip."""
    result: list[Stage] = []
    waiting: tuple[Block, ...] = ()
    for stage in stages:
        if stage.skip and waiting:
            result.append(Stage(waiting))
            waiting = ()
        if stage.is_plain:
            waiting += stage.blocks
        else:
            result.append(replace(stage, blocks=waiting + stage.blocks))
            waiting = ()
    return [*result, Stage(waiting)] if waiting else result


@cache
def _adapter() -> TypeAdapter[Architecture]:
    return TypeAdapter(Architecture)


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    kind, place, value, expected = fault["type"], _without_kinds(fault["loc"]), fault["input"], fault["msg"]
    if kind == "value_error":
        expected = expected.removeprefix("Value error, ")
        if not place:  # the architecture as a whole, which tells the place itself
            return f"architecture.{expected}"
        expected = f"expected {expected}"
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        place.append("kind")
        expected = f"expected one of {fault['ctx']['expected_tags']}" if "invalid" in kind else "field required"
        value = value.get("kind") if isinstance(value, dict) else value
    elif kind == "unexpected_keyword_argument":
        expected = "no such field"
    told = "" if kind in ("missing", "union_tag_not_found") else f"={_shown(value)}"
    expected = (expected[0].lower() + expected[1:]).replace("tuple", "list")  # as it is called in the file
    return f"architecture{''.join(map(_step, place))}{told}: {expected}"


def _step(part: int | str) -> str:
    """One step of a path inside the file."""
    return f".{part}" if isinstance(part, str) and part.isidentifier() and len(part) <= 40 else f"[{_shown(part)}]"


def _shown(value: Any) -> str:
    """Any value on one line of at most 60 characters."""
    try:
        text = repr(value)
    except RecursionError:
        text = "(nested too deeply to show)"
    except ValueError:  # of an integer with more digits than Python converts
        text = "(too long to show)"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _without_kinds(place: tuple[int | str, ...]) -> list[int | str]:
    """A place inside the file: pydantic puts the kind of a stem or block between it and its fields."""
    told: list[int | str] = []
    for part, before in zip(place, (None, *place), strict=False):
        names_kind = isinstance(part, str) and (before == "stem" or (isinstance(before, int) and told[-2] == "blocks"))
        if not names_kind:
            told.append(part)
    return told
