"""What a student is worth beside others, when its costs are known and its accuracy is not.

It is worth what it adds to the hypervolume and to the best accuracy. The hypervolume alone values a student at the
limits at next to nothing, since its reference point lies there: a search for it alone ends with many tiny students and
with a less accurate best one than chance finds (measured on `benchmarks/trainings.py`).

Over the plane of the gains in weight bytes and MACs, what others cover is a field of heights: at each point the best
accuracy gain of those that reach it. It is constant on disjoint rectangles. A candidate whose gains (x, y) are
known adds the volume between its accuracy z and that field over [0, x] x [0, y], so with z normal its expectation is
exact: the sum over the rectangles of the area they have in common with the candidate's, times E[(z - height)+], which
is the expected improvement of a single objective (Jones, Schonlau & Welch, 1998). Several uncertain objectives would
need an integral over cells in three dimensions (Emmerich, Deutz & Klinkenberg, 2011).
"""

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Floats = npt.NDArray[np.float64]


class Worth:
    """What candidates are worth beside students whose gains are given.

    Args:
        gains: (n, 3) in [0, 1]: accuracy, weight bytes, MACs, as `studies.hypervolume.Scale` gives them.
    """

    def __init__(self, gains: Floats) -> None:
        self._rectangles = covered(gains)
        self._best = float(gains[:, 0].max(initial=0.0))

    def expected(self, mean: Floats, sd: Floats, saved: Floats) -> Floats:
        """The expected growth of the hypervolume and that of the best accuracy gain, added up.

        Args:
            mean, sd: (n,) of the candidates' gain in accuracy, which is normal but never counts above 1.
            saved: (n, 2) in [0, 1]: their gains in weight bytes and MACs.

        Returns:
            (n,), at least 0.
        """
        left, right, lower, upper, height = self._rectangles.T
        x, y = saved[:, :1], saved[:, 1:]
        shared = np.maximum(np.minimum(x, right) - left, 0) * np.maximum(np.minimum(y, upper) - lower, 0)
        free = (x * y)[:, 0] - shared.sum(axis=1)
        beyond = _expected_excess(mean, sd, np.ones(1))
        above = _expected_excess(mean, sd, np.concatenate([height, [0.0, self._best]])) - beyond
        volume = (shared * above[:, :-2]).sum(axis=1) + free * above[:, -2]
        total: Floats = np.maximum(volume, 0) + np.maximum(above[:, -1], 0)
        return total


def covered(gains: Floats) -> Floats:
    """What points cover of the plane of the second and third gain, as disjoint rectangles.

    Args:
        gains: As for `Worth`.

    Returns:
        (rectangles, 5): left, right, lower, upper side, and the height: the best accuracy over it.
    """
    rectangles: list[tuple[float, float, float, float, float]] = []
    steps: list[tuple[float, float]] = []  # of what is covered so far: x upwards, y downwards
    for height, x, y in gains[np.argsort(-gains[:, 0], kind="stable")].tolist():
        if min(height, x, y) <= 0 or any(right >= x and top >= y for right, top in steps):
            continue
        left = 0.0
        for right, top in [*steps, (1.0, 0.0)]:
            if left < x and top < y:
                rectangles.append((left, min(right, x), top, y, height))
            left = right
        steps = sorted([*((right, top) for right, top in steps if right > x or top > y), (x, y)])
    return np.array(rectangles, dtype=np.float64).reshape(-1, 5)


def _expected_excess(mean: Floats, sd: Floats, floor: Floats) -> Floats:
    """E[(z - floor)+] of a normal z, (n, floors)."""
    over = mean[:, None] - floor
    standard = over / sd[:, None]
    density = np.exp(-0.5 * standard**2) / np.sqrt(2 * np.pi)
    excess: Floats = over * ndtr(standard) + sd[:, None] * density
    return excess
