"""The other figures of a study: progress, refusals, one learning curve. Columns in, plotly figure out."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
from plotly.graph_objs import Figure, Scatter

from studies.figure_style import BLUE, GREEN, GREY, PURPLE, VERMILION, axis, layout, span
from studies.hypervolume import Scale, hypervolume_curve
from studies.refusals import REASON_WORDS, refusal_words


def progress_figure(trials: pd.DataFrame, scale: Scale | None) -> Figure:
    """Hypervolume, and accuracy of each trial and of the best so far, against completed trials."""
    curve = hypervolume_curve(trials, scale)
    done = list(range(1, len(curve) + 1))
    numbers = curve["number"].tolist()
    figure = Figure()
    figure.add_trace(
        Scatter(
            x=done, y=curve["hypervolume"].tolist(), customdata=numbers, name="hypervolume", mode="lines",
            line={"color": BLUE, "width": 2.5, "shape": "hv"}, yaxis="y2", showlegend=False,
            hovertemplate="after %{x:,} trials (trial %{customdata})<br>hypervolume %{y:.4f}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_trace(
        Scatter(
            x=done, y=curve["accuracy"].tolist(), customdata=numbers, name="one trial", mode="markers",
            marker={"color": GREY, "size": 5, "symbol": "circle-open"},
            hovertemplate="trial %{customdata}<br>accuracy %{y:.1%}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_trace(
        Scatter(
            x=done, y=curve["best_accuracy"].tolist(), name="best so far", mode="lines",
            line={"color": GREEN, "width": 2.5, "shape": "hv", "dash": "dash"},
            hovertemplate="after %{x:,} trials<br>best accuracy %{y:.1%}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(
        layout(),
        xaxis=axis(title={"text": "completed trials"}, anchor="y", **_counted(len(curve))),
        yaxis=axis(
            title={"text": "accuracy"}, domain=[0, 0.46], tickformat=".0%", range=span(curve["accuracy"].tolist())
        ),
        yaxis2=axis(title={"text": "hypervolume"}, domain=[0.56, 1], rangemode="tozero"),
    )
    return figure


def refusals_figure(trials: pd.DataFrame, budget: Mapping[str, float]) -> Figure:
    """How many proposals had been refused for each reason, against the trial's number."""
    words = refusal_words(trials, budget)
    last = int(trials["number"].max()) if len(trials) else 0
    looks = dict(
        zip(
            REASON_WORDS,
            [(VERMILION, "solid"), (BLUE, "dash"), (PURPLE, "dot"), (GREY, "solid"), (GREEN, "dashdot")],
            strict=True,
        )
    )
    figure = Figure()
    for reason, (colour, dash) in looks.items():
        numbers = trials.loc[words.index[words == reason], "number"].tolist()
        if numbers:
            x, y = [0, *numbers, last], [0, *range(1, len(numbers) + 1), len(numbers)]
            figure.add_trace(
                Scatter(
                    x=x, y=y, name=reason, mode="lines",
                    line={"color": colour, "dash": dash, "width": 2.5, "shape": "hv"},
                    hovertemplate=f"up to trial %{{x:,}}<br>%{{y:,}} refused: {reason}<extra></extra>",
                )
            )  # fmt: skip
    figure.update_layout(
        layout(),
        showlegend=True,
        xaxis=axis(title={"text": "trial number"}, **_counted(last)),
        yaxis=axis(title={"text": "refused so far"}, **_counted(max(words.value_counts(), default=0))),
    )
    return figure


def curve_figure(outcome: Mapping[str, Any]) -> Figure:
    """The learning curve of one trial: validation accuracy and log loss after each epoch."""
    curve = outcome.get("curve") or []
    figure = Figure()
    for key, side, colour, symbol, shown in (
        ("accuracy", "y2", BLUE, "circle", "accuracy %{y:.1%}"),
        ("log_loss", "y", VERMILION, "square", "log loss %{y:.3f}"),
    ):
        figure.add_trace(
            Scatter(
                x=[point.get("epoch") for point in curve], y=[point.get(key) for point in curve], yaxis=side,
                name=key.replace("_", " "), meta=key, mode="lines+markers", line={"color": colour, "width": 2},
                marker={"symbol": symbol, "size": 6}, hovertemplate=f"epoch %{{x}}<br>{shown}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_layout(
        layout(),
        showlegend=False,
        xaxis=axis(title={"text": "epoch"}, anchor="y", dtick=-(-len(curve) // 10) or 1, tickformat=",d"),
        yaxis=axis(title={"text": "log loss"}, domain=[0, 0.46], nticks=5),
        yaxis2=axis(title={"text": "accuracy"}, domain=[0.56, 1], tickformat=".0%", nticks=5),
    )
    return figure


def specification(figure: Figure) -> dict[str, Any]:
    """A figure as the plain JSON value that plotly's script draws from."""
    value: dict[str, Any] = json.loads(figure.to_json())
    return value


def _counted(last: int) -> dict[str, Any]:
    """An axis of whole numbers from 0: a tick for each as long as they are few."""
    return {"range": [0, last * 1.02 + 0.1], "tickformat": ",d"} | ({"dtick": 1} if last < 8 else {})
