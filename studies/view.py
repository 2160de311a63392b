"""The view document: everything the page shows of a study, as one JSON value.

A report holds it in its file; a live view sends it. It is data only: the page puts every string of it on screen as
text, and the figures in it have theirs escaped.
"""

import json
import math
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import yaml

from studies.blocks import blocks_of
from studies.figures import curve_figure, progress_figure, refusals_figure, specification
from studies.front import front_of
from studies.front_figure import front_figure
from studies.hypervolume import scale_of
from studies.records import StudyHead, read_study, read_trials
from studies.summary import member, status_of
from studies.words import LABELS, STATE_WORDS, amount, counted, duration, percent

FORMAT = 1


def read_view(url: str, name: str) -> dict[str, Any]:
    """The view document of a study in a database.

    Raises:
        InputError: If there is no such study; `StudyError` if the database cannot be read.
    """
    return view_of(read_trials(url, name), read_study(url, name))


def view_of(trials: pd.DataFrame, head: StudyHead) -> dict[str, Any]:
    """The view document of a study: finite numbers, text, lists and dicts only, so it has a JSON form."""
    status = status_of(trials, head)
    front = front_of(trials)
    scale = scale_of(trials, head.budget)
    rows: list[dict[Any, Any]] = front.to_dict("records")
    figures: dict[str, Any] = {}
    if trials["weight_bytes"].notna().any():
        figures["front_weight_bytes"] = front_figure(trials, head.budget, "weight_bytes")
        figures["front_macs"] = front_figure(trials, head.budget, "macs")
    if status["states"]["complete"]:
        figures["progress"] = progress_figure(trials, scale)
    if status["refused"]:
        figures["refusals"] = refusals_figure(trials, head.budget)
    if len(front):
        figures["curve"] = curve_figure({})  # one for all trials: the page puts the chosen one's columns in
    document = {
        "format": FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": head.name,
        "status": _status_line(status),
        "facts": _facts(status),
        "states": [{"name": STATE_WORDS[state], "count": count} for state, count in status["states"].items() if count],
        "refused": [{"name": reason, "count": count} for reason, count in status["refused"].items()],
        "figures": {name: specification(figure) for name, figure in figures.items()},
        "captions": _captions(status, front, head.budget),
        "budget": head.budget,
        "groups": list(dict.fromkeys(group for row in rows for group in _outcome(row).get("groups") or {})),
        "front": [_row(row, head.budget) for row in rows],
        "details": {str(row["number"]): _details(row, head) for row in rows},
        "test": _test(head),
        "provenance": {
            "study_file": yaml.safe_dump(head.study_file, sort_keys=False, allow_unicode=True)
            if head.study_file
            else "",
            "facts": _flat(head.space, "search space") + _flat(head.provenance),
        },
        "commands": _commands(head.name, status["best_trial"]),
    }
    return {key: _finite(value) for key, value in document.items()}


def _status_line(status: Mapping[str, Any]) -> str:
    states, changed = status["states"], status["last_change"]
    if not status["trials"]:
        return "No trial has been proposed yet."
    running = f"{states['running']:,} in training" if states["running"] else "nothing in training"
    moment = changed.replace("T", " ").replace("+00:00", "")
    return f"{counted(status['trials'], 'trial')}, {running}. Last change {moment} UTC."


def _facts(status: Mapping[str, Any]) -> list[dict[str, str]]:
    best, rate, states = status["best_accuracy"], status["trials_per_hour"], status["states"]
    refused = sum(status["refused"].values())
    return [
        {
            "label": "Best accuracy",
            "value": "none yet" if best is None else percent(best),
            "note": "within the budget" if best is None else f"trial {status['best_trial']:,}, on validation locations",
        },
        {"label": "Front", "value": f"{status['front_size']:,}", "note": "trials that none other beats"},
        {
            "label": "Hypervolume",
            "value": f"{status['hypervolume']:.4f}",
            "note": "1 is perfect accuracy at next to no cost",
        },
        {
            "label": "Trained",
            "value": f"{states['complete']:,}",
            "note": f"to the end; {states['paused'] + states['stopped_early']:,} paused or stopped early",
        },
        {"label": "Refused", "value": f"{refused:,}", "note": "over the budget or a repeat; never trained"},
        {
            "label": "Elapsed",
            "value": duration(status["elapsed_s"]),
            "note": "from the first start to the last change"
            if rate is None
            else f"{rate:,.1f} trials trained per hour",
        },
    ]


