"""The life of a candidate: refused ones never leave the book, finished ones are never lost or repeated."""

from functools import partial
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from nas.halving import Halving
from nas.samplers import Samplers, distributions
from nas.study_file import SearchSection
from nas.trial_book import SearchExhausted, TrialBook
from search_spaces.architecture import Architecture
from search_spaces.budget import Budget
from search_spaces.errors import NasError
from search_spaces.feasible import FeasibleDraws
from search_spaces.spaces import open_space
from studies.hypervolume import Scale
from studies.records import read_trials
from studies.storage import DIRECTIONS, create_study, open_storage, open_study

SPACE = open_space("joint", [64], [33])
BUDGET = Budget(weight_bytes=250_000, macs=8_000_000)  # 29 % of uniform draws fit
OUTCOME = {"accuracy": 0.5, "log_loss": 1.5, "curve": [], "seconds": 1.0, "epochs": 1}
COSTS = ("weight_bytes", "macs")


def curve(*accuracies: float) -> list[dict[str, float]]:
    return [
        {"epoch": epoch, "loss": 1.0, "accuracy": accuracy, "log_loss": 1.5, "seconds": 2.0}
        for epoch, accuracy in enumerate(accuracies, 1)
    ]


class Shelf:
    """One database, opened by one driver after another."""

    budget = BUDGET

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'studies.db'}"
        create_study(open_storage(self.url), "s")

    def study(self) -> optuna.Study:
        return open_study(open_storage(self.url), "s")

    def book(self, **search: object) -> TrialBook:
        settings = {"trials": 6, "sampler": "random", "known_designs": ()} | search
        halving = Halving({2: 2}, Scale(0.1, self.budget.weight_bytes, self.budget.macs))
        return TrialBook(self.study(), SPACE, self.budget, SearchSection(**settings), seed=11, halving=halving)

    def trials(self, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
        return [t for t in self.study().get_trials() if not states or t.state in states]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


class Roomy(Shelf):
    """A database in memory, for a budget that everything fits."""

    budget = Budget(10**9, 10**12)

    def __init__(self) -> None:
        self._study = optuna.create_study(directions=DIRECTIONS)

    def study(self) -> optuna.Study:
        return self._study


@pytest.fixture
def roomy() -> Roomy:
    return Roomy()


def test_refused_proposals_are_pruned_with_reason_cost_and_excess_and_never_handed_out(shelf: Shelf) -> None:
    book = shelf.book()
    handed_out = [book.next() for _ in range(4)]
    assert all(candidate.cost.feasible for candidate in handed_out)
    refused = shelf.trials(TrialState.PRUNED)
    assert refused
    for trial in refused:
        assert trial.user_attrs["reason"] == "over_budget"
        assert "over its limit of" in trial.user_attrs["detail"]
        assert max(trial.constraints.values()) > 0
        assert Architecture.from_json(trial.user_attrs["proposal"]["architecture"]) == SPACE.decode(trial.params)
    for trial in shelf.trials(TrialState.RUNNING):
        assert max(trial.constraints.values()) <= 0
    assert [t.number for t in shelf.trials(TrialState.RUNNING)] == [c.number for c in handed_out]


def test_known_designs_come_first_once_and_only_where_they_fit(shelf: Shelf) -> None:
    designs = ("cp-mobile-2025", "dynacp", "sharif")
    for _ in range(2):
        book = shelf.book(known_designs=designs)
        book.enqueue_known_designs(64, 33)
    numbers = [book.next().number for _ in range(3)]
    assert [shelf.trials()[n].user_attrs["proposal"]["design"] for n in numbers] == list(designs)
    waiting = shelf.trials(TrialState.WAITING)
    assert not waiting


def test_a_design_over_the_budget_is_not_proposed(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    small = Budget(weight_bytes=70_000, macs=5_000_000)
    settings = SearchSection(trials=1, known_designs=("dynacp", "sharif"))
    TrialBook(shelf.study(), SPACE, small, settings, seed=0).enqueue_known_designs(64, 33)
    assert len(shelf.trials(TrialState.WAITING)) == 1


def test_known_designs_are_proposed_at_their_own_input_where_it_is_offered_else_at_the_features(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    space = open_space("joint", [128, 256], [33, 64, 65])
    book = TrialBook(shelf.study(), space, Budget(), SearchSection(trials=3, sampler="random"), seed=0)
    book.enqueue_known_designs(128, 65)
    proposed = [book.next() for _ in range(3)]
    designs = [shelf.trials()[candidate.number].user_attrs["proposal"]["design"] for candidate in proposed]
    shapes = [(c.architecture.input.mels, c.architecture.input.frames) for c in proposed]
    assert dict(zip(designs, shapes, strict=True)) == {
        "cp-mobile-2025": (256, 65),
        "dynacp": (128, 65),  # its own 89 frames are not offered
        "sharif": (256, 64),
    }


def test_a_known_design_for_which_no_input_is_offered_is_told(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    shelf.book(known_designs=("dynacp",)).enqueue_known_designs(64, 65)
    assert "the known design dynacp is not proposed: " in caplog.text
    assert not shelf.trials(TrialState.WAITING)


def test_a_completed_candidate_has_its_values_and_its_outcome(shelf: Shelf) -> None:
    book = shelf.book()
    candidate = book.next()
    book.completed(candidate.number, OUTCOME)
    (trial,) = shelf.trials(TrialState.COMPLETE)
    deployed = candidate.cost.deployed
    assert trial.values == [0.5, deployed.weight_bytes, deployed.macs]
    assert trial.user_attrs["outcome"] == OUTCOME
    assert (book.complete, book.in_flight, book.wanted) == (1, 0, 5)


def test_a_result_told_twice_counts_once(shelf: Shelf) -> None:
    book = shelf.book()
    candidate = book.next()
    for _ in range(2):
        book.completed(candidate.number, OUTCOME)
    book.failed(candidate.number, "late")
    assert not book.lost(candidate.number, "late")
    assert [t.state for t in shelf.trials(TrialState.COMPLETE, TrialState.FAIL)] == [TrialState.COMPLETE]


@pytest.mark.parametrize("accuracy", [float("nan"), float("inf")])
def test_an_accuracy_that_is_no_number_is_a_failure(shelf: Shelf, accuracy: float) -> None:
    book = shelf.book()
    book.completed(book.next().number, OUTCOME | {"accuracy": accuracy})
    (trial,) = shelf.trials(TrialState.FAIL)
    assert "the accuracy is" in trial.user_attrs["detail"]
    assert book.complete == 0


def test_the_next_driver_adopts_what_was_in_flight_and_keeps_what_was_finished(shelf: Shelf) -> None:
    first = shelf.book()
    done, left, other = (first.next() for _ in range(3))
    first.completed(done.number, OUTCOME)
    second = shelf.book()  # the first one was killed
    assert (second.complete, second.wanted) == (1, 5)
    adopted = [second.next(), second.next()]
    assert [(c.number, c.architecture) for c in adopted] == [(c.number, c.architecture) for c in (left, other)]
    for candidate in adopted:
        second.completed(candidate.number, OUTCOME)
    assert not shelf.trials(TrialState.RUNNING)
    numbers = [t.number for t in shelf.trials()]
    assert numbers == list(range(len(numbers)))


def test_what_was_in_flight_is_brought_to_an_end_even_if_fewer_students_are_wanted_now(shelf: Shelf) -> None:
    first = shelf.book(trials=6)
    for _ in range(3):
        first.next()
    second = shelf.book(trials=1)
    while second.wanted:
        second.completed(second.next().number, OUTCOME)
    assert second.complete == 3
    assert not shelf.trials(TrialState.RUNNING)


def test_a_known_design_that_was_cut_off_while_being_written_is_proposed_all_the_same(shelf: Shelf) -> None:
    """The driver is killed between two choices; the design must not be lost, as it is enqueued once only."""
    shelf.book(known_designs=("sharif",)).enqueue_known_designs(64, 33)
    cut = shelf.study().ask(dict(list(distributions(SPACE).items())[:7]))
    book = shelf.book(known_designs=("sharif",))
    book.enqueue_known_designs(64, 33)
    candidate = book.next()
    assert candidate.number == cut.number
    assert shelf.trials()[cut.number].user_attrs["proposal"]["design"] == "sharif"


@pytest.mark.parametrize("sampler", ["random", "tpe", "feasible", "cost-aware"])
def test_a_proposal_that_was_cut_off_while_being_written_is_finished_under_its_number(shelf: Shelf, sampler) -> None:
    cut = shelf.study().ask(dict(list(distributions(SPACE).items())[:7]))
    book = shelf.book(sampler=sampler)
    book.next()
    (trial,) = [t for t in shelf.trials() if t.number == cut.number]
    assert "proposal" in trial.user_attrs
    assert set(trial.params) == set(distributions(SPACE))
    assert {label: trial.params[label] for label in cut.params} == cut.params
    assert TrialState.FAIL not in [t.state for t in shelf.trials()]


def test_a_proposal_that_was_cut_off_before_the_gate_is_judged_by_the_next_driver(shelf: Shelf) -> None:
    study = shelf.study()
    for _ in range(5):
        study.ask(distributions(SPACE))
    book = shelf.book()
    book.next()
    states = {t.state for t in shelf.trials() if t.number < 5}
    assert states <= {TrialState.PRUNED, TrialState.RUNNING}
    assert all("proposal" in t.user_attrs for t in shelf.trials(TrialState.PRUNED))


def test_no_architecture_is_trained_twice(shelf: Shelf) -> None:
    first = shelf.book()
    candidate = first.next()
    first.completed(candidate.number, OUTCOME)
    study = shelf.study()
    study.enqueue_trial(study.trials[candidate.number].params)
    second = shelf.book()
    second.next()
    (repeat,) = [t for t in shelf.trials(TrialState.PRUNED) if t.user_attrs["reason"] == "repeat"]
    assert repeat.user_attrs["detail"] == f"the same architecture as trial {candidate.number}"


def test_siblings_are_trained_each_and_known_as_such(shelf: Shelf) -> None:
    """The same kernel after folding, once from one branch and once from four."""
    shared = {choice.label: choice.values[0] for choice in SPACE.choices} | {"stage1.kind": "rep-mobile"}
    study = shelf.study()
    for kernels in ("3x3", "1x1+1x3+3x1+3x3", "1x5+3x3+5x1"):
        study.enqueue_trial(shared | {"stage1.kernels": kernels})
    book = shelf.book()
    first, sibling = book.next(), book.next()
    other = shelf.book().next()  # a later driver, which adopts the first one
    assert first.architecture == other.architecture
    again = shelf.book()
    numbers = [again.next().number for _ in range(3)]
    proposals = [shelf.trials()[number].user_attrs["proposal"] for number in numbers]
    assert len({proposal["identity"] for proposal in proposals}) == 3
    assert [proposal["sibling_of"] for proposal in proposals] == [None, first.number, None]
    assert proposals[0]["deployed_identity"] == proposals[1]["deployed_identity"]
    assert sibling.number == numbers[1]


def test_a_worker_that_dies_again_and_again_costs_the_candidate(shelf: Shelf) -> None:
    book = shelf.book(attempts=3)
    candidate = book.next()
    for _ in range(2):
        assert book.lost(candidate.number, "gone")
        assert book.next().number == candidate.number
    assert not book.lost(candidate.number, "gone")
    (trial,) = shelf.trials(TrialState.FAIL)
    assert trial.user_attrs["detail"] == "it was tried 3 times: gone"


def test_a_search_that_finds_nothing_fitting_gives_up_and_says_so(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    search = SearchSection(trials=1, sampler="random", patience=5, known_designs=())
    book = TrialBook(shelf.study(), SPACE, Budget(1, 1), search, seed=0)
    with pytest.raises(SearchExhausted, match="refused 5 proposals in a row"):
        book.next()
    assert len(shelf.trials(TrialState.PRUNED)) == 5


def test_a_search_in_which_every_student_fails_gives_up_and_one_success_forgives(shelf: Shelf) -> None:
    book = shelf.book(trials=100)
    for outcome in ("bad", "bad", "good", "bad", "bad", "bad", "bad", "worst"):
        candidate = book.next()
        if outcome == "good":
            book.completed(candidate.number, OUTCOME)
        else:
            book.failed(candidate.number, outcome)
    with pytest.raises(SearchExhausted, match="the last 5 students all failed, the last one so: worst"):
        book.next()


@pytest.mark.parametrize(("sampler", "least", "most"), [("random", 0, 20), ("tpe", 30, 60)])
def test_tpe_learns_from_refusals(sampler: str, least: int, most: int) -> None:
    """Of 60 proposals after the first 20, in a space of which 18 % of uniform draws fit."""
    study = optuna.create_study(directions=DIRECTIONS)
    tight = Budget(weight_bytes=128_000, macs=5_000_000)
    search = SearchSection(trials=1000, sampler=sampler, known_designs=())
    book = TrialBook(study, SPACE, tight, search, seed=11)
    while len(study.trials) < 80:
        book.completed(book.next().number, OUTCOME)
    passed = [trial.state for trial in study.trials[20:80]].count(TrialState.COMPLETE)
    assert least <= passed <= most


def test_with_the_feasible_sampler_nothing_is_ever_refused_as_over_the_budget(shelf: Shelf) -> None:
    """Thirty proposals where 6 % of uniform draws fit; also those that several drivers left half written."""
    tight = Budget(weight_bytes=40_000, macs=1_500_000)
    search = SearchSection(trials=100, sampler="feasible", known_designs=())
    samplers = Samplers("feasible", 11, SPACE, tight)
    study = shelf.study()
    for number in range(3):
        study.sampler = samplers.of(number)
        study.ask(dict(list(distributions(SPACE).items())[: 10 * (number + 1)]))  # cut off after some choices
    book = TrialBook(study, SPACE, tight, search, seed=11)
    while len(study.get_trials(deepcopy=False)) < 30:
        book.completed(book.next().number, OUTCOME)
    trials = shelf.trials()
    assert [t.number for t in trials if t.user_attrs.get("reason") == "over_budget"] == []
    assert all(max(t.constraints.values()) <= 0 for t in trials)
    assert len(shelf.trials(TrialState.COMPLETE)) >= 25


def test_a_feasible_sampler_that_finds_nothing_ends_the_search_and_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.samplers.feasible.FeasibleDraws", partial(FeasibleDraws, patience=10_000))
    shelf = Shelf(tmp_path)
    search = SearchSection(trials=1, sampler="feasible", known_designs=())
    with pytest.raises(NasError, match="fits the budget"):
        TrialBook(shelf.study(), SPACE, Budget(1, 1), search, seed=0).next()
    assert [trial.state for trial in shelf.trials()] == [TrialState.FAIL]


def paused(book: TrialBook, *accuracies: float) -> int:
    """The number of a new student that came to the rung with these accuracies, and waits."""
    number = book.next().number
    assert book.reached(number, curve(*accuracies))
    book.paused(number, curve(*accuracies))
    return number


def test_a_student_waits_at_a_rung_counts_as_taught_and_goes_on_before_anything_new(shelf: Shelf) -> None:
    book = shelf.book(trials=3)
    first = book.next()
    assert not book.reached(first.number, curve(0.9))
    assert book.reached(first.number, curve(0.9, 0.9))
    assert (book.in_flight, book.wanted) == (1, 2)
    for _ in range(2):
        book.paused(first.number, curve(0.9, 0.9))
    assert (book.taught, book.in_flight, book.wanted) == (1, 0, 2)
    second = paused(book, 0.2, 0.1)
    assert book.wanted == 2  # the third student, and the first again
    again = book.next()
    assert (again.number, again.architecture, again.cost) == (first.number, first.architecture, first.cost)
    assert (book.taught, book.in_flight, book.wanted) == (1, 1, 1)
    book.completed(first.number, OUTCOME | {"curve": curve(0.9, 0.9, 0.9)})
    assert {t.number for t in shelf.trials(TrialState.RUNNING)} == {second}


def test_a_student_that_is_worth_more_than_those_that_wait_does_not_wait_itself(roomy: Roomy) -> None:
    book = roomy.book(trials=10)
    paused(book, 0.2, 0.2)
    better = book.next().number
    assert not book.reached(better, curve(0.9, 0.9))
    assert not book.reached(better, curve(0.9, 0.9, 0.9))


def test_when_nothing_else_is_to_come_at_least_one_goes_on_and_the_others_were_stopped_early(shelf: Shelf) -> None:
    book = shelf.book(trials=1)
    number = paused(book, 0.3, 0.4)
    assert book.wanted == 1
    assert book.next().number == number
    book.completed(number, OUTCOME)
    assert (book.wanted, book.finish()) == (0, [])
    book = shelf.book(trials=3)
    others = [paused(book, 0.3, 0.4), paused(book, 0.3, 0.2)]
    goes_on = book.next().number
    (stays,) = set(others) - {goes_on}
    book.completed(goes_on, OUTCOME | {"curve": curve(0.3, 0.4, 0.5)})
    assert book.wanted == 0
    assert book.finish() == [stays]
    assert (book.taught, book.complete, book.stopped_early) == (3, 2, 1)
    row = read_trials(shelf.url, "s").set_index("number").loc[stays]
    assert row["state"] == "stopped_early"
    assert row["detail"] == "at epoch 2, from where 1 of 2 students went on"
    assert (row["epochs"], row["seconds"], row["log_loss"]) == (2, 4.0, 1.5)
    assert row["outcome"]["curve"] in (curve(0.3, 0.4), curve(0.3, 0.2))


def test_the_table_shows_who_waits_with_what_it_has_reached(shelf: Shelf) -> None:
    book = shelf.book()
    number = paused(book, 0.3, 0.4)
    row = read_trials(shelf.url, "s").set_index("number").loc[number]
    assert (row["state"], row["epochs"], row["outcome"]["accuracy"]) == ("paused", 2, 0.4)
    assert row["accuracy"] != row["accuracy"]  # none: it is no result


def test_the_next_driver_knows_who_waits_and_what_was_reached(roomy: Roomy) -> None:
    first = roomy.book(trials=100)
    best, other = paused(first, 0.5, 0.6), first.next().number
    second = roomy.book(trials=100)
    assert (second.taught, second.wanted) == (1, 99)
    assert second.next().number == other  # it was in flight; the one that waits is no work yet
    assert second.reached(other, curve(0.1, 0.2))
    second.paused(other, curve(0.1, 0.2))
    assert second.next().number == best
    third = roomy.book(trials=100)  # the second one was killed while it went on
    assert third.next().number == best
    assert not third.reached(best, curve(0.5, 0.6, 0.7))


def test_a_driver_killed_while_it_ended_the_search_leaves_nothing_half_done(roomy: Roomy) -> None:
    """After each of its writes: without the reason the student waits on, with it it was stopped."""
    first = roomy.book(trials=100)
    number = paused(first, 0.3, 0.5)
    trial = optuna.Trial(roomy.study(), roomy.trials()[number]._trial_id)
    trial.set_user_attr("outcome", trial.user_attrs["progress"]["outcome"])
    trial.set_user_attr("detail", "told")
    assert roomy.book(trials=100).taught == 1
    trial.set_user_attr("reason", "stopped_early")
    third = roomy.book(trials=100)
    assert third.stopped_early == 1
    assert roomy.trials()[number].state is TrialState.PRUNED
    assert third.finish() == []


@pytest.mark.parametrize("ended", [False, True])
def test_an_architecture_that_waits_or_was_stopped_is_never_proposed_to_a_worker_again(
    roomy: Roomy, ended: bool
) -> None:
    first = roomy.book(trials=100)
    number = paused(first, 0.3, 0.5)
    if ended:
        assert first.finish() == [number]
    for book in (first, roomy.book(trials=100)):
        study = roomy.study()
        study.enqueue_trial(study.trials[number].params)
        book.next()
    repeats = [t for t in roomy.trials(TrialState.PRUNED) if t.user_attrs["reason"] == "repeat"]
    assert [t.user_attrs["detail"] for t in repeats] == [f"the same architecture as trial {number}"] * 2


def test_more_students_are_measured_by_those_that_were_stopped(roomy: Roomy) -> None:
    first = roomy.book(trials=3)
    for accuracy in (0.5, 0.4, 0.3):
        paused(first, accuracy, accuracy)
    while first.wanted:
        first.completed(first.next().number, OUTCOME | {"curve": curve(0.5, 0.5, 0.5)})
    assert len(first.finish()) == 1
    second = roomy.book(trials=4)
    assert (second.taught, second.wanted) == (3, 1)
    number = paused(second, 0.9, 0.9)
    assert second.wanted == 0  # two of the four went on already
    assert second.finish() == [number]


def test_a_known_design_is_taught_to_the_end(roomy: Roomy) -> None:
    book = roomy.book(trials=1000, known_designs=("cp-mobile-2025",))
    book.enqueue_known_designs(64, 33)
    known = book.next()
    for epochs in (1, 2, 3):
        assert not book.reached(known.number, curve(*[0.2] * epochs))


def test_a_student_that_failed_is_no_measure_now_or_after_a_restart(roomy: Roomy) -> None:
    book = roomy.book(trials=100)
    good, _ = book.next().number, paused(book, 0.1, 0.1)
    assert not book.reached(good, curve(0.9, 0.9))
    book.failed(good, "the loss is nan")
    other = book.next().number
    for later in (book, roomy.book(trials=100)):
        while other not in later._in_flight:
            later.next()
        assert not later.reached(other, curve(0.2, 0.2))


def test_students_that_wait_show_that_training_works(roomy: Roomy) -> None:
    book = roomy.book(trials=100)
    for _ in range(4):
        book.failed(book.next().number, "bad")
    paused(book, 0.3, 0.5)
    book.failed(book.next().number, "bad")  # the fifth, but not in a row
    book.next()
    assert book.in_flight == 1


def test_a_student_lost_after_it_went_on_is_tried_again_under_its_number(roomy: Roomy) -> None:
    book = roomy.book(trials=100)
    best, _ = paused(book, 0.5, 0.6), paused(book, 0.1, 0.1)
    assert book.next().number == best
    assert book.lost(best, "its worker died")
    assert book.next().number == best


@pytest.mark.parametrize("ended", [False, True])
def test_tpe_proposes_beside_students_that_wait_or_were_stopped(roomy: Roomy, ended: bool) -> None:
    """A stopped trial must not have intermediate values, with which TPE fails where there are several objectives."""
    book = roomy.book(trials=100, sampler="tpe")
    for number in range(20):
        candidate = book.next()
        if number % 2 and book.reached(candidate.number, curve(0.3, 0.5)):
            book.paused(candidate.number, curve(0.3, 0.5))
        else:
            book.completed(candidate.number, OUTCOME | {"curve": curve(0.3, 0.5, 0.5)})
        if ended:
            book.finish()
    assert book.taught >= 15
