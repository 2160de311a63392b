"""status: how far a study is."""

import click

from nas.cli.options import as_json, print_json, with_output, with_places
from nas.places import Places


@click.command("status")
@click.argument("name", required=False)
@as_json
@with_places
@with_output
def command(name: str | None, as_json: bool, places: Places) -> None:
    """How far the study NAME is: trials by state, refusals by reason, the front. Without NAME: all studies."""
    from nas.cli.summary import print_status, study_summary
    from studies.storage import study_names

    names = [name] if name else study_names(places.storage)
    summaries = [study_summary(each, places) for each in names]
    if as_json:
        print_json(summaries[0] if name else {"version": 1, "studies": summaries})
        return
    for summary in summaries:
        print_status(summary)
    if not summaries:
        click.echo("The database holds no studies yet: begin with `nas search quick`.")
