"""Which recordings there are: a data set in the layout of TAU Urban Acoustic Scenes, checked before any training."""

import hashlib
import logging
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path, PureWindowsPath

import pandas as pd

from search_spaces.digest import digest
from search_spaces.errors import InputError

log = logging.getLogger("acoustic_nas.trainers")

COLUMNS = ("filename", "scene", "location", "device", "split")
DEFAULT_TRAIN_LIST = "split25"
NAMED_FAULTS = 10
SAMPLED_FILES, SAMPLED_BYTES = 128, 1_000_000

_META = ("filename", "scene_label", "identifier", "source_label")
_LIST = ("filename", "scene_label")
_PLAIN_NAME = re.compile(r"\w[\w.-]*")


class RecordingsError(InputError):
    """A data set that cannot be used. `faults` holds one sentence for each; the message names the first ten."""

    def __init__(self, root: Path, faults: Sequence[str]) -> None:
        named = "".join(f"\n  - {fault}" for fault in faults[:NAMED_FAULTS])
        more = f"\n  and {len(faults) - NAMED_FAULTS:,} more" if len(faults) > NAMED_FAULTS else ""
        count = "1 fault" if len(faults) == 1 else f"{len(faults):,} faults"
        super().__init__(f"The data set in {root} has {count}; put them right and start again:{named}{more}")
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Recordings:
    """A checked data set.

    Attributes:
        root: The folder that the file names start from.
        clips: One row per clip of the training or the test list, training first, then by filename. Columns:
            filename (as listed), scene, location (the identifier of meta.csv: city and place), device (the
            recording device), split ("train" or "test").
        scenes: The scene labels in alphabetical order: the place of a scene is its class number.
        digest: 16 hexadecimal digits over the rows, the sizes of the audio files and the content of some of them.
            It does not depend on where the folder lies. A data set made anew is noticed even where all files are
            equally long, as in TAU; a few files replaced by others of equal length may not be.
    """

    root: Path
    clips: pd.DataFrame
    scenes: tuple[str, ...]
    digest: str


def read_recordings(root: Path, train_list: str = DEFAULT_TRAIN_LIST) -> Recordings:
    """Read and check a data set: meta.csv, a training list, a test list, and the audio files they name.

    Args:
        root: Folder with meta.csv and the lists. The test list is split_setup/test.csv or, without that file,
            evaluation_setup/fold1_evaluate.csv.
        train_list: The training list split_setup/<train_list>.csv. Only the default may be missing:
            evaluation_setup/fold1_train.csv then takes its place, as in TAU before the challenge's splits.

    Raises:
        RecordingsError: With every fault found, not only the first.
    """
    root = Path(root)
    if not root.is_dir():
        raise RecordingsError(root, ["there is no such folder"])
    faults: dict[str, list[str]] = defaultdict(list)
    meta = _read_table(root, "meta.csv", _META, faults["csv"])
    names = {
        "train": _train_list(root, train_list, faults["csv"]),
        "test": _either(root, "split_setup/test.csv", "evaluation_setup/fold1_evaluate.csv"),
    }
    lists = {split: _read_table(root, name, _LIST, faults["csv"]) for split, name in names.items()}
    rows, sizes = _join(root, meta, lists, faults)
    clips = pd.DataFrame(rows, columns=list(COLUMNS))
    _check_splits(clips, faults)
    told = _one_of_each_kind_first(faults.values())
    if told:
        raise RecordingsError(root, told)
    return Recordings(
        root=root,
        clips=clips,
        scenes=tuple(sorted(set(clips["scene"]))),
        digest=digest([[[*row, size] for row, size in zip(rows, sizes, strict=True)], _sample(root, rows)]),
    )


def _train_list(root: Path, name: str, faults: list[str]) -> str:
    """The training list's place below `root`; a list asked for by name is never silently replaced by another."""
    if not _PLAIN_NAME.fullmatch(name):
        faults.append(f"the training list {name!r} is not a plain name such as {DEFAULT_TRAIN_LIST!r}")
        return _either(root, f"split_setup/{DEFAULT_TRAIN_LIST}.csv", "evaluation_setup/fold1_train.csv")
    wanted = f"split_setup/{name}.csv"
    if name != DEFAULT_TRAIN_LIST:
        return wanted
    return _either(root, wanted, "evaluation_setup/fold1_train.csv")


def _either(root: Path, wanted: str, instead: str) -> str:
    """`wanted`, or `instead` where only that one exists."""
    if not (root / wanted).exists() and (root / instead).exists():
        log.info("%s has no %s: reading %s", root, wanted, instead)
        return instead
    return wanted


_Rows = dict[str, dict[str, str]]


