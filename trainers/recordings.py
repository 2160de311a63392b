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
TEST_LISTS = ("split_setup/test.csv", "evaluation_setup/fold1_evaluate.csv")
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
    found = survey(root, train_list)
    if found.faults:
        raise RecordingsError(found.root, found.faults)
    rows = list(found.clips.itertuples(index=False, name=None))
    return Recordings(
        root=found.root,
        clips=found.clips,
        scenes=tuple(sorted(found.clips["scene"].unique())),
        digest=digest([[[*row, size] for row, size in zip(rows, found.sizes, strict=True)], sample(found.root, rows)]),
    )


@dataclass(frozen=True)
class Survey:
    """What the lists of a data set say and which of its files are there; none of them is opened.

    Attributes:
        root: The data set's folder.
        clips: As in `Recordings`, of those clips that all lists know.
        sizes: Of their files in bytes, in the order of the rows.
        files: Names of all listed files that are there and not empty, whether meta.csv knows them or not.
        complete: Whether `clips` has every clip that is listed.
        faults: One sentence for each, one of each kind first.
    """

    root: Path
    clips: pd.DataFrame
    sizes: tuple[int, ...]
    files: tuple[str, ...]
    complete: bool
    faults: tuple[str, ...]


def survey(root: Path, train_list: str = DEFAULT_TRAIN_LIST) -> Survey:
    """What `read_recordings` finds, with the faults in place of an error."""
    root = Path(root)
    faults: dict[str, list[str]] = defaultdict(list)
    rows: list[tuple[str, ...]] = []
    sizes: dict[str, int] = {}
    if root.is_dir():
        meta = read_table(root, "meta.csv", _META, faults["csv"])
        names = {
            "train": _train_list(root, train_list, faults["csv"]),
            "test": _either(root, *TEST_LISTS),
        }
        lists = {split: read_table(root, name, _LIST, faults["csv"]) for split, name in names.items()}
        sizes = {name: size_of(root, name, faults) for listed in lists.values() for name in sorted(listed or {})}
        rows = _join(meta, lists, faults)
    else:
        faults["csv"].append("there is no such folder")
    clips = pd.DataFrame(rows, columns=list(COLUMNS))
    _check_splits(clips, faults)
    return Survey(
        root=root,
        clips=clips,
        sizes=tuple(sizes[row[0]] for row in rows),
        files=tuple(name for name, size in sizes.items() if size),
        complete=not (faults["csv"] or faults["meta"]),
        faults=tuple(one_of_each_kind_first(faults.values())),
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


Rows = dict[str, dict[str, str]]


def read_table(
    root: Path, name: str, columns: Sequence[str], faults: list[str], *, others: Sequence[str] = _META
) -> Rows | None:
    """The rows of one tab-separated file by filename, or None where it cannot be read as such.

    It must have these columns; of the others those that it has are read too. A fault is one sentence.
    """
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
    places = {column: header.index(column) for column in (*columns, *others) if column in header}
    rows: Rows = {}
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


def _join(meta: Rows | None, lists: dict[str, Rows | None], faults: dict[str, list[str]]) -> list[tuple[str, ...]]:
    """The listed clips that meta.csv knows, as rows of `COLUMNS`; whatever is said of them twice is compared."""
    rows: list[tuple[str, ...]] = []
    if meta is None:
        return rows
    used = {column: {row[column] for row in meta.values()} for column in _META[1:]}
    for split, listed in lists.items():
        for filename, entry in sorted((listed or {}).items()):
            if filename not in meta:
                faults["meta"].append(f"{filename} is in the {split} list but not in meta.csv")
                continue
            known = meta[filename]
            in_name = {column: word for column, word in _said_by_name(filename).items() if word in used[column]}
            for place, said in ((f"the {split} list", entry), ("its name", in_name)):
                faults["label"] += [
                    f"{filename}: {column} is {word!r} in {place} but {known[column]!r} in meta.csv"
                    for column, word in said.items()
                    if word != known[column]
                ]
            rows.append((filename, entry["scene_label"], known["identifier"], known["source_label"], split))
    return rows


def _said_by_name(filename: str) -> dict[str, str]:
    """The columns that a name after TAU's pattern repeats: <scene>-<city>-<location>-<recording>-<segment>-<device>.

    Other names say nothing. Nor does a field that no clip of meta.csv has: names may follow another pattern of six
    fields, or be those of changed copies.
    """
    fields = os.path.splitext(filename.rpartition("/")[2])[0].split("-")
    if len(fields) != 6:
        return {}
    return {"scene_label": fields[0], "identifier": "-".join(fields[1:3]), "source_label": fields[5]}


def size_of(root: Path, filename: str, faults: dict[str, list[str]]) -> int:
    """The size in bytes of one audio file; 0, and a fault, where it cannot be one."""
    if _leaves(filename):
        faults["path"].append(f"{filename!r} leads out of the data set's folder")
        return 0
    try:
        found = os.stat(os.path.join(root, filename))
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        reason = "is listed but missing on disk" if missing else f"cannot be read ({error.strerror})"
        faults["missing"].append(f"{filename} {reason}")
        return 0
    if not stat.S_ISREG(found.st_mode):
        faults["missing"].append(f"{filename} is not a file")
        return 0
    if found.st_size == 0:
        faults["empty"].append(f"{filename} is an empty file")
    return found.st_size


def sample(root: Path, rows: Sequence[tuple[str, ...]]) -> list[str]:
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
    for location in sorted(set(train["location"].unique()) & set(test["location"].unique())):
        faults["location"].append(f"location {location} is in both the training and the test list")
    if len(train):
        for scene in sorted(set(test["scene"].unique()) - set(train["scene"].unique())):
            faults["scene"].append(f"scene {scene} has test clips but no training clip")


def one_of_each_kind_first(kinds: Iterable[Iterable[str]]) -> list[str]:
    """All faults, dealt out in turn, so that thousands of missing files do not hide the one wrong column."""
    return [fault for fault in chain.from_iterable(zip_longest(*kinds)) if fault is not None]
