"""Teaching a teacher and listening to it, as tasks for processes of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.display import Report
from nas.extraction import Extracted, front_end_of
from nas.study_file import TeacherSection
from search_spaces.seeds import derive_seed
from trainers.material import Material
from trainers.recipe import Recipe
from trainers.teachers.logits import find_teacher_logits, teacher_logits
from trainers.teachers.networks import Network, network_named
from trainers.teachers.starts import starting
from trainers.teachers.teacher import Teacher
from trainers.teachers.teaching import (
    find_teacher,
    published_teacher,
    read_taught,
    taught_teacher,
    train_teacher,
)


@dataclass(frozen=True, slots=True)
class Pupil:
    """A teacher before it is one.

    Attributes:
        extracted: What there is to hear.
        name: Of the teacher.
        member: What the study file says of it.
        cache: Folder of all caches.
        device: Where to compute.
    """

    extracted: Extracted
    name: str
    member: TeacherSection
    cache: Path
    device: str

    def material(self) -> Material:
        """The clips as it hears them."""
        return self.extracted.material(front_end_of(self.member, self.extracted.study))

    def network(self, material: Material) -> Network:
        """What it is, where it is taught."""
        if self.member.network is None:
            raise ValueError("a teacher that is taught is a network")
        network = network_named(self.member.network, material.mels, material.frames, len(material.scenes))
        return network if self.member.start is None else starting(network, self.member.start)

    @property
    def seed(self) -> int:
        """Of its training."""
        return derive_seed(self.extracted.study.seed, "teacher", self.name)


@dataclass(frozen=True, slots=True)
class Teach:
    """Teaches a teacher on the clips of all recording devices."""

    pupil: Pupil

    @property
    def what(self) -> str:
        return f"epochs of the teacher {self.pupil.name}"

    def found(self) -> Path | None:
        material = self.pupil.material()
        return find_teacher(material, self.pupil.network(material), self._recipe, **self._rest)

    def run(self, threads: int, report: Report) -> Path:
        material = self.pupil.material()
        return train_teacher(
            material,
            self.pupil.network(material),
            self._recipe,
            **self._rest,
            threads=threads,
            device=self.pupil.device,
            progress=lambda result: report(result.epoch, self._recipe.epochs),
        )

    @property
    def _recipe(self) -> Recipe:
        return _given(self.pupil.member.recipe)

    @property
    def _rest(self) -> dict[str, Any]:
        return {"seed": self.pupil.seed, "cache_root": self.pupil.cache, "start": self.pupil.member.start}


@dataclass(frozen=True, slots=True)
class Tune:
    """Teaches a teacher further, on the clips of one recording device.

    Attributes:
        base: The folder of the teacher.
    """

    pupil: Pupil
    base: Path
    recording_device: str

    @property
    def what(self) -> str:
        return f"epochs of the teacher {self.pupil.name} for recording device {self.recording_device}"

    def found(self) -> Path | None:
        return find_teacher(self._material(), read_taught(self.base).network, self._recipe, **self._rest)

    def run(self, threads: int, report: Report) -> Path:
        return train_teacher(
            self._material(),
            read_taught(self.base).network,
            self._recipe,
            **self._rest,
            threads=threads,
            device=self.pupil.device,
            progress=lambda result: report(result.epoch, self._recipe.epochs),
        )

    def _material(self) -> Material:
        return self.pupil.material().of_device(self.recording_device)

    @property
    def _recipe(self) -> Recipe:
        return _given(self.pupil.member.per_device)

    @property
    def _rest(self) -> dict[str, Any]:
        seed = derive_seed(self.pupil.seed, self.recording_device)
        return {"seed": seed, "cache_root": self.pupil.cache, "start": self.base}


@dataclass(frozen=True, slots=True)
class Listen:
    """Caches what a teacher says of every clip and view.

    Attributes:
        base: The folder of the teacher; None for a published one.
        tuned: What it became for single recording devices.
        per_device: Whether a published one answers with its own model for each recording device.
    """

    pupil: Pupil
    base: Path | None
    tuned: Mapping[str, Path]
    per_device: bool

    @property
    def what(self) -> str:
        return f"logits of {self.pupil.name} for clips"

    def teacher(self) -> Teacher:
        """Who is listened to."""
        if self.base is not None:
            return taught_teacher(self.pupil.name, self.base, self.tuned)
        if self.pupil.member.published is None:
            raise ValueError("a teacher is taught or published")
        return published_teacher(self.pupil.name, self.pupil.member.published, per_device=self.per_device)

    def found(self) -> Path | None:
        return find_teacher_logits(self.pupil.material(), self.teacher(), self.pupil.cache)

    def run(self, threads: int, report: Report) -> Path:
        return teacher_logits(
            self.pupil.material(),
            self.teacher(),
            self.pupil.cache,
            threads=threads,
            device=self.pupil.device,
            progress=report,
        )


def _given(recipe: Recipe | None) -> Recipe:
    if recipe is None:
        raise ValueError("a teacher that is taught has a recipe")
    return recipe
