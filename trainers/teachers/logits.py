"""What the teachers say of every clip, computed once: students read it as a column and never load a teacher."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from search_spaces.errors import InputError, NasError
from trainers.cache import open_or_build
from trainers.evaluation import logits_of
from trainers.material import Material
from trainers.teachers.teaching import TeacherError, load_teacher
from trainers.threads import torch_threads
from trainers.training import channels_last

# Raise it when the same key gives other logits.
FORMAT = 1
# Clips between two reports of progress.
_CHUNK = 2048


def teacher_logits(
    material: Material,
    teachers: Sequence[Path],
    cache_root: Path,
    *,
    threads: int | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """The folder with the logits of one or more teachers for every clip, computed now or in an earlier run.

    Args:
        teachers: Folders of `teaching.train_teacher`. The logits of several are averaged; summing them, as DynaCP
            does, is the same at a temperature divided by their number.
        threads: Torch threads; by default as many as are set.
        progress: Called with (clips done, clips in all, each counted once for each teacher); never on a later run.

    Returns:
        A folder with logits.npy, float16 (clips, scenes) in the row order of the features, of the clips as they are,
        without augmentation; `Material.open` takes it as `logits_dir`, with any features of the same recordings. Its
        key is the recordings, the features and the digests of the teachers' files.

    Raises:
        TeacherError: If a teacher cannot be read.
        InputError: If there is no teacher, or one is made for other features or scenes.
        NasError: If a logit is not finite in float16.
        CacheError: If the folder cannot be written.
    """
    if not teachers:
        raise InputError("teacher logits need at least one teacher")
    key = {
        "recordings": material.recordings,
        "features": material.features_name,
        "teachers": sorted(_digest(folder) for folder in teachers),
        "format": FORMAT,
    }

    def compute(folder: Path) -> None:
        clips = len(material.labels)
        total = np.zeros((clips, len(material.scenes)), dtype=np.float32)
        for number, teacher in enumerate(teachers):
            network = channels_last(_fitting(teacher, material).to(device))
            for start in range(0, clips, _CHUNK):
                rows = np.arange(start, min(start + _CHUNK, clips))
                with torch_threads(threads):
                    total[rows] += logits_of(network, material.features, rows)
                if progress is not None:
                    progress(number * clips + int(rows[-1]) + 1, len(teachers) * clips)
        mean = total / len(teachers)
        if not (np.abs(mean) <= np.finfo(np.float16).max).all():
            raise NasError(
                f"the teacher logits reach beyond float16 (largest {np.abs(mean).max()}); "
                "the teacher has not learnt anything usable"
            )
        np.save(folder / "logits.npy", mean.astype(np.float16), allow_pickle=False)

    return open_or_build(cache_root, "teacher-logits", key, compute)


def _fitting(teacher: Path, material: Material) -> nn.Module:
    architecture, network = load_teacher(teacher)
    made_for = (architecture.input.mels, architecture.input.frames, architecture.classes)
    needed = (material.mels, material.frames, len(material.scenes))
    if made_for != needed:
        raise InputError(
            f"the teacher in {teacher} is made for mels, frames and scenes {made_for}, but the features have {needed}; "
            "teach one on these features"
        )
    return network


def _digest(teacher: Path) -> str:
    """Of the two files that decide what a teacher says."""
    whole = hashlib.sha256()
    for name in ("architecture.json", "weights.safetensors"):
        try:
            with (teacher / name).open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise TeacherError(
                f"{teacher / name} cannot be read ({error.strerror}); teach the teacher again"
            ) from error
    return whole.hexdigest()
