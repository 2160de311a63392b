"""data: is a data set sound, and what is in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli.options import CONSOLE, as_json, print_json, with_output

if TYPE_CHECKING:
    import pandas as pd

    from trainers.inspection import Inspection

SPLITS = ("train", "test")

with_folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
with_train_list = click.option(
    "--train-list", default="split25", show_default=True, help="The training list split_setup/NAME.csv."
)


@click.group("data")
def command() -> None:
    """Look at a data set before training on it."""


@command.command("check")
@with_folder
@with_train_list
@as_json
@with_output
def check(folder: Path, train_list: str, as_json: bool) -> int:
    """Everything in the data set DIR that could stop a training, in one report.

    All lists are compared with each other and with the names of the files, and every file is decoded. Exits with 2 if
    there is a fault.
    """
    from nas.cli import DONE, WRONG

    found = _inspect(folder, train_list)
    if as_json:
        print_json({**_head(folder, train_list, found), "faults": list(found.faults), "notes": dict(found.notes)})
    else:
        _print_notes(found)
        count = f"{len(found.faults):,} fault{'s' * (len(found.faults) != 1)}" if found.faults else "no fault"
        click.echo("\n  - ".join([f"The data set in {folder} has {count}{':' * bool(found.faults)}", *found.faults]))
    return WRONG if found.faults else DONE


@command.command("describe")
@with_folder
@with_train_list
@as_json
@with_output
def describe(folder: Path, train_list: str, as_json: bool) -> None:
    """What the data set DIR consists of: clips by split, scene and device, places, formats, loudness."""
    from trainers.recordings import RecordingsError

    found = _inspect(folder, train_list)
    if found.faults:
        raise RecordingsError(folder, found.faults)
    if as_json:
        print_json({**_head(folder, train_list, found), **_description(found.clips)})
    else:
        _print_description(found.clips)
        _print_notes(found)


@command.command("copies")
@with_folder
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--impulse-responses",
    metavar="FOLDER",
    required=True,
    type=click.Path(path_type=Path),
    help="WAV files of microphones' impulse responses.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@with_train_list
@as_json
@with_output
def copies(folder: Path, out: Path, impulse_responses: Path, seed: int, train_list: str, as_json: bool) -> None:
    """Writes OUT, a data set with all of DIR and copies of its training clips through other microphones.

    As the Sharif team made them: the louder a clip of the recording devices a, b and c, the more copies it gets, up to
    20. Copies are of the recording device unk; nothing is ever judged on them.
    """
    from nas.display import Display
    from trainers.copies import make_copies
    from trainers.recordings import read_recordings

    recordings = read_recordings(folder, train_list)
    with Display(CONSOLE).shown() as display:
        made = make_copies(
            recordings,
            out,
            impulse_responses,
            seed=seed,
            train_list=train_list,
            progress=display.stage("training clips copied"),
        )
    if as_json:
        print_json({"version": 1, "folder": str(made.root), "originals": made.originals, "copies": made.copies})
    else:
        click.echo(f"{made.root}: {made.originals:,} clips and {made.copies:,} copies")


def _inspect(folder: Path, train_list: str) -> "Inspection":
    from nas.display import Display
    from trainers.inspection import inspect_recordings

    with Display(CONSOLE).shown() as display:
        return inspect_recordings(folder, train_list, progress=display.stage("files decoded"))


def _head(folder: Path, train_list: str, found: "Inspection") -> dict[str, Any]:
    return {"version": 1, "folder": str(folder), "train_list": train_list, "clips": len(found.clips)}


def _print_notes(found: "Inspection") -> None:
    from trainers.audio import NOTES

    for note, count in sorted(found.notes.items()):
        click.echo(f"{count:,} of the files: {NOTES[note]}")


def _description(clips: "pd.DataFrame") -> dict[str, Any]:
    from trainers.loudness import RMS_EDGES, loudness_histogram

    counts: dict[str, dict[str, dict[str, int]]] = {split: {} for split in SPLITS}
    for split, device, scene, count in _counted(clips, "split", "device", "scene"):
        counts[split].setdefault(device, {})[scene] = count
    return {
        "counts": counts,
        "locations": {split: int(clips.loc[clips["split"] == split, "location"].nunique()) for split in SPLITS},
        "cities": dict(_counted(clips.assign(city=clips["location"].str.split("-").str[0]), "city")),
        "formats": [
            {"rate": rate, "channels": channels, "encoding": encoding, "clips": count}
            for rate, channels, encoding, count in _counted(clips, "rate", "channels", "encoding")
        ],
        "loudness": {
            "rms_at_most": list(RMS_EDGES),
            **{split: list(loudness_histogram(clips.loc[clips["split"] == split, "rms"])) for split in SPLITS},
        },
    }


def _counted(clips: "pd.DataFrame", *columns: str) -> list[tuple[Any, ...]]:
    """The combinations of values in these columns, in order, each with the number of its clips."""
    return list(clips.groupby(list(columns)).size().reset_index().itertuples(index=False, name=None))


def _print_description(clips: "pd.DataFrame") -> None:
    from nas.cli.tables import print_table

    told = _description(clips)
    for split in SPLITS:
        counts = told["counts"][split]
        scenes = sorted({scene for of_device in counts.values() for scene in of_device})
        rows = [[scene, *_with_sum([counts[device].get(scene, 0) for device in counts])] for scene in scenes]
        sums = [sum(of_device.values()) for of_device in counts.values()]
        title = f"{split}: {sum(sums):,} clips from {told['locations'][split]:,} locations"
        print_table(title, ["scene / device", *counts, "all"], [*rows, ["all", *_with_sum(sums)]])
        click.echo()
    cities = told["cities"]
    print_table("Cities", ["", "clips"], [[city, f"{count:,}"] for city, count in cities.items()])
    click.echo()
    print_table(
        "Formats",
        ["", "Hz", "channels", "clips"],
        [
            [each["encoding"], f"{each['rate']:,}", str(each["channels"]), f"{each['clips']:,}"]
            for each in told["formats"]
        ],
    )
    click.echo()
    edges = told["loudness"]["rms_at_most"]
    classes = [f"at most {edges[0]:.2f}", *(f"to {edge:.2f}" for edge in edges[1:]), f"above {edges[-1]:.2f}"]
    columns = [told["loudness"][split] for split in SPLITS]
    print_table(
        "Loudness of clips",
        ["RMS", *SPLITS, "all", "share"],
        [
            [name, *_with_sum(counts), f"{sum(counts) / len(clips):.1%}"]
            for name, *counts in zip(classes, *columns, strict=True)
        ],
    )


def _with_sum(counts: Sequence[int]) -> list[str]:
    return [f"{count:,}" for count in (*counts, sum(counts))]
