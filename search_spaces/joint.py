"""The joint space: the blocks of CP-Mobile, DynaCP and the Sharif student, mixed stage by stage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from search_spaces.architecture import (
    Architecture,
    Block,
    ConvStem,
    CPMobileBlock,
    DPCPBlock,
    DSFlexiBlock,
    Head,
    InputShape,
    KernelSet,
    RepStem,
    Stage,
    Stem,
    Stride,
)
from search_spaces.space import Choice, Choices, NotInSpaceError, Space, Value
from search_spaces.widths import make_divisible

STAGES = 6
MAX_DEPTH = 3

KERNEL_SETS: dict[str, KernelSet] = {
    "3x3": ((3, 3),),
    "1x1+3x3": ((1, 1), (3, 3)),
    "1x3+3x1+3x3": ((1, 3), (3, 1), (3, 3)),
    "1x1+1x3+3x1+3x3": ((1, 1), (1, 3), (3, 1), (3, 3)),
    "1x5+3x3+5x1": ((1, 5), (3, 3), (5, 1)),
}
STRIDES: dict[str, Stride] = {"1x1": (1, 1), "1x2": (1, 2), "2x1": (2, 1), "2x2": (2, 2)}
WIDTHS = tuple(range(16, 129, 8))
EXPANSIONS = (1.0, 1.5, 2.1, 3.0, 4.0)
FLEXI_KINDS = ("dsflexi", "dsflexi-2025")
KINDS = ("cp-mobile", "dpcp", "dpcp-dilated", *FLEXI_KINDS)
STEM_WIDTHS = (16, 24, 32)
STEM_KERNELS = KERNEL_SETS["1x1+1x3+3x1+3x3"]
PRECISIONS = ("fp16", "int8")
POOLINGS = ("average", "learnable")


class JointSpace(Space):
    """Up to six stages of up to three equal blocks each, for features of one shape.

    Choices of stage k (`stage1.` to `stage6.`): `kind` of block, `depth` (0 leaves the stage out; the first is
    always there), `width`, `stride` of the first block, `expansion` (inverted residuals only), `kernels` (DSFlexi
    only). "dpcp-dilated" is a DPCPBlock with dilation 2. A stage of DSFlexi blocks has a skip around it where its
    shape allows, and residual normalisation after it, as in the Sharif student; "dsflexi-2025" is that student's block
    with the batch norm it stores but never applies. Besides: `stem.kind`, `stem.width`, `head.pooling`, `precision`.
    """

    name = "joint"
    version = 1

    def __init__(self, shape: InputShape, classes: int = 10) -> None:
        super().__init__(shape, classes)
        per_stage = [
            choice
            for stage in range(1, STAGES + 1)
            for choice in (
                Choice(f"stage{stage}.kind", KINDS),
                Choice(f"stage{stage}.depth", tuple(range(1 if stage == 1 else 0, MAX_DEPTH + 1))),
                Choice(f"stage{stage}.width", WIDTHS),
                Choice(f"stage{stage}.stride", tuple(STRIDES)),
                Choice(f"stage{stage}.expansion", EXPANSIONS),
                Choice(f"stage{stage}.kernels", tuple(KERNEL_SETS)),
            )
        ]
        self.choices = (
            Choice("stem.kind", ("conv", "rep")),
            Choice("stem.width", STEM_WIDTHS),
            *per_stage,
            Choice("head.pooling", POOLINGS),
            Choice("precision", PRECISIONS),
        )

    def decode(self, values: Mapping[str, Value]) -> Architecture:
        stem = _decode_stem(str(values["stem.kind"]), int(values["stem.width"]))
        c_in = stem.widths[1]
        stages = []
        for number in range(1, STAGES + 1):
            group = _Group(
                kind=str(values[f"stage{number}.kind"]),
                depth=int(values[f"stage{number}.depth"]),
                width=int(values[f"stage{number}.width"]),
                stride=STRIDES[str(values[f"stage{number}.stride"])],
                expansion=float(values[f"stage{number}.expansion"]),
                kernels=KERNEL_SETS[str(values[f"stage{number}.kernels"])],
            )
            if group.depth:
                stages.append(group.stage(c_in))
                c_in = group.width
        return Architecture(
            input=self.input,
            stem=stem,
            stages=tuple(stages),
            head=Head("learnable" if values["head.pooling"] == "learnable" else "average"),
            classes=self.classes,
            precision="int8" if values["precision"] == "int8" else "fp16",
        )

    def encode(self, architecture: Architecture) -> Choices:
        if (architecture.input, architecture.classes) != (self.input, self.classes):
            raise NotInSpaceError(
                f"the space is for {self.input.mels}x{self.input.frames} features and {self.classes} scenes; "
                f"the architecture has {architecture.input.mels}x{architecture.input.frames} "
                f"and {architecture.classes}"
            )
        if architecture.precision not in PRECISIONS:
            raise NotInSpaceError(f"the space has no precision {architecture.precision!r}, only {PRECISIONS}")
        values: Choices = {choice.label: choice.values[0] for choice in self.choices}
        values |= _encode_stem(architecture.stem)
        values |= {"head.pooling": architecture.head.pooling, "precision": architecture.precision}
        groups = _groups(architecture)
        if len(groups) > STAGES:
            raise NotInSpaceError(
                f"the space has {STAGES} stages of equal blocks, the architecture needs {len(groups)}"
            )
        for number, group in enumerate(groups, 1):
            values |= {f"stage{number}.{label}": value for label, value in group.choices().items()}
        return values


@dataclass(frozen=True, slots=True)
class _Group:
    """A stage of the space: equal blocks, only the first of which may have a stride."""

    kind: str
    depth: int
    width: int
    stride: Stride
    expansion: float = EXPANSIONS[0]
    kernels: KernelSet = KERNEL_SETS["3x3"]

    def stage(self, c_in: int) -> Stage:
        blocks = []
        width = c_in
        for number in range(self.depth):
            blocks.append(self._block(width, self.stride if number == 0 else (1, 1)))
            width = self.width
        if self.kind in FLEXI_KINDS:
            return Stage(tuple(blocks), skip=c_in == self.width and self.stride == (1, 1), norm="residual")
        return Stage(tuple(blocks))

    def _block(self, c_in: int, stride: Stride) -> Block:
        if self.kind in FLEXI_KINDS:
            return DSFlexiBlock(self.width, self.kernels, stride, spare_norm=self.kind == "dsflexi-2025")
        expanded = make_divisible(c_in * self.expansion)
        if self.kind == "cp-mobile":
            return CPMobileBlock(self.width, expanded, stride)
        return DPCPBlock(self.width, expanded, stride, dilation=2 if self.kind == "dpcp-dilated" else 1)

    def choices(self) -> Choices:
        return {
            "kind": self.kind,
            "depth": self.depth,
            "width": self.width,
            "stride": _label(STRIDES, self.stride, "stride"),
            "expansion": self.expansion,
            "kernels": _label(KERNEL_SETS, self.kernels, "kernel set"),
        }


def _decode_stem(kind: str, width: int) -> Stem:
    if kind == "rep":
        return RepStem((width // 2, width), STEM_KERNELS)
    return ConvStem((width // 4, width))


def _encode_stem(stem: Stem) -> Choices:
    width = stem.widths[1]
    if width not in STEM_WIDTHS or stem != _decode_stem(stem.kind, width):
        raise NotInSpaceError(f"the space has no stem like {stem}")
    return {"stem.kind": stem.kind, "stem.width": width}


def _groups(architecture: Architecture) -> list[_Group]:
    """The fewest groups of equal blocks that make the architecture's stages."""
    groups: list[_Group] = []
    c_in = architecture.stem.widths[1]
    for number, stage in enumerate(architecture.canonical().stages, 1):
        flexi = all(isinstance(block, DSFlexiBlock) for block in stage.blocks)
        found = _plain_groups(stage.blocks, c_in)
        if flexi and (len(found) != 1 or found[0].stage(c_in) != stage):
            raise NotInSpaceError(f"stage {number}: the space has DSFlexi blocks only as stages of the Sharif student")
        if not flexi and (stage.skip or stage.norm != "none"):
            raise NotInSpaceError(f"stage {number}: the space has a skip or norm around DSFlexi blocks only")
        groups += found
        c_in = stage.blocks[-1].width
    return groups


