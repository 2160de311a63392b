"""Whole searches at equal numbers of trained epochs: who proposes, together with who is taught further.

A search is the project's own, the trial book with its sampler and its rungs, one student at a time; only the training
is replaced, by the landscape learnt from real ones (`trainings.py`), which answers with the whole curve. The known
designs are proposed first, as in every study. After as many epochs as 10, 20 and 40 whole trainings have, the front is
chosen among the students taught to the end, by the accuracies observed; shown are its hypervolume and the accuracy of
the student thought the most accurate, both at the true accuracies, and how many students were begun and taught to the
end at the last look. Medians over the seeds, with quartiles.

    python benchmarks/searches.py --seeds 10
"""

import argparse
import logging
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import optuna
from findings import found
from trainings import BUDGET, EPOCHS, FRAMES, MELS, TaughtLandscape, read_trainings

from nas.halving import Halving, thirds, usual_rungs
from nas.study_file import SamplerName, SearchSection
from nas.trial_book import Candidate, TrialBook
from search_spaces.staged import StagedSpace
from studies.hypervolume import Scale
from studies.storage import DIRECTIONS

LOOKS = (10, 20, 40)
"""In whole trainings."""

SEARCHES: dict[str, tuple[SamplerName, dict[int, int]]] = {
    "cost-aware, rungs": ("cost-aware", usual_rungs(EPOCHS, blind=False)),
    "cost-aware, from epoch 1": ("cost-aware", dict.fromkeys(thirds(EPOCHS), 2)),
    "cost-aware, no rungs": ("cost-aware", {}),
    "tpe, rungs": ("tpe", usual_rungs(EPOCHS, blind=True)),
    "tpe, no rungs": ("tpe", {}),
}


@dataclass
class Pupil:
    """One student: what it will be seen to reach and what is true of it, and how far it has come."""

    outcome: dict[str, Any]
    truth: float
    epochs: int = 0


class Search:
    """One search.

    Attributes:
        pupils: Of those begun, by their numbers.
        ended: Of those taught to the end: accuracy as observed, true accuracy, weight bytes, MACs.
    """

    def __init__(self, name: str, landscape: TaughtLandscape, space: StagedSpace, seed: int) -> None:
        sampler, rungs = SEARCHES[name]
        self._landscape, self._space, self._seed = landscape, space, seed
        self._scale = Scale(1 / space.classes, BUDGET.weight_bytes, BUDGET.macs)
        self._study = optuna.create_study(directions=DIRECTIONS)
        settings = SearchSection(trials=100_000, sampler=sampler, patience=10_000)  # it is cut off, and never ends
        self._book = TrialBook(self._study, space, BUDGET, settings, seed, Halving(rungs, self._scale))
        self._book.enqueue_known_designs(MELS[-1], FRAMES[0])
        self.pupils: dict[int, Pupil] = {}
        self.ended: list[tuple[float, float, int, int]] = []

    def epochs(self) -> Iterator[None]:
        """Teaches, one epoch at a time, for as long as it is asked to."""
        while True:
            candidate = self._book.next()
            number, deployed = candidate.number, candidate.cost.deployed
            if number not in self.pupils:
                self.pupils[number] = self._pupil(candidate)
            pupil = self.pupils[number]
            curve = pupil.outcome["curve"]
            for epoch in range(pupil.epochs + 1, EPOCHS + 1):
                pupil.epochs = epoch
                pauses = epoch < EPOCHS and self._book.reached(number, curve[:epoch])
                if pauses:
                    self._book.paused(number, curve[:epoch])
                elif epoch == EPOCHS:
                    self._book.completed(number, pupil.outcome)
                    accuracy = pupil.outcome["accuracy"]
                    self.ended.append((accuracy, pupil.truth, deployed.weight_bytes, deployed.macs))
                yield
                if pauses:
                    break

    def found(self) -> tuple[float, float]:
        """The hypervolume of the front, and the best accuracy, by the truth."""
        return found(self._scale, np.array(self.ended))

    def _pupil(self, candidate: Candidate) -> Pupil:
        digits = self._space.digits([self._study.get_trials(deepcopy=False)[candidate.number].params])
        outcome = self._landscape.trained(digits, self._seed, candidate.architecture.identity)
        for point in outcome["curve"]:
            point.update(log_loss=0.0, seconds=0.0)  # which a record of progress has, and nobody here reads
        return Pupil(outcome, float(self._landscape.truth(digits)[0]))


def main() -> int:
    """Prints one table; the exit code is 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", nargs="+", default=tuple(SEARCHES), choices=tuple(SEARCHES))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=20, help="the rungs were chosen on 10 to 15 (default 20)")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    landscape, space = TaughtLandscape(), read_trainings().space
    sys.stdout.write(f"{'trainings':26}" + "".join(f"{look:>20}" for look in LOOKS) + f"{'begun':>8}{'ended':>8}\n")
    for name in given.searches:
        seeds = range(given.first_seed, given.first_seed + given.seeds)
        looks, counts = zip(*(_looked_at(Search(name, landscape, space, seed)) for seed in seeds), strict=True)
        quartiles = np.quantile(looks, (0.25, 0.5, 0.75), axis=0)
        begun, ended = np.median(counts, axis=0)
        for column, what in enumerate((name, "  best accuracy")):
            cells = (f"{middle:.3f} ({low:.3f}-{high:.3f})" for low, middle, high in quartiles[:, :, column].T)
            last = "" if column else f"{begun:>8.0f}{ended:>8.0f}"
            sys.stdout.write(f"{what:26}" + "".join(f"{cell:>20}" for cell in cells) + f"{last}\n")
        sys.stdout.flush()
    return 0


def _looked_at(search: Search) -> tuple[list[tuple[float, float]], tuple[int, int]]:
    """What it has found at each look; how many students it has begun and taught to the end by the last one."""
    epochs, looks = search.epochs(), []
    for left, look in pairwise((0, *LOOKS)):
        for _ in range((look - left) * EPOCHS):
            next(epochs)
        looks.append(search.found())
    return looks, (len(search.pupils), len(search.ended))


if __name__ == "__main__":
    sys.exit(main())
