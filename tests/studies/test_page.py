"""The page in a real browser: draws, sorts, selects, stays silent, and shows every string as text."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studies.report import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
EVIL = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    names = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_report(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens a study's report; at the end, nothing was requested and nothing was complained about."""
    complaints: list[str] = []
    requests: list[str] = []
    contexts: list[Any] = []

    def open_it(toy: Any, name: str, **options: Any) -> Any:
        path = tmp_path / "report.html"
        write_report(toy.url, name, path)
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


def _column(page: Any, index: int) -> list[str]:
    return [cell.inner_text() for cell in page.locator(f".members tbody tr > :nth-child({index})").all()]


def test_a_report_draws_sorts_and_selects(open_report: Callable[..., Any], sixty: Any) -> None:
    page = open_report(sixty, "sixty")
    assert page.locator("h1").inner_text() == "sixty"
    assert page.locator(".js-plotly-plot").count() == 5
    assert page.locator("#front-macs .scatterlayer .point").count() > 40

    trials, inputs, accuracies = (_column(page, index) for index in (1, 2, 3))
    assert accuracies == sorted(accuracies, reverse=True)
    page.get_by_role("button", name="MACs", exact=True).click()
    macs = [int(text.replace(",", "")) for text in _column(page, 6)]
    assert macs == sorted(macs) != macs[::-1]
    page.get_by_role("button", name="Input", exact=True).click()
    assert list(dict.fromkeys(_column(page, 2))) == ["64\u00d733", "128\u00d764", "256\u00d765"]
    header = page.get_by_role("button", name="Trial", exact=True)
    header.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    numbers = [int(text.split()[1]) for text in _column(page, 1)]
    assert numbers == sorted(numbers, reverse=True)
    assert sorted(_column(page, 1)) == sorted(trials)

    assert page.locator("#trial-title").inner_text().lower() == trials[0]
    page.get_by_role("button", name=trials[3], exact=True).press("Enter")
    assert page.locator("#trial-title").inner_text().lower() == trials[3]
    assert page.locator("[aria-current=true]").count() == 1
    assert accuracies[3] in page.locator("#trial p").first.inner_text()
    assert page.locator("#trial").get_by_text(f"input {inputs[3]} (mels by frames)").is_visible()
    assert page.locator("#trial").get_by_text(f"--trial {trials[3].split()[1]} ").is_visible()
    curve = page.evaluate("document.querySelector('#trial .figure').data.map((t) => t.y.length)")
    assert curve == [6, 6]
    ring = page.evaluate("document.getElementById('front-macs').data.find((t) => t.meta === 'selected').y[0]")
    assert f"{ring:.1%}" == accuracies[3]


def test_the_front_is_downloaded_as_csv_and_json(open_report: Callable[..., Any], sixty: Any) -> None:
    page = open_report(sixty, "sixty")
    saved = {}
    for kind in ("CSV", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Download {kind}").click()
        saved[download.value.suggested_filename] = Path(download.value.path()).read_text(encoding="utf-8")
    members = json.loads(saved["sixty-front.json"])["members"]
    lines = saved["sixty-front.csv"].splitlines()
    assert lines[0].startswith(
        '"trial","design","identity","mels","frames","accuracy","log_loss","weight_bytes","macs","peak_bytes"'
    )
    assert [int(line.split(",")[0]) for line in lines[1:]] == [member["trial"] for member in members]
    assert members[0]["architecture"]["stages"]


def test_a_kind_of_mark_can_be_hidden(open_report: Callable[..., Any], sixty: Any) -> None:
    page = open_report(sixty, "sixty")
    points = page.locator("#front-macs .scatterlayer .point")
    before = points.count()
    page.get_by_role("button", name="over budget").click()
    page.wait_for_function(f"document.querySelectorAll('#front-macs .scatterlayer .point').length < {before}")
    page.get_by_role("button", name="over budget").click()
    page.wait_for_function(f"document.querySelectorAll('#front-macs .scatterlayer .point').length === {before}")


@pytest.mark.parametrize("options", [{"viewport": {"width": 360, "height": 700}}, {"color_scheme": "dark"}])
def test_the_page_fits_a_phone_and_the_dark(
    open_report: Callable[..., Any], sixty: Any, options: dict[str, Any]
) -> None:
    page = open_report(sixty, "sixty", **options)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(17, 18, 20)") == ("color_scheme" in options)


def test_strings_of_a_study_stay_text(open_report: Callable[..., Any], toy: Any, make_toy: Any) -> None:
    evil = make_toy(toy.url, EVIL)
    evil.complete(0.5, 1000, 1000, design=EVIL, label=EVIL)
    evil.refuse("over_budget", 200_000, 1000, detail=EVIL, design=EVIL)
    for key in ("study_file", "provenance"):
        evil.study.set_user_attr(key, {EVIL: EVIL})
    page = open_report(evil, EVIL)
    assert page.locator("h1").inner_text() == EVIL
    assert page.title().startswith(EVIL)
    assert page.locator("#trial-title").inner_text() == f"Trial 0, {EVIL}"
    assert page.locator("img").count() == 0
    page.hover("#front-macs .scatterlayer .point >> nth=0", force=True)


def test_a_study_without_trials_says_so(open_report: Callable[..., Any], toy: Any) -> None:
    page = open_report(toy, "toy")
    assert page.get_by_role("status").first.inner_text() == "No trial has been proposed yet."
    assert page.locator(".js-plotly-plot, .members").count() == 0
