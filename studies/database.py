"""Database addresses: which are taken, how they are shown, and one readable sentence for each way they can fail.

Two kinds of database hold studies: one SQLite file (the default), or PostgreSQL when several machines share
a study. A message never holds a password, neither the address's own nor one a driver repeats.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlencode

from optuna.exceptions import StorageInternalError
from sqlalchemy import URL, Connection, Engine, column, create_engine, event, inspect, make_url, select, table
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from search_spaces.errors import InputError

SCHEMA_VERSION = 12
"""The tables of Optuna 5, which are read here without Optuna."""

WAIT_S = 60
"""How long a writer waits for another one: with two drivers, waits of 6 s were seen, above SQLite's own 5."""

CONNECT_S = 10
"""How long a silent database server is waited for before it counts as unreachable."""

_EXAMPLES = "expected sqlite:///path/to/studies.db or postgresql://user@host/database"


class StudyError(InputError):
    """A database or a study that cannot be used as it is; the message names it and says what to do."""


def parse(url: str) -> URL:
    """The address in its parts, with the driver this project installs where none is named.

    Raises:
        StudyError: If it is no address, or of a kind of database that cannot hold studies.
    """
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise StudyError(f"The database address cannot be read: {_EXAMPLES}.") from None
    if address.drivername in ("sqlite", "sqlite+pysqlite"):
        if not address.database or address.database == ":memory:" or address.database.startswith("file:"):
            raise StudyError(f"A study needs a database that stays: {_EXAMPLES}.")
        return address
    if address.get_backend_name() != "postgresql":
        raise StudyError(f"Databases of the kind {address.drivername!r} are not supported: {_EXAMPLES}.")
    return address.set(drivername="postgresql+psycopg") if address.drivername == "postgresql" else address


def sqlite_path(address: URL) -> Path | None:
    """The file of a SQLite address; None for a database server."""
    return Path(address.database) if address.get_backend_name() == "sqlite" and address.database else None


def shown(address: URL) -> str:
    """The address as messages may show it: a path, or a URL without its password and options."""
    path = sqlite_path(address)
    return str(path) if path else address.set(query={}).render_as_string(hide_password=True)


def connect_args(address: URL) -> dict[str, int]:
    """What the driver is told about waiting, in seconds."""
    if sqlite_path(address):
        return {"timeout": WAIT_S}
    return {} if "connect_timeout" in address.query else {"connect_timeout": CONNECT_S}


@contextmanager
def readable(address: URL) -> Iterator[None]:
    """Turn what drivers and the SQL layer raise inside into one sentence.

    Raises:
        StudyError: Server unreachable, driver missing, access denied, not a database, disk full.
    """
    try:
        yield
    except (ImportError, NoSuchModuleError):
        raise StudyError(
            f"The driver for {shown(address)} is not installed: `pip install 'acoustic-nas[postgres]'` brings psycopg."
        ) from None
    except (SQLAlchemyError, StorageInternalError) as error:
        raise StudyError(f"The database {shown(address)} cannot be used: {_cause(error, address)}.") from error


def check_file(address: URL, *, must_exist: bool) -> None:
    """Look at a SQLite file before any library opens it, because opening one creates it.

    Raises:
        StudyError: If it is missing though it must exist, lies in no directory, or holds something else.
    """
    path = sqlite_path(address)
    if path is None:
        return
    try:
        if path.is_dir():
            raise StudyError(f"The database {path} is a directory: name a file inside it.")
        if path.exists():
            if not _is_database(path):
                raise StudyError(f"{path} is not a SQLite database: name another file with --storage.")
        elif must_exist:
            raise StudyError(
                f"There is no study database at {path}: start a study with `nas search`, "
                f"or name its file with --storage."
            )
        elif not path.parent.is_dir():
            raise StudyError(f"The directory {path.parent} for the database does not exist: create it first.")
        elif not os.access(path.parent, os.W_OK):
            raise StudyError(f"The directory {path.parent} cannot be written: choose another with --storage.")
    except OSError as error:
        raise StudyError(f"The database {path} cannot be opened: {error.strerror or error}.") from error


def _is_database(path: Path) -> bool:
    """Whether SQLite can make something of a file; an empty one is a database without tables.

    SQLite is asked, because closing the file after reading its first bytes here would drop the locks that this process
    holds on it, behind SQLite's back (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?{urlencode(_to_read(path))}", uri=True)
        ) as connection:
            connection.execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as error:
        return error.sqlite_errorcode != sqlite3.SQLITE_NOTADB  # whatever else is wrong is told where it is opened
    return True


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """A read-only connection in one transaction, so that all it selects belongs together.

    It never creates a file, never writes and never holds up the driver of a study.

    Raises:
        StudyError: If there is no such database, it cannot be read, or its tables are of another version.
    """
    address = parse(url)
    check_file(address, must_exist=True)
    with readable(address):
        engine = _reader(address)
        try:
            with engine.connect() as connection:
                _check_schema(connection, shown(address))
                yield connection
        finally:
            engine.dispose()


def _reader(address: URL) -> Engine:
    path = sqlite_path(address)
    if path is None:
        return create_engine(
            address,
            poolclass=NullPool,
            connect_args=connect_args(address),
            isolation_level="REPEATABLE READ",
            execution_options={"postgresql_readonly": True},
        )
    query = {"uri": "true"} | _to_read(path)
    file_uri = path.absolute().as_uri()  # percent-encodes `?` and `#`, which a path may hold
    engine = create_engine(
        URL.create("sqlite", database=file_uri, query=query), poolclass=NullPool, connect_args={"timeout": WAIT_S}
    )

    @event.listens_for(engine, "connect")
    def on_connect(connection: object, record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]  # a sqlite3.Connection; we say BEGIN

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _to_read(path: Path) -> dict[str, str]:
    """Parameters of a SQLite file's URI, for opening it to read only."""
    # Beside a write-ahead log a reader needs a shared index file. In a directory that cannot be written (an
    # archive, a read-only mount) there is none and no writer either, and SQLite must be told so.
    frozen = not os.access(path.absolute().parent, os.W_OK) and not Path(f"{path}-wal").exists()
    return {"mode": "ro"} | ({"immutable": "1"} if frozen else {})


def _check_schema(connection: Connection, place: str) -> None:
    if not inspect(connection).has_table("version_info"):
        raise StudyError(f"The database {place} holds no studies: start one with `nas search`.")
    found = connection.execute(select(column("schema_version")).select_from(table("version_info"))).scalar()
    if found != SCHEMA_VERSION:
        raise StudyError(
            f"The tables in {place} have version {found}, and this program reads version {SCHEMA_VERSION}: "
            f"upgrade a copy with `optuna storage upgrade`."
        )


def _cause(error: BaseException, address: URL) -> str:
    """The innermost message, on one line, without the password should the driver repeat it."""
    while (inner := getattr(error, "orig", None) or error.__cause__) is not None:
        error = inner
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    secrets = [address.password, *(v for k, v in address.query.items() if "password" in k)]
    for secret in secrets:
        if secret:
            text = text.replace(str(secret), "***")
    return text
