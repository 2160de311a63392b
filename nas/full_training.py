"""Teaching an exported student in full: one for all recording devices, then one for each where that is better."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.display import Display, Report
from nas.export import EXAMPLES, scores_of
from nas.extraction import Extracted, extract, validation_seed
from nas.places import Places
from nas.preparation import find_recordings
from nas.processes import run_all
from nas.study_file import StudyFile, study_from_json
from nas.teaching import Classroom, tunable_devices
from search_spaces.architecture import Architecture
from search_spaces.budget import Budget
from search_spaces.cost import excess_over, form_cost
from search_spaces.errors import InputError
from search_spaces.forms import Form
from search_spaces.seeds import derive_seed
from studies.records import read_study
from trainers.cache import replacing, sole_builder
from trainers.export import Int8Student, int8_cost, load_bundle, verify_bundle, write_bundle
from trainers.material import Material
from trainers.published import BASE
from trainers.students import Lesson, Student, finished_outcome, judged, load_int8_student, load_student
from trainers.systems import write_system


@dataclass(frozen=True, slots=True)
class TeachStudent:
    """Teaches one student to the end, as a task for a process of its own.

    Attributes:
        name: For people.
        folder: Where the student goes; it carries on from what lies there of the same lesson.
    """

    name: str
    lesson: Lesson
    folder: Path

    @property
    def what(self) -> str:
        return f"epochs of the student {self.name}"

    def found(self) -> Path | None:
        return None if finished_outcome(self.lesson, self.folder) is None else self.folder

    def run(self, threads: int, report: Report) -> Path:
        student = Student(self.lesson, self.folder)
        while student.epoch() is None:
            report(len(student.curve), self.lesson.recipe.epochs)
        report(self.lesson.recipe.epochs, self.lesson.recipe.epochs)
        return self.folder

    @property
    def outcome(self) -> dict[str, Any]:
        """Of the student once it is there."""
        outcome = finished_outcome(self.lesson, self.folder)
        if outcome is None:
            raise ValueError(f"the student {self.name} is not taught yet")
        return outcome


def train(
    export: Path,
    places: Places,
    display: Display,
    *,
    overrides: Mapping[str, Any] | None = None,
    output: Path | None = None,
    int8: bool = False,
) -> dict[str, Any]:
    """Teaches the architecture of an export in full and writes what is deployed as one system.

    First one student for all recording devices, from the ensemble of the study's teachers; then, beginning with its
    weights, one for each recording device with clips to learn from and to be judged by, from the teachers that were
    taught further for it (the ensemble itself where none was). A recording device keeps the first one unless its own
    is better on its clips of the validation locations, which neither has learnt from.

    Args:
        export: A folder that `nas export` wrote of a study in the database of `places`.
        overrides: Values by dotted field name of the study file.
        output: Folder of the system; by default beside the export.
        int8: Whether each student that is deployed is then taught further in int8, from its folded form and the same
            teachers, and deployed in that form too.

    Returns:
        `folder`, `excess` over the study's budget (of all students alike: they are one architecture), `base` (its
        scores on the validation clips) and `devices`: for each recording device `clips` (of the validation locations),
        the accuracy `general` and `own`, and whether its own student is `kept`. `int8` is None, or has `weight_bytes`,
        `macs` and `excess` of that form, and `students`: for `base` and each recording device with a student of its own
        the accuracy in `float` and in `int8`, on the clips that it is judged by.

    Raises:
        InputError: If the export or its study cannot be used.
        NasError: As teaching and writing do.
    """
    bundle = load_bundle(export)
    study = _study_of(export, bundle.results, places, overrides or {})
    folder = (output or export.absolute().with_name(f"{export.absolute().name}-full")).absolute()
    _check_replaceable(folder)
    extracted = extract(study, find_recordings(study, places), places, display)
    classroom = Classroom(extracted, places, display)
    logits = classroom.ensemble().logits
    tuned = classroom.per_device()
    first = _base_lesson(bundle.architecture, bundle.form, extracted, logits)
    students = places.study(study.name) / "full" / bundle.architecture.identity
    base = TeachStudent(BASE, first, students / BASE)
    run_all([base], study.search.workers, display)
    further = [
        TeachStudent(
            device,
            replace(
                first,
                recipe=study.device_recipe,
                seed=derive_seed(first.seed, device),
                logits_dir=logits if tuned is None else tuned.logits,
                start=base.folder,
                recording_device=device,
            ),
            students / device,
        )
        for device in judgeable_devices(first.material())
    ]
    run_all(further, study.search.workers, display)
    devices = {each.name: _compared(base, each) for each in further}
    deployed = [base, *(each for each in further if devices[each.name]["kept"])]
    rounded = {each.name: _in_int8(each, study) for each in deployed} if int8 else {}
    run_all(list(rounded.values()), study.search.workers, display)
    with sole_builder(folder), replacing(folder) as temporary:
        for each in deployed:
            _write(temporary / each.name, each, rounded.get(each.name), extracted, bundle.results)
        write_system(temporary, BASE, {each.name: each.name for each in deployed[1:]})
    return {
        "folder": str(folder),
        "excess": excess_over(form_cost(bundle.architecture, bundle.form), study.budget),
        "base": scores_of(base.outcome),
        "devices": devices,
        "int8": _int8_summary(bundle.architecture, study.budget, deployed, rounded) if int8 else None,
    }


def judgeable_devices(material: Material) -> list[str]:
    """The recording devices for which there are clips enough to teach a student further, and some to judge it by."""
    judged_by = set(material.devices[material.rows["validation"]].tolist())
    return [device for device in tunable_devices(material) if device in judged_by]


def _study_of(export: Path, results: Mapping[str, Any], places: Places, overrides: Mapping[str, Any]) -> StudyFile:
    name = results.get("provenance", {}).get("study")
    if not isinstance(name, str):
        raise InputError(f"{export} does not say which study it is of; export a trial of a study")
    return study_from_json(read_study(places.storage, name).study_file, name, overrides)


def _base_lesson(architecture: Architecture, form: Form, extracted: Extracted, logits: Path) -> Lesson:
    study = extracted.study
    front_end = study.front_ends.get(architecture.input)
    if front_end is None:
        raise InputError(
            f"the study {study.name!r} has no input of {architecture.input.mels} x {architecture.input.frames}: "
            "the export is of another one"
        )
    return Lesson(
        architecture=architecture,
        form=form,
        recipe=study.full_recipe,
        seed=derive_seed(study.seed, "full", architecture.identity),
        features_dir=extracted.features[front_end],
        logits_dir=logits,
        views_dir=extracted.views.get(front_end),
        validation_share=study.data.validation_share,
        validation_seed=validation_seed(study),
    )


def _compared(base: TeachStudent, own: TeachStudent) -> dict[str, Any]:
    """Whether a student of one recording device is better on its validation clips than the one for all."""
    material = own.lesson.material()
    clips = len(material.rows["validation"])
    network = load_student(base.lesson.architecture, base.folder, base.outcome)
    general = judged(network, base.lesson, material, "validation")
    accuracy = float(own.outcome["accuracy"])
    return {"clips": clips, "general": general.accuracy, "own": accuracy, "kept": accuracy > general.accuracy}


def _in_int8(student: TeachStudent, study: StudyFile) -> TeachStudent:
    """The same student taught further in int8."""
    lesson = replace(
        student.lesson,
        recipe=study.int8_recipe,
        seed=derive_seed(student.lesson.seed, "int8"),
        start=student.folder,
        int8=True,
    )
    return TeachStudent(f"{student.name} in int8", lesson, student.folder.with_name(f"{student.name}-int8"))


def _int8_summary(
    architecture: Architecture, budget: Budget, students: Sequence[TeachStudent], rounded: Mapping[str, TeachStudent]
) -> dict[str, Any]:
    cost = int8_cost(architecture)
    accuracies = {
        each.name: {"float": each.outcome["accuracy"], "int8": rounded[each.name].outcome["accuracy"]}
        for each in students
    }
    return {
        "weight_bytes": cost.weight_bytes,
        "macs": cost.macs,
        "excess": excess_over(cost, budget),
        "students": accuracies,
    }


def _write(
    folder: Path,
    student: TeachStudent,
    rounded: TeachStudent | None,
    extracted: Extracted,
    results: Mapping[str, Any],
) -> None:
    lesson, study = student.lesson, extracted.study
    material = lesson.material()
    write_bundle(
        folder,
        network=load_student(lesson.architecture, student.folder, student.outcome),
        architecture=lesson.architecture,
        form=lesson.form,
        front_end=study.front_ends[lesson.architecture.input].to_json(),
        scenes=material.scenes,
        scores={"validation": scores_of(student.outcome)},
        budget=results["budget"],
        provenance={**results["provenance"], "full": student.name, "recipe": lesson.recipe.to_json()},
        examples=material.features[material.rows["validation"][:EXAMPLES]],
        int8=None if rounded is None else _for_bundle(rounded),
    )
    verify_bundle(folder)


def _for_bundle(student: TeachStudent) -> Int8Student:
    network = load_int8_student(student.lesson.architecture, student.folder, student.outcome)
    return Int8Student(network, {"validation": scores_of(student.outcome)})


def _check_replaceable(folder: Path) -> None:
    """An earlier system may be replaced, and nothing that a person put there may be lost."""
    if folder.exists() and not (folder.is_dir() and ((folder / "system.json").exists() or not any(folder.iterdir()))):
        raise InputError(f"{folder} exists and is no earlier system; choose another folder with -o or move it away")
