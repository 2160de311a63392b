"""Clips that nobody has labelled, as in the challenge's evaluation set: to be answered, not to be judged."""

from collections import defaultdict
from pathlib import Path

import pandas as pd

from search_spaces.digest import digest
from trainers.recordings import (
    TEST_LISTS,
    Recordings,
    RecordingsError,
    one_of_each_kind_first,
    read_table,
    sample,
    size_of,
)

LIST = "evaluation_setup/fold1_test.csv"
UNKNOWN = "unknown"
"""The recording device of a clip of which none is told; also what the challenge calls those without training clips."""


def is_unlabelled(root: Path) -> bool:
    """Whether a data set has a list of clips without scenes, and no test list with scenes."""
    return (root / LIST).is_file() and not any((root / name).exists() for name in TEST_LISTS)


def read_unlabelled(root: Path) -> Recordings:
    """Read and check evaluation_setup/fold1_test.csv and the audio files that it names.

    The list is that of the TAU Urban Acoustic Scenes 2025 Mobile evaluation set (Zenodo record 15517945): tab
    separated, with the columns filename and device_id. A list without device_id, as in earlier years, is of `UNKNOWN`
    recording devices; further columns are not read.

    Returns:
        No scenes, and clips in the order of the list with the columns filename and device only.

    Raises:
        RecordingsError: With every fault found, not only the first.
    """
    faults: dict[str, list[str]] = defaultdict(list)
    listed = read_table(root, LIST, ("filename",), faults["csv"], others=("device_id",)) or {}
    rows = [(name, row.get("device_id", UNKNOWN)) for name, row in listed.items()]
    sizes = [size_of(root, name, faults) for name in listed]
    if any(faults.values()):
        raise RecordingsError(root, one_of_each_kind_first(faults.values()))
    return Recordings(
        root=root,
        clips=pd.DataFrame(rows, columns=["filename", "device"]),
        scenes=(),
        digest=digest([[[*row, size] for row, size in zip(rows, sizes, strict=True)], sample(root, rows)]),
    )
