"""The gate refuses what does not fit or is known; every choice is a distribution."""

from optuna.distributions import CategoricalDistribution, IntDistribution

from nas.gate import judge
from nas.samplers import distributions
from search_spaces.budget import Budget
from search_spaces.designs import design
from search_spaces.siblings import deployed_identity
from search_spaces.spaces import open_space

SPACE = open_space("joint", [64], [33])


def test_a_fitting_new_architecture_passes() -> None:
    verdict = judge(design("dynacp"), Budget(), {})
    assert (verdict.reason, verdict.detail) == (None, "")
    assert verdict.cost.feasible
    assert verdict.deployed_identity == deployed_identity(design("dynacp"), verdict.cost.deployed.form)


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
    assert spread["stage1.width"] == IntDistribution(16, 176, step=8)
    assert spread["stage2.depth"] == IntDistribution(1, 3)
    assert spread["precision"] == CategoricalDistribution(("fp16", "int8", "fp32"))


def test_the_inputs_that_a_study_offers_are_choices_like_the_others() -> None:
    spread = distributions(open_space("joint", [64, 128], [33, 64, 65]))
    assert spread["input.mels"] == IntDistribution(64, 128, step=64)
    assert spread["input.frames"] == CategoricalDistribution((33, 64, 65))
