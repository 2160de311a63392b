"""From a trial of a study to a checked bundle."""

from pathlib import Path
from typing import Any

from nas.extraction import open_material
from nas.places import Places
from nas.study_file import study_from_json
from search_spaces.architecture import Architecture, InputShape
from search_spaces.errors import InputError, NasError
from search_spaces.forms import Form
from studies.best import choose
from studies.records import StudyHead, read_study, read_trials
from trainers.export import verify_bundle, write_bundle
from trainers.students import load_student

EXAMPLES = 4
"""Clips in a bundle for whoever ports it: the first ones of the validation list."""


def export(name: str, which: str, places: Places, output: Path | None) -> dict[str, Any]:
    """Writes one trained student as a bundle and reads it back.

    Args:
        which: "best", "smallest", "fastest" or a trial's number.
        output: Folder of the bundle; by default in the study's own.

    Returns:
        `folder`, `trial`, `accuracy`, `form`, `weight_bytes`, `macs`, and `checked`: the files whose network was run.

    Raises:
        InputError: If there is no such study or trial.
        NasError: If the student's weights or the features are gone, or the bundle does not agree with itself.
    """
    head = read_study(places.storage, name)
    trial = choose(read_trials(places.storage, name), which)
    number, proposal, outcome = int(str(trial["number"])), _dict(trial["proposal"]), _dict(trial["outcome"])
    architecture = Architecture.from_json(proposal["architecture"])
    deployed = proposal["cost"]["deployed"]
    study = study_from_json(head.study_file, name)
    material = open_material(study, _features(head, places, architecture.input))
    folder = (output or places.study(name) / f"export-{number}").absolute()
    scores = {"validation": scores_of(outcome)}
    if head.test is not None and head.test["trial"] == number:
        scores["test"] = head.test["scores"]
    write_bundle(
        folder,
        network=load_student(architecture, places.student(name, number), outcome),
        architecture=architecture,
        form=Form(deployed["form"]),
        front_end=study.front_ends[architecture.input].to_json(),
        scenes=material.scenes,
        scores=scores,
        budget=head.budget,
        provenance={"study": name, "trial": number, "seed": head.study_file["seed"], **head.provenance},
        examples=material.features[material.rows["validation"][:EXAMPLES]],
    )
    report = verify_bundle(folder)
    return {
        "folder": str(folder),
        "trial": number,
        "accuracy": outcome["accuracy"],
        "form": deployed["form"],
        "weight_bytes": report.weight_bytes,
        "macs": deployed["macs"],
        "checked": ["model.safetensors", "model.onnx"],
    }


def scores_of(outcome: dict[str, Any]) -> dict[str, Any]:
    """The scores in the outcome of a student, without its curve."""
    return {name: outcome[name] for name in ("accuracy", "log_loss", "clips", "scenes", "devices", "groups")}


def _features(head: StudyHead, places: Places, shape: InputShape) -> Path:
    known = head.provenance.get("inputs", {}).get(f"{shape.mels}x{shape.frames}")
    if known is None:
        raise InputError(
            f"the study {head.name!r} has no features of {shape.mels} x {shape.frames} yet; "
            f"`nas resume {head.name}` makes them"
        )
    folder = places.cache / str(known)
    if not folder.is_dir():
        raise NasError(f"the features {folder} are gone; `nas resume {head.name}` makes them again")
    return folder


def _dict(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected the record of a complete trial, found {type(value).__name__}")
    return value
