"""The page of an evaluation: what it says, what it draws, and that it stays whole and silent in a real browser."""

import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.answers import Kinds
from studies.evaluation_figures import confusion_figure, device_figure, scene_figure
from studies.evaluation_page import evaluation_page, evaluation_view
from studies.one_page import embedded, one_page, page_file

EVIL = "</script><img src=x onerror=alert(1)>{{css}}"
SCENES = ["airport", "metro_station", "tram"]
DEVICES = {"a": "real", "b": "real", "s1": "seen", "s4": "unseen"}


def cell(value: float, half: float | None = 0.02) -> dict[str, float | None]:
    return {
        "value": value,
        "low": None if half is None else value - half,
        "high": None if half is None else value + half,
    }


def tables(shift: float = 0.0, half: float | None = 0.02) -> dict[str, Any]:
    def rows(names: list[str], start: float) -> dict[str, Any]:
        return {name: {"accuracy": cell(start + shift - 0.05 * i, half)} for i, name in enumerate(names)}

    return {
        "overall": {"all": {"accuracy": cell(0.59 + shift, half), "log_loss": cell(1.25 - shift, half)}},
        "groups": rows(["real", "seen", "unseen"], 0.6),
        "devices": rows(list(DEVICES), 0.7),
        "scenes": rows(SCENES, 0.5),
    }


def counts(value: list[list[float]], half: float | None = None) -> dict[str, Any]:
    def moved(by: float) -> list[list[float | None]]:
        return [[None if half is None else count + by for count in row] for row in value]

    return {"value": value, "low": moved(-(half or 0)), "high": moved(half or 0)}


def student(devices: list[str], variant: str = "float", weight_bytes: int = 122_296) -> dict[str, Any]:
    return {
        "variant": variant, "devices": devices, "name": "0123", "form": "folded", "precision": "fp16",
        "params": weight_bytes // 2, "weight_bytes": weight_bytes, "macs": 29_419_156, "products": 29_416_448,
        "peak_bytes": 348_160,
    }  # fmt: skip


def document(
    *, specific: bool = True, runs: int = 1, name: str = "export-3", half: float | None = 0.02, int8: bool = False
) -> dict[str, Any]:
    """As `nas evaluate --json` prints it."""
    variants = ["float", "int8"] if int8 else ["float"]
    kinds = Kinds.of(variants, specific)
    students = {kind: tables(half=half) for kind in kinds.labels}
    confusion = {
        kind: counts([[8, 2, 0], [3, 6, 1], [0, 0, 0]]) for kind in kinds.labels if kind not in kinds.differences
    }
    if specific:
        students["device_specific"] = tables(0.0126, half)
        students["difference"]["overall"]["all"]["accuracy"] = cell(0.0126, half)
        confusion["device_specific"] = counts([[10, 0, 0], [4, 5, 1], [0, 0, 0]], 1.5 if runs > 1 else None)
    costs = [student(devices, variant) for variant in variants for devices in [["base"], ["a"]][: 1 + specific]]
    return {
        "version": 1,
        "name": name,
        "systems": [
            {"label": f"{name}-{i}", "path": f"/{i}", "name": "0123", "devices": ["a"] * specific, "students": costs}
            for i in range(runs)
        ],
        "data": {
            "folder": "/data", "digest": "d" * 16, "part": "test", "train_list": "split25", "clips": 29680,
            "locations": 146,
        },
        "front_end": {"mels": 256, "hop": 500},
        "interval": {"level": 0.95, "over": "locations", "method": "How the intervals were made."},
        "scenes": SCENES,
        "devices": DEVICES,
        "labels": kinds.labels,
        "differences": list(kinds.differences),
        "deployed": kinds.deployed,
        "students": students,
        "confusion": confusion,
        "runs": [{"label": f"{name}-{i}", "students": students} for i in range(runs)],
    }  # fmt: skip


