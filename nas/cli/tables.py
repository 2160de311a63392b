"""Results as tables for people, on standard output."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from studies.words import shape


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table whose first column is text and whose others are numbers, whole even where nobody sees a terminal."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console.width = 200
    console.print(table)


def print_front(members: Sequence[Mapping[str, Any]], limits: Mapping[str, int]) -> None:
    """The Pareto front: the input of each member as mel bands by frames, and the headroom to each limit."""
    rows = [
        [
            f"trial {member['trial']}" + (f" ({member['design']})" if member["design"] else ""),
            shape(member["architecture"]),
            f"{member['accuracy']:.1%}",
            f"{member['log_loss']:.3f}" if member["log_loss"] is not None else "",
            f"{member['weight_bytes']:,}",
            _headroom(member["weight_bytes"], limits.get("weight_bytes")),
            f"{member['macs']:,}",
            _headroom(member["macs"], limits.get("macs")),
            f"{member['peak_bytes']:,}" if member["peak_bytes"] is not None else "",
        ]
        for member in members
    ]
    columns = [
        "Pareto front",
        "input",
        "accuracy",
        "log loss",
        "weight bytes",
        "headroom",
        "MACs",
        "headroom",
        "peak bytes",
    ]
    print_table("", columns, rows)


def _headroom(cost: int, limit: int | None) -> str:
    return "" if limit is None else f"{1 - cost / limit:.0%}"
