"""Which students are taught further: successive halving by what each is expected to be worth.

At every rung, a few chosen epochs, a student pauses. Of those that have come so far a share goes on, always the one
that is expected to add most to the front of those that went on before it (`nas.worth`); the others wait, and may go on
later, when more have come and they are still the best. So a small student need not be as accurate as a large one, only
worth something beside it. Asynchronous successive halving (Li et al. 2020, algorithm 2) has the same rungs, but ranks
by one number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nas.worth import Worth
from studies.hypervolume import Scale

_BETWEEN_RUNGS = 3
"""Epochs of a rung, over those of the rung before it."""

_UNSURE = 0.5
"""How far an accuracy at a rung may be from what it will turn out to be worth, as a share of the spread of the
accuracies there; at half and at twice of it `benchmarks/early_stopping.py` found no difference."""


def thirds(epochs: int) -> tuple[int, ...]:
    """A third of a training, a ninth and so on down to its first epoch, in whole epochs; ascending."""
    found: list[int] = []
    while (epoch := round(epochs / _BETWEEN_RUNGS ** (len(found) + 1))) >= 1:
        found.append(epoch)
    return tuple(reversed(found))


def usual_rungs(epochs: int, *, blind: bool) -> dict[int, int]:
    """The rungs of a training, and one student in how many goes on from each.

    Epochs are the `thirds`. An accuracy after the first epoch says next to nothing (of 800 real trainings it agreed in
    rank with the last by 0.10), but where proposals are blind the costs alone choose well, for the price of an epoch:
    such students pause there too, and one in three goes on. Where proposals are chosen by their costs already,
    students pause after a ninth and a third. Compared in `benchmarks/early_stopping.py` and `benchmarks/searches.py`.

    Args:
        epochs: Of the whole training.
        blind: Whether proposals take no account of what each would be worth.
    """
    if blind:
        return {epoch: 3 if epoch == 1 else 2 for epoch in thirds(epochs)}
    return {epoch: 2 for epoch in thirds(epochs)[-2:] if epoch > 1}


@dataclass(frozen=True, slots=True)
class Stay:
    """Why a student is taught no further.

    Attributes:
        epoch: The rung at which it waited.
        reached: How many students came so far.
        gone_on: How many of them were taught further, each worth more beside the others.
    """

    epoch: int
    reached: int
    gone_on: int

    def __str__(self) -> str:
        return f"at epoch {self.epoch}, from where {self.gone_on:,} of {self.reached:,} students went on"


@dataclass
class _Rung:
    """Gains of the students that reached a rung, by their numbers, and what became of them; of `reduction` of them one
    goes on."""

    reduction: int
    gains: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    gone_on: set[int] = field(default_factory=set)
    paused: set[int] = field(default_factory=set)


class Halving:
    """The students of a study at its rungs.

    An accuracy at a rung is the best one up to there: from one epoch to the next it jumps by more than good students
    differ, and of 909 real trainings the best up to a third agreed in rank with the last by 0.75, the latest by 0.64.

    Args:
        rungs: Epochs, and one student in how many goes on from each, at least 2; without any, nobody pauses.
        scale: Of the study.
    """

    def __init__(self, rungs: Mapping[int, int], scale: Scale) -> None:
        self._rungs = {epoch: _Rung(rungs[epoch]) for epoch in sorted(rungs)}
        self._scale = scale
        self._ranked: set[int] = set()

    def remember(
        self, number: int, costs: Mapping[str, Any], curve: Sequence[Mapping[str, float]], *, ranked: bool = True
    ) -> None:
        """Takes up how far a student has come, in place of all that was known of it.

        Args:
            costs: `weight_bytes` and `macs`, as deployed.
            curve: Points with `epoch` and `accuracy`.
            ranked: Whether it goes on only if it is worth it. Others are taught to the end, and the ranked ones are
                measured by them too.
        """
        self.forget(number)
        if ranked:
            self._ranked.add(number)
        saved = self._scale.saved(np.array([costs["weight_bytes"]]), np.array([costs["macs"]]))[0]
        last = max((int(point["epoch"]) for point in curve), default=0)
        for epoch, rung in self._rungs.items():
            if epoch <= last:
                best = max(point["accuracy"] for point in curve if point["epoch"] <= epoch)
                accuracy = self._scale.learned(np.array([best]))[0]
                rung.gains[number] = (float(accuracy), float(saved[0]), float(saved[1]))
            if epoch < last:
                rung.gone_on.add(number)

    def forget(self, number: int) -> None:
        """Drops a student: one whose training went wrong is nobody's measure."""
        self._ranked.discard(number)
        for rung in self._rungs.values():
            rung.gains.pop(number, None)
            rung.gone_on.discard(number)
            rung.paused.discard(number)

    def is_rung(self, epoch: int) -> bool:
        """Whether students pause after that epoch."""
        return epoch in self._rungs

    def pause(self, number: int) -> None:
        """Lets a student wait at the rung that it has reached."""
        self._rungs[self._at(number)].paused.add(number)

    def go_on(self, number: int) -> None:
        """Takes note that a student is taught beyond the rung that it has reached."""
        rung = self._rungs[self._at(number)]
        rung.paused.discard(number)
        rung.gone_on.add(number)

    def stay(self, number: int) -> Stay:
        """The rung beyond which a student is not taught."""
        epoch = self._at(number)
        ranked = self._ranked & self._rungs[epoch].gains.keys()
        return Stay(epoch, len(ranked), len(ranked & self._rungs[epoch].gone_on))

    def _at(self, number: int) -> int:
        """The furthest rung that a student has reached."""
        return max(epoch for epoch, rung in self._rungs.items() if number in rung.gains)

    def choice(self, *, last: bool = False) -> int | None:
        """Which of the waiting students may go on: of the furthest rung that has one, the one worth most.

        Args:
            last: Whether nobody else will come. Then of the last few, too few for a whole share, one goes on.
        """
        for rung in reversed(self._rungs.values()):
            ranked = self._ranked & rung.gains.keys()
            allowed = -(-len(ranked) // rung.reduction) if last else len(ranked) // rung.reduction
            if rung.paused and len(ranked & rung.gone_on) < allowed:
                return self._best(rung)
        return None

    def _best(self, rung: _Rung) -> int:
        waiting = sorted(rung.paused)
        gains = np.array([rung.gains[number] for number in waiting])
        spread = float(np.std([accuracy for accuracy, _, _ in rung.gains.values()]))
        ahead = np.array([rung.gains[number] for number in sorted(rung.gone_on)]).reshape(-1, 3)
        unsure = np.full(len(waiting), max(_UNSURE * spread, 1e-3))
        worth = Worth(ahead).expected(gains[:, 0], unsure, gains[:, 1:])
        return waiting[int(worth.argmax())]
