"""What a run tells of itself while it goes on."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipelines import progress
from pipelines.planning import Plan, plan_mix
from pipelines.progress import Finished, ProgressDisplay
from pipelines.recipe import load_recipe
from pipelines.uses import TextBuckets

BUCKETS = TextBuckets(
    {"deu_Latn": 0, "fra_Latn": 0, "rus_Cyrl": 1}, {"deu_Latn": 1, "fra_Latn": 1, "rus_Cyrl": 2}
)
"""German and French in one, Russian in two."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "progress").mkdir()
    return tmp_path / "progress"


@pytest.fixture
def planned(tiny_recipe: Path) -> Plan:
    return plan_mix(load_recipe(tiny_recipe, []), workers=1)


STATE = "2 of 3 languages done, 80% of the texts kept, 10 remembered"


class HeldDisplay(ProgressDisplay):
    """Begins to look once all is recorded."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.recorded = threading.Event()

    def _watch(self) -> None:
        self.recorded.wait()
        super()._watch()


def shown(folder: Path, planned: Plan, *, terminal: bool) -> str:
    """What the display prints until it has told how far the translation is."""
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=terminal, color_system=None)
    display = HeldDisplay(folder, planned, BUCKETS, console, quiet=False)
    with display:
        try:
            progress.enter(str(folder), progress.TRANSLATING)
            progress.record(str(folder), progress.BATCHES, 40, 0, 30)
            progress.record(str(folder), progress.BATCHES, 10, 10, 10)
            progress.record(str(folder), progress.BUCKETS, 0)
            progress.record(str(folder), progress.BUCKETS, 1)
        finally:
            display.recorded.set()
        given_up = time.monotonic() + 60
        while STATE not in out.getvalue() and time.monotonic() < given_up:
            time.sleep(0.01)
    return out.getvalue()


def test_it_counts_texts_languages_and_what_is_kept(folder: Path, planned: Plan) -> None:
    display = ProgressDisplay(folder, planned, BUCKETS, Console(quiet=True), quiet=True)
    with display:
        progress.record(str(folder), progress.READ, 100)
        progress.record(str(folder), progress.CHECKED, 90)
        progress.record(str(folder), progress.BATCHES, 40, 0, 30)
        progress.record(str(folder), progress.BATCHES, 10, 10, 10)
        progress.record(str(folder), progress.BUCKETS, 0)
        progress.record(str(folder), progress.BUCKETS, 2)
        progress.record(str(folder), progress.WRITTEN, 7)
        # In the middle of being written.
        with next(folder.glob(f"{progress.WRITTEN}-*")).open("a") as file:
            file.write("9")
    assert display.finished == Finished(
        read=100, checked=90, texts=50, remembered=10, kept=40, languages=2, written=7
    )
    assert display.finished.keep_rate == 0.8


def test_a_terminal_shows_it_in_80_columns(folder: Path, planned: Plan) -> None:
    out = shown(folder, planned, terminal=True)
    assert "translating" in out
    assert "50/" in out
    assert STATE in out
    assert "texts/s" in out


def test_elsewhere_a_line_now_and_then_tells_it(
    folder: Path, planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.3)
    out = shown(folder, planned, terminal=False)
    line = next(line for line in out.splitlines() if "50 of" in line)
    assert line.startswith("translating: 50 of ")
    assert line.endswith(STATE)
    # What was done when it was first looked at took nobody knows how long.
    assert "texts, 0.0 a second, time left unknown;" in line


def test_the_rate_is_that_of_the_stage_since_it_began(
    folder: Path, planned: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    display = ProgressDisplay(folder, planned, BUCKETS, Console(quiet=True), quiet=True)
    progress.enter(str(folder), progress.TRANSLATING)
    progress.record(str(folder), progress.BATCHES, 500, 500, 500)
    progress.record(str(folder), progress.BATCHES, 20, 0, 20)
    assert display._now().rate == 0
    progress.record(str(folder), progress.BATCHES, 30, 10, 30)
    now[0] += 4
    assert (display._now().stage, display._now().rate) == (progress.TRANSLATING, 5)
    # In the middle of being written by another worker.
    (folder / progress.STAGE).write_text("")
    assert display._now().stage == progress.TRANSLATING


def test_the_display_of_an_earlier_run_is_forgotten(folder: Path, planned: Plan) -> None:
    progress.record(str(folder), progress.BATCHES, 40, 0, 30)
    display = ProgressDisplay(folder, planned, BUCKETS, Console(quiet=True), quiet=True)
    with display:
        pass
    assert display.finished == Finished()
