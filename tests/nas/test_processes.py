"""Tasks run in processes of their own, are found again, and end with the one that started them."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from nas.display import Display, Report
from nas.processes import run_all
from search_spaces.errors import NasError

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Write:
    """Writes down who did it."""

    folder: Path
    fails: bool = False
    seconds: float = 0.0

    @property
    def what(self) -> str:
        return f"words of {self.folder.name}"

    def found(self) -> Path | None:
        return self.folder if self.folder.exists() else None

    def run(self, threads: int, report: Report) -> Path:
        torch.set_num_threads(threads)
        report(1, 2)
        deadline = time.monotonic() + self.seconds
        while time.monotonic() < deadline:
            time.sleep(0.01)
        if self.fails:
            raise NasError(f"{self.folder.name} cannot be written")
        self.folder.mkdir()
        (self.folder / "who").write_text(json.dumps({"process": os.getpid(), "threads": threads}))
        report(2, 2)
        return self.folder


class Stages(Display):
    """A display that keeps what it was told."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.told: dict[str, list[tuple[int, int]]] = {}

    def stage(self, what: str) -> Report:
        reports = self.told.setdefault(what, [])
        return lambda done, total: reports.append((done, total))


def who(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "who").read_text())
    return found


def test_each_task_has_a_process_and_one_thread_and_its_progress_comes_home(tmp_path: Path) -> None:
    tasks = [Write(tmp_path / name, seconds=0.5) for name in "abc"]
    stages = Stages()
    assert run_all(tasks, 2, stages) == [task.folder for task in tasks]
    authors = [who(task.folder) for task in tasks]
    assert os.getpid() not in {author["process"] for author in authors}
    assert len({author["process"] for author in authors}) <= 2
    assert {author["threads"] for author in authors} == {1}
    assert stages.told == {task.what: [(1, 2), (2, 2)] for task in tasks}


def test_what_is_there_is_found_and_one_that_is_missing_is_made_here_with_every_core(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    stages = Stages()
    threads = torch.get_num_threads()
    try:
        found = run_all([Write(tmp_path / "a"), Write(tmp_path / "b")], 2, stages)
    finally:
        torch.set_num_threads(threads)
    assert found == [tmp_path / "a", tmp_path / "b"]
    assert who(tmp_path / "b") == {"process": os.getpid(), "threads": 2}
    assert list(stages.told) == ["words of b"]


def test_one_worker_makes_them_here_one_after_the_other(tmp_path: Path) -> None:
    run_all([Write(tmp_path / name) for name in "ab"], 1, Stages())
    assert {who(tmp_path / name)["process"] for name in "ab"} == {os.getpid()}


def test_the_first_failure_ends_all_and_is_told_as_it_is(tmp_path: Path) -> None:
    started = time.monotonic()
    tasks = [Write(tmp_path / "slow", seconds=60), Write(tmp_path / "odd", fails=True)]
    with pytest.raises(NasError, match="odd cannot be written"):
        run_all(tasks, 2, Stages())
    assert time.monotonic() - started < 30
    assert not (tmp_path / "slow").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_process_outlives_a_parent_that_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import signal, sys\n"
        f"sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
        "from pathlib import Path\n"
        "from test_processes import Stages, Write\n"
        "from nas.processes import run_all\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started us with &\n"
        "    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(143))\n"
        "    folder = Path(sys.argv[1])\n"
        "    tasks = [Write(folder / 'quick')] + [Write(folder / name, seconds=60) for name in 'ab']\n"
        "    run_all(tasks, 2, Stages())\n"
    )
    process = subprocess.Popen(
        [sys.executable, script, tmp_path], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "quick" / "who").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == (-2 if number == signal.SIGINT else 143)
    assert err.count("Traceback") == (number == signal.SIGINT)  # of the parent's own interrupt alone
    deadline = time.monotonic() + 20
    while lives(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lives(process.pid)


def lives(group: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
