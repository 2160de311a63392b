"""A cache folder is finished or absent, whatever happens to the process that builds it."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from search_spaces.digest import digest
from search_spaces.errors import NasError
from trainers.cache import CacheError, open_or_build, replacing

KEY = {"setting": 1, "source": "abc"}


def write_clips(folder: Path) -> None:
    (folder / "clips.bin").write_bytes(b"0123456789")


def never(folder: Path) -> None:
    raise AssertionError("a finished cache was built again")


def child(code: str, root: Path) -> subprocess.Popen[str]:
    path = [entry for entry in sys.path if entry]
    start = f"import sys; sys.path[:0] = {path!r}\nfrom pathlib import Path\nroot = Path({str(root)!r})\n"
    return subprocess.Popen([sys.executable, "-c", start + code], stdout=subprocess.PIPE, text=True)


def test_the_first_call_builds_and_the_second_opens(tmp_path: Path) -> None:
    folder = open_or_build(tmp_path / "caches", "features", KEY, write_clips)
    assert folder == tmp_path / "caches" / f"features-{digest(KEY)}"
    assert sorted(path.name for path in folder.iterdir()) == ["clips.bin", "done", "key.json"]
    assert json.loads((folder / "key.json").read_text()) == KEY
    assert open_or_build(tmp_path / "caches", "features", KEY, never) == folder


def test_another_key_or_kind_has_its_own_folder(tmp_path: Path) -> None:
    folders = {
        open_or_build(tmp_path, kind, key, write_clips)
        for kind in ("features", "logits")
        for key in (KEY, KEY | {"setting": 2})
    }
    assert len(folders) == 4


def test_nothing_but_the_finished_folder_is_left_beside_it(tmp_path: Path) -> None:
    folder = open_or_build(tmp_path, "features", KEY, write_clips)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_build_that_raises_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write_clips(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_or_build(tmp_path, "features", KEY, fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage", ["shorter", "without a file", "with another", "without done", "other key", "done cut"]
)
def test_a_damaged_cache_is_built_again_and_said(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    folder = open_or_build(tmp_path, "features", KEY, write_clips)
    match damage:
        case "shorter":
            (folder / "clips.bin").write_bytes(b"01234")
        case "without a file":
            (folder / "clips.bin").unlink()
        case "with another":
            (folder / "old").write_bytes(b"of something else")
        case "without done":
            (folder / "done").unlink()
        case "other key":
            (folder / "key.json").write_text('{"setting":2,"source":"abc"}')
        case "done cut":
            (folder / "done").write_text("{")
    with caplog.at_level("WARNING"):
        assert open_or_build(tmp_path, "features", KEY, write_clips) == folder
    assert "is built again" in caplog.text
    assert (folder / "clips.bin").read_bytes() == b"0123456789"
    assert not (folder / "old").exists()
    assert open_or_build(tmp_path, "features", KEY, never) == folder


def test_a_killed_build_is_never_mistaken_for_a_finished_one_and_is_cleared_away(tmp_path: Path) -> None:
    code = """
import time
from trainers.cache import open_or_build
def build(folder):
    (folder / "clips.bin").write_bytes(b"01234")
    print("half", flush=True)
    time.sleep(60)
open_or_build(root, "features", {"setting": 1, "source": "abc"}, build)
"""
    process = child(code, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    left = list(tmp_path.iterdir())
    assert left
    assert all(path.name.startswith(".") for path in left)
    other = open_or_build(tmp_path, "features", KEY | {"setting": 2}, write_clips)  # of the same kind: it clears up
    assert list(tmp_path.iterdir()) == [other]
    folder = open_or_build(tmp_path, "features", KEY, write_clips)
    assert (folder / "clips.bin").read_bytes() == b"0123456789"


def test_a_killed_build_of_the_same_key_is_started_from_nothing(tmp_path: Path) -> None:
    leftover = tmp_path / f".features-{digest(KEY)}.building"
    leftover.mkdir()
    (leftover / "half").write_bytes(b"01234")
    folder = open_or_build(tmp_path, "features", KEY, write_clips)
    assert sorted(path.name for path in folder.iterdir()) == ["clips.bin", "done", "key.json"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_living_build_of_another_key_is_left_alone(tmp_path: Path) -> None:
    inside, go = threading.Event(), threading.Event()

    def slow(folder: Path) -> None:
        write_clips(folder)
        inside.set()
        assert go.wait(10)

    thread = threading.Thread(target=open_or_build, args=(tmp_path, "features", KEY, slow))
    thread.start()
    assert inside.wait(10)
    open_or_build(tmp_path, "features", KEY | {"setting": 2}, write_clips)
    go.set()
    thread.join(10)
    folder = open_or_build(tmp_path, "features", KEY, never)
    assert (folder / "clips.bin").read_bytes() == b"0123456789"


def test_processes_that_race_build_once_and_all_get_the_whole(tmp_path: Path) -> None:
    code = """
import os, time
from trainers.cache import open_or_build
def build(folder):
    with open(root / "builds", "a") as file:
        file.write("x")
    time.sleep(0.3)
    (folder / "clips.bin").write_bytes(b"0123456789")
folder = open_or_build(root / "caches", "features", {"setting": 1}, build)
print((folder / "clips.bin").read_text(), flush=True)
"""
    processes = [child(code, tmp_path) for _ in range(4)]
    assert [process.communicate(timeout=30)[0] for process in processes] == ["0123456789\n"] * 4
    assert (tmp_path / "builds").read_text() == "x"
    assert [path.name for path in (tmp_path / "caches").iterdir()] == [f"features-{digest({'setting': 1})}"]


def test_a_waiting_process_takes_over_from_a_killed_one(tmp_path: Path) -> None:
    code = """
import time
from trainers.cache import open_or_build
def build(folder):
    print("in", flush=True)
    time.sleep(60)
open_or_build(root, "features", {"setting": 1, "source": "abc"}, build)
"""
    process = child(code, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    found: list[Path] = []
    thread = threading.Thread(target=lambda: found.append(open_or_build(tmp_path, "features", KEY, write_clips)))
    thread.start()
    time.sleep(0.2)
    assert not found
    process.kill()
    process.wait()
    process.stdout.close()
    thread.join(10)
    assert (found[0] / "clips.bin").read_bytes() == b"0123456789"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_readably_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    def fill(folder: Path) -> None:
        write_clips(folder)
        raise OSError(number, os.strerror(number))

    with pytest.raises(CacheError, match="the disk is full; free some space") as caught:
        open_or_build(tmp_path, "features", KEY, fill)
    assert isinstance(caught.value, NasError)
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_a_folder_is_said_readably(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match="cannot be written"):
        open_or_build(tmp_path / "file", "features", KEY, write_clips)


def test_what_replaces_a_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "set"
    target.mkdir()
    (target / "old").write_text("old")
    with replacing(target) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "new").write_text("new")
        assert (target / "old").exists()
    assert [path.relative_to(target).as_posix() for path in sorted(target.rglob("*"))] == ["deep", "deep/new"]
