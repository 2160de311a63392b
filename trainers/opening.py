"""Opening what a cache holds: arrays as memory maps, keys as JSON, each with its faults told by file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from search_spaces.errors import NasError


class MaterialError(NasError):
    """Features, labels or teacher logits that are damaged or do not belong together."""


def mapped_array(path: Path, *, clips: int | None, dims: int) -> npt.NDArray[np.float16]:
    """A float16 array of a cache as a memory map; a write, if any, stays in this process (torch wants it writable).

    Args:
        clips: Rows that it must have; None for any number.

    Raises:
        MaterialError: If the file is missing, cut short, or not float16 of `dims` dimensions with a row for each clip.
    """
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise MaterialError(f"{path} cannot be opened ({error}); delete its folder and it is made again") from error
    if array.dtype != np.float16 or array.ndim != dims or clips not in (None, len(array)):
        rows = "" if clips is None else f" and a row for each of the {clips} clips in index.csv"
        raise MaterialError(
            f"{path} holds {array.dtype} of shape {array.shape}, not float16 with {dims} dimensions{rows}; "
            "delete its folder and it is made again"
        )
    return array


def key_of(folder: Path) -> dict[str, Any]:
    """All that a cache was made from.

    Raises:
        MaterialError: If there is no key, or a damaged one.
    """
    path = folder / "key.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise MaterialError(f"{path} cannot be read ({error}); delete its folder and it is made again") from error


def part_of_key(folder: Path, name: str) -> Any:
    """One part of what a cache was made from.

    Raises:
        MaterialError: If its key cannot be read or does not have this part.
    """
    try:
        return key_of(folder)[name]
    except KeyError as error:
        raise MaterialError(
            f"{folder / 'key.json'} does not say which {name} it is of; delete its folder and it is made again"
        ) from error
