"""An architecture as a table for people: one row per block, what it computes in the field's words."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, get_args

from search_spaces.architecture import Architecture, ArchitectureError
from search_spaces.parts import Block, Head, RepConv, Stem

TIMES = "\N{MULTIPLICATION SIGN}"

COLUMNS = ("kind", "width", "expanded", "stride", "kernels", "dilation", "pooling")
"""What has a column of its own; whatever else a part is made of stands under "options"."""

_WORDS = {"grn": "GRN", "identity": "identity branch", "every_stage": "of every stage"}


def _defaults(kind: Any) -> dict[str, Any]:
    return {field.name: field.default for field in fields(kind)}


_USUAL = {"head": _defaults(Head)} | {
    defaults["kind"]: defaults for union in (Stem, Block) for defaults in map(_defaults, get_args(get_args(union)[0]))
}
"""By the kind of a part, what its options are if nothing is said."""


def blocks_of(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of an architecture's JSON form, in the order in which a clip passes them.

    Reads any version of the format: what a part is made of is told by the names it is stored under. Options that have
    no effect, or are what this release takes if nothing is said, are left out.

    Returns:
        `columns`: names; `rows`: for each part the texts under the columns, empty where a part has none;
        `facts`: what holds for the whole network, as pairs of name and text.
    """
    architecture = _effective(architecture)
    rows: list[dict[str, str]] = []
    if isinstance(stem := architecture.get("stem"), Mapping):
        rows.append({"part": "stem"} | _part(stem))
    for number, stage in enumerate(architecture.get("stages") or [], start=1):
        blocks = stage.get("blocks") or []
        for index, block in enumerate(blocks, start=1):
            place = {"part": f"stage {number}, block {index}"}
            rows.append(place | _part(block) | (_after(stage) if index == len(blocks) else {}))
    if isinstance(head := architecture.get("head"), Mapping):
        rows.append({"part": "head"} | _part(head))
    columns = [name for name in ("part", *COLUMNS, "options", "after the stage") if any(row.get(name) for row in rows)]
    whole = {key: value for key, value in architecture.items() if key not in ("version", "stem", "stages", "head")}
    return {
        "columns": columns,
        "rows": [[row.get(column, "") for column in columns] for row in rows],
        "facts": [[key, _text(key, value)] for key, value in whole.items()],
    }


def _effective(architecture: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same stages of blocks without what has no effect; one of another release stays as it is."""
    try:
        value = Architecture.from_json(architecture)
    except ArchitectureError:
        return architecture
    stages, c_in = [], value.stem.width
    for stage in value.stages:
        blocks = []
        for block in stage.blocks:
            blocks.append(block.canonical(c_in))
            c_in = block.width
        c_in += value.stem.width if stage.concat else 0
        stages.append(replace(stage, blocks=tuple(blocks)))
    return replace(value, stem=value.stem.canonical(), stages=tuple(stages)).to_json()


def _part(part: Mapping[str, Any]) -> dict[str, str]:
    """The texts of one part under the columns. A set of parallel kernels is told as the part's own."""
    conv = part.get("conv")
    usual = _USUAL.get(part.get("kind", "head"), {}) | _defaults(RepConv)
    flat = {{"widths": "width"}.get(key, key): value for key, value in part.items() if key != "conv"}
    flat |= conv if isinstance(conv, Mapping) else {}
    options = [
        _option(key, value)
        for key, value in flat.items()
        if key not in COLUMNS and (key not in usual or value != usual[key])
    ]
    return {key: _text(key, flat[key]) for key in COLUMNS if key in flat} | {"options": ", ".join(options)}


def _after(stage: Mapping[str, Any]) -> dict[str, str]:
    """What follows a stage, as one text: nothing where nothing follows."""
    around = {key: value for key, value in stage.items() if key != "blocks" and value not in (False, "none")}
    done = [key if value is True else f"{value} {key}" for key, value in around.items()]
    return {"after the stage": ", ".join(done)}


def _option(key: str, value: Any) -> str:
    name = _WORDS.get(key, key.replace("_", " "))
    if isinstance(value, bool) or value is None:
        return name if value else f"no {name}"
    return f"{name} {_text(key, value)}"


def _text(key: str, value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return f"{TIMES.join(map(str, value.values()))} ({' by '.join(map(str, value))})"
    if isinstance(value, list):
        if value and all(isinstance(item, list) for item in value):
            return " + ".join(TIMES.join(map(str, item)) for item in value)  # parallel kernels
        return (TIMES if key == "stride" else ", ").join(map(str, value))
    return str(value)
