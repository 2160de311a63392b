"""What an interrupted training carries on from: a file of data, whole or known not to be."""

import hashlib
import io
import logging
import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

log = logging.getLogger("acoustic_nas.trainers")

# Raise it when the same key gives another content.
FORMAT = 1

_SUM = hashlib.sha256


def write_checkpoint(path: Path, key: str, content: dict[str, Any]) -> None:
    """Replaces the checkpoint by another one; a kill at any time leaves the one or the other.

    Args:
        key: Of what is being taught.
        content: Numbers, text and tensors, in lists and dictionaries.

    Raises:
        OSError: If the file cannot be written.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "key": key, "content": content}, buffer)
    data = buffer.getbuffer()
    # The digest stands in for waiting until the disk has it all: a file cut by a power failure is known by it.
    unfinished = path.with_name(f".{path.name}.writing")
    with unfinished.open("wb") as file:
        file.write(_SUM(data).digest())
        file.write(data)
    os.replace(unfinished, path)


def read_checkpoint(path: Path, key: str) -> dict[str, Any] | None:
    """The content of a checkpoint, tensors on the CPU; None if there is none, or, with a warning, none of this key.

    Raises:
        OSError: If there is a file that cannot be read at all.
    """
    try:
        written = path.read_bytes()
    except FileNotFoundError:
        return None
    size = _SUM().digest_size
    if _SUM(written[size:]).digest() != written[:size]:
        log.warning("the checkpoint %s is damaged: its training starts over", path)
        return None
    try:
        record = torch.load(io.BytesIO(written[size:]), map_location="cpu", weights_only=True)
        content: dict[str, Any] = record["content"]
        mine = (record["format"], record["key"]) == (FORMAT, key)
    except (RuntimeError, UnpicklingError, KeyError, TypeError, EOFError) as error:
        log.warning("the checkpoint %s cannot be read (%s): its training starts over", path, error)
        return None
    if not mine:
        log.warning("the checkpoint %s is of another training: this one starts over", path)
        return None
    return content