def _captions(status: Mapping[str, Any], front: pd.DataFrame, budget: Mapping[str, float]) -> dict[str, str]:
    """What each figure shows, in words."""
    if len(front):
        best, least = front.iloc[0], front.iloc[-1]
        told = (
            f"The front runs from {percent(best['accuracy'])} at {amount(best['weight_bytes'], 'weight_bytes')} and "
            f"{amount(best['macs'], 'macs')} to {percent(least['accuracy'])} at "
            f"{amount(least['weight_bytes'], 'weight_bytes')} and {amount(least['macs'], 'macs')}."
        )
    else:
        told = "No trial is complete within the budget yet."
    limits = " and ".join(amount(limit, key) for key, limit in budget.items() if key in LABELS)
    done = counted(status["states"]["complete"], "completed trial")
    refused = [f"{reason}, {count:,}" for reason, count in status["refused"].items()]
    return {
        "front": told
        + (f" The dashed lines are the limits, {limits}; beyond them nothing is trained." if limits else "")
        + " A trial is on the front when no other one is as good in accuracy, bytes and MACs at once,"
        " so in one plot alone it may lie below the line.",
        "progress": f"After {done} the hypervolume is {status['hypervolume']:.4f}. "
        "It grows with every trial that widens the front, in accuracy or in cost.",
        "refusals": f"Refused before training: {'; '.join(refused)}." if refused else "No proposal was refused.",
    }


def _row(row: Mapping[Any, Any], budget: Mapping[str, float]) -> dict[str, Any]:
    values = member(row)
    architecture = values.pop("architecture") or {}
    headroom = {k: 1 - values[k] / limit for k, limit in budget.items() if values.get(k) is not None and limit}
    heard = {side: (architecture.get("input") or {}).get(side) for side in ("mels", "frames")}
    return values | heard | {"headroom": headroom, "groups": _outcome(row).get("groups") or {}}


def _details(row: Mapping[Any, Any], head: StudyHead) -> dict[str, Any]:
    proposal, outcome = row["proposal"] or {}, _outcome(row)
    costs = proposal.get("cost") or {}
    return {
        "architecture": proposal.get("architecture"),
        "blocks": blocks_of(proposal.get("architecture") or {}),
        "costs": [
            {
                "label": LABELS.get(key, key),
                "training": (costs.get("training") or {}).get(key),
                "deployed": (costs.get("deployed") or {}).get(key),
                "limit": head.budget.get(key),
            }
            for key in ("params", "weight_bytes", "macs", "peak_bytes")
        ],
        "form": (costs.get("deployed") or {}).get("form"),
        "devices": outcome.get("devices") or {},
        "scenes": outcome.get("scenes") or {},
        "trained": f"{counted(outcome.get('epochs') or 0, 'epoch')} in {duration(outcome.get('seconds') or 0.0)}",
        "curve": {
            key: [point.get(key) for point in outcome.get("curve") or []] for key in ("epoch", "accuracy", "log_loss")
        },
        "commands": _commands(head.name, int(row["number"])),
    }


def _test(head: StudyHead) -> dict[str, Any] | None:
    if not head.test:
        return None
    scores = head.test.get("scores") or {}
    return {"trial": head.test.get("trial")} | {
        key: scores.get(key) for key in ("accuracy", "log_loss", "clips", "groups", "devices", "scenes")
    }


def _commands(name: str, trial: int | None) -> list[str]:
    study = shlex.quote(name)
    if trial is None:
        return [f"nas resume {study}", f"nas status {study}"]
    folder = shlex.quote(f"{name.replace('/', '-')}-{trial}")
    return [
        f"nas export {study} --trial {trial} -o {folder}",
        f"nas cost {folder}/architecture.json",
        f"nas resume {study} --trials +10",
    ]


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[dict[str, str]]:
    """Nested facts as lines of name and text."""
    lines: list[dict[str, str]] = []
    for key, item in value.items():
        name = f"{prefix} {key}".strip()
        if isinstance(item, Mapping):
            lines += _flat(item, name)
        else:
            lines.append({"name": name, "value": item if isinstance(item, str) else json.dumps(item)})
    return lines


def _outcome(row: Mapping[Any, Any]) -> dict[str, Any]:
    return row["outcome"] or {}


def _finite(value: Any) -> Any:
    """The same value with numbers that JSON does not have as nulls."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
