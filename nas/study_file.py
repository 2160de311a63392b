"""The study file: what a study is, as a person writes it; YAML in, a frozen and checked value out."""

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from search_spaces.architecture import InputShape
from search_spaces.budget import Budget
from search_spaces.designs import design_names
from search_spaces.errors import InputError
from search_spaces.spaces import SPACE_NAMES
from trainers.augmentation.named_sets import NAMED_SETS, NamedSet
from trainers.augmentation.settings import Views
from trainers.front_end import FrontEnd
from trainers.recipe import Recipe

PRESETS = Path(__file__).resolve().parents[1] / "studies" / "presets"

SamplerName = Literal["tpe", "random", "feasible"]


class StudyFileError(InputError):
    """A study file that cannot be used: names the file, the line, the field, what stands there and the remedy."""


def _one_of(names: Collection[str]) -> Callable[[str], str]:
    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        return name

    return check


def _ascending(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) < len(values):
        raise ValueError("expected every value once; leave out the repeated one")
    return tuple(sorted(values))


def _named(settings: Callable[[NamedSet], Mapping[str, Any]]) -> BeforeValidator:
    """Reads `augmentation: NAME` as the settings of that set, over which those beside it win."""

    def expand(data: Any) -> Any:
        if not isinstance(data, Mapping) or "augmentation" not in data:
            return data
        name = data["augmentation"]
        if not isinstance(name, str) or name not in NAMED_SETS:
            raise ValueError(f"augmentation {name!r} is not known; expected one of {', '.join(NAMED_SETS)}")
        expanded = dict(settings(NAMED_SETS[name]))
        for key, value in data.items():
            inner = expanded.get(key)
            expanded[key] = inner | value if isinstance(inner, dict) and isinstance(value, dict) else value
        del expanded["augmentation"]
        return expanded

    return BeforeValidator(expand)


_Recipe = Annotated[Recipe, _named(lambda given: asdict(given.batches))]

_Offered = Annotated[
    tuple[Annotated[int, Field(strict=True, ge=1)], ...], Field(min_length=1), AfterValidator(_ascending)
]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SyntheticScenes(_Model):
    """The scene set that the project generates itself."""

    clips_per_scene: Annotated[int, Field(ge=45, le=10_000)]
    seed: Annotated[int, Field(ge=0)] = 0


class DataSection(_Model):
    """Where the recordings are.

    Attributes:
        root: A data set in TAU's layout; `--data` or NAS_DATA overrides it.
        synthetic: Generate the recordings instead.
        train_list: Name of the training list in split_setup/.
        validation_share: Share of the training list's locations that students are judged on, never taught from.
    """

    root: Path | None = None
    synthetic: SyntheticScenes | None = None
    train_list: Annotated[str, Field(pattern=r"^[\w.-]+$")] = "split25"
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.2

    @model_validator(mode="after")
    def _one_source(self) -> "DataSection":
        if self.root is not None and self.synthetic is not None:
            raise ValueError("give either root or synthetic, not both")
        return self


class InputsSection(_Model):
    """The inputs that a student may have: every number of mel bands with every hop.

    Attributes:
        mels: Numbers of mel bands, ascending; by default that of `features`.
        hops: Samples from one frame to the next, ascending, each for another number of frames; by default as `mels`.
    """

    mels: _Offered | None = None
    hops: _Offered | None = None


class SearchSection(_Model):
    """How candidates are found.

    Attributes:
        sampler: "tpe" is Optuna's multivariate TPE; "random" draws every choice uniformly; "feasible" does so too and
            proposes only what fits the budget.
        trials: Students to be trained in the whole study.
        workers: Students trained at once, one core each.
        known_designs: Proposed first, where they fit the budget.
        patience: Refusals in a row before the search gives up.
        attempts: How often a student is started whose worker died.
    """

    sampler: SamplerName = "tpe"
    trials: Annotated[int, Field(ge=1, le=100_000)]
    workers: Annotated[int, Field(ge=1, le=1024)] = 2
    known_designs: tuple[Annotated[str, AfterValidator(_one_of(design_names()))], ...] = design_names()
    patience: Annotated[int, Field(ge=1)] = 2000
    attempts: Annotated[int, Field(ge=1, le=100)] = 3


