"""What a student learns from: features, labels and teacher logits, opened from their caches by path.

The big arrays are memory maps: two workers on one machine share their pages, and a batch is read by indexing. Hand a
worker the paths and open them there; pickling a map would copy all of it.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from search_spaces.digest import digest
from trainers.cached_logits import CachedLogits
from trainers.copies import COPY_DEVICE
from trainers.front_end import BASELINE_2025, FrontEnd, FrontEndError
from trainers.opening import MaterialError, mapped_array, part_of_key
from trainers.validation import validation_mask

__all__ = ["PARTS", "ClipViews", "Material", "MaterialError", "Part", "mapped_array"]

Part = Literal["fit", "validation", "test"]
PARTS: tuple[Part, ...] = ("fit", "validation", "test")


class ClipViews(NamedTuple):
    """Other draws of the training clips, which are the first rows; see `trainers.views`.

    Attributes:
        features: (clips, views, mels, frames) float16, a memory map. Never written to.
        partners: (clips, views) row of the clip that is mixed in.
        weights: (clips, views) float32 share of the clip itself; 1 where none is mixed in.
        logits: (clips, views, scenes) float16 logits of the teacher, who heard the views themselves, or none.
        draws: What was drawn, whatever the front end that heard it, as a name in the keys of caches.
    """

    features: npt.NDArray[np.float16]
    partners: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float16] | None = None
    draws: str = "arrays"


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
        logits: (clips, scenes) float16 logits of the teacher for each clip as it is, or none. Views, if any, then have
            theirs.
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
            said = self.views.logits
            if self.logits is not None and (said is None or said.shape != (clips, views, len(self.scenes))):
                raise MaterialError(
                    f"{views} views of {clips} clips need teacher logits of their own for {len(self.scenes)} scenes, "
                    f"but there are {'none' if said is None else f'some of shape {said.shape}'}"
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
            logits_dir: A folder of `trainers.teachers.logits`, of one teacher or an ensemble, of the same recordings
                and, if `views_dir` is given, of the same draws. The teachers may have heard other features of them.
            views_dir: A folder of `trainers.views.load_views` of the same recordings and front end.

        Raises:
            MaterialError: If a file is missing, damaged or does not belong to the others.
            InputError: If no validation split can be cut from the training list.
        """
        if views_dir is not None and any(
            part_of_key(views_dir, part) != part_of_key(features_dir, part) for part in ("recordings", "front_end")
        ):
            raise MaterialError(f"the views in {views_dir} are not of the clips in {features_dir}; make those of these")
        clips = _index(features_dir)
        scenes = tuple(sorted(clips["scene"].unique()))
        features = mapped_array(features_dir / "clips.npy", clips=len(clips), dims=3)
        held_out = validation_mask(clips, validation_share, validation_seed)
        train = (clips["split"] == "train").to_numpy()
        material = cls(
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
            views=None if views_dir is None else _views(views_dir, int(train.sum())),
            name=digest(
                [features_dir.name, validation_share, validation_seed, *([] if views_dir is None else [views_dir.name])]
            ),
            features_name=features_dir.name,
            recordings=str(part_of_key(features_dir, "recordings")),
            front_end=_front_end_of(features_dir),
        )
        return material if logits_dir is None else _taught(material, logits_dir, features_dir, views_dir)

    def of_device(self, recording_device: str) -> "Material":
        """The same clips, but only those of one recording device to learn from and to be judged on."""

        def chosen(part: Part) -> npt.NDArray[np.int64]:
            rows = self.rows[part]
            return np.asarray(rows[self.devices[rows] == recording_device], dtype=np.int64)

        name = digest([self.name, recording_device])
        return replace(self, rows={part: chosen(part) for part in PARTS}, name=name)

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


def _views(folder: Path, clips: int) -> ClipViews:
    path = folder / "mixing.npz"
    try:
        with np.load(path, allow_pickle=False) as mixing:
            partners, weights = mixing["partners"], mixing["weights"]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise MaterialError(f"{path} cannot be read ({error}); delete its folder and it is made again") from error
    drawn = {part: part_of_key(folder, part) for part in ("views", "seed", "format")}
    features = mapped_array(folder / "clips.npy", clips=clips, dims=4)
    return ClipViews(features, partners, weights, draws=digest(drawn))


def _taught(material: Material, logits_dir: Path, features_dir: Path, views_dir: Path | None) -> Material:
    """The material with what its teachers say."""
    said, views = CachedLogits.at(logits_dir), material.views
    if said.recordings != material.recordings:
        raise MaterialError(
            f"the teacher logits in {logits_dir} are of other recordings than the features in {features_dir}; "
            "make the logits of these: nas teach"
        )
    if said.scenes != material.scenes:
        raise MaterialError(
            f"the teacher logits in {logits_dir} are of the scenes {', '.join(said.scenes)}, but the clips in "
            f"{features_dir} are of {', '.join(material.scenes)}; make the logits of these: nas teach"
        )
    if views is not None and said.draws != views.draws:
        raise MaterialError(
            f"the teacher logits in {logits_dir} are of other views than {views_dir}; "
            "make the logits of these: nas teach"
        )
    return replace(
        material,
        logits=said.clean(len(material.labels)),
        views=None if views is None else views._replace(logits=said.views(len(views.features))),
    )


def _front_end_of(features_dir: Path) -> FrontEnd:
    try:
        return FrontEnd.from_json(part_of_key(features_dir, "front_end"))
    except (AttributeError, FrontEndError) as error:
        raise MaterialError(
            f"{features_dir / 'key.json'} names no front end ({error}); delete its folder and it is made again"
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
