"""A student is judged as it is deployed, its outcome is written once, and its weights are read back with care."""

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.digest import digest
from search_spaces.errors import NasError
from search_spaces.forms import Form
from search_spaces.network import build
from search_spaces.parts import ConvStem, CPMobileBlock
from trainers.front_end import FrontEnd
from trainers.material import MaterialError
from trainers.recipe import Recipe
from trainers.students import CHECKPOINT, Lesson, Student, finished_outcome, judged, load_int8_student, load_student
from trainers.training import Training
from trainers.weights import WeightsError, load_weights, save_weights

SCENES = ("bus", "park")
ROOT = Path(__file__).resolve().parents[2]
TINY = Architecture(
    InputShape(8, 5), ConvStem((4, 8)), (Stage((CPMobileBlock(8, 8),)),), classes=len(SCENES), precision="int8"
)


def write_key(folder: Path, recordings: str) -> None:
    (folder / "key.json").write_text(json.dumps({"front_end": FrontEnd().to_json(), "recordings": recordings}))


@pytest.fixture
def lesson(tmp_path: Path) -> Lesson:
    """Two scenes that differ in level, at four locations each."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "filename": f"{scene}{n}.wav",
            "scene": scene,
            "location": f"{scene}-{n % 4}",
            "device": "ab"[n % 2],
            "split": split,
        }
        for split, count in (("train", 24), ("test", 8))
        for scene in SCENES
        for n in range(count)
    ]
    for row in rows:
        row["location"] += row["split"]
    features = tmp_path / "features"
    features.mkdir()
    write_key(features, "r1")
    pd.DataFrame(rows).to_csv(features / "index.csv", index=False)
    levels = np.array([SCENES.index(row["scene"]) for row in rows], dtype=np.float32)
    clips = rng.normal(size=(len(rows), 8, 5)) * 0.5 + levels[:, None, None]
    np.save(features / "clips.npy", clips.astype(np.float16))
    return Lesson(
        architecture=TINY,
        form=Form.FOLDED,
        recipe=Recipe(epochs=3, batch=8, learning_rate=0.02, mixstyle_probability=0),
        seed=4,
        features_dir=features,
        logits_dir=None,
        validation_share=0.25,
        validation_seed=1,
    )


def taught(lesson: Lesson, folder: Path) -> dict:
    student = Student(lesson, folder)
    outcomes = [student.epoch() for _ in range(lesson.recipe.epochs)]
    assert outcomes[:-1] == [None] * (lesson.recipe.epochs - 1)
    assert outcomes[-1] is not None
    return outcomes[-1]


def without_seconds(outcome: dict) -> dict:
    curve = [{key: value for key, value in point.items() if key != "seconds"} for point in outcome["curve"]]
    return {key: value for key, value in outcome.items() if key not in ("seconds", "curve")} | {"curve": curve}


def with_views(lesson: Lesson) -> Lesson:
    """Two views of each of the 48 training clips, half of them with another clip mixed in."""
    rng = np.random.default_rng(1)
    folder = lesson.features_dir.with_name("views")
    folder.mkdir()
    key = {"front_end": FrontEnd().to_json(), "recordings": "r1", "views": {}, "seed": 0, "format": 1}
    (folder / "key.json").write_text(json.dumps(key))
    np.save(folder / "clips.npy", rng.normal(size=(48, 2, 8, 5)).astype(np.float16))
    weights = rng.choice([0.6, 1.0], (48, 2)).astype(np.float32)
    np.savez(folder / "mixing.npz", partners=rng.integers(0, 48, (48, 2)), weights=weights)
    return replace(lesson, views_dir=folder)


def test_a_lesson_survives_json(lesson: Lesson) -> None:
    assert Lesson.from_json(lesson.to_json()) == lesson
    other = replace(lesson, logits_dir=Path("/logits"))
    assert Lesson.from_json(other.to_json()) == other


def test_a_student_learns_and_its_outcome_has_a_curve_point_for_each_epoch(lesson: Lesson, tmp_path: Path) -> None:
    outcome = taught(lesson, tmp_path / "student")
    assert [point["epoch"] for point in outcome["curve"]] == [1, 2, 3]
    assert outcome["accuracy"] == outcome["curve"][-1]["accuracy"] > 0.7
    assert outcome["epochs"] == 3


def test_equal_lessons_give_equal_students(lesson: Lesson, tmp_path: Path) -> None:
    first, again = (taught(lesson, tmp_path / name) for name in ("a", "b"))
    assert without_seconds(first) == without_seconds(again)
    other = taught(replace(lesson, seed=5), tmp_path / "c")
    assert without_seconds(other) != without_seconds(first)


def test_a_student_hears_features_of_its_own_input_only(lesson: Lesson, tmp_path: Path) -> None:
    """The network itself would take any."""
    with pytest.raises(MaterialError, match=r"for features of 8 x 6, those in .* are 8 x 5"):
        Student(replace(lesson, architecture=TINY.at(8, 6)), tmp_path / "student")


def test_a_student_learns_from_a_teacher_of_the_same_recordings_only(lesson: Lesson, tmp_path: Path) -> None:
    def write_logits(recordings: str) -> Path:
        key = {"recordings": recordings, "views": None, "scenes": SCENES}
        folder = tmp_path / f"teacher-logits-{digest(key)}"
        folder.mkdir()
        (folder / "key.json").write_text(json.dumps(key))
        np.save(folder / "logits.npy", np.zeros((64, 2), np.float16))
        sums = {"logits.npy": hashlib.sha256((folder / "logits.npy").read_bytes()).hexdigest()}
        (folder / "sums.json").write_text(json.dumps(sums))
        return folder

    assert Student(replace(lesson, logits_dir=write_logits("r1")), tmp_path / "student").epoch() is None
    with pytest.raises(MaterialError, match="other recordings"):
        Student(replace(lesson, logits_dir=write_logits("r2")), tmp_path / "student")


def test_the_accuracy_on_record_is_that_of_the_deployed_network(lesson: Lesson, tmp_path: Path) -> None:
    """Not of the float network in training form: they differ once weights are coarse enough."""
    outcome = taught(lesson, tmp_path / "student")
    network, material = load_student(TINY, tmp_path / "student", outcome), lesson.material()
    again = judged(network, lesson, material, "validation")
    assert (again.accuracy, again.log_loss) == pytest.approx((outcome["accuracy"], outcome["log_loss"]), rel=1e-6)
    as_float = judged(network, replace(lesson, architecture=replace(TINY, precision="fp32")), material, "validation")
    assert as_float.log_loss != pytest.approx(outcome["log_loss"], rel=1e-5)


def test_a_finished_student_is_found_again_and_another_ones_is_not(lesson: Lesson, tmp_path: Path) -> None:
    folder = tmp_path / "student"
    assert finished_outcome(lesson, folder) is None
    outcome = taught(lesson, folder)
    assert finished_outcome(lesson, folder) == outcome
    others = {"seed": 5, "architecture": replace(TINY, precision="fp16"), "recipe": replace(lesson.recipe, epochs=4)}
    others |= {"form": Form.UNFOLDED, "validation_share": 0.3, "features_dir": Path("/other")}
    for field, value in others.items():
        assert finished_outcome(replace(lesson, **{field: value}), folder) is None, field
    moved = replace(lesson, features_dir=Path("/elsewhere") / lesson.features_dir.name)
    assert finished_outcome(moved, folder) == outcome


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_damaged_record_is_told(lesson: Lesson, tmp_path: Path, text: str) -> None:
    (tmp_path / "outcome.json").write_text(text)
    with pytest.raises(NasError, match="delete its folder"):
        finished_outcome(lesson, tmp_path)


def test_a_student_of_another_study_in_the_folder_is_not_taken_for_this_one(lesson: Lesson, tmp_path: Path) -> None:
    outcome = taught(lesson, tmp_path / "student")
    with pytest.raises(NasError, match="does not hold the student that the study has on record"):
        load_student(TINY, tmp_path / "student", outcome | {"accuracy": 0.123})
    with pytest.raises(NasError, match="does not hold the student"):
        load_student(TINY, tmp_path / "nothing", outcome)


@pytest.mark.parametrize("damage", ["missing", "cut", "foreign"])
def test_weights_that_cannot_be_used_are_told_by_their_file(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(build(TINY), path)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    else:
        save_weights(torch.nn.Linear(2, 2), path)
    with pytest.raises(WeightsError, match=r"weights\.safetensors cannot be loaded"):
        load_weights(build(TINY), path)


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    network, other = build(TINY, seed=1), build(TINY, seed=2)
    save_weights(network, tmp_path / "w")
    load_weights(other, tmp_path / "w")
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    )


def same_students(first: Path, second: Path) -> bool:
    weights = (first / "weights.safetensors").read_bytes() == (second / "weights.safetensors").read_bytes()
    outcomes = [json.loads((folder / "outcome.json").read_text())["outcome"] for folder in (first, second)]
    return weights and without_seconds(outcomes[0]) == without_seconds(outcomes[1])


@pytest.mark.parametrize("after", [1, 2])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "adam", "schedule": "ramp", "averaging": 0.9, "mixup_probability": 0.5},
    ],
)
def test_an_interrupted_student_ends_as_if_it_had_never_stopped(
    lesson: Lesson, tmp_path: Path, after: int, settings: dict
) -> None:
    """To the last bit of its weights and its outcome."""
    lesson = with_views(replace(lesson, recipe=replace(lesson.recipe, **settings)))
    taught(lesson, tmp_path / "whole")
    first = Student(lesson, tmp_path / "student")
    assert [first.epoch() for _ in range(after)] == [None] * after
    assert finished_outcome(lesson, tmp_path / "student") is None
    second = Student(lesson, tmp_path / "student")
    assert second.curve == first.curve
    outcomes = [second.epoch() for _ in range(3 - after)]
    assert [outcome is None for outcome in outcomes] == [True] * (2 - after) + [False]
    assert same_students(tmp_path / "whole", tmp_path / "student")
    assert outcomes[-1] == finished_outcome(lesson, tmp_path / "student")
    left = sorted(path.name for path in (tmp_path / "student").iterdir())
    assert left == ["outcome.json", "weights.safetensors"]


def test_a_student_with_averaged_weights_is_judged_and_saved_with_them(lesson: Lesson, tmp_path: Path) -> None:
    followed = replace(lesson, recipe=replace(lesson.recipe, averaging=0.8))
    outcome = taught(followed, tmp_path / "followed")
    alone = taught(lesson, tmp_path / "alone")
    losses = [[point["loss"] for point in result["curve"]] for result in (outcome, alone)]
    assert losses[0] == losses[1]
    network, material = load_student(TINY, tmp_path / "followed", outcome), lesson.material()
    again = judged(network, lesson, material, "validation")
    assert (again.accuracy, again.log_loss) == pytest.approx((outcome["accuracy"], outcome["log_loss"]), rel=1e-6)
    assert again.log_loss != pytest.approx(alone["log_loss"], rel=1e-5)


def test_a_student_taught_further_in_int8_carries_on_and_is_loaded_as_it_was_judged(
    lesson: Lesson, tmp_path: Path
) -> None:
    """From the weights of the one in float, and to the last bit after an interruption."""
    float_outcome = taught(lesson, tmp_path / "float")
    further = replace(
        lesson, int8=True, start=tmp_path / "float", recipe=replace(lesson.recipe, epochs=2, learning_rate=1e-3)
    )
    assert further.key != replace(further, int8=False).key
    outcome = taught(further, tmp_path / "whole")
    Student(further, tmp_path / "student").epoch()
    Student(further, tmp_path / "student").epoch()
    assert same_students(tmp_path / "whole", tmp_path / "student")
    assert outcome["curve"][0]["loss"] < float_outcome["curve"][0]["loss"]
    network, material = load_int8_student(TINY, tmp_path / "whole", outcome), lesson.material()
    again = judged(network, further, material, "validation")
    assert (again.accuracy, again.log_loss) == pytest.approx((outcome["accuracy"], outcome["log_loss"]), rel=1e-3)
    with pytest.raises(WeightsError):
        load_int8_student(TINY, tmp_path / "float", float_outcome)


@pytest.mark.parametrize("what", ["another lesson", "damaged", "does not fit"])
def test_a_student_starts_over_aloud_where_its_checkpoint_is_of_no_use(
    lesson: Lesson, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    taught(lesson, tmp_path / "whole")
    folder = tmp_path / "student"
    Student(replace(lesson, seed=9) if what == "another lesson" else lesson, folder).epoch()
    file = folder / CHECKPOINT
    if what == "damaged":
        file.write_bytes(file.read_bytes()[:-1])
    if what == "does not fit":  # as one of another release may; noticed when the weights are taken over already
        with monkeypatch.context() as context:
            context.setattr(Training, "state", lambda _: {"network": build(TINY, seed=99).state_dict()})
            Student(lesson, folder).epoch()
    caplog.clear()
    student = Student(lesson, folder)
    assert student.curve == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(folder) in caplog.text
    assert "start" in caplog.text
    assert [student.epoch() is None for _ in range(3)] == [True, True, False]
    assert same_students(tmp_path / "whole", folder)


DEATHS = {
    "in the middle of an epoch": """
        step, calls = Training._step, []
        def dying(*arguments):
            calls.append(1)
            if len(calls) == 9:  # of 6 in the first epoch
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments)
        Training._step = dying
    """,
    "in the middle of writing": """
        replaced, calls = os.replace, []
        def dying(source, target):
            calls.append(1)
            if len(calls) == 2:
                os.truncate(source, os.path.getsize(source) // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            replaced(source, target)
        os.replace = dying
    """,
}


@pytest.mark.parametrize("when", list(DEATHS))
def test_a_student_whose_process_was_killed_is_carried_on(lesson: Lesson, tmp_path: Path, when: str) -> None:
    lesson = replace(lesson, recipe=replace(lesson.recipe, averaging=0.8))
    lines = (
        "import json, os, signal, sys",
        "from pathlib import Path",
        "from trainers.students import Lesson, Student",
        "from trainers.training import Training",
        textwrap.dedent(DEATHS[when]),
        "student = Student(Lesson.from_json(json.loads(sys.argv[1])), Path(sys.argv[2]))",
        "while student.epoch() is None: pass",
    )
    folder = tmp_path / "student"
    command = [sys.executable, "-c", "\n".join(lines), json.dumps(lesson.to_json()), str(folder)]
    died = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False, timeout=120)
    assert died.returncode == -signal.SIGKILL
    student = Student(lesson, folder)
    assert [point["epoch"] for point in student.curve] == [1]
    assert [student.epoch() is None for _ in range(2)] == [True, False]
    taught(lesson, tmp_path / "whole")
    assert same_students(tmp_path / "whole", folder)
    assert sorted(path.name for path in folder.iterdir()) == ["outcome.json", "weights.safetensors"]


def test_a_student_may_begin_with_the_weights_of_another(lesson: Lesson, tmp_path: Path) -> None:
    taught(lesson, tmp_path / "base")
    still = replace(lesson.recipe, epochs=1, learning_rate=1e-12)
    further = replace(lesson, recipe=still, start=tmp_path / "base", seed=lesson.seed + 1)
    taught(further, tmp_path / "further")
    taught(replace(further, start=None), tmp_path / "fresh")
    base, mine, other = (build(TINY) for _ in range(3))
    for network, name in ((base, "base"), (mine, "further"), (other, "fresh")):
        load_weights(network, tmp_path / name / "weights.safetensors")
    for value, begun, fresh in zip(base.parameters(), mine.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(begun, value, rtol=0, atol=1e-6)
        assert value.ndim < 4 or not torch.allclose(fresh, value, atol=1e-3)
    assert finished_outcome(further, tmp_path / "further") is not None
    taught(replace(lesson, seed=5), tmp_path / "base")  # another beginning is another lesson
    assert finished_outcome(further, tmp_path / "further") is None
    with pytest.raises(NasError, match="absent"):
        Student(replace(further, start=tmp_path / "absent"), tmp_path / "x")


def test_a_student_of_one_recording_device_hears_and_is_judged_on_its_clips_alone(
    lesson: Lesson, tmp_path: Path
) -> None:
    own = replace(lesson, recording_device="a")
    material, whole = own.material(), lesson.material()
    for part, rows in material.rows.items():
        expected = whole.rows[part][whole.devices[whole.rows[part]] == "a"]
        np.testing.assert_array_equal(rows, expected)
        assert len(rows) < len(whole.rows[part])
    outcome = taught(own, tmp_path / "a")
    assert list(outcome["devices"]) == ["a"]
    assert outcome["clips"] == len(material.rows["validation"])
    assert len({own.key, lesson.key, replace(lesson, recording_device="b").key}) == 3
    assert len({material.name, whole.name, whole.of_device("b").name}) == 3
    assert Lesson.from_json(json.loads(json.dumps(own.to_json()))) == own
