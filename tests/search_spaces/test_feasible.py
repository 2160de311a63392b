"""Feasible draws: all fit, they are uniform, the same again for the same seed, and end where nothing fits."""

from typing import Literal

import numpy as np
import pytest
from scipy.stats import chisquare
from tiny_spaces import TINY_NAMES, all_digits, effective_sets, tiny_space

from search_spaces.budget import Budget
from search_spaces.cost import cost
from search_spaces.errors import NasError
from search_spaces.feasible import FeasibleDraws
from search_spaces.pricing import Pricing
from search_spaces.space import Choices
from search_spaces.spaces import DPCP_SPACE, JOINT_SPACE, REPCONV_SPACE
from search_spaces.staged import StagedSpace

Over = Literal["choices", "architectures"]
WORDS = {words.name: words for words in (JOINT_SPACE, DPCP_SPACE, REPCONV_SPACE)}


def draws(
    space: StagedSpace, budget: Budget, over: Over, count: int, *, seed: int = 0
) -> tuple[list[Choices], FeasibleDraws]:
    feasible = FeasibleDraws(Pricing(space, budget), np.random.default_rng(seed), over)
    return [feasible.draw() for _ in range(count)], feasible


@pytest.mark.parametrize("name", list(WORDS))
@pytest.mark.parametrize(
    ("over", "budget"),
    [
        ("choices", Budget(64_000, 4_000_000)),
        ("choices", Budget(64_000, 4_000_000, peak_bytes=60_000)),
        ("architectures", Budget(300_000, 12_000_000, peak_bytes=80_000)),
    ],
)
def test_every_draw_fits_by_its_cost(name: str, over: Over, budget: Budget) -> None:
    space = StagedSpace(WORDS[name], [64], [33])
    count = 40 if over == "choices" else 10
    drawn, _ = draws(space, budget, over, count)
    assert all(cost(space.decode(values), budget).feasible for values in drawn)
    assert len({space.decode(values).identity for values in drawn}) > 0.9 * count - 1


@pytest.mark.parametrize("over", ["choices", "architectures"])
def test_the_same_seed_gives_the_same_draws_and_another_seed_others(over: Over) -> None:
    space, budget = tiny_space("tiny-layers"), Budget(12_000, 45_000)
    assert draws(space, budget, over, 50)[0] == draws(space, budget, over, 50)[0]
    assert draws(space, budget, over, 50)[0] != draws(space, budget, over, 50, seed=1)[0]


@pytest.mark.parametrize("over", ["choices", "architectures"])
def test_what_was_drawn_and_what_of_it_fits_is_counted(over: Over) -> None:
    space, budget = tiny_space("tiny-layers"), Budget(12_000, 45_000)
    _, feasible = draws(space, budget, over, 10, seed=3)
    rng = np.random.default_rng(3)
    again = space.sample_digits(rng, feasible.drawn) if over == "choices" else space.uniform_digits(rng, feasible.drawn)
    known = {tuple(v.values()): cost(space.decode(v), budget).feasible for v in effective_sets("tiny-layers")}
    written = space.values(np.where(space.effective(again), again, 0))
    assert feasible.drawn > 0
    assert feasible.fitting == sum(known[tuple(values.values())] for values in written)


@pytest.mark.parametrize(
    ("name", "budget"),
    [("tiny-layers", Budget(12_000, 60_000, peak_bytes=3_500)), ("tiny-stages", Budget(9_000, 45_000))],
)
def test_draws_over_architectures_are_uniform_over_those_that_fit(name: str, budget: Budget) -> None:
    """All architectures of the space, found one by one; a part of them fits, by bytes, MACs or peak memory."""
    space = tiny_space(name)
    networks = {space.decode(values).canonical() for values in effective_sets(name)}
    fitting = {architecture.identity for architecture in networks if cost(architecture, budget).feasible}
    assert 0.3 < len(fitting) / len(networks) < 0.7
    counts = dict.fromkeys(fitting, 0)
    identities = {tuple(values.values()): space.decode(values).identity for values in effective_sets(name)}
    for values in draws(space, budget, "architectures", 5 * len(fitting))[0]:
        counts[identities[tuple(values.values())]] += 1
    assert chisquare(list(counts.values())).pvalue > 1e-4


@pytest.mark.parametrize("name", TINY_NAMES)
def test_draws_over_choices_are_uniform_over_the_sets_of_choices_that_fit(name: str) -> None:
    space, budget = tiny_space(name), Budget(9_000, 45_000)
    every = space.values(all_digits(space))
    fitting = {tuple(values.values()) for values in every if cost(space.decode(values), budget).feasible}
    assert 0.3 < len(fitting) / len(every) < 0.7
    counts = dict.fromkeys(fitting, 0)
    for values in draws(space, budget, "choices", 5 * len(fitting))[0]:
        counts[tuple(values.values())] += 1
    assert chisquare(list(counts.values())).pvalue > 1e-4


@pytest.mark.parametrize("over", ["choices", "architectures"])
@pytest.mark.parametrize("budget", [Budget(1, 1), Budget(1_000_000, 100_000_000, peak_bytes=1)])
def test_a_budget_that_nothing_fits_ends_in_an_error_every_time(over: Over, budget: Budget) -> None:
    space = tiny_space("tiny-layers")
    feasible = FeasibleDraws(Pricing(space, budget), np.random.default_rng(0), over, patience=50_000)
    for _ in range(2):
        with pytest.raises(NasError, match="no architecture of 'tiny-layers' was found that fits the budget"):
            feasible.draw()
    assert feasible.drawn >= 8192
