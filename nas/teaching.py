"""The teachers of a study: taught or opened, listened to once, and judged."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.display import Display
from nas.extraction import Extracted
from nas.places import Places
from nas.processes import run_all
from nas.study_file import TeacherSection
from nas.teaching_tasks import Listen, Pupil, Teach, Tune
from trainers.copies import COPY_DEVICE
from trainers.evaluation import Scores, score
from trainers.material import Material, Part
from trainers.published import load_published
from trainers.teachers.logits import ensemble_logits
from trainers.teachers.networks import build
from trainers.teachers.starts import start_from
from trainers.teachers.teacher import Teacher
from trainers.teachers.teaching import read_taught

# Clips of a recording device; with fewer, batch norm would learn from next to nothing.
_FEWEST = 16


@dataclass(frozen=True, slots=True)
class Member:
    """A teacher of an ensemble.

    Attributes:
        logits: The cache of what it says.
        weight: Its share in the ensemble.
        seconds: For which it was taught; None if it was not taught here.
    """

    teacher: Teacher
    logits: Path
    weight: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Teachers that speak together.

    Attributes:
        logits: The cache of what they say.
    """

    members: tuple[Member, ...]
    logits: Path


class Classroom:
    """The teachers of a study.

    Args:
        extracted: What they hear.
        device: Where they are taught and listened to: "cpu", as many at once as the study has workers, or "cuda", one
            after the other.
    """

    def __init__(self, extracted: Extracted, places: Places, display: Display, device: str = "cpu") -> None:
        self._extracted = extracted
        self._cache = places.cache
        self._display = display
        self._at_once = extracted.study.search.workers if device == "cpu" else 1
        self._pupils = [
            Pupil(extracted, name, member, places.cache, device)
            for name, member in extracted.study.teachers.members.items()
        ]

    def ensemble(self) -> Ensemble:
        """All teachers, taught on the clips of all recording devices; what was done in an earlier run is found.

        Raises:
            InputError, NasError: As teaching and caching do.
        """
        return self._together(per_device=False)

    def per_device(self) -> Ensemble | None:
        """The same teachers, each clip answered by what they became on its recording device; None if none of them is
        taught further or was published with models of its own for them.

        Raises:
            InputError, NasError: As teaching and caching do.
        """
        if not any(_knows_devices(pupil.member) for pupil in self._pupils):
            return None
        return self._together(per_device=True)

    def _together(self, *, per_device: bool) -> Ensemble:
        bases = self._taught()
        tuned = self._tuned(bases) if per_device else {}
        listening = [
            Listen(pupil, bases.get(pupil.name), tuned.get(pupil.name, {}), per_device) for pupil in self._pupils
        ]
        folders = run_all(listening, self._at_once, self._display)
        members = tuple(
            Member(each.teacher(), folder, each.pupil.member.weight, _seconds(each))
            for each, folder in zip(listening, folders, strict=True)
        )
        weights = [(member.logits, member.weight) for member in members]
        return Ensemble(members, ensemble_logits(weights, self._extracted.study.teachers.rule, self._cache))

    def _taught(self) -> dict[str, Path]:
        """The folder of every teacher that is taught, by its name."""
        pupils = [pupil for pupil in self._pupils if pupil.member.published is None]
        for pupil in pupils:
            _check_start(pupil)
        folders = run_all([Teach(pupil) for pupil in pupils], self._at_once, self._display)
        return {pupil.name: folder for pupil, folder in zip(pupils, folders, strict=True)}

    def _tuned(self, bases: Mapping[str, Path]) -> dict[str, dict[str, Path]]:
        """By the name of each teacher that is taught further, its folders by recording device."""
        tuning = [
            Tune(pupil, bases[pupil.name], recording_device)
            for pupil in self._pupils
            if pupil.member.per_device is not None
            for recording_device in tunable_devices(pupil.material())
        ]
        tuned: dict[str, dict[str, Path]] = defaultdict(dict)
        for each, folder in zip(tuning, run_all(tuning, self._at_once, self._display), strict=True):
            tuned[each.pupil.name][each.recording_device] = folder
        return tuned


def _check_start(pupil: Pupil) -> None:
    """Tells before anything is taught that a teacher cannot begin from its file."""
    if pupil.member.start is None:
        return
    material = pupil.material()
    network = pupil.network(material)
    start_from(build(network, len(material.scenes)), network, pupil.member.start, material.scenes)


def _knows_devices(member: TeacherSection) -> bool:
    if member.published is not None:
        return len(load_published(member.published).networks) > 1
    return member.per_device is not None


def _seconds(listening: Listen) -> float | None:
    if listening.base is None:
        return None
    return sum(read_taught(folder).seconds for folder in (listening.base, *listening.tuned.values()))


def tunable_devices(material: Material) -> list[str]:
    """The recording devices for which there are clips enough to teach a teacher further, in order.

    Not the device of copies, which stands for many microphones.
    """
    names, counts = np.unique(material.devices[material.rows["fit"]], return_counts=True)
    return [
        str(name) for name, count in zip(names, counts, strict=True) if count >= _FEWEST and str(name) != COPY_DEVICE
    ]


def report_of(extracted: Extracted, ensemble: Ensemble, part: Part) -> list[dict[str, Any]]:
    """How good each teacher is over one part of the clips, and last, of several, the ensemble.

    Returns:
        For each `name`, `parameters`, `seconds` (None where it was not taught here) and `scores`. The log loss of the
        ensemble is that of the weighted mean, also where students are told the sum, which is only sharper.
    """
    study = extracted.study
    rows = [
        {
            "name": member.teacher.name,
            "parameters": member.teacher.parameters,
            "seconds": member.seconds,
            "scores": _scores(extracted, member.logits, part).to_json(),
        }
        for member in ensemble.members
    ]
    if len(rows) == 1:
        return rows
    total = sum(member.weight for member in ensemble.members) if study.teachers.rule == "sum" else 1.0
    seconds = [member.seconds for member in ensemble.members if member.seconds is not None]
    whole = {
        "name": "ensemble",
        "parameters": sum(member.teacher.parameters for member in ensemble.members),
        "seconds": sum(seconds) if seconds else None,
        "scores": _scores(extracted, ensemble.logits, part, total).to_json(),
    }
    return [*rows, whole]


def _scores(extracted: Extracted, logits: Path, part: Part, divisor: float = 1.0) -> Scores:
    material = extracted.material(extracted.study.features, logits)
    if material.logits is None:
        raise ValueError("the material was opened without its logits")
    rows = material.rows[part]
    return score(
        material.logits[rows].astype(np.float64) / divisor,
        material.labels[rows],
        material.devices[rows],
        material.scenes,
        material.trained_devices,
    )
