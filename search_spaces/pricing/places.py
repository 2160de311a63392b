"""Where the digit of each choice stands among the digits of a set of choices."""

from dataclasses import dataclass

from search_spaces.staged import StagedSpace


@dataclass(frozen=True, slots=True)
class LayerPlaces:
    """Of one layer; a layer that never has a stride has no place for it."""

    stride: int | None
    options: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class StagePlaces:
    """Of one stage. Options are those that its layers share; a norm that nobody can choose has no place."""

    kind: int
    depth: int
    width: int
    norm: int | None
    options: tuple[tuple[str, int], ...]
    layers: tuple[LayerPlaces, ...]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the digit of each choice stands; what is no choice stands at the end (-1), where there is always a 0.

    Attributes:
        separate: Whether the layers of a stage may differ. If not, all behind the first are equal and looked up once.
    """

    mels: int
    frames: int
    stem_kind: int
    stem_width: int
    stem_kernels: int
    stem_radix: tuple[int, int]
    count: int
    stages: tuple[StagePlaces, ...]
    separate: bool
    pooling: int
    precision: int

    @staticmethod
    def of(space: StagedSpace) -> "Places":
        """The places in a space."""
        words = space.vocabulary
        numbers = {choice.label: number for number, choice in enumerate(space.choices)}

        def place(label: str) -> int:
            return numbers.get(label, -1)

        def options(stage: int, layer: int, own: bool) -> tuple[tuple[str, int], ...]:
            return tuple(
                (option, place(words.label(option, stage, layer)))
                for option in words.options
                if option != "stride" and (option in words.per_layer) == own
            )

        separate = bool(words.per_layer)

        def layer(stage: int, number: int) -> LayerPlaces:
            strides = number == 1 or "stride" in words.per_layer
            stride = place(words.label("stride", stage, number)) if strides else None
            return LayerPlaces(stride, options(stage, number, True))

        return Places(
            mels=place("input.mels"),
            frames=place("input.frames"),
            stem_kind=place("stem.kind"),
            stem_width=place("stem.width"),
            stem_kernels=place("stem.kernels"),
            stem_radix=(len(words.stem_widths), len(words.stem_kernels)),
            count=place("stages"),
            stages=tuple(
                StagePlaces(
                    kind=place(f"stage{stage}.kind"),
                    depth=place(f"stage{stage}.depth"),
                    width=place(f"stage{stage}.width"),
                    norm=None if words.norms == ("none",) else place(f"stage{stage}.norm"),
                    options=options(stage, 1, False),
                    layers=tuple(layer(stage, number) for number in range(1, (words.depth if separate else 2) + 1)),
                )
                for stage in range(1, words.stages + 1)
            ),
            separate=separate,
            pooling=place("head.pooling"),
            precision=place("precision"),
        )
