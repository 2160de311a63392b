"""Copies of the training clips as other microphones might have recorded them, made once: a data set that is larger.

As the Sharif team made them for DCASE 2025 Task 1: the louder a clip, the more copies it gets, each through another
impulse response.
"""

import csv
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import soundfile
import torch

from search_spaces.errors import InputError
from search_spaces.seeds import derive_seed
from trainers.audio import AudioError, read_clip
from trainers.augmentation.impulse_responses import convolved, read_responses
from trainers.cache import replacing, sole_builder
from trainers.loudness import RMS_EDGES, rms
from trainers.recordings import DEFAULT_TRAIN_LIST, Recordings, RecordingsError

log = logging.getLogger("acoustic_nas.trainers")

COPIES = (0, 5, 7, 9, 11, 13, 16, 20)
"""Copies of a clip by the class of its RMS, from at most 0.02 to above 0.30 (table 1 of the Sharif report)."""
COPIED_DEVICES = frozenset({"a", "b", "c"})
"""The real recording devices: the others are made with impulse responses already."""
COPY_DEVICE = "unk"
FADE = 0.01  # seconds


class CopiesError(InputError):
    """Copies that cannot be made: too few impulse responses, or a folder that is not free."""


@dataclass(frozen=True)
class Made:
    """What `make_copies` wrote.

    Attributes:
        root: The new data set.
        originals: Clips of the training and the test list.
        copies: Clips added to the training list.
    """

    root: Path
    originals: int
    copies: int


def copies_of(level: float) -> int:
    """How many copies a clip of this RMS gets."""
    return COPIES[int(np.searchsorted(RMS_EDGES, level, side="left"))]


