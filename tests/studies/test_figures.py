"""The figures show the numbers of the table, say what they show, and carry nothing a study wrote as markup."""

import json
from typing import Any

import pandas as pd
import pytest

from studies.figures import curve_figure, progress_figure, refusals_figure, specification
from studies.front import front_of
from studies.front_figure import Cost, front_figure
from studies.hypervolume import hypervolume_curve, scale_of
from studies.records import read_study, read_trials
from studies.refusals import refusal_counts

COSTS: tuple[Cost, ...] = ("weight_bytes", "macs")


@pytest.fixture(scope="module")
def trials(sixty: Any) -> pd.DataFrame:
    return read_trials(sixty.url, "sixty")


@pytest.fixture(scope="module")
def budget(sixty: Any) -> dict[str, int]:
    return read_study(sixty.url, "sixty").budget


def _points(figure: dict[str, Any], name: str) -> set[tuple[float, float, int]]:
    traces = [trace for trace in figure["data"] if trace.get("name") == name and "markers" in trace["mode"]]
    return {point for t in traces for point in zip(t["x"], t["y"], t["customdata"], strict=True)}


@pytest.mark.parametrize("cost", COSTS)
def test_every_trial_with_a_cost_is_one_mark_of_its_kind(
    trials: pd.DataFrame, budget: dict[str, int], cost: Cost
) -> None:
    figure = specification(front_figure(trials, budget, cost))
    front, rows = front_of(trials), trials.set_index("number")
    drawn = {name: _points(figure, name) for name in ("front", "known design", "trained, beaten")}
    complete = set().union(*drawn.values())
    assert complete == {(r[cost], r["accuracy"], n) for n, r in rows[rows["state"] == "complete"].iterrows()}
    assert {number for *_, number in drawn["front"]} == set(front.loc[front["design"].isna(), "number"])
    assert {rows.loc[number, "design"] for *_, number in drawn["known design"]} == {"cp-mobile-2025"}
    for name, states in (
        ("over budget", ["over_budget"]),
        ("running", ["running"]),
        ("paused or stopped early", ["paused", "stopped_early"]),
    ):
        assert {number for *_, number in _points(figure, name)} == set(rows.index[rows["state"].isin(states)])


@pytest.mark.parametrize("cost", COSTS)
def test_the_limit_is_a_line_with_its_figure_and_shade_beyond(
    trials: pd.DataFrame, budget: dict[str, int], cost: Cost
) -> None:
    layout = specification(front_figure(trials, budget, cost))["layout"]
    line, shade = (next(s for s in layout["shapes"] if s["type"] == kind) for kind in ("line", "rect"))
    assert line["x0"] == line["x1"] == shade["x0"] == budget[cost]
    assert line["line"]["dash"] == "dash"
    unit = {"weight_bytes": "B", "macs": "MACs"}[cost]
    assert f"limit {budget[cost]:,} {unit}" in [note["text"] for note in layout["annotations"]]
    assert layout["xaxis"]["type"] == "log"


@pytest.mark.parametrize("cost", COSTS)
def test_the_stairs_are_the_best_accuracy_up_to_each_cost(
    trials: pd.DataFrame, budget: dict[str, int], cost: Cost
) -> None:
    figure = specification(front_figure(trials, budget, cost))
    stairs = next(trace for trace in figure["data"] if trace["mode"] == "lines")
    complete = trials[trials["state"] == "complete"]
    for x, y in zip(stairs["x"], stairs["y"], strict=True):
        assert y == complete.loc[complete[cost] <= x, "accuracy"].max()
    assert stairs["x"][-1] == budget[cost]


def test_hovers_have_units_and_thousands_separators(trials: pd.DataFrame, budget: dict[str, int]) -> None:
    figure = specification(front_figure(trials, budget, "macs"))
    star = next(trace for trace in figure["data"] if trace["name"] == "known design")
    assert star["hovertext"] == [
        "<b>trial 0</b> cp-mobile-2025<br>accuracy 57.5%<br>input 256x65<br>122,296 B<br>29,419,156 MACs"
        "<br>peak 348,160 B"
    ]


def test_progress_is_the_curve_of_the_hypervolume(trials: pd.DataFrame, budget: dict[str, int]) -> None:
    scale = scale_of(trials, budget)
    figure, curve = specification(progress_figure(trials, scale)), hypervolume_curve(trials, scale)
    by_name = {trace["name"]: trace for trace in figure["data"]}
    assert by_name["hypervolume"]["y"] == curve["hypervolume"].tolist()
    assert by_name["best so far"]["y"] == curve["best_accuracy"].tolist()
    assert by_name["one trial"]["customdata"] == curve["number"].tolist()


def test_refusals_end_at_their_counts(trials: pd.DataFrame, budget: dict[str, int]) -> None:
    counts = refusal_counts(trials, budget)
    figure = specification(refusals_figure(trials, budget))
    assert {trace["name"]: trace["y"][-1] for trace in figure["data"]} == counts
    refused = trials["state"].isin(["over_budget", "repeat"])
    assert sum(counts.values()) == refused.sum() > 10
    looks = [(trace["line"]["color"], trace["line"]["dash"]) for trace in figure["data"]]
    assert len({dash for _, dash in looks} | {colour for colour, _ in looks}) > len(looks)  # not by colour alone


def test_a_refusal_says_which_limit_it_broke(toy: Any) -> None:
    toy.refuse("over_budget", 128_001, 1)
    toy.refuse("over_budget", 1, 30_000_001)
    toy.refuse("over_budget", 128_001, 30_000_001)
    toy.refuse("repeat", 128_000, 30_000_000)
    assert refusal_counts(read_trials(toy.url, "toy"), toy.limits) == {
        "weight bytes over the limit": 1,
        "MACs over the limit": 1,
        "both costs over their limits": 1,
        "repeat of an earlier trial": 1,
    }


def test_a_learning_curve_has_every_epoch(sixty: Any) -> None:
    outcome = sixty.outcome(0.5, epochs=27)
    figure = specification(curve_figure(outcome))
    for trace, key in zip(figure["data"], ("accuracy", "log_loss"), strict=True):
        assert trace["x"] == list(range(1, 28))
        assert trace["y"] == [point[key] for point in outcome["curve"]]


def test_a_study_without_trials_or_budget_still_has_figures(toy: Any) -> None:
    trials = read_trials(toy.url, "toy")
    for figure in (
        front_figure(trials, {}, "macs"),
        front_figure(trials, toy.limits, "weight_bytes"),
        progress_figure(trials, None),
        refusals_figure(trials, {}),
        curve_figure({}),
    ):
        assert specification(figure)["layout"]


def test_text_of_a_study_is_never_markup(toy: Any) -> None:
    evil = "<a href='javascript:alert(1)'>x</a>"
    toy.complete(0.5, 1000, 1000, design=evil)
    toy.refuse("over_budget", 128_001, 1000, detail=evil)
    text = json.dumps(specification(front_figure(read_trials(toy.url, "toy"), toy.limits, "macs")))
    assert "<a" not in text
    assert "&lt;a" in text
