"""Samplers on a search space: Optuna's own, and one that proposes only what fits the budget."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.study_file import SamplerName
from search_spaces.budget import Budget
from search_spaces.feasible import FeasibleDraws
from search_spaces.pricing import Pricing
from search_spaces.seeds import derive_seed
from search_spaces.space import Choice, Space
from search_spaces.staged import StagedSpace


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Every choice of a space as an Optuna distribution: ordered ones as integers, the others as categories."""
    return {choice.label: _distribution(choice) for choice in space.choices}


class Samplers:
    """The samplers of one search, one for each proposal.

    The chance of each derives from (study seed, trial number) alone, so that a resumed study draws what an
    uninterrupted one would have drawn from the same records.

    Args:
        seed: Of the study.
    """

    def __init__(self, name: SamplerName, seed: int, space: StagedSpace, budget: Budget) -> None:
        self._name = name
        self._seed = seed
        self._pricing = Pricing(space, budget) if name == "feasible" else None

    def of(self, number: int) -> BaseSampler:
        """The sampler for the proposal of that trial number."""
        chance = derive_seed(self._seed, "sampler", number) % 2**32
        if self._pricing is not None:
            return FeasibleSampler(self._pricing, chance)
        if self._name == "random":
            return RandomSampler(seed=chance)
        # Univariate TPE, Optuna's default for several objectives, repeats one proposal in five and asks ten times
        # slower.
        return TPESampler(multivariate=True, seed=chance)


class FeasibleSampler(BaseSampler):
    """Draws among the architectures that fit the budget, by `FeasibleDraws` over choices.

    Made for one proposal: all its choices are drawn together, and drawn again they are the same.
    """

    def __init__(self, pricing: Pricing, seed: int) -> None:
        self._pricing = pricing
        self._seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return distributions(self._pricing.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        return dict(FeasibleDraws(self._pricing, np.random.default_rng(self._seed)).draw())

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        raise KeyError(f"{param_name!r} is no choice of the space {self._pricing.space.name!r}")


def _distribution(choice: Choice) -> BaseDistribution:
    step = choice.step
    if step is None:
        return CategoricalDistribution(choice.values)
    return IntDistribution(int(choice.values[0]), int(choice.values[-1]), step=step)
