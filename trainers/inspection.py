"""A data set listened to before anything is trained on it: all that is wrong with it, and what it consists of."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from trainers.audio import AudioError, Sound, listen
from trainers.parallel import cores, in_order
from trainers.recordings import DEFAULT_TRAIN_LIST, survey
from trainers.validation import ValidationError, validation_mask

BATCH = 64
_USUAL_SHARE = 0.2  # of validation clips; whether any can be set aside does not depend on it


@dataclass(frozen=True)
class Inspection:
    """What was found in a data set.

    Attributes:
        clips: The rows of `Recordings.clips` whose files can be decoded, and of each what `listen` says: the columns
            rate (Hz), channels, encoding and rms.
        notes: How many files are not one second of mono, or silent; keys as in `trainers.audio.NOTES`.
        faults: One sentence for everything that would stop a training: first what the lists say, one of each kind
            first, then what cannot be decoded.
    """

    clips: pd.DataFrame
    notes: Counter[str]
    faults: tuple[str, ...]


def inspect_recordings(
    root: Path,
    train_list: str = DEFAULT_TRAIN_LIST,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Read the lists and decode every file that they name.

    Args:
        root, train_list: As for `read_recordings`.
        workers: Threads, by default one for each core.
        progress: Called from this thread with (files decoded, files in all) after each batch.
    """
    found = survey(root, train_list)
    faults = list(found.faults)
    if found.complete:
        try:
            validation_mask(found.clips, _USUAL_SHARE, seed=0)
        except ValidationError as error:
            faults.append(str(error))
    sounds: dict[str, Sound] = {}
    batches = [found.files[start : start + BATCH] for start in range(0, len(found.files), BATCH)]
    done = 0
    for heard in in_order(partial(_listen, found.root), batches, cores() if workers is None else workers):
        for name, sound in heard.items():
            if isinstance(sound, AudioError):
                faults.append(f"{name} {sound.reason}")
            else:
                sounds[name] = sound
        done += len(heard)
        if progress is not None:
            progress(done, len(found.files))
    clips = found.clips[found.clips["filename"].isin(sounds)].reset_index(drop=True)
    columns = ("rate", "channels", "encoding", "rms")
    return Inspection(
        clips=clips.assign(
            **{column: [getattr(sounds[name], column) for name in clips["filename"]] for column in columns}
        ),
        notes=Counter(note for sound in sounds.values() for note in sound.notes),
        faults=tuple(faults),
    )


def _listen(root: Path, names: Sequence[str]) -> dict[str, Sound | AudioError]:
    heard: dict[str, Sound | AudioError] = {}
    for name in names:
        try:
            heard[name] = listen(root / name)
        except AudioError as error:
            heard[name] = error
    return heard
