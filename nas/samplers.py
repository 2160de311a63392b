"""Optuna's samplers on a search space."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from nas.study_file import SamplerName
from search_spaces.seeds import derive_seed
from search_spaces.space import Choice, Space


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Every choice of a space as an Optuna distribution: ordered ones as integers, the others as categories."""
    return {choice.label: _distribution(choice) for choice in space.choices}


def make_sampler(name: SamplerName, seed: int, number: int) -> BaseSampler:
    """The sampler for one proposal. Its chance derives from (study seed, trial number) alone, so that a resumed study
    draws what an uninterrupted one would have drawn from the same records.
    """
    chance = derive_seed(seed, "sampler", number) % 2**32
    if name == "random":
        return RandomSampler(seed=chance)
    # Univariate TPE, Optuna's default for several objectives, repeats one proposal in five and asks ten times slower.
    return TPESampler(multivariate=True, seed=chance)


def _distribution(choice: Choice) -> BaseDistribution:
    step = choice.step
    if step is None:
        return CategoricalDistribution(choice.values)
    return IntDistribution(int(choice.values[0]), int(choice.values[-1]), step=step)
