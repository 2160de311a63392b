"""Early stopping at equal budgets of trained epochs, on simulated and on real learning curves.

The real ones are those of `trainings.py`: students of the table that were drawn uniformly, in a random order. The
simulated ones belong to feasible architectures of the space `joint`, with their exact costs. The accuracy that one ends
with is

    final = chance + (top - chance) / (1 + exp(-(size + design))),

where `size` grows with log2 of its bytes and MACs and `design` is a sum of random effects of its choices; the two
landscapes weigh them differently. After epoch e of E it is judged to have

    chance + (final - chance) * (p(0) - p(e)) / (p(0) - p(E)) + noise,   p(e) = (1 + u(e) / t) ** -a,

a power law from chance to the end, in which u(e) is the learning rate summed up to e, with the warm-up of the recipes;
the time t is random and longer for students of more MACs (slow starters), the power a is random, and the noise falls
from 6 times `--noise` to `--noise`. The first line of a table says how far ranks early in a training agree with those
at its end (Spearman's).

Compared are: none; ASHA on accuracy (Li et al. 2020, algorithm 2); MO-ASHA (Schmucker et al. 2021: the same, a rung
being ordered by the non-dominated fronts of accuracy, bytes and MACs, and within a front by an epsilon-net), both with
a factor of 3 from the first epoch, and from a ninth of the training; and `nas.halving` at the rungs that it has for
blind proposals, and at those for chosen ones. Four students are trained at a time. Proposals are uniform, the same ones
for all; or, with --evolving, three in four are children of two students of the front of those trained to the end.

The hypervolume is that of `studies.hypervolume` over the students that were trained to the end, by the accuracy that
they end with. "times" is how many epochs training every student to the end needs for the same hypervolume, divided by
those spent; "best" is the accuracy of the most accurate one. Medians over the seeds, with quartiles.

    python benchmarks/early_stopping.py
"""

import argparse
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from trainings import EPOCHS, read_trainings

from nas.halving import Halving, thirds, usual_rungs
from search_spaces.budget import Budget
from search_spaces.pricing import Pricing
from search_spaces.space import Digits
from search_spaces.spaces import open_space
from studies.front import pareto_mask
from studies.hypervolume import HALVINGS, Scale, growth

Floats = NDArray[np.float64]

CHANCE, TOP = 0.1, 0.75
BUDGET = Budget()
SCALE = Scale(CHANCE, BUDGET.weight_bytes, BUDGET.macs)
WARM_UP = 0.1
FACTOR = 3
WORKERS = 4
REFERENCE = 1500
"""Students trained to the end, for how many of them a hypervolume takes; "times" can be no more than these allow."""

LANDSCAPES = {"size matters": (2.0, 0.7), "design matters": (1.0, 1.2)}
"""Weight of a student's size, and standard deviation of its choices' effects."""
REAL = "esc10"


class Students(ABC):
    """Students in the order in which they are proposed, each with its costs and its curve.

    Attributes:
        epochs: Of a training.
        weight_bytes, macs, final: Of every student known so far: costs and last accuracy.
        curves: (students, epochs) accuracy as it is judged after each epoch.
        proposed: How many were.
        finished: Numbers of those trained to the end.
    """

    epochs: int = EPOCHS
    weight_bytes: NDArray[np.int64]
    macs: NDArray[np.int64]
    final: Floats
    curves: Floats

    def __init__(self) -> None:
        self.proposed = 0
        self.finished: list[int] = []

    @abstractmethod
    def propose(self) -> int:
        """The number of the next student."""

    def gains(self, numbers: Sequence[int]) -> Floats:
        """(numbers, 3), as `studies.hypervolume` has them, of true accuracies."""
        learned = np.clip(SCALE.learned(self.final[numbers]), 0, 1)
        return np.column_stack([learned, SCALE.saved(self.weight_bytes[numbers], self.macs[numbers])])

    def losses(self, numbers: Sequence[int], epoch: int) -> Floats:
        """(numbers, 3): what is minimised, with the accuracies after an epoch."""
        costs = np.log2(self.weight_bytes[numbers]), np.log2(self.macs[numbers])
        return np.column_stack([-self.curves[numbers, epoch - 1], *costs])