def _plain_groups(blocks: tuple[Block, ...], c_in: int) -> list[_Group]:
    """Runs of equal blocks: a stride, a change or a full group begins the next one."""
    groups: list[_Group] = []
    fitting: set[float] = set()
    for block in blocks:
        if block.width not in WIDTHS:
            raise NotInSpaceError(f"the space has no width {block.width}; it has {WIDTHS}")
        candidate = _group_of(block)
        rates = _expansions(block, c_in)
        last = groups[-1] if groups else None
        if (
            last is not None
            and block.stride == (1, 1)
            and last.depth < MAX_DEPTH
            and (last.kind, last.width, last.kernels) == (candidate.kind, candidate.width, candidate.kernels)
            and fitting & rates
        ):
            fitting &= rates
            groups[-1] = _Group(last.kind, last.depth + 1, last.width, last.stride, min(fitting), last.kernels)
        else:
            fitting = rates
            groups.append(_Group(candidate.kind, 1, block.width, block.stride, min(rates), candidate.kernels))
        c_in = block.width
    return groups


def _group_of(block: Block) -> _Group:
    if isinstance(block, DSFlexiBlock):
        kind = "dsflexi-2025" if block.spare_norm else "dsflexi"
        return _Group(kind, 1, block.width, block.stride, kernels=block.kernels)
    if isinstance(block, CPMobileBlock):
        return _Group("cp-mobile", 1, block.width, block.stride)
    if block.dilation not in (1, 2):
        raise NotInSpaceError(f"the space has dilations 1 and 2, not {block.dilation}")
    return _Group("dpcp" if block.dilation == 1 else "dpcp-dilated", 1, block.width, block.stride)


def _expansions(block: Block, c_in: int) -> set[float]:
    """The expansion rates that give this block's expanded width; any rate fits a block that has none."""
    if isinstance(block, DSFlexiBlock):
        return {EXPANSIONS[0]}
    rates = {rate for rate in EXPANSIONS if make_divisible(c_in * rate) == block.expanded}
    if not rates:
        raise NotInSpaceError(f"no expansion of {EXPANSIONS} makes {block.expanded} channels of {c_in}")
    return rates


def _label(table: Mapping[str, object], wanted: object, what: str) -> str:
    for label, value in table.items():
        if value == wanted:
            return label
    raise NotInSpaceError(f"the space has no {what} {wanted}; it has {', '.join(table)}")


SPACES: dict[str, Callable[[InputShape, int], Space]] = {JointSpace.name: JointSpace}
