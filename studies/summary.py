"""A study in numbers: what `nas status` and `nas front` answer, and the head of the page."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from studies.front import front_of
from studies.hypervolume import hypervolume_of, scale_of
from studies.records import STATES, StudyHead
from studies.refusals import refusal_counts
from studies.words import missing


def status_of(trials: pd.DataFrame, head: StudyHead) -> dict[str, Any]:
    """How far a study is.

    Returns:
        `states`: how many trials are in each state; `trials`: all of them; `refused`: how many for each reason, in
        words; `screened`: of the draws that a sampler looked at before it proposed, how many there were (`drawn`) and
        how many did not fit (`over_budget`); `front_size`, `hypervolume` in [0, 1], `best_accuracy` and `best_trial`
        (None before there is one); `elapsed_s` from the first start to the last change; `trials_per_hour` trained, to
        the end or to a rung, in that time (None before the first, and in a study's first minute); `last_change` as text
        in UTC.
    """
    counts = trials["state"].value_counts()
    states = {state: int(counts.get(state, 0)) for state in STATES}
    front = front_of(trials)
    first, last = trials["started"].min(), trials[["started", "finished"]].max().max()
    elapsed = 0.0 if missing(first) else float((last - first).total_seconds())
    trained = states["complete"] + states["paused"] + states["stopped_early"]
    return {
        "name": head.name,
        "states": states,
        "trials": len(trials),
        "refused": refusal_counts(trials, head.budget),
        "screened": _screened(trials),
        "front_size": len(front),
        "hypervolume": hypervolume_of(trials, scale_of(trials, head.budget)),
        "best_accuracy": float(front["accuracy"].iloc[0]) if len(front) else None,
        "best_trial": int(front["number"].iloc[0]) if len(front) else None,
        "elapsed_s": elapsed,
        "trials_per_hour": trained * 3600 / elapsed if trained and elapsed >= 60 else None,
        "last_change": None if missing(last) else last.isoformat(timespec="seconds"),
    }


def _screened(trials: pd.DataFrame) -> dict[str, int]:
    records = [(proposal or {}).get("screening") or {} for proposal in trials["proposal"]]
    return {key: sum(record.get(key, 0) for record in records) for key in ("drawn", "over_budget")}


def members_of(trials: pd.DataFrame) -> dict[str, Any]:
    """The front of a study, the most accurate first.

    Returns:
        `members`: for each its trial's number, architecture, design (a known design's name or None), identity,
        accuracy and log loss, and weight_bytes, macs and peak_bytes of the deployed form.
    """
    return {"members": [member(row) for row in front_of(trials).to_dict("records")]}


def member(row: Mapping[Any, Any]) -> dict[str, Any]:
    """One row of the table of trials as JSON values."""
    return {
        "trial": int(row["number"]),
        "architecture": (row["proposal"] or {}).get("architecture"),
        "design": row["design"],
        "identity": row["identity"],
        "accuracy": float(row["accuracy"]),
        "log_loss": None if missing(row["log_loss"]) else float(row["log_loss"]),
        **{k: None if missing(row[k]) else int(row[k]) for k in ("weight_bytes", "macs", "peak_bytes")},
    }
