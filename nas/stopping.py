"""When a student is stopped early: when enough others, no dearer in bytes and MACs, lead it by a margin at a rung."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

REDUCTION = 3
"""From one rung to the next; successive halving is used with 3 or 4 (Li et al. 2020)."""

MARGIN_GROWTH = 2.5
"""From one rung to the one before it, as accuracies say less there; chosen by `benchmarks/early_stopping.py`."""


@dataclass(frozen=True, slots=True)
class Lead:
    """Why a student is stopped.

    Attributes:
        epoch: The rung.
        leaders: Numbers of as many students as it takes that lead it there, those that do by most; ascending.
        margin: By more than how much they lead.
    """

    epoch: int
    leaders: tuple[int, ...]
    margin: float

    def __str__(self) -> str:
        *others, last = map(str, self.leaders)
        trials = f"trials {', '.join(others)} and {last}" if others else f"trial {last}"
        return f"at epoch {self.epoch} {trials}, no dearer, led by more than {self.margin:g}"


@dataclass(frozen=True, slots=True)
class _Reached:
    weight_bytes: int
    macs: int
    accuracy: float


def usual_rungs(epochs: int) -> tuple[int, ...]:
    """A third of a training, a ninth and so on down to its first epoch, in whole epochs; ascending."""
    rungs: list[int] = []
    while (epoch := round(epochs / REDUCTION ** (len(rungs) + 1))) >= 1:
        rungs.append(epoch)
    return tuple(reversed(rungs))


class Stopping:
    """The rule, with the accuracy of each student at each rung.

    A student is compared with those alone that cost no more than it in both ways. So the fewer bytes and MACs it has,
    the fewer can stop it, and none that is on the Pareto front of a rung is stopped there.

    Args:
        rungs: Epochs at which students are compared; without any, nobody is stopped.
        leaders: How many must lead a student at the last rung; at those before it, one more.
        margin: By more than how much they must lead at the last rung, in accuracy, in [0, 1]; before it, by more.
    """

    def __init__(self, rungs: Iterable[int] = (), *, leaders: int = 1, margin: float = 0.0) -> None:
        self._rungs: dict[int, dict[int, _Reached]] = {epoch: {} for epoch in sorted(rungs, reverse=True)}
        self._needed = {epoch: leaders + (place > 0) for place, epoch in enumerate(self._rungs)}
        self._margins = {epoch: margin * MARGIN_GROWTH**place for place, epoch in enumerate(self._rungs)}

    def remember(self, number: int, costs: Mapping[str, Any], curve: Sequence[Mapping[str, float]]) -> None:
        """Takes up what a student reached at the rungs of its curve, in place of all that was known of it.

        Args:
            costs: `weight_bytes` and `macs`, as deployed.
            curve: Points with `epoch` and `accuracy`.
        """
        self.forget(number)
        for point in curve:
            students = self._rungs.get(int(point["epoch"]))
            if students is not None:
                students[number] = _Reached(costs["weight_bytes"], costs["macs"], point["accuracy"])

    def forget(self, number: int) -> None:
        """Drops a student: one whose training went wrong is nobody's measure."""
        for students in self._rungs.values():
            students.pop(number, None)

    def judge(self, number: int) -> Lead | None:
        """Whether a student must stop: by whom it is led at the last rung that it has reached, if they are enough."""
        for epoch, students in self._rungs.items():  # the last one first
            if number in students:
                return self._lead(epoch, students, number)
        return None

    def _lead(self, epoch: int, students: Mapping[int, _Reached], number: int) -> Lead | None:
        mine, margin, needed = students[number], self._margins[epoch], self._needed[epoch]
        ahead = {
            other: reached.accuracy
            for other, reached in students.items()
            if reached.weight_bytes <= mine.weight_bytes
            and reached.macs <= mine.macs
            and reached.accuracy > mine.accuracy + margin
        }
        if len(ahead) < needed:
            return None
        furthest = sorted(ahead, key=lambda other: (-ahead[other], other))[:needed]
        return Lead(epoch, tuple(sorted(furthest)), margin)
