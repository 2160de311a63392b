"""The figures of an evaluation: accuracy by recording device and by scene, and what is taken for what.

Tables as in scores.json: row -> column -> value, low, high. All text is escaped.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

from plotly.graph_objs import Bar, Figure, Heatmap

from studies.figure_style import BLUE, GREEN, INK, PURPLE, VERMILION, axis, layout
from studies.words import plain

Table = Mapping[str, Mapping[str, Mapping[str, float | None]]]

_LOOKS = ((BLUE, ""), (VERMILION, "/"), (GREEN, "x"), (PURPLE, "."))
"""Colour and hatching of the kinds of answers, in their order."""


def device_figure(students: Mapping[str, Table], devices: Mapping[str, str]) -> Figure:
    """Accuracy by recording device, those of a group together.

    Args:
        students: The table of recording devices of each kind of answers, by what the kind is called.
        devices: The group of each recording device, in the order of the bars.
    """
    figure = Figure()
    x = [[plain(group) for group in devices.values()], [plain(device) for device in devices]]
    for name, table, look in _looks(students):
        values = [table[device]["accuracy"] for device in devices]
        figure.add_trace(
            Bar(
                x=x, y=[each["value"] for each in values], error_y=_error(values), **look,
                hovertemplate=f"recording device %{{x}}<br>{name} %{{y:.2%}}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_layout(
        layout(), barmode="group", bargap=0.25, showlegend=len(students) > 1,
        xaxis=axis(automargin=True, tickangle=0, showgrid=False),
        yaxis=axis(title={"text": "accuracy"}, tickformat=".0%", rangemode="tozero"),
    )  # fmt: skip
    return figure


def scene_figure(students: Mapping[str, Table], scenes: Sequence[str]) -> Figure:
    """Accuracy by scene, from top to bottom, so that long names have room on a phone."""
    figure = Figure()
    for name, table, look in _looks(students):
        values = [table[scene]["accuracy"] for scene in scenes]
        figure.add_trace(
            Bar(
                y=[_words(scene) for scene in scenes], x=[each["value"] for each in values], error_x=_error(values),
                orientation="h", **look,
                hovertemplate=f"%{{y}}<br>{name} %{{x:.2%}}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_layout(
        layout(), barmode="group", bargap=0.3, showlegend=len(students) > 1,
        height=90 + max(44, 18 * len(students)) * len(scenes),
        margin={"l": 16, "r": 16, "t": 10, "b": 52},
        xaxis=axis(title={"text": "accuracy"}, tickformat=".0%", rangemode="tozero"),
        yaxis=axis(autorange="reversed", automargin=True),
    )  # fmt: skip
    return figure


def confusion_figure(told: Mapping[str, Any], scenes: Sequence[str]) -> Figure:
    """For the clips of each scene (row) the share that was heard as each scene (column); the page sets the colours.

    Args:
        told: Numbers of clips: value, low, high, each (row, column).
    """
    counts = told["value"]
    shares = [[value / sum(row) if sum(row) else None for value in row] for row in counts]
    clips = [
        [_clips(*cell) for cell in zip(*rows, strict=True)]
        for rows in zip(counts, told["low"], told["high"], strict=True)
    ]
    names = [_words(scene) for scene in scenes]
    figure = Figure(
        Heatmap(
            z=shares, x=names, y=names, zmin=0, zmax=1, showscale=False, xgap=1, ygap=1, customdata=clips,
            text=[["" if value is None or value < 0.005 else f"{100 * value:.0f}" for value in row] for row in shares],
            texttemplate="%{text}", textfont={"size": 11},
            hovertemplate="%{y} heard as %{x}<br>%{z:.1%}, %{customdata}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(
        layout(), height=150 + 34 * len(scenes), margin={"l": 16, "r": 8, "t": 10, "b": 16},
        xaxis=axis(title={"text": "heard as"}, automargin=True, tickangle=-60, showgrid=False),
        yaxis=axis(autorange="reversed", automargin=True, showgrid=False),
    )  # fmt: skip
    return figure


def _looks(students: Mapping[str, Table]) -> Iterator[tuple[str, Table, dict[str, Any]]]:
    """Each kind's name, table, and look of its bars."""
    for (name, table), (colour, shape) in zip(students.items(), cycle(_LOOKS), strict=False):
        hatching = {
            "shape": shape, "fgcolor": "rgba(255,255,255,0.6)", "fillmode": "overlay", "size": 6, "solidity": 0.22
        }  # fmt: skip
        text = plain(name)
        yield text, table, {"name": text, "marker": {"color": colour, "pattern": hatching}}


def _error(values: Sequence[Mapping[str, float | None]]) -> dict[str, Any]:
    """From the value to each end of its interval; no bar where there is none."""
    ends = [
        (0.0, 0.0) if value is None or low is None or high is None else (value - low, high - value)
        for value, low, high in ((each["value"], each["low"], each["high"]) for each in values)
    ]
    return {
        "type": "data", "symmetric": False, "arrayminus": [low for low, _ in ends], "array": [high for _, high in ends],
        "color": INK, "thickness": 1.3, "width": 3,
    }  # fmt: skip


def _clips(value: float, low: float | None, high: float | None) -> str:
    """A number of clips, a mean over systems with its interval."""
    return f"{value:,.5g} clip{'s' * (value != 1)}" + (
        "" if low is None or high is None else f" ({low:,.4g} to {high:,.4g})"
    )


def _words(scene: str) -> str:
    return plain(scene.replace("_", " "))
