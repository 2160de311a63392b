"""predict: which scenes recordings come from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from nas.cli.options import as_json, print_json, with_output

Answers = Sequence[tuple[Path, list[list[float]]]]
"""For every recording that was read, the probabilities (seconds, scenes)."""


@click.command("predict")
@click.argument("model", metavar="CHECKPOINT_OR_EXPORT", type=click.Path(path_type=Path))
@click.argument("recordings", metavar="WAV...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--device", help="Recording device, where a checkpoint has a model for each; default: the general model.")
@as_json
@with_output
def command(model: Path, recordings: tuple[Path, ...], device: str | None, as_json: bool) -> int:
    """The scene of every second of recordings, as an exported student or a published checkpoint hears it.

    CHECKPOINT_OR_EXPORT is the folder of an export, or a checkpoint of CP-Mobile 2023, of CP-Mobile 2025 (also with a
    model for each recording device) or of the Sharif student. A recording that cannot be read is named, the others are
    answered, and the exit code is 2.
    """
    from nas.cli import DONE, WRONG
    from trainers.audio import AudioError
    from trainers.predictions import open_predictor
    from trainers.published import BASE

    predictor = open_predictor(model, device)
    answers = []
    for path in recordings:
        try:
            probabilities = predictor.probabilities(path)
        except AudioError as error:
            click.echo(f"Error: {error}", err=True)
        else:
            answers.append((path, probabilities.tolist()))
    if as_json:
        _print_json(model, predictor.name, predictor.device, predictor.scenes, answers)
    elif answers:
        own = "" if predictor.device == BASE else f", recording device {predictor.device}"
        _print(predictor.name + own, predictor.scenes, answers)
    return DONE if len(answers) == len(recordings) else WRONG


def _print_json(model: Path, name: str, device: str, scenes: Sequence[str], answers: Answers) -> None:
    clips: list[dict[str, Any]] = [
        {
            "file": str(path),
            "start": float(start),
            "scene": _ranked(scenes, probabilities)[0][0],
            "probabilities": dict(zip(scenes, probabilities, strict=True)),
        }
        for path, seconds in answers
        for start, probabilities in enumerate(seconds)
    ]
    described = {"path": str(model), "name": name, "device": device}
    print_json({"version": 1, "model": described, "scenes": list(scenes), "clips": clips})


def _print(title: str, scenes: Sequence[str], answers: Answers) -> None:
    from rich.markup import escape

    from nas.cli.tables import print_table

    rows = []
    for path, seconds in answers:
        name = escape(click.format_filename(path))
        mean = [sum(column) / len(seconds) for column in zip(*seconds, strict=True)]
        for start, probabilities in [*enumerate(seconds), ("mean", mean)]:
            first, *next_two = _ranked(scenes, probabilities)[:3]
            words = [f"{scene} {probability:.3f}" for scene, probability in next_two]
            rows.append([name, str(start), first[0], f"{first[1]:.3f}", ", ".join(words)])
    print_table(title, ["recording", "start s", "scene", "probability", "next"], rows)


def _ranked(scenes: Sequence[str], probabilities: Sequence[float]) -> list[tuple[str, float]]:
    """Scenes with their probabilities, the most probable first."""
    return sorted(zip(scenes, probabilities, strict=True), key=lambda pair: -pair[1])
