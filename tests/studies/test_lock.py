"""One driver per study: refused at once while another lives, free at once when it dies."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search_spaces.errors import InputError
from studies.database import StudyError
from studies.lock import StudyBusy, study_lock


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, database: str) -> str:
    return database if request.param == "sqlite" else str(request.getfixturevalue("postgres"))


def _hold(url: str, name: str, connection: Any) -> None:
    with study_lock(url, name):
        connection.send("held")
        time.sleep(60)


@pytest.fixture
def held_elsewhere() -> Any:
    """Starts a process that holds a study's lock; gives the process."""
    context = multiprocessing.get_context("fork")
    started = []

    def start(url: str, name: str) -> Any:
        here, there = context.Pipe()
        process = context.Process(target=_hold, args=(url, name, there))
        process.start()
        started.append(process)
        assert here.poll(30)
        assert here.recv() == "held"
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def test_a_study_has_one_driver(url: str, held_elsewhere: Callable[..., Any]) -> None:
    process = held_elsewhere(url, "one")
    with pytest.raises(StudyBusy, match="'one' is being driven by") as caught, study_lock(url, "one"):
        pass
    assert not isinstance(caught.value, InputError)  # nothing wrong with what was asked: exit code 1
    if url.startswith("sqlite"):
        assert f"process {process.pid} on" in str(caught.value)


def test_other_studies_of_the_database_stay_free(url: str, held_elsewhere: Callable[..., Any]) -> None:
    held_elsewhere(url, "one")
    with study_lock(url, "two"), study_lock(url, "a/b ../c"):
        pass


def test_the_lock_is_free_at_once_after_kill_9(url: str, held_elsewhere: Callable[..., Any]) -> None:
    process = held_elsewhere(url, "one")
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    deadline = time.monotonic() + 2  # a server notices the closed connection a moment later
    while True:
        try:
            with study_lock(url, "one"):
                return
        except StudyBusy:
            assert time.monotonic() < deadline, "the lock of a killed driver is still held"
            time.sleep(0.02)


def test_the_lock_is_given_back_after_an_error(url: str) -> None:
    with pytest.raises(RuntimeError, match="boom"), study_lock(url, "one"):
        raise RuntimeError("boom")
    with study_lock(url, "one"):
        pass


def test_two_spellings_of_a_path_are_one_lock(tmp_path: Path, held_elsewhere: Callable[..., Any]) -> None:
    (tmp_path / "alias.db").symlink_to(tmp_path / "studies.db")
    held_elsewhere(f"sqlite:///{tmp_path}/studies.db", "one")
    with pytest.raises(StudyBusy), study_lock(f"sqlite:///{tmp_path}/alias.db", "one"):
        pass


def test_a_lock_in_no_directory_says_so(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="does not exist"), study_lock(f"sqlite:///{tmp_path}/no/studies.db", "one"):
        pass
