"""The figure that a study is about: accuracy against one cost, with the limit, the front and the known designs.

All text that comes from a study is escaped.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from plotly.graph_objs import Figure, Scatter

from studies.figure_style import BLUE, GREY, PURPLE, VERMILION, axis, layout, span
from studies.front import front_of, pareto_mask
from studies.words import UNITS, amount, missing, percent, plain, shape

RANKS = ("front", "known design", "trained, beaten", "paused or stopped early", "over budget", "running")
"""Kinds of marks in the order of the key."""

Cost = Literal["weight_bytes", "macs"]


def front_figure(trials: pd.DataFrame, budget: Mapping[str, float], cost: Cost) -> Figure:
    """Accuracy against one cost on a logarithmic axis, with the limit, the front and the known designs.

    Every mark carries its trial's number as `customdata`; the last trace, empty, is for the page to ring the
    selected trial. Proposals that were refused and trials that are running have a cost and no accuracy: they
    stand on a strip of their own below.
    """
    front = front_of(trials)
    complete = trials[trials["state"] == "complete"]
    others = complete[~complete.index.isin(front.index) & complete["design"].isna()]
    stopped = trials[trials["state"].isin(("paused", "stopped_early")) & trials[cost].notna()]
    strip = {
        "over budget": trials[(trials["state"] == "over_budget") & trials[cost].notna()],
        "running": trials[(trials["state"] == "running") & trials[cost].notna()],
    }
    strip = {word: rows for word, rows in strip.items() if len(rows)}
    figure = Figure()
    figure.add_trace(
        _marks(
            stopped,
            cost,
            _reached(stopped),
            "paused or stopped early",
            {"symbol": "circle-open", "size": 6, "color": GREY},
        )
    )
    figure.add_trace(
        _marks(
            others,
            cost,
            others["accuracy"],
            "trained, beaten",
            {"symbol": "circle", "size": 6, "color": BLUE, "opacity": 0.45},
        )
    )
    figure.add_trace(_stairs(front, cost, budget.get(cost)))
    members = front[front["design"].isna()]
    figure.add_trace(
        _marks(members, cost, members["accuracy"], "front", {"symbol": "diamond", "size": 11, "color": BLUE})
    )
    known = complete[complete["design"].notna()]
    stars = {"symbol": "star", "size": 15, "color": PURPLE, "line": {"color": "#3b2030", "width": 1}}
    figure.add_trace(_marks(known, cost, known["accuracy"], "known design", stars))
    for row, (word, rows) in enumerate(strip.items()):
        symbol = "x-thin-open" if word == "over budget" else "triangle-up-open"
        marks = _marks(
            rows, cost, pd.Series(float(row), index=rows.index), word, {"symbol": symbol, "size": 8, "color": GREY}
        )
        figure.add_trace(marks.update(yaxis="y2", showlegend=False, marker_line_width=1.5))
    ring = {"symbol": "circle-open", "size": 21, "color": VERMILION, "line": {"width": 2.5}}
    figure.add_trace(
        Scatter(x=[], y=[], mode="markers", marker=ring, hoverinfo="skip", showlegend=False, meta="selected")
    )
    figure.update_layout(layout())
    _cost_axis(figure, trials[cost], cost, budget.get(cost))
    _accuracy_axes(figure, list(strip), [*complete["accuracy"], *_reached(stopped).dropna()])
    _name_designs(figure, known, cost)
    return figure


def _marks(rows: pd.DataFrame, cost: Cost, heights: "pd.Series[Any]", name: str, marker: dict[str, Any]) -> Scatter:
    """One kind of trial."""
    return Scatter(
        x=[int(value) for value in rows[cost]],
        y=heights.tolist(),
        name=name,
        mode="markers",
        marker=marker,
        customdata=rows["number"].tolist(),
        hovertext=[_hover(row) for row in rows.to_dict("records")],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=len(rows) > 0,
        legendrank=RANKS.index(name),
    )


def _name_designs(figure: Figure, known: pd.DataFrame, cost: Cost) -> None:
    """Write each known design's name, once, beyond the limit at the height of its star: nothing is trained there.

    Names keep a distance from each other; a fine line leads each to its star.
    """
    bottom, top = figure.layout.yaxis.range
    edge, height = figure.layout.xaxis.range[1], top
    best = known.sort_values("accuracy", ascending=False).drop_duplicates("design")
    for row in best.to_dict("records"):
        height = min(float(row["accuracy"]), height - 0.07 * (top - bottom))
        figure.add_annotation(
            x=float(np.log10(row[cost])),
            y=row["accuracy"],
            ax=edge,
            ay=height,
            axref="x",
            ayref="y",
            xanchor="right",
            text=plain(_shortened(row["design"], 20)),
            name="known design",
            font={"size": 11.5},
            arrowhead=0,
            arrowwidth=0.8,
            arrowcolor=GREY,
            standoff=8,
        )


def _hover(row: Mapping[Any, Any]) -> str:
    lines = [f"<b>trial {row['number']:,}</b>" + ("" if missing(row["design"]) else f" {plain(row['design'])}")]
    if not missing(row["accuracy"]):
        lines.append(f"accuracy {percent(row['accuracy'])}")
    if heard := shape((row["proposal"] or {}).get("architecture")):
        lines.append(f"input {plain(heard)}")
    lines += [amount(row[key], key) for key in ("weight_bytes", "macs")]
    if not missing(row["peak_bytes"]):
        lines.append(f"peak {amount(row['peak_bytes'], 'peak_bytes')}")
    if not missing(row["detail"]):
        lines.append(plain(_shortened(row["detail"])))
    return "<br>".join(lines)


def _shortened(text: str, longest: int = 90) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _reached(stopped: pd.DataFrame) -> "pd.Series[Any]":
    """Accuracy of trials that were stopped, when they were."""
    return (
        pd.Series([(o or {}).get("accuracy") for o in stopped["outcome"]], index=stopped.index, dtype="float64")
        .astype("object")
        .where(lambda s: s.notna(), None)
    )


def _stairs(front: pd.DataFrame, cost: Cost, limit: float | None) -> Scatter:
    """The best accuracy that the front offers up to each cost, drawn to the limit."""
    rows = front[["accuracy", cost]].astype("float64")
    steps = rows[pareto_mask(np.column_stack([-rows["accuracy"], rows[cost]]))].sort_values(cost)
    x, y = steps[cost].tolist(), steps["accuracy"].tolist()
    if x and limit:
        x, y = [*x, limit], [*y, y[-1]]
    line = {"color": BLUE, "width": 1.5, "shape": "hv"}
    return Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False, name="front")


def _cost_axis(figure: Figure, costs: "pd.Series[Any]", cost: Cost, limit: float | None) -> None:
    """Halvings as ticks; the limit as a dashed line with its figure on it, and the region beyond it shaded."""
    known = [float(value) for value in costs.dropna() if value > 0]
    anchors = known + ([limit] if limit else [])
    low, high = min(anchors, default=1000.0) / 1.3, max(anchors, default=1000.0) * 1.3
    if limit:
        # Room for names beyond the limit; but refusals, which can lie orders of magnitude beyond it, must not push
        # the front into a corner.
        high = min(max(high, limit * (limit / low) ** 0.4), limit * max((limit / low) ** 0.5, 2.0))
    base, suffix = (1e3, " kB") if cost == "weight_bytes" else (1e6, " M")
    powers = range(int(np.floor(np.log2(low / base))), int(np.ceil(np.log2(high / base))) + 1)
    step = max(1, round(len(powers) / 7))
    ticks = [power for power in powers if power % step == 0 and low <= base * 2.0**power <= high]
    figure.update_layout(
        xaxis=axis(
            type="log",
            title={"text": "MACs per clip, deployed" if cost == "macs" else "weight bytes, deployed"},
            range=[float(np.log10(low)), float(np.log10(high))],
            tickvals=[base * 2.0**power for power in ticks],
            ticktext=[f"{2.0**power:,.10g}{suffix}" if power >= -3 else f"{base * 2.0**power:,.0f}" for power in ticks],
        )
    )
    if limit:
        figure.add_shape(
            type="rect", x0=limit, x1=max(high, limit) * 1000, y0=0, y1=1, yref="paper", layer="below", line_width=0,
            fillcolor=VERMILION, opacity=0.07,
        )  # fmt: skip
        figure.add_shape(
            type="line",
            x0=limit,
            x1=limit,
            y0=0,
            y1=1,
            yref="paper",
            line={"color": VERMILION, "width": 1.5, "dash": "dash"},
        )
        figure.add_annotation(
            x=float(np.log10(limit)), y=1, yref="paper", yanchor="bottom", xanchor="right", xshift=4, showarrow=False,
            text=f"limit {limit:,.0f} {UNITS[cost]}", font={"color": VERMILION, "size": 12},
        )  # fmt: skip


def _accuracy_axes(figure: Figure, strip: list[str], accuracies: list[float]) -> None:
    """Accuracy above; below it, where there is something to put there, the strip of trials without accuracy."""
    share = 0.07 * len(strip)
    figure.update_layout(
        yaxis=axis(
            title={"text": "accuracy"},
            tickformat=".0%",
            domain=[share + 0.05 if strip else 0, 1],
            range=span(accuracies),
        ),
        xaxis={"anchor": "y2" if strip else "y"},
    )
    if strip:
        figure.update_layout(
            margin={"l": 84},
            yaxis2=axis(
                domain=[0, share], range=[-0.6, len(strip) - 0.4], fixedrange=True, showgrid=False,
                tickvals=list(range(len(strip))), ticktext=strip, tickfont={"size": 11},
            ),
        )  # fmt: skip
