"""How good the samplers are: what each has found after so many trained students, on landscapes of made-up accuracies.

Every sampler proposes through the same trial book as in a search, so that what the gate refuses is refused and told to
it as there. Nothing is trained: an accuracy is that of a made-up landscape (`landscapes.py`), or of one that was learnt
from real trainings (`trainings.py`), and an error, the same for all samplers that meet in one seed. After 25, 50, 100
and 200 students the front is chosen by the accuracies observed, and its hypervolume is taken at the true ones, as a
share of the best that a long search with known truth finds. Shown are the median and the quartiles over the seeds.
"best" is the true accuracy of the student that is thought the most accurate at the last look; "feasible" is the share
of the proposals that fit the budget, "repeats" counts those proposed twice, and "ms" is the time of a proposal (asked,
judged, written in memory) near the last one.

    python benchmarks/samplers.py --samplers cost-aware tpe --seeds 10
    python benchmarks/samplers.py --tight
    python benchmarks/samplers.py --many 10000
"""

import argparse
import logging
import os
import statistics
import sys
import time
import warnings
from dataclasses import dataclass, field
from typing import get_args

import findings
import numpy as np
import optuna
from landscapes import NAMES, Landscape
from optuna.trial import TrialState
from trainings import BUDGET, TaughtLandscape, read_trainings

from nas.samplers import distributions
from nas.samplers.children import Children
from nas.study_file import SamplerName, SearchSection
from nas.trial_book import TrialBook
from search_spaces.budget import Budget
from search_spaces.pricing import Pricing
from search_spaces.spaces import SPACE_NAMES, open_space
from search_spaces.staged import StagedSpace
from studies.front import pareto_mask
from studies.hypervolume import Scale, hypervolume
from studies.storage import DIRECTIONS

TIGHT = Budget(32_000, 5_000_000)
Learnt = Landscape | TaughtLandscape
LOOKS = (25, 50, 100, 200)
ALL = (TaughtLandscape.name, *NAMES)
GENERATIONS, OFFSPRING = 60, 6000
FEWER = {"gp": (2, 60), "random": (3, 200)}
"""Seeds and students at most: GP takes seconds for a proposal; random ones are refused by the hundred where limits are
tight."""


@dataclass
class Run:
    """What one sampler did in one seed."""

    shares: dict[int, float] = field(default_factory=dict)
    best: float = float("nan")
    proposals: int = 0
    over_budget: int = 0
    repeats: int = 0
    milliseconds: float = float("nan")


