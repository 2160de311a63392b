"""How much of the attainable a front covers, as one number that can be followed and compared.

Each trial is a point of three gains in [0, 1]:

* accuracy: 0 at chance (1 / number of scenes) or below, 1 when every clip is right;
* weight bytes and MACs: 0 at the limit or beyond, 1 at a 64th of it or less, on a log2 scale, so that every
  halving of a cost counts alike, a sixth.

The hypervolume is the volume of all points that some trial equals or exceeds in all three. 1 is perfect accuracy
at next to no cost; 0 is no trial better than chance within the limits. The reference point is fixed by the study's
budget and its scenes, so values of one study, and of studies with the same budget, can be compared.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from studies.front import candidates, front_of, pareto_mask

HALVINGS = 6
"""Cost halvings below the limit that count; the smallest useful students are about 64 times below it."""


@dataclass(frozen=True)
class Scale:
    """Where the gains begin.

    Attributes:
        chance: Accuracy of guessing, in [0, 1).
        weight_bytes, macs: The limits.
    """

    chance: float
    weight_bytes: float
    macs: float

    def __post_init__(self) -> None:
        if not 0 <= self.chance < 1:
            raise ValueError(f"chance={self.chance!r}: expected at least 0 and below 1")
        for name, limit in (("weight_bytes", self.weight_bytes), ("macs", self.macs)):
            if not limit > 0:
                raise ValueError(f"{name}={limit!r}: expected a limit above 0")

    def gains(self, trials: pd.DataFrame) -> NDArray[np.float64]:
        """(n, 3) in [0, 1]: gains in accuracy, weight bytes and MACs of complete trials."""
        accuracy = trials["accuracy"].to_numpy(dtype=np.float64)
        costs = (trials[key].to_numpy(dtype=np.float64) for key in ("weight_bytes", "macs"))
        gains: NDArray[np.float64] = np.column_stack([np.clip(self.learned(accuracy), 0.0, 1.0), self.saved(*costs)])
        return gains

    def learned(self, accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
        """The gain in accuracy, (n,), before values below 0 and above 1 are cut off."""
        return (accuracy - self.chance) / (1 - self.chance)

    def saved(self, weight_bytes: NDArray[Any], macs: NDArray[Any]) -> NDArray[np.float64]:
        """The gains in weight bytes and MACs, (n, 2) in [0, 1]."""
        halvings = [
            np.log2(limit / np.maximum(costs, 1.0)) / HALVINGS
            for costs, limit in ((weight_bytes, self.weight_bytes), (macs, self.macs))
        ]
        saved: NDArray[np.float64] = np.clip(np.column_stack(halvings), 0.0, 1.0)
        return saved


def scale_of(trials: pd.DataFrame, budget: Mapping[str, float]) -> Scale | None:
    """The scale of a study, from its budget and the number of scenes; None before the study says what they are."""
    if not {"weight_bytes", "macs"} <= budget.keys():
        return None
    for proposal in trials["proposal"]:
        classes = ((proposal or {}).get("architecture") or {}).get("classes")
        if classes:
            return Scale(1 / classes, budget["weight_bytes"], budget["macs"])
    return None


def hypervolume(gains: NDArray[np.float64]) -> float:
    """Volume of the union of the boxes from the origin to each point.

    Args:
        gains: (n, 3), at least 0, higher is better.

    The third axis is swept from above; what the points met so far cover of the other two is a staircase that each
    new point may raise. Cost: the number of points times the steps of the staircase.
    """
    points = gains[(gains > 0).all(axis=1)]
    points = points[pareto_mask(-points)]
    points = points[np.argsort(-points[:, 2], kind="stable")]
    floors = [*points[1:, 2].tolist(), 0.0]
    steps: list[tuple[float, float]] = []  # x upwards, y downwards
    area = volume = 0.0
    for (x, y, z), floor in zip(points.tolist(), floors, strict=False):
        at = bisect_left(steps, x, key=lambda step: step[0])
        if at == len(steps) or steps[at][1] < y:
            steps = [step for step in steps[:at] if step[1] > y] + [(x, y)] + [s for s in steps[at:] if s[0] > x]
            area = _area(steps)
        volume += area * (z - floor)
    return volume


def _area(steps: list[tuple[float, float]]) -> float:
    """Area under a staircase of (x, y) with x upwards; each step reaches back to the one before it."""
    starts = [0.0, *(x for x, _ in steps)]
    return sum((x - start) * y for start, (x, y) in zip(starts, steps, strict=False))


def hypervolume_of(trials: pd.DataFrame, scale: Scale | None) -> float:
    """The hypervolume of a study's front; 0 where nothing has been measured."""
    return 0.0 if scale is None else hypervolume(scale.gains(front_of(trials)))


def hypervolume_curve(trials: pd.DataFrame, scale: Scale | None) -> pd.DataFrame:
    """How the hypervolume and the best accuracy grew, in the order in which trials were completed.

    Returns:
        Columns `number`, `finished`, `accuracy` of the trial, `best_accuracy` and `hypervolume` up to and with it:
        one row per complete trial within the budget.
    """
    rows = candidates(trials).sort_values(["finished", "number"], kind="stable")
    curve = rows[["number", "finished", "accuracy"]].reset_index(drop=True)
    curve["best_accuracy"] = curve["accuracy"].cummax()
    curve["hypervolume"] = growth(scale.gains(rows)) if scale else 0.0
    return curve


def growth(gains: NDArray[np.float64]) -> list[float]:
    """The hypervolume of the first point, the first two, ... of (n, 3); computed anew only when one is not covered."""
    values: list[float] = []
    front = np.empty((0, 3))
    value = 0.0
    for point in gains:
        if not (front >= point).all(axis=1).any():
            front = np.vstack([front[~(point >= front).all(axis=1)], point])
            value = hypervolume(front)
        values.append(value)
    return values
