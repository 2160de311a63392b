"""How every figure of a study looks: colours, axes, layout.

Colours are those of the Okabe-Ito palette that keep a contrast of 3:1 on white and on near-black; every kind of
mark also has a shape and a word of its own. Backgrounds are transparent and text is a middle grey, so a figure
stands on a light and on a dark page; the page sets the exact ink.
"""

from typing import Any

BLUE, VERMILION, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#767676"
INK = "#808080"
GRID = "rgba(128,128,128,0.22)"


def layout() -> dict[str, Any]:
    """What all figures share; zoom and selection survive a refresh."""
    return {
        "template": None,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12.5, "color": INK},
        "margin": {"l": 64, "r": 16, "t": 48, "b": 52},  # on top the tool bar, and below it what a line is
        "height": 440,
        "hovermode": "closest",
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "itemsizing": "constant"},
        "uirevision": "kept",
    }


def axis(**more: Any) -> dict[str, Any]:
    """An axis with a quiet grid; `more` is what plotly calls it."""
    if "title" in more:
        more["title"] = {"font": {"size": 13}, "standoff": 10} | more["title"]
    return {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "ticks": "", **more}


def span(shares: list[float]) -> list[float]:
    """An axis range around shares of 1: at least 10 points wide, never beyond what a share can be."""
    low, high = min(shares, default=0.0), max(shares, default=1.0)
    room = max(0.08 * (high - low), (0.1 - (high - low)) / 2, 0.01)
    return [max(low - room, -0.02), min(high + 1.5 * room, 1.02)]
