"""The choices of a space as Optuna knows them."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from search_spaces.space import Choice, Space


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Every choice of a space as an Optuna distribution: ordered ones as integers, the others as categories."""
    return {choice.label: _distribution(choice) for choice in space.choices}


def _distribution(choice: Choice) -> BaseDistribution:
    step = choice.step
    if step is None:
        return CategoricalDistribution(choice.values)
    return IntDistribution(int(choice.values[0]), int(choice.values[-1]), step=step)
