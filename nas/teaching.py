"""The teachers of a study: taught or opened, listened to once, and judged."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.display import Display
from nas.extraction import Extracted, front_end_of
from nas.places import Places
from nas.study_file import TeacherSection
from search_spaces.seeds import derive_seed
from trainers.copies import COPY_DEVICE
from trainers.evaluation import Scores, score
from trainers.material import Material, Part
from trainers.published import load_published
from trainers.recipe import Recipe
from trainers.teachers.logits import ensemble_logits, teacher_logits
from trainers.teachers.networks import Network, build, network_named
from trainers.teachers.starts import start_from, starting
from trainers.teachers.teacher import Teacher
from trainers.teachers.teaching import (
    published_teacher,
    read_taught,
    taught_teacher,
    train_teacher,
    tune_teacher,
)
from trainers.training import EpochResult

log = logging.getLogger("acoustic_nas.teaching")

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
        device: Where they are taught and listened to: "cpu" or "cuda".
    """

    def __init__(self, extracted: Extracted, places: Places, display: Display, device: str = "cpu") -> None:
        self._extracted = extracted
        self._study = extracted.study
        self._cache = places.cache
        self._display = display
        self._device = device

    def ensemble(self) -> Ensemble:
        """All teachers, taught on the clips of all recording devices; what was done in an earlier run is found.

        Raises:
            InputError, NasError: As teaching and caching do.
        """
        for _, member in self._members():
            self._check_start(member)
        return self._together(
            tuple(self._listened_to(name, member, per_device=False) for name, member in self._members())
        )

    def per_device(self) -> Ensemble | None:
        """The same teachers, each clip answered by what they became on its recording device; None if none of them is
        taught further or was published with models of its own for them.

        Raises:
            InputError, NasError: As teaching and caching do.
        """
        if not any(_knows_devices(member) for _, member in self._members()):
            return None
        return self._together(
            tuple(self._listened_to(name, member, per_device=True) for name, member in self._members())
        )

    def _members(self) -> Iterator[tuple[str, TeacherSection]]:
        yield from self._study.teachers.members.items()

    def _check_start(self, member: TeacherSection) -> None:
        """Tells before anything is taught that a teacher cannot begin from its file."""
        if member.start is None:
            return
        material = self._extracted.material(front_end_of(member, self._study))
        network = _network(member, material)
        module = build(network, len(material.scenes))
        start_from(module, network, member.start, material.scenes)

    def _listened_to(self, name: str, member: TeacherSection, *, per_device: bool) -> Member:
        material = self._extracted.material(front_end_of(member, self._study))
        if member.published is not None:
            teacher, seconds = published_teacher(name, member.published, per_device=per_device), None
        else:
            folders = self._taught(name, member, material, per_device=per_device)
            teacher = taught_teacher(name, *folders)
            seconds = sum(read_taught(folder).seconds for folder in (folders[0], *folders[1].values()))
        logits = teacher_logits(
            material,
            teacher,
            self._cache,
            threads=self._study.search.workers,
            device=self._device,
            progress=self._display.stage(f"logits of {name} for clips"),
        )
        return Member(teacher, logits, member.weight, seconds)

    def _taught(
        self, name: str, member: TeacherSection, material: Material, *, per_device: bool
    ) -> tuple[Path, dict[str, Path]]:
        """The folder of a teacher, and of what it became for each recording device."""
        if member.recipe is None:
            raise ValueError("a teacher that is taught has a recipe")
        shared: dict[str, Any] = {
            "seed": derive_seed(self._study.seed, "teacher", name),
            "cache_root": self._cache,
            "threads": self._study.search.workers,
            "device": self._device,
        }
        base = train_teacher(
            material,
            _network(member, material),
            member.recipe,
            start=member.start,
            progress=self._epochs(name, member.recipe),
            **shared,
        )
        if not per_device or member.per_device is None:
            return base, {}
        return base, {
            recording_device: tune_teacher(
                material,
                base,
                recording_device,
                member.per_device,
                progress=self._epochs(f"{name} for recording device {recording_device}", member.per_device),
                **shared,
            )
            for recording_device in tunable_devices(material)
        }

    def _epochs(self, name: str, recipe: Recipe) -> Callable[[EpochResult], None]:
        report = self._display.stage(f"epochs of the teacher {name}")
        return lambda result: report(result.epoch, recipe.epochs)

    def _together(self, members: tuple[Member, ...]) -> Ensemble:
        weights = [(member.logits, member.weight) for member in members]
        return Ensemble(members, ensemble_logits(weights, self._study.teachers.rule, self._cache))


def _knows_devices(member: TeacherSection) -> bool:
    if member.published is not None:
        return len(load_published(member.published).networks) > 1
    return member.per_device is not None


def _network(member: TeacherSection, material: Material) -> Network:
    if member.network is None:
        raise ValueError("a teacher that is taught is a network")
    network = network_named(member.network, material.mels, material.frames, len(material.scenes))
    return network if member.start is None else starting(network, member.start)


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
        material.logits[rows].astype(np.float32) / divisor,
        material.labels[rows],
        material.devices[rows],
        material.scenes,
        material.trained_devices,
    )
