"""The database: opened safely, refused readably, and never made by looking for one."""

import multiprocessing
import os
import re
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from search_spaces.errors import InputError
from studies.database import StudyError, check_file, parse, shown
from studies.records import read_study, read_trials
from studies.storage import create_study, default_url, open_storage, open_study, study_names


def test_default_database_is_a_file_in_the_folder_of_runs(tmp_path: Path) -> None:
    runs = tmp_path / "odd ?#%{x} name"
    runs.mkdir()
    url = default_url(runs)
    create_study(open_storage(url), "one")
    assert (runs / "studies.db").exists()
    assert study_names(url) == ["one"]


def test_sqlite_is_opened_with_a_write_ahead_log_and_a_long_wait(database: str) -> None:
    with open_storage(database).engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 1
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 60_000


def test_a_study_has_three_directions_and_is_found_again(database: str) -> None:
    create_study(open_storage(database), "one")
    study = open_study(open_storage(database, create=False), "one")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]


@pytest.mark.parametrize("read", [study_names, lambda u: read_trials(u, "x"), lambda u: read_study(u, "x"),
                                  lambda u: open_storage(u, create=False)])  # fmt: skip
def test_reading_a_database_that_is_not_there_makes_none(
    database: str, tmp_path: Path, read: Callable[[str], Any]
) -> None:
    with pytest.raises(StudyError, match="There is no study database"):
        read(database)
    assert list(tmp_path.iterdir()) == []


def test_readers_write_nothing_while_a_study_is_open_or_closed(toy: Any, tmp_path: Path) -> None:
    toy.complete(0.5, 1000, 1000)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.db*")}
    assert len(read_trials(toy.url, "toy")) == 1
    after = {path.name: path.read_bytes() for path in tmp_path.glob("*.db*") if not path.name.endswith("-shm")}
    assert after.items() <= before.items()


