"""A sampler that draws at random, and only what fits the budget."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.samplers.distributions import distributions
from nas.samplers.screening import Screening
from search_spaces.feasible import FeasibleDraws
from search_spaces.pricing import Pricing


class FeasibleSampler(BaseSampler):
    """Draws among the architectures that fit the budget, by `FeasibleDraws` over choices.

    Made for one proposal: all its choices are drawn together, and drawn again they are the same.
    """

    def __init__(self, pricing: Pricing, seed: int) -> None:
        self._pricing = pricing
        self._seed = seed
        self.screening = Screening()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return distributions(self._pricing.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        draws = FeasibleDraws(self._pricing, np.random.default_rng(self._seed))
        values = dict(draws.draw())
        self.screening = Screening.of(draws)
        return values

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        raise KeyError(f"{param_name!r} is no choice of the space {self._pricing.space.name!r}")
