"""What holds for every sampler: it stays in the space, learns from a study as it is, and draws the same again."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial
from tiny_spaces import effective_sets, tiny_space

from nas.samplers import CostAwareSampler, Samplers, distributions
from nas.samplers.accuracy_model import AccuracyModel, Inputs
from nas.samplers.cost_aware import CHILDREN, ROUNDS, UNIFORM
from nas.study_file import SamplerName, SearchSection
from nas.trial_book import SearchExhausted, TrialBook
from search_spaces.budget import Budget
from search_spaces.cost import cost
from search_spaces.space import Choices
from search_spaces.spaces import open_space
from studies.front import front_of
from studies.front import pareto_mask as front
from studies.hypervolume import Scale
from studies.records import read_trials
from studies.storage import DIRECTIONS, create_study, open_storage, open_study

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

NAMES: tuple[SamplerName, ...] = get_args(SamplerName)
JOINT = open_space("joint", [64], [33])
TINY = tiny_space("tiny-stages")
HALF = Budget(6_000, 60_000)
"""About half of the tiny space."""


def accuracy_of(values: Choices) -> float:
    """Made up: deeper, wider and normed is better, with less and less return."""
    deep = sum(int(values[f"stage{stage}.depth"]) * int(values[f"stage{stage}.width"]) for stage in (1, 2))
    return 0.3 + 0.4 * deep / (deep + 60) + 0.05 * (values["stage1.kind"] == "rep-conv")


def outcome_of(accuracy: float) -> dict[str, Any]:
    curve = [{"epoch": epoch, "accuracy": accuracy - 0.05 * (3 - epoch)} for epoch in (1, 2, 3)]
    return {"accuracy": accuracy, "curve": curve, "epochs": 3, "seconds": 1.0, "log_loss": 1.0}


def book_on(
    study: optuna.Study, name: SamplerName, trials: int = 1000, budget: Budget = HALF, patience: int = 300
) -> TrialBook:
    search = SearchSection(trials=trials, sampler=name, known_designs=(), patience=patience)
    return TrialBook(study, TINY, budget, search, seed=3)


def trained(book: TrialBook, study: optuna.Study, students: int) -> None:
    for _ in range(students):
        number = book.next().number
        book.completed(number, outcome_of(accuracy_of(study.get_trials(deepcopy=False)[number].params)))


def lived_in() -> optuna.Study:
    """A study with trials in every state in which a sampler may find one."""
    study = optuna.create_study(directions=DIRECTIONS)
    book = book_on(study, "feasible")
    trained(book, study, 12)
    book.failed(book.next().number, "went wrong")
    stopped = study.ask(distributions(TINY))
    stopped.set_user_attr("reason", "stopped_early")
    stopped.set_user_attr("outcome", {"curve": [{"epoch": 1, "accuracy": 0.4}], "epochs": 1})
    study.tell(stopped, state=TrialState.PRUNED)
    paused_at_the_first_epoch(book, 2)
    refused = study.ask(distributions(TINY))
    refused.set_user_attr("reason", "over_budget")
    study.tell(refused, state=TrialState.PRUNED)
    study.tell(study.ask(), state=TrialState.FAIL)
    study.ask(dict(list(distributions(TINY).items())[:3]))
    book.next()
    return study


@pytest.mark.parametrize("name", NAMES)
def test_a_sampler_draws_the_same_again_for_the_same_seed_and_number(name: SamplerName) -> None:
    def drawn(seed: int, number: int) -> Choices:
        study = optuna.create_study(directions=DIRECTIONS)
        if name == "cost-aware":  # reads the number of the trial itself
            study.add_trials([create_trial(state=TrialState.FAIL)] * number)
        study.sampler = Samplers(name, seed, JOINT, Budget()).of(number)
        return study.ask(distributions(JOINT)).params

    assert drawn(1, 5) == drawn(1, 5)
    assert drawn(1, 5) != drawn(1, 6)
    assert drawn(1, 5) != drawn(2, 5)
    assert JOINT.decode(drawn(1, 5)).blocks


@pytest.mark.parametrize("name", NAMES)
def test_a_sampler_gets_along_with_trials_in_every_state(name: SamplerName) -> None:
    study = lived_in()
    study.sampler = Samplers(name, 1, TINY, HALF).of(len(study.trials))
    assert TINY.decode(study.ask(distributions(TINY)).params).blocks


@pytest.mark.parametrize("name", NAMES)
def test_no_architecture_is_handed_out_twice_to_eight_workers(name: SamplerName) -> None:
    study = optuna.create_study(directions=DIRECTIONS)
    book = book_on(study, name, budget=Budget() if name == "gp" else HALF)  # which takes seconds to learn from refusals
    waiting = [book.next() for _ in range(8)]
    seen = [candidate.architecture.identity for candidate in waiting]
    for _ in range(2 if name == "gp" else 16):
        done = waiting.pop(len(seen) % 8)
        values = study.get_trials(deepcopy=False)[done.number].params
        book.completed(done.number, outcome_of(accuracy_of(values)))
        waiting.append(book.next())
        seen.append(waiting[-1].architecture.identity)
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_study_draws_what_an_uninterrupted_one_draws(name: SamplerName) -> None:
    def drawn(restarts: bool) -> list[Choices]:
        study = optuna.create_study(directions=DIRECTIONS)
        book = book_on(study, name)
        for _ in range(4 if name == "gp" else 13):
            if restarts:
                book = book_on(study, name)
            trained(book, study, 1)
        return [trial.params for trial in study.trials]

    assert drawn(restarts=True) == drawn(restarts=False)


@pytest.mark.parametrize("name", ["nsga2", "gp"])
def test_refusals_reach_samplers_that_learn_from_values_only_and_count_as_refusals(
    name: SamplerName, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    create_study(open_storage(url), "s")
    study = open_study(open_storage(url), "s")
    tight = Budget(4_000, 40_000)
    study.set_user_attr("budget", tight.limits)
    book = book_on(study, name, budget=tight)
    trained(book, study, 4)
    told = [t for t in study.trials if t.user_attrs.get("reason") == "over_budget"]
    assert told
    for trial in told:
        deployed = trial.user_attrs["proposal"]["cost"]["deployed"]
        assert (trial.state, trial.values) == (
            TrialState.COMPLETE,
            [0.0, deployed["weight_bytes"], deployed["macs"]],
        )
        assert max(trial.constraints.values()) > 0
    assert book.complete == book_on(study, name, budget=tight).complete == 4
    table = read_trials(url, "s")
    assert set(table[table["number"].isin([t.number for t in told])]["state"]) == {"over_budget"}
    assert set(front_of(table)["number"]).isdisjoint(t.number for t in told)


def test_a_refusal_told_as_complete_may_be_trained_under_a_larger_budget(tmp_path: Path) -> None:
    study = optuna.create_study(directions=DIRECTIONS)
    book = book_on(study, "nsga2", budget=Budget(4_000, 40_000))
    trained(book, study, 4)
    (refused, *_) = [t for t in study.trials if t.user_attrs.get("reason") == "over_budget"]
    study.enqueue_trial(refused.params)
    wide = book_on(study, "nsga2", budget=Budget())
    assert wide.next().architecture == TINY.decode(refused.params)


@pytest.mark.parametrize("name", ["feasible", "cost-aware"])
def test_these_propose_only_what_fits_every_limit(name: SamplerName) -> None:
    """Of uniform draws 6 % fit the bytes and MACs, and about one in four of those the peak."""
    tight = Budget(weight_bytes=40_000, macs=1_500_000, peak_bytes=12_000)
    study = optuna.create_study(directions=DIRECTIONS)
    search = SearchSection(trials=100, sampler=name, known_designs=(), patience=1)
    book = TrialBook(study, JOINT, tight, search, seed=1)
    for number in range(15):
        candidate = book.next()
        assert candidate.cost.feasible
        book.completed(candidate.number, outcome_of(0.3 + 0.01 * number))
    assert len(study.trials) == 15


def paused_at_the_first_epoch(book: TrialBook, students: int) -> None:
    for place in range(students):
        curve = [{"epoch": 1, "accuracy": 0.3 + 0.01 * place, "log_loss": 1.0, "seconds": 1.0}]
        book.paused(book.next().number, curve)


def test_the_cost_aware_sampler_models_students_none_of_which_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker, and all that wait are of the first epoch: there is no front yet."""
    asked: list[int] = []
    predict = AccuracyModel.predict

    def spied(model: AccuracyModel, inputs: Inputs) -> Any:
        asked.append(len(inputs.own))
        return predict(model, inputs)

    monkeypatch.setattr(AccuracyModel, "predict", spied)
    study = optuna.create_study(directions=DIRECTIONS)
    book = book_on(study, "cost-aware")
    paused_at_the_first_epoch(book, 9)
    assert not asked
    paused_at_the_first_epoch(book, 2)
    assert asked
    assert book.next().cost.feasible


