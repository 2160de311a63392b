"""Views: several draws of what augmentation does to the waveforms of the training clips, extracted once.

A training step then shows every clip in one of its views at the price of an index.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from search_spaces.errors import InputError
from search_spaces.seeds import derive_seed
from trainers.audio import AudioError, read_clip
from trainers.augmentation.impulse_responses import read_responses
from trainers.augmentation.settings import Views
from trainers.augmentation.waves import View, view_of
from trainers.cache import open_or_build
from trainers.clip_arrays import clip_array
from trainers.front_end import FrontEnd
from trainers.parallel import cores, in_order
from trainers.recordings import Recordings, RecordingsError
from trainers.threads import torch_threads

# Raise it when the same settings give other views.
FORMAT = 2
# Clips per task, which share the edges of the mel bank.
BATCH = 32
# Above the usual sample rates, so that responses that any front end hears as different have different digests.
_DIGEST_RATE = 96_000
# In Hz, of the system that first heard clips through responses (Morocutti et al. 2023): there they are as loud as its.
_RESPONSE_RATE = 32_000


def load_views(
    recordings: Recordings,
    front_end: FrontEnd,
    views: Views,
    cache_root: Path,
    *,
    seed: int,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """The folder with the views of every training clip but the clean one, extracted now or in an earlier run.

    Args:
        views: With a count of at least 2.
        seed: With the number of a view the only source of its chance: views of the same recordings, settings and seed
            are the same draws for every front end.
        workers: Threads, by default one for each core.
        progress: Called with (clips done, clips in all) after each batch; never on a later run.

    Returns:
        A folder with clips.npy, float16 (training clips, views, mels, frames), the clips in the row order of
        `recordings.clips`, and mixing.npz: `partners`, int64 (training clips, views), the row of the training clip that
        was mixed in, and `weights`, float32, the share of the clip itself, 1 where none was. Where `recordings`,
        `views` and `seed` are equal in the key.json of two such folders, they hold the same draws.

    Raises:
        InputError: If the settings name fewer than two views.
        ImpulseResponseError: If the impulse responses cannot be used.
        FrontEndError: If the edges of the mel bank may leave the front end's domain.
        RecordingsError: With every file that cannot be read.
        CacheError: If the folder cannot be written.
    """
    if views.count < 2:
        raise InputError("a clip needs at least 2 views, with the clean one, for any to be extracted")
    responses = None
    if views.impulse_responses is not None:
        responses = torch.from_numpy(read_responses(Path(views.impulse_responses.folder), front_end.sample_rate))
        # A convolution sums over samples, of which a second has more at a higher rate.
        responses *= _RESPONSE_RATE / front_end.sample_rate
    key = {
        "recordings": recordings.digest,
        "front_end": front_end.to_json(),
        "views": _what(views),
        "seed": seed,
        "format": FORMAT,
    }
    source = _Source(recordings, front_end, views, responses, seed)
    return open_or_build(cache_root, "views", key, lambda folder: source.extract(folder, workers or cores(), progress))


def _what(views: Views) -> dict[str, Any]:
    """The settings, with the responses in place of their folder: where that lies makes no other views.

    The same for every front end.
    """
    settings = views.to_json()
    if views.impulse_responses is not None:
        responses = read_responses(Path(views.impulse_responses.folder), _DIGEST_RATE)
        settings["impulse_responses"]["folder"] = hashlib.sha256(responses.tobytes()).hexdigest()
    return settings


class _Batch(NamedTuple):
    features: npt.NDArray[np.float16]
    weights: npt.NDArray[np.float32]
    faults: list[str]


class _Source:
    """Training clips and all that makes views of them."""

    def __init__(
        self, recordings: Recordings, front_end: FrontEnd, views: Views, responses: Tensor | None, seed: int
    ) -> None:
        train = recordings.clips[recordings.clips["split"] == "train"]
        self._root = recordings.root
        self._names: list[str] = train["filename"].tolist()
        self._devices: list[str] = train["device"].tolist()
        self._front_end, self._views, self._responses, self._seed = front_end, views, responses, seed
        self._partners = np.stack(
            [self._rng("partners", view).permutation(len(train)) for view in range(1, views.count)], axis=1
        )

    def extract(self, folder: Path, workers: int, progress: Callable[[int, int], None] | None) -> None:
        clips = len(self._names)
        shape = (clips, self._views.count - 1, self._front_end.mels, self._front_end.frames)
        weights, faults = [], []
        # What each thread sets below is in part the process's setting.
        with torch_threads(None), clip_array(folder / "clips.npy", shape) as write:
            for batch in in_order(self._batch, range(0, clips, BATCH), workers, partial(torch.set_num_threads, 1)):
                faults += batch.faults
                write(batch.features)
                weights.append(batch.weights)
                if progress is not None:
                    progress(sum(map(len, weights)), clips)
        if faults:
            raise RecordingsError(self._root, list(dict.fromkeys(faults)))
        np.savez(folder / "mixing.npz", partners=self._partners, weights=np.concatenate(weights))

    def _batch(self, start: int) -> _Batch:
        rows = np.arange(start, min(start + BATCH, len(self._names)))
        faults: list[str] = []
        waves = self._read(rows, faults)
        drawn = [self._view(view, waves, rows, faults) for view in range(1, self._views.count)]
        features = torch.stack([view.features for view in drawn], dim=1).half().numpy()
        return _Batch(features, np.stack([view.weight for view in drawn], axis=1), faults)

    def _view(self, view: int, waves: Tensor, rows: npt.NDArray[np.int64], faults: list[str]) -> View:
        mixes = self._views.mixup_probability > 0
        return view_of(
            waves,
            [self._devices[row] for row in rows],
            self._views,
            self._front_end,
            self._rng("view", view, int(rows[0])),
            responses=self._responses,
            partners=self._read(self._partners[rows, view - 1], faults) if mixes else None,
        )

    def _read(self, rows: npt.NDArray[np.int64], faults: list[str]) -> Tensor:
        waves = np.zeros((len(rows), self._front_end.sample_rate), dtype=np.float32)
        for place, row in enumerate(rows):
            try:
                waves[place], _ = read_clip(self._root / self._names[row], self._front_end.sample_rate)
            except AudioError as error:
                faults.append(f"{self._names[row]} {error.reason}")
        return torch.from_numpy(waves)

    def _rng(self, *path: int | str) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self._seed, *path))
