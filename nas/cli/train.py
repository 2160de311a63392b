"""train: an exported student in full."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from nas.cli.options import CONSOLE, as_json, print_json, with_output, with_places
from nas.cli.study_options import changes_given, study_options
from nas.places import Places


@click.command("train")
@click.argument("export", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder; default: EXPORT-full.")
@click.option("--int8", is_flag=True, help="Teach each student that is deployed further in int8, and deploy that too.")
@study_options
@as_json
@with_places
@with_output
def command(
    export: Path,
    output: Path | None,
    int8: bool,
    data: Path | None,
    workers: int | None,
    seed: int | None,
    settings: tuple[str, ...],
    as_json: bool,
    places: Places,
) -> int:
    """Teach the architecture of an EXPORT in full: a student for all recording devices, then one for each of them.

    Recipes are those of `full` in the study file; a recording device keeps its own student only where that is better on
    the validation clips. What is deployed is written as one folder for `nas evaluate`. Ctrl-C loses at most an epoch of
    each student in hand; the same command carries on.
    """
    from nas.cli import DONE, NOT_FITTING
    from nas.display import Display
    from nas.full_training import train

    overrides = changes_given(data, settings, {"search.workers": workers, "seed": seed})
    display = Display(CONSOLE)
    with display.shown():
        found = train(export, places, display, overrides=overrides, output=output, int8=int8)
    if as_json:
        print_json({"version": 1, **found})
    else:
        _print(found)
    fits = not found["excess"] and not (int8 and found["int8"]["excess"])
    return DONE if fits else NOT_FITTING


def _print(found: Mapping[str, Any]) -> None:
    from nas.cli.tables import print_table

    def row(device: str, told: Mapping[str, Any]) -> list[str]:
        deployed = "its own" if told["kept"] else "general"
        return [device, f"{told['clips']:,}", f"{told['general']:.1%}", f"{told['own']:.1%}", deployed]

    base = found["base"]
    title = f"The general student: accuracy {base['accuracy']:.1%}, log loss {base['log_loss']:.3f} on validation clips"
    columns = ["recording device", "clips", "general", "its own", "deployed"]
    print_table(title, columns, [row(*each) for each in found["devices"].items()])
    if found["int8"] is not None:
        _print_int8(found["int8"])
    click.echo(f"System: {found['folder']}")
    click.echo("\nNext:\n  nas evaluate " + found["folder"] + " --data DIR")


def _print_int8(found: Mapping[str, Any]) -> None:
    from nas.cli.tables import print_table

    over = "".join(f", {name} {excess:.1%} over its limit" for name, excess in found["excess"].items())
    click.echo(f"In int8: {found['weight_bytes']:,} bytes of weights, {found['macs']:,} MACs{over}")
    rows = [[name, f"{told['float']:.1%}", f"{told['int8']:.1%}"] for name, told in found["students"].items()]
    print_table("Accuracy on the clips each is judged by", ["student", "in float", "in int8"], rows)
