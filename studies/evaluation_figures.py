"""The figures of an evaluation: accuracy by recording device and by scene, and what is taken for what.

Tables as in scores.json: row -> column -> value, low, high. All text is escaped.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from plotly.graph_objs import Bar, Figure, Heatmap

from studies.figure_style import BLUE, INK, VERMILION, axis, layout
from studies.words import plain

Table = Mapping[str, Mapping[str, Mapping[str, float | None]]]

LOOKS: Mapping[str, tuple[str, str, str]] = {
    "general": ("general", BLUE, ""),
    "device_specific": ("device-specific", VERMILION, "/"),
}
"""Of the kinds of students: word, colour, hatching."""


def device_figure(students: Mapping[str, Table], devices: Mapping[str, str]) -> Figure:
    """Accuracy by recording device, those of a group together.

    Args:
        students: The table of recording devices of each kind of students.
        devices: The group of each recording device, in the order of the bars.
    """
    figure = Figure()
    x = [[plain(group) for group in devices.values()], [plain(device) for device in devices]]
    for kind, table in students.items():
        values = [table[device]["accuracy"] for device in devices]
        figure.add_trace(
            Bar(
                x=x, y=[each["value"] for each in values], error_y=_error(values), **_look(kind),
                hovertemplate=f"recording device %{{x}}<br>{LOOKS[kind][0]} %{{y:.2%}}<extra></extra>",
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
    for kind, table in students.items():
        values = [table[scene]["accuracy"] for scene in scenes]
        figure.add_trace(
            Bar(
                y=[_words(scene) for scene in scenes], x=[each["value"] for each in values], error_x=_error(values),
                orientation="h", **_look(kind),
                hovertemplate=f"%{{y}}<br>{LOOKS[kind][0]} %{{x:.2%}}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_layout(
        layout(), barmode="group", bargap=0.3, showlegend=len(students) > 1, height=90 + 44 * len(scenes),
        margin={"l": 16, "r": 16, "t": 10, "b": 52},
        xaxis=axis(title={"text": "accuracy"}, tickformat=".0%", rangemode="tozero"),
        yaxis=axis(autorange="reversed", automargin=True),
    )  # fmt: skip
    return figure


def confusion_figure(counts: Sequence[Sequence[float]], scenes: Sequence[str]) -> Figure:
    """For the clips of each scene (row) the share that was heard as each scene (column); the page sets the colours."""
    shares = [[value / sum(row) if sum(row) else None for value in row] for row in counts]
    names = [_words(scene) for scene in scenes]
    figure = Figure(
        Heatmap(
            z=shares, x=names, y=names, zmin=0, zmax=1, showscale=False, xgap=1, ygap=1, customdata=counts,
            text=[["" if value is None or value < 0.005 else f"{100 * value:.0f}" for value in row] for row in shares],
            texttemplate="%{text}", textfont={"size": 11},
            hovertemplate="%{y} heard as %{x}<br>%{z:.1%}, %{customdata:,.5~g} clips<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(
        layout(), height=150 + 34 * len(scenes), margin={"l": 16, "r": 8, "t": 10, "b": 16},
        xaxis=axis(title={"text": "heard as"}, automargin=True, tickangle=-60, showgrid=False),
        yaxis=axis(autorange="reversed", automargin=True, showgrid=False),
    )  # fmt: skip
    return figure


def _look(kind: str) -> dict[str, Any]:
    name, colour, shape = LOOKS[kind]
    hatching = {"shape": shape, "fgcolor": "rgba(255,255,255,0.6)", "fillmode": "overlay", "size": 6, "solidity": 0.22}
    return {"name": name, "marker": {"color": colour, "pattern": hatching}}


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


def _words(scene: str) -> str:
    return plain(scene.replace("_", " "))
