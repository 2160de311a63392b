"""The SQL storage of studies: opening it safely, making a study in it, and finding one by its name."""

import difflib
from pathlib import Path

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from sqlalchemy import URL, Connection, String, column, event, select, table

from search_spaces.errors import InputError
from studies.database import StudyError, check_file, connect_args, parse, readable, reading, shown, sqlite_path
from studies.lock import tables_lock

OBJECTIVES = ("accuracy", "weight_bytes", "macs")
"""What a trial's values are, in their order."""

DIRECTIONS = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE, StudyDirection.MINIMIZE)

LONGEST_NAME = 512


def default_url(runs: Path) -> str:
    """The SQLite file that is used when no database is named: `studies.db` in the folder of runs."""
    path = str(runs.absolute() / "studies.db")
    return URL.create("sqlite", database=path).render_as_string()  # which quotes what a path may hold


def open_storage(url: str, *, create: bool = True) -> RDBStorage:
    """The database for writing: many processes of one machine may share a SQLite file opened this way.

    SQLite runs with a write-ahead log, and every transaction takes the write lock when it begins: with the
    default, which takes it at the first write, two drivers can be handed the same waiting trial.
    The storage must not be pickled: the hooks that do this would be lost.

    Args:
        create: Whether a SQLite file that does not exist is made; a study to be resumed must be there.

    Raises:
        StudyError: If the database cannot be opened, with the reason in one sentence.
    """
    address = parse(url)
    check_file(address, must_exist=not create)
    path = sqlite_path(address)
    kwargs = {"connect_args": connect_args(address)} | ({} if path else {"pool_pre_ping": True})
    text = address.render_as_string(hide_password=False)
    with readable(address):
        try:
            with tables_lock(address):
                storage = RDBStorage(text, engine_kwargs=kwargs)
        except RuntimeError as error:  # raised by Optuna for the tables of another version
            raise StudyError(
                f"The tables in {shown(address)} were made by another version of Optuna: "
                f"upgrade a copy with `optuna storage upgrade`, or name another database."
            ) from error
        if path:
            _take_the_lock_at_begin(storage)
    return storage


def _take_the_lock_at_begin(storage: RDBStorage) -> None:
    @event.listens_for(storage.engine, "connect")
    def on_connect(connection: object, record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]  # a sqlite3.Connection; we say BEGIN
        connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]
        connection.execute("PRAGMA synchronous=NORMAL")  # type: ignore[attr-defined]

    @event.listens_for(storage.engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    storage.engine.dispose()  # connections made before the hooks must not be used again
    with storage.engine.connect():
        pass  # a file that cannot be written says so now, not at the first trial


def create_study(storage: RDBStorage, name: str) -> optuna.Study:
    """A new study: accuracy up, weight bytes down, MACs down. The caller sets its sampler.

    Raises:
        InputError: If the name is taken or cannot be one.
    """
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise InputError(f"A study cannot be called {name[:40]!r}: use 1 to {LONGEST_NAME} printable characters.")
    with readable(storage.engine.url):
        try:
            return optuna.create_study(storage=storage, study_name=name, directions=DIRECTIONS)
        except DuplicatedStudyError:
            raise InputError(
                f"There is a study {name!r} already: carry it on with `nas resume`, or choose another name."
            ) from None


def open_study(storage: RDBStorage, name: str) -> optuna.Study:
    """The study of that name, as it stands. The caller sets its sampler.

    Raises:
        InputError: If there is none (naming the nearest known names), or it was made by another program.
    """
    with readable(storage.engine.url):
        try:
            study = optuna.load_study(study_name=name, storage=storage)
        except KeyError:
            raise unknown_study(name, optuna.get_all_study_names(storage)) from None
        if tuple(study.directions) != DIRECTIONS:
            raise StudyError(f"The study {name!r} is not one of this program: its objectives are others.")
        return study


def study_names(url: str) -> list[str]:
    """The names of all studies in the database, in alphabetical order. Reads only.

    Raises:
        StudyError: If there is no such database, or it holds no studies of a version that can be read.
    """
    with reading(url) as connection:
        return sorted(connection.execute(select(column("study_name", String)).select_from(table("studies"))).scalars())


def unknown_study(name: str, known: list[str]) -> InputError:
    """The error for a name that is not there: with the nearest names, or what there is."""
    if not known:
        return InputError(f"There is no study {name!r}: the database holds none yet.")
    folded = {k.casefold(): k for k in known}
    near = [folded[k] for k in difflib.get_close_matches(name.casefold(), list(folded), n=3, cutoff=0.5)]
    if near:
        return InputError(f"There is no study {name!r}: did you mean {' or '.join(map(repr, near))}?")
    listed = ", ".join(map(repr, sorted(known)[:5])) + (f" and {len(known) - 5} more" if len(known) > 5 else "")
    return InputError(f"There is no study {name!r}: the database holds {listed}.")
