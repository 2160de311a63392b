"""What a student is worth beside others: the growth of the hypervolume and of the best accuracy."""

import numpy as np
import numpy.typing as npt
import pytest

from nas.worth import Worth, covered
from studies.hypervolume import hypervolume

Floats = npt.NDArray[np.float64]


def points(count: int, seed: int) -> Floats:
    """On a front that is nearly a simplex, with ties and points worth nothing."""
    drawn = np.random.default_rng(seed).dirichlet((1, 1, 1), count).round(2)
    drawn[::7, 1] = 0.0
    return drawn


def grows(front: Floats, point: Floats) -> float:
    """By the definition."""
    better = max(point[0] - front[:, 0].max(initial=0), 0)
    return float(hypervolume(np.vstack([front, point])) - hypervolume(front) + better)


@pytest.mark.parametrize("seed", range(5))
def test_rectangles_are_disjoint_and_their_boxes_are_the_hypervolume(seed: int) -> None:
    front = points(25, seed)
    left, right, lower, upper, height = covered(front).T
    assert ((right - left) * (upper - lower) * height).sum() == pytest.approx(hypervolume(front))
    at = np.random.default_rng(seed).random((500, 2))
    inside = (at[:, :1] > left) & (at[:, :1] < right) & (at[:, 1:] > lower) & (at[:, 1:] < upper)
    assert inside.sum(axis=1).max() == 1
    best = [max((z for z, x, y in front if x > u and y > v), default=0.0) for u, v in at]
    np.testing.assert_allclose((inside * height).sum(axis=1), best)


def test_a_known_accuracy_adds_what_the_hypervolume_and_the_best_accuracy_grow_by() -> None:
    front, others = points(30, 1), np.random.default_rng(2).random((40, 3)) * 0.8
    added = Worth(front).expected(others[:, 0], np.full(40, 1e-9), others[:, 1:])
    grown = [grows(front, other) for other in others]
    np.testing.assert_allclose(added, grown, atol=1e-8)


def test_an_uncertain_accuracy_adds_the_mean_of_what_it_may_add() -> None:
    """Against 1,500 draws for each candidate; accuracies beyond 1 count as 1, below 0 as nothing."""
    front, rng = points(12, 3), np.random.default_rng(4)
    mean, sd = np.array([0.1, 0.4, 0.95]), np.array([0.2, 0.05, 0.3])
    saved = np.array([[0.7, 0.6], [0.3, 0.4], [0.2, 0.5]])
    added = Worth(front).expected(mean, sd, saved)
    for place in range(3):
        accuracies = np.clip(rng.normal(mean[place], sd[place], 1500), 0, 1)
        grown = [grows(front, np.array([z, *saved[place]])) for z in accuracies]
        assert added[place] == pytest.approx(np.mean(grown), abs=4 * np.std(grown) / 1500**0.5)


def test_with_no_front_everything_is_added() -> None:
    added = Worth(np.empty((0, 3))).expected(np.array([0.5]), np.array([1e-9]), np.array([[0.5, 0.2]]))
    assert added == pytest.approx([0.05 + 0.5])


def test_a_student_at_the_limits_is_worth_what_it_raises_the_best_accuracy_by() -> None:
    front = np.array([[0.6, 0.5, 0.5], [0.3, 0.9, 0.9]])
    added = Worth(front).expected(np.array([0.7, 0.6, 0.5]), np.full(3, 1e-9), np.zeros((3, 2)))
    np.testing.assert_allclose(added, [0.1, 0, 0], atol=1e-8)


def test_accuracies_below_chance_raise_nothing() -> None:
    front = np.array([[-0.2, 0.5, 0.5]])
    added = Worth(front).expected(np.array([-0.1, 0.1]), np.full(2, 1e-9), np.full((2, 2), 0.5))
    np.testing.assert_allclose(added, [0, 0.025 + 0.1], atol=1e-8)
