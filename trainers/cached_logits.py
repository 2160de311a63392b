"""What teachers say of every clip and of every view, opened from its cache and checked to the last byte.

`trainers.teachers.logits` writes these folders; a worker opens them and imports nothing of `trainers.teachers`.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainers.cache import folder_name
from trainers.opening import MaterialError, key_of, mapped_array, part_of_key

TEACHER = "teacher-logits"
"""The kind of the folder of one teacher."""
ENSEMBLE = "ensemble-logits"
"""The kind of the folder of several."""
CLEAN = "logits.npy"
VIEWS = "views.npy"
SUMS = "sums.json"
"""The SHA-256 of each array file by its name."""


@dataclass(frozen=True)
class CachedLogits:
    """A folder of logits whose key belongs to its name; its arrays are checked when they are asked for.

    Attributes:
        folder: Of `teacher_logits` or `ensemble_logits`.
        recordings: Digest of the recordings, as in the key of their features.
        draws: What the views are draws of, as in `ClipViews`; None where there are no views.
        scenes: In the order of the logits.
    """

    folder: Path
    recordings: str
    draws: str | None
    scenes: tuple[str, ...]

    @classmethod
    def at(cls, folder: Path) -> "CachedLogits":
        """The logits in a folder.

        Raises:
            MaterialError: If the folder is no cache of logits, or its key is not the one that named it.
        """
        key = key_of(folder)
        if folder.name not in (folder_name(kind, key) for kind in (TEACHER, ENSEMBLE)):
            raise MaterialError(
                f"{folder / 'key.json'} is not the key that gave a folder of teacher logits its name: one of them was "
                "changed; delete the folder and it is made again"
            )
        recordings, draws, scenes = (part_of_key(folder, part) for part in ("recordings", "views", "scenes"))
        return cls(folder, recordings, draws, tuple(scenes))

    def clean(self, clips: int | None = None) -> npt.NDArray[np.float16]:
        """(clips, scenes) of every clip as it is, a memory map.

        Args:
            clips: Rows that there must be; None for any number.

        Raises:
            MaterialError: If the file is missing, of another shape or type, or not as it was written.
        """
        return self._checked(CLEAN, clips, 2)

    def views(self, clips: int | None = None) -> npt.NDArray[np.float16]:
        """(training clips, views, scenes) of every view but the clean one, a memory map; as `clean`."""
        return self._checked(VIEWS, clips, 3)

    def _checked(self, name: str, clips: int | None, dims: int) -> npt.NDArray[np.float16]:
        path = self.folder / name
        array = mapped_array(path, clips=clips, dims=dims)
        if array.shape[-1] != len(self.scenes):
            raise MaterialError(
                f"{path} is of shape {array.shape}, but its key names {len(self.scenes)} scenes; delete its folder and "
                "it is made again"
            )
        if sha256_of(path) != self._sum(name):
            raise MaterialError(f"{path} is not as it was written; delete its folder and it is made again")
        return array

    def _sum(self, name: str) -> str:
        path = self.folder / SUMS
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))[name])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise MaterialError(
                f"{path} has no sum of {name} ({error!r}); delete its folder and it is made again"
            ) from error


def sha256_of(path: Path) -> str:
    """Hexadecimal digits over all bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
