"""What Tune reports becomes what the book records, whatever goes wrong, and an error of ours ends the search aloud."""

import io
import json
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from rich.console import Console

from nas.display import Display
from nas.halving import Halving
from nas.scheduler import BookScheduler
from nas.searcher import BookSearcher
from nas.study_file import SearchSection
from nas.trial_book import TrialBook
from nas.worker import Blame
from search_spaces.budget import Budget
from search_spaces.errors import NasError
from search_spaces.spaces import open_space
from studies.hypervolume import Scale
from studies.storage import DIRECTIONS

POINT = {"epoch": 1, "loss": 2.0, "accuracy": 0.25, "log_loss": 1.5, "seconds": 2.0}
OUTCOME = {"accuracy": 0.5, "log_loss": 1.0, "seconds": 1.0, "epochs": 2, "curve": [POINT, POINT | {"epoch": 2}]}
RESULT = {"done": True, "outcome": json.dumps(OUTCOME)}
EPOCH = {"done": True, "epoch": 1, "accuracy": 0.25, "loss": 2.0, "curve": json.dumps([POINT])}
"""As Tune hands it over when the scheduler ends the trial: it sets `done`."""
SCALE = Scale(0.1, 250_000, 8_000_000)


class Bench:
    """A searcher over a book in memory, with room for two students."""

    def __init__(self, rung: int | None = None) -> None:
        self.study = optuna.create_study(directions=DIRECTIONS)
        search = SearchSection(trials=2, sampler="random", known_designs=(), attempts=2)
        budget = Budget(250_000, 8_000_000)
        space = open_space("joint", [64], [33])
        self.book = TrialBook(self.study, space, budget, search, 0, Halving({rung: 2} if rung else {}, SCALE))
        display = Display(Console(file=io.StringIO()))
        display.searching(wanted=2, epochs=1)
        self.searcher = BookSearcher(self.book, lambda candidate: {"number": candidate.number}, display)
        self.scheduler = BookScheduler(self.searcher)

    def decides(self, tune_id: str, result: dict[str, Any]) -> str:
        """What the scheduler says after an epoch."""
        return self.scheduler.on_trial_result(None, SimpleNamespace(trial_id=tune_id), result)

    def states(self) -> list[TrialState]:
        return [t.state for t in self.study.trials if t.state is not TrialState.PRUNED]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def end(bench: Bench, tune_id: str, result: dict[str, Any] | None, *, error: bool = False) -> None:
    bench.searcher.on_trial_complete(tune_id, result, error=error)


def test_the_search_waits_for_what_is_in_flight_and_then_ends(bench: Bench) -> None:
    first, second = bench.searcher.suggest("a"), bench.searcher.suggest("b")
    assert first["number"] != second["number"]
    assert bench.searcher.suggest("c") is None
    end(bench, "a", RESULT)
    end(bench, "b", RESULT)
    assert bench.searcher.suggest("c") == Searcher.FINISHED
    assert bench.states() == [TrialState.COMPLETE] * 2


def test_a_completion_reported_twice_counts_once(bench: Bench) -> None:
    bench.searcher.suggest("a")
    end(bench, "a", RESULT)
    end(bench, "a", None, error=True)
    assert bench.states() == [TrialState.COMPLETE]


def test_a_student_that_fails_by_itself_fails_and_the_search_goes_on(bench: Bench) -> None:
    bench.searcher.suggest("a")
    end(bench, "a", {"done": True, "blame": Blame.STUDENT, "error": "the loss is nan"})
    assert bench.study.trials[-1].user_attrs["detail"] == "the loss is nan"
    assert bench.states() == [TrialState.FAIL]
    assert isinstance(bench.searcher.suggest("b"), dict)


@pytest.mark.parametrize("result", [None, {"done": True, "blame": Blame.UNKNOWN, "error": "RuntimeError: odd"}])
def test_an_unknown_end_is_tried_again_under_its_number_and_then_given_up(bench: Bench, result) -> None:
    number = bench.searcher.suggest("a")["number"]
    end(bench, "a", result, error=result is None)
    assert bench.states() == [TrialState.RUNNING]
    assert bench.searcher.suggest("b")["number"] == number
    end(bench, "b", result, error=result is None)
    assert bench.study.trials[number].state is TrialState.FAIL
    assert "it was tried 2 times" in bench.study.trials[number].user_attrs["detail"]


