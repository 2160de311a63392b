"""What the challenge asks for: the answers to every clip of a list, whether somebody has labelled it or not."""

import csv
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.display import Display
from search_spaces.errors import InputError
from search_spaces.whole_file import write_whole
from trainers.features import load_features
from trainers.opening import mapped_array
from trainers.systems import answers, open_system
from trainers.unlabelled import LIST, read_unlabelled

log = logging.getLogger("acoustic_nas.submission")


def answer(path: Path, data: Path, cache: Path, display: Display, *, submission: Path | None = None) -> dict[str, Any]:
    """Answers the clips of a list without scenes and writes the submission, whole or not at all; nothing is scored.

    A clip is answered by the student of its recording device, or by the base student. Features are extracted into a
    memory-mapped cache, so that a list of any length takes the memory of a few batches.

    Args:
        path: A system (see `trainers.systems`).
        data: A folder with such a list (see `trainers.unlabelled`).
        cache: Folder of the feature caches.
        submission: The file; by default `default_submission(path)`.

    Returns:
        As JSON; `answered` has the clips of each recording device by the student that answered them.

    Raises:
        InputError: If the system or the list cannot be used, or the file cannot be written.
        NasError: If a cache cannot be written.
    """
    target = (submission or default_submission(path)).absolute()
    check_place(target)
    system, recordings = open_system(path), read_unlabelled(data)
    features_dir = load_features(recordings, system.front_end, cache, progress=display.stage("features of clips"))
    names, devices = recordings.clips["filename"].tolist(), recordings.clips["device"].to_numpy(dtype=str)
    features = mapped_array(features_dir / "clips.npy", clips=len(names), dims=3)
    general, specific = answers(
        system, features, np.arange(len(names)), devices, progress=display.stage("clips that are answered")
    )
    scenes = sorted(system.scenes)
    order = [system.scenes.index(scene) for scene in scenes]
    answered: dict[str, dict[str, int]] = {device: {} for device in system.predictors}
    for device, count in zip(*map(np.ndarray.tolist, np.unique(devices, return_counts=True)), strict=True):
        answered[system.predictor(device).device][device] = count
    if system.devices and not any(answered[device] for device in system.devices):
        log.warning("no clip is of a recording device with a student of its own: the base student answers all")
    write_submission(target, names, scenes, (general if specific is None else specific)[:, order])
    return {
        "version": 1,
        "name": stem(path.absolute()),
        "system": str(path),
        "data": {
            "folder": str(recordings.root.absolute()),
            "digest": recordings.digest,
            "list": LIST,
            "clips": len(names),
        },
        "scenes": scenes,
        "answered": answered,
        "submission": str(target),
    }


def default_submission(path: Path) -> Path:
    """Beside a system, under its name."""
    return path.absolute().with_name(f"submission-{stem(path.absolute())}.csv")


def submission_csv(filenames: Sequence[str], scenes: Sequence[str], logits: npt.NDArray[np.floating[Any]]) -> str:
    """The system output of DCASE 2025 Task 1: filename, scene_label, the probability of every scene; tab separated.

    As `evaluate_submission.py` of the challenge's inference package writes it (CPJKU/dcase2025_task1_inference).

    Args:
        logits: (files, scenes).
    """
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["filename", "scene_label", *scenes])
    for name, row in zip(filenames, probabilities(logits).tolist(), strict=True):
        writer.writerow([name, scenes[int(np.argmax(row))], *row])
    return text.getvalue()


def write_submission(
    path: Path, filenames: Sequence[str], scenes: Sequence[str], logits: npt.NDArray[np.floating[Any]]
) -> None:
    """Writes `submission_csv`, whole or not at all.

    Raises:
        InputError: If the file cannot be written, or an answer is no number.
    """
    broken = ~np.isfinite(logits).all(axis=1)
    if broken.any():
        raise InputError(
            f"the answers to {broken.sum():,} clips are not finite, the first to {filenames[int(broken.argmax())]}: "
            "the system has not learnt anything usable; no submission was written"
        )
    try:
        write_whole(path.absolute(), submission_csv(filenames, scenes, logits))
    except OSError as error:
        raise InputError(f"the submission {path} cannot be written: {error.strerror or error}") from error


def check_place(path: Path) -> None:
    """Tells before the work, not after it, that a submission has no place.

    Raises:
        InputError: If there is no folder for it, or it is one.
    """
    if not path.absolute().parent.is_dir():
        raise InputError(f"the submission {path} cannot be written: there is no folder {path.absolute().parent}")
    if path.is_dir():
        raise InputError(f"the submission {path} cannot be written: it is a folder")


def probabilities(logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """The softmax of logits (files, scenes)."""
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def stem(path: Path) -> str:
    """The name of a folder, or of a file without what says its kind."""
    return path.stem if path.is_file() else path.name
