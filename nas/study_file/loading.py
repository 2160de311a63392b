"""Reading a study file: YAML in, a frozen and checked value out, every fault with its line and its remedy."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml
from pydantic import BaseModel, ValidationError

from nas.study_file.model import StudyFile
from nas.study_file.teachers import SHARED, TeachersSection
from search_spaces.errors import InputError
from trainers.augmentation.settings import Views
from trainers.recipe import Recipe

PRESETS = Path(__file__).resolve().parents[2] / "studies" / "presets"


class StudyFileError(InputError):
    """A study file that cannot be used: names the file, the line, the field, what stands there and the remedy."""


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


def study_from_json(data: Any, name: str, overrides: Mapping[str, Any] | None = None) -> StudyFile:
    """The study file that a study's database holds.

    Args:
        overrides: As for `load_study`.

    Raises:
        StudyFileError: If this release cannot read it.
    """
    for field, value in (overrides or {}).items():
        _override(data, field, value)
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
        faults = list(dict.fromkeys(_told(fault, lines) for fault in error.errors(include_url=False)))
        more = f"; and {len(faults) - 3} more faults" if len(faults) > 3 else ""
        raise StudyFileError(f"{source}: {'; '.join(faults[:3])}{more}") from None


def _told(fault: Any, lines: Mapping[tuple[str, ...], int]) -> str:
    """One fault in words: place, value, remedy."""
    place = tuple(str(part) for part in fault["loc"])
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _keys_of(place[:-1])
        return _where(_as_written(place, lines), lines) + _unknown(place[-1], known)
    place = _as_written(place, lines)
    if fault["type"] == "missing":
        return f"{_where(place, lines)} is missing; add it"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{_where(place, lines)} is {fault['input']!r:.60}; {message[0].lower() + message[1:]}"


def _as_written(place: tuple[str, ...], lines: Mapping[tuple[str, ...], int]) -> tuple[str, ...]:
    """Where a person said what the section of the teachers says of each of them."""
    shared = (place[0], *place[3:]) if place[:2] == ("teachers", "members") else place
    return shared if place not in lines and shared in lines else place


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
    parts = iter(place)
    for part in parts:
        annotation = get_type_hints(kind)[part]
        if get_origin(annotation) is dict:
            next(parts, None)  # the name that a person gave to the entry
        kind = next(each for each in (annotation, *get_args(annotation)) if _has_fields(each))
    if issubclass(kind, BaseModel):
        return sorted({*kind.model_fields, *(SHARED if kind is TeachersSection else ())})
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