def test_a_look_at_a_database_leaves_its_locks_alone(tmp_path: Path) -> None:
    """Another process must not be let in because this one read the file while it held it."""
    path = tmp_path / "held.db"
    other = textwrap.dedent(
        f"""
        import sqlite3
        try:
            sqlite3.connect({str(path)!r}, timeout=0.05).execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            print(error)
        """
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("CREATE TABLE t (x)")
        holder.execute("BEGIN IMMEDIATE")
        check_file(parse(f"sqlite:///{path}"), must_exist=True)
        found = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "database is locked"
        holder.execute("ROLLBACK")


def test_an_archive_that_cannot_be_written_can_be_read(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.study._storage._backend.engine.dispose()
    assert not (tmp_path / "studies.db-wal").exists()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert study_names(toy.url) == ["toy"]
    assert {path.name for path in tmp_path.iterdir()} == {"studies.db", "studies.db.lock"}


def test_a_reader_is_not_held_up_by_a_writer(toy: Any, tmp_path: Path) -> None:
    writer = sqlite3.connect(tmp_path / "studies.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert study_names(toy.url) == ["toy"]
    writer.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:////no/such/directory/studies.db", "directory /no/such/directory"),
        ("sqlite:///{tmp}", "is a directory"),
        ("sqlite:///{tmp}/text.db", "not a SQLite database"),
        ("sqlite:///{tmp}/broken.db", "not a SQLite database"),
        ("sqlite://", "stays"),
        ("sqlite:///:memory:", "stays"),
        ("mysql://me:secret@localhost/x", "'mysql' are not supported"),
        ("postgresql+nosuch://me:secret@localhost/x", "driver"),
        ("postgresql+pg8000://me:secret@localhost/x", "driver"),
        ("postgresql://me:secret@127.0.0.1:1/x", "cannot be used"),
        ("postgresql://me@127.0.0.1:1/x?password=secret", "cannot be used"),
        ("postgresql://me:secret@localhost:port/x", "cannot be read"),
        ("secret", "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_sentence_without_a_password(
    tmp_path: Path, url: str, says: str
) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to have a header")
    (tmp_path / "broken.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 600)
    with pytest.raises(StudyError) as caught:
        open_storage(url.format(tmp=tmp_path))
    message = str(caught.value)
    assert says in message
    assert "secret" not in message
    assert "\n" not in message
    assert message.endswith(".")


def test_a_file_that_may_not_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root, who may write everywhere
    with pytest.raises(StudyError, match="cannot be written"):
        open_storage(f"sqlite:///{tmp_path / 'studies.db'}")


@given(password=st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=12).map("0pw0{}".format))
def test_no_password_is_ever_shown(password: str) -> None:
    for url in (f"postgresql://me:{password}@h/d", f"postgresql://h/d?password={password}&sslpassword={password}"):
        assert password not in shown(parse(url))


def test_tables_of_another_version_are_refused_readably(toy: Any, tmp_path: Path) -> None:
    toy.study._storage._backend.engine.dispose()
    with sqlite3.connect(tmp_path / "studies.db") as connection:
        connection.execute("UPDATE version_info SET schema_version = 11")
    for read in (lambda: study_names(toy.url), lambda: read_trials(toy.url, "toy")):
        with pytest.raises(StudyError, match="version 11, and this program reads version 12"):
            read()


def test_a_database_of_something_else_holds_no_studies(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE birds (name TEXT)")
    with pytest.raises(StudyError, match="holds no studies"):
        study_names(f"sqlite:///{tmp_path / 'other.db'}")


def test_an_unknown_study_names_the_nearest(database: str) -> None:
    storage = open_storage(database)
    with pytest.raises(InputError, match="holds none yet"):
        open_study(storage, "Night-run")
    for name in ("night-run", "night-run-2", "esc10"):
        create_study(storage, name)
    for look in (lambda: open_study(storage, "Nigth-Run"), lambda: read_trials(database, "Nigth-Run")):
        with pytest.raises(InputError, match=r"did you mean 'night-run' or 'night-run-2'\?"):
            look()
    with pytest.raises(InputError, match="holds 'esc10', 'night-run', 'night-run-2'"):
        open_study(storage, "zzzzz")


def test_a_name_is_used_once_and_is_readable(database: str) -> None:
    storage = open_storage(database)
    create_study(storage, "one")
    with pytest.raises(InputError, match="already"):
        create_study(storage, "one")
    for name in ("", "   ", "x" * 513, "two\nlines", "nul\x00"):
        with pytest.raises(InputError, match="cannot be called"):
            create_study(storage, name)
    assert study_names(database) == ["one"]


def test_a_study_of_another_program_is_refused(database: str) -> None:
    storage = open_storage(database)
    optuna.create_study(storage=storage, study_name="theirs")
    with pytest.raises(StudyError, match="not one of this program"):
        open_study(storage, "theirs")


def test_a_learning_curve_on_a_pruned_trial_leaves_tpe_working(toy: Any) -> None:
    """Intermediate values on a feasible pruned trial make the next ask of TPE raise; attributes do not."""
    for i in range(12):
        toy.complete(0.3 + i / 100, 10_000 + i, 1_000_000 + i)
        toy.refuse("stopped_early", 20_000 + i, 2_000_000 + i)
    toy.study.sampler = optuna.samplers.TPESampler(multivariate=True, seed=1, n_startup_trials=5)
    assert 8 <= toy.study.ask().suggest_int("width", 8, 64) <= 64


_barrier: Any = None


def _meet(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


def _at_once(count: int, work: Callable[[str], Any], url: str) -> list[Any]:
    """What `count` processes return that begin the work at the same moment; an error in one is raised here."""
    context = multiprocessing.get_context("fork")  # a fresh interpreter each would cost a second of imports
    with ProcessPoolExecutor(count, context, _meet, (context.Barrier(count),)) as processes:
        return list(processes.map(work, [url] * count, timeout=60))


def _pop(url: str) -> list[tuple[int, int]]:
    study = open_study(open_storage(url), "toy")
    study.sampler = optuna.samplers.RandomSampler(seed=0)
    _barrier.wait(30)
    popped = []
    for _ in range(20):
        trial = study.ask()
        popped.append((trial.number, trial.suggest_int("width", 0, 1000)))
    return popped


def _pop_from_two_processes(url: str, study: optuna.Study) -> list[tuple[int, int]]:
    for i in range(40):
        study.enqueue_trial({"width": i})
    return [pair for popped in _at_once(2, _pop, url) for pair in popped]


def test_two_processes_never_get_the_same_waiting_trial(toy: Any) -> None:
    popped = _pop_from_two_processes(toy.url, toy.study)
    assert sorted(popped) == [(i, i) for i in range(40)]


def test_two_processes_share_a_study_on_postgresql(postgres: str, make_toy: Callable[..., Any]) -> None:
    toy = make_toy(postgres)
    popped = _pop_from_two_processes(toy.url, toy.study)
    assert sorted(popped) == [(i, i) for i in range(40)]


def test_postgresql_says_readably_what_is_wrong(postgres: str) -> None:
    missing = re.sub(r"/postgres$", "/nowhere", postgres)
    with pytest.raises(StudyError, match='database "nowhere" does not exist'):
        study_names(missing)


def _open_fresh(url: str) -> str:
    _barrier.wait(30)
    open_storage(url)
    return "opened"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_processes_may_open_a_new_database_at_once(
    kind: str, database: str, request: pytest.FixtureRequest
) -> None:
    url = database
    if kind == "postgresql":
        url = request.getfixturevalue("postgres")
        engine = open_storage(url).engine
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CREATE DATABASE fresh"))
        url = re.sub(r"/postgres$", "/fresh", url)
    assert _at_once(4, _open_fresh, url) == ["opened"] * 4