def text_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def test_the_tables_are_laid_out_as_in_the_reports() -> None:
    view = evaluation_view(document())
    assert view["overall"]["columns"] == ["", "Real", "Seen", "Unseen", "Accuracy", "Log loss"]
    rows = view["overall"]["rows"]
    assert values_of(rows) == [
        ["general", "60.00%", "55.00%", "50.00%", "59.00%", "1.250"],
        ["device-specific", "61.26%", "56.26%", "51.26%", "60.26%", "1.237"],
        ["difference", "+60.00%", "+55.00%", "+50.00%", "+1.26%", "+1.250"],
    ]
    assert rows[0][1] == ["60.00%", "58.0 to 62.0"]
    assert rows[1][4:] == [["60.26%", "58.3 to 62.3"], ["1.237", "1.217 to 1.257"]]
    assert rows[2][4] == ["+1.26%", "-0.7 to +3.3"]
    assert view["devices"]["columns"] == ["", "a", "b", "s1", "s4"]
    assert values_of(view["devices"]["rows"])[1] == ["device-specific", "71.26%", "66.26%", "61.26%", "56.26%"]
    assert view["devices"]["rows"][2][4] == ["+55.00%", "+53.0 to +57.0"]
    assert view["scenes"]["columns"] == ["Scene", "General", "Device-specific", "Difference"]
    assert view["scenes"]["rows"][1] == [
        "metro station", ["45.00%", "43.0 to 47.0"], ["46.26%", "44.3 to 48.3"], ["+45.00%", "+43.0 to +47.0"]
    ]  # fmt: skip
    assert view["status"].startswith("29,680 test clips from 146 locations and 4 recording devices. 1 recording device")
    assert [fact["value"] for fact in view["facts"]] == ["59.0%", "60.3%", "+1.3%", "1.237", "29,680", "146"]
    assert [fact["note"] for fact in view["facts"]][:3] == ["57.0 to 61.0%", "58.3 to 62.3%", "-0.7 to +3.3%"]


def values_of(rows: list[list[Any]]) -> list[list[str]]:
    """Without the intervals."""
    return [[each if isinstance(each, str) else each[0] for each in row] for row in rows]


def test_each_student_is_there_once_with_its_cost() -> None:
    told = evaluation_view(document())["costs"]
    assert told["columns"] == [
        "Student", "Design", "Form", "Precision", "Parameters", "Weight bytes", "MACs", "Peak bytes"
    ]  # fmt: skip
    assert told["words"] == 4
    costs = ["0123", "folded", "fp16", "61,148", "122,296", "29,419,156", "348,160"]
    assert told["rows"] == [["base", *costs], ["a", *costs]]
    odd = document(runs=2, int8=True)
    odd["systems"][1]["students"] = [student(["base", "b"], "int8", 64_000)]
    several = evaluation_view(odd)["costs"]
    assert several["columns"][: several["words"]] == ["Student", "System", "Run as", "Design", "Form", "Precision"]
    assert [row[:3] for row in several["rows"]] == [
        ["base", "export-3-0", "float"],
        ["a", "export-3-0", "float"],
        ["base", "export-3-0", "int8"],
        ["a", "export-3-0", "int8"],
        ["base, b", "export-3-1", "int8"],
    ]
    assert several["rows"][-1][7] == "64,000"


def test_variants_stand_side_by_side() -> None:
    told = document(int8=True)
    told["students"]["int8_less_float"]["overall"]["all"]["accuracy"] = cell(-0.004)
    view = evaluation_view(told)
    names = ["general, float", "general, int8", "device-specific, float", "device-specific, int8"]
    assert [row[0] for row in view["overall"]["rows"]] == [
        *names, "difference, float", "difference, int8", "int8 less float"
    ]  # fmt: skip
    assert view["overall"]["rows"][-1][4] == ["-0.40%", "-2.4 to +1.6"]
    traces = view["devices"]["figure"]["data"]
    assert [trace["name"] for trace in traces] == names
    looks = {(trace["marker"]["color"], trace["marker"]["pattern"]["shape"]) for trace in traces}
    assert len(looks) == 4
    assert len(view["confusion"]) == 4
    assert view["devices"]["caption"].startswith("Device-specific, float: best on a, real (71.3%)")
    assert view["facts"][1]["label"] == "Device-specific, float"


