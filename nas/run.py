"""One run of a study, from its study file to its front: started, or carried on after whatever stopped it."""

import json
import logging
import platform
import shlex
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import optuna

from nas.display import Display
from nas.engine import run as run_on_ray
from nas.extraction import validation_seed
from nas.places import Places
from nas.preparation import Prepared, find_recordings, prepare
from nas.study_file import StudyFile, study_from_json
from nas.trial_book import Candidate, TrialBook
from search_spaces.architecture import Architecture
from search_spaces.errors import InputError, NasError
from search_spaces.forms import Form
from search_spaces.seeds import derive_seed
from search_spaces.space import Space
from search_spaces.spaces import open_space
from search_spaces.staged import StagedSpace
from studies.best import choose
from studies.database import StudyError, parse, readable
from studies.front import front_of
from studies.lock import study_lock
from studies.records import read_study, read_trials
from studies.report import write_report
from studies.storage import create_study, open_storage, open_study, study_names
from trainers.recordings import Recordings
from trainers.students import Lesson, judged, load_student

log = logging.getLogger("acoustic_nas.run")
optuna.logging.set_verbosity(optuna.logging.WARNING)


def search(study_file: StudyFile, places: Places, display: Display) -> None:
    """Runs a study to its end, from the start or, if it is in the database with the same study file, from where it is.

    Raises:
        InputError: If recordings or study file cannot be used, or the name is taken by another study.
        KeyboardInterrupt, SystemExit: After Ctrl-C or SIGTERM; `resume` carries on.
    """
    places.runs.mkdir(parents=True, exist_ok=True)
    with study_lock(places.storage, study_file.name):
        storage = open_storage(places.storage)
        if study_file.name in study_names(places.storage):
            study = open_study(storage, study_file.name)
            if "study_file" in study.user_attrs:
                _check_same(study_file, study)
                log.info("the study %r is in the database: carrying on", study_file.name)
            recordings = find_recordings(study_file, places)
        else:
            recordings = find_recordings(study_file, places)  # before anything is written: bad data leaves no study
            study = create_study(storage, study_file.name)
        _drive(study_file, study, recordings, places, display)


def resume(name: str, places: Places, display: Display, *, changes: dict[str, Any]) -> None:
    """Carries on a study of the database, with the trials that were in flight first.

    Args:
        changes: Values by dotted name of the study file that may change in a study's life, such as search.trials.

    Raises:
        InputError: If there is no such study, or it was made with a search space this release does not have.
        KeyboardInterrupt, SystemExit: After Ctrl-C or SIGTERM; `resume` carries on.
    """
    study_names(places.storage)  # says so if there is no database, before the lock makes a file beside it
    with study_lock(places.storage, name):
        study = open_study(open_storage(places.storage, create=False), name)
        if "study_file" not in study.user_attrs:
            raise InputError(f"the study {name!r} was stopped before it began; start it with `nas search` again")
        data = study.user_attrs["study_file"]
        for field, value in changes.items():
            section, key = field.split(".")
            data[section][key] = value
        study_file = study_from_json(data, name)
        _drive(study_file, study, find_recordings(study_file, places), places, display)


@dataclass(frozen=True, slots=True)
class _Course:
    """What all students of a study share."""

    study: StudyFile
    prepared: Prepared
    places: Places

    def lesson(self, number: int, architecture: Architecture, form: Form) -> Lesson:
        return Lesson(
            architecture=architecture,
            form=form,
            recipe=self.study.student,
            seed=derive_seed(self.study.seed, "trial", number),
            features_dir=self.prepared.inputs[architecture.input],
            logits_dir=self.prepared.logits_dir,
            views_dir=self.prepared.views.get(architecture.input),
            validation_share=self.study.data.validation_share,
            validation_seed=validation_seed(self.study),
        )

    def discard(self, number: int) -> None:
        """Removes the folder of a student that was stopped early."""
        shutil.rmtree(self.places.student(self.study.name, number), ignore_errors=True)

    def job(self, candidate: Candidate) -> dict[str, Any]:
        """The configuration of a worker for one candidate."""
        lesson = self.lesson(candidate.number, candidate.architecture, candidate.cost.deployed.form)
        folder = self.places.student(self.study.name, candidate.number)
        return {"lesson": json.dumps(lesson.to_json()), "folder": str(folder)}


