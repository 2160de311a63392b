"""`nas train`, for real: an export in full, then for each recording device, killed and carried on, and evaluated."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from desk import Desk
from toy_study import STUDY

from nas.full_training import judgeable_devices
from trainers.evaluation import logits_of, score
from trainers.material import Material
from trainers.published import BASE
from trainers.systems import open_system, open_variants

FULL = """\
full:
  recipe: {epochs: 30, batch: 32, learning_rate: 5e-3}
  per_device: {epochs: 3, batch: 16, learning_rate: 2e-3}
  int8: {epochs: 1, batch: 32, learning_rate: 1e-4}
"""


class ExportDesk(Desk):
    """A desk with a study that has one student."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        text = STUDY.replace("trials: 5", "trials: 1").replace("workers: 2", "workers: 1")
        teachers = "teachers: {recipe: {epochs: 2}, per_device: {epochs: 1}, members: {cp-mobile-2025: {}}}"
        (folder / "toy.yaml").write_text(text.replace("teachers: {recipe: {epochs: 1}}", teachers) + FULL)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> ExportDesk:
    desk = ExportDesk(tmp_path_factory.mktemp("desk"))
    for arguments in (("search", "toy.yaml"), ("export", "toy", "-o", "best")):
        code, _, err = desk.run(*arguments)
        assert code == 0, err
    return desk


@pytest.fixture(scope="module")
def found(desk: ExportDesk) -> dict[str, Any]:
    """What training found after it was killed in the middle of the student for all recording devices."""
    process = desk.start("train", "best")
    deadline = time.monotonic() + 200
    pattern = "runs/toy/full/*/base/checkpoint.pt"
    while not list(desk.folder.glob(pattern)) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert list(desk.folder.glob(pattern)), "no epoch was left in time"
    assert not (desk.folder / "best-full").exists()
    answer: dict[str, Any] = desk.answer("train", "best")
    return answer


def material(desk: ExportDesk, system: Any) -> Material:
    for path in (desk.folder / "runs" / "cache").glob("features-*/key.json"):
        if json.loads(path.read_text())["front_end"] == system.front_end.to_json():
            from search_spaces.seeds import derive_seed

            return Material.open(path.parent, validation_share=0.4, validation_seed=derive_seed(3, "validation"))
    raise AssertionError("no features of the system")


def test_what_is_deployed_is_what_was_better_on_the_validation_clips(desk: ExportDesk, found: dict[str, Any]) -> None:
    system = open_system(Path(found["folder"]))
    devices = found["devices"]
    assert list(devices) == ["a", "b", "c", "s1", "s2", "s3"][: len(devices)]
    assert list(system.devices) == [device for device, told in devices.items() if told["kept"]]
    clips = material(desk, system)
    for device, told in devices.items():
        assert told["kept"] == (told["own"] > told["general"])
        own = clips.of_device(device)
        rows = own.rows["validation"]
        assert told["clips"] == len(rows)
        for name, network in (("general", BASE), ("own", device)):
            if name == "own" and not told["kept"]:
                continue
            logits = logits_of(system.predictors[network].network, clips.features, rows)
            scored = score(logits, clips.labels[rows], clips.devices[rows], clips.scenes, {device})
            assert told[name] == pytest.approx(scored.accuracy, abs=1e-9)
    rows = clips.rows["validation"]
    logits = logits_of(system.predictors[BASE].network, clips.features, rows)
    base = score(logits, clips.labels[rows], clips.devices[rows], clips.scenes, clips.trained_devices)
    assert found["base"]["accuracy"] == pytest.approx(base.accuracy, abs=1e-9)
    assert found["excess"] == {}


def test_an_interrupted_training_ends_where_it_would_have(desk: ExportDesk, found: dict[str, Any]) -> None:
    """Also into another folder of students, from the first epoch on."""
    students = desk.folder / "runs" / "toy" / "full"
    students.rename(desk.folder / "runs" / "toy" / "interrupted")
    again = desk.answer("train", "best", "-o", "again")
    assert {**again, "folder": ""} == {**found, "folder": ""}
    first, second = open_system(Path(found["folder"])), open_system(Path(again["folder"]))
    for device, predictor in first.predictors.items():
        mine, other = predictor.network.state_dict(), second.predictors[device].network.state_dict()
        assert all(torch.equal(mine[name], other[name]) for name in mine)


