"""teach: the teachers of a study, before any student."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from nas.cli.options import CONSOLE, as_json, print_json, with_output, with_places
from nas.cli.study_options import study_given, study_options
from nas.places import Places


@click.command("teach")
@click.argument("study")
@study_options
@click.option("--test", is_flag=True, help="Judge them on the test list as well; nothing is chosen by it.")
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Where to compute."
)
@as_json
@with_places
@with_output
def command(
    study: str,
    data: Path | None,
    workers: int | None,
    seed: int | None,
    settings: tuple[str, ...],
    test: bool,
    device: str,
    as_json: bool,
    places: Places,
) -> None:
    """Teach the teachers of a STUDY (a preset or a study file) and cache what they say of every clip and view.

    What was taught before is found again; Ctrl-C loses the teacher in hand and no other. `nas search` does the same
    when it begins, but leaves the teachers of single recording devices out.
    """
    import torch

    from nas.display import Display
    from nas.extraction import extract
    from nas.preparation import find_recordings
    from nas.teaching import Classroom, report_of

    if device == "cuda" and not torch.cuda.is_available():
        raise click.BadParameter("torch finds no GPU here; leave it out to compute on the CPU", param_hint="--device")
    study_file = study_given(study, data, settings, {"search.workers": workers, "seed": seed})
    display = Display(CONSOLE)
    with display.shown():
        extracted = extract(study_file, find_recordings(study_file, places), places, display)
        classroom = Classroom(extracted, places, display, device)
        ensembles = {"all recording devices": classroom.ensemble(), "each recording device": classroom.per_device()}
        reports = [
            {
                "taught_for": taught_for,
                "part": part,
                "teachers": report_of(extracted, ensemble, part),
                "cache": str(ensemble.logits),
            }
            for part in (("validation", "test") if test else ("validation",))
            for taught_for, ensemble in ensembles.items()
            if ensemble is not None
        ]
    if as_json:
        print_json({"version": 1, "name": study_file.name, "reports": reports})
        return
    for report in reports:
        _print(report)


def _print(report: Mapping[str, Any]) -> None:
    from nas.cli.tables import print_table
    from studies.words import duration

    def row(teacher: Mapping[str, Any]) -> Sequence[str]:
        scores = teacher["scores"]
        return [
            teacher["name"],
            f"{teacher['parameters']:,}",
            "" if teacher["seconds"] is None else duration(teacher["seconds"]),
            *(f"{scores['groups'][group]:.1%}" if group in scores["groups"] else "" for group in groups),
            f"{scores['accuracy']:.1%}",
            f"{scores['log_loss']:.3f}",
        ]

    groups = ("real", "seen", "unseen")
    title = f"Taught for {report['taught_for']}, judged on the {report['part']} clips"
    print_table(
        title, ["", "parameters", "taught in", *groups, "accuracy", "log loss"], list(map(row, report["teachers"]))
    )
    click.echo(f"What they say of every clip: {report['cache']}\n")