def test_the_cost_aware_sampler_finds_everything_that_fits_before_it_gives_up() -> None:
    few = Budget(3_000, 32_000)
    architectures = [TINY.decode(values) for values in effective_sets("tiny-stages")]
    fitting = {each.identity for each in architectures if cost(each, few).feasible}
    study = optuna.create_study(directions=DIRECTIONS)
    book = book_on(study, "cost-aware", budget=few, patience=60)
    with pytest.raises(SearchExhausted, match="refused 60 proposals in a row"):
        trained(book, study, len(fitting) + 1)
    assert book.complete == len(fitting)


@pytest.mark.parametrize("name", ["feasible", "cost-aware"])
def test_draws_that_do_not_fit_are_counted_with_the_proposal_that_came_of_them(name: SamplerName) -> None:
    """Of uniform draws about half fit, and so they do of those that the sampler draws over the whole space."""
    study = optuna.create_study(directions=DIRECTIONS)
    trained(book_on(study, name), study, 12)
    drawn = [trial.user_attrs["proposal"]["screening"] for trial in study.trials]
    for counted in drawn:
        assert 0 < counted["over_budget"] < counted["drawn"]
    assert 0.3 < sum(c["over_budget"] for c in drawn[:9]) / sum(c["drawn"] for c in drawn[:9]) < 0.7
    if name == "cost-aware":
        assert drawn[11]["drawn"] == UNIFORM + ROUNDS * CHILDREN


