"""The scorecard of a system: every number of the challenge reports' tables, each with its noise.

One row for each cell of a table. A system has answers of some kinds, for example general, the base student for every
clip, and device-specific, each clip answered by the student of its recording device, where it has one.
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainers.evaluation import GROUPS, Group, group_of, score
from trainers.intervals import Floats, LocationDraws, percentiles, t_interval

CELL = ("students", "table", "row", "column")
COLUMNS = (*CELL, "value", "low", "high")
CONFUSION = "confusion"


@dataclass(frozen=True, eq=False)
class JudgedClips:
    """The clips that systems are scored over.

    Attributes:
        labels: (clips,) index into `scenes`.
        devices: (clips,) recording device.
        locations: (clips,) where they were recorded.
        scenes: Names in the order of the labels.
        trained_devices: Recording devices of the training list.
    """

    labels: npt.NDArray[np.int64]
    devices: npt.NDArray[np.str_]
    locations: npt.NDArray[np.str_]
    scenes: tuple[str, ...]
    trained_devices: Collection[str]

    def device_groups(self) -> dict[str, Group]:
        """The group of every recording device that there are clips of, group by group, s2 before s10."""
        groups = {str(name): group_of(str(name), self.trained_devices) for name in np.unique(self.devices)}
        return dict(sorted(groups.items(), key=lambda item: (GROUPS.index(item[1]), _natural(item[0]))))


def scorecard(
    said: Mapping[str, npt.NDArray[np.floating[Any]]],
    differences: Mapping[str, tuple[str, str]],
    clips: JudgedClips,
    draws: LocationDraws,
) -> pd.DataFrame:
    """Every cell of a system's tables.

    Args:
        said: (clips, scenes) logits by the kind of answers.
        differences: Kinds that are the first of two others less the second, clip by clip and draw by draw.
        draws: Of the clips' locations.

    Returns:
        Columns students (the kind: of `said`, then of `differences`), table ("overall", "groups", "devices", "scenes"
        or "confusion"), row (of it), column ("accuracy", "log_loss", or the scene that was heard), value, and low and
        high, a 95 % interval over the draws. Accuracies are macro over scenes, shares of 1; the log loss is in nats; a
        confusion is a number of clips, without an interval and not of differences. Bounds are NaN with clips of fewer
        than two locations.

    Raises:
        ScoreError: If the logits cannot be scored.
    """
    found = {kind: _drawn(logits, clips, draws) for kind, logits in said.items()}
    for kind, (first, second) in differences.items():
        found[kind] = {
            cell: (value - found[second][cell][0], drawn - found[second][cell][1])
            for cell, (value, drawn) in found[first].items()
        }
    rows: list[tuple[Any, ...]] = []
    for kind, cells in found.items():
        rows += [(kind, *cell, value, *percentiles(drawn)) for cell, (value, drawn) in cells.items()]
        if kind in said:
            rows += [(kind, *cell) for cell in _confused(said[kind], clips)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def over_systems(cards: Sequence[pd.DataFrame], differences: Collection[str]) -> pd.DataFrame:
    """The mean of several systems' scorecards over the same clips, with Student's interval over the systems.

    An interval ends where no value can be: below 0, but for a difference; above 1 for an accuracy; above all clips of a
    scene for a confusion.

    Args:
        differences: The kinds that are differences.

    Raises:
        ValueError: If the cards have different cells.
    """
    first = cards[0]
    if any(not card[list(CELL)].equals(first[list(CELL)]) for card in cards):
        raise ValueError("scorecards of different tables have no mean")
    mean, low, high = t_interval([card["value"].to_numpy() for card in cards])
    most = first["column"].map({"accuracy": 1.0}).fillna(np.inf)
    most = most.mask(first["table"] == CONFUSION, first.groupby(["students", "table", "row"])["value"].transform("sum"))
    free = first["students"].isin(differences)
    return first.assign(
        value=mean, low=np.where(free, low, np.maximum(low, 0)), high=np.where(free, high, np.minimum(high, most))
    )


_Cell = tuple[str, str, str]


def _drawn(
    logits: npt.NDArray[np.floating[Any]], clips: JudgedClips, draws: LocationDraws
) -> dict[_Cell, tuple[float, Floats]]:
    """The value of each cell, and what each draw of locations makes of it."""
    scores = score(logits, clips.labels, clips.devices, clips.scenes, clips.trained_devices)
    right = logits.argmax(axis=1) == clips.labels

    def shares(chosen: npt.NDArray[np.bool_]) -> Floats:
        drawn = draws.shares(right, clips.labels, len(clips.scenes), chosen)
        # An interval from one location would be a point that promises what nobody knows.
        return drawn if len(np.unique(clips.locations[chosen])) > 1 else np.full_like(drawn, np.nan)

    def macro(chosen: npt.NDArray[np.bool_]) -> Floats:
        return _mean_of_known(shares(chosen))

    everything = np.ones(len(right), dtype=bool)
    groups = clips.device_groups()
    losses = draws.means(_losses(logits, clips.labels))
    cells: dict[_Cell, tuple[float, Floats]] = {
        ("overall", "all", "accuracy"): (scores.accuracy, macro(everything)),
        ("overall", "all", "log_loss"): (
            scores.log_loss,
            losses if draws.times.shape[1] > 1 else np.full_like(losses, np.nan),
        ),
    }
    for group, value in scores.groups.items():
        members = [device for device, its in groups.items() if its == group]
        cells["groups", group, "accuracy"] = (value, macro(np.isin(clips.devices, members)))
    for device in groups:
        cells["devices", device, "accuracy"] = (scores.devices[device], macro(clips.devices == device))
    for number, scene in enumerate(clips.scenes):
        if scene in scores.scenes:
            drawn = shares(clips.labels == number)[:, number]
            cells["scenes", scene, "accuracy"] = (scores.scenes[scene], drawn)
    return cells


def _confused(logits: npt.NDArray[np.floating[Any]], clips: JudgedClips) -> Iterator[tuple[Any, ...]]:
    """How many clips of each scene were heard as each scene."""
    size = len(clips.scenes)
    counts = np.bincount(clips.labels * size + logits.argmax(axis=1), minlength=size * size).reshape(size, size)
    for truth, row in zip(clips.scenes, counts.tolist(), strict=True):
        for heard, count in zip(clips.scenes, row, strict=True):
            yield CONFUSION, truth, heard, float(count), float("nan"), float("nan")


def _losses(logits: npt.NDArray[np.floating[Any]], labels: npt.NDArray[np.int64]) -> Floats:
    """(clips,) cross entropy of the softmax in nats."""
    exact = logits.astype(np.float64)
    rows = np.arange(len(labels))
    return np.asarray(np.logaddexp.reduce(exact, axis=1) - exact[rows, labels])


def _mean_of_known(shares: Floats) -> Floats:
    """(draws,) means over the scenes that a draw has; NaN where it has none."""
    known = ~np.isnan(shares)
    count = known.sum(axis=1)
    means: Floats = np.full(len(shares), np.nan)
    np.divide(np.where(known, shares, 0).sum(axis=1), count, out=means, where=count > 0)
    return means


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers in names compared as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.findall(r"\d+|\D+", name)]


def nested(card: pd.DataFrame, students: str) -> dict[str, dict[str, dict[str, Any]]]:
    """The tables of one kind of answers but the confusion: table -> row -> column -> value, low, high.

    A bound that is NaN is None.
    """
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    chosen = card[(card["students"] == students) & (card["table"] != CONFUSION)]
    for _, table, row, column, *numbers in chosen[list(COLUMNS)].itertuples(index=False, name=None):
        cell = dict(zip(("value", "low", "high"), map(_known, numbers), strict=True))
        tables.setdefault(table, {}).setdefault(row, {})[column] = cell
    return tables


def confusion(card: pd.DataFrame, students: str) -> dict[str, list[list[float | None]]]:
    """Value, low and high: clips by scene (row) and by what was heard (column), both in the order of the scenes.

    A bound that is NaN is None.
    """
    counts = card[(card["students"] == students) & (card["table"] == CONFUSION)]
    size = math.isqrt(len(counts))
    return {
        name: [[_known(count) for count in row] for row in counts[name].to_numpy().reshape(size, size)]
        for name in ("value", "low", "high")
    }


def _known(number: float) -> float | None:
    return None if np.isnan(number) else float(number)
