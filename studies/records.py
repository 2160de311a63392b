"""What a study remembers, as a table: one row per trial, read straight from SQL.

Going through Optuna costs 2 ms and 90 kB per trial, because it rebuilds every parameter; a page that refreshes
cannot afford that. Only the columns a view needs are selected here, and a test holds the result against what
Optuna itself says.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from sqlalchemy import Column, Connection, DateTime, Float, Integer, MetaData, String, Table, select

from studies.database import reading
from studies.storage import unknown_study

STATES = ("complete", "running", "paused", "waiting", "failed", "over_budget", "repeat", "stopped_early")
REASONS = ("over_budget", "repeat", "stopped_early")
COUNTS = ("weight_bytes", "macs", "peak_bytes", "params")
"""Costs of the deployed form: bytes of stored parameters, MACs per clip, bytes of live activations, parameters."""

_meta = MetaData()
_studies = Table("studies", _meta, Column("study_id", Integer), Column("study_name", String))
_study_attributes = Table(
    "study_user_attributes",
    _meta,
    *(Column("study_id", Integer), Column("key", String), Column("value_json", String)),
)
_trials = Table(
    "trials",
    _meta,
    *(Column("trial_id", Integer), Column("study_id", Integer), Column("number", Integer)),
    *(Column("state", String), Column("datetime_start", DateTime), Column("datetime_complete", DateTime)),
)
_values = Table(
    "trial_values",
    _meta,
    *(Column("trial_id", Integer), Column("objective", Integer), Column("value", Float)),
)
_attributes = Table(
    "trial_user_attributes",
    _meta,
    *(Column("trial_id", Integer), Column("key", String), Column("value_json", String)),
)


@dataclass(frozen=True)
class StudyHead:
    """A study without its trials.

    Attributes:
        study_file: The study file as it was run.
        space: Name, version and digest of the search space.
        budget: Limit of `weight_bytes` and of `macs`.
        provenance: Versions and digests of what made the study.
        test: Trial and scores of the one look at the test list; None before it.
    """

    name: str
    study_file: dict[str, Any] = field(default_factory=dict)
    space: dict[str, Any] = field(default_factory=dict)
    budget: dict[str, int] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    test: dict[str, Any] | None = None


def read_study(url: str, name: str) -> StudyHead:
    """The head of a study.

    Raises:
        InputError: If there is no such study; `StudyError` if the database cannot be read.
    """
    with reading(url) as connection:
        return _head(connection, name, _study_id(connection, name))


def read_trials(url: str, study_name: str) -> pd.DataFrame:
    """All trials of a study in the order of their numbers.

    Returns:
        One row per trial: `number`; `state`, one of `STATES`; `accuracy` in [0, 1], of complete trials only;
        `weight_bytes`, `macs`, `peak_bytes`, `params` of the deployed form, for every trial with a proposal;
        `feasible`, whether those are within the study's budget; `identity`, `design` (a known design's name),
        `detail` (why it was refused, stopped or failed); `log_loss`, `epochs`, `seconds` of its training;
        `started`, `finished` (UTC); and the records `proposal` and `outcome` as dicts. What is not known is
        NaN, NA, NaT or None by the column's kind.

    A trial told as complete for the sake of a sampler, with a reason why it was refused, counts as refused.

    Raises:
        InputError: If there is no such study; `StudyError` if the database cannot be read.
    """
    with reading(url) as connection:
        study_id = _study_id(connection, study_name)
        budget = _head(connection, study_name, study_id).budget
        rows = connection.execute(
            select(
                _trials.c.trial_id,
                _trials.c.number,
                _trials.c.state,
                _trials.c.datetime_start,
                _trials.c.datetime_complete,
            )
            .where(_trials.c.study_id == study_id)
            .order_by(_trials.c.number)
        ).all()
        values: dict[int, dict[int, float | None]] = {}
        for trial_id, objective, value in connection.execute(
            select(_values.c.trial_id, _values.c.objective, _values.c.value)
            .join(_trials, _trials.c.trial_id == _values.c.trial_id)
            .where(_trials.c.study_id == study_id)
        ):
            values.setdefault(trial_id, {})[objective] = value
        attributes: dict[int, dict[str, Any]] = {}
        for trial_id, key, text in connection.execute(
            select(_attributes.c.trial_id, _attributes.c.key, _attributes.c.value_json)
            .join(_trials, _trials.c.trial_id == _attributes.c.trial_id)
            .where(_trials.c.study_id == study_id)
            .where(_attributes.c.key.in_(("proposal", "progress", "reason", "detail", "outcome")))
        ):
            attributes.setdefault(trial_id, {})[key] = json.loads(text)
    return _frame(
        [
            {"number": number, "started": started, "finished": finished}
            | _record(state, values.get(trial_id, {}), attributes.get(trial_id, {}))
            for trial_id, number, state, started, finished in rows
        ],
        budget,
    )


def _study_id(connection: Connection, name: str) -> int:
    known = {row.study_name: row.study_id for row in connection.execute(select(_studies))}
    if name not in known:
        raise unknown_study(name, list(known))
    return int(known[name])


def _head(connection: Connection, name: str, study_id: int) -> StudyHead:
    known = StudyHead.__dataclass_fields__.keys() - {"name"}
    rows = connection.execute(
        select(_study_attributes.c.key, _study_attributes.c.value_json).where(
            _study_attributes.c.study_id == study_id, _study_attributes.c.key.in_(known)
        )
    )
    return StudyHead(name=name, **{key: json.loads(text) for key, text in rows})


def outcome_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What came of a trial's training, or what it has come to so far; empty if nothing is known."""
    return attributes.get("outcome") or (attributes.get("progress") or {}).get("outcome") or {}


