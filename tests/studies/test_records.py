"""The table of trials says what Optuna says, without going through Optuna."""

import math
from collections.abc import Callable
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from studies.records import COUNTS, STATES, read_study, read_trials

NAMES = {
    "COMPLETE": "complete",
    "RUNNING": "running",
    "WAITING": "waiting",
    "FAIL": "failed",
    "PRUNED": "stopped_early",
}


def _told_by_optuna(study: optuna.Study) -> pd.DataFrame:
    """The same table, slowly, from Optuna's own objects."""
    rows = []
    for trial in study.get_trials():
        proposal = trial.user_attrs.get("proposal") or {}
        progress = trial.user_attrs.get("progress") or {}
        outcome = trial.user_attrs.get("outcome") or progress.get("outcome") or {}
        waits = trial.state is TrialState.RUNNING and progress.get("paused")
        deployed = proposal.get("cost", {}).get("deployed", {})
        started, finished = (
            moment and pd.Timestamp(moment.astimezone()).tz_convert("UTC")  # Optuna gives naive local time
            for moment in (trial.datetime_start, trial.datetime_complete)
        )
        rows.append(
            {
                "number": trial.number,
                "state": "paused" if waits else trial.user_attrs.get("reason") or NAMES[trial.state.name],
                "accuracy": trial.values[0] if trial.values else None,
                **{key: deployed.get(key) for key in COUNTS},
                "identity": proposal.get("identity"),
                "design": proposal.get("design"),
                "detail": trial.user_attrs.get("detail") or outcome.get("error"),
                "log_loss": outcome.get("log_loss"),
                "epochs": outcome.get("epochs"),
                "seconds": outcome.get("seconds"),
                "started": started,
                "finished": finished,
                "proposal": proposal or None,
                "outcome": outcome or None,
            }
        )
    return pd.DataFrame(rows)


@pytest.mark.parametrize("study", ["every_state", "sixty"])
def test_the_table_equals_what_optuna_says(study: str, request: pytest.FixtureRequest) -> None:
    toy = request.getfixturevalue(study)
    told, read = _told_by_optuna(toy.study), read_trials(toy.url, toy.name)
    for key in told:
        ours, theirs = ([None if x is None or pd.isna(x) is True else x for x in f[key]] for f in (read, told))
        assert ours == theirs, key
    assert set(read) == {*told, "feasible"}


def test_the_table_is_the_same_on_postgresql(postgres: str, make_toy: Callable[..., Any], every_state: Any) -> None:
    toy = make_toy(postgres, "states").every_state()
    read, expected = (read_trials(x.url, x.name).drop(columns=["started", "finished"]) for x in (toy, every_state))
    pd.testing.assert_frame_equal(read, expected)
    assert read_study(postgres, "states") == read_study(every_state.url, "states")


def test_every_state_is_told_apart(every_state: Any) -> None:
    trials = read_trials(every_state.url, "states")
    assert set(trials["state"]) == set(STATES)
    assert trials["state"].tolist() == [
        "complete", "complete", "over_budget", "repeat", "stopped_early", "failed", "complete", "running",
        "paused", "waiting",
    ]  # fmt: skip


def test_costs_are_known_before_and_without_training(every_state: Any) -> None:
    trials = read_trials(every_state.url, "states").set_index("state")
    for state, weight_bytes, macs in (("over_budget", 153_204, 20_000_000), ("running", 40_000, 8_000_000)):
        assert trials.loc[state, "weight_bytes"] == weight_bytes
        assert trials.loc[state, "macs"] == macs
        assert trials.loc[state, "peak_bytes"] == 348_160
        assert trials["accuracy"].isna()[state]
    assert not trials.loc["over_budget", "feasible"]
    assert trials.loc["running", "feasible"]
    assert trials.loc["paused", ["epochs", "feasible"]].tolist() == [2, True]
    assert not trials.loc["waiting", "feasible"]  # nothing is known of it yet


def test_a_refusal_told_as_complete_for_the_samplers_sake_is_a_refusal(toy: Any) -> None:
    trial = toy.propose(256_000, 1_000_000)
    trial.set_user_attr("reason", "over_budget")
    toy.study.tell(trial, [0.0, 256_000, 1_000_000])
    row = read_trials(toy.url, "toy").iloc[0]
    assert row["state"] == "over_budget"
    assert math.isnan(row["accuracy"])


@pytest.mark.parametrize("accuracy", [math.inf, -math.inf])
def test_a_complete_trial_always_has_an_accuracy(toy: Any, accuracy: float) -> None:
    toy.complete(0.4, 1000, 1000)
    toy.study.tell(toy.propose(1000, 1000), [accuracy, 1000, 1000])
    trials = read_trials(toy.url, "toy")
    assert trials["state"].tolist() == ["complete", "failed"]
    assert trials.loc[trials["state"] == "complete", "accuracy"].notna().all()
    assert trials["detail"].iloc[1] == "no finite accuracy was recorded"


def test_an_empty_study_has_the_same_columns(toy: Any, every_state: Any) -> None:
    empty, full = read_trials(toy.url, "toy"), read_trials(every_state.url, "states")
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_studies_of_one_database_do_not_mix(toy: Any, make_toy: Callable[..., Any]) -> None:
    other = make_toy(toy.url, "other", limits={"weight_bytes": 500, "macs": 5})
    toy.complete(0.4, 1000, 1000)
    other.complete(0.5, 2000, 2000)
    toy.complete(0.6, 3000, 3000)
    assert read_trials(toy.url, "toy")["accuracy"].tolist() == [0.4, 0.6]
    assert read_trials(toy.url, "other")["feasible"].tolist() == [False]
    assert read_study(toy.url, "other").budget == {"weight_bytes": 500, "macs": 5}


def test_the_head_is_what_was_set(sixty: Any) -> None:
    head, said = read_study(sixty.url, "sixty"), sixty.study.user_attrs
    assert head.name == "sixty"
    for key in ("study_file", "space", "budget", "provenance", "test"):
        assert getattr(head, key) == said[key]
