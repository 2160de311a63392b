"""The gate refuses what does not fit or is known; samplers draw within the space, and again the same."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

from nas.gate import judge
from nas.samplers import distributions, make_sampler
from search_spaces.architecture import InputShape
from search_spaces.budget import Budget
from search_spaces.designs import design
from search_spaces.joint import JointSpace

SPACE = JointSpace(InputShape(64, 33))


def test_a_fitting_new_architecture_passes() -> None:
    verdict = judge(design("dynacp"), Budget(), {})
    assert (verdict.reason, verdict.detail) == (None, "")
    assert verdict.cost.feasible


def test_over_the_budget_is_told_with_cost_limit_and_excess() -> None:
    verdict = judge(design("dynacp"), Budget(weight_bytes=100_000), {})
    assert verdict.reason == "over_budget"
    assert verdict.detail == "weight_bytes 120,084 is 20.1% over its limit of 100,000"


def test_a_repeat_is_told_with_the_trial_it_repeats() -> None:
    verdict = judge(design("dynacp"), Budget(), {design("dynacp").identity: 7})
    assert (verdict.reason, verdict.detail) == ("repeat", "the same architecture as trial 7")


def test_every_choice_is_a_distribution_over_its_values() -> None:
    spread = distributions(SPACE)
    assert list(spread) == [choice.label for choice in SPACE.choices]
    assert spread["stage1.width"] == IntDistribution(16, 128, step=8)
    assert spread["stage2.depth"] == IntDistribution(0, 3)
    assert spread["precision"] == CategoricalDistribution(("fp16", "int8"))


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_a_sampler_draws_the_same_again_for_the_same_seed_and_number(name) -> None:
    def drawn(seed: int, number: int) -> dict[str, object]:
        study = optuna.create_study(sampler=make_sampler(name, seed, number))
        return study.ask(distributions(SPACE)).params

    assert drawn(1, 5) == drawn(1, 5)
    assert drawn(1, 5) != drawn(1, 6)
    assert drawn(1, 5) != drawn(2, 5)
    assert SPACE.decode(drawn(1, 5)).blocks  # type: ignore[arg-type]
