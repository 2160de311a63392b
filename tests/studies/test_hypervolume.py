"""The hypervolume equals its definition and behaves as an indicator must."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from studies.hypervolume import Scale, hypervolume, hypervolume_curve, hypervolume_of, scale_of
from studies.records import read_trials

SCALE = Scale(chance=0.1, weight_bytes=128_000, macs=30_000_000)

exact = st.integers(0, 8).map(lambda n: n / 8)  # eighths: ties happen, and products are exact
points = hnp.arrays(np.float64, st.tuples(st.integers(0, 9), st.just(3)), elements=exact)


def _by_inclusion_and_exclusion(gains: np.ndarray) -> float:
    return sum(
        (-1.0) ** (size + 1) * float(np.min(subset, axis=0).prod())
        for size in range(1, len(gains) + 1)
        for subset in combinations(gains, size)
    )


def _by_counting_cells(gains: np.ndarray, side: int) -> float:
    """Volume of points on a grid of `side` steps: the share of cells below some point."""
    upper = np.stack(np.meshgrid(*[np.arange(1, side + 1) / side] * 3, indexing="ij"), axis=-1)
    covered = np.zeros((side,) * 3, dtype=bool)
    for point in gains:
        covered |= (upper <= point).all(axis=-1)
    return float(covered.mean())


@given(points)
def test_volume_equals_inclusion_and_exclusion(gains: np.ndarray) -> None:
    assert hypervolume(gains) == pytest.approx(_by_inclusion_and_exclusion(gains), abs=1e-12)


def test_volume_of_a_large_front_equals_counted_cells() -> None:
    gains = np.random.default_rng(0).integers(0, 33, size=(200, 3)) / 32
    gains = gains[np.abs(gains.sum(axis=1) - 1.5) < 0.15]
    assert len(gains) > 20
    assert hypervolume(gains) == pytest.approx(_by_counting_cells(gains, 32), abs=1e-12)


@given(points, hnp.arrays(np.float64, (3,), elements=exact))
def test_a_point_more_never_makes_it_smaller(gains: np.ndarray, point: np.ndarray) -> None:
    assert hypervolume(np.vstack([gains, point])) >= hypervolume(gains) - 1e-12


@given(points, st.randoms(use_true_random=False))
def test_order_and_beaten_points_change_nothing(gains: np.ndarray, random: Any) -> None:
    beaten = gains * random.random()
    mixed = np.vstack([gains, beaten])
    mixed = mixed[random.sample(range(len(mixed)), len(mixed))]
    assert hypervolume(mixed) == pytest.approx(hypervolume(gains), abs=1e-12)


def _trials(*rows: tuple[float, int, int]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "number": range(len(rows)),
            "state": "complete",
            "feasible": True,
            "accuracy": [row[0] for row in rows],
            "weight_bytes": pd.array([row[1] for row in rows], dtype="Int64"),
            "macs": pd.array([row[2] for row in rows], dtype="Int64"),
            "finished": pd.to_datetime(range(len(rows)), unit="s", utc=True),
        }
    )


@pytest.mark.parametrize(
    ("accuracy", "weight_bytes", "macs", "volume"),
    [
        (1.0, 128_000 // 64, 30_000_000 // 64, 1.0),
        (1.0, 1, 0, 1.0),
        (0.55, 2_000, 468_750, 0.5),
        (1.0, 64_000, 468_750, 1 / 6),
        (1.0, 16_000, 15_000_000, 1 / 12),
        (0.1, 1, 1, 0.0),
        (0.05, 1, 1, 0.0),
        (1.0, 128_000, 1, 0.0),
    ],
)
def test_gains_begin_at_chance_and_at_the_limits(accuracy: float, weight_bytes: int, macs: int, volume: float) -> None:
    assert hypervolume_of(_trials((accuracy, weight_bytes, macs)), SCALE) == pytest.approx(volume)


def test_the_scale_follows_from_the_study(sixty: Any, toy: Any) -> None:
    limits = {"weight_bytes": 128_000, "macs": 30_000_000}
    assert scale_of(read_trials(sixty.url, "sixty"), limits) == SCALE
    assert scale_of(read_trials(toy.url, "toy"), limits) is None
    assert hypervolume_of(read_trials(toy.url, "toy"), None) == 0.0


def test_the_curve_grows_and_ends_at_the_hypervolume(sixty: Any) -> None:
    trials = read_trials(sixty.url, "sixty")
    curve = hypervolume_curve(trials, SCALE)
    assert curve["hypervolume"].is_monotonic_increasing
    assert curve["finished"].is_monotonic_increasing
    assert len(curve) == (trials["state"] == "complete").sum()
    for count in (1, 2, 7, len(curve)):
        until = trials[trials["number"].isin(curve["number"][:count])]
        assert curve["hypervolume"][count - 1] == pytest.approx(hypervolume_of(until, SCALE))
        assert curve["best_accuracy"][count - 1] == until["accuracy"].max()


def test_the_curve_follows_the_order_of_finish() -> None:
    trials = _trials((0.5, 64_000, 15_000_000), (0.9, 64_000, 15_000_000))
    trials["finished"] = trials["finished"].to_numpy()[::-1]
    assert hypervolume_curve(trials, SCALE)["number"].tolist() == [1, 0]


@pytest.mark.parametrize(("chance", "limit"), [(1.0, 5), (-0.1, 5), (0.1, 0), (float("nan"), 5)])
def test_a_scale_without_room_is_refused(chance: float, limit: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        Scale(chance, limit, 1)
