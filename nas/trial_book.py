"""The life of a candidate, written in the SQL study: the only truth about what was proposed, refused, trained or lost.

    proposed   RUNNING, while its choices are being written
    refused    PRUNED with a reason, its cost and its relative excess: over the budget, or a repeat
    in flight  RUNNING with a proposal: handed to a worker
    paused     RUNNING with its progress: it waits at a rung, and may go on from there
    stopped    PRUNED with a reason and its curve: it waited until the search ended
    complete   COMPLETE with its accuracy, weight bytes and MACs
    failed     FAIL with the error: its training went wrong, or ended too often for unknown reasons

A driver that dies leaves candidates proposed, in flight or paused. The next one adopts them: the missing choices are
drawn, the gate judges, and what was in flight runs again, each under its old number; what was paused waits on. Nothing
here knows how or where a candidate is trained.
"""

import logging
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from nas.gate import Verdict, judge
from nas.halving import Halving, Stay
from nas.samplers import Samplers, Screens, distributions
from nas.study_file import SearchSection
from search_spaces.architecture import Architecture
from search_spaces.budget import Budget
from search_spaces.cost import Cost, cost
from search_spaces.designs import design, name_of
from search_spaces.errors import NasError
from search_spaces.space import NotInSpaceError, Value
from search_spaces.staged import StagedSpace
from studies.hypervolume import Scale
from studies.records import is_paused

log = logging.getLogger("acoustic_nas.trial_book")


FAILURES_IN_A_ROW = 5
"""So many students failing one after the other are no accident: the search gives up."""


class SearchExhausted(NasError):
    """So many proposals were refused, or so many students failed, in a row that the search gave up."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that passed the gate, with the number under which the study knows it."""

    number: int
    architecture: Architecture
    cost: Cost


