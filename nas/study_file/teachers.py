"""The teachers of a study file: which networks, taught how, and how their word is put together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from nas.study_file.fields import NamedFrontEnd, NamedRecipe, Section, with_recipe_set
from search_spaces.errors import InputError
from trainers.teachers.named_ensembles import NAMED_ENSEMBLES
from trainers.teachers.networks import WIDE, network_named

SHARED = ("ensemble", "recipe", "per_device", "start")
"""What may be said once for all teachers; reading the section says it of each of them."""


def _known_network(name: str) -> str:
    try:
        network_named(name, 256, 64, 10)
    except InputError as error:
        raise ValueError(str(error)) from None
    return name


class TeacherSection(Section):
    """One teacher.

    Attributes:
        network: What it is: a known design, or an MN or DyMN by ten times its width (mn10, dymn04); by default what the
            teacher is called.
        start: Weights it begins from: a checkpoint file, or the folder of a teacher or a student.
        published: A published checkpoint that teaches as it is, in place of all the others but `weight`.
        features: Its front end, or the name of a published system's; by default the study's.
        recipe: How it learns, from the labels.
        per_device: How it is then taught further for each recording device; by default it is not.
        weight: Its share in the ensemble, against those of the others.
    """

    network: Annotated[str, AfterValidator(_known_network)] | None = None
    start: Path | None = None
    published: Path | None = None
    features: NamedFrontEnd | None = None
    recipe: NamedRecipe | None = None
    per_device: NamedRecipe | None = None
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0

    @model_validator(mode="after")
    def _taught_or_published(self) -> "TeacherSection":
        own = [
            name for name in ("network", "start", "features", "recipe", "per_device") if getattr(self, name) is not None
        ]
        if self.published is not None and own:
            raise ValueError(f"a published teacher is used as it is; leave out {', '.join(own)}")
        if self.published is None and self.recipe is None:
            raise ValueError("it has no recipe; give one to all teachers, for example recipe: {epochs: 30}")
        return self


class TeachersSection(Section):
    """The teachers, of whose logits students learn the mean or the sum.

    In the file, `recipe` and `per_device` may also stand here, as settings of all teachers over which a teacher's own
    win, and `start`, weights by the name of the network. `ensemble` is the name of a published system whose teachers
    and settings these are, where nothing else is said.

    Attributes:
        members: The teachers by their names; by default one, a wide CP-Mobile.
        rule: "mean" of their logits, each by its weight, or "sum": the mean at a temperature divided by their number.
    """

    members: dict[str, TeacherSection]
    rule: Literal["mean", "sum"] = "mean"

    @model_validator(mode="before")
    @classmethod
    def _said_of_each(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise ValueError("expected settings by their names, for example {recipe: {epochs: 30}}")
        return _expanded(data)


def _expanded(data: Mapping[str, Any]) -> dict[str, Any]:
    named = _named(data)
    recipe = _settings(named, "recipe") | _settings(data, "recipe")
    per_device = None
    if data.get("per_device", named.get("per_device")) is not None:
        per_device = _settings(named, "per_device") | _settings(data, "per_device")
    starts = _settings(data, "start")
    members = {}
    given = _settings(data, "members")
    for name in dict.fromkeys([*named["members"], *given]) if "ensemble" in data or not given else given:
        usual, own = _settings(named["members"], name), _settings(given, name)
        member = usual | own
        if member.get("published") is None:
            if member.get("network") is None:
                member["network"] = name
            member["recipe"] = recipe | _settings(usual, "recipe") | _settings(own, "recipe") or None
            if per_device is not None or own.get("per_device") is not None:
                further = (per_device or {}) | _settings(own, "per_device")
                member["per_device"] = (member["recipe"] or {}) | further
            if member.get("start") is None and starts.get(str(member.get("network"))) is not None:
                member["start"] = starts[member["network"]]
        members[name] = member
    unused = starts.keys() - {member.get("network") for member in members.values()}
    if unused:
        raise ValueError(f"start has weights for {', '.join(map(str, unused))}, which no teacher is")
    rest = {key: value for key, value in data.items() if key not in SHARED}
    return {"rule": named.get("rule", "mean")} | rest | {"members": members}


def _named(data: Mapping[str, Any]) -> Mapping[str, Any]:
    name = data.get("ensemble")
    if name is None:
        return {"members": {WIDE: {}}}
    if not isinstance(name, str) or name not in NAMED_ENSEMBLES:
        raise ValueError(f"ensemble {name!r} is not known; expected one of {', '.join(NAMED_ENSEMBLES)}")
    return NAMED_ENSEMBLES[name]


def _settings(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Settings that may be left out, with a named augmentation as what it stands for."""
    settings = data.get(name)
    if settings is None:
        return {}
    if not isinstance(settings, Mapping):
        raise ValueError(f"{name} is {settings!r:.60}; expected settings by their names")
    return dict(with_recipe_set(settings))
