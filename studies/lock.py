"""One driver per study: a lock that is free at once when its holder dies, however it dies."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, create_engine, text
from sqlalchemy.pool import NullPool

from search_spaces.digest import digest
from search_spaces.errors import NasError
from studies.database import StudyError, check_file, connect_args, parse, readable, sqlite_path


class StudyBusy(NasError):
    """Another process drives the study at this moment."""


@contextmanager
def study_lock(url: str, name: str) -> Iterator[None]:
    """Hold the study while it is driven; readers need no lock.

    For SQLite the kernel's lock on a file beside the database; for PostgreSQL an advisory lock on a connection
    of its own. Neither outlives the process, so there is never a stale lock to remove by hand. A machine that
    vanishes from the network is noticed by the server after about a minute.

    Raises:
        StudyBusy: If another process holds it.
        StudyError: If the database cannot be reached or its directory not written.
    """
    address = parse(url)
    check_file(address, must_exist=False)
    path = sqlite_path(address)
    with _file_lock(path, name) if path else _server_lock(address, name):
        yield


@contextmanager
def tables_lock(address: URL) -> Iterator[None]:
    """Wait for the right to make the tables of a database: Optuna fails if two processes make them at once."""
    path = sqlite_path(address)
    with _file_lock(path, None) if path else _server_lock(address, None):
        yield


@contextmanager
def _file_lock(database: Path, name: str | None) -> Iterator[None]:
    # Resolved, so that two ways of writing one path meet in one lock.
    path = Path(f"{database.resolve()}.{digest(name)}.lock" if name else f"{database.resolve()}.lock")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StudyError(f"The lock {path} cannot be made: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if name else 0))
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
            raise StudyBusy(_busy(name, holder)) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)  # which also gives the lock back; the file stays, removing it would race with a waiter


@contextmanager
def _server_lock(address: URL, name: str | None) -> Iterator[None]:
    key = int(digest(["driver of study", name]), 16) - (1 << 63)  # PostgreSQL's keys are signed 64 bit integers
    with readable(address):
        engine = create_engine(
            address, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=connect_args(address)
        )
        connection = engine.connect()
    try:
        with readable(address):
            for setting, value in (("idle", 30), ("interval", 10), ("count", 3)):
                connection.execute(text(f"SET tcp_keepalives_{setting} = {value}"))
            if name is None:
                connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
            elif not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar():
                raise StudyBusy(_busy(name, "another process"))
        yield
    finally:
        connection.close()  # a closed connection gives its advisory locks back


def _busy(name: str | None, holder: str) -> str:
    return (
        f"The study {name!r} is being driven by {holder}: wait for it to finish, stop it, or look on with `nas status`."
    )
