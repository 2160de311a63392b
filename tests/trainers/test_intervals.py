"""Intervals against tables of Student's t, and the bootstrap against clips that are really drawn again."""

import numpy as np
import pytest

from trainers.evaluation import score
from trainers.intervals import LocationDraws, percentiles, t_interval

SCENES = ("airport", "bus", "metro")


@pytest.mark.parametrize(("count", "t"), [(2, 12.7062), (3, 4.3027), (5, 2.7764), (10, 2.2622), (31, 2.0423)])
def test_students_interval_has_the_quantile_of_the_tables(count: int, t: float) -> None:
    values = np.random.default_rng(count).normal(0.5, 0.1, count)
    mean, low, high = t_interval(values)
    deviation = (sum((value - sum(values) / count) ** 2 for value in values) / (count - 1)) ** 0.5
    assert mean == pytest.approx(sum(values) / count)
    assert high - mean == pytest.approx(mean - low)
    assert high - mean == pytest.approx(t * deviation / count**0.5, rel=1e-4)


def test_each_column_has_an_interval_of_its_own_and_one_system_has_none() -> None:
    values = np.array([[0.1, 1.0], [0.3, 1.0], [0.5, 1.0]])
    mean, low, high = t_interval(values)
    np.testing.assert_allclose(mean, [0.3, 1.0])
    np.testing.assert_allclose(high - low, [2 * 4.302653 * 0.2 / 3**0.5, 0.0], rtol=1e-6, atol=1e-12)
    mean, low, high = t_interval(values[:1])
    np.testing.assert_allclose(mean, values[0])
    assert np.isnan([low, high]).all()


def clips(count: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, labels and locations; a location has one scene, as in TAU, and locations are of unequal size."""
    rng = np.random.default_rng(seed)
    homes = rng.integers(0, 12, count)
    labels = homes % len(SCENES)
    locations = np.array([f"place-{home}" for home in homes])
    return rng.normal(0, 1, (count, len(SCENES))) + 0.8 * np.eye(len(SCENES))[labels], labels, locations


def test_a_draw_scores_as_its_clips_would() -> None:
    logits, labels, locations = clips()
    draws = LocationDraws.of(locations, seed=3, draws=60)
    right = logits.argmax(axis=1) == labels
    everything = np.ones(len(labels), dtype=bool)
    chosen = np.random.default_rng(1).random(len(labels)) < 0.3
    shares = draws.shares(right, labels, len(SCENES), everything)
    some = draws.shares(right, labels, len(SCENES), chosen)
    losses = draws.means(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels])
    assert shares.shape == (60, len(SCENES))
    names = sorted(set(locations.tolist()))
    for draw, times in enumerate(draws.times):
        assert times.sum() == len(names)
        again = np.concatenate(
            [np.flatnonzero(locations == name).repeat(int(count)) for name, count in zip(names, times, strict=True)]
        )
        kept = again[chosen[again]]
        for rows, found in ((again, shares[draw]), (kept, some[draw])):
            scores = score(logits[rows], labels[rows], np.array(["a"] * len(rows)), SCENES, {"a"})
            expected = [scores.scenes.get(scene, np.nan) for scene in SCENES]
            np.testing.assert_allclose(found, expected)
        assert losses[draw] == pytest.approx(
            score(logits[again], labels[again], np.array(["a"] * len(again)), SCENES, {"a"}).log_loss
        )


def test_draws_are_with_replacement_and_spread_as_theory_says() -> None:
    """The mean over n locations of equal size, drawn again, has the variance of the locations' means over n."""
    rng = np.random.default_rng(5)
    means = rng.random(25)
    values, locations = np.repeat(means, 8), np.repeat([f"l{i}" for i in range(25)], 8)
    drawn = LocationDraws.of(locations, seed=0).means(values)
    assert drawn.mean() == pytest.approx(means.mean(), abs=0.004)
    assert drawn.std() == pytest.approx(means.std() / 5, rel=0.04)
    low, high = percentiles(drawn)
    assert (low, high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))
    assert high - low == pytest.approx(2 * 1.96 * means.std() / 5, rel=0.08)


def test_draws_are_seeded_and_do_not_depend_on_the_order_of_the_clips() -> None:
    _, _, locations = clips()
    values = np.random.default_rng(2).random(len(locations))
    order = np.random.default_rng(3).permutation(len(locations))
    first = LocationDraws.of(locations, seed=1).means(values)
    np.testing.assert_allclose(LocationDraws.of(locations[order], seed=1).means(values[order]), first)
    assert not np.allclose(LocationDraws.of(locations, seed=2).means(values), first)


def test_a_draw_without_the_scene_is_left_out_of_the_interval() -> None:
    drawn = np.array([np.nan, 0.25, 0.25, np.nan, 0.25])
    assert percentiles(drawn) == (0.25, 0.25)
    assert np.isnan(percentiles(np.full(4, np.nan))).all()
    labels, locations = np.array([0, 1]), np.array(["here", "there"])
    shares = LocationDraws.of(locations, seed=0, draws=50).shares(
        np.array([True, False]), labels, 2, np.ones(2, dtype=bool)
    )
    both = ~np.isnan(shares).any(axis=1)
    assert 0 < both.sum() < 50
    np.testing.assert_array_equal(shares[both], np.tile([1.0, 0.0], (both.sum(), 1)))
