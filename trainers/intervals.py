"""How sure a score is: an interval over several systems, or over the locations that the clips are from.

A test list has few locations and many clips of each, so an accuracy has the noise of locations, not of clips: whole
locations are drawn with replacement (the bootstrap of clusters; Davison and Hinkley, "Bootstrap Methods and their
Application", 1997, section 3.8), and the interval is between percentiles of what the draws give.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

LEVEL = 0.95
# The bounds of an interval then move by some hundredths of its width from seed to seed.
DRAWS = 5000

Floats = npt.NDArray[np.float64]


def t_interval(values: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Mean and Student's 95 % interval over the first axis: mean -+ t(0.975, n - 1) s / sqrt(n).

    s is the standard deviation with n - 1 in its denominator.

    Args:
        values: (n, ...) of n systems.

    Returns:
        Mean, low and high, (...); the bounds are NaN where n is 1.
    """
    exact = np.asarray(values, dtype=np.float64)
    count, mean = len(exact), exact.mean(axis=0)
    if count == 1:
        unknown = np.full_like(mean, np.nan)
        return mean, unknown, unknown
    half = stdtrit(count - 1, (1 + LEVEL) / 2) * exact.std(axis=0, ddof=1) / np.sqrt(count)
    return mean, mean - half, mean + half


@dataclass(frozen=True, eq=False)
class LocationDraws:
    """Draws of locations with replacement, as many as there are; shared by all that is compared on the same clips.

    Attributes:
        places: (clips,) the number of each clip's location.
        times: (draws, locations) how often a draw has a location.
    """

    places: npt.NDArray[np.int64]
    times: Floats

    @classmethod
    def of(cls, locations: npt.NDArray[np.str_], seed: int, draws: int = DRAWS) -> "LocationDraws":
        """Seeded draws; `locations` names that of each clip."""
        names, places = np.unique(locations, return_inverse=True)
        count = len(names)
        times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
        return cls(places.astype(np.int64), times.astype(np.float64))

    def shares(
        self, right: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64], scenes: int, chosen: npt.NDArray[np.bool_]
    ) -> Floats:
        """(draws, scenes): the share of each scene's clips that is right, over chosen clips; NaN without clips.

        Args:
            right: (clips,) whether a clip was recognised.
            labels: (clips,) below `scenes`.
            chosen: (clips,) which clips count.
        """
        cells = self.places[chosen] * scenes + labels[chosen]
        return self._ratio(cells, right[chosen], scenes)

    def means(self, values: npt.NDArray[np.floating[Any]]) -> Floats:
        """(draws,): the mean over clips; `values` is (clips,)."""
        return np.asarray(self._ratio(self.places, values, 1)[:, 0])

    def _ratio(self, cells: npt.NDArray[np.int64], values: npt.NDArray[Any], columns: int) -> Floats:
        """Sums of values over counts, both by column and weighed by how often each draw has a location."""
        shape = (self.times.shape[1], columns)
        sums = np.bincount(cells, weights=values, minlength=shape[0] * columns).reshape(shape)
        counts = np.bincount(cells, minlength=shape[0] * columns).reshape(shape)
        found = self.times @ counts
        return np.divide(self.times @ sums, found, out=np.full_like(found, np.nan), where=found > 0)


def percentiles(draws: Floats) -> tuple[float, float]:
    """The 95 % interval of what the draws give, which may have NaNs; NaN if all are."""
    known = draws[~np.isnan(draws)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
