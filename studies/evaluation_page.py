"""The page of an evaluation: the document of scores.json, for people."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from studies.evaluation_figures import confusion_figure, device_figure, scene_figure
from studies.figures import specification
from studies.one_page import one_page
from studies.words import counted, percent

Value = Mapping[str, float | None]
Cell = str | list[str]
"""Of a table: its text, or a value and its interval."""


def evaluation_page(document: Mapping[str, Any]) -> str:
    """The page as one HTML file that opens without a network.

    Args:
        document: As `nas evaluate --json` prints it.
    """
    return one_page(f"{document['name']} · evaluation", evaluation_view(document), ("kit.js", "evaluation.js"))


def evaluation_view(document: Mapping[str, Any]) -> dict[str, Any]:
    """All that the page shows, as text, tables and figures: a JSON value."""
    told, labels, deployed = document["students"], document["labels"], document["deployed"]
    scenes, devices = list(document["scenes"]), dict(document["devices"])
    kinds = list(document["confusion"])
    heard = [scene for scene in scenes if scene in told[deployed]["scenes"]]
    best = labels[deployed].capitalize()
    return {
        "name": document["name"],
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "status": _status(document),
        "facts": _facts(document),
        "overall": _overall(document),
        "devices": {
            "caption": f"{best}: "
            + _extremes(told[deployed]["devices"], {device: f"{device}, {group}" for device, group in devices.items()}),
            "figure": specification(device_figure({labels[kind]: told[kind]["devices"] for kind in kinds}, devices)),
            **_table("", "devices", {device: device for device in devices}, document, across=True),
        },
        "scenes": {
            "caption": f"{best}: " + _extremes(told[deployed]["scenes"], {scene: _words(scene) for scene in heard}),
            "figure": specification(scene_figure({labels[kind]: told[kind]["scenes"] for kind in kinds}, heard)),
            **_table("Scene", "scenes", {scene: _words(scene) for scene in heard}, document, across=False),
        },
        "confusion": [
            {
                "title": labels[kind].capitalize() if len(kinds) > 1 else "All recording devices",
                "caption": _confusions(document["confusion"][kind]["value"], scenes),
                "figure": specification(confusion_figure(document["confusion"][kind], scenes)),
            }
            for kind in kinds
        ],
        "costs": _costs(document["systems"]),
        "runs": _runs(document, kinds) if len(document["runs"]) > 1 else None,
        "method": document["interval"]["method"],
        "facts_of_origin": list(_origin(document)),
    }


def _status(document: Mapping[str, Any]) -> str:
    data = document["data"]
    own = {device for system in document["systems"] for device in system["devices"]}
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
    told, labels, data, runs = document["students"], document["labels"], document["data"], len(document["runs"])
    general, devices = told["general"]["overall"]["all"], len(document["devices"])
    clips = ("Clips", f"{data['clips']:,}", f"of the {data['part']} list")
    last = (
        ("Systems", f"{runs:,}", "whose mean this is")
        if runs > 1
        else ("Locations", f"{data['locations']:,}", "drawn for the intervals")
    )
    if "device_specific" in told:
        own, gain = told["device_specific"]["overall"]["all"], told["difference"]["overall"]["all"]["accuracy"]
        facts = [
            (labels["general"].capitalize(), _percent(general["accuracy"]), _interval(general["accuracy"])),
            (labels["device_specific"].capitalize(), _percent(own["accuracy"]), _interval(own["accuracy"])),
            (labels["difference"].capitalize(), f"{100 * gain['value']:+z.1f}%", _interval(gain, signed=True)),
            ("Log loss", f"{own['log_loss']['value']:.3f}", f"{labels[document['deployed']]}, nats"),
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


def _overall(document: Mapping[str, Any]) -> dict[str, Any]:
    """Kinds of answers as rows, as the reports print it."""
    told = document["students"]
    groups = list(told["general"]["groups"])
    rows = []
    for kind, label in document["labels"].items():
        signed, whole = kind in document["differences"], told[kind]["overall"]["all"]
        accuracies = [*(told[kind]["groups"][group]["accuracy"] for group in groups), whole["accuracy"]]
        rows.append([label, *(_share(value, signed) for value in accuracies), _loss(whole["log_loss"], signed)])
    heads = ["", *(group.capitalize() for group in groups), "Accuracy", "Log loss"]
    return {"columns": heads, "rows": rows}


def _table(
    head: str, table: str, names: Mapping[str, str], document: Mapping[str, Any], *, across: bool
) -> dict[str, Any]:
    """Accuracies of one table: kinds of answers as rows, or down its rows. `names` says what each row is called."""
    labels = document["labels"]
    shares = [
        [_share(document["students"][kind][table][name]["accuracy"], kind in document["differences"]) for name in names]
        for kind in labels
    ]
    if across:
        rows = [[label, *cells] for label, cells in zip(labels.values(), shares, strict=True)]
        return {"columns": [head, *names.values()], "rows": rows}
    rows = [[name, *cells] for name, *cells in zip(names.values(), *shares, strict=True)]
    return {"columns": [head, *(label.capitalize() for label in labels.values())], "rows": rows}


def _costs(systems: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each student once, with what it costs for one clip; columns that tell nothing apart are left out."""
    students = [(system["label"], student) for system in systems for student in system["students"]]
    several, ways = len(systems) > 1, len({student["variant"] for _, student in students}) > 1
    rows = [
        [
            ", ".join(student["devices"]),
            *([label] if several else []),
            *([student["variant"]] if ways else []),
            student["name"],
            student["form"],
            student["precision"],
            *(f"{student[cost]:,}" for cost in ("params", "weight_bytes", "macs", "peak_bytes")),
        ]
        for label, student in students
    ]
    words = ["Student", *(["System"] * several), *(["Run as"] * ways), "Design", "Form", "Precision"]
    return {
        "columns": [*words, "Parameters", "Weight bytes", "MACs", "Peak bytes"],
        "rows": rows,
        "words": len(words),
    }


