"""The page of a bundle that people read first."""

from collections.abc import Mapping, Sequence
from typing import Any

from search_spaces.architecture import Architecture

_FILES = (
    ("architecture.json", "the architecture as a value, with its cost in training and deployed form"),
    ("model.safetensors", "the weights of the deployed form, at its precision; int8 weights have scales beside them"),
    (
        "model.onnx",
        "the network for ONNX runtimes: features (batch, 1, mels, frames) to logits (batch, scenes), float32",
    ),
    ("model.pt2", "the same as a torch.export program, for converters; open it only if you trust where it comes from"),
    ("model.int8.onnx", "the student in int8, where there is one: its weights in one byte each, its maps rounded"),
    ("features.json", "every setting of the features, the input shape, the scenes in the order of the logits"),
    ("reference.npz", "examples of features and the logits they give: a port is right when it gives these"),
    ("results.json", "scores, budget and provenance as numbers"),
    ("manifest.json", "sizes and SHA-256 digests of all files"),
)


def card(
    architecture: Architecture,
    *,
    costs: Mapping[str, Mapping[str, Any]],
    scores: Mapping[str, Mapping[str, Any]],
    int8_scores: Mapping[str, Mapping[str, Any]] | None,
    budget: Mapping[str, int | None],
    front_end: Mapping[str, Any],
    scenes: Sequence[str],
    provenance: Mapping[str, Any],
) -> str:
    """The card as Markdown; the arguments are those of `write_bundle`."""
    shape = architecture.input
    parts = [
        f"# Acoustic scene classifier {architecture.identity}",
        f"Tells {len(scenes)} scenes apart from one second of sound: {', '.join(scenes)}. Its input is a log-mel map "
        f"of {shape.mels} bands by {shape.frames} frames; its weights are stored in {architecture.precision}.",
        "## Cost",
        _cost_table(costs, budget),
        *_score_sections(scores),
        *([] if int8_scores is None else _score_sections(int8_scores, "Scores in int8")),
        "## Features",
        _table(("setting", "value"), [(name, _value(value)) for name, value in front_end.items()]),
        "## Files",
        _table(("file", "content"), _FILES),
        "## Provenance",
        _table(("what", "value"), _rows(provenance)) if provenance else "None was given.",
    ]
    return "\n\n".join(parts) + "\n"


def _cost_table(costs: Mapping[str, Mapping[str, Any]], budget: Mapping[str, int | None]) -> str:
    words = {
        "params": "parameters",
        "weight_bytes": "bytes of the parameters",
        "macs": "multiply-accumulates for one clip (the challenge's count)",
        "products": "of which in convolutions and linear layers",
        "peak_bytes": "bytes of activations alive at once",
    }
    titles = {"training": "in training", "deployed": f"deployed ({costs['deployed']['form']})", "int8": "in int8"}
    columns = [column for column in titles if column in costs]
    rows = []
    for name, word in words.items():
        limit = budget.get(name)
        counts = [f"{costs[column][name]:,}" for column in columns]
        rows.append((word, *counts, "" if limit is None else f"{limit:,}"))
    return _table(("", *(titles[column] for column in columns), "limit"), rows)


def _score_sections(scores: Mapping[str, Mapping[str, Any]], title: str = "Scores") -> list[str]:
    if not scores:
        return [f"## {title}", "None were given."]
    sections = []
    for part, values in scores.items():
        sections.append(f"## {title} on the {part} clips")
        sections.append(
            f"Macro accuracy {values['accuracy']:.2%}, log loss {values['log_loss']:.3f}, "
            f"over {values['clips']:,} clips. The accuracy of a recording device or a group is a mean over scenes too."
        )
        for kind in ("groups", "devices", "scenes"):
            if values.get(kind):
                rows = [(name, f"{accuracy:.2%}") for name, accuracy in values[kind].items()]
                sections.append(_table((_SINGULAR[kind], "accuracy"), rows))
    return sections


_SINGULAR = {"groups": "device group", "devices": "recording device", "scenes": "scene"}


def _rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """One row for each value; a nested mapping becomes rows named "outer inner"."""
    rows = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += [(f"{name} {inner}", _value(item)) for inner, item in value.items()]
        else:
            rows.append((name, _value(value)))
    return rows


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _value(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
