"""What a student learns from: features, labels and teacher logits, opened from their caches by path.

The big arrays are memory maps: two workers on one machine share their pages, and a batch is read by indexing. Hand a
worker the paths and open them there; pickling a map would copy all of it.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from search_spaces.digest import digest
from search_spaces.errors import NasError
from trainers.copies import COPY_DEVICE
from trainers.front_end import BASELINE_2025, FrontEnd, FrontEndError
from trainers.validation import validation_mask

Part = Literal["fit", "validation", "test"]
PARTS: tuple[Part, ...] = ("fit", "validation", "test")


class MaterialError(NasError):
    """Features, labels or teacher logits that are damaged or do not belong together."""


class ClipViews(NamedTuple):
    """Other draws of the training clips, which are the first rows; see `trainers.views`.

    Attributes:
        features: (clips, views, mels, frames) float16, a memory map. Never written to.
        partners: (clips, views) row of the clip that is mixed in.
        weights: (clips, views) float32 share of the clip itself; 1 where none is mixed in.
    """

    features: npt.NDArray[np.float16]
    partners: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Material:
    """Clips to learn from and to be judged on, row by row.

    Attributes:
        features: (clips, mels, frames) float16, mostly a memory map. Never written to.
        labels: (clips,) int64, index into `scenes`.
        devices: (clips,) name of the recording device.
        rows: For each part its rows, ascending int64: "fit" to learn from, "validation" to choose by, "test" to report
            on. No row is in two parts.
        scenes: Names of the scenes in the order of the labels.
        logits: (clips, scenes) float16 logits of the teacher for each clip, or none.
        views: Augmented draws of the training clips, or none. A student is never judged on them.
        name: What these clips, in these parts, are called in the keys of caches.
        features_name: The same for the features alone.
        recordings: The same for what was recorded, in the order of the rows, whatever the features.
        front_end: Made the features: says what their numbers mean.
    """

    features: npt.NDArray[np.float16]
    labels: npt.NDArray[np.int64]
    devices: npt.NDArray[np.str_]
    rows: Mapping[Part, npt.NDArray[np.int64]]
    scenes: tuple[str, ...]
    logits: npt.NDArray[np.float16] | None = None
    views: ClipViews | None = None
    name: str = "arrays"
    features_name: str = "arrays"
    recordings: str = "arrays"
    front_end: FrontEnd = BASELINE_2025

    def __post_init__(self) -> None:
        if self.features.ndim != 3 or len(self.labels) != len(self.features) or len(self.devices) != len(self.features):
            raise MaterialError(
                f"features of shape {self.features.shape} need (clips, mels, frames) and as many labels and "
                f"recording devices as clips, but there are {len(self.labels)} labels and {len(self.devices)} devices"
            )
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.scenes):
            raise MaterialError(f"labels must lie between 0 and {len(self.scenes) - 1}, one for each scene")
        if set(self.rows) != set(PARTS):
            raise MaterialError(f"clips must be parted into {', '.join(PARTS)}, not {', '.join(sorted(self.rows))}")
        used = np.concatenate([self.rows[part] for part in PARTS])
        if len(np.unique(used)) != len(used) or (len(used) and not 0 <= used.min() <= used.max() < len(self.labels)):
            raise MaterialError(f"every part must name rows from 0 to {len(self.labels) - 1}, and no row twice")
        if self.logits is not None and self.logits.shape != (len(self.labels), len(self.scenes)):
            raise MaterialError(
                f"teacher logits of shape {self.logits.shape} do not belong to {len(self.labels)} clips of "
                f"{len(self.scenes)} scenes"
            )
        if self.views is not None:
            clips, views = self.views.features.shape[:2]
            fits = self.views.features.shape[2:] == self.features.shape[1:] and clips > self.rows["fit"].max(initial=-1)
            if not fits or any(array.shape != (clips, views) for array in (self.views.partners, self.views.weights)):
                raise MaterialError(
                    f"views of shape {self.views.features.shape} do not belong to features of {self.features.shape}"
                )

    @classmethod
    def open(
        cls,
        features_dir: Path,
        *,
        validation_share: float,
        validation_seed: int,
        logits_dir: Path | None = None,
        views_dir: Path | None = None,
    ) -> "Material":
        """The material in a finished feature cache.

        Args:
            features_dir: A folder of `trainers.features.load_features`.
            validation_share: Share of the training list's locations kept for validation; see `trainers.validation`.
            validation_seed: Chooses those locations.
            logits_dir: A folder of `trainers.teachers.logits.teacher_logits` of the same recordings. The teacher may
                have heard other features of them.
            views_dir: A folder of `trainers.views.load_views` of the same recordings and front end.

        Raises:
            MaterialError: If a file is missing, cut short or does not belong to the others.
            InputError: If no validation split can be cut from the training list.
        """
        recordings = _recordings_of(features_dir)
        if logits_dir is not None and _recordings_of(logits_dir) != recordings:
            raise MaterialError(
                f"the teacher logits in {logits_dir} are of other recordings than the features in {features_dir}; "
                "make the logits of these"
            )
        if views_dir is not None and any(
            _key_of(views_dir, part) != _key_of(features_dir, part) for part in ("recordings", "front_end")
        ):
            raise MaterialError(f"the views in {views_dir} are not of the clips in {features_dir}; make those of these")
        clips = _index(features_dir)
        scenes = tuple(sorted(clips["scene"].unique()))
        features = mapped_array(features_dir / "clips.npy", clips=len(clips), dims=3)
        held_out = validation_mask(clips, validation_share, validation_seed)
        train = (clips["split"] == "train").to_numpy()
        return cls(
            features=features,
            labels=np.searchsorted(np.array(scenes), clips["scene"].to_numpy(dtype=str)).astype(np.int64),
            devices=clips["device"].to_numpy(dtype=str),
            rows={
                "fit": np.flatnonzero(train & ~held_out),
                # A copy is for learning: where its clip is judged on, it is in no part.
                "validation": np.flatnonzero(held_out & (clips["device"] != COPY_DEVICE).to_numpy()),
                "test": np.flatnonzero((clips["split"] == "test").to_numpy()),
            },
            scenes=scenes,
            logits=None if logits_dir is None else mapped_array(logits_dir / "logits.npy", clips=len(clips), dims=2),
            views=None if views_dir is None else _views(views_dir, int(train.sum())),
            name=digest(
                [features_dir.name, validation_share, validation_seed, *([] if views_dir is None else [views_dir.name])]
            ),
            features_name=features_dir.name,
            recordings=recordings,
            front_end=_front_end_of(features_dir),
        )

    @property
    def mels(self) -> int:
        """Mel bands of a clip."""
        return int(self.features.shape[1])

    @property
    def frames(self) -> int:
        """Time frames of a clip."""
        return int(self.features.shape[2])

    @property
    def trained_devices(self) -> frozenset[str]:
        """Recording devices that a student hears while it learns."""
        return frozenset(self.devices[self.rows["fit"]].tolist())


def mapped_array(path: Path, *, clips: int, dims: int) -> npt.NDArray[np.float16]:
    """A float16 array of a cache as a memory map; a write, if any, stays in this process (torch wants it writable).

    Raises:
        MaterialError: If the file is missing, cut short, or not float16 of `dims` dimensions with a row for each clip.
    """
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise MaterialError(f"{path} cannot be opened ({error}); delete its folder and it is made again") from error
    if array.dtype != np.float16 or array.ndim != dims or len(array) != clips:
        raise MaterialError(
            f"{path} holds {array.dtype} of shape {array.shape}, not float16 with {dims} dimensions and a row "
            f"for each of the {clips} clips in index.csv; delete its folder and it is made again"
        )
    return array


def _views(folder: Path, clips: int) -> ClipViews:
    path = folder / "mixing.npz"
    try:
        with np.load(path, allow_pickle=False) as mixing:
            partners, weights = mixing["partners"], mixing["weights"]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise MaterialError(f"{path} cannot be read ({error}); delete its folder and it is made again") from error
    return ClipViews(mapped_array(folder / "clips.npy", clips=clips, dims=4), partners, weights)


def _recordings_of(folder: Path) -> str:
    """The digest of the recordings that a cache was made from: of every clip, in the order of the cache's rows."""
    return str(_key_of(folder, "recordings"))


def _front_end_of(features_dir: Path) -> FrontEnd:
    try:
        return FrontEnd.from_json(_key_of(features_dir, "front_end"))
    except (AttributeError, FrontEndError) as error:
        raise MaterialError(
            f"{features_dir / 'key.json'} names no front end ({error}); delete its folder and it is made again"
        ) from error


def _key_of(folder: Path, name: str) -> Any:
    """One part of what a cache was made from."""
    path = folder / "key.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))[name]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise MaterialError(
            f"{path} does not say which {name} it is of ({error!r}); delete its folder and it is made again"
        ) from error


def _index(features_dir: Path) -> pd.DataFrame:
    path = features_dir / "index.csv"
    try:
        clips = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise MaterialError(f"{path} cannot be read ({error}); delete its folder and it is made again") from error
    missing = {"filename", "scene", "location", "device", "split"} - set(clips.columns)
    if missing:
        raise MaterialError(
            f"{path} lacks the columns {', '.join(sorted(missing))}; delete its folder and it is made again"
        )
    return clips
