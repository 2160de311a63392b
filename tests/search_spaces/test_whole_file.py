"""A file is whole or as it was."""

import os
import stat
from pathlib import Path

import pytest

from search_spaces.whole_file import write_whole


def test_a_file_is_written_as_it_is_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for text in ("one\n", "zwei\r\nü\u2028"):
        write_whole(path, text)
        assert path.read_bytes() == text.encode()
    assert os.listdir(tmp_path) == ["a.txt"]
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_what_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]
    with pytest.raises(OSError, match="No such file"):
        write_whole(tmp_path / "none" / "a.txt", "new")