def main() -> int:
    """Prints one table for each landscape; the exit code is 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", nargs="+", default=get_args(SamplerName), choices=get_args(SamplerName))
    parser.add_argument("--landscapes", nargs="+", default=ALL, choices=ALL)
    parser.add_argument("--space", default="joint", choices=SPACE_NAMES, help="of the made-up landscapes")
    parser.add_argument("--mels", type=int, default=128, help="likewise (default 128)")
    parser.add_argument("--frames", type=int, default=33, help="likewise (default 33)")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=10, help="the sampler was tuned on 0 to 3 (default 10)")
    parser.add_argument("--trials", type=int, default=200, help="students of each run (default 200)")
    parser.add_argument("--workers", type=int, default=1, help="students in training at once (default 1)")
    parser.add_argument("--tight", action="store_true", help="32 kB and 5 MMACs instead of the usual limits")
    parser.add_argument("--many", type=int, help="only the time of a proposal after so many trials")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    for name in given.landscapes:
        landscape, space, budget = _open(name, given)
        if given.many:
            sys.stdout.write(_many(landscape, space, budget, given.samplers, given.many))
            continue
        best, accuracy = _reference(landscape, space, budget)
        limits = f"{budget.weight_bytes:,} bytes, {budget.macs:,} MACs"
        sys.stdout.write(
            f"{name}, {limits}; best hypervolume {best:.3f}, best accuracy {accuracy:.3f}; {given.workers} worker(s), "
            f"load {os.getloadavg()[0]:.1f}\n"
            f"{'':12}{'seeds':>6}"
            + "".join(f"{look:>20}" for look in LOOKS if look <= given.trials)
            + f"{'best':>8}{'feasible':>10}{'repeats':>9}{'ms':>8}\n"
        )
        for sampler in given.samplers:
            seeds, trials = (
                min(pair)
                for pair in zip(
                    FEWER.get(sampler, (given.seeds, given.trials)), (given.seeds, given.trials), strict=True
                )
            )
            runs = [
                _run(sampler, landscape, space, budget, given.first_seed + number, trials, given.workers, best)
                for number in range(seeds)
            ]
            sys.stdout.write(_row(sampler, runs, given.trials))
            sys.stdout.flush()
        sys.stdout.write("\n")
    return 0


def _open(name: str, given: argparse.Namespace) -> tuple[Learnt, StagedSpace, Budget]:
    if name == TaughtLandscape.name:
        return TaughtLandscape(), read_trainings().space, TIGHT if given.tight else BUDGET
    space = open_space(given.space, [given.mels], [given.frames])
    return Landscape(name, space), space, TIGHT if given.tight else Budget()  # type: ignore[arg-type]


def _run(
    sampler: SamplerName,
    landscape: Learnt,
    space: StagedSpace,
    budget: Budget,
    seed: int,
    trials: int,
    workers: int,
    best: float,
) -> Run:
    study = optuna.create_study(directions=DIRECTIONS)
    settings = SearchSection(trials=trials, sampler=sampler, known_designs=(), patience=100_000)
    book = TrialBook(study, space, budget, settings, seed)
    scale = _scale(space, budget)
    run, handed_out, seconds = Run(), [], []
    observed: list[tuple[float, float, int, int]] = []
    while book.complete < trials:
        while book.in_flight < workers and book.wanted:
            before, started = len(study.get_trials(deepcopy=False)), time.process_time()
            candidate = book.next()
            spent = time.process_time() - started
            seconds.append(spent / (len(study.get_trials(deepcopy=False)) - before))
            handed_out.append(candidate)
        candidate = handed_out.pop(0)
        digits = space.digits([study.get_trials(deepcopy=False)[candidate.number].params])
        outcome = landscape.trained(digits, seed, candidate.architecture.identity)
        book.completed(candidate.number, outcome)
        deployed = candidate.cost.deployed
        truth = float(landscape.truth(digits)[0])
        observed.append((outcome["accuracy"], truth, deployed.weight_bytes, deployed.macs))
        if book.complete in LOOKS:
            run.shares[book.complete] = findings.found(scale, np.array(observed))[0] / best
    run.best = max(observed)[1]
    reasons = [trial.user_attrs.get("reason") for trial in study.get_trials(deepcopy=False)]
    run.proposals = len(reasons)
    run.over_budget, run.repeats = reasons.count("over_budget"), reasons.count("repeat")
    run.milliseconds = 1000 * statistics.median(seconds[-20:])
    return run


def _scale(space: StagedSpace, budget: Budget) -> Scale:
    return Scale(1 / space.classes, budget.weight_bytes, budget.macs)


def _reference(landscape: Learnt, space: StagedSpace, budget: Budget) -> tuple[float, float]:
    """Hypervolume and best accuracy of the front of many generations of children, all judged by the truth."""
    rng, pricing, children = np.random.default_rng(0), Pricing(space, budget), Children(space)
    drawn = space.sample_digits(rng, 200_000)
    front, gains = drawn[:, :0], np.empty((0, 3))
    for _ in range(GENERATIONS):
        prices = pricing.prices(drawn)
        drawn = drawn[:, prices.feasible]
        stored, macs = (costs[prices.feasible].astype(np.float64) for costs in (prices.weight_bytes, prices.macs))
        found = findings.gains(_scale(space, budget), landscape.truth(drawn), stored, macs)
        beaten = np.zeros(len(found), dtype=bool)
        for member in gains:
            beaten |= (found <= member).all(axis=1)
        front, gains = np.hstack([front, drawn[:, ~beaten]]), np.vstack([gains, found[~beaten]])
        kept = np.flatnonzero(pareto_mask(-gains) & (gains > 0).all(axis=1))
        front, gains = front[:, kept], gains[kept]
        drawn = children.of(front, OFFSPRING, rng)
    chance = 1 / space.classes
    return hypervolume(gains), chance + (1 - chance) * float(gains[:, 0].max())


def _row(sampler: str, runs: list[Run], trials: int) -> str:
    cells = []
    for look in (look for look in LOOKS if look <= trials):
        shares = [run.shares[look] for run in runs if look in run.shares]
        if not shares:
            cells.append(f"{'-':>20}")
            continue
        low, middle, high = np.percentile(shares, (25, 50, 75))
        cells.append(f"{f'{middle:.3f} ({low:.3f}-{high:.3f})':>20}")
    proposals = sum(run.proposals for run in runs)
    feasible = 1 - sum(run.over_budget for run in runs) / proposals
    milliseconds = statistics.median(run.milliseconds for run in runs)
    repeats = sum(run.repeats for run in runs)
    best = statistics.median(run.best for run in runs)
    return f"{sampler:12}{len(runs):>6}{''.join(cells)}{best:>8.3f}{feasible:>10.1%}{repeats:>9}{milliseconds:>8.0f}\n"


def _many(landscape: Learnt, space: StagedSpace, budget: Budget, samplers: list[SamplerName], count: int) -> str:
    """The time of a proposal in a study of so many trained students."""
    rng, pricing = np.random.default_rng(0), Pricing(space, budget)
    digits = space.sample_digits(rng, 100)
    while digits.shape[1] < count + 100:
        drawn = space.sample_digits(rng, 10_000)
        digits = np.hstack([digits, drawn[:, pricing.prices(drawn).feasible]])
    digits = digits[:, 100 : 100 + count]
    prices, spread = pricing.prices(digits), distributions(space)
    trials = []
    for number, values in enumerate(space.values(digits)):
        identity = space.decode(values).identity
        outcome = landscape.trained(digits[:, number : number + 1], 0, identity)
        costs = {"weight_bytes": int(prices.weight_bytes[number]), "macs": int(prices.macs[number])}
        trials.append(
            optuna.trial.create_trial(
                state=TrialState.COMPLETE,
                params=values,
                distributions=spread,
                values=[outcome["accuracy"], *costs.values()],
                user_attrs={
                    "proposal": {"identity": identity, "design": None, "cost": {"deployed": costs}},
                    "outcome": outcome,
                },
            )
        )
    lines = [f"{landscape.name}, a proposal after {count:,} trials, load {os.getloadavg()[0]:.1f}\n"]
    for sampler in samplers:
        study = optuna.create_study(directions=DIRECTIONS)
        study.add_trials(trials)
        settings = SearchSection(trials=count + 100, sampler=sampler, known_designs=(), patience=100_000)
        book = TrialBook(study, space, budget, settings, 0)
        seconds = []
        for _ in range(6):
            started, before = time.process_time(), len(study.get_trials(deepcopy=False))
            book.next()
            seconds.append((time.process_time() - started) / (len(study.get_trials(deepcopy=False)) - before))
        lines.append(f"{sampler:12}{statistics.median(seconds[1:]) * 1000:>8.0f} ms, the first {seconds[0]:.1f} s\n")
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
