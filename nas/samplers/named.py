"""The samplers that a study file may name, one interface for all of them."""

from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from nas.samplers.cost_aware import CostAwareSampler
from nas.samplers.feasible import FeasibleSampler
from nas.study_file import SamplerName
from search_spaces.budget import Budget
from search_spaces.pricing import Pricing
from search_spaces.seeds import derive_seed
from search_spaces.staged import StagedSpace

POPULATION = 20
"""Of NSGA-II; Optuna's 50 take half of a study of 200 students to become a second generation."""


class Samplers:
    """The samplers of one search, one for each proposal.

    The chance of each derives from (study seed, trial number) alone, so that a resumed study draws what an
    uninterrupted one would have drawn from the same records.

    Args:
        seed: Of the study.

    Attributes:
        needs_values: Whether they pass over refused proposals unless these are told as complete, with values.
    """

    def __init__(self, name: SamplerName, seed: int, space: StagedSpace, budget: Budget) -> None:
        self._name = name
        self._seed = seed
        self._pricing = Pricing(space, budget) if name == "feasible" else None
        self._cost_aware = CostAwareSampler(space, budget, seed) if name == "cost-aware" else None
        self.needs_values = name in ("nsga2", "gp")

    def of(self, number: int) -> BaseSampler:
        """The sampler for the proposal of that trial number."""
        if self._cost_aware is not None:
            return self._cost_aware
        chance = derive_seed(self._seed, "sampler", number) % 2**32
        if self._pricing is not None:
            return FeasibleSampler(self._pricing, chance)
        if self._name == "random":
            return RandomSampler(seed=chance)
        if self._name == "nsga2":
            return NSGAIISampler(population_size=POPULATION, seed=chance)
        if self._name == "gp":
            return GPSampler(seed=chance)
        # Univariate TPE, Optuna's default for several objectives, repeats one proposal in five and asks ten times
        # slower.
        return TPESampler(multivariate=True, seed=chance)
