"""The search space of a vocabulary: from choices to an architecture and back."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.families import Family, kernel_label, kernel_set
from search_spaces.parts import Block, ConvStem, Head, RepConv, RepStem, StageNorm, Stem
from search_spaces.space import Choice, Choices, Digits, NotInSpaceError, Space, Value
from search_spaces.vocabulary import STRIDES, Vocabulary


class StagedSpace(Space):
    """The space of a vocabulary.

    Labels: `input.mels`, `input.frames`, `stem.kind`, `stem.width`, `stem.kernels`, `stages`; of each stage
    `stage1.kind`, `.depth`, `.width`, `.norm` and its options (`.stride`, `.expansion`, `.kernels`, ...), those that
    every layer has for itself as `stage1.layer1.stride`; `head.pooling`, `precision`.
    """

    def __init__(self, vocabulary: Vocabulary, mels: Sequence[int], frames: Sequence[int], classes: int = 10) -> None:
        super().__init__(mels, frames, classes)
        self.vocabulary = vocabulary
        self.name, self.version = vocabulary.name, vocabulary.version
        self.offers = vocabulary.offers(self.mels, self.frames)
        self.choices = tuple(Choice(label, values) for label, values in self.offers.items() if len(values) > 1)
        self.families = {family.label: family for family in vocabulary.families}
        self._layer = lru_cache(maxsize=1 << 14)(self._read)

    def decode(self, values: Mapping[str, Value]) -> Architecture:
        def of(label: str) -> Any:
            return values[label] if len(self.offers[label]) > 1 else self.offers[label][0]

        words = self.vocabulary
        stem = stem_of(of("stem.kind"), of("stem.width"), of("stem.kernels"))
        c_in = stem.width
        stages = []
        for number in range(1, of("stages") + 1):
            family, width = self.families[of(f"stage{number}.kind")], of(f"stage{number}.width")
            layers = []
            for layer in range(1, of(f"stage{number}.depth") + 1):
                options = {option: of(words.label(option, number, layer)) for option in words.options}
                if layer > 1 and "stride" not in words.per_layer:
                    options["stride"] = "1x1"
                layers.append(options)
            stages.append(_stage(family, width, of(f"stage{number}.norm"), layers, c_in))
            c_in = width
        return Architecture(
            input=InputShape(of("input.mels"), of("input.frames")),
            stem=stem,
            stages=tuple(stages),
            head=Head(of("head.pooling")),
            classes=self.classes,
            precision=of("precision"),
        )

    def encode(self, architecture: Architecture) -> Choices:
        canonical = architecture.canonical()
        values = self._written(canonical)
        decoded = self.decode(values).canonical()
        if decoded != canonical:
            raise NotInSpaceError(
                f"the space {self.name!r} has such stems, blocks and heads, but not {_difference(decoded, canonical)}"
            )
        return values

    def writes(self, values: Mapping[str, Value]) -> bool:
        """Whether of all choices for this architecture `encode` gives these."""
        return self._written(self.decode(values).canonical()) == values

    def _written(self, canonical: Architecture) -> Choices:
        """The choices for a canonical architecture, if it is one of the space at all."""
        words = self.vocabulary
        if canonical.classes != self.classes:
            raise NotInSpaceError(f"the space is for {self.classes} scenes; the architecture has {canonical.classes}")
        runs: list[_Run] = []
        c_in = canonical.stem.width
        for number, stage in enumerate(canonical.stages, 1):
            try:
                *others, last = self._runs(stage, c_in)
            except NotInSpaceError as error:
                raise NotInSpaceError(f"stage {number}: {error}") from None
            runs += [*others, replace(last, norm=stage.norm)]
            c_in = stage.blocks[-1].width
        wanted: dict[str, Value] = {
            "input.mels": canonical.input.mels,
            "input.frames": canonical.input.frames,
            "stem.kind": canonical.stem.kind,
            "stem.width": canonical.stem.width,
            "stages": len(runs),
            "head.pooling": canonical.head.pooling,
            "precision": canonical.precision,
        }
        if isinstance(canonical.stem, RepStem):
            wanted["stem.kernels"] = kernel_label(canonical.stem.conv.kernels)
        for number, run in enumerate(runs, 1):
            wanted |= run.choices(words, number)
        for label, value in wanted.items():
            if value not in self.offers.get(label, ()):
                offered = ", ".join(map(str, self.offers.get(label, ()))) or "no such choice"
                raise NotInSpaceError(f"the space {self.name!r} has no {label} {value}; it has {offered}")
        return {choice.label: wanted.get(choice.label, choice.values[0]) for choice in self.choices}

    def _runs(self, stage: Stage, c_in: int) -> tuple["_Run", ...]:
        """The fewest runs that make a stage, the first ones as long as they can be; where there is a way, none of them
        gets a skip that the stage does not have."""
        layers = []
        for block in stage.blocks:
            layers.append(self._layer(block, c_in))
            c_in = block.width
        behind: dict[int, tuple[_Run, ...]] = {len(layers): ()}
        for start in reversed(range(len(layers))):
            ways: list[tuple[_Run, ...]] = []
            run: _Run | None = _Run((layers[start],), layers[start].readings)
            while run is not None:
                end = start + len(run.layers)
                ways.insert(0, (run, *behind[end]))
                run = run.longer(layers[end], self.vocabulary) if end < len(layers) else None
            behind[start] = min(ways, key=lambda runs: (sum(run.skip != stage.skip for run in runs), len(runs)))
        return behind[0]

    def _read(self, block: Block, c_in: int) -> "_Layer":
        offered = self.vocabulary.options
        for family in self.vocabulary.families:
            readings = family.readings(block, c_in, offered)
            if readings is None:
                continue
            for option, values in readings.items():
                if not values:
                    raise NotInSpaceError(
                        f"the space {self.name!r} has no {option} that makes its {block.kind!r} block of "
                        f"width {block.width}; it has {', '.join(map(str, offered[option]))}"
                    )
            stride = next((label for label, stride in STRIDES.items() if stride == block.stride), str(block.stride))
            keeps_shape = block.width == c_in and block.stride == (1, 1)
            return _Layer(family, block.width, stride, keeps_shape, readings)
        kinds = ", ".join(self.families)
        raise NotInSpaceError(f"the space {self.name!r} has no {block.kind!r} block like this; it has {kinds}")

    @cached_property
    def size(self) -> int:
        weights = self.stage_weights
        each: int = weights.sum()
        stages = sum(each**number for number in range(1, self.vocabulary.stages + 1))
        stems = sum(len(self.vocabulary.stem_kernels) if kind == "rep" else 1 for kind in self.vocabulary.stems)
        rest = ("input.mels", "input.frames", "stem.width", "head.pooling", "precision")
        return int(stages * stems * math.prod(len(self.offers[label]) for label in rest))

    @cached_property
    def stage_weights(self) -> npt.NDArray[np.object_]:
        """(kinds, depths) in how many ways a stage of that kind and depth can be chosen, as exact integers."""
        words = self.vocabulary
        weights = np.empty((len(words.families), words.depth), dtype=object)
        for k, family in enumerate(words.families):
            counts = {option: len(words.options[option]) for option in (*family.options, "stride")}
            once = math.prod(count for option, count in counts.items() if option not in words.per_layer)
            each = math.prod(count for option, count in counts.items() if option in words.per_layer)
            for depth in range(1, words.depth + 1):
                weights[k, depth - 1] = len(words.widths) * len(words.norms) * once * each**depth
        return weights

    def uniform_digits(self, rng: np.random.Generator, sets: int) -> Digits:
        """Sets of choices drawn so that all that differ in a choice with effect are equally likely."""
        words = self.vocabulary
        digits, rows = self.sample_digits(rng, sets), self._rows
        ways = self.stage_weights.ravel()
        each = int(ways.sum())
        if "stages" in rows:
            counts = [each**number for number in range(1, words.stages + 1)]
            digits[rows["stages"]] = _drawn(rng, counts, sets)
        if {"stem.kind", "stem.kernels"} <= rows.keys():
            kinds = [len(words.stem_kernels) if kind == "rep" else 1 for kind in words.stems]
            digits[rows["stem.kind"]] = _drawn(rng, kinds, sets)
        for stage in range(1, words.stages + 1):
            shapes = _drawn(rng, ways.tolist(), sets)
            for what, drawn in (("kind", shapes // words.depth), ("depth", shapes % words.depth)):
                if (row := rows.get(f"stage{stage}.{what}")) is not None:
                    digits[row] = drawn
        digits[~self.effective(digits)] = 0
        return digits

    def effective(self, digits: Digits) -> npt.NDArray[np.bool_]:
        words = self.vocabulary
        nothing = np.zeros(digits.shape[1], dtype=np.int16)
        column = {choice.label: digits[row] for row, choice in enumerate(self.choices)}
        mask = np.ones(digits.shape, dtype=np.bool_)
        if (row := self._rows.get("stem.kernels")) is not None:
            rep = np.array([kind == "rep" for kind in words.stems])
            mask[row] = rep[column.get("stem.kind", nothing)]
        for stage, (rows, used) in enumerate(self._used_in_stages, 1):
            present = column.get("stages", nothing) + 1 >= stage
            kind, depth = column.get(f"stage{stage}.kind", nothing), column.get(f"stage{stage}.depth", nothing)
            mask[rows] = used[:, kind, depth] & present
        return mask

    @cached_property
    def _rows(self) -> dict[str, int]:
        """The row of each choice in digits."""
        return {choice.label: row for row, choice in enumerate(self.choices)}

    @cached_property
    def _used_in_stages(self) -> list[tuple[list[int], npt.NDArray[np.bool_]]]:
        """For each stage the rows of its choices, and (rows, kinds, depths) whether a stage of that kind and depth uses
        them."""
        words = self.vocabulary
        depths = np.arange(1, words.depth + 1)
        stages = []
        for stage in range(1, words.stages + 1):
            everywhere = np.ones((len(words.families), words.depth), dtype=np.bool_)
            used = {f"stage{stage}.{what}": everywhere for what in ("kind", "depth", "width", "norm")}
            for option in words.options:
                kinds = np.array([option == "stride" or option in family.options for family in words.families])
                for layer in range(1, words.depth + 1 if option in words.per_layer else 2):
                    used[words.label(option, stage, layer)] = kinds[:, None] & (depths >= layer)
            labels = [label for label in used if label in self._rows]
            stages.append(([self._rows[label] for label in labels], np.array([used[label] for label in labels])))
        return stages


@dataclass(frozen=True)
class _Layer:
    family: Family
    width: int
    stride: Value
    keeps_shape: bool
    readings: dict[str, tuple[Value, ...]]


@dataclass(frozen=True)
class _Run:
    """Layers that one stage of the space can hold, and the values of its options that fit all of them."""

    layers: tuple[_Layer, ...]
    common: dict[str, tuple[Value, ...]]
    norm: StageNorm = "none"

    @property
    def skip(self) -> bool:
        """Whether the space puts a skip around it."""
        return self.layers[0].family.skips and all(layer.keeps_shape for layer in self.layers)

    def longer(self, layer: _Layer, words: Vocabulary) -> "_Run | None":
        """With one more layer, if a stage can hold that."""
        first = self.layers[0]
        if len(self.layers) == words.depth or (layer.family, layer.width) != (first.family, first.width):
            return None
        if "stride" not in words.per_layer and layer.stride != "1x1":
            return None
        common = {
            option: values
            if option in words.per_layer
            else tuple(value for value in values if value in layer.readings[option])
            for option, values in self.common.items()
        }
        return _Run((*self.layers, layer), common) if all(common.values()) else None

    def choices(self, words: Vocabulary, stage: int) -> Choices:
        values: Choices = {
            f"stage{stage}.kind": self.layers[0].family.label,
            f"stage{stage}.depth": len(self.layers),
            f"stage{stage}.width": self.layers[0].width,
            f"stage{stage}.norm": self.norm,
        }
        for number, layer in enumerate(self.layers, 1):
            for option, readings in layer.readings.items():
                fitting = readings if option in words.per_layer else self.common[option]
                values[words.label(option, stage, number)] = fitting[0]
            if number == 1 or "stride" in words.per_layer:
                values[words.label("stride", stage, number)] = layer.stride
        return values


def _drawn(rng: np.random.Generator, weights: list[int], size: int) -> npt.NDArray[np.int16]:
    """Indices drawn in proportion to integers of any size."""
    total = sum(weights)
    return rng.choice(len(weights), size=size, p=[weight / total for weight in weights]).astype(np.int16)


def stem_of(kind: str, width: int, kernels: Value) -> Stem:
    """The stem of those choices."""
    if kind == "rep":
        return RepStem((width // 2, width), RepConv(kernel_set(kernels)))
    return ConvStem((width // 4, width))


def _stage(family: Family, width: int, norm: StageNorm, layers: list[dict[str, Value]], c_in: int) -> Stage:
    blocks, before = [], c_in
    for options in layers:
        blocks.append(family.block(before, width, STRIDES[options["stride"]], options))
        before = width
    keeps_shape = c_in == width and all(block.stride == (1, 1) for block in blocks)
    return Stage(tuple(blocks), skip=family.skips and keeps_shape, norm=norm)


def _difference(mine: Architecture, wanted: Architecture) -> str:
    """The first part in which two canonical architectures differ, in words."""
    for name in ("input", "stem", "head", "precision"):
        if getattr(mine, name) != getattr(wanted, name):
            return f"{name} {getattr(wanted, name)}"
    for number, (a, b) in enumerate(zip(mine.stages, wanted.stages, strict=False), 1):
        if a != b:
            return f"stage {number} {replace(b, blocks=b.blocks[:1])}"
    return f"{len(wanted.stages)} stages"
