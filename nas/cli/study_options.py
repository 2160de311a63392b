"""Options of the commands that read a study file."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from nas.study_file import StudyFile

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--data", type=click.Path(path_type=Path), help="Recordings in TAU's layout (or NAS_DATA)."),
    click.option("--workers", type=click.IntRange(min=1), help="Students to train at once, one core each."),
    click.option("--seed", type=click.IntRange(min=0), help="The only source of chance."),
    click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Any field: budget.macs=20000000."),
)


def study_options(function: F) -> F:
    """Adds --data, --workers, --seed and --set."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def study_given(study: str, data: Path | None, settings: Sequence[str], given: Mapping[str, Any]) -> "StudyFile":
    """The study of a preset's name or a file's path, with what the command line says over it.

    Args:
        data: Where the recordings are; else NAS_DATA, unless the study makes its own.
        settings: As FIELD=VALUE.
        given: Values by dotted field name; None where an option was not given.

    Raises:
        StudyFileError: If there is no such file, or something in it or on the command line is wrong.
    """
    from nas.study_file import load_study

    overrides = changes_given(data, settings, given)
    study_file = load_study(study, overrides)
    usual = os.environ.get("NAS_DATA")
    if data is None and usual and study_file.data.synthetic is None:
        return load_study(study, overrides | {"data.root": str(Path(usual).absolute())})
    return study_file


def changes_given(data: Path | None, settings: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """What the command line says over a study file, by dotted field name; arguments as for `study_given`.

    Raises:
        StudyFileError: If a setting is no FIELD=VALUE.
    """
    from nas.study_file import parse_override

    overrides: dict[str, Any] = dict(parse_override(text) for text in settings)
    overrides |= {field: value for field, value in given.items() if value is not None}
    if data is not None:
        overrides |= {"data.root": str(data.absolute()), "data.synthetic": None}
    return overrides
