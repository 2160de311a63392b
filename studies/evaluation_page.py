"""The page of an evaluation: the document of scores.json, for people."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from studies.evaluation_figures import LOOKS, confusion_figure, device_figure, scene_figure
from studies.figures import specification
from studies.one_page import one_page
from studies.words import counted, percent

Cell = Mapping[str, float | None]
_DIFFERENCE = "difference"


def evaluation_page(document: Mapping[str, Any]) -> str:
    """The page as one HTML file that opens without a network.

    Args:
        document: As `nas evaluate --json` prints it.
    """
    return one_page(f"{document['name']} · evaluation", evaluation_view(document), ("kit.js", "evaluation.js"))


def evaluation_view(document: Mapping[str, Any]) -> dict[str, Any]:
    """All that the page shows, as text, tables and figures: a JSON value."""
    told, scenes, devices = document["students"], list(document["scenes"]), dict(document["devices"])
    kinds = [kind for kind in LOOKS if kind in told]
    heard = [scene for scene in scenes if scene in told["general"]["scenes"]]
    return {
        "name": document["name"],
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "status": _status(document),
        "facts": _facts(document),
        "overall": _overall(told),
        "devices": {
            "caption": _extremes(
                told[kinds[-1]]["devices"],
                {device: f"{device}, {group}" for device, group in devices.items()},
                kinds[-1],
            ),
            "figure": specification(device_figure({kind: told[kind]["devices"] for kind in kinds}, devices)),
            **_across(told, "devices", list(devices)),
        },
        "scenes": {
            "caption": _extremes(told[kinds[-1]]["scenes"], {scene: _words(scene) for scene in heard}, kinds[-1]),
            "figure": specification(scene_figure({kind: told[kind]["scenes"] for kind in kinds}, heard)),
            **_down(told, heard),
        },
        "confusion": [
            {
                "title": f"{LOOKS[kind][0].capitalize()} students" if len(kinds) > 1 else "All recording devices",
                "caption": _confusions(document["confusion"][kind], scenes),
                "figure": specification(confusion_figure(document["confusion"][kind], scenes)),
            }
            for kind in kinds
        ],
        "runs": _runs(document, kinds) if len(document["runs"]) > 1 else None,
        "method": document["interval"]["method"],
        "facts_of_origin": list(_origin(document)),
    }


def _status(document: Mapping[str, Any]) -> str:
    data, own = document["data"], document["systems"][0]["devices"]
    students = (
        f"{counted(len(own), 'recording device')} with students of their own"
        if own
        else "One student for all recording devices"
    )
    return (
        f"{data['clips']:,} {data['part']} clips from {counted(data['locations'], 'location')} "
        f"and {counted(len(document['devices']), 'recording device')}. {students}."
    )


def _facts(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """Six of them: as many as fill their rows on a desk, a tablet and a phone."""
    told, data, runs = document["students"], document["data"], len(document["runs"])
    general, devices = told["general"]["overall"]["all"], len(document["devices"])
    clips = ("Clips", f"{data['clips']:,}", f"of the {data['part']} list")
    last = (
        ("Systems", f"{runs:,}", "whose mean this is")
        if runs > 1
        else ("Locations", f"{data['locations']:,}", "drawn for the intervals")
    )
    if "device_specific" in told:
        own, gain = told["device_specific"]["overall"]["all"], told[_DIFFERENCE]["overall"]["all"]["accuracy"]
        facts = [
            ("General", _percent(general["accuracy"]), _interval(general["accuracy"])),
            ("Device-specific", _percent(own["accuracy"]), _interval(own["accuracy"])),
            ("Difference", f"{100 * gain['value']:+z.1f}%", _interval(gain, signed=True)),
            ("Log loss", f"{own['log_loss']['value']:.3f}", "device-specific, nats"),
            clips,
            last,
        ]
    else:
        facts = [
            ("Accuracy", _percent(general["accuracy"]), _interval(general["accuracy"])),
            ("Log loss", f"{general['log_loss']['value']:.3f}", "nats, mean over clips"),
            clips,
            ("Scenes", f"{len(document['scenes']):,}", "accuracy is their mean"),
            ("Recording devices", f"{devices:,}", "one student for all"),
            last,
        ]
    return [{"label": label, "value": value, "note": note} for label, value, note in facts]


def _overall(told: Mapping[str, Any]) -> dict[str, Any]:
    groups = list(told["general"]["groups"])
    rows = []
    for kind, tables in told.items():
        signed, whole = kind == _DIFFERENCE, tables["overall"]["all"]
        rows.append(
            [
                _word(kind),
                *(_share(tables["groups"][group]["accuracy"], signed) for group in groups),
                _share(whole["accuracy"], signed),
                _range(whole["accuracy"], signed),
                f"{whole['log_loss']['value']:{'+' * signed}z.3f}",
            ]
        )
    heads = ["", *(group.capitalize() for group in groups), "Accuracy", "95 % interval", "Log loss"]
    return {"columns": heads, "rows": rows}


def _across(told: Mapping[str, Any], table: str, names: list[str]) -> dict[str, Any]:
    """Kinds of students as rows, as the reports print it."""
    rows = [
        [_word(kind), *(_share(tables[table][name]["accuracy"], kind == _DIFFERENCE) for name in names)]
        for kind, tables in told.items()
    ]
    return {"columns": ["", *names], "rows": rows}


def _down(told: Mapping[str, Any], scenes: list[str]) -> dict[str, Any]:
    """Kinds of students as columns, each with its interval."""
    rows = []
    for scene in scenes:
        cells = [(tables["scenes"][scene]["accuracy"], kind == _DIFFERENCE) for kind, tables in told.items()]
        rows.append(
            [_words(scene), *(text for cell, signed in cells for text in (_share(cell, signed), _range(cell, signed)))]
        )
    heads = [text for kind in told for text in (_word(kind).capitalize(), "95 % interval")]
    return {"columns": ["Scene", *heads], "rows": rows}


def _runs(document: Mapping[str, Any], kinds: list[str]) -> dict[str, Any]:
    rows = []
    for run in document["runs"]:
        cells = [run["students"][kind]["overall"]["all"] for kind in kinds]
        rows.append(
            [run["label"], *(text for cell in cells for text in (_share(cell["accuracy"]), _range(cell["accuracy"])))]
        )
    heads = [text for kind in kinds for text in (_word(kind).capitalize(), "over locations")]
    return {"columns": ["System", *heads], "rows": rows}


def _extremes(table: Mapping[str, Any], names: Mapping[str, str], kind: str) -> str:
    """The best and the worst row in words; `names` says what each is called."""
    ranked = sorted(table, key=lambda row: -float(table[row]["accuracy"]["value"]))
    best, worst = (f"{names[row]} ({percent(table[row]['accuracy']['value'])})" for row in (ranked[0], ranked[-1]))
    return f"{_word(kind).capitalize()}: best on {best}, worst on {worst}."


def _confusions(counts: Sequence[Sequence[float]], scenes: Sequence[str]) -> str:
    """The three most common mistakes, in words."""
    mistakes = [
        (count / sum(row), truth, heard)
        for truth, row in zip(scenes, counts, strict=True)
        for heard, count in zip(scenes, row, strict=True)
        if count and heard != truth
    ]
    told = [
        f"{_words(truth)} as {_words(heard)} ({percent(share, 0)})"
        for share, truth, heard in sorted(mistakes, key=lambda each: -each[0])[:3]
    ]
    return f"Most often taken for another: {', '.join(told)}." if told else "Every clip was recognised."


def _origin(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    data = document["data"]
    for system in document["systems"]:
        own = ", ".join(system["devices"])
        yield system["path"], f"{system['name']}" + (f"; students of {own}" if own else "")
    yield "data", data["folder"]
    yield "digest of the data", data["digest"]
    yield "training list", data["train_list"]
    for name, value in document["front_end"].items():
        yield f"features {name}", str(value)


def _word(kind: str) -> str:
    return LOOKS[kind][0] if kind in LOOKS else kind


def _words(scene: str) -> str:
    return scene.replace("_", " ")


def _share(cell: Cell, signed: bool = False) -> str:
    return f"{100 * float(cell['value'] or 0.0):{'+' * signed}z.2f}%"


def _percent(cell: Cell) -> str:
    return percent(float(cell["value"] or 0.0))


def _range(cell: Cell, signed: bool = False) -> str:
    if cell["low"] is None or cell["high"] is None:
        return ""
    return f"{100 * cell['low']:{'+' * signed}z.1f} to {100 * cell['high']:{'+' * signed}z.1f}%"


def _interval(cell: Cell, signed: bool = False) -> str:
    return _range(cell, signed) or "no interval"
