"""What must be there before the first student: recordings, features, teachers, and their logits for every clip."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.display import Display
from nas.extraction import extract
from nas.places import Places
from nas.study_file import StudyFile
from nas.teaching import Classroom, report_of
from search_spaces.architecture import InputShape
from search_spaces.errors import InputError
from trainers.inspection import inspect_recordings
from trainers.recordings import Recordings, RecordingsError, read_recordings
from trainers.synthetic import make_scenes

log = logging.getLogger("acoustic_nas.preparation")


@dataclass(frozen=True, slots=True)
class Prepared:
    """The caches that students learn from.

    Attributes:
        features_dir: The study's own features.
        inputs: Features of every input that a student may have, by their shape.
        views: Views of every input's training clips, by its shape; empty where the study has none.
        logits_dir: What the teachers say of every clip and view: for all students, whatever their input.
        teachers: How good they are on the validation clips, the ensemble of several last; see `teaching.report_of`.
    """

    features_dir: Path
    inputs: dict[InputShape, Path]
    views: dict[InputShape, Path]
    logits_dir: Path
    teachers: list[dict[str, Any]]


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
    """Features, teachers and their logits: made now, or found in the cache.

    Raises:
        InputError, NasError: As extracting, teaching and caching do.
    """
    extracted = extract(study, recordings, places, display)
    ensemble = Classroom(extracted, places, display).ensemble()
    teachers = report_of(extracted, ensemble, "validation")
    for teacher in teachers:
        log.info("%s: accuracy %.1f%% on the validation clips", teacher["name"], 100 * teacher["scores"]["accuracy"])
    inputs = {shape: extracted.features[front_end] for shape, front_end in study.front_ends.items()}
    views = {
        shape: extracted.views[front_end]
        for shape, front_end in study.front_ends.items()
        if front_end in extracted.views
    }
    return Prepared(extracted.features[study.features], inputs, views, ensemble.logits, teachers)
