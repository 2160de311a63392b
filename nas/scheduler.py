"""The Ray Tune scheduler of a search: first come, first served, and a student pauses where the trial book says so."""

from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from nas.searcher import BookSearcher


class BookScheduler(FIFOScheduler):
    """Lets students pause.

    Tune asks a scheduler after each epoch but a student's last. Its own ones compare all students by one metric, and so
    stop the small ones first. To Tune a student that pauses is done: the book keeps it, its folder has what it needs to
    go on, and when it does it is a trial of Tune's like any other.

    Args:
        searcher: Of the same search; it knows the students behind Tune's trials.
    """

    def __init__(self, searcher: BookSearcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        pauses = self._searcher.pauses(trial.trial_id, result)
        return str(TrialScheduler.STOP if pauses else TrialScheduler.CONTINUE)