def _runs(document: Mapping[str, Any], kinds: list[str]) -> dict[str, Any]:
    rows = [
        [run["label"], *(_share(run["students"][kind]["overall"]["all"]["accuracy"]) for kind in kinds)]
        for run in document["runs"]
    ]
    return {"columns": ["System", *(document["labels"][kind].capitalize() for kind in kinds)], "rows": rows}


def _extremes(table: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """The best and the worst row in words; `names` says what each is called."""
    ranked = sorted(table, key=lambda row: -float(table[row]["accuracy"]["value"]))
    best, worst = (f"{names[row]} ({percent(table[row]['accuracy']['value'])})" for row in (ranked[0], ranked[-1]))
    return f"best on {best}, worst on {worst}."


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


def _words(scene: str) -> str:
    return scene.replace("_", " ")


def _share(value: Value, signed: bool = False) -> Cell:
    return _with_interval(f"{100 * float(value['value'] or 0.0):{'+' * signed}z.2f}%", _range(value, signed))


def _loss(value: Value, signed: bool) -> Cell:
    sign = "+" if signed else ""
    text = f"{value['value']:{sign}z.3f}"
    if value["low"] is None or value["high"] is None:
        return text
    return _with_interval(text, f"{value['low']:{sign}z.3f} to {value['high']:{sign}z.3f}")


def _with_interval(text: str, interval: str) -> Cell:
    return [text, interval] if interval else text


def _percent(value: Value) -> str:
    return percent(float(value["value"] or 0.0))


def _range(value: Value, signed: bool = False) -> str:
    if value["low"] is None or value["high"] is None:
        return ""
    return f"{100 * value['low']:{'+' * signed}z.1f} to {100 * value['high']:{'+' * signed}z.1f}"


def _interval(value: Value, signed: bool = False) -> str:
    ends = _range(value, signed)
    return f"{ends}%" if ends else "no interval"
