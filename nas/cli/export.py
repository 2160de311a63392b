"""export: write one trained student as a bundle."""

from pathlib import Path

import click

from nas.cli.options import as_json, print_json, with_output, with_places
from nas.places import Places


@click.command("export")
@click.argument("name")
@click.option("--trial", default="best", show_default=True, help="best, smallest, fastest, or a trial's number.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder; default: RUNS/NAME/export-TRIAL.")
@as_json
@with_places
@with_output
def command(name: str, trial: str, output: Path | None, as_json: bool, places: Places) -> None:
    """Write a trained student of the study NAME as a bundle: architecture, weights, ONNX, features, reference, card.

    The bundle is checked before the command ends: its files are read back and must give the same logits.
    """
    from nas.export import export

    bundle = export(name, trial, places, output)
    if as_json:
        print_json({"version": 1, **bundle})
        return
    click.echo(f"Trial {bundle['trial']} of {name}: {bundle['weight_bytes']:,} weight bytes, {bundle['macs']:,} MACs")
    click.echo(f"Bundle: {bundle['folder']} (read back and checked: {', '.join(bundle['checked'])})")