@pytest.mark.parametrize(("specific", "runs"), [(True, 1), (False, 1), (True, 3), (False, 3)])
def test_the_head_always_has_six_facts_and_the_page_what_there_is(specific: bool, runs: int) -> None:
    view = evaluation_view(document(specific=specific, runs=runs))
    assert len(view["facts"]) == 6
    assert len(view["confusion"]) == len(view["devices"]["figure"]["data"]) == 1 + specific
    assert (view["runs"] is not None) == (runs > 1)
    if runs > 1:
        assert [row[0] for row in view["runs"]["rows"]] == [f"export-3-{i}" for i in range(runs)]
    assert ("device-specific" in text_of(view)) == specific


def test_captions_name_the_best_the_worst_and_the_commonest_mistakes() -> None:
    view = evaluation_view(document())
    assert view["devices"]["caption"] == "Device-specific: best on a, real (71.3%), worst on s4, unseen (56.3%)."
    assert view["scenes"]["caption"] == "Device-specific: best on airport (51.3%), worst on tram (41.3%)."
    told = [card["caption"] for card in view["confusion"]]
    assert told[0] == (
        "Most often taken for another: metro station as airport (30%), airport as metro station (20%), "
        "metro station as tram (10%)."
    )
    perfect = document(specific=False)
    perfect["confusion"]["general"] = counts([[3, 0, 0], [0, 2, 0], [0, 0, 1]])
    assert evaluation_view(perfect)["confusion"][0]["caption"] == "Every clip was recognised."


def test_without_intervals_nothing_is_promised() -> None:
    view = evaluation_view(document(half=None))
    assert view["facts"][0]["note"] == "no interval"
    assert view["overall"]["rows"][0][4:] == ["59.00%", "1.250"]
    assert set(view["devices"]["figure"]["data"][0]["error_y"]["array"]) == {0}


def test_figures_draw_the_values_and_their_intervals() -> None:
    told = document()["students"]
    told["general"]["devices"]["b"]["accuracy"] = {"value": 0.65, "low": 0.6, "high": 0.66}
    kinds = {"general": told["general"], "device-specific": told["device_specific"]}
    bars = device_figure({kind: each["devices"] for kind, each in kinds.items()}, DEVICES)
    assert [trace.name for trace in bars.data] == ["general", "device-specific"]
    assert [list(level) for level in bars.data[0].x] == [["real", "real", "seen", "unseen"], ["a", "b", "s1", "s4"]]
    assert list(bars.data[0].y) == pytest.approx([0.7, 0.65, 0.6, 0.55])
    assert (bars.data[0].error_y.arrayminus[1], bars.data[0].error_y.array[1]) == pytest.approx((0.05, 0.01))
    assert {trace.marker.pattern.shape for trace in bars.data} == {"", "/"}  # never colour alone
    lying = scene_figure({kind: each["scenes"] for kind, each in kinds.items()}, SCENES)
    assert list(lying.data[1].y) == ["airport", "metro station", "tram"]
    assert list(lying.data[1].x) == pytest.approx([0.5126, 0.4626, 0.4126])
    assert lying.layout.yaxis.autorange == "reversed"
    heat = confusion_figure(counts([[8, 2, 0], [3, 996, 1], [0, 0, 0]]), SCENES).data[0]
    assert list(heat.customdata[1]) == ["3 clips", "996 clips", "1 clip"]
    several = confusion_figure(counts([[8.25, 2, 0], [3, 996, 1], [0, 0, 0]], 1.5), SCENES).data[0]
    assert several.customdata[0][0] == "8.25 clips (6.75 to 9.75)"
    assert [list(row) for row in heat.z] == [[0.8, 0.2, 0], [0.003, 0.996, 0.001], [None] * 3]
    assert [list(row) for row in heat.text] == [["80", "20", ""], ["", "100", ""], ["", "", ""]]
    evil = document()["students"]["general"]["scenes"] | {"<b>": {"accuracy": cell(0.5)}}
    assert scene_figure({"general": evil}, ["<b>"]).data[0].y == ("&lt;b&gt;",)


def test_strings_cannot_leave_their_place_and_only_the_pages_own_scripts_may_run() -> None:
    page, harmless = evaluation_page(document(name=EVIL)), evaluation_page(document())
    for tag in ("<script", "</script", "<!--", "<img"):
        assert page.count(tag) == harmless.count(tag)
    assert "<title>&lt;/script&gt;" in page
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in policy[1]
    own = page_file("kit.js") + page_file("evaluation.js")
    assert not re.findall(r"innerHTML|fetch\(|insertAdjacent|document\.write", own)
    found = re.search(r'<script type="application/json" id="document">(.*?)</script>', page, re.DOTALL)
    assert found
    assert json.loads(found[1])["name"] == EVIL


