"""evaluate: how good an exported student is, as the challenge's reports tell it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import click
from click.core import ParameterSource

from nas.cli.options import CONSOLE, as_json, print_json, with_cache, with_output

Cell = Mapping[str, float | None]
SCORING = {"part": "--part", "train_list": "--train-list", "output": "-o"}
"""Options that mean nothing where nothing is scored."""


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
@with_cache
@with_output
@click.pass_context
def command(
    context: click.Context,
    systems: tuple[Path, ...],
    data: Path,
    part: Literal["test", "train"],
    train_list: str,
    output: Path | None,
    submission: Path | None,
    as_json: bool,
    cache: Path,
) -> None:
    """How good a SYSTEM is on the test list of a data set, by recording device, device group and scene.

    SYSTEM is the folder of an export, a folder with students of single recording devices beside a base (system.json),
    or a published checkpoint. Device students are scored beside the base alone. Several SYSTEMs, the same design from
    several seeds, are told as their mean with an interval.

    Where DIR has only a list without scenes (evaluation_setup/fold1_test.csv, as the challenge's evaluation set), its
    clips are answered and nothing is scored: the challenge's output is written to submission-NAME.csv beside SYSTEM,
    or to --submission FILE.
    """
    from nas.display import Display
    from nas.evaluation import evaluate
    from nas.submission import answer
    from trainers.unlabelled import is_unlabelled

    found: dict[str, Any]
    show: Callable[[Mapping[str, Any]], None]
    with Display(CONSOLE).shown() as display:
        if is_unlabelled(data):
            _check_nothing_scored(context, systems, data)
            found, show = answer(systems[0], data, cache, display, submission=submission), _print_answer
        else:
            found, show = (
                evaluate(
                    systems,
                    data,
                    cache,
                    display,
                    part=part,
                    train_list=train_list,
                    output=output,
                    submission=submission,
                ),
                _print_scores,
            )
    if as_json:
        print_json(found)
    else:
        show(found)


def _check_nothing_scored(context: click.Context, systems: Sequence[Path], data: Path) -> None:
    from search_spaces.errors import InputError

    given = [
        option for name, option in SCORING.items() if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise InputError(f"the clips in {data} have no scenes and are not scored; leave out {', '.join(given)}")
    if len(systems) > 1:
        raise InputError(f"the clips in {data} have no scenes; give the one SYSTEM that is to answer them")


def _print_answer(found: Mapping[str, Any]) -> None:
    from rich.markup import escape

    from nas.cli.tables import print_table

    data = found["data"]
    rows = [
        [escape(student), f"{sum(clips.values()):,}", escape(", ".join(clips))]
        for student, clips in found["answered"].items()
    ]
    print_table(escape(found["name"]), ["answered by", "clips", "of recording devices"], rows)
    click.echo(f"\nWritten: {found['submission']}, the answers to {data['clips']:,} clips of {data['list']}.")
    click.echo("Not written: scores, tables and a page, because that list has no scenes.")


def _print_scores(found: Mapping[str, Any]) -> None:
    from rich.markup import escape

    from nas.cli.tables import print_table

    data, labels, signed = found["data"], found["labels"], set(found["differences"])

    def print_rows(title: str, rows: Mapping[str, tuple[str, str, str]]) -> None:
        """A table of kinds of answers side by side; rows are table, row and column of `students` by what they say."""
        cells = [
            [
                escape(word),
                *(_cell(found["students"][kind][table][row][column], column, kind in signed) for kind in labels),
            ]
            for word, (table, row, column) in rows.items()
        ]
        print_table(escape(title), ["", *labels.values()], cells)
        click.echo()

    whole = found["students"][found["deployed"]]
    print_rows(
        f"{found['name']}: {data['clips']:,} {data['part']} clips from {data['locations']:,} locations",
        {
            **{group: ("groups", group, "accuracy") for group in whole["groups"]},
            "accuracy": ("overall", "all", "accuracy"),
            "log loss": ("overall", "all", "log_loss"),
        },
    )
    print_rows(
        "Accuracy by recording device",
        {f"{device} ({group})": ("devices", device, "accuracy") for device, group in found["devices"].items()},
    )
    print_rows("Accuracy by scene", {scene: ("scenes", scene, "accuracy") for scene in whole["scenes"]})
    _print_confusion(found, [escape(scene) for scene in found["scenes"]])
    _print_costs(found["systems"])
    click.echo(f"{found['interval']['method']} Intervals are in brackets.\n{found['folder']}")


def _print_confusion(found: Mapping[str, Any], scenes: Sequence[str]) -> None:
    from nas.cli.tables import print_table

    numbers = [str(number) for number, _ in enumerate(scenes, start=1)]
    rows = [
        [f"{number:>2} {scene}", *(f"{count / sum(row):.0%}" if count else "" for count in row)]
        for number, scene, row in zip(numbers, scenes, found["confusion"][found["deployed"]]["value"], strict=True)
    ]
    title = f"Heard as, share of each scene's clips ({found['labels'][found['deployed']]})"
    print_table(title, ["", *numbers], rows)
    click.echo()


def _print_costs(systems: Sequence[Mapping[str, Any]]) -> None:
    from rich.markup import escape

    from nas.cli.tables import print_table

    variants = {student["variant"] for system in systems for student in system["students"]}
    rows = [
        [
            escape(", ".join(student["devices"])),
            *([escape(system["label"])] if len(systems) > 1 else []),
            *([student["variant"]] if len(variants) > 1 else []),
            escape(student["name"]),
            student["form"],
            student["precision"],
            f"{student['weight_bytes']:,}",
            f"{student['macs']:,}",
        ]
        for system in systems
        for student in system["students"]
    ]
    heads = ["student", *(["system"] * (len(systems) > 1)), *(["run as"] * (len(variants) > 1))]
    print_table("Cost of each student", [*heads, "design", "form", "precision", "weight bytes", "MACs"], rows)
    click.echo()


def _cell(cell: Cell, column: str, signed: bool) -> str:
    """A value with its interval in brackets; a difference shows its sign."""
    scale, digits, unit = (1, 3, "") if column == "log_loss" else (100, 1, "%")
    sign = "+" if signed else ""
    value = f"{scale * float(cell['value'] or 0):{sign}z.{max(digits, 2)}f}{unit}"
    if cell["low"] is None or cell["high"] is None:
        return value
    return f"{value} [{scale * cell['low']:{sign}z.{digits}f}, {scale * cell['high']:{sign}z.{digits}f}]"
