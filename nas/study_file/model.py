"""The study file as a whole: what a study is."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import product
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from nas.halving import Halving, usual_rungs
from nas.study_file.fields import NamedFrontEnd, NamedRecipe, Section, one_of, with_named_set
from nas.study_file.sections import DataSection, FullSection, InputsSection, SearchSection
from nas.study_file.teachers import TeachersSection
from search_spaces.architecture import InputShape
from search_spaces.budget import Budget
from search_spaces.errors import InputError
from search_spaces.spaces import SPACE_NAMES
from studies.hypervolume import Scale
from trainers.augmentation.settings import Views
from trainers.front_end import FrontEnd
from trainers.recipe import Recipe


class _Checked(Section):
    """A recipe, checked as those in a study file are."""

    recipe: Recipe


def _views_set(data: Any) -> Any:
    return with_named_set(data, lambda given: given.views)


class StudyFile(Section):
    """A study.

    Attributes:
        name: What `nas resume` and the others call it.
        seed: The only source of chance of the study.
        features: The front end of the teachers that have none of their own, and all of a student's but what `inputs`
            lets the search choose; or the name of a published system's.
        inputs: What the search may choose of a student's front end; by default nothing.
        space: Search space.
        budget: Limits of the deployed student.
        views: What is done to the waveforms of the training clips, drawn and extracted before the search; by default
            nothing. `augmentation: NAME` stands for the settings of a published system.
        teachers: Who teaches the students, and how they were taught themselves.
        student: Recipe of every student, which learns from the labels and the teachers' logits. `augmentation: NAME`
            stands for the settings of a published system; others may be given beside it.
        search: How candidates are found.
        full: How an exported student is taught in full.
    """

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w][\w .-]*$")]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    data: DataSection
    features: NamedFrontEnd = FrontEnd()
    inputs: InputsSection = InputsSection()
    space: Annotated[str, AfterValidator(one_of(SPACE_NAMES))] = "joint"
    budget: Budget = Budget()
    views: Annotated[Views, BeforeValidator(_views_set)] = Views()
    teachers: TeachersSection
    student: NamedRecipe
    search: SearchSection
    full: FullSection = FullSection()

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
            _widest(known.data["features"], views)
        return views

    @field_validator("teachers")
    @classmethod
    def _who_hear_the_views(cls, teachers: TeachersSection, known: ValidationInfo) -> TeachersSection:
        if "views" in known.data:  # else they have a fault of their own
            for name, member in teachers.members.items():
                if member.features is not None:
                    try:
                        _widest(member.features, known.data["views"])
                    except InputError as error:
                        raise ValueError(f"the views are beyond what {name} hears: {error}") from None
        return teachers

    @field_validator("search")
    @classmethod
    def _stopping_before_the_end(cls, search: SearchSection, known: ValidationInfo) -> SearchSection:
        early = search.early_stopping
        if "student" in known.data and early is not None and early.rungs is not None:
            epochs = known.data["student"].epochs
            if early.rungs[-1] >= epochs:
                raise ValueError(
                    f"early_stopping.rungs: the rung {early.rungs[-1]} is not before the last of the student's "
                    f"{epochs} epochs; leave it out"
                )
        return search

    @field_validator("full")
    @classmethod
    def _of_recipes(cls, full: FullSection, known: ValidationInfo) -> FullSection:
        if "student" in known.data:
            recipe = _changed_as("recipe", known.data["student"], full.recipe)
            _changed_as("per_device", recipe, full.per_device)
            _changed_as("int8", recipe, full.int8)
        return full

    def halving(self, classes: int) -> Halving:
        """Who is taught further, as a rule that knows no students yet.

        Args:
            classes: Scenes of the recordings.
        """
        early = self.search.early_stopping
        scale = Scale(1 / classes, self.budget.weight_bytes, self.budget.macs)
        if early is None:
            return Halving({}, scale)
        rungs = usual_rungs(self.student.epochs, blind=self.search.sampler != "cost-aware")
        if early.rungs is not None:
            rungs = dict.fromkeys(early.rungs, 2)
        if early.reduction is not None:
            rungs = dict.fromkeys(rungs, early.reduction)
        return Halving(rungs, scale)

    @property
    def full_recipe(self) -> Recipe:
        """How a student is taught in full, from the clips of all recording devices."""
        return _changed(self.student, self.full.recipe)

    @property
    def device_recipe(self) -> Recipe:
        """How it is then taught further for one recording device."""
        return _changed(self.full_recipe, self.full.per_device)

    @property
    def int8_recipe(self) -> Recipe:
        """How it is taught further in int8."""
        return _changed(self.full_recipe, self.full.int8)

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


def _changed(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    try:
        return _Checked(recipe=asdict(recipe) | dict(settings)).recipe  # type: ignore[arg-type]
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        message = fault["msg"].removeprefix("Value error, ")
        raise ValueError(f"{'.'.join(map(str, fault['loc'][1:])) or 'its recipe'}: {message}") from None


def _changed_as(name: str, recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The changed recipe, a fault of which is told with its name."""
    try:
        return _changed(recipe, settings)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _widest(features: FrontEnd, views: Views) -> FrontEnd:
    """The front end at the highest edge that a view may draw."""
    return replace(features, f_max=features.f_max + views.f_max_range // 2)


def _shape(front_end: FrontEnd) -> InputShape:
    try:
        return InputShape(front_end.mels, front_end.frames)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise ValueError(
            f"mels {front_end.mels} and hop {front_end.hop} give features of {front_end.mels} x {front_end.frames}, "
            f"too large for a network: {fault['msg'].lower()}"
        ) from None
