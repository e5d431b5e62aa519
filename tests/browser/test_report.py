"""The report in a real browser: it works, reaches nothing outside, and can be read by everyone."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from pipelines.report import write_report
from tests.pipelines.report.small_mix import HOSTILE, picture, rejected, row, write_mix
from translation.languages import default_languages

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Open = Callable[..., "Page"]

OPENS_WITHIN = 2.0
"""Seconds of work until a report of all languages stands there."""


def write(mix: Path) -> Path:
    return Path(write_report(str(mix), console=Console(file=io.StringIO())))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(write_mix(tmp_path_factory.mktemp("browser") / "mix"))


@pytest.fixture
def visit(browser: Browser, report: Path) -> Iterator[Open]:
    """Opens the report in a window of its own; fails if it complained of anything or asked for anything."""
    contexts, wrong = [], []

    def visit(file: Path = report, fragment: str = "", **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else wrong.append(request.url),
        )
        page.goto(file.as_uri() + fragment)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not wrong


def column(page: Page, number: int) -> list[str]:
    cells = page.locator(f"#language-table tbody tr:visible > :nth-child({number})")
    return [text.strip() for text in cells.all_inner_texts()]


def shown_cards(page: Page) -> list[str]:
    return page.locator(".sample:visible .id").all_inner_texts()


def test_opens_without_complaints(visit: Open) -> None:
    page = visit()
    assert page.title() == "boats · translate-mix report"
    assert page.evaluate("window.broken") is None
    page.locator("details.language").first.locator("summary").click()
    page.wait_for_timeout(100)
    loaded = page.locator("details[open] img").evaluate_all("all => all.map(one => one.naturalWidth > 0)")
    assert loaded
    assert all(loaded), "pictures show"


def test_columns_sort_both_ways(visit: Open) -> None:
    page = visit()
    names = [text.split()[0] for text in column(page, 1)]
    assert names[:-1] == sorted(names[:-1]), "by name, and what could not be read last"
    head = page.locator("#language-table").get_by_role("columnheader", name="rejected")
    head.get_by_role("button").click()
    numbers = list(map(int, column(page, 5)))
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] > numbers[-1]
    assert head.get_attribute("aria-sort") == "descending"
    head.get_by_role("button").click()
    assert list(map(int, column(page, 5))) == sorted(numbers)
    lid = page.locator("#language-table").get_by_role("columnheader", name="lid")
    assert not lid.count(), "mean scores are folded away"
    page.get_by_label("Mean scores").check()
    lid.get_by_role("button").click()
    assert column(page, 12)[-1] == "–", "languages without the score stand last"
    page.locator("#language-table thead button", has_text="language").click()
    assert [text.split()[0] for text in column(page, 1)] == sorted(names)
    assert page.locator("#language-table [aria-sort]").count() == 1


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("german", ["German"]),
        ("DEUTSCH", ["German"]),
        ("jpn_", ["Japanese"]),
        ("العربيه"[:4], ["Arabic"]),
        ("xyz", []),
    ],
)
def test_languages_are_found_by_any_name(visit: Open, written: str, found: list[str]) -> None:
    page = visit()
    page.locator("#find-language").fill(written)
    assert [text.split()[0] for text in column(page, 1)] == found


def test_samples_are_searched_by_text_language_task_verdict_and_reason(visit: Open) -> None:
    page = visit()
    form = page.locator("#sample-filters")

    def found(**wanted: str) -> list[str]:
        form.get_by_role("button", name="Clear").click()
        for name, value in wanted.items():
            field = form.locator(f"[name={name}]")
            field.fill(value) if name == "text" else field.select_option(value)
        page.wait_for_timeout(300)
        return shown_cards(page)

    assert found() == []
    assert len(found(language="deu_Latn")) == 6 + 5
    assert len(found(language="deu_Latn", verdict="no")) == 5
    assert {text.split()[0] for text in found(task="vqa")} == {"vqa"}
    assert len(found(reason="duplicate")) == 1
    assert len(found(text="أحمر", verdict="no")) == 4
    assert len(found(text="at least 0.456")) == 12
    # A label and the name of a score, which are no texts of the rows.
    assert found(text="translation") == found(text="confusable") == []
    assert found(text="no such words") == []
    assert "0 of" in form.locator("output").inner_text()
    assert page.locator("details.language:visible").count() == 0
    found()
    assert page.locator("details.language:visible").count() == 8


def test_a_language_of_the_table_leads_to_its_samples(visit: Open) -> None:
    page = visit()
    page.locator("#sample-filters [name=text]").fill("no such words")
    page.wait_for_timeout(300)
    page.get_by_role("link", name="Thai").click()
    assert page.locator("#samples-tha_Thai").get_attribute("open") is not None
    assert page.locator("#in-tha_Thai .sample").first.is_visible()
    other = visit(fragment="#in-heb_Hebr")
    assert other.locator("#in-heb_Hebr .sample").first.is_visible(), "also by its address"


def test_right_to_left_text_stands_right(visit: Open) -> None:
    page = visit(fragment="#in-arb_Arab")
    target = page.locator("#in-arb_Arab dd.target").first
    assert target.evaluate("one => getComputedStyle(one).direction") == "rtl"
    box = target.evaluate(
        "one => { const range = document.createRange(); range.selectNodeContents(one);"
        " const text = range.getBoundingClientRect(), cell = one.getBoundingClientRect();"
        " return [text.left - cell.left, cell.right - text.right]; }"
    )
    assert box[0] > 50
    assert box[1] < 2
    english = page.locator("#in-arb_Arab dd[lang=en]").first
    assert english.evaluate("one => getComputedStyle(one).direction") == "ltr"


def test_markup_of_a_mix_is_text(visit: Open) -> None:
    page = visit(fragment="#in-deu_Latn")
    assert page.locator("#in-deu_Latn dd", has_text=HOSTILE).count() >= 1
    page.wait_for_timeout(100)
    assert page.evaluate("window.broken") is None


def test_a_script_that_got_in_would_not_run(browser: Browser, report: Path, tmp_path: Path) -> None:
    worse = tmp_path / "worse.html"
    text = report.read_text(encoding="utf-8")
    worse.write_text(text.replace("<main>", "<main><script>window.broken = 3</script>"), encoding="utf-8")
    page = browser.new_page()
    page.goto(worse.as_uri())
    assert page.evaluate("window.broken") is None
    page.close()


def test_colours_follow_the_system_and_the_switch(visit: Open) -> None:
    def ground(page: Page) -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light, dark = visit(color_scheme="light"), visit(color_scheme="dark")
    white, black = ground(light), ground(dark)
    assert white == "rgb(255, 255, 255)"
    assert black != white
    light.get_by_role("button", name="Dark").click()
    assert ground(light) == black
    light.reload()
    assert ground(light) == black, "it is remembered"
    light.get_by_role("button", name="Light").click()
    assert ground(light) == white


def test_everything_can_be_read_without_javascript(visit: Open) -> None:
    page = visit(java_script_enabled=False)
    assert page.locator("#language-table tbody tr").count() == 8
    for form in page.locator("form, #theme").all():
        assert not form.is_visible(), "nothing that would not work"
    page.locator("#samples-deu_Latn summary").click()
    assert page.locator("#in-deu_Latn .sample").first.is_visible()
    assert page.locator("#in-deu_Latn svg").first.is_visible()


@pytest.mark.parametrize("width", [320, 360, 390, 768, 1280])
def test_nothing_scrolls_sideways(visit: Open, width: int) -> None:
    page = visit(viewport={"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing(visit: Open, scheme: str, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = visit(color_scheme=scheme, viewport={"width": width, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    found = Axe().run(page).response["violations"]
    told = [(one["id"], one["impact"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found]
    assert not told, json.dumps(told, indent=1)


def test_what_is_open_gets_printed(visit: Open) -> None:
    page = visit(fragment="#in-tha_Thai")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator("#in-tha_Thai .sample").first.is_visible()
    for hidden in ("#samples-deu_Latn", "#sample-filters", "#theme", "nav"):
        assert not page.locator(hidden).is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".tall").first.evaluate("one => one.scrollHeight <= one.clientHeight + 2")


def test_all_languages_open_at_once(browser: Browser, tmp_path: Path) -> None:
    rows = []
    for place, language in enumerate(default_languages()):
        colour = {"bytes": picture(f"hsl({place * 3}, 60%, 50%)", (176, 132)), "path": "a.png"}
        rows += [row(language.nllb, index, image=colour) for index in range(6)]
        rows += [rejected(language.nllb, index + 10, image=colour) for index in range(6)]
    page = browser.new_page()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(write(write_mix(tmp_path / "mix", rows, group=100)).as_uri())
    measured = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    # Its own work, not the time that passed: others may be using this machine.
    assert measured["TaskDuration"] < OPENS_WITHIN
    assert len(default_languages()) == page.locator("#language-table tbody tr").count() == 96
    page.close()
