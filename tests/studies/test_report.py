"""The report file: whole or not at all, nothing in it that could run or call out, quick and small enough."""

import json
import os
import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from search_spaces.architecture import Architecture, InputShape, Stage
from search_spaces.errors import InputError
from search_spaces.parts import (
    CPMobileBlock,
    DPCPBlock,
    DSFlexiBlock,
    Head,
    RepConv,
    RepConvBlock,
    RepMobileBlock,
    RepStem,
)
from studies.blocks import COLUMNS, blocks_of
from studies.one_page import embedded, page_file
from studies.records import StudyHead, read_study, read_trials
from studies.report import report_page, write_report
from studies.view import read_view, view_of

EVIL = "</script><!--<script><img src=x onerror=alert(1)>{{css}}"


def _document(page: str) -> Any:
    match = re.search(r'<script type="application/json" id="document">(.*?)</script>', page, re.DOTALL)
    assert match
    return json.loads(match[1])


def test_the_report_holds_the_view_and_replaces_the_old_one(sixty: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(sixty.url, "sixty", path)
    document, view = _document(path.read_text(encoding="utf-8")), read_view(sixty.url, "sixty")
    assert document | {"made": ""} == view | {"made": ""}
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_report_that_fails_leaves_the_old_one(sixty: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot be written: No space left"):
        write_report(sixty.url, "sixty", path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]
    with pytest.raises(InputError, match="No such file"):
        write_report(sixty.url, "sixty", tmp_path / "nowhere" / "report.html")


def test_strings_of_a_study_cannot_leave_their_place(toy: Any, make_toy: Callable[..., Any]) -> None:
    evil = make_toy(toy.url, EVIL)
    evil.complete(0.5, 1000, 1000, design=EVIL)
    evil.study.set_user_attr("study_file", {"name": EVIL})
    page, harmless = report_page(read_view(toy.url, EVIL)), report_page(read_view(toy.url, "toy"))
    for tag in ("<script", "</script", "<!--", "<img"):
        assert page.count(tag) == harmless.count(tag)
    assert _document(page)["name"] == EVIL
    assert "<title>&lt;/script&gt;" in page


def test_only_the_pages_own_scripts_may_run_and_nothing_may_be_fetched(toy: Any) -> None:
    page = report_page(read_view(toy.url, "toy"))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policy[1]
    own = "".join(page_file(name) for name in ("page.html", "page.css", "kit.js", "page.js"))
    assert not re.findall(r'(?:src|href)="(?!data:)', own)
    assert "fetch(" not in own
    assert "innerHTML" not in own


def test_embedded_json_is_the_same_value() -> None:
    value = {"a": [EVIL, "\u2028", "ü", None, 1.5]}
    assert json.loads(embedded(value)) == value
    assert "<" not in embedded(value)
    with pytest.raises(ValueError, match="JSON"):
        embedded({"a": float("nan")})


def test_a_value_that_json_lacks_is_shown_as_missing(toy: Any) -> None:
    trial = toy.propose(1000, 1000)
    trial.set_user_attr("outcome", toy.outcome(0.4) | {"log_loss": float("nan"), "devices": {"a": float("inf")}})
    toy.study.tell(trial, [0.4, 1000, 1000])
    view = read_view(toy.url, "toy")
    assert view["front"][0]["log_loss"] is None
    assert view["details"]["0"]["devices"] == {"a": None}


def test_the_view_has_what_the_page_shows(sixty: Any) -> None:
    view = read_view(sixty.url, "sixty")
    best = view["front"][0]
    assert view["groups"] == ["real", "seen"]
    assert best["headroom"]["macs"] == pytest.approx(1 - best["macs"] / 30_000_000)
    proposed = sixty.study.trials[best["trial"]].user_attrs["proposal"]["architecture"]["input"]
    assert {side: best[side] for side in ("mels", "frames")} == proposed
    details = view["details"][str(best["trial"])]
    assert len(details["devices"]) == 6
    assert len(details["scenes"]) == 10
    assert details["curve"]["epoch"] == [1, 2, 3, 4, 5, 6]
    assert (
        details["curve"]["accuracy"][-1]
        == sixty.study.trials[best["trial"]].user_attrs["outcome"]["curve"][-1]["accuracy"]
    )
    assert view["commands"][0] == f"nas export sixty --trial {best['trial']} -o sixty-{best['trial']}"
    assert view["test"]["accuracy"] == 0.57
    assert "seed: 7" in view["provenance"]["study_file"]
    assert {"name": "search space digest", "value": "0f1e2d3c4b5a6978"} in view["provenance"]["facts"]


def test_commands_are_safe_to_paste(toy: Any, make_toy: Callable[..., Any]) -> None:
    make_toy(toy.url, "x; rm -rf ~/'*'").complete(0.5, 1000, 1000)
    command = read_view(toy.url, "x; rm -rf ~/'*'")["commands"][0]
    assert shlex.split(command)[:5] == ["nas", "export", "x; rm -rf ~/'*'", "--trial", "0"]
    assert "/" not in shlex.split(command)[-1]


@pytest.mark.parametrize("kind", ["empty", "nothing known", "refused", "bare"])
def test_a_study_without_completed_trials_has_a_view(toy: Any, kind: str) -> None:
    head = read_study(toy.url, "toy")
    if kind == "refused":
        toy.refuse("over_budget", 200_000, 1_000)
    elif kind == "bare":  # killed between ask and proposal
        toy.study.ask()
    elif kind == "nothing known":
        head = StudyHead("toy")
    view = view_of(read_trials(toy.url, "toy"), head)
    assert view["front"] == []
    assert view["commands"] == ["nas resume toy", "nas status toy"]
    assert embedded(view)


def test_an_architecture_is_a_table_of_its_blocks(toy: Any) -> None:
    table = blocks_of(toy.proposal(1000, 1000, shape=(128, 65))["architecture"])
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert [row["part"] for row in rows] == ["stem", "stage 1, block 1", "stage 1, block 2", "stage 2, block 1", "head"]
    assert (rows[0]["kind"], rows[0]["width"], rows[1]["width"]) == ("conv", "8, 32", "16")
    assert (
        rows[2] | {"kernels": "1\u00d71 + 3\u00d73", "stride": "1\u00d72", "after the stage": "skip, residual norm"}
        == rows[2]
    )
    assert rows[3]["after the stage"] == ""
    assert table["facts"][0] == ["input", "128\u00d765 (mels by frames)"]
    assert ["precision", "fp16"] in table["facts"]
    assert blocks_of({})["rows"] == []


def test_every_part_is_told_by_what_makes_it_different() -> None:
    kernels = RepConv(((1, 5), (3, 3)), branch_norm="batch", identity=True, dilation=2)
    blocks = {
        RepMobileBlock(16, 32, kernels): "branch norm batch, identity branch",
        RepConvBlock(16, RepConv(((1, 1), (3, 3)))): "",
        CPMobileBlock(16, 32, grn=True): "GRN",
        DPCPBlock(16, 32, dilation=2, pooling="max"): "",
        DPCPBlock(16, 32, pooling="none", output_relu=False): "no output relu",
        DSFlexiBlock(16, RepConv(((3, 3),)), spare_norm=True): "spare norm",
    }
    stages = (
        *(Stage((block,), norm="frequency") for block in blocks),
        Stage((CPMobileBlock(16, 16),), skip=True, norm="residual-scalar", concat=True),
    )
    stem = RepStem((8, 16), RepConv(((3, 3),)), input_norm=False, dropout=0.1)
    head = Head("learnable", norm="batch", hidden=16)
    table = blocks_of(Architecture(InputShape(64, 33), stem, stages, head).to_json())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert table["columns"] == ["part", *COLUMNS, "options", "after the stage"]
    first, *middle, last = rows
    assert [row["options"] for row in middle] == [*blocks.values(), ""]
    assert (middle[0]["kernels"], middle[0]["dilation"], middle[1]["kernels"]) == (
        "1\u00d75 + 3\u00d73",
        "2",
        "1\u00d71 + 3\u00d73",
    )
    assert [row["pooling"] for row in middle] == ["", "", "", "max", "none", "", ""]
    assert [row["after the stage"] for row in middle] == ["frequency norm"] * len(blocks) + [
        "skip, residual-scalar norm, concat"
    ]
    assert first["options"] == "no input norm, dropout 0.1"
    assert (last["pooling"], last["options"]) == ("learnable", "norm batch, hidden 16")


def test_an_option_without_effect_is_not_told() -> None:
    identity = RepConv(((3, 3),), identity=True)
    blocks = (RepConvBlock(16, identity), RepConvBlock(16, identity), RepConvBlock(16, identity, stride=(1, 2)))
    stages = (Stage(blocks[:1], norm="frequency"), Stage(blocks[1:]))
    table = blocks_of(Architecture(InputShape(64, 33), RepStem((4, 8), identity), stages).to_json())
    told = [row[table["columns"].index("options")] for row in table["rows"]]
    assert told == ["", "", "identity branch", "", ""]


def test_a_thousand_trials_make_a_report_of_five_megabytes_in_a_moment(sixty: Any, tmp_path: Path) -> None:
    trials = pd.concat([read_trials(sixty.url, "sixty")] * 17, ignore_index=True)
    trials["number"] = range(len(trials))
    head = read_study(sixty.url, "sixty")
    start = time.perf_counter()
    page = report_page(view_of(trials, head))
    assert time.perf_counter() - start < 5
    assert len(trials) > 1000
    assert len(page.encode()) < 6_500_000
