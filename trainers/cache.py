"""Folders that are built once and then only opened: keyed by what made them, finished or absent, safe under a kill."""

import contextlib
import errno
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from search_spaces.digest import canonical_json, digest
from search_spaces.errors import NasError

log = logging.getLogger("acoustic_nas.trainers")

_FULL = (errno.ENOSPC, errno.EDQUOT)


class CacheError(NasError):
    """A cache that cannot be written: a full disk, a folder without permission, a file system without locks."""


def open_or_build(root: Path, kind: str, key: dict[str, Any], build: Callable[[Path], None]) -> Path:
    """The finished folder of this kind and key, built if there is none.

    The folder is named by `folder_name`. It holds what `build` wrote, key.json, and `done`, written last with
    the size of every file. A folder whose key or sizes are not what they should be is rebuilt with a warning.

    Args:
        root: Folder of all caches, made if missing.
        kind: What is cached, for example "features".
        key: Everything that decides the content, as JSON: settings, source digests, a format version.
        build: Writes the content into the empty folder it is given. If it raises, nothing is left behind.

    Returns:
        The folder. Several processes may ask at once: one builds, the others wait for it.

    Raises:
        CacheError: If the folder cannot be written.
    """
    target = Path(root) / folder_name(kind, key)
    if _is_finished(target, key):
        return target
    with sole_builder(target):
        if _is_finished(target, key):
            return target
        if target.exists():
            log.warning("the cache %s is not what its key says or is incomplete: it is built again", target)
        _clear_leftovers(target, kind)
        with replacing(target) as folder:
            build(folder)
            _write(folder / "key.json", canonical_json(key))
            _write(folder / "done", canonical_json(_sizes(folder)))
    return target


def folder_name(kind: str, key: dict[str, Any]) -> str:
    """What the folder of this kind and key is called."""
    return f"{kind}-{digest(key)}"


def finished(root: Path, kind: str, key: dict[str, Any]) -> Path | None:
    """The folder of this kind and key; None if there is none, or it is not what it should be."""
    target = Path(root) / folder_name(kind, key)
    return target if _is_finished(target, key) else None


@contextlib.contextmanager
def sole_builder(target: Path) -> Iterator[None]:
    """Hold the lock of a folder that is to be built; waits for another holder, and never for a dead one.

    The lock is a file beside the folder under `flock`, which the kernel gives back when its holder ends, however it
    ends.
    """
    with _told_readably(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(target, wait=True)
    try:
        yield
    finally:
        _unlock(target, lock)


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """An empty folder beside `target` that takes its place, flushed to disk, when the block ends without an error.

    For the sole builder of `target` only. An operating-system error within the block becomes a CacheError.
    """
    folder = _unfinished(target)
    with _told_readably(target):
        try:
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(parents=True)
            yield folder
            for path in sorted(folder.rglob("*"), reverse=True):
                _flush(path)
            _flush(folder)
            if target.exists():
                shutil.rmtree(target)
            os.rename(folder, target)
            _flush(target.parent)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _is_finished(target: Path, key: dict[str, Any]) -> bool:
    try:
        written = (target / "key.json").read_text(encoding="utf-8")
        done = json.loads((target / "done").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    sizes = _sizes(target)
    sizes.pop("done")
    return written == canonical_json(key) and sizes == done


def _sizes(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def _unfinished(target: Path) -> Path:
    return target.with_name(f".{target.name}.building")


def _lock_file(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _clear_leftovers(target: Path, kind: str) -> None:
    """Remove what killed builds of this kind left behind. A build that is alive holds its lock and is left alone."""
    for folder in target.parent.glob(f".{kind}-*.building"):
        other = target.with_name(folder.name.removeprefix(".").removesuffix(".building"))
        if other == target:
            continue  # ours; `replacing` starts from an empty folder
        lock = _lock(other, wait=False)
        if lock is not None:
            log.info("removing what an interrupted build left in %s", folder)
            shutil.rmtree(folder, ignore_errors=True)
            _unlock(other, lock)


def _lock(target: Path, *, wait: bool) -> int | None:
    """A file descriptor that holds the lock; None if another holds it and we do not wait."""
    path = _lock_file(target)
    told = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                os.close(descriptor)
                return None
            if not told:
                log.info("another process is building %s: waiting for it", target)
                told = True
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError:
            os.close(descriptor)
            raise
        # The former holder removes the file as it lets go: then this lock is on a file that nobody else will see.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)


def _unlock(target: Path, descriptor: int | None) -> None:
    if descriptor is not None:
        _lock_file(target).unlink(missing_ok=True)
        os.close(descriptor)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _told_readably(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            reason = "the disk is full; free some space or choose another folder, then start again"
        else:
            reason = f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
        raise CacheError(f"{target} cannot be written: {reason}") from error
