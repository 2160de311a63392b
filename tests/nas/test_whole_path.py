"""The main job, for real: a local Ray, SQLite, synthetic scenes; stopped by Ctrl-C and kill -9, resumed, exported."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from desk import Desk
from toy_study import write_study

from nas.export import export
from nas.places import Places
from studies.records import read_trials
from studies.storage import default_url
from trainers.audio import read_clip
from trainers.export import load_bundle, verify_bundle
from trainers.front_end import FrontEnd, log_mel


class ToyDesk(Desk):
    """A desk with the toy study."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.study = write_study(folder)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        there = (self.runs / "studies.db").exists()
        self.trained_before = self.states().count("complete") if there else 0
        return super().start(*arguments)

    def trials(self) -> pd.DataFrame:
        return read_trials(default_url(self.folder / "runs"), "toy")

    def wait_for_one_more(self, process: subprocess.Popen[str]) -> None:
        """Until this process has trained a student and another one is in flight."""
        count = self.trained_before + 1
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise AssertionError(f"the driver ended by itself: {process.communicate()}")
            if (self.folder / "runs" / "studies.db").exists():
                states = self.states()
                if states.count("complete") >= count and "running" in states:
                    return
            time.sleep(0.1)
        raise AssertionError("no student was trained in time")

    def states(self) -> list[str]:
        from search_spaces.errors import InputError

        try:
            return [str(state) for state in self.trials()["state"]]
        except InputError:  # the tables or the study are not there yet
            return []


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> ToyDesk:
    return ToyDesk(tmp_path_factory.mktemp("desk"))


class Said(NamedTuple):
    out: str
    err: str


@pytest.fixture(scope="module")
def searched(desk: ToyDesk) -> Said:
    """What the search said; the other tests look at what it left."""
    code, out, err = desk.run("search", "toy.yaml")
    assert code == 0, err
    return Said(out, err)


def test_a_search_prints_the_front_the_refusals_and_what_to_type_next(searched: Said, desk: ToyDesk) -> None:
    assert "Pareto front" in searched.out
    assert "Pruned before training: " in searched.out
    assert "Test list, looked at once: trial " in searched.out
    for command in ("nas front toy", "nas export toy --trial best", "nas resume toy --trials +10"):
        assert command in searched.out


def test_features_of_every_input_are_extracted_before_the_first_student_and_told_by_their_shape(searched: Said) -> None:
    before, _, _ = searched.err.partition("trial ")
    (line,) = [line for line in before.splitlines() if "features " in line and line.endswith(" of clips: 450")]
    for shape in ("16 x 17", "16 x 9", "8 x 17", "8 x 9"):
        assert line.count(shape) == 1


def test_every_answer_is_one_json_document(searched: Said, desk: ToyDesk) -> None:
    status = desk.answer("status", "toy")
    assert status["states"]["complete"] == 5
    assert status["states"]["running"] == 0
    members = desk.answer("front", "toy")["members"]
    assert len(members) == status["front_size"] > 0
    wanted = {"trial", "architecture", "accuracy", "weight_bytes", "macs", "peak_bytes"}
    assert all(wanted <= set(member) for member in members)
    for member in members:
        shape = member["architecture"]["input"]
        (line,) = [line for line in searched.out.splitlines() if line.startswith(f"trial {member['trial']} ")]
        assert f" {shape['mels']}x{shape['frames']} " in line
    assert desk.answer("status")["studies"][0]["name"] == "toy"


def test_every_trained_student_was_within_the_budget_and_no_refused_one_was_trained(
    searched: Said, desk: ToyDesk
) -> None:
    trials = desk.trials()
    trained = trials[trials["state"] == "complete"]
    assert (trained["weight_bytes"] <= 128_000).all()
    assert (trained["macs"] <= 400_000).all()
    refused = trials[trials["state"] == "over_budget"]
    assert ((refused["weight_bytes"] > 128_000) | (refused["macs"] > 400_000)).all()
    folders = {int(path.name) for path in (desk.folder / "runs" / "toy" / "students").iterdir() if path.name.isdigit()}
    assert folders == set(trained["number"])


