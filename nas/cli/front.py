"""front: the Pareto front of a study."""

import click

from nas.cli.options import as_json, print_json, with_output, with_places
from nas.places import Places


@click.command("front")
@click.argument("name")
@as_json
@with_places
@with_output
def command(name: str, as_json: bool, places: Places) -> None:
    """The Pareto front of the study NAME in accuracy, weight bytes and MACs, the most accurate student first."""
    from nas.cli.summary import print_status, study_summary
    from nas.cli.tables import print_front

    summary = study_summary(name, places)
    if as_json:
        print_json({"version": 1, "name": name, "budget": summary["budget"], "members": summary["members"]})
        return
    if summary["members"]:
        print_front(summary["members"], summary["budget"])
    else:
        print_status(summary)
        click.echo("Nothing is on the front yet.")