def is_paused(attributes: Mapping[str, Any]) -> bool:
    """Whether a trial that is running waits at a rung, by its attributes."""
    return bool((attributes.get("progress") or {}).get("paused"))


def _record(state: str, values: dict[int, float | None], attributes: dict[str, Any]) -> dict[str, Any]:
    """One row from a trial's state, values and attributes."""
    proposal = attributes.get("proposal") or {}
    outcome = outcome_of(attributes)
    costs = (proposal.get("cost") or {}).get("deployed") or {}
    state, detail = _state(state, attributes), attributes.get("detail") or outcome.get("error")
    accuracy = values.get(0)  # an infinite value is stored as none
    if state == "complete" and (accuracy is None or not math.isfinite(accuracy)):
        state, detail = "failed", "no finite accuracy was recorded"
    told = {"weight_bytes": values.get(1), "macs": values.get(2)}
    return {
        "state": state,
        "accuracy": accuracy if state == "complete" else None,
        **{key: costs.get(key, told.get(key)) for key in COUNTS},
        "identity": proposal.get("identity"),
        "design": proposal.get("design"),
        "detail": detail,
        "log_loss": outcome.get("log_loss"),
        "epochs": outcome.get("epochs"),
        "seconds": outcome.get("seconds"),
        "proposal": proposal or None,
        "outcome": outcome or None,
    }


def _state(state: str, attributes: dict[str, Any]) -> str:
    reason = attributes.get("reason")
    if state == "RUNNING" and is_paused(attributes):
        return "paused"
    if state in ("COMPLETE", "PRUNED") and reason in REASONS:
        return str(reason)
    return {"PRUNED": "stopped_early", "FAIL": "failed"}.get(state, state.lower())


def _frame(records: list[dict[str, Any]], budget: dict[str, int]) -> pd.DataFrame:
    """The rows as columns of fixed kinds, also when there are none."""

    def column(key: str, dtype: str) -> "pd.Series[Any]":
        return pd.Series([record[key] for record in records], dtype=dtype)

    def moment(key: str) -> "pd.Series[Any]":
        return pd.Series(column(key, "datetime64[us]").dt.tz_localize("UTC"))  # Optuna stores UTC without saying so

    frame = pd.DataFrame(
        {
            "number": column("number", "int64"),
            "state": column("state", "str"),
            "accuracy": column("accuracy", "float64"),
            **{key: column(key, "Int64") for key in COUNTS},
            "identity": column("identity", "object"),
            "design": column("design", "object"),
            "detail": column("detail", "object"),
            "log_loss": column("log_loss", "float64"),
            "epochs": column("epochs", "Int64"),
            "seconds": column("seconds", "float64"),
            "started": moment("started"),
            "finished": moment("finished"),
            "proposal": column("proposal", "object"),
            "outcome": column("outcome", "object"),
        }
    )
    within = pd.Series(True, index=frame.index)
    for key, limit in budget.items():
        if key in COUNTS:
            within &= frame[key].le(limit).fillna(False).astype(bool)
    frame.insert(7, "feasible", within)
    return frame
