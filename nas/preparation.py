"""What must be there before the first student: recordings, features, a teacher, and its logits for every clip."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.display import Display
from nas.places import Places
from nas.study_file import StudyFile
from search_spaces.architecture import InputShape
from search_spaces.errors import InputError
from search_spaces.seeds import derive_seed
from trainers.features import load_all_features
from trainers.front_end import FrontEnd
from trainers.inspection import inspect_recordings
from trainers.material import Material
from trainers.recordings import Recordings, RecordingsError, read_recordings
from trainers.synthetic import make_scenes
from trainers.teachers.logits import teacher_logits
from trainers.teachers.teaching import train_teacher
from trainers.views import load_views

log = logging.getLogger("acoustic_nas.preparation")


@dataclass(frozen=True, slots=True)
class Prepared:
    """The caches that students learn from.

    Attributes:
        features_dir: Features that the teacher hears.
        inputs: Features of every input that a student may have, by their shape.
        views: Views of every input's training clips, by its shape; empty where the study has none.
        logits_dir: What the teacher says of every clip: for all students, whatever their input.
        teacher: Scores of the teacher on the validation clips.
    """

    features_dir: Path
    inputs: dict[InputShape, Path]
    views: dict[InputShape, Path]
    logits_dir: Path
    teacher: dict[str, Any]


def find_recordings(study: StudyFile, places: Places) -> Recordings:
    """The recordings of a study, checked; synthetic ones are generated the first time.

    Raises:
        InputError: If the study names none, or something is wrong with them.
    """
    data = study.data
    if data.synthetic is not None:
        scenes = data.synthetic
        root = places.cache / f"scenes-{scenes.clips_per_scene}-{scenes.seed}"
        log.info("recordings: %s synthetic clips of each scene", f"{scenes.clips_per_scene:,}")
        return read_recordings(make_scenes(root, clips_per_scene=scenes.clips_per_scene, seed=scenes.seed))
    if data.root is None:
        raise InputError(f"the study {study.name!r} needs recordings: give their folder with --data DIR (or NAS_DATA)")
    try:
        recordings = read_recordings(data.root, data.train_list)
    except RecordingsError:
        log.info("recordings: the lists have faults; decoding every file to tell all faults at once")
        raise RecordingsError(data.root, inspect_recordings(data.root, data.train_list).faults) from None
    counts = recordings.clips["split"].value_counts()
    log.info(
        "recordings: %s training and %s test clips of %d scenes",
        f"{counts.get('train', 0):,}",
        f"{counts.get('test', 0):,}",
        len(recordings.scenes),
    )
    return recordings


def prepare(study: StudyFile, recordings: Recordings, places: Places, display: Display) -> Prepared:
    """Features, teacher and teacher logits: made now, or found in the cache.

    Raises:
        InputError, NasError: As extracting, teaching and caching do.
    """
    front_ends = list(dict.fromkeys((study.features, *study.front_ends.values())))
    shapes = ", ".join(f"{front_end.mels} x {front_end.frames}" for front_end in front_ends)
    folders = load_all_features(
        recordings, front_ends, places.cache, progress=display.stage(f"features {shapes} of clips")
    )
    features_dir = folders[study.features]
    views = _views(study, front_ends, recordings, places, display)
    material = open_material(study, features_dir, views.get(study.features))
    epochs = display.stage("epochs of the teacher")
    teacher_dir = train_teacher(
        material,
        study.teacher,
        seed=derive_seed(study.seed, "teacher"),
        cache_root=places.cache,
        threads=study.search.workers,
        progress=lambda result: epochs(result.epoch, study.teacher.epochs),
    )
    logits_dir = teacher_logits(
        material,
        [teacher_dir],
        places.cache,
        threads=study.search.workers,
        progress=display.stage("teacher logits of clips"),
    )
    scores: dict[str, Any] = json.loads((teacher_dir / "scores.json").read_text(encoding="utf-8"))
    log.info("the teacher's accuracy on the validation clips is %.1f%%", 100 * scores["accuracy"])
    inputs = {shape: folders[front_end] for shape, front_end in study.front_ends.items()}
    drawn = {shape: views[front_end] for shape, front_end in study.front_ends.items() if front_end in views}
    return Prepared(features_dir, inputs, drawn, logits_dir, scores)


def _views(
    study: StudyFile, front_ends: list[FrontEnd], recordings: Recordings, places: Places, display: Display
) -> dict[FrontEnd, Path]:
    if study.views.count == 1:
        return {}
    return {
        front_end: load_views(
            recordings,
            front_end,
            study.views,
            places.cache,
            seed=derive_seed(study.seed, "views"),
            progress=display.stage(f"views {front_end.mels} x {front_end.frames} of clips"),
        )
        for front_end in front_ends
    }


def open_material(study: StudyFile, features_dir: Path, views_dir: Path | None = None) -> Material:
    """The clips of a study, parted by its validation share and seed."""
    return Material.open(
        features_dir,
        validation_share=study.data.validation_share,
        validation_seed=validation_seed(study),
        views_dir=views_dir,
    )


def validation_seed(study: StudyFile) -> int:
    """Chooses the validation locations of a study: one set for all its students."""
    return derive_seed(study.seed, "validation")
