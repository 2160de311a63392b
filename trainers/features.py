"""The features of a whole data set, extracted once: one memory-mapped float16 array in the order of its clips."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from search_spaces.digest import digest
from search_spaces.errors import InputError
from trainers.audio import NOTES, AudioError, read_clip
from trainers.cache import open_or_build
from trainers.clip_arrays import clip_array
from trainers.front_end import FrontEnd, log_mel
from trainers.parallel import cores, in_order
from trainers.recordings import Recordings, RecordingsError
from trainers.threads import torch_threads

log = logging.getLogger("acoustic_nas.trainers")

# Raise it when the same settings give other features.
FORMAT = 2
# Clips per task: large enough that handing them over costs nothing, small enough that progress moves.
BATCH = 32


def load_features(
    recordings: Recordings,
    front_end: FrontEnd,
    cache_root: Path,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """The folder with one front end's features of every clip; see `load_all_features`."""
    return load_all_features(recordings, [front_end], cache_root, workers=workers, progress=progress)[front_end]


def load_all_features(
    recordings: Recordings,
    front_ends: Sequence[FrontEnd],
    cache_root: Path,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[FrontEnd, Path]:
    """The folders with the features of every clip, extracted now or in an earlier run.

    Whatever has to be extracted now is extracted in one pass: a clip is decoded and resampled once for all.

    Args:
        recordings: The data set.
        front_ends: The settings of the features, of one sample rate.
        cache_root: Folder of the caches. A key is the digest of the recordings and the front end.
        workers: Threads, by default one for each core. Decoding, resampling and the transform all run outside
            Python's lock.
        progress: Called from this thread with (clips done, clips in all) after each batch; never on a later run.

    Returns:
        For each front end a folder with clips.npy, float16 (clips, mels, frames) in the row order of
        `recordings.clips`, and index.csv with those rows (filename, scene, location, device, split).

    Raises:
        RecordingsError: With every file that cannot be read. No cache is left behind.
        CacheError: If a folder cannot be written.
    """
    workers = cores() if workers is None else workers
    if workers < 1:
        raise InputError(f"extracting features needs at least 1 worker, not {workers}")
    if len({front_end.sample_rate for front_end in front_ends}) > 1:
        raise InputError("features can be extracted together at one sample rate only")
    keys = {front_end: _key(recordings, front_end) for front_end in front_ends}
    done: dict[FrontEnd, Path] = {}

    def load(waiting: Sequence[FrontEnd], folders: Mapping[FrontEnd, Path]) -> None:
        """Opens or builds the first, and the others within its build; the innermost build extracts for all."""
        if not waiting:
            if folders:
                _say(_extract(recordings, folders, workers, progress), recordings)
            return
        first, *others = waiting
        built = False

        def build(folder: Path) -> None:
            nonlocal built
            built = True
            load(others, {**folders, first: folder})

        done[first] = open_or_build(cache_root, "features", keys[first], build)
        if not built:
            load(others, folders)

    # In one order in every process: two that want some of the same never wait for each other.
    load(sorted(keys, key=lambda front_end: digest(keys[front_end])), {})
    return done


def _key(recordings: Recordings, front_end: FrontEnd) -> dict[str, Any]:
    return {"recordings": recordings.digest, "front_end": front_end.to_json(), "format": FORMAT}


class _Batch(NamedTuple):
    """Of a run of clips: features by front end, (batch, mels, frames) float16, and why some could not be read."""

    features: dict[FrontEnd, np.ndarray]
    clips: int
    notes: Counter[str]
    faults: list[str]


def _extract(
    recordings: Recordings,
    folders: Mapping[FrontEnd, Path],
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> Counter[str]:
    """Writes the features into the folder of each front end; how many clips had to be changed, by what was done."""
    names: list[str] = recordings.clips["filename"].tolist()
    batches = [names[start : start + BATCH] for start in range(0, len(names), BATCH)]
    notes: Counter[str] = Counter()
    faults: list[str] = []
    done = 0
    with ExitStack() as stack:
        # What each thread sets below is in part the process's setting.
        stack.enter_context(torch_threads(None))
        shapes = {front_end: (len(names), front_end.mels, front_end.frames) for front_end in folders}
        writers = {
            front_end: stack.enter_context(clip_array(folders[front_end] / "clips.npy", shape))
            for front_end, shape in shapes.items()
        }
        extract = partial(_batch, recordings.root, tuple(folders))
        for batch in in_order(extract, batches, workers, partial(torch.set_num_threads, 1)):
            notes += batch.notes
            faults += batch.faults
            if not faults:
                for front_end, write in writers.items():
                    write(batch.features[front_end])
            done += batch.clips
            if progress is not None:
                progress(done, len(names))
    if faults:
        raise RecordingsError(recordings.root, faults)
    for folder in folders.values():
        recordings.clips.to_csv(folder / "index.csv", index=False)
    return notes


def _say(notes: Counter[str], recordings: Recordings) -> None:
    for note, count in sorted(notes.items()):
        level = logging.WARNING if note == "silent" else logging.INFO
        clips = "1 clip was" if count == 1 else f"{count:,} clips were"
        log.log(level, "%s %s (of %s in %s)", clips, NOTES[note], f"{len(recordings.clips):,}", recordings.root)


def _batch(root: Path, front_ends: Sequence[FrontEnd], names: Sequence[str]) -> _Batch:
    features = {each: np.zeros((len(names), each.mels, each.frames), dtype=np.float16) for each in front_ends}
    notes: Counter[str] = Counter()
    faults = []
    for row, name in enumerate(names):
        try:
            wave, found = read_clip(root / name, front_ends[0].sample_rate)
        except AudioError as error:
            faults.append(f"{name} {error.reason}")
            continue
        notes.update(found)
        second = torch.from_numpy(wave[None])
        for front_end in front_ends:  # one by one: the spectrum of one clip stays in the core's own cache
            features[front_end][row] = log_mel(second, front_end)[0].half().numpy()
    return _Batch(features, len(names), notes, faults)