def test_other_samplers_screen_nothing() -> None:
    study = optuna.create_study(directions=DIRECTIONS)
    trained(book_on(study, "random"), study, 2)
    assert "screening" not in study.trials[0].user_attrs["proposal"]


def test_the_cost_aware_sampler_serves_plain_optuna() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, int, int]:
        for label, spread in distributions(TINY).items():
            trial._suggest(label, spread)
        priced = cost(TINY.decode(trial.params), HALF).deployed  # type: ignore[arg-type]
        return accuracy_of(trial.params), priced.weight_bytes, priced.macs  # type: ignore[arg-type]

    study = optuna.create_study(directions=DIRECTIONS, sampler=CostAwareSampler(TINY, HALF, seed=0))
    study.enqueue_trial(dict(effective_sets("tiny-stages")[5]))
    study.optimize(objective, n_trials=25)
    drawn = [TINY.decode(trial.params) for trial in study.trials]
    assert len({architecture.identity for architecture in drawn}) == 25
    assert all(cost(architecture, HALF).feasible for architecture in drawn[1:])


def test_a_trial_in_training_counts_as_what_is_expected_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(directions=DIRECTIONS)
    book = book_on(study, "cost-aware")
    trained(book, study, 12)
    running = book.next().cost.deployed
    saved = Scale(0.1, HALF.weight_bytes, HALF.macs).saved(np.array([running.weight_bytes]), np.array([running.macs]))
    judged: list[np.ndarray] = []
    believed: list[Inputs] = []
    believing = AccuracyModel.believing

    def spied(model: AccuracyModel, inputs: Inputs) -> AccuracyModel:
        believed.append(inputs)
        return believing(model, inputs)

    monkeypatch.setattr("nas.samplers.cost_aware.pareto_mask", lambda losses: judged.append(losses) or front(losses))
    monkeypatch.setattr(AccuracyModel, "believing", spied)
    book.next()
    assert [len(inputs.own) for inputs in believed] == [1]
    np.testing.assert_array_equal(judged[-1][-1, 1:], -saved[0])
    assert 0 < -judged[-1][-1, 0] < 1


def test_what_needs_too_much_memory_is_not_proposed() -> None:
    """The limit is the median of the tiny space."""
    some = effective_sets("tiny-stages")[::9]
    peaks = [cost(TINY.decode(values), Budget(10**6, 10**9)).deployed.peak_bytes for values in some]
    limit = sorted(peaks)[len(peaks) // 2]
    sampler = CostAwareSampler(TINY, Budget(10**6, 10**9, limit), seed=0)
    assert [sampler._is_new(values, set()) for values in some] == [peak <= limit for peak in peaks]
