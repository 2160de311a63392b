"""Samplers on a search space: Optuna's own, and those that propose only what fits the budget."""

from nas.samplers.cost_aware import CostAwareSampler
from nas.samplers.distributions import distributions
from nas.samplers.feasible import FeasibleSampler
from nas.samplers.named import Samplers
from nas.samplers.screening import Screens

__all__ = ["CostAwareSampler", "FeasibleSampler", "Samplers", "Screens", "distributions"]