class RealStudents(Students):
    """Those of the table that were drawn uniformly, in a random order."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        known = read_trainings()
        order = np.random.default_rng(seed).permutation(np.flatnonzero(known.uniform))
        self.weight_bytes, self.macs = known.prices.weight_bytes[order], known.prices.macs[order]
        self.curves = known.curves[order]
        self.final = self.curves[:, -1]

    def propose(self) -> int:
        self.proposed += 1
        if self.proposed > len(self.final):
            raise ValueError(f"the table has only {len(self.final)} students; give smaller --budgets")
        return self.proposed - 1


class SimulatedStudents(Students):
    """Those of one landscape.

    Args:
        landscape: One of `LANDSCAPES`.
        evolving: Whether proposals are bred from what was trained.
    """

    def __init__(self, landscape: tuple[float, float], noise: float, seed: int, *, evolving: bool) -> None:
        super().__init__()
        self._size, self._spread = landscape
        self._noise = noise
        self._rng = np.random.default_rng(seed)
        self._evolving = evolving
        self._pricing = Pricing(open_space("joint", [64, 128, 256], [33, 65]), BUDGET)
        self._tables = [self._rng.normal(size=len(choice.values)) for choice in self._pricing.space.choices]
        first = self._pricing.space.sample_digits(self._rng, 4096)
        effects = self._effects(first)
        self._mean, self._sd = effects.mean(), effects.std()
        self.digits = first[:, :0]
        self.weight_bytes = np.empty(0, np.int64)
        self.macs = np.empty(0, np.int64)
        self.final = np.empty(0)
        self.curves = np.empty((0, EPOCHS))
        self._waiting: deque[int] = deque()

    def propose(self) -> int:
        self.proposed += 1
        if self._evolving and len(self.finished) >= 10 and self._rng.random() < 0.75:
            return self._child()
        while not self._waiting:
            self._waiting.extend(
                self._add(self._pricing.space.sample_digits(self._rng, 64 if self._evolving else 8192))
            )
        return self._waiting.popleft()

    def _child(self) -> int:
        """One that fits, of two of the front: each choice from either, each drawn anew with a chance of 1 in 16."""
        front = np.array(self.finished)[pareto_mask(self.losses(self.finished, self.epochs))]
        children: Sequence[int] = ()
        while not children:
            parents = self._rng.choice(front, size=(2, 32))
            either = self._rng.random((len(self.digits), 32)) < 0.5
            digits = np.where(either, self.digits[:, parents[0]], self.digits[:, parents[1]])
            fresh = self._pricing.space.sample_digits(self._rng, 32)
            children = self._add(np.where(self._rng.random(digits.shape) < 1 / 16, fresh, digits), 1)
        return children[0]

    def _add(self, digits: Digits, most: int | None = None) -> range:
        """Numbers of those that fit, which are students from now on."""
        prices = self._pricing.prices(digits)
        fits = np.flatnonzero(prices.feasible)[:most]
        macs, weight_bytes = prices.macs[fits], prices.weight_bytes[fits]
        size = 1 - np.log2(BUDGET.weight_bytes / weight_bytes * BUDGET.macs / macs) / HALVINGS
        design = (self._effects(digits[:, fits]) - self._mean) / self._sd
        final = CHANCE + (TOP - CHANCE) / (1 + np.exp(-self._size * size - self._spread * design))
        times = self.epochs * 0.2 * np.exp(self._rng.normal(0, 0.9, len(fits))) * (macs / 5e6) ** 0.3
        left = (1 + _learnt(self.epochs) / times[:, None]) ** -self._rng.uniform(0.7, 1.5, (len(fits), 1))
        curves = CHANCE + (final - CHANCE)[:, None] * (1 - left) / (1 - left[:, -1:])
        shares = np.arange(1, self.epochs + 1) / self.epochs
        curves += self._rng.normal(size=curves.shape) * self._noise * (1 + 5 * (1 - shares) ** 2)
        self.digits = np.concatenate([self.digits, digits[:, fits]], axis=1)
        self.weight_bytes = np.concatenate([self.weight_bytes, weight_bytes])
        self.macs = np.concatenate([self.macs, macs])
        self.final = np.concatenate([self.final, final])
        self.curves = np.concatenate([self.curves, curves])
        return range(len(self.final) - len(fits), len(self.final))

    def _effects(self, digits: Digits) -> Floats:
        effects = np.stack([table[row] for table, row in zip(self._tables, digits, strict=True)])
        return np.asarray(effects.sum(axis=0), dtype=np.float64)


def _learnt(epochs: int) -> Floats:
    """The learning rate summed up to each epoch: a linear rise over the warm-up, then as it is."""
    warm = WARM_UP * epochs
    epoch = np.arange(1, epochs + 1)
    return np.where(epoch < warm, epoch**2 / (2 * warm), epoch - warm / 2)


class Method(Protocol):
    """Who is trained, and how far."""

    def job(self) -> tuple[int, int]:
        """The next student, and after how many epochs it carries on."""

    def carries_on(self, number: int, epoch: int) -> bool:
        """Whether it is trained further at once; asked after each epoch but the last."""


class Plain:
    """Every student to the end."""

    def __init__(self, students: Students) -> None:
        self._students = students

    def job(self) -> tuple[int, int]:
        return self._students.propose(), 0

    def carries_on(self, number: int, epoch: int) -> bool:
        return True


class Ours:
    """`nas.halving`."""

    def __init__(self, students: Students, *, blind: bool) -> None:
        self._students = students
        self._halving = Halving(usual_rungs(students.epochs, blind=blind), SCALE)
        self._epochs: dict[int, int] = {}

    def job(self) -> tuple[int, int]:
        number = self._halving.choice()
        if number is None:
            return self._students.propose(), 0
        self._halving.go_on(number)
        return number, self._epochs[number]

    def carries_on(self, number: int, epoch: int) -> bool:
        if not self._halving.is_rung(epoch):
            return True
        known = self._students
        costs = {"weight_bytes": known.weight_bytes[number], "macs": known.macs[number]}
        curve = [{"epoch": e + 1, "accuracy": known.curves[number, e]} for e in range(epoch)]
        self._halving.remember(number, costs, curve)
        self._halving.pause(number)
        self._epochs[number] = epoch
        return False


class ByRank:
    """Asynchronous successive halving (Li et al. 2020, algorithm 2).

    Args:
        rungs: Epochs, ascending.
        several: Whether a rung is ordered by fronts (MO-ASHA) or by accuracy.
    """

    def __init__(self, students: Students, rungs: Sequence[int], *, several: bool) -> None:
        self._students, self._rungs, self._several = students, rungs, several
        self._reached: dict[int, list[int]] = {rung: [] for rung in rungs}
        self._best: dict[int, list[int]] = {rung: [] for rung in rungs}
        self._promoted: dict[int, set[int]] = {rung: set() for rung in rungs}

    def job(self) -> tuple[int, int]:
        for rung in reversed(self._rungs):
            for number in self._best[rung]:
                if number not in self._promoted[rung]:
                    self._promoted[rung].add(number)
                    return number, rung
        return self._students.propose(), 0

    def carries_on(self, number: int, epoch: int) -> bool:
        if epoch not in self._reached:
            return True
        self._reached[epoch].append(number)
        self._best[epoch] = self._top(epoch)
        return False

    def _top(self, epoch: int) -> list[int]:
        """The third of a rung that may go on, the best first."""
        numbers = np.array(self._reached[epoch])
        count = len(numbers) // FACTOR
        losses = self._students.losses(self._reached[epoch], epoch)
        if not self._several:
            return [int(number) for number in numbers[np.argsort(losses[:, 0], kind="stable")[:count]]]
        order: list[int] = []
        while len(order) < count:
            front = np.flatnonzero(pareto_mask(losses))
            order += [int(front[row]) for row in _epsilon_net(losses[front])]
            losses[front] = np.nan
        return [int(number) for number in numbers[order[:count]]]


def _epsilon_net(losses: Floats) -> Iterator[int]:
    """The rows of a front, each as far as can be from those before it; the most accurate first."""
    spread = np.ptp(losses, axis=0)
    scaled = (losses - losses.min(axis=0)) / np.where(spread > 0, spread, 1)
    distance = np.full(len(scaled), np.inf)
    row = int(losses[:, 0].argmin())
    for _ in range(len(scaled)):
        yield row
        distance = np.minimum(distance, np.linalg.norm(scaled - scaled[row], axis=1))
        distance[row] = -1
        row = int(distance.argmax())


def spend(method: Method, students: Students, budgets: Sequence[int]) -> list[tuple[int, list[int]]]:
    """For each budget of epochs: how many students were proposed when it was spent, and which had been finished."""
    jobs = [method.job() for _ in range(WORKERS)]
    found = []
    for spent in range(1, max(budgets) + 1):
        number, epoch = jobs[spent % WORKERS]
        jobs[spent % WORKERS] = (number, epoch + 1)
        if epoch + 1 == students.epochs:
            students.finished.append(number)
            jobs[spent % WORKERS] = method.job()
        elif not method.carries_on(number, epoch + 1):
            jobs[spent % WORKERS] = method.job()
        if spent in budgets:
            found.append((students.proposed, list(students.finished)))
    return found


def main() -> int:
    """Prints one table for each landscape; the exit code is 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [REAL, *LANDSCAPES]
    parser.add_argument("--landscapes", nargs="+", default=names, choices=names)
    parser.add_argument("--budgets", type=int, nargs="+", default=[20, 30, 60], help="in trainings (default 20 30 60)")
    parser.add_argument("--seeds", type=int, default=10, help="default 10")
    parser.add_argument("--first-seed", type=int, default=100, help="the rule was chosen on 0 to 20 (default 100)")
    parser.add_argument("--noise", type=float, default=0.012, help="of a simulated accuracy (default 0.012)")
    parser.add_argument("--evolving", action="store_true", help="breed simulated students from what was trained")
    given = parser.parse_args()
    for name in given.landscapes:
        if not (name == REAL and given.evolving):
            sys.stdout.write("\n".join([*_table(name, given), "", ""]))
            sys.stdout.flush()
    return 0


