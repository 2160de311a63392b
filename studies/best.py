"""Which trial is meant by "best": the choice that export and training start from."""

from typing import Any

import pandas as pd

from search_spaces.errors import InputError
from studies.front import front_of

WORDS = {
    "best": (["accuracy", "weight_bytes", "macs"], [False, True, True]),
    "smallest": (["weight_bytes", "accuracy", "macs"], [True, False, True]),
    "fastest": (["macs", "accuracy", "weight_bytes"], [True, False, True]),
}
"""By what the front is ordered for each word, and whether upwards; the first row is the one meant."""

_MEANING = {
    "running": "is still running",
    "paused": "waits at a rung and has no final accuracy",
    "waiting": "has not started",
    "failed": "failed",
    "over_budget": "was over the budget and never trained",
    "repeat": "repeats an earlier trial and was never trained",
    "stopped_early": "was stopped early and has no final accuracy",
}


def choose(trials: pd.DataFrame, which: str | int) -> "pd.Series[Any]":
    """One complete trial of a study.

    Args:
        trials: As from `studies.records.read_trials`.
        which: "best" (the most accurate on the front, then the fewest bytes, then the fewest MACs), "smallest"
            (fewest bytes), "fastest" (fewest MACs), or the number of any complete trial.

    Raises:
        InputError: If there is no such trial, saying what there is.
    """
    text = str(which).strip()
    if text in WORDS:
        front = front_of(trials)
        if front.empty:
            raise InputError(f"Nothing is on the front yet: {_counts(trials)}.")
        keys, upwards = WORDS[text]
        return front.sort_values(keys, ascending=upwards).iloc[0]
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"{text!r} names no trial: say best, smallest, fastest, or a trial's number.")
    row = trials[trials["number"] == int(text)]
    if row.empty:
        known = f"its trials are 0 to {trials['number'].max():,}" if len(trials) else "it has no trials yet"
        raise InputError(f"The study has no trial {text}: {known}.")
    state = str(row["state"].iloc[0])
    if state != "complete":
        detail = row["detail"].iloc[0]
        why = f" ({detail})" if isinstance(detail, str) and detail else ""
        raise InputError(f"Trial {text} {_MEANING[state]}{why}: {_complete(trials)}.")
    return row.iloc[0]


def _counts(trials: pd.DataFrame) -> str:
    if trials.empty:
        return "the study has no trials"
    counts = trials["state"].value_counts()
    return "its trials are " + ", ".join(f"{n:,} {str(s).replace('_', ' ')}" for s, n in counts.items())


def _complete(trials: pd.DataFrame) -> str:
    numbers = trials.loc[trials["state"] == "complete", "number"].tolist()
    if not numbers:
        return "no trial is complete yet"
    listed = ", ".join(map(str, numbers[:10])) + (f" and {len(numbers) - 10:,} more" if len(numbers) > 10 else "")
    return f"complete are {listed}"
