"""What the sections of a study file are made of."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from trainers.augmentation.named_sets import NAMED_SETS, NamedSet
from trainers.front_end import FRONT_ENDS, FrontEnd
from trainers.recipe import Recipe


class Section(BaseModel):
    """A section of a study file: frozen, and with no field that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def one_of(names: Collection[str]) -> Callable[[str], str]:
    """Checks that a name is one of these."""

    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        return name

    return check


def with_named_set(data: Any, settings: Callable[[NamedSet], Mapping[str, Any]]) -> Any:
    """`augmentation: NAME` read as the settings of that set, over which those beside it win.

    Raises:
        ValueError: If there is no such set.
    """
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


def with_recipe_set(data: Any) -> Any:
    """The same for the settings of a recipe."""
    return with_named_set(data, lambda given: asdict(given.batches))


def _named_front_end(data: Any) -> Any:
    if isinstance(data, str):
        one_of(FRONT_ENDS)(data)
        return FRONT_ENDS[data]
    return data


NamedRecipe = Annotated[Recipe, BeforeValidator(with_recipe_set)]
"""A recipe, for the augmentation of which a name may stand."""

NamedFrontEnd = Annotated[FrontEnd, BeforeValidator(_named_front_end)]
"""A front end, or the name of one of `FRONT_ENDS`."""
