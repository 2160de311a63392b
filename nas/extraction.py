"""What all the networks of a study hear: features, and views of the training clips, for every front end among them."""

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from nas.display import Display
from nas.places import Places
from nas.study_file import StudyFile, TeacherSection
from search_spaces.seeds import derive_seed
from trainers.features import load_all_features
from trainers.front_end import FrontEnd
from trainers.material import Material
from trainers.published import load_published
from trainers.recordings import Recordings
from trainers.views import load_views


@dataclass(frozen=True, slots=True)
class Extracted:
    """The caches of a study's features.

    Attributes:
        study: The study.
        features: Of every clip, by front end.
        views: Of the training clips, by front end; empty where the study has none.
    """

    study: StudyFile
    features: dict[FrontEnd, Path]
    views: dict[FrontEnd, Path]

    def material(self, front_end: FrontEnd, logits: Path | None = None) -> Material:
        """The clips as one front end hears them."""
        return open_material(self.study, self.features[front_end], logits, self.views.get(front_end))


def extract(study: StudyFile, recordings: Recordings, places: Places, display: Display) -> Extracted:
    """Every feature and view that students and teachers need: extracted now, or found in the cache.

    Raises:
        InputError, NasError: As extracting and caching do.
    """
    teachers = (front_end_of(member, study) for member in study.teachers.members.values())
    needed = list(dict.fromkeys((study.features, *study.front_ends.values(), *teachers)))
    features: dict[FrontEnd, Path] = {}
    for _, together in groupby(sorted(needed, key=_rate), key=_rate):
        front_ends = list(together)
        shapes = ", ".join(f"{front_end.mels} x {front_end.frames}" for front_end in front_ends)
        stage = display.stage(f"features {shapes} of clips")
        features |= load_all_features(recordings, front_ends, places.cache, progress=stage)
    views = {}
    if study.views.count > 1:
        for front_end in needed:
            views[front_end] = load_views(
                recordings,
                front_end,
                study.views,
                places.cache,
                seed=derive_seed(study.seed, "views"),
                progress=display.stage(f"views {front_end.mels} x {front_end.frames} of clips"),
            )
    return Extracted(study, features, views)


def open_material(
    study: StudyFile, features_dir: Path, logits_dir: Path | None = None, views_dir: Path | None = None
) -> Material:
    """The clips of a study, parted by its validation share and seed."""
    return Material.open(
        features_dir,
        validation_share=study.data.validation_share,
        validation_seed=validation_seed(study),
        logits_dir=logits_dir,
        views_dir=views_dir,
    )


def front_end_of(member: TeacherSection, study: StudyFile) -> FrontEnd:
    """What a teacher hears: for a published one what it was taught on.

    Raises:
        CheckpointError: If the file of a published one cannot be used.
    """
    if member.published is not None:
        return load_published(member.published).layout.front_end
    return member.features or study.features


def validation_seed(study: StudyFile) -> int:
    """Chooses the validation locations of a study: one set for all its students and teachers."""
    return derive_seed(study.seed, "validation")


def _rate(front_end: FrontEnd) -> int:
    return front_end.sample_rate