def test_the_report_is_written_and_needs_no_network(searched: Said, desk: ToyDesk) -> None:
    page = (desk.folder / "runs" / "toy" / "report.html").read_text(encoding="utf-8")
    assert "Plotly" in page
    assert '<script src="http' not in page


def test_the_best_student_is_exported_and_checked(searched: Said, desk: ToyDesk) -> None:
    bundle = desk.answer("export", "toy", "--trial", "best", "-o", "best")
    assert verify_bundle(desk.folder / "best").weight_bytes == bundle["weight_bytes"]
    priced = desk.answer("cost", "best/architecture.json", "--macs", "400000")
    assert (priced["deployed"]["macs"], priced["feasible"]) == (bundle["macs"], True)


def test_students_of_different_inputs_are_exported_with_the_front_end_they_heard(searched: Said, desk: ToyDesk) -> None:
    """The front end makes the bundle's examples of the recordings."""
    runs = desk.folder / "runs"
    trials = desk.trials()
    trained = trials[trials["state"] == "complete"]
    of_shape = {
        (proposal["architecture"]["input"]["mels"], proposal["architecture"]["input"]["frames"]): number
        for number, proposal in zip(trained["number"], trained["proposal"], strict=True)
    }
    assert len(of_shape) >= 2
    audio = sorted((runs / "cache").glob("scenes-*/audio/*.wav"))
    waves = torch.from_numpy(np.stack([read_clip(path, 8000)[0] for path in audio]))
    for (mels, frames), number in list(of_shape.items())[:2]:
        folder = desk.folder / f"of-{mels}x{frames}"
        export("toy", str(number), Places(runs, default_url(runs), runs / "cache"), folder)
        front_end = FrontEnd(**load_bundle(folder).front_end)
        assert (front_end.mels, front_end.hop) == (mels, {17: 500, 9: 1000}[frames])
        with np.load(folder / "reference.npz") as reference:
            distances = np.abs(reference["examples"][:, None] - log_mel(waves, front_end).numpy()[None])
        assert distances.max(axis=(2, 3)).min(axis=1).max() < 0.01


def test_the_same_search_again_carries_on_and_another_one_is_refused(searched: Said, desk: ToyDesk) -> None:
    before = desk.trials()
    code, out, _ = desk.run("search", "toy.yaml")
    assert code == 0
    assert "Pareto front" in out
    assert desk.trials()["number"].tolist() == before["number"].tolist()
    code, _, err = desk.run("search", "toy.yaml", "--set", "inputs.hops=[500]")
    assert code == 2
    assert "its inputs.hops is [500, 1000], here it is [500]" in err


def test_two_thirds_of_the_students_wait_at_the_rung_and_are_stopped_when_the_search_ends(tmp_path: Path) -> None:
    """Also if the driver is killed while some wait: nobody is taught an epoch twice, and those that wait are kept."""
    desk = ToyDesk(tmp_path)
    settings = ("--trials", "8", "--set", "student.epochs=4", "--set", "search.early_stopping={}")
    process = desk.start("search", "toy.yaml", *settings)
    assert process.stderr is not None
    waits = (line for line in process.stderr if "waits at epoch 1" in line)  # of the first two nobody may go on
    assert next(waits, None) is not None
    assert next(waits, None) is not None
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    interrupted = desk.trials()
    waited = interrupted.loc[interrupted["state"] == "paused", "number"].tolist()
    assert len(waited) >= 2
    code, out, err = desk.run("resume", "toy")
    assert code == 0, err
    trials = desk.trials().set_index("number")
    taught = trials[trials["state"].isin(("complete", "stopped_early"))]
    assert len(taught) == 8
    assert set(trials["state"]) <= {"complete", "stopped_early", "over_budget", "repeat"}
    stopped, complete = (taught[taught["state"] == state] for state in ("stopped_early", "complete"))
    assert len(complete) in (3, 4, 5)  # a third, and who passed the rung while no driver lived
    assert f"{len(stopped)} stopped early" in out
    assert set(stopped["epochs"]) == {1}
    assert stopped["detail"].str.fullmatch(r"at epoch 1, from where \d of 8 students went on").all()
    for outcome in complete["outcome"]:
        assert [point["epoch"] for point in outcome["curve"]] == [1, 2, 3, 4]
    for number in waited:
        before = interrupted.set_index("number").loc[number, "outcome"]
        assert trials.loc[number, "outcome"]["curve"][:1] == before["curve"]
    assert "waits at epoch 1 with accuracy" in err
    students = desk.folder / "runs" / "toy" / "students"
    kept = {path.name for path in students.iterdir() if path.is_dir()}
    assert len(kept) == len(complete)