class TrialBook:
    """Proposes candidates and records what becomes of them. One driver at a time: see `studies.lock`.

    Args:
        study: As from `studies.storage`; trials still RUNNING in it are adopted.
        seed: Of the study.
        halving: Who is taught further, as a rule that knows no students yet; everybody is if None.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: StagedSpace,
        budget: Budget,
        search: SearchSection,
        seed: int,
        halving: Halving | None = None,
    ) -> None:
        self._study = study
        self._space = space
        self._budget = budget
        self._search = search
        self._halving = halving or Halving({}, Scale(1 / space.classes, budget.weight_bytes, budget.macs))
        self._samplers = Samplers(search.sampler, seed, space, budget)
        self._distributions = distributions(space)
        self._in_flight: dict[int, optuna.Trial] = {}
        self._paused: dict[int, optuna.Trial] = {}
        self._taken: dict[str, int] = {}
        self._deployed: dict[str, int] = {}
        self._adopted: deque[optuna.Trial] = deque()
        self.complete = 0
        self.stopped_early = 0
        self.best_accuracy = 0.0
        self._failures: list[str] = []
        for trial in study.get_trials(deepcopy=False):
            self._remember(trial)

    @property
    def in_flight(self) -> int:
        """How many candidates are with workers."""
        return len(self._in_flight)

    @property
    def taught(self) -> int:
        """How many students were taught, to the end or to a rung."""
        return self.complete + self.stopped_early + len(self._paused)

    @property
    def wanted(self) -> int:
        """How many candidates are to be handed out now: those that make up the study's number of students, and a paused
        one that may go on.

        All adopted ones are among them: whatever an earlier driver left is brought to an end.
        """
        return len(self._adopted) + self._missing + (self._choice() is not None)

    def enqueue_known_designs(self, mels: int, frames: int) -> None:
        """Puts the known designs that fit space and budget before all other proposals, once in a study's life.

        Each at its own input if the space offers that, else at the one of `mels` by `frames`.
        """
        for name in self._search.known_designs:
            known = replace(design(name), classes=self._space.classes)
            if known.input.mels not in self._space.mels or known.input.frames not in self._space.frames:
                known = known.at(mels, frames)
            try:
                values = self._space.encode(known)
            except NotInSpaceError as error:
                log.warning("the known design %s is not proposed: %s", name, error)
                continue
            if not cost(known, self._budget).feasible:
                log.info("the known design %s is not proposed: it is over this study's budget", name)
                continue
            self._study.enqueue_trial(dict(values), skip_if_exists=True)

    def next(self) -> Candidate:
        """The next candidate to train: first the adopted ones, then a paused one that may go on, then proposals until
        the gate lets one pass.

        Raises:
            SearchExhausted: After as many refusals in a row as the study's patience, or too many failures in a row.
            NasError: If the sampler finds nothing to propose.
        """
        if len(self._failures) >= FAILURES_IN_A_ROW:
            raise SearchExhausted(
                f"the last {len(self._failures)} students all failed, the last one so: {self._failures[-1]}"
            )
        choice = None if self._adopted else self._choice()
        if choice is not None:
            return self._taken_up(choice)
        refused = 0
        for trial in self._proposals():
            candidate = self._enter(trial)
            if candidate is not None:
                return candidate
            refused += 1
            if refused >= self._search.patience:
                break
        raise SearchExhausted(
            f"the gate refused {refused:,} proposals in a row; widen the budget, or raise search.patience"
        )

    def completed(self, number: int, outcome: dict[str, Any]) -> None:
        """Records a trained student. An accuracy that is no number is a failure, not a result."""
        trial = self._in_flight.get(number)
        if trial is None:
            return
        accuracy = float(outcome["accuracy"])
        if not math.isfinite(accuracy):
            self.failed(number, f"the accuracy is {accuracy}")
            return
        trial.set_user_attr("outcome", outcome)
        deployed = trial.user_attrs["proposal"]["cost"]["deployed"]
        self._study.tell(number, [accuracy, deployed["weight_bytes"], deployed["macs"]])
        del self._in_flight[number]
        self._halve(trial, outcome["curve"])
        self._count(accuracy)

    def reached(self, number: int, curve: list[dict[str, float]]) -> bool:
        """Takes note of how far a student in flight has come; whether it must pause here.

        Known designs are taught to the end: they are what the others are measured by.
        """
        trial = self._in_flight[number]
        self._halve(trial, curve)
        if not self._halving.is_rung(int(curve[-1]["epoch"])):
            return False
        self._halving.pause(number)
        goes_on = trial.user_attrs["proposal"]["design"] is not None or self._choice() == number
        if goes_on:
            self._halving.go_on(number)
        return not goes_on

    def paused(self, number: int, curve: list[dict[str, float]]) -> None:
        """Records a student that waits at a rung; it counts as taught."""
        trial = self._in_flight.get(number)
        if trial is None:
            return
        trial.set_user_attr("progress", {"paused": True, "outcome": _so_far(curve)})
        self._paused[number] = trial
        del self._in_flight[number]
        self._failures.clear()

    def finish(self) -> list[int]:
        """Ends the search: whoever still waits was stopped early and is never taught again; their numbers."""
        stopped = sorted(self._paused)
        for number in stopped:
            self._stop(self._paused.pop(number), self._halving.stay(number))
        return stopped

    def failed(self, number: int, error: str) -> None:
        """Records a training that went wrong in itself; it would go wrong again."""
        trial = self._in_flight.pop(number, None)
        if trial is not None:
            self._failures.append(error)
            self._tell_failed(trial, error)

    def lost(self, number: int, error: str) -> bool:
        """Takes back a candidate whose training ended without its own fault; whether it will be tried again."""
        trial = self._in_flight.pop(number, None)
        if trial is None:
            return False
        losses = trial.user_attrs.get("losses", 0) + 1
        trial.set_user_attr("losses", losses)
        if losses >= self._search.attempts:
            self._failures.append(error)
            self._tell_failed(trial, f"it was tried {losses} times: {error}")
            return False
        del self._taken[trial.user_attrs["proposal"]["identity"]]  # or it would be a repeat of itself
        self._adopted.append(trial)
        return True

    def _remember(self, trial: FrozenTrial) -> None:
        """Takes up the record of an earlier driver."""
        known = trial.user_attrs
        stopped = known.get("reason") == "stopped_early"
        if trial.state is TrialState.RUNNING and not stopped:
            opened = optuna.Trial(self._study, trial._trial_id)
            if not is_paused(known):
                self._adopted.append(opened)
                return
            self._take(trial.number, known["proposal"])
            self._halve(opened, known["progress"]["outcome"]["curve"])
            self._halving.pause(trial.number)
            self._paused[trial.number] = opened
            return
        if trial.state is TrialState.RUNNING:
            self._study.tell(trial.number, state=TrialState.PRUNED)  # the driver was killed just before
        if "proposal" not in known or ("reason" in known and not stopped):
            return
        self._take(trial.number, known["proposal"])
        if trial.state is TrialState.FAIL:
            return
        self._halve(trial, known["outcome"]["curve"])
        if stopped:
            self.stopped_early += 1
        else:
            self._count(trial.values[0])

    def _halve(self, trial: optuna.Trial | FrozenTrial, curve: list[dict[str, float]]) -> None:
        """Tells the rungs how far a student has come."""
        proposal = trial.user_attrs["proposal"]
        self._halving.remember(trial.number, proposal["cost"]["deployed"], curve, ranked=proposal["design"] is None)

    @property
    def _missing(self) -> int:
        """How many students must yet be proposed."""
        return max(self._search.trials - self.taught - self.in_flight - len(self._adopted), 0)

    def _choice(self) -> int | None:
        """The paused student that may go on now."""
        return self._halving.choice(last=not (self._missing or self._in_flight or self._adopted))

    def _taken_up(self, number: int) -> Candidate:
        """A paused student, handed out again."""
        trial = self._paused.pop(number)
        self._halving.go_on(number)
        trial.set_user_attr("progress", trial.user_attrs["progress"] | {"paused": False})
        self._in_flight[number] = trial
        architecture = Architecture.from_json(trial.user_attrs["proposal"]["architecture"])
        return Candidate(number, architecture, cost(architecture, self._budget))

    def _stop(self, trial: optuna.Trial, stay: Stay) -> None:
        trial.set_user_attr("outcome", trial.user_attrs["progress"]["outcome"])
        trial.set_user_attr("detail", str(stay))
        trial.set_user_attr("reason", "stopped_early")  # the last: whoever finds it has the others, see `_remember`
        self._study.tell(trial.number, state=TrialState.PRUNED)
        self.stopped_early += 1

    def _take(self, number: int, proposal: dict[str, Any]) -> None:
        """Keeps an architecture from being trained again, and its siblings from being taken for something new."""
        self._taken[proposal["identity"]] = number
        if "deployed_identity" in proposal:  # records of before siblings were known have none
            self._deployed.setdefault(proposal["deployed_identity"], number)

    def _count(self, accuracy: float) -> None:
        self._failures.clear()
        self.complete += 1
        self.best_accuracy = max(self.best_accuracy, accuracy)

    def _proposals(self) -> Iterator[optuna.Trial]:
        while self._adopted:
            trial = self._adopted.popleft()
            self._study.sampler = self._samplers.of(trial.number)  # for choices that were not written yet
            yield trial
        number = len(self._study.get_trials(deepcopy=False))
        while True:
            self._study.sampler = self._samplers.of(number)
            trial = self._study.ask()
            number = trial.number + 1
            yield trial

    def _enter(self, trial: optuna.Trial) -> Candidate | None:
        """Judges a proposal and records the verdict; the candidate if it passes."""
        try:
            architecture = self._space.decode(self._drawn(trial))
        except NasError as error:
            self._tell_failed(trial, str(error))  # or every later driver would adopt it
            raise
        verdict = judge(architecture, self._budget, self._taken)
        self._record(trial, architecture, verdict)
        if verdict.reason is not None:
            self._refuse(trial, verdict)
            return None
        self._take(trial.number, trial.user_attrs["proposal"])
        self._in_flight[trial.number] = trial
        return Candidate(trial.number, architecture, verdict.cost)

    def _drawn(self, trial: optuna.Trial) -> dict[str, Value]:
        """A value for every choice; those that the trial has already, from an earlier driver, stay as they are."""
        return {label: _suggest(trial, label, spread) for label, spread in self._distributions.items()}

    def _record(self, trial: optuna.Trial, architecture: Architecture, verdict: Verdict) -> None:
        if "proposal" not in trial.user_attrs:
            deployed = verdict.cost.deployed
            # log2(cost / limit): at most 0 where the limit holds, and equal factors over different limits weigh alike.
            for name, limit in self._budget.limits.items():
                trial.set_constraint(name, math.log2(getattr(deployed, name) / limit))
            proposal = {
                "architecture": architecture.to_json(),
                "identity": architecture.identity,
                "deployed_identity": verdict.deployed_identity,
                "sibling_of": self._deployed.get(verdict.deployed_identity),
                "design": name_of(architecture),
                "cost": verdict.cost.to_json(),
            }
            if isinstance(self._study.sampler, Screens) and proposal["design"] is None:
                proposal["screening"] = asdict(self._study.sampler.screening)
            trial.set_user_attr("proposal", proposal)
        if verdict.reason is not None:
            trial.set_user_attr("reason", verdict.reason)
            trial.set_user_attr("detail", verdict.detail)

    def _refuse(self, trial: optuna.Trial, verdict: Verdict) -> None:
        """PRUNED, but COMPLETE with accuracy 0 for samplers that learn from values only. Of a repeat they know them."""
        if self._samplers.needs_values and verdict.reason == "over_budget":
            deployed = verdict.cost.deployed
            self._study.tell(trial.number, [0.0, deployed.weight_bytes, deployed.macs])
        else:
            self._study.tell(trial.number, state=TrialState.PRUNED)

    def _tell_failed(self, trial: optuna.Trial, error: str) -> None:
        self._halving.forget(trial.number)
        trial.set_user_attr("outcome", {"error": error})
        trial.set_user_attr("detail", error)
        self._study.tell(trial.number, state=TrialState.FAIL)


def _so_far(curve: list[dict[str, float]]) -> dict[str, Any]:
    """The outcome of a training that is not at its end."""
    last = curve[-1]
    return {
        "accuracy": last["accuracy"],
        "log_loss": last["log_loss"],
        "curve": curve,
        "seconds": sum(point["seconds"] for point in curve),
        "epochs": last["epoch"],
    }


def _suggest(trial: optuna.Trial, label: str, spread: BaseDistribution) -> Value:
    if isinstance(spread, IntDistribution):
        return trial.suggest_int(label, spread.low, spread.high, step=spread.step)
    if isinstance(spread, CategoricalDistribution):
        value: Any = trial.suggest_categorical(label, spread.choices)
        return cast(Value, value)
    raise TypeError(f"choice {label!r} has a distribution of an unknown kind: {type(spread).__name__}")