def test_the_same_command_again_teaches_nothing(desk: ExportDesk, found: dict[str, Any]) -> None:
    code, out, err = desk.run("train", "best")
    assert code == 0, err
    assert "epochs of" not in err
    assert "nas evaluate" in out
    lines = [line.split() for line in out.splitlines()]
    for device, told in found["devices"].items():
        (row,) = [line for line in lines if line[:1] == [device]]
        assert row[1:4] == [str(told["clips"]), f"{told['general']:.1%}", f"{told['own']:.1%}"]


def test_the_system_can_be_evaluated(desk: ExportDesk, found: dict[str, Any]) -> None:
    (scenes,) = (desk.folder / "runs" / "cache").glob("scenes-*")
    told = desk.answer("evaluate", found["folder"], "--data", str(scenes))
    assert np.isfinite(told["students"]["general"]["overall"]["all"]["accuracy"]["value"])
    assert told["systems"][0]["devices"] == [name for name, each in found["devices"].items() if each["kept"]]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["absent"], 1, "absent"),
        (["toy.yaml"], 1, "toy.yaml"),
        (["best", "--set", "full.recipe.epochs=0"], 2, "full is"),
        (["best", "--set", "full.per_device.epocs=3"], 2, "per_device: epocs"),
        (["best", "--int8", "--set", "full.int8.epochs=0"], 2, "int8: its recipe: the training recipe has epochs=0"),
        (["best", "-o", "runs"], 2, "is no earlier system"),
        (["best", "--set", "inputs.mels=[8]", "--set", "inputs.hops=[900]"], 2, "has no input of"),
    ],
)
def test_bad_input_is_told_and_loses_nothing(
    desk: ExportDesk, found: dict[str, Any], arguments: list[str], code: int, told: str
) -> None:
    before = (Path(found["folder"]) / "system.json").read_bytes()
    exit_code, out, err = desk.run("train", *arguments)
    assert (exit_code, out) == (code, ""), err
    assert told in err
    assert "Traceback" not in err
    assert (Path(found["folder"]) / "system.json").read_bytes() == before
    assert (desk.folder / "runs" / "studies.db").exists()


def test_what_is_deployed_is_taught_in_int8_too_where_that_is_asked_for(
    desk: ExportDesk, found: dict[str, Any]
) -> None:
    """From the students that are there already."""
    code, out, err = desk.run("train", "best", "--int8", "-o", "rounded", "--json")
    assert code == 0, err
    assert "epochs of the student base: " not in err
    answer = json.loads(out)
    assert found["int8"] is None
    assert {**answer, "folder": "", "int8": None} == {**found, "folder": ""}
    kept = [name for name, each in found["devices"].items() if each["kept"]]
    students = answer["int8"]["students"]
    assert list(students) == [BASE, *kept]
    assert students[BASE]["float"] == found["base"]["accuracy"]
    assert abs(students[BASE]["int8"] - students[BASE]["float"]) < 0.1
    described = json.loads((desk.folder / "rounded" / BASE / "architecture.json").read_text())
    assert answer["int8"]["weight_bytes"] == described["cost"]["int8"]["weight_bytes"]
    assert all((desk.folder / "rounded" / name / "model.int8.onnx").exists() for name in (BASE, *kept))
    assert list(open_variants(desk.folder / "rounded")) == ["float", "int8"]
    assert list(open_variants(Path(found["folder"]))) == ["float"]


def test_over_the_budget_is_said_by_the_exit_code(desk: ExportDesk, found: dict[str, Any]) -> None:
    code, out, _ = desk.run("train", "best", "--set", "budget.weight_bytes=10", "--json")
    assert code == 3
    assert json.loads(out)["excess"]["weight_bytes"] > 0


def test_a_recording_device_without_clips_to_judge_by_gets_no_student_of_its_own() -> None:
    devices = np.array(["a"] * 20 + ["b"] * 20 + ["c"] * 3 + ["a", "c"])
    clips = Material(
        features=np.zeros((45, 4, 4), dtype=np.float16),
        labels=np.zeros(45, dtype=np.int64),
        devices=devices,
        rows={"fit": np.arange(43), "validation": np.arange(43, 45), "test": np.arange(0)},
        scenes=("bus",),
    )
    assert judgeable_devices(clips) == ["a"]
