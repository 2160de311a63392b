"""The Ray worker: teaches one candidate after another, an epoch a step; it knows its driver, not the database."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

from ray.tune import Trainable

from search_spaces.errors import NasError
from trainers.evaluation import ScoreError
from trainers.students import Lesson, Student, finished_outcome
from trainers.training import TrainingFailed


class Blame(StrEnum):
    """What is to blame for an error, and so what follows from it."""

    STUDENT = "student"
    """The training itself: it would go wrong again, the trial has failed."""

    SURROUNDINGS = "surroundings"
    """A full disk, a missing cache: the next student would meet it too, the search stops and keeps the trial."""

    UNKNOWN = "unknown"
    """Anything else, like a worker that died: the trial is tried again from its last epoch, a few times."""


class StudentWorker(Trainable):
    """Configuration: `lesson` (a `Lesson` as JSON text) and `folder` (where the finished student goes).

    Each result has `done`, and either `epoch`, `accuracy` and `loss`, or `error` (what went wrong, in words) and
    `blame`. The last result of a student has `outcome`, those before it have `curve`, up to here, both as JSON text.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self._lesson = Lesson.from_json(json.loads(config["lesson"]))
        self._folder = Path(config["folder"])
        self._student: Student | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Lets Tune hand this process another candidate: starting one costs a second, importing torch again."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        try:
            outcome = self._next()
        except (TrainingFailed, ScoreError) as error:
            return _ended(Blame.STUDENT, str(error))
        except (NasError, OSError) as error:
            return _ended(Blame.SURROUNDINGS, str(error))
        except Exception as error:  # noqa: BLE001 - Tune would only say that something ended, not what
            return _ended(Blame.UNKNOWN, f"{type(error).__name__}: {error}")
        if outcome is not None:
            last = outcome["curve"][-1]
            return {"done": True, **_shown(last), "outcome": json.dumps(outcome, allow_nan=False)}
        if self._student is None:
            raise RuntimeError("a student without an outcome must exist")
        curve = self._student.curve
        return {"done": False, **_shown(curve[-1]), "curve": json.dumps(curve, allow_nan=False)}

    def _next(self) -> dict[str, Any] | None:
        if self._student is None:
            earlier = finished_outcome(self._lesson, self._folder)
            if earlier is not None:
                return earlier
            self._student = Student(self._lesson, self._folder)
        return self._student.epoch()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: a student leaves its own in its folder after each epoch, and the next worker carries on from it."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing: see `save_checkpoint`."""


def _ended(blame: Blame, error: str) -> dict[str, Any]:
    return {"done": True, "blame": blame.value, "error": " ".join(error.split())}


def _shown(point: dict[str, float]) -> dict[str, float]:
    return {name: point[name] for name in ("epoch", "accuracy", "loss")}
