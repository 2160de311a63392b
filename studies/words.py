"""How quantities and states are written for people: thousands separators, units, per cent, words."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

UNITS = {"weight_bytes": "B", "macs": "MACs", "peak_bytes": "B", "params": "parameters"}
LABELS = {"weight_bytes": "Weight bytes", "macs": "MACs", "peak_bytes": "Peak bytes", "params": "Parameters"}

STATE_WORDS = {
    "complete": "complete",
    "running": "running",
    "paused": "paused at a rung",
    "waiting": "not started",
    "stopped_early": "stopped early",
    "over_budget": "over the budget",
    "repeat": "repeats",
    "failed": "failed",
}


def missing(value: Any) -> bool:
    """Whether a single value from the table of trials is not known: None, NaN, NA or NaT."""
    return value is None or pd.isna(value) is True


def percent(share: float, digits: int = 1) -> str:
    """A share of 1 as per cent."""
    return f"{100 * share:.{digits}f}%"


def counted(number: int, noun: str) -> str:
    """A number with its noun, which takes an s unless there is one."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def amount(value: Any, key: str) -> str:
    """A cost with its unit; "unknown" where it is not known."""
    return "unknown" if missing(value) else f"{int(value):,} {UNITS[key]}"


def shape(architecture: Mapping[str, Any] | None) -> str:
    """The input of an architecture's JSON form, mel bands by frames: "256x65"; empty where it is not known."""
    return "x".join(str(side) for side in ((architecture or {}).get("input") or {}).values())


def duration(seconds: float) -> str:
    """Seconds as the two units that matter: "3 h 20 min"."""
    if not math.isfinite(seconds) or seconds < 1:
        return "0 s"
    whole = round(seconds)
    for size, unit, smaller, name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{whole} s"


def plain(text: Any) -> str:
    """Text for plotly, which would read tags in it; its three special characters become entities."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
