"""search: launch a study from a preset or a study file."""

from pathlib import Path

import click

from nas.cli.options import CONSOLE, as_json, print_json, with_output, with_places
from nas.cli.study_options import study_given, study_options
from nas.places import Places


@click.command("search")
@click.argument("study")
@click.option("--name", help="Name of the study; default: the one in the study file.")
@click.option("--trials", type=click.IntRange(min=1), help="Students to train in the whole study.")
@study_options
@as_json
@with_places
@with_output
def command(
    study: str,
    name: str | None,
    trials: int | None,
    data: Path | None,
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

    given = {"name": name, "search.trials": trials, "search.workers": workers, "seed": seed}
    study_file = study_given(study, data, settings, given)
    search(study_file, places, Display(CONSOLE))
    if as_json:
        print_json(study_summary(study_file.name, places))
    else:
        print_end(study_file.name, places)
