"""A checkpoint comes back as it was written, or not at all."""

import hashlib
import io
import logging
from pathlib import Path

import pytest
import torch

from trainers import checkpoints
from trainers.checkpoints import read_checkpoint, write_checkpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pt"


def content(value: float = 0.1) -> dict:
    weight = torch.arange(48.0).reshape(2, 2, 3, 4).to(memory_format=torch.channels_last)
    return {"weights": {"a": weight, "b": torch.tensor(3)}, "curve": [{"loss": value}], "none": None}


def test_it_comes_back_as_it_was_with_the_layout_of_its_tensors(path: Path) -> None:
    """A fused optimizer walks through memory, and would mix up channels otherwise."""
    assert read_checkpoint(path, "mine") is None
    write_checkpoint(path, "mine", content(0.2))
    write_checkpoint(path, "mine", content())
    found = read_checkpoint(path, "mine")
    assert found is not None
    assert (found["curve"], found["none"]) == ([{"loss": 0.1}], None)
    assert torch.equal(found["weights"]["a"], content()["weights"]["a"])
    assert found["weights"]["a"].stride() == content()["weights"]["a"].stride()
    assert found["weights"]["b"].dtype == torch.int64
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_damaged_one_is_told_and_not_taken(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_checkpoint(path, "mine", content())
    whole = path.read_bytes()
    damaged = [b"", whole[:10], whole[:-1], whole + b"0", bytes(len(whole))]
    for place in range(0, len(whole), len(whole) // 40):  # in the digest, a number, a name, the table of contents
        damaged.append(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    for data in damaged:
        path.write_bytes(data)
        caplog.clear()
        assert read_checkpoint(path, "mine") is None
        assert [(record.levelno, "is damaged" in record.message) for record in caplog.records] == [
            (logging.WARNING, True)
        ]
    path.write_bytes(whole)
    assert read_checkpoint(path, "mine") is not None


def test_one_of_another_training_or_format_is_told_and_not_taken(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(path, "another", content())
    assert read_checkpoint(path, "mine") is None
    assert "is of another training" in caplog.text
    caplog.clear()
    monkeypatch.setattr(checkpoints, "FORMAT", checkpoints.FORMAT + 1)
    assert read_checkpoint(path, "another") is None
    assert "is of another training" in caplog.text


class Harm:
    """Runs code when a careless reader opens it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.target,))


def test_code_in_it_is_not_run(path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for record in ({"content": Harm(tmp_path / "harm")}, ["no record"]):
        buffer = io.BytesIO()
        torch.save(record, buffer)
        path.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
        caplog.clear()
        assert read_checkpoint(path, "mine") is None
        assert "cannot be read" in caplog.text
    assert not (tmp_path / "harm").exists()


def test_a_disk_that_takes_no_more_leaves_the_last_one(path: Path) -> None:
    write_checkpoint(path, "mine", content())
    path.with_name(".checkpoint.pt.writing").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(path, "mine", content(0.2))
    found = read_checkpoint(path, "mine")
    assert found is not None
    assert found["curve"] == [{"loss": 0.1}]
