"""What a space of stages offers, and the labels under which it offers it."""

from collections.abc import Mapping
from dataclasses import dataclass

from search_spaces.families import Family
from search_spaces.parts import Pooling, Precision, StageNorm, Stride
from search_spaces.space import Value

STRIDES: dict[Value, Stride] = {"1x1": (1, 1), "1x2": (1, 2), "2x1": (2, 1), "2x2": (2, 2)}


@dataclass(frozen=True)
class Vocabulary:
    """A space of stages. What is offered in one way only is no choice.

    An architecture has `stages` stages. A stage is a run of `depth` layers of one `kind`, `width` and `norm`.

    Attributes:
        name: Of the space.
        version: Raised when a stored label would mean something else.
        stages: Greatest number of stages.
        depth: Greatest number of layers in a stage.
        families: Values of `kind`.
        widths: Output channels of a stage.
        options: Values of "stride" and of every option of the families.
        per_layer: Options that every layer of a stage has for itself. Otherwise the stage has one value for all of its
            layers; its stride is that of its first layer.
        norms: After a stage.
        stems: Values of `stem.kind`.
        stem_widths: Output channels of the stem.
        stem_kernels: Kernel sets of a RepConv stem.
        poolings: Of the head.
        precisions: Of the deployed weights.
    """

    name: str
    version: int
    stages: int
    depth: int
    families: tuple[Family, ...]
    widths: tuple[int, ...]
    options: Mapping[str, tuple[Value, ...]]
    per_layer: frozenset[str]
    norms: tuple[StageNorm, ...]
    stems: tuple[str, ...]
    stem_widths: tuple[int, ...]
    stem_kernels: tuple[Value, ...]
    poolings: tuple[Pooling, ...]
    precisions: tuple[Precision, ...]

    def label(self, option: str, stage: int, layer: int) -> str:
        """Where the value of an option stands for one layer; both numbers count from 1."""
        return f"stage{stage}.layer{layer}.{option}" if option in self.per_layer else f"stage{stage}.{option}"

    def offers(self, mels: tuple[int, ...], frames: tuple[int, ...]) -> dict[str, tuple[Value, ...]]:
        """Every label with its values, those without a choice among them."""
        offered: dict[str, tuple[Value, ...]] = {
            "input.mels": mels,
            "input.frames": frames,
            "stem.kind": self.stems,
            "stem.width": self.stem_widths,
            "stem.kernels": self.stem_kernels,
            "stages": tuple(range(1, self.stages + 1)),
        }
        for stage in range(1, self.stages + 1):
            offered |= {
                f"stage{stage}.kind": tuple(family.label for family in self.families),
                f"stage{stage}.depth": tuple(range(1, self.depth + 1)),
                f"stage{stage}.width": self.widths,
                f"stage{stage}.norm": self.norms,
            }
            for option, values in self.options.items():
                for layer in range(1, self.depth + 1):
                    offered[self.label(option, stage, layer)] = values
        return offered | {"head.pooling": self.poolings, "precision": self.precisions}
