"""What teachers say of every clip and of every view, computed once: students read it and never load a teacher."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import nn

from search_spaces.errors import InputError, NasError
from trainers.cache import finished, open_or_build
from trainers.cached_logits import CLEAN, ENSEMBLE, SUMS, TEACHER, VIEWS, CachedLogits, sha256_of
from trainers.clip_arrays import clip_array
from trainers.evaluation import logits_of
from trainers.material import Material
from trainers.published import BASE
from trainers.teachers.teacher import Teacher
from trainers.threads import torch_threads
from trainers.training import channels_last

Rule = Literal["mean", "sum"]

# Raise it when the same key gives other logits.
FORMAT = 2
# Clips and views between two reports of progress, and rows of an ensemble in memory at once.
CHUNK = 2048


def teacher_logits(
    material: Material,
    teacher: Teacher,
    cache_root: Path,
    *,
    threads: int | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """The folder with what one teacher says of every clip, and of every view of the training clips.

    Each clip is answered by the network of its own recording device, where the teacher has one, else by its base. A
    view is heard as it is, with all that is mixed into its waveform: nothing is mixed afterwards.

    Args:
        material: Of the teacher's front end. Teacher logits in it play no part.
        threads: Torch threads; by default as many as are set.
        progress: Called with (clips and views done, clips and views in all); never on a later run.

    Returns:
        A folder with logits.npy, float16 (clips, scenes) in the row order of the features, of the clips as they are,
        and, if the material has views, views.npy, float16 (training clips, views, scenes), the scenes in the order of
        the material; `Material.open` takes it as `logits_dir`, with any features of the same recordings. Its key is
        the recordings, the features, the draws of the views, the scenes and the digest of the teacher.

    Raises:
        InputError: If the teacher lacks a scene of the material, or cannot hear its features.
        NasError: If a logit is not finite in float16.
        CacheError: If the folder cannot be written.
    """
    columns = _columns(teacher, material.scenes)
    views = material.views

    def compute(folder: Path) -> None:
        networks = {name: channels_last(network.to(device)) for name, network in teacher.networks().items()}
        clips, scenes = len(material.labels), len(columns)
        total = clips + (0 if views is None else views.partners.size)
        done = 0

        def said(features: npt.NDArray[np.float16], devices: npt.NDArray[np.str_]) -> npt.NDArray[np.float16]:
            nonlocal done
            logits = _said(teacher, networks, features, devices)[:, columns]
            done += len(features)
            if progress is not None:
                progress(done, total)
            return _half(logits, f"the logits of the teacher {teacher.name}", "it has not learnt anything usable")

        with torch_threads(threads):
            plain = (said(material.features[rows], material.devices[rows]) for rows in _chunks(clips, CHUNK))
            _write(folder / CLEAN, (clips, scenes), plain)
            if views is not None:
                number, shape = views.partners.shape[1], material.features.shape[1:]
                drawn = (
                    said(views.features[rows].reshape(-1, *shape), np.repeat(material.devices[rows], number))
                    for rows in _chunks(len(views.features), CHUNK // number)
                )
                _write(folder / VIEWS, (len(views.features), number, scenes), drawn)
        _write_sums(folder)

    return open_or_build(cache_root, TEACHER, _key(material, teacher), compute)


def find_teacher_logits(material: Material, teacher: Teacher, cache_root: Path) -> Path | None:
    """The folder of `teacher_logits` of an earlier run, if there is one."""
    return finished(cache_root, TEACHER, _key(material, teacher))


def _key(material: Material, teacher: Teacher) -> dict[str, Any]:
    return {
        "recordings": material.recordings,
        "features": material.features_name,
        "views": None if material.views is None else material.views.draws,
        "teacher": teacher.digest,
        "scenes": list(material.scenes),
        "format": FORMAT,
    }


def ensemble_logits(members: Sequence[tuple[Path, float]], rule: Rule, cache_root: Path) -> Path:
    """The folder with what an ensemble says, of what its members do.

    Args:
        members: Folders of `teacher_logits`, each with its weight w > 0. Their order plays no part.
        rule: "mean" is sum w z / sum w over the members' logits z, "sum" is sum w z. The sum is the mean at a
            temperature divided by the sum of the weights.

    Returns:
        A folder with the same files as its members'.

    Raises:
        InputError: If there is no member, a weight is not a finite number above 0, or members are of other recordings,
            views or scenes than the first.
        MaterialError: If a member is damaged.
        NasError: If a logit is not finite in float16.
        CacheError: If the folder cannot be written.
    """
    weights = [float(weight) for _, weight in members]
    if not members:
        raise InputError("an ensemble needs at least one teacher")
    if not (all(weight > 0 for weight in weights) and math.isfinite(sum(weights))):
        raise InputError(f"the weights of an ensemble must be finite and above 0, not {weights}")
    first, *others = opened = [CachedLogits.at(folder) for folder, _ in members]
    for each in others:
        for part in ("recordings", "draws", "scenes"):
            if getattr(each, part) != getattr(first, part):
                what = "views" if part == "draws" else part
                raise InputError(
                    f"the teacher logits in {each.folder} are of other {what} than those in {first.folder}; "
                    "the teachers of an ensemble hear the same"
                )
    # In the order of their names, so that equal ensembles are equal to the last bit.
    sorted_members = sorted(zip(opened, weights, strict=True), key=lambda member: (member[0].folder.name, member[1]))
    key = {
        "members": [[each.folder.name, weight] for each, weight in sorted_members],
        "rule": rule,
        "recordings": first.recordings,
        "views": first.draws,
        "scenes": list(first.scenes),
        "format": FORMAT,
    }

    def compute(folder: Path) -> None:
        shares = np.array([weight for _, weight in sorted_members])
        if rule == "mean":
            shares /= shares.sum()
        arrays = {CLEAN: [each.clean() for each, _ in sorted_members]}
        if first.draws is not None:
            arrays[VIEWS] = [each.views() for each, _ in sorted_members]
        for name, logits in arrays.items():
            _write(folder / name, logits[0].shape, _combined(logits, shares, rule))
        _write_sums(folder)

    return open_or_build(cache_root, ENSEMBLE, key, compute)


def _columns(teacher: Teacher, scenes: tuple[str, ...]) -> list[int]:
    """Where the teacher has each of the scenes."""
    missing = [scene for scene in scenes if scene not in teacher.scenes]
    if missing:
        raise InputError(
            f"the teacher {teacher.name} does not know the scene {', '.join(missing)}, only "
            f"{', '.join(teacher.scenes)}; choose a teacher of the scenes in the data"
        )
    return [teacher.scenes.index(scene) for scene in scenes]


def _said(
    teacher: Teacher,
    networks: Mapping[str, nn.Module],
    features: npt.NDArray[np.float16],
    devices: npt.NDArray[np.str_],
) -> npt.NDArray[np.float32]:
    """(clips, scenes of the teacher): each clip answered by the network of its recording device."""
    logits = np.empty((len(features), len(teacher.scenes)), dtype=np.float32)
    speakers = np.where(np.isin(devices, list(networks)), devices, BASE)
    for speaker in np.unique(speakers):
        rows = np.flatnonzero(speakers == speaker)
        try:
            told = logits_of(networks[speaker], features, rows)
        except (IndexError, RuntimeError, TypeError, ValueError) as error:
            raise _deaf(teacher, features, f"its network {speaker} fails: {error}") from error
        if told.shape != (len(rows), len(teacher.scenes)):
            raise _deaf(
                teacher,
                features,
                f"its network {speaker} gives {told.shape} for {len(rows)} clips and {len(teacher.scenes)} scenes",
            )
        logits[rows] = told
    return logits


def _deaf(teacher: Teacher, features: npt.NDArray[np.float16], reason: str) -> InputError:
    mels, frames = features.shape[1:]
    return InputError(
        f"the teacher {teacher.name} cannot hear features of {mels} x {frames} ({reason}); "
        "give it those it was taught on"
    )


def _combined(
    members: Sequence[npt.NDArray[np.float16]], shares: npt.NDArray[np.float64], rule: Rule
) -> Iterator[npt.NDArray[np.float16]]:
    advice = "take their mean" if rule == "sum" else "a teacher has not learnt anything usable"
    for rows in _chunks(len(members[0]), CHUNK):
        total = sum(share * logits[rows].astype(np.float64) for share, logits in zip(shares, members, strict=True))
        yield _half(np.asarray(total), f"the {rule} of the teachers' logits", advice)


def _half(logits: npt.NDArray[np.floating[Any]], whose: str, advice: str) -> npt.NDArray[np.float16]:
    with np.errstate(over="ignore"):
        half = logits.astype(np.float16)
    if not np.isfinite(half).all():
        raise NasError(f"{whose} reach beyond float16 (largest {np.abs(logits).max()}); {advice}")
    return half


def _chunks(rows: int, size: int) -> Iterator[slice]:
    step = max(size, 1)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def _write(path: Path, shape: tuple[int, ...], chunks: Iterable[npt.NDArray[np.float16]]) -> None:
    with clip_array(path, shape) as write:
        for chunk in chunks:
            write(chunk)


def _write_sums(folder: Path) -> None:
    sums = {path.name: sha256_of(path) for path in sorted(folder.glob("*.npy"))}
    (folder / SUMS).write_text(json.dumps(sums, indent=2) + "\n", encoding="utf-8")
