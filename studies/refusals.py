"""Why proposals were refused before any training, in words."""

from collections.abc import Mapping

import pandas as pd

BOTH = "both costs over their limits"
OVER = {"weight_bytes": "weight bytes over the limit", "macs": "MACs over the limit"}
REPEAT = "repeat of an earlier trial"
UNKNOWN = "over the budget"
REASON_WORDS = (*OVER.values(), BOTH, UNKNOWN, REPEAT)


def refusal_words(trials: pd.DataFrame, budget: Mapping[str, float]) -> "pd.Series[str]":
    """For each refused trial, by its row: which limit it broke, or that it was a repeat."""
    refused = trials[trials["state"].isin(("over_budget", "repeat"))]
    over = {key: refused[key].gt(budget.get(key, float("inf"))).fillna(False).astype(bool) for key in OVER}
    words = pd.Series(UNKNOWN, index=refused.index, dtype="str")
    for key, text in OVER.items():
        words[over[key]] = text
    words[over["weight_bytes"] & over["macs"]] = BOTH
    words[refused["state"] == "repeat"] = REPEAT
    return words


def refusal_counts(trials: pd.DataFrame, budget: Mapping[str, float]) -> dict[str, int]:
    """How many trials were refused for each reason that occurred, in a fixed order of reasons."""
    counts = refusal_words(trials, budget).value_counts()
    return {words: int(counts[words]) for words in REASON_WORDS if words in counts.index}
