"""resume: carry on a study after an interruption, with the trials that were in flight first."""

from pathlib import Path
from typing import Any

import click

from nas.cli.options import CONSOLE, as_json, print_json, with_output, with_places
from nas.places import Places


class Trials(click.ParamType[tuple[bool, int]]):
    """A number of students, or more than now: 20 or +10."""

    name = "N or +N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[bool, int]:
        text = str(value)
        if not text.removeprefix("+").isascii() or not text.removeprefix("+").isdigit() or int(text) < 1:
            self.fail(f"{text!r} is neither a number of students (20) nor how many more (+10)", param, ctx)
        return text.startswith("+"), int(text)


@click.command("resume")
@click.argument("name")
@click.option("--trials", type=Trials(), help="Students in the whole study (20), or more than now (+10).")
@click.option("--workers", type=click.IntRange(min=1), help="Students to train at once, one core each.")
@click.option("--data", type=click.Path(path_type=Path), help="Where the recordings are now.")
@as_json
@with_places
@with_output
def command(
    name: str,
    trials: tuple[bool, int] | None,
    workers: int | None,
    data: Path | None,
    as_json: bool,
    places: Places,
) -> None:
    """Carry on the study NAME of the database: nothing finished is lost or repeated, what was in flight runs again."""
    from nas.cli.summary import print_end, study_summary
    from nas.display import Display
    from nas.run import resume
    from studies.records import read_study

    changes: dict[str, Any] = {}
    if trials is not None:
        more, count = trials
        planned = read_study(places.storage, name).study_file.get("search", {}).get("trials", 0)
        changes["search.trials"] = planned + count if more else count
    if workers is not None:
        changes["search.workers"] = workers
    if data is not None:
        changes["data.root"] = str(data.absolute())
    resume(name, places, Display(CONSOLE), changes=changes)
    if as_json:
        print_json(study_summary(name, places))
    else:
        print_end(name, places)
