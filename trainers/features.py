"""The features of a whole data set, extracted once: one memory-mapped float16 array in the order of its clips."""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from search_spaces.errors import InputError
from trainers.audio import AudioError, read_clip
from trainers.cache import open_or_build
from trainers.front_end import FrontEnd, log_mel
from trainers.recordings import Recordings, RecordingsError

log = logging.getLogger("acoustic_nas.trainers")

# Raise it when the same settings give other features.
FORMAT = 1
# Clips per task: large enough for batched transforms, small enough that progress moves and memory stays low.
BATCH = 32

_SAID = {
    "resampled": "resampled from another rate",
    "mixed to mono": "mixed to mono from several channels",
    "padded": "shorter than a second and padded with silence",
    "cut": "longer than a second and cut",
    "silent": "silent throughout",
}


def load_features(
    recordings: Recordings,
    front_end: FrontEnd,
    cache_root: Path,
    *,
    workers: int,
    quiet: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """The folder with the features of every clip, extracted now or in an earlier run.

    Args:
        recordings: The data set.
        front_end: The settings of the features.
        cache_root: Folder of the caches. The key is the digest of the recordings and the front end.
        workers: Threads. Decoding, resampling and the transform all run outside Python's lock.
        quiet: Say nothing of what had to be changed in the clips: other features of theirs have said it.
        progress: Called from this thread with (clips done, clips in all) after each batch; never on a later run.

    Returns:
        A folder with clips.npy, float16 (clips, mels, frames) in the row order of `recordings.clips`, and index.csv
        with those rows (filename, scene, location, device, split).

    Raises:
        RecordingsError: With every file that cannot be read. No cache is left behind.
        CacheError: If the folder cannot be written.
    """
    if workers < 1:
        raise InputError(f"extracting features needs at least 1 worker, not {workers}")
    key = {"recordings": recordings.digest, "front_end": front_end.to_json(), "format": FORMAT}

    def build(folder: Path) -> None:
        notes = _extract(recordings, front_end, folder, workers, progress)
        if not quiet:
            _say(notes, recordings)

    return open_or_build(cache_root, "features", key, build)


class _Batch(NamedTuple):
    """Features of a run of clips, (batch, mels, frames) float16, or why some of them could not be read."""

    features: np.ndarray
    notes: Counter[str]
    faults: list[str]


def _extract(
    recordings: Recordings,
    front_end: FrontEnd,
    folder: Path,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> Counter[str]:
    """Writes the features; how many clips had to be changed, by what was done."""
    names: list[str] = recordings.clips["filename"].tolist()
    notes: Counter[str] = Counter()
    faults: list[str] = []
    done = 0
    # Ordinary writes in row order, not writes through a map: a full disk is then an error and not a dead process.
    with (folder / "clips.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f2", "fortran_order": False, "shape": (len(names), front_end.mels, front_end.frames)}
        )
        for batch in _in_order(recordings.root, names, front_end, workers):
            notes += batch.notes
            faults += batch.faults
            if not faults:
                file.write(batch.features.astype("<f2", copy=False).tobytes())
            done += len(batch.features)
            if progress is not None:
                progress(done, len(names))
    if faults:
        raise RecordingsError(recordings.root, faults)
    recordings.clips.to_csv(folder / "index.csv", index=False)
    return notes


def _say(notes: Counter[str], recordings: Recordings) -> None:
    for note, count in sorted(notes.items()):
        level = logging.WARNING if note == "silent" else logging.INFO
        clips = "1 clip was" if count == 1 else f"{count:,} clips were"
        log.log(level, "%s %s (of %s in %s)", clips, _SAID[note], f"{len(recordings.clips):,}", recordings.root)


def _in_order(root: Path, names: list[str], front_end: FrontEnd, workers: int) -> Iterator[_Batch]:
    """Batches in row order from several threads; at most a few wait in memory, however slow the reader is."""
    threads = torch.get_num_threads()
    waiting: deque[Future[_Batch]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="features", initializer=torch.set_num_threads, initargs=(1,))
    try:
        for start in range(0, len(names), BATCH):
            waiting.append(pool.submit(_batch, root, names[start : start + BATCH], front_end))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # part of the setting is the process's, not the thread's


def _batch(root: Path, names: list[str], front_end: FrontEnd) -> _Batch:
    waves = np.zeros((len(names), front_end.sample_rate), dtype=np.float32)
    notes: Counter[str] = Counter()
    faults = []
    for row, name in enumerate(names):
        try:
            waves[row], found = read_clip(root / name, front_end.sample_rate)
        except AudioError as error:
            faults.append(f"{name} {error.reason}")
        else:
            notes.update(found)
    features = log_mel(torch.from_numpy(waves), front_end).to(torch.float16).numpy()
    return _Batch(features, notes, faults)
