"""How loud a clip is: its root mean square, in the classes that the Sharif report counts clips by."""

from collections.abc import Iterable

import numpy as np

RMS_EDGES = (0.02, 0.05, 0.10, 0.15, 0.20, 0.25, 0.30)
"""Upper ends of all classes but the last, each belonging to its class."""


def rms(samples: np.ndarray) -> float:
    """Root mean square of samples in [-1, 1]; 0 for none."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def loudness_histogram(values: Iterable[float]) -> tuple[int, ...]:
    """How many RMS values lie in each class, from at most 0.02 to above 0.30: one more than `RMS_EDGES`."""
    classes = np.searchsorted(RMS_EDGES, np.fromiter(values, dtype=np.float64), side="left")
    return tuple(np.bincount(classes, minlength=len(RMS_EDGES) + 1).tolist())
