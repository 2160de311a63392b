"""search: launch a study from a preset or a study file."""

import os
from pathlib import Path
from typing import Any

import click

from nas.cli.options import CONSOLE, as_json, print_json, with_output, with_places
from nas.places import Places


@click.command("search")
@click.argument("study")
@click.option("--name", help="Name of the study; default: the one in the study file.")
@click.option("--data", type=click.Path(path_type=Path), help="Recordings in TAU's layout (or NAS_DATA).")
@click.option("--trials", type=click.IntRange(min=1), help="Students to train in the whole study.")
@click.option("--workers", type=click.IntRange(min=1), help="Students to train at once, one core each.")
@click.option("--seed", type=click.IntRange(min=0), help="The only source of chance.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Any field, e.g. budget.macs=20000000.")
@as_json
@with_places
@with_output
def command(
    study: str,
    name: str | None,
    data: Path | None,
    trials: int | None,
    workers: int | None,
    seed: int | None,
    settings: tuple[str, ...],
    as_json: bool,
    places: Places,
) -> None:
    """Launch a search STUDY: a preset (quick, esc10, dcase2025) or the path of a study file.

    Every proposal over the budget is pruned at once; the others are distilled on Ray workers. Ctrl-C stops after
    saving, and `nas resume` carries on.
    """
    from nas.cli.summary import print_end, study_summary
    from nas.display import Display
    from nas.run import search
    from nas.study_file import load_study, parse_override

    overrides: dict[str, Any] = dict(parse_override(text) for text in settings)
    given = {"name": name, "search.trials": trials, "search.workers": workers, "seed": seed}
    overrides |= {field: value for field, value in given.items() if value is not None}
    if data is not None:
        overrides |= {"data.root": str(data.absolute()), "data.synthetic": None}
    study_file = load_study(study, overrides)
    usual = os.environ.get("NAS_DATA")
    if data is None and usual and study_file.data.synthetic is None:
        study_file = load_study(study, overrides | {"data.root": str(Path(usual).absolute())})
    search(study_file, places, Display(CONSOLE))
    if as_json:
        print_json(study_summary(study_file.name, places))
    else:
        print_end(study_file.name, places)
