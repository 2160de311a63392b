"""What a sampler may learn from the trials of a study: architectures, their accuracies, what is still in training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.gate import REFUSALS
from search_spaces.errors import InputError
from search_spaces.space import Digits
from search_spaces.staged import StagedSpace
from studies.records import is_paused, outcome_of

_DECIDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class Record:
    """One trial with a value for every choice.

    Attributes:
        digits: (choices,) index of the value of each.
        identity: Of its architecture.
        running: Whether it is in training now; not while it waits at a rung.
        accuracy: At the end of its training; None if it has none.
        curve: Epoch and accuracy at each epoch that was judged.
        epochs: So many it was trained for.
    """

    number: int
    digits: npt.NDArray[np.int16]
    identity: str
    running: bool = False
    accuracy: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    epochs: int = 0

    @property
    def taught(self) -> bool:
        """Whether anything is known of its accuracy."""
        return self.accuracy is not None or bool(self.curve)


class Records:
    """The records of one study, each finished trial read once.

    Args:
        space: Trials whose parameters are not its choices are passed over.
    """

    def __init__(self, space: StagedSpace) -> None:
        self._space = space
        self._indices = [(c.label, {value: i for i, value in enumerate(c.values)}) for c in space.choices]
        self._finished: dict[int, Record | None] = {}

    def before(self, study: Study, number: int) -> list[Record]:
        """The records of all trials but the one of that number, in their order."""
        found = (self._record(trial) for trial in study.get_trials(deepcopy=False) if trial.number != number)
        return [record for record in found if record is not None]

    def _record(self, trial: FrozenTrial) -> Record | None:
        if trial.state not in _DECIDED:
            return self._read(trial)
        if trial.number not in self._finished:
            self._finished[trial.number] = self._read(trial)
        return self._finished[trial.number]

    def _read(self, trial: FrozenTrial) -> Record | None:
        try:
            digits = [index[trial.params[label]] for label, index in self._indices]
        except KeyError:  # not all choices are written yet, or it is of another space
            return None
        attributes = trial.user_attrs
        proposal = attributes.get("proposal")
        try:
            identity = proposal["identity"] if proposal else self._space.decode(trial.params).identity
        except InputError:  # choices that make no network
            return None
        outcome = outcome_of(attributes)
        refused = attributes.get("reason") in REFUSALS
        accuracy = trial.values[0] if trial.state is TrialState.COMPLETE and not refused else math.nan
        return Record(
            number=trial.number,
            digits=np.array(digits, dtype=np.int16),
            identity=identity,
            running=trial.state is TrialState.RUNNING and not is_paused(attributes),
            accuracy=accuracy if math.isfinite(accuracy) else None,
            curve=tuple((int(point["epoch"]), float(point["accuracy"])) for point in outcome.get("curve", ())),
            epochs=int(outcome.get("epochs", 0)),
        )


def digits_of(records: Sequence[Record], choices: int) -> Digits:
    """(choices, records)."""
    return np.array([record.digits for record in records], dtype=np.int16).reshape(-1, choices).T