def _table(name: str, given: argparse.Namespace) -> list[str]:
    methods = _methods()
    rows: dict[tuple[int, str], list[tuple[float, ...]]] = {(b, m): [] for b in given.budgets for m in methods}
    ranks = []
    for seed in range(given.first_seed, given.first_seed + given.seeds):

        def students(seed: int = seed) -> Students:
            if name == REAL:
                return RealStudents(seed)
            return SimulatedStudents(LANDSCAPES[name], given.noise, seed, evolving=given.evolving)

        known = students()
        most = len(known.final) - WORKERS if name == REAL else REFERENCE
        ((_, everybody),) = spend(Plain(known), known, [most * known.epochs])
        reference = growth(known.gains(everybody))
        ranks.append([spearmanr(known.curves[:800, e], known.final[:800]).statistic for e in range(known.epochs)])
        for method, made in methods.items():
            known = students()
            found = spend(made(known), known, [budget * known.epochs for budget in given.budgets])
            for budget, (started, finished) in zip(given.budgets, found, strict=True):
                reached = growth(known.gains(finished))[-1]
                as_good = int(np.searchsorted(reference, reached)) + 1
                most_accurate = float(known.final[finished].max())
                rows[budget, method].append((reached, as_good / budget, most_accurate, started, len(finished)))
    shown = ", ".join(f"{np.mean(ranks, axis=0)[e]:.2f} after epoch {e + 1}" for e in (0, 2, 8, 13))
    lines = [
        f"{name}, {'evolving' if given.evolving else 'uniform'} proposals; ranks agree with the last: {shown}",
        f"{'epochs':>8}  {'':22}{'hypervolume':>20}{'times':>18}{'best':>20}{'started':>9}{'finished':>9}",
    ]
    for (budget, method), values in rows.items():
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
        volume, times, best = (
            f"{middle[i]:.{d}f} ({low[i]:.{d}f}-{high[i]:.{d}f})" for i, d in ((0, 3), (1, 1), (2, 3))
        )
        counts = f"{middle[3]:>9.0f}{middle[4]:>9.0f}"
        lines.append(f"{budget * EPOCHS:>8,}  {method:22}{volume:>20}{times:>18}{best:>20}{counts}")
    return lines


def _methods() -> dict[str, Callable[[Students], Method]]:
    rungs = thirds(EPOCHS)

    def by_rank(begin: int, several: bool) -> Callable[[Students], Method]:
        return lambda students: ByRank(students, rungs[begin:], several=several)

    return {
        "none": Plain,
        **{f"ASHA from epoch {rungs[begin]}": by_rank(begin, False) for begin in (0, 1)},
        **{f"MO-ASHA from epoch {rungs[begin]}": by_rank(begin, True) for begin in (0, 1)},
        "nas.halving, blind": lambda students: Ours(students, blind=True),
        "nas.halving, chosen": lambda students: Ours(students, blind=False),
    }


if __name__ == "__main__":
    sys.exit(main())