class StudyFile(_Model):
    """A study.

    Attributes:
        name: What `nas resume` and the others call it.
        seed: The only source of chance of the study.
        features: The teacher's front end, and all of a student's but what `inputs` lets the search choose.
        inputs: What the search may choose of a student's front end; by default nothing.
        space: Search space.
        budget: Limits of the deployed student.
        views: What is done to the waveforms of the training clips, drawn and extracted before the search; by default
            nothing. `augmentation: NAME` stands for the settings of a published system.
        teacher: Recipe of the teacher, which learns from labels. `augmentation: NAME` stands for the settings of a
            published system; others may be given beside it.
        student: Recipe of every student, which learns from the labels and the teacher's logits.
    """

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w][\w .-]*$")]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    data: DataSection
    features: FrontEnd = FrontEnd()
    inputs: InputsSection = InputsSection()
    space: Annotated[str, AfterValidator(_one_of(SPACE_NAMES))] = "joint"
    budget: Budget = Budget()
    views: Annotated[Views, _named(lambda given: given.views)] = Views()
    teacher: _Recipe
    student: _Recipe
    search: SearchSection

    @field_validator("features")
    @classmethod
    def _of_a_shape(cls, features: FrontEnd) -> FrontEnd:
        _shape(features)
        return features

    @field_validator("inputs")
    @classmethod
    def _of_different_shapes(cls, inputs: InputsSection, known: ValidationInfo) -> InputsSection:
        if "features" in known.data:  # else they have a fault of their own
            _front_ends(known.data["features"], inputs)
        return inputs

    @field_validator("views")
    @classmethod
    def _of_edges_that_exist(cls, views: Views, known: ValidationInfo) -> Views:
        if "features" in known.data:
            features: FrontEnd = known.data["features"]
            replace(features, f_max=features.f_max + views.f_max_range // 2)
        return views

    @property
    def front_ends(self) -> dict[InputShape, FrontEnd]:
        """The front end of every input that a student may have, by the shape of its features."""
        return _front_ends(self.features, self.inputs)

    def to_json(self) -> dict[str, Any]:
        """The study as a JSON value that `study_from_json` reads back."""
        return self.model_dump(mode="json")


def _front_ends(base: FrontEnd, inputs: InputsSection) -> dict[InputShape, FrontEnd]:
    found: dict[InputShape, FrontEnd] = {}
    for mels, hop in product(inputs.mels or (base.mels,), inputs.hops or (base.hop,)):
        front_end = replace(base, mels=mels, hop=hop)
        other = found.setdefault(_shape(front_end), front_end)
        if other != front_end:
            raise ValueError(
                f"the hops {other.hop} and {hop} both give {front_end.frames} frames at {base.sample_rate} Hz; "
                "leave one of them out"
            )
    return found


def _shape(front_end: FrontEnd) -> InputShape:
    try:
        return InputShape(front_end.mels, front_end.frames)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise ValueError(
            f"mels {front_end.mels} and hop {front_end.hop} give features of {front_end.mels} x {front_end.frames}, "
            f"too large for a network: {fault['msg'].lower()}"
        ) from None


def preset_names() -> list[str]:
    """Names of the study files that come with the project."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def load_study(source: str, overrides: Mapping[str, Any] | None = None) -> StudyFile:
    """The study of a preset's name or a file's path.

    Args:
        overrides: Values by dotted field name, for example {"budget.macs": 20_000_000}; they win over the file.

    Raises:
        StudyFileError: If there is no such file, or something in it is wrong.
    """
    path = PRESETS / f"{source}.yaml" if source in preset_names() else Path(source)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        names = ", ".join(preset_names())
        raise StudyFileError(f"there is no preset and no study file {source!r}; presets are {names}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyFileError(f"{source} cannot be read as a study file: {error}") from None
    try:
        data = _yaml(text)
        lines = _lines(yaml.compose(text, Loader=_Loader), (), set())
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date like 2026-13-45 is a ValueError
        raise StudyFileError(f"{path.name} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise StudyFileError(f"{path.name}: expected fields like `name: my-study`, found {type(data).__name__}")
    for field, value in (overrides or {}).items():
        _override(data, field, value)
    return _validated(data, path.name, lines)


def study_from_json(data: Any, name: str) -> StudyFile:
    """The study file that a study's database holds.

    Raises:
        StudyFileError: If this release cannot read it.
    """
    return _validated(data, f"the study file stored with {name!r}", {})


def parse_override(text: str) -> tuple[str, Any]:
    """ "budget.macs=20e6" as ("budget.macs", 20e6); the value is read as YAML.

    Raises:
        StudyFileError: If it has no equals sign or the value is not YAML.
    """
    field, equals, value = text.partition("=")
    if not equals or not field.strip():
        raise StudyFileError(f"--set {text!r}: expected FIELD=VALUE, for example budget.macs=20000000")
    try:
        return field.strip(), _yaml(value)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise StudyFileError(f"--set {text!r}: {value!r} is not a value that YAML can read") from None


class _Loader(yaml.SafeLoader):
    """The safe loader, for which 1e-3 and 20e6 are numbers as in YAML 1.2, and not text as in YAML 1.1."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _yaml(text: str) -> Any:
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _override(data: dict[str, Any], field: str, value: Any) -> None:
    *sections, last = field.split(".")
    for section in sections:
        inner = data.setdefault(section, {})
        if not isinstance(inner, dict):
            raise StudyFileError(f"--set {field}: {section} is not a section of the study file")
        data = inner
    data[last] = value


def _validated(data: Any, source: str, lines: Mapping[tuple[str, ...], int]) -> StudyFile:
    try:
        return StudyFile.model_validate(data)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        told = "; ".join(_told(fault, lines) for fault in faults[:3])
        more = f"; and {len(faults) - 3} more faults" if len(faults) > 3 else ""
        raise StudyFileError(f"{source}: {told}{more}") from None


def _told(fault: Any, lines: Mapping[tuple[str, ...], int]) -> str:
    """One fault in words: place, value, remedy."""
    place = tuple(str(part) for part in fault["loc"])
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return _where(place, lines) + _unknown(place[-1], _keys_of(place[:-1]))
    if fault["type"] == "missing":
        return f"{_where(place, lines)} is missing; add it"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{_where(place, lines)} is {fault['input']!r:.60}; {message[0].lower() + message[1:]}"


def _where(place: tuple[str, ...], lines: Mapping[tuple[str, ...], int]) -> str:
    name = ".".join(place) or "the file"
    return f"line {lines[place]}: {name}" if place in lines else name


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    remedy = f"did you mean {near[0]}?" if near else f"known here are {', '.join(known)}"
    return f" is not a field of a study file; {remedy}"


def _keys_of(place: tuple[str, ...]) -> list[str]:
    """The fields that may stand at a place of the study file."""
    kind: Any = StudyFile
    for part in place:
        annotation = get_type_hints(kind)[part]
        kind = next(each for each in (annotation, *get_args(annotation)) if _has_fields(each))
    if issubclass(kind, BaseModel):
        return sorted(kind.model_fields)
    names = [field.name for field in fields(kind)]
    return ["augmentation", *names] if kind in (Recipe, Views) else names


def _has_fields(kind: object) -> bool:
    return isinstance(kind, type) and (issubclass(kind, BaseModel) or is_dataclass(kind))


def _lines(node: yaml.Node | None, place: tuple[str, ...], seen: set[int]) -> dict[tuple[str, ...], int]:
    """The line of every field and list entry of a YAML document, from 1; what an alias repeats is looked at once."""
    found: dict[tuple[str, ...], int] = {}
    if isinstance(node, yaml.MappingNode) and id(node) not in seen:
        seen.add(id(node))
        for key, value in node.value:
            inner = (*place, str(key.value))
            found[inner] = key.start_mark.line + 1
            found |= _lines(value, inner, seen)
    elif isinstance(node, yaml.SequenceNode) and id(node) not in seen:
        seen.add(id(node))
        for number, value in enumerate(node.value):
            inner = (*place, str(number))
            found[inner] = value.start_mark.line + 1
            found |= _lines(value, inner, seen)
    return found
