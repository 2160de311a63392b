"""Between Ray Tune and the trial book: Tune asks for work and reports results, the book owns identity and truth."""

import json
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from nas.display import Display
from nas.trial_book import Candidate, TrialBook
from nas.worker import Blame
from search_spaces.errors import NasError


class BookSearcher(Searcher):
    """Hands candidates of a trial book to Tune, and what became of them back.

    Tune swallows errors of a searcher's callbacks and repeats the call; therefore the first one is kept in `failure`
    and ends the search at the next `suggest`.

    Args:
        job: The configuration of a worker for a candidate.
    """

    def __init__(
        self,
        book: TrialBook,
        job: Callable[[Candidate], dict[str, Any]],
        display: Display,
    ) -> None:
        super().__init__()  # without a metric: Tune would refuse a result that has an error in its place
        self._book = book
        self._job = job
        self._display = display
        self._numbers: dict[str, int] = {}
        self._pausing: set[str] = set()
        self.failure: Exception | None = None

    def suggest(self, trial_id: str) -> Any:
        """The configuration of the next candidate; None while others must come in first; FINISHED at the end."""
        if self.failure is not None:
            raise self.failure
        if self._book.wanted == 0:
            return None if self._book.in_flight else str(Searcher.FINISHED)
        try:
            candidate = self._book.next()
        except Exception as error:
            self.failure = error
            raise
        self._numbers[trial_id] = candidate.number
        self._display.started(candidate)
        return self._job(candidate)

    def pauses(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether a student must pause after the epoch of this result; Tune then completes its trial with it."""
        pauses = self._book.reached(self._numbers[trial_id], json.loads(result["curve"]))
        if pauses:
            self._pausing.add(trial_id)
        return pauses

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if "epoch" in result:
            number = self._numbers[trial_id]
            self._display.taught(number, int(result["epoch"]), float(result["accuracy"]))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        try:
            self._settle(trial_id, result or {}, died=error)
        except Exception as failure:  # noqa: BLE001 - Tune would hide it; `suggest` raises it
            self.failure = self.failure or failure
        self._display.so_far(self._book.taught, self._book.best_accuracy)

    def _settle(self, trial_id: str, result: dict[str, Any], *, died: bool) -> None:
        number = self._numbers.pop(trial_id, None)
        if number is None:
            return
        if "outcome" in result:
            outcome = json.loads(result["outcome"])
            self._book.completed(number, outcome)
            self._display.completed(number, outcome)
            return
        if trial_id in self._pausing:
            self._pausing.discard(trial_id)
            self._book.paused(number, json.loads(result["curve"]))
            self._display.paused(number, int(result["epoch"]), float(result["accuracy"]))
            return
        error = "its worker died" if died else str(result.get("error", "its worker stopped without a result"))
        blame = result.get("blame", Blame.UNKNOWN)
        if blame == Blame.STUDENT:
            self._book.failed(number, error)
            self._display.failed(number, error)
        elif blame == Blame.SURROUNDINGS:
            raise NasError(f"trial {number} cannot be trained: {error}")
        else:
            self._display.lost(number, error, again=self._book.lost(number, error))

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the file that Tune pickles of itself and nobody reads: a connection stays where it is."""
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> "BookSearcher":
        """Itself: Tune copies its settings, and there is one book."""
        return self

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the SQL study is the only truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was saved."""
