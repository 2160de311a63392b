"""What scripts rely on: the keys and numbers of `nas status --json` and `nas front --json`."""

import json
from typing import Any

import pandas as pd
import pytest

from studies.front import front_of
from studies.hypervolume import hypervolume_of, scale_of
from studies.records import STATES, read_study, read_trials
from studies.summary import members_of, status_of
from studies.words import duration, missing, percent


def _status(toy: Any) -> Any:
    status = status_of(read_trials(toy.url, toy.name), read_study(toy.url, toy.name))
    return json.loads(json.dumps(status, allow_nan=False))


def test_status_counts_every_state(every_state: Any) -> None:
    status = _status(every_state)
    assert status["states"] == {
        "complete": 3, "running": 1, "paused": 1, "waiting": 1, "failed": 1, "over_budget": 1, "repeat": 1,
        "stopped_early": 1,
    }  # fmt: skip
    assert status["trials"] == 10
    assert status["refused"] == {"weight bytes over the limit": 1, "repeat of an earlier trial": 1}
    assert (status["best_accuracy"], status["best_trial"]) == (0.61, 1)
    assert status["front_size"] == 2


def test_status_agrees_with_the_front_and_its_hypervolume(sixty: Any) -> None:
    status, trials = _status(sixty), read_trials(sixty.url, "sixty")
    assert status["front_size"] == len(front_of(trials))
    assert status["hypervolume"] == hypervolume_of(trials, scale_of(trials, sixty.limits))
    assert status["hypervolume"] > 0.1


def test_status_of_an_empty_study_is_all_nothing(toy: Any) -> None:
    status = _status(toy)
    assert status["states"] == dict.fromkeys(STATES, 0)
    assert status["hypervolume"] == status["front_size"] == 0
    assert status["best_accuracy"] is status["trials_per_hour"] is status["last_change"] is None


def test_rate_counts_what_was_trained_over_the_time_it_took(every_state: Any) -> None:
    trials = read_trials(every_state.url, "states")
    trials.loc[6, "finished"] = trials["started"].min() + pd.Timedelta(hours=24)
    status = status_of(trials, read_study(every_state.url, "states"))
    assert status["elapsed_s"] == 86_400
    assert status["trials_per_hour"] == 5 / 24  # three complete, one paused, one stopped early


def test_draws_that_samplers_screened_are_added_up_over_the_trials(toy: Any) -> None:
    for drawn, over in ((1000, 700), (500, 100)):
        trial = toy.propose(40_000, 8_000_000)
        screening = {"drawn": drawn, "over_budget": over}
        trial.set_user_attr("proposal", trial.user_attrs["proposal"] | {"screening": screening})
    toy.complete(0.5, 60_000, 12_000_000)
    assert _status(toy)["screened"] == {"drawn": 1500, "over_budget": 800}


def test_members_are_the_front_with_architecture_and_costs(sixty: Any) -> None:
    trials = read_trials(sixty.url, "sixty")
    members = json.loads(json.dumps(members_of(trials), allow_nan=False))["members"]
    assert [member["trial"] for member in members] == front_of(trials)["number"].tolist()
    for member in members:
        stored = sixty.study.trials[member["trial"]]
        proposal = stored.user_attrs["proposal"]
        assert [member["accuracy"], member["weight_bytes"], member["macs"]] == stored.values
        assert member["architecture"] == proposal["architecture"]
        assert member["peak_bytes"] == proposal["cost"]["deployed"]["peak_bytes"]
        assert (member["identity"], member["design"]) == (proposal["identity"], proposal["design"])
        assert member["log_loss"] == stored.user_attrs["outcome"]["log_loss"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (12_000, "3 h 20 min"), (90_000, "1 d 1 h"), (3600, "1 h")],
)
def test_durations_are_said_in_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_missing_values_of_every_kind_are_told() -> None:
    assert all(missing(value) for value in (None, float("nan"), pd.NA, pd.NaT))
    values: list[object] = [0, "", "nan", {}, [], [None], 0.0]
    assert not any(missing(value) for value in values)
    assert percent(0.6149) == "61.5%"
