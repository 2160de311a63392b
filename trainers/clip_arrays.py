"""Writing the big arrays of a cache, a run of clips after another; `material.mapped_array` opens them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def clip_array(path: Path, shape: tuple[int, ...]) -> Iterator[Callable[[np.ndarray], object]]:
    """A float16 array of that shape; what is handed over writes its next rows.

    Ordinary writes in row order, not writes through a map: a full disk is then an error and not a dead process.
    """
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
        yield lambda rows: file.write(rows.astype("<f2", copy=False).tobytes())