def test_a_page_is_one_document_and_its_scripts() -> None:
    page = one_page("a < b", {"text": EVIL}, ("evaluation.js",))
    assert "<title>a &lt; b</title>" in page
    assert page_file("evaluation.js").strip() in page
    assert page_file("page.css") in page
    with pytest.raises(ValueError, match="JSON"):
        embedded({"a": math.nan})


ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens an evaluation's page; at the end, nothing was requested and nothing was complained about."""
    complaints: list[str] = []
    requests: list[str] = []
    contexts: list[Any] = []

    def open_it(told: dict[str, Any], **options: Any) -> Any:
        path = tmp_path / "evaluation.html"
        path.write_text(evaluation_page(told), encoding="utf-8")
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append("a dialog opened"))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", timeout=30_000)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in requests if url.startswith("file:")]) == len(contexts)


def until(page: Any, condition: str) -> None:
    """Waits in Python: the page's policy forbids the script that would wait in the browser."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never came true: {condition}")


def test_the_page_draws_everything(opened: Callable[..., Any]) -> None:
    page = opened(document(runs=2))
    assert page.locator("h1").inner_text() == "export-3"
    assert page.locator(".js-plotly-plot").count() == 4
    assert page.locator("#devices-figure .barlayer .point").count() == 2 * len(DEVICES)
    assert page.locator("#scenes-figure .barlayer .point").count() == 2 * len(SCENES)
    assert page.locator("#devices-figure .errorbar").count() == 2 * len(DEVICES)
    rows = page.locator("#overall tbody tr").all()
    assert rows[1].inner_text().split()[:2] == ["device-specific", "61.26%"]
    assert page.locator("#overall .range").count() == 3 * 5
    assert page.locator("#devices .range").count() == 3 * len(DEVICES)
    assert page.locator("#costs tbody tr").count() == 4
    assert page.locator("#costs th:not(.number)").count() == 5 + 4  # the heads of words, and of the rows
    assert page.locator("#runs tbody tr").count() == 2
    assert page.locator("#confusion h3").all_inner_texts() == ["General", "Device-specific"]
    button = page.locator("#devices").get_by_role("button", name="general", exact=True)
    button.press("Enter")
    until(page, "document.querySelectorAll('#devices-figure .barlayer .point').length === 4")
    button.press("Enter")
    until(page, "document.querySelectorAll('#devices-figure .barlayer .point').length === 8")


@pytest.mark.parametrize("options", [{"viewport": {"width": 360, "height": 700}}, {"color_scheme": "dark"}])
def test_the_page_fits_a_phone_and_the_dark(opened: Callable[..., Any], options: dict[str, Any]) -> None:
    page = opened(document(), **options)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dark = "color_scheme" in options
    assert (page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 18, 20)") == dark
    colour = page.evaluate("document.querySelector('#devices-figure').data[0].marker.color")
    assert colour == ("#56b4e9" if dark else "#0072b2")
    scale = page.evaluate("document.querySelector('#confusion .figure').data[0].colorscale")
    assert scale == [[0, "#191b1e" if dark else "#ffffff"], [1, "#0072b2"]]
    if dark:  # a reader who turns the light on
        page.emulate_media(color_scheme="light")
        until(page, "document.querySelector('#devices-figure').data[0].marker.color === '#0072b2'")


def test_strings_of_a_system_stay_text(opened: Callable[..., Any]) -> None:
    told = document(name=EVIL)
    told["scenes"] = [EVIL, "metro_station", "tram"]
    for kind in told["students"].values():
        kind["scenes"] = {EVIL: kind["scenes"]["airport"]} | kind["scenes"]
    page = opened(told)
    assert page.locator("h1").inner_text() == EVIL
    assert page.title().startswith(EVIL)
    assert page.locator("img").count() == 0
    assert EVIL.replace("_", " ") in page.locator("#scenes tbody").inner_text()
    page.hover("#scenes-figure .barlayer .point >> nth=0", force=True)
