"""cost: what a design costs, exactly, without building it; and on demand what others count on the built network."""

import json
from pathlib import Path
from typing import Any

import click

from nas.cli.options import as_json, print_json, with_output
from search_spaces.architecture import Architecture
from search_spaces.budget import Budget
from search_spaces.cost import Cost, cost, layers
from search_spaces.designs import design, design_names, teacher_names
from search_spaces.errors import InputError
from search_spaces.forms import Form

KNOWN = (*design_names(), *teacher_names())
HELP = f"""The exact cost of DESIGN, in training form and deployed form, held against the budget.

DESIGN is a JSON file with an architecture, or the name of a known design: {", ".join(design_names())}; or of a
teacher: {", ".join(teacher_names())}.

Exits with 3 if the deployed form does not fit.
"""


class Shape(click.ParamType[tuple[int, int]]):
    """MELSxFRAMES."""

    name = "MELSxFRAMES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        mels, x, frames = str(value).partition("x")
        if not (x and mels.isdigit() and frames.isdigit() and 0 < int(mels) <= 4096 and 0 < int(frames) <= 4096):
            self.fail(f"{value!r} is no shape like 256x65 (mel bands by frames, 1 to 4096)", param, ctx)
        return int(mels), int(frames)


@click.command("cost", help=HELP)
@click.argument("design_or_file", metavar="DESIGN")
@click.option("--input", "shape", type=Shape(), help="Features instead of the design's own, e.g. 256x64.")
@click.option("--weight-bytes", type=click.IntRange(min=1), default=Budget().weight_bytes, show_default=True)
@click.option("--macs", type=click.IntRange(min=1), default=Budget().macs, show_default=True)
@click.option("--layers", "show_layers", is_flag=True, help="Also every operation of the deployed form.")
@click.option(
    "--explain", "show_explanation", is_flag=True, help="Also other counters on the built network, and why they differ."
)
@as_json
@with_output
def command(
    design_or_file: str,
    shape: tuple[int, int] | None,
    weight_bytes: int,
    macs: int,
    show_layers: bool,
    show_explanation: bool,
    as_json: bool,
) -> int:
    from nas.cli import DONE, NOT_FITTING

    architecture = _architecture(design_or_file)
    if shape is not None:  # read anew, because not every stem takes every shape
        size = {"mels": shape[0], "frames": shape[1]}
        architecture = Architecture.from_json({**architecture.to_json(), "input": size})
    budget = Budget(weight_bytes, macs)
    priced = cost(architecture, budget)
    forms = Form.TRAINING, priced.deployed.form
    if as_json:
        answer = {"version": 1, "identity": architecture.identity, **priced.to_json(), "budget": budget.limits}
        if show_layers:
            answer["layers"] = [
                {"path": row.path, "shape": row.op.shape, "params": row.op.params, "macs": row.op.macs}
                for row in layers(architecture, priced.deployed.form)
            ]
        if show_explanation:
            from nas.cli.explanation import explain

            training, deployed = (explain(architecture, form).to_json() for form in forms)
            answer["explanation"] = {"training": training, "deployed": deployed}
        print_json(answer)
    else:
        _print(design_or_file, architecture, priced, budget)
        if show_layers:
            _print_layers(architecture, priced.deployed.form)
        if show_explanation:
            from nas.cli.explanation import explain, print_explanations

            print_explanations([explain(architecture, form) for form in forms])
    return DONE if priced.feasible else NOT_FITTING


def _architecture(design_or_file: str) -> Architecture:
    if design_or_file in KNOWN:
        return design(design_or_file)
    path = Path(design_or_file)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{design_or_file!r} is neither a known design ({', '.join(KNOWN)}) nor a file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{design_or_file} cannot be read as JSON: {error}") from None
    if isinstance(data, dict) and "architecture" in data:  # as an export bundle holds it
        data = data["architecture"]
    return Architecture.from_json(data)


def _print(name: str, architecture: Architecture, priced: Cost, budget: Budget) -> None:
    from nas.cli.tables import print_table

    shape = architecture.input
    training, deployed = priced.training, priced.deployed
    rows = [
        ["parameters", f"{training.params:,}", f"{deployed.params:,}", "", ""],
        _limited("weight bytes", training.weight_bytes, deployed.weight_bytes, budget.weight_bytes),
        _limited("MACs (challenge)", training.macs, deployed.macs, budget.macs),
        ["multiplications only", f"{training.products:,}", f"{deployed.products:,}", "", ""],
        ["peak bytes", f"{training.peak_bytes:,}", f"{deployed.peak_bytes:,}", "", ""],
    ]
    title = f"{name}: {shape.mels}x{shape.frames} features, {architecture.precision}"
    print_table(title, ["", "training", f"deployed ({deployed.form})", "limit", "headroom"], rows)
    if priced.feasible:
        click.echo("It fits the budget.")
    else:
        over = ", ".join(f"{limit} by {excess:.1%}" for limit, excess in priced.excess.items())
        click.echo(f"It is over the budget: {over}.")


def _limited(name: str, training: int, deployed: int, limit: int) -> list[str]:
    return [name, f"{training:,}", f"{deployed:,}", f"{limit:,}", f"{1 - deployed / limit:.1%}"]


def _print_layers(architecture: Architecture, form: Form) -> None:
    from nas.cli.tables import print_table

    rows = [
        [row.path, "x".join(map(str, row.op.shape)), f"{row.op.params:,}", f"{row.op.macs:,}"]
        for row in layers(architecture, form)
    ]
    print_table(f"\nLayers ({form})", ["", "output", "parameters", "MACs (challenge)"], rows)
