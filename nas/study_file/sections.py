"""The sections of a study file but for its teachers, each a frozen and checked value."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from nas.study_file.fields import Section, one_of, with_recipe_set
from search_spaces.designs import design_names

SamplerName = Literal["cost-aware", "tpe", "nsga2", "gp", "random", "feasible"]


def _ascending(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(values)) < len(values):
        raise ValueError("expected every value once; leave out the repeated one")
    return tuple(sorted(values))


_Offered = Annotated[
    tuple[Annotated[int, Field(strict=True, ge=1)], ...], Field(min_length=1), AfterValidator(_ascending)
]


class SyntheticScenes(Section):
    """The scene set that the project generates itself."""

    clips_per_scene: Annotated[int, Field(ge=45, le=10_000)]
    seed: Annotated[int, Field(ge=0)] = 0


class DataSection(Section):
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


class InputsSection(Section):
    """The inputs that a student may have: every number of mel bands with every hop.

    Attributes:
        mels: Numbers of mel bands, ascending; by default that of `features`.
        hops: Samples from one frame to the next, ascending, each for another number of frames; by default as `mels`.
    """

    mels: _Offered | None = None
    hops: _Offered | None = None


_RecipeSettings = Annotated[dict[str, Any], BeforeValidator(with_recipe_set)]


class FullSection(Section):
    """How an exported student is taught in full, once the search is over.

    Attributes:
        recipe: Settings over the student's recipe.
        per_device: Settings over that, for teaching it further for each recording device, from the teachers that were
            taught further for it.
        int8: Settings over `recipe`, for teaching each of these students further in int8, where that is asked for.
    """

    recipe: _RecipeSettings = Field(default_factory=lambda: {"epochs": 150})
    per_device: _RecipeSettings = Field(default_factory=lambda: {"epochs": 30, "learning_rate": 5e-4})
    int8: _RecipeSettings = Field(default_factory=lambda: {"epochs": 15, "learning_rate": 2e-4})


def _off(data: Any) -> Any:
    """YAML reads a bare `off` as false."""
    return None if data is False or data == "off" else data


class EarlyStopping(Section):
    """Who is taught further: see `nas.halving`, and `benchmarks/early_stopping.py` for the defaults.

    Attributes:
        rungs: Epochs after which students pause, ascending; by default those of `nas.halving.usual_rungs`.
        reduction: One student in so many goes on from every rung; by default as `nas.halving.usual_rungs` has it, and
            from `rungs` one in two.
    """

    rungs: _Offered | None = None
    reduction: Annotated[int, Field(ge=2, le=100)] | None = None


class SearchSection(Section):
    """How candidates are found.

    Attributes:
        sampler: "cost-aware", the project's own, proposes only what fits the budget and is expected to add most to
            the front; "tpe" (multivariate), "nsga2" and "gp" are Optuna's; "random" draws every choice
            uniformly; "feasible" does so too and proposes only what fits.
        trials: Students to be taught in the whole study, to the end or to a rung.
        workers: Students trained at once, one core each.
        known_designs: Proposed first, where they fit the budget.
        patience: Refusals in a row before the search gives up.
        attempts: How often a student is started whose worker died.
        early_stopping: Who is taught beyond the first epochs; `off` for everybody.
    """

    sampler: SamplerName = "cost-aware"
    trials: Annotated[int, Field(ge=1, le=100_000)]
    workers: Annotated[int, Field(ge=1, le=1024)] = 2
    known_designs: tuple[Annotated[str, AfterValidator(one_of(design_names()))], ...] = design_names()
    patience: Annotated[int, Field(ge=1)] = 2000
    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    early_stopping: Annotated[EarlyStopping | None, BeforeValidator(_off)] = EarlyStopping()