def _read_table(root: Path, name: str, columns: Sequence[str], faults: list[str]) -> _Rows | None:
    """The rows of one tab-separated file by filename, or None where it cannot be read as such."""
    try:
        text = (root / name).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        faults.append(f"{name} is missing")
        return None
    except UnicodeDecodeError as error:
        faults.append(f"{name} is not UTF-8 text (byte {error.start})")
        return None
    except OSError as error:
        faults.append(f"{name} cannot be read ({error.strerror})")
        return None
    first, *lines = text.split("\n")
    header = first.split("\t")
    absent = [column for column in columns if column not in header]
    if absent:
        noun = "column" if len(absent) == 1 else "columns"
        faults.append(f"{name} has no {noun} {', '.join(absent)}; its tab-separated header is {first[:80]!r}")
        return None
    places = {column: header.index(column) for column in columns}
    rows: _Rows = {}
    before = len(faults)
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != len(header):
            faults.append(f"{name}, line {number}: {len(fields)} tab-separated fields in place of {len(header)}")
            continue
        row = {column: fields[place].strip() for column, place in places.items()}
        empty = [column for column, value in row.items() if not value]
        if empty:
            faults.append(f"{name}, line {number}: {', '.join(empty)} is empty")
        elif row["filename"] in rows:
            faults.append(f"{name}, line {number}: {row['filename']} is there a second time")
        else:
            rows[row["filename"]] = row
    if not rows and len(faults) == before:
        faults.append(f"{name} lists no clip")
    return rows


def _join(
    root: Path, meta: _Rows | None, lists: dict[str, _Rows | None], faults: dict[str, list[str]]
) -> tuple[list[tuple[str, ...]], list[int]]:
    """The listed clips that meta.csv knows, as rows of `COLUMNS`, and the sizes of their files in bytes."""
    rows: list[tuple[str, ...]] = []
    sizes: list[int] = []
    for split, listed in lists.items():
        for filename, entry in sorted((listed or {}).items()):
            size = _size(root, filename, faults)
            if meta is None:
                continue
            if filename not in meta:
                faults["meta"].append(f"{filename} is in the {split} list but not in meta.csv")
                continue
            known, scene = meta[filename], entry["scene_label"]
            if known["scene_label"] != scene:
                faults["label"].append(
                    f"{filename} is {scene!r} in the {split} list but {known['scene_label']!r} in meta.csv"
                )
            rows.append((filename, scene, known["identifier"], known["source_label"], split))
            sizes.append(size)
    return rows, sizes


def _size(root: Path, filename: str, faults: dict[str, list[str]]) -> int:
    """The size in bytes of one audio file; 0, and a fault, where it cannot be one."""
    if _leaves(filename):
        faults["path"].append(f"{filename!r} leads out of the data set's folder")
        return 0
    try:
        found = os.stat(root / filename)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        reason = "is listed but missing on disk" if missing else f"cannot be read ({error.strerror})"
        faults["missing"].append(f"{filename} {reason}")
        return 0
    if not stat.S_ISREG(found.st_mode):
        faults["missing"].append(f"{filename} is not a file")
    elif found.st_size == 0:
        faults["empty"].append(f"{filename} is an empty file")
    return found.st_size


def _sample(root: Path, rows: Sequence[tuple[str, ...]]) -> list[str]:
    """SHA-256 of up to `SAMPLED_FILES` audio files, evenly spread over the rows, of each at most its first megabyte."""
    digests = []
    for filename, *_ in rows[:: max(1, -(-len(rows) // SAMPLED_FILES))]:
        try:
            with (root / filename).open("rb") as file:
                digests.append(hashlib.sha256(file.read(SAMPLED_BYTES)).hexdigest())
        except OSError as error:
            raise RecordingsError(root, [f"{filename} cannot be read ({error.strerror})"]) from error
    return digests


def _leaves(filename: str) -> bool:
    """Whether a listed name would reach outside the folder, on any system, or is no file name at all."""
    path = PureWindowsPath(filename)  # knows both slashes, and drives
    return bool(path.drive or path.root or ".." in path.parts or "\0" in filename)


def _check_splits(clips: pd.DataFrame, faults: dict[str, list[str]]) -> None:
    """A location on both sides would let a network be tested on a place it has heard."""
    train, test = (clips[clips["split"] == split] for split in ("train", "test"))
    for location in sorted(set(train["location"]) & set(test["location"])):
        faults["location"].append(f"location {location} is in both the training and the test list")
    if len(train):
        for scene in sorted(set(test["scene"]) - set(train["scene"])):
            faults["scene"].append(f"scene {scene} has test clips but no training clip")


def _one_of_each_kind_first(kinds: Iterable[Iterable[str]]) -> list[str]:
    """All faults, dealt out in turn, so that thousands of missing files do not hide the one wrong column."""
    return [fault for fault in chain.from_iterable(zip_longest(*kinds)) if fault is not None]
