"""The project's own sampler: costs are known, so only accuracy is modelled, and what is worth most is proposed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from threadpoolctl import ThreadpoolController

from nas.samplers.accuracy_model import AccuracyModel, Describer
from nas.samplers.children import Children, keys
from nas.samplers.distributions import distributions
from nas.samplers.evidence import evidence
from nas.samplers.records import Record, Records, digits_of
from nas.samplers.screening import Screening
from nas.worth import Worth
from search_spaces.budget import Budget
from search_spaces.cost import cost
from search_spaces.feasible import FeasibleDraws
from search_spaces.pricing import Prices, Pricing
from search_spaces.seeds import derive_seed
from search_spaces.space import Choices, Digits
from search_spaces.staged import StagedSpace
from studies.front import pareto_mask
from studies.hypervolume import Scale

START = 10
"""Of so many students an accuracy must be known, be it an early one, before a model is asked."""
ROUNDS = 6
CHILDREN = 1000
"""Of a round; those that fit and are new are looked at, at most `LOOKED_AT` of them. Under a tight budget six rounds of
400 found a quarter more hypervolume in 50 students than three of 800, measured here on `benchmarks/landscapes.py`."""
LOOKED_AT = 300
UNIFORM = 4096
"""Draws over the whole space in the first round."""
PARENTS = 60
"""The best of all rounds so far, from which the next one descends."""
TRIED = 300
"""So many are kept in the order of their worth, should the best be known under another name or need too much memory."""


class CostAwareSampler(BaseSampler):
    """Proposes the architecture that fits the budget and is expected to be worth most beside the others.

    The first few are uniform draws that fit, spread over the costs. After that a Gaussian process learns accuracies
    from all trials, those that wait or were stopped early included. Rounds of children of the front, and uniform
    draws, are priced exactly; those that do not fit or are known are dropped; the others are ranked by what they are
    expected to add to the hypervolume and to the best accuracy (`nas.worth`), and the best are the parents of the next
    round. Trials in training count as if they had turned out as the model expects.

    Everything derives from the seed, the trial's number and the trials of the study.

    For a study with the directions maximise (accuracy), minimise (weight bytes), minimise (MACs) whose trials suggest
    by `distributions(space)`. Costs are computed here; only the accuracies told are read.

    Args:
        seed: Of the study.
    """

    def __init__(self, space: StagedSpace, budget: Budget, seed: int = 0) -> None:
        self._space = space
        self._budget = budget
        self._seed = seed
        self._pricing = Pricing(space, budget)
        self._scale = Scale(1 / space.classes, budget.weight_bytes, budget.macs)
        self._children = Children(space)
        self._describer = Describer(space)
        self._records: WeakKeyDictionary[Study, Records] = WeakKeyDictionary()
        self._threads = ThreadpoolController()
        self.screening = Screening()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return distributions(self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        self.screening = Screening()
        records = self._records.setdefault(study, Records(self._space)).before(study, trial.number)
        rng = np.random.default_rng(derive_seed(self._seed, "sampler", trial.number))
        taken = {record.identity for record in records}
        with self._threads.limit(limits=1, user_api="blas"):  # more take turns over such small matrices: 5 times slower
            for values in self._proposals(records, trial.number, rng):
                if self._is_new(values, taken):
                    return values
        return self._drawn(FeasibleDraws(self._pricing, rng), 1)[0]

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        raise KeyError(f"{param_name!r} is no choice of the space {self._space.name!r}")

    def _is_new(self, values: Choices, taken: set[str]) -> bool:
        architecture = self._space.decode(values)
        if architecture.identity in taken:
            return False
        return self._budget.peak_bytes is None or cost(architecture, self._budget).feasible

    def _proposals(self, records: list[Record], number: int, rng: np.random.Generator) -> Iterator[Choices]:
        """Architectures within the limits on bytes and MACs, the best first."""
        if sum(record.taught for record in records) < START:
            return self._spread(number, rng)
        return self._best(records, rng)

    def _spread(self, number: int, rng: np.random.Generator) -> Iterator[Choices]:
        """Uniform draws, those nearest to a point among the costs first; the points fill the plane evenly, by the
        additive recurrence of the plastic number (Roberts, The unreasonable effectiveness of quasirandom sequences,
        2018)."""
        digits = self._space.digits(self._drawn(FeasibleDraws(self._pricing, rng), 64))
        prices = self._pricing.prices(digits)
        point = np.modf(0.5 + number * np.array([0.7548776662466927, 0.5698402909980532]))[0]
        distance = np.abs(self._scale.saved(prices.weight_bytes, prices.macs) - point).sum(axis=1)
        return iter(self._space.values(digits[:, np.argsort(distance, kind="stable")]))

    def _drawn(self, draws: FeasibleDraws, count: int) -> list[Choices]:
        found = [draws.draw() for _ in range(count)]
        self.screening += Screening.of(draws)
        return found

    def _best(self, records: Sequence[Record], rng: np.random.Generator) -> Iterator[Choices]:
        digits = digits_of(records, len(self._space.choices))
        prices = self._pricing.prices(digits)
        saved = self._scale.saved(prices.weight_bytes, prices.macs)
        accuracy = np.array([np.nan if r.accuracy is None else r.accuracy for r in records])
        learned = self._scale.learned(accuracy)
        front = pareto_mask(-np.column_stack([learned, saved]))
        rows, progress, seen = evidence(records, front)
        model = AccuracyModel(
            self._describer.inputs(digits[:, rows], prices[rows]), progress, self._scale.learned(seen)
        )
        running = np.flatnonzero([record.running for record in records])
        if len(running):
            in_training = self._describer.inputs(digits[:, running], prices[running])
            learned[running] = model.predict(in_training)[0]
            model = model.believing(in_training)
            front = pareto_mask(-np.column_stack([learned, saved]))
        worth = Worth(np.column_stack([learned, saved])[front])
        known = keys(self._space, digits)
        parents = digits[:, front]
        ranked, scores = np.empty((len(digits), 0), dtype=np.int16), np.empty(0)
        for step in range(ROUNDS):
            drawn = self._children.of(parents, CHILDREN, rng) if parents.shape[1] else parents
            if step == 0:
                drawn = np.hstack([drawn, self._space.sample_digits(rng, UNIFORM)])
            drawn, known, prices = self._screened(drawn, known, rng)
            mean, sd = model.predict(self._describer.inputs(drawn, prices))
            added = worth.expected(mean, sd, self._scale.saved(prices.weight_bytes, prices.macs))
            ranked, scores = np.hstack([ranked, drawn]), np.append(scores, added)
            order = np.argsort(-scores, kind="stable")[:TRIED]
            ranked, scores = ranked[:, order], scores[order]
            parents = ranked[:, :PARENTS]
        return (self._space.values(ranked[:, [place]])[0] for place in range(ranked.shape[1]))

    def _screened(
        self, digits: Digits, known: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Digits, npt.NDArray[np.int64], Prices]:
        """Those that fit and are new, each once, at most `LOOKED_AT` of them; what is known then; their prices."""
        own, first = np.unique(keys(self._space, digits), return_index=True)
        new = np.flatnonzero(~np.isin(own, known))
        own, first = own[new], first[new]
        prices = self._pricing.prices(digits[:, first])
        fitting = np.flatnonzero(prices.feasible)
        self.screening += Screening(digits.shape[1], len(new) - len(fitting))
        kept = rng.permutation(fitting)[:LOOKED_AT]
        return digits[:, first[kept]], np.append(known, own[kept]), prices[kept]
