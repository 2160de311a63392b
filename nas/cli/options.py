"""Options that many commands share."""

import json
import logging
import os
import shlex
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from rich.console import Console
from rich.logging import RichHandler

from nas.places import Places
from studies.database import parse
from studies.storage import default_url

F = TypeVar("F", bound=Callable[..., Any])

CONSOLE = Console(stderr=True)
"""For everything but results; one, so that log lines and progress bars do not write over each other."""

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


def with_output(function: F) -> F:
    """Adds -v, -q and --debug, and sets up the one logger before the command runs."""

    @click.option("-v", "--verbose", is_flag=True, help="Also every epoch and start.")
    @click.option("-q", "--quiet", is_flag=True, help="Only warnings and the result.")
    @click.option("--debug", is_flag=True, help="The traceback of an error.")
    @wraps(function)
    def wrapped(*args: Any, verbose: bool, quiet: bool, debug: bool, **kwargs: Any) -> Any:
        set_up_logging(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
        return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


_runs = click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default="runs",
    envvar="NAS_RUNS",
    show_default=True,
    help="Folder for everything written (or NAS_RUNS).",
)


def with_cache(function: F) -> F:
    """Adds --runs, and gives the command `cache`, the folder of the caches below it."""

    @_runs
    @wraps(function)
    def wrapped(*args: Any, runs: Path, **kwargs: Any) -> Any:
        return function(*args, cache=_cache(runs), **kwargs)

    return wrapped  # type: ignore[return-value]


def with_places(function: F) -> F:
    """Adds --runs and --storage, and gives the command `places`."""

    @_runs
    @click.option("--storage", envvar="NAS_STORAGE", help="Database URL (or NAS_STORAGE); default: SQLite in --runs.")
    @wraps(function)
    def wrapped(*args: Any, runs: Path, storage: str | None, **kwargs: Any) -> Any:
        typed = click.get_current_context().get_parameter_source
        shown = {"runs": str(runs), "storage": storage and parse(storage).render_as_string(hide_password=True)}
        options = "".join(
            f" --{name} {shlex.quote(value)}"
            for name, value in shown.items()
            if value and typed(name) is ParameterSource.COMMANDLINE
        )
        runs = runs.absolute()
        return function(*args, places=Places(runs, storage or default_url(runs), _cache(runs), options), **kwargs)

    return wrapped  # type: ignore[return-value]


def _cache(runs: Path) -> Path:
    return Path(os.environ.get("NAS_CACHE", runs / "cache")).absolute()


def set_up_logging(level: int) -> None:
    """Sends the log to standard error: above the progress bars on a terminal, as plain lines elsewhere."""
    logger = logging.getLogger("acoustic_nas")
    logger.setLevel(level)
    logger.propagate = False
    handler: logging.Handler
    if sys.stderr.isatty():
        handler = RichHandler(console=CONSOLE, show_path=False, show_level=False, log_time_format="%H:%M:%S")
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger.handlers[:] = [handler]


def print_json(document: Any) -> None:
    """A result for a script: one JSON document on standard output."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))