def _drive(
    study_file: StudyFile, study: optuna.Study, recordings: Recordings, places: Places, display: Display
) -> None:
    _check_recordings(recordings, study)
    space = _space(study_file, len(recordings.scenes))
    _write_head(study_file, study, space)
    try:
        with readable(parse(places.storage)), display.shown():
            course = _Course(study_file, prepare(study_file, recordings, places, display), places)
            study.set_user_attr("provenance", _provenance(recordings, course.prepared))
            halving = study_file.halving(space.classes)
            book = TrialBook(study, space, study_file.budget, study_file.search, study_file.seed, halving)
            book.enqueue_known_designs(study_file.features.mels, study_file.features.frames)
            display.searching(wanted=study_file.search.trials, epochs=study_file.student.epochs)
            display.so_far(book.taught, book.best_accuracy)
            run_on_ray(book, course.job, workers=study_file.search.workers, display=display)
            for number in book.finish():
                course.discard(number)
            _look_at_the_test_list(course, study)
    except StudyError as error:
        raise NasError(f"{error} What it holds is safe: `nas resume {study_file.name}` carries on.") from error
    except (KeyboardInterrupt, SystemExit):
        _report(study_file.name, places)
        log.warning("stopped; `nas resume %s%s` carries on", shlex.quote(study_file.name), places.options)
        raise
    _report(study_file.name, places)


def _space(study_file: StudyFile, classes: int) -> StagedSpace:
    shapes = study_file.front_ends
    mels, frames = {shape.mels for shape in shapes}, {shape.frames for shape in shapes}
    return open_space(study_file.space, sorted(mels), sorted(frames), classes)


def _report(name: str, places: Places) -> None:
    places.study(name).mkdir(parents=True, exist_ok=True)
    write_report(places.storage, name, places.report(name))


def _write_head(study_file: StudyFile, study: optuna.Study, space: Space) -> None:
    """Writes what the study is; refuses to carry on one whose choices would mean something else."""
    known = study.user_attrs.get("space")
    mine = {"name": space.name, "version": space.version, "digest": space.digest}
    if known is not None and known != mine:
        raise InputError(
            f"the study {study_file.name!r} was made with another search space ({known['name']} version "
            f"{known['version']}, {known['digest']}; here it is {mine['name']} version {mine['version']}, "
            f"{mine['digest']}): take the recordings and release it was made with, or another --name"
        )
    study.set_user_attr("space", mine)
    study.set_user_attr("budget", study_file.budget.limits)
    study.set_user_attr("study_file", study_file.to_json())


def _check_same(study_file: StudyFile, study: optuna.Study) -> None:
    """Refuses a study file that differs from the one the study was made with (but for where it runs)."""
    mine, known = _flat(study_file.to_json()), _flat(study.user_attrs["study_file"])
    differing = sorted(
        field
        for field in (mine.keys() | known.keys()) - {"data.root", "search.workers"}
        if mine.get(field) != known.get(field)
    )
    if differing:
        field = differing[0]
        raise InputError(
            f"the database has another study {study_file.name!r}: its {field} is {known.get(field)!r}, here it is "
            f"{mine.get(field)!r}; choose another --name, or carry it on with `nas resume {study_file.name}`"
        )


def _check_recordings(recordings: Recordings, study: optuna.Study) -> None:
    """Refuses to mix students of different recordings in one study."""
    known = study.user_attrs.get("provenance", {}).get("recordings", recordings.digest)
    if known != recordings.digest:
        raise InputError(
            f"the recordings in {recordings.root} are not those of the study {study.study_name!r} (digest "
            f"{recordings.digest}, the study has {known}); give the folder it was made with, or another --name"
        )


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _provenance(recordings: Recordings, prepared: Prepared) -> dict[str, Any]:
    packages = ("acoustic-nas", "torch", "optuna", "ray")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "recordings": recordings.digest,
        "features": prepared.features_dir.name,
        "inputs": {f"{shape.mels}x{shape.frames}": folder.name for shape, folder in prepared.inputs.items()},
        "views": {f"{shape.mels}x{shape.frames}": folder.name for shape, folder in prepared.views.items()},
        "teacher_logits": prepared.logits_dir.name,
        "teachers": {teacher["name"]: f"{teacher['scores']['accuracy']:.1%}" for teacher in prepared.teachers},
    }


def _look_at_the_test_list(course: _Course, study: optuna.Study) -> None:
    """Scores the best student on the test list, once; a search never sees the result."""
    name = course.study.name
    trials = read_trials(course.places.storage, name)
    if front_of(trials).empty:
        return
    best = choose(trials, "best")
    number = int(str(best["number"]))
    known = read_study(course.places.storage, name).test
    if known is not None and known["trial"] == number:
        return
    proposal: Any = best["proposal"]
    architecture = Architecture.from_json(proposal["architecture"])
    lesson = course.lesson(number, architecture, Form(proposal["cost"]["deployed"]["form"]))
    material = lesson.material()
    if not len(material.rows["test"]):
        log.warning("there are no test clips: the best student is not tested")
        return
    outcome: Any = best["outcome"]
    network = load_student(architecture, course.places.student(name, number), outcome)
    scores = judged(network, lesson, material, "test").to_json()
    study.set_user_attr("test", {"trial": number, "scores": scores})