def test_a_full_disk_ends_the_search_aloud_and_keeps_the_trial_for_the_next_driver(bench: Bench) -> None:
    bench.searcher.suggest("a")
    end(bench, "a", {"done": True, "blame": Blame.SURROUNDINGS, "error": "the disk is full"})
    with pytest.raises(NasError, match="cannot be trained: the disk is full"):
        bench.searcher.suggest("b")
    assert bench.states() == [TrialState.RUNNING]


def test_a_database_that_fails_once_ends_the_search_aloud(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("gone")

    bench.searcher.suggest("a")
    monkeypatch.setattr(bench.study, "tell", fails)
    end(bench, "a", RESULT)
    monkeypatch.undo()
    with pytest.raises(OSError, match="gone"):
        bench.searcher.suggest("b")
    assert bench.states() == [TrialState.RUNNING]


def test_a_student_carries_on_between_the_rungs(bench: Bench) -> None:
    bench.searcher.suggest("a")
    assert bench.decides("a", EPOCH) == TrialScheduler.CONTINUE
    end(bench, "a", RESULT)
    assert bench.states() == [TrialState.COMPLETE]


def test_a_student_that_waits_is_recorded_once_and_goes_on_when_it_is_its_turn() -> None:
    bench = Bench(rung=1)
    number = bench.searcher.suggest("a")["number"]
    assert bench.decides("a", EPOCH) == TrialScheduler.STOP
    for result, error in ((EPOCH, False), (None, True), (RESULT, False)):
        end(bench, "a", result, error=error)
    trial = bench.study.trials[number]
    assert trial.state is TrialState.RUNNING
    assert trial.user_attrs["progress"]["paused"] is True
    assert trial.user_attrs["progress"]["outcome"]["curve"] == [POINT]
    other = bench.searcher.suggest("b")["number"]
    worse = {**POINT, "accuracy": 0.11}
    assert bench.decides("b", EPOCH | {"curve": json.dumps([worse])}) == TrialScheduler.STOP
    end(bench, "b", EPOCH | {"curve": json.dumps([worse])})
    assert bench.searcher.suggest("c")["number"] == number
    assert bench.study.trials[number].user_attrs["progress"]["paused"] is False
    assert bench.searcher.suggest("d") is None
    end(bench, "c", RESULT)
    assert bench.searcher.suggest("d") == Searcher.FINISHED
    assert bench.book.finish() == [other]
    assert bench.states() == [TrialState.COMPLETE]


def test_a_student_that_is_worth_more_than_those_that_wait_never_pauses() -> None:
    bench = Bench(rung=1)
    for tune_id, accuracy in (("a", 0.2), ("b", 0.9)):
        bench.searcher.suggest(tune_id)
        told = EPOCH | {"curve": json.dumps([POINT | {"accuracy": accuracy}])}
        decision = bench.decides(tune_id, told)
        if tune_id == "a":
            end(bench, "a", told)
    assert decision == TrialScheduler.CONTINUE


def test_a_worker_that_dies_after_an_epoch_did_not_pause(bench: Bench) -> None:
    """Its trial ends as that of a student that pauses does, with the result of an epoch; but nobody let it wait."""
    number = bench.searcher.suggest("a")["number"]
    bench.decides("a", EPOCH)
    end(bench, "a", EPOCH)
    assert bench.states() == [TrialState.RUNNING]
    assert "progress" not in bench.study.trials[number].user_attrs
    assert bench.searcher.suggest("b")["number"] == number


def test_a_database_that_fails_while_a_pause_is_recorded_ends_the_search_and_the_student_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("gone")

    bench = Bench(rung=1)
    bench.searcher.suggest("a")
    bench.decides("a", EPOCH)
    monkeypatch.setattr(optuna.Trial, "set_user_attr", fails)
    end(bench, "a", EPOCH)
    monkeypatch.undo()
    with pytest.raises(OSError, match="gone"):
        bench.searcher.suggest("b")
    assert bench.states() == [TrialState.RUNNING]
