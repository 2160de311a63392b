"""evaluate: how good an exported student is, as the challenge's reports tell it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click

from nas.cli.options import CONSOLE, as_json, print_json, with_output, with_places
from nas.places import Places

STUDENTS = {"general": "general", "device_specific": "device-specific", "difference": "difference"}
Cell = Mapping[str, float | None]


@click.command("evaluate")
@click.argument("systems", metavar="SYSTEM...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--data", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Folder of the recordings.")
@click.option("--part", type=click.Choice(["test", "train"]), default="test", show_default=True, help="Which list.")
@click.option(
    "--train-list", default="split25", show_default=True, help="The training list split_setup/NAME.csv: what is seen."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder; default: evaluation-NAME beside the system."
)
@click.option(
    "--submission", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Also the challenge's output."
)
@as_json
@with_places
@with_output
def command(
    systems: tuple[Path, ...],
    data: Path,
    part: Literal["test", "train"],
    train_list: str,
    output: Path | None,
    submission: Path | None,
    as_json: bool,
    places: Places,
) -> None:
    """How good a SYSTEM is on the test list of a data set, by recording device, device group and scene.

    SYSTEM is the folder of an export, a folder with students of single recording devices beside a base (system.json),
    or a published checkpoint. Device students are scored beside the base alone. Several SYSTEMs, the same design from
    several seeds, are told as their mean with an interval.
    """
    from nas.display import Display
    from nas.evaluation import evaluate

    with Display(CONSOLE).shown() as display:
        found = evaluate(
            systems,
            data,
            places,
            display,
            part=part,
            train_list=train_list,
            output=output,
            submission=submission,
        )
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: Mapping[str, Any]) -> None:
    from rich.markup import escape

    from nas.cli.tables import print_table

    told, data = found["students"], found["data"]
    title = f"{found['name']}: {data['clips']:,} {data['part']} clips from {data['locations']:,} locations"
    groups = list(told["general"]["groups"])
    overall = [
        [
            STUDENTS[name],
            *(_share(tables["groups"][group]["accuracy"], name) for group in groups),
            _share(tables["overall"]["all"]["accuracy"], name),
            _interval(tables["overall"]["all"]["accuracy"], name),
            _loss(tables["overall"]["all"]["log_loss"], name),
        ]
        for name, tables in told.items()
    ]
    print_table(escape(title), ["", *groups, "accuracy", "95 % interval", "log loss"], overall)
    devices = {device: f"{device} ({group})" for device, group in found["devices"].items()}
    scenes = {scene: scene for scene in told["general"]["scenes"]}
    for table, noun, words in (("devices", "recording device", devices), ("scenes", "scene", scenes)):
        click.echo()
        rows = [
            [escape(word), *(_share(tables[table][row]["accuracy"], name) for name, tables in told.items())]
            for row, word in words.items()
        ]
        print_table(f"Accuracy by {noun}", ["", *(STUDENTS[name] for name in told)], rows)
    click.echo()
    last = "device_specific" if "device_specific" in told else "general"
    _print_confusion(found["confusion"][last], [escape(scene) for scene in found["scenes"]], STUDENTS[last])
    click.echo(f"\n{found['interval']['method']}\n{found['folder']}")


def _print_confusion(counts: Sequence[Sequence[float]], scenes: Sequence[str], word: str) -> None:
    from nas.cli.tables import print_table

    numbers = [str(number) for number, _ in enumerate(scenes, start=1)]
    rows = [
        [f"{number:>2} {scene}", *(f"{count / sum(row):.0%}" if count else "" for count in row)]
        for number, scene, row in zip(numbers, scenes, counts, strict=True)
    ]
    print_table(f"Heard as, share of each scene's clips ({word})", ["", *numbers], rows)


def _share(cell: Cell, name: str) -> str:
    return _signed(cell["value"], name, ".2%")


def _loss(cell: Cell, name: str) -> str:
    return _signed(cell["value"], name, ".3f")


def _interval(cell: Cell, name: str) -> str:
    if cell["low"] is None:
        return ""
    return f"{_signed(cell['low'], name, '.2%')} to {_signed(cell['high'], name, '.2%')}"


def _signed(value: float | None, name: str, form: str) -> str:
    """A difference shows its sign."""
    return format(value, f"+z{form}" if name == "difference" else form)