def make_copies(
    recordings: Recordings,
    out: Path,
    impulse_responses: Path,
    *,
    seed: int,
    train_list: str = DEFAULT_TRAIN_LIST,
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Writes a data set with the clips of another and the copies of its training clips.

    Files of the other set are linked, or copied where they cannot be. Copies are 16-bit WAV files of one second at the
    rate of their clip, named NAME_AUG_1.wav, NAME_AUG_2.wav and so on beside it, of its scene and location, of the
    recording device "unk". They follow the originals in the training list and in meta.csv.

    Args:
        recordings: A checked data set; clips of its training list recorded with a, b or c are copied.
        out: The folder of the new set, which must not be there. It appears all at once or not at all.
        impulse_responses: A folder of WAV files, at least 20 for a set with loud clips.
        seed: Equal seeds give equal copies, whatever else is in the set.
        train_list: Name of the training list that is written.
        progress: Called with (training clips done, training clips in all) after each.

    Raises:
        CopiesError: If `out` is there already, or there are fewer responses than a clip needs.
        RecordingsError: If a clip cannot be read; names every one.
        ImpulseResponseError: If the responses cannot be used.
        CacheError: If the folder cannot be written.
    """
    out = Path(out).absolute()
    train, test = (recordings.clips[recordings.clips["split"] == split] for split in ("train", "test"))
    responses = _Responses(Path(impulse_responses))
    with sole_builder(out):
        if out.exists():
            raise CopiesError(f"{out} is there already; name a folder that is not")
        with replacing(out) as folder:
            _link(recordings, folder)
            copies = _Writer(recordings, folder, responses, seed).write(train, progress)
            rows = pd.DataFrame(copies, columns=recordings.clips.columns)
            _write_lists(folder, train_list, pd.concat([train, rows]), test)
    return Made(out, len(recordings.clips), len(rows))


class _Responses:
    """The impulse responses at any rate, read once for each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[int, npt.NDArray[np.float32]] = {}

    def at(self, rate: int) -> npt.NDArray[np.float32]:
        if rate not in self._known:
            self._known[rate] = read_responses(self.folder, rate)
        return self._known[rate]


class _Clip(NamedTuple):
    """A row of `Recordings.clips`."""

    filename: str
    scene: str
    location: str
    device: str
    split: str


class _Writer:
    """Writes the copies of one clip after another."""

    def __init__(self, recordings: Recordings, folder: Path, responses: _Responses, seed: int) -> None:
        self._root, self._folder, self._responses, self._seed = recordings.root, folder, responses, seed
        self._taken = set(recordings.clips["filename"])

    def write(self, train: pd.DataFrame, progress: Callable[[int, int], None] | None) -> list[_Clip]:
        """The rows of the copies, whose files are written."""
        rows: list[_Clip] = []
        faults = []
        for done, clip in enumerate(map(_Clip._make, train.itertuples(index=False)), start=1):
            if clip.device in COPIED_DEVICES:
                try:
                    rows += self._copies(clip)
                except AudioError as error:
                    faults.append(f"{clip.filename} {error.reason}")
            if progress is not None:
                progress(done, len(train))
        if faults:
            raise RecordingsError(self._root, faults)
        return rows

    def _copies(self, clip: _Clip) -> Iterator[_Clip]:
        rate = _rate(self._root / clip.filename)
        wave, _ = read_clip(self._root / clip.filename, rate)
        wanted, responses = copies_of(rms(wave)), self._responses.at(rate)
        if wanted > len(responses):
            raise CopiesError(
                f"{clip.filename} is so loud that it gets {wanted} copies, each through another impulse response, but "
                f"{self._responses.folder} holds {len(responses)}"
            )
        rng = np.random.default_rng(derive_seed(self._seed, "copies", clip.filename))
        chosen = rng.choice(len(responses), size=wanted, replace=False)
        for samples, name in zip(copied(wave, responses[chosen], rate), self._names(clip.filename), strict=False):
            soundfile.write(self._folder / name, samples, rate, subtype="PCM_16", format="WAV")
            yield clip._replace(filename=name, device=COPY_DEVICE)

    def _names(self, filename: str) -> Iterator[str]:
        """Names that no clip and no copy has: clips of one name may differ in their suffix alone."""
        path = PurePosixPath(filename)
        for number in count(1):
            name = str(path.with_name(f"{path.stem}_AUG_{number}.wav"))
            if name not in self._taken:
                self._taken.add(name)
                yield name


def copied(wave: npt.NDArray[np.float32], responses: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float32]:
    """A wave through each of some responses, as loud as it was, without a click at its end.

    Args:
        wave: (samples,) in [-1, 1].
        responses: (responses, any number of samples) at the same rate in Hz; their level plays no part.

    Returns:
        (responses, samples) float32: the full convolution cut to the wave, brought to its RMS, clipped to [-1, 1],
        faded out linearly over the last 10 ms.
    """
    heard = convolved(torch.from_numpy(wave).expand(len(responses), -1), torch.from_numpy(responses)).numpy()
    levels = np.sqrt(np.mean(np.square(heard, dtype=np.float64), axis=1, keepdims=True))
    matched = np.clip(heard * (rms(wave) / np.maximum(levels, np.finfo(np.float32).tiny)), -1, 1)
    fade = round(FADE * rate)
    matched[:, len(wave) - fade :] *= np.linspace(1, 0, fade)
    faded: npt.NDArray[np.float32] = matched.astype(np.float32)
    return faded


def _rate(path: Path) -> int:
    try:
        return int(soundfile.info(path).samplerate)
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioError(path, "cannot be decoded") from error


def _link(recordings: Recordings, folder: Path) -> None:
    for filename in recordings.clips["filename"]:
        target = folder / filename
        target.parent.mkdir(parents=True, exist_ok=True)
        source = (recordings.root / filename).resolve()
        try:
            os.link(source, target)
        except OSError:  # another file system, or one without links
            shutil.copy2(source, target)


def _write_lists(folder: Path, train_list: str, train: pd.DataFrame, test: pd.DataFrame) -> None:
    columns = {
        "filename": "filename",
        "scene": "scene_label",
        "location": "identifier",
        "device": "source_label",
    }
    (folder / "split_setup").mkdir()
    tables = {
        "meta.csv": pd.concat([train, test])[list(columns)],
        f"split_setup/{train_list}.csv": train[["filename", "scene"]],
        "split_setup/test.csv": test[["filename", "scene"]],
    }
    for name, table in tables.items():
        table.rename(columns=columns).to_csv(folder / name, sep="\t", index=False, quoting=csv.QUOTE_NONE)
