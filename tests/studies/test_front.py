"""The front is its definition, and the choice of the best follows from it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from search_spaces.errors import InputError
from studies.best import choose
from studies.front import front_of, pareto_mask
from studies.records import read_trials


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 5])
def test_front_equals_the_definition(n_objectives: int) -> None:
    rng = np.random.default_rng(n_objectives)
    for _ in range(200):
        losses = rng.integers(0, 5, size=(rng.integers(0, 30), n_objectives)).astype(float)
        losses[rng.random(losses.shape) < 0.03] = np.nan
        mask = pareto_mask(losses)
        for i, row in enumerate(losses):
            beaten = any((other <= row).all() and (other < row).any() for other in losses)
            first = not any((other == row).all() for other in losses[:i])
            assert mask[i] == (not np.isnan(row).any() and not beaten and first)


def test_the_front_holds_complete_trials_within_the_budget_only(toy: Any) -> None:
    toy.refuse("over_budget", 200_000, 1_000)
    toy.refuse("stopped_early", 10, 10)
    toy.propose(10, 10)
    kept = [toy.complete(0.6, 50_000, 10_000), toy.complete(0.4, 9_000, 10_000)]
    toy.complete(0.5, 50_000, 10_000)
    toy.complete(0.6, 50_000, 10_000)
    toy.complete(0.99, 128_001, 10_000)
    kept.append(toy.complete(0.7, 128_000, 30_000_000))
    assert front_of(read_trials(toy.url, "toy"))["number"].tolist() == [kept[2], kept[0], kept[1]]


def test_the_front_equals_optunas_best_trials(sixty: Any) -> None:
    ours = front_of(read_trials(sixty.url, "sixty"))
    assert set(ours["number"]) == {trial.number for trial in sixty.study.best_trials}
    assert ours["accuracy"].is_monotonic_decreasing


def test_best_smallest_and_fastest_are_on_the_front(toy: Any) -> None:
    toy.complete(0.7, 90_000, 20_000)
    best = toy.complete(0.7, 80_000, 30_000)
    smallest = toy.complete(0.2, 10_000, 25_000)
    toy.complete(0.1, 10_000, 25_000)
    fastest = toy.complete(0.3, 20_000, 5_000)
    trials = read_trials(toy.url, "toy")
    assert choose(trials, "best")["number"] == best
    assert choose(trials, "smallest")["number"] == smallest
    assert choose(trials, "fastest")["number"] == fastest
    assert choose(trials, "3")["accuracy"] == choose(trials, 3)["accuracy"] == 0.1


@pytest.mark.parametrize(
    ("which", "says"),
    [
        ("2", r"Trial 2 was over the budget and never trained \(weight_bytes 153,204 is 19\.7%.*complete are 0, 1, 6"),
        (5, r"Trial 5 failed \(the loss is not finite\)"),
        (7, r"Trial 7 is still running: complete are"),
        ("99", "no trial 99: its trials are 0 to 9"),
        ("-1", "names no trial"),
        ("٣", "names no trial"),
        ("largest", "say best, smallest, fastest, or a trial's number"),
    ],
)
def test_a_choice_that_cannot_be_made_says_what_there_is(every_state: Any, which: str | int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        choose(read_trials(every_state.url, "states"), which)


def test_nothing_on_the_front_says_what_there_is_instead(toy: Any) -> None:
    with pytest.raises(InputError, match="the study has no trials"):
        choose(read_trials(toy.url, "toy"), "best")
    toy.refuse("over_budget", 200_000, 1_000)
    with pytest.raises(InputError, match="Nothing is on the front yet: its trials are 1 over budget"):
        choose(read_trials(toy.url, "toy"), "best")
    with pytest.raises(InputError, match="no trial is complete yet"):
        choose(read_trials(toy.url, "toy"), 0)


def test_a_choice_is_a_row_of_the_table(every_state: Any) -> None:
    row = choose(read_trials(every_state.url, "states"), "best")
    assert isinstance(row, pd.Series)
    assert row["design"] == "cp-mobile-2025"
