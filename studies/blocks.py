"""An architecture as a table for people: one row per block, what it computes in the field's words."""

from collections.abc import Mapping
from typing import Any

TIMES = "\N{MULTIPLICATION SIGN}"


def blocks_of(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of an architecture's JSON form, in the order in which a clip passes them.

    Reads any version of the format: what a part is made of becomes columns, by the names it is stored under.

    Returns:
        `columns`: names; `rows`: for each part the texts under the columns, empty where a part has none;
        `facts`: what holds for the whole network, as pairs of name and text.
    """
    parts: list[dict[str, str]] = []
    if isinstance(stem := architecture.get("stem"), Mapping):
        parts.append({"part": "stem", "kind": ""} | _texts(stem))
    for number, stage in enumerate(architecture.get("stages") or [], start=1):
        blocks = stage.get("blocks") or []
        around = _texts({key: value for key, value in stage.items() if key != "blocks"})
        for index, block in enumerate(blocks, start=1):
            last = index == len(blocks)
            place = {"part": f"stage {number}, block {index}"}
            parts.append(place | _texts(block) | (_after(around) if last else {}))
    if isinstance(head := architecture.get("head"), Mapping):
        parts.append({"part": "head"} | _texts(head))
    columns = list(dict.fromkeys(key for part in parts for key in part))
    whole = {key: value for key, value in architecture.items() if key not in ("version", "stem", "stages", "head")}
    return {
        "columns": columns,
        "rows": [[part.get(column, "") for column in columns] for part in parts],
        "facts": [[key, text] for key, text in _texts(whole).items()],
    }


def _after(around: Mapping[str, str]) -> dict[str, str]:
    """What follows a stage, as one text: nothing where nothing follows."""
    done = [key if text == "yes" else f"{text} {key}" for key, text in around.items() if text not in ("no", "none")]
    return {"after the stage": ", ".join(done)} if done else {}


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    # The stem's two widths stand under the others' one.
    return {{"widths": "width"}.get(key, key.replace("_", " ")): _text(key, value) for key, value in values.items()}


def _text(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(name, item)}" for name, item in value.items())
    if isinstance(value, list):
        if value and all(isinstance(item, list) for item in value):
            return " + ".join(TIMES.join(map(str, item)) for item in value)  # parallel kernels
        return (TIMES if key == "stride" else ", ").join(map(str, value))
    return str(value)