def test_students_that_diverge_fail_with_their_cause_and_end_the_search_readably(tmp_path: Path) -> None:
    desk = ToyDesk(tmp_path)
    code, _, err = desk.run("search", "toy.yaml", "--set", "student.learning_rate=1.0e+30")
    assert code == 1
    assert "Error: the last 5 students all failed, the last one so: the loss is nan in epoch" in err
    assert "Traceback" not in err
    trials = desk.trials()
    failed = trials[trials["state"] == "failed"]
    assert len(failed) >= 5
    assert failed["detail"].str.startswith("the loss is nan in epoch 1").all()


def test_a_disk_that_is_full_stops_the_search_readably_and_resume_carries_on(tmp_path: Path) -> None:
    """The folder of the students cannot be written, as with a full disk."""
    desk = ToyDesk(tmp_path)
    (tmp_path / "runs" / "toy").mkdir(parents=True)
    (tmp_path / "runs" / "toy" / "students").write_text("in the way")
    code, _, err = desk.run("search", "toy.yaml")
    assert code == 1
    assert "cannot be trained" in err
    assert "Traceback" not in err
    assert "running" in desk.states()
    assert "failed" not in desk.states()
    (tmp_path / "runs" / "toy" / "students").unlink()
    assert desk.run("resume", "toy")[0] == 0
    assert desk.states().count("complete") == 5
    assert "running" not in desk.states()


def priorities_of_students() -> Iterator[int]:
    """Of the processes that teach; that of any other search on this machine is the same."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended in between
            if path.read_bytes().startswith((b"ray::StudentWorker", b"ray::ResourceTrainable")):  # waiting, teaching
                yield os.getpriority(os.PRIO_PROCESS, int(path.parent.name))


def test_a_study_stopped_by_ctrl_c_sigterm_and_kill_nine_loses_and_repeats_nothing(tmp_path: Path) -> None:
    desk = ToyDesk(tmp_path)
    process = desk.start("search", "toy.yaml", "--trials", "7", "--set", "student.epochs=6")
    desk.wait_for_one_more(process)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "`nas resume toy` carries on" in err

    process = desk.start("resume", "toy")
    desk.wait_for_one_more(process)
    os.kill(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "`nas resume toy` carries on" in err
    assert "Traceback" not in err

    process = desk.start("resume", "toy")
    desk.wait_for_one_more(process)
    assert set(priorities_of_students()) == {os.getpriority(os.PRIO_PROCESS, process.pid)}
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    interrupted = desk.trials()
    in_flight = interrupted.loc[interrupted["state"] == "running", "number"].tolist()
    assert in_flight

    code, out, err = desk.run("resume", "toy")
    assert code == 0, err
    assert "Pareto front" in out
    trials = desk.trials()
    states = trials.set_index("number")["state"]
    assert (states == "complete").sum() == 7
    assert set(states) <= {"complete", "over_budget", "repeat"}
    # What was in flight was run again; one that was still being proposed met the gate.
    assert "complete" in set(states[in_flight])
    assert trials["number"].tolist() == list(range(len(trials)))
    finished = interrupted[interrupted["state"] == "complete"].set_index("number")
    after = trials.set_index("number").loc[finished.index]
    assert after["outcome"].tolist() == finished["outcome"].tolist()
    assert after["finished"].tolist() == finished["finished"].tolist()
    trained = trials[trials["state"] == "complete"]
    assert trained["identity"].is_unique


def test_sigterm_before_the_first_student_ends_as_during_the_search(tmp_path: Path) -> None:
    desk = ToyDesk(tmp_path)
    process = desk.start("search", "toy.yaml")
    assert process.stderr is not None
    process.stderr.readline()  # it has begun to prepare
    os.kill(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "Traceback" not in err
