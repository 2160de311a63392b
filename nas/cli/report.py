"""report: write the HTML report of a study."""

from pathlib import Path

import click

from nas.cli.options import as_json, print_json, with_output, with_places
from nas.places import Places


@click.command("report")
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: RUNS/NAME/report.html.")
@as_json
@with_places
@with_output
def command(name: str, output: Path | None, as_json: bool, places: Places) -> None:
    """Write the report of the study NAME: one HTML file that opens without a network."""
    from studies.report import write_report

    path = (output or places.report(name)).absolute()
    write_report(places.storage, name, path)
    if as_json:
        print_json({"version": 1, "report": str(path)})
    else:
        click.echo(str(path))
