"""Progress of a run on this machine: workers count finished texts into small files, the launcher reads them.

Beam's local runner reports metrics only at the end. On a remote runner its own pages show progress.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from translation.progress import PLAIN_SECONDS

if TYPE_CHECKING:
    # The steps of the graph, which report to here, are among what these import.
    from pipelines.planning import Plan
    from pipelines.uses import TextBuckets

STAGE = "stage"
"""A file: the last stage that began."""

READ, CHECKED, BATCHES, BUCKETS, WRITTEN = "read", "checked", "batches", "buckets", "written"
"""Files with a line for each of what was finished: examples of a part of a source, examples with pictures,
texts of a batch (and how many were remembered, and kept), a bucket of texts, rows of a shard."""

READING, CHECKING, TRANSLATING, WRITING = (
    "reading sources",
    "checking pictures",
    "translating",
    "writing rows",
)
"""What a run does, one after the other on this machine."""


@dataclass(frozen=True)
class Finished:
    """How far a run has come."""

    read: int = 0
    """Examples."""
    checked: int = 0
    """Examples with their pictures."""
    texts: int = 0
    """That are translated."""
    remembered: int = 0
    """Of the texts: those that came from the memory."""
    kept: int = 0
    """Of the texts: those whose translation no filter rejects."""
    languages: int = 0
    """With all their texts."""
    written: int = 0
    """Rows."""

    @property
    def keep_rate(self) -> float:
        return self.kept / self.texts if self.texts else 0.0


def record(directory: str | None, what: str, *numbers: int) -> None:
    """Adds a line to what this process has finished.

    Args:
        what: `READ` or another of these, which also say what the numbers are.
    """
    if directory is not None:
        _write(Path(directory, f"{what}-{os.getpid()}"), " ".join(map(str, numbers)) + "\n", "a")


def enter(directory: str | None, stage: str) -> None:
    """Says that a stage has begun."""
    if directory is not None:
        _write(Path(directory, STAGE), stage, "w")


def _write(path: Path, text: str, mode: str) -> None:
    try:
        with path.open(mode, encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        # Here, since it brings Beam with it, which a plan does not need.
        from pipelines.filesystem import failed_write

        raise failed_write(error, str(path)) from error


class ProgressDisplay:
    """Shows done / total, rate and time left while a run goes on; a bar on a terminal, else plain lines."""

    def __init__(
        self, directory: Path, plan: Plan, buckets: TextBuckets, console: Console, quiet: bool
    ) -> None:
        """
        Args:
            plan: the numbers that it counts up to; records that turn out to be bad are among them.
        """
        self._directory, self._buckets = directory, buckets
        self._rows, self._texts = sum(plan.rows.values()), sum(plan.texts.values())
        self._console, self._quiet = console, quiet
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
        self._stage = READING
        self._began: dict[str, tuple[float, int]] = {}
        """When each stage was first seen, and what of it was done then."""
        self.finished = Finished()
        """Once the display has ended."""

    def __enter__(self) -> ProgressDisplay:
        self._directory.mkdir(parents=True, exist_ok=True)
        for old in self._directory.iterdir():
            old.unlink()
        if not self._quiet:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.finished = self._counted()

    def _counted(self) -> Finished:
        texts, remembered, kept = map(sum, zip((0, 0, 0), *self._lines(BATCHES), strict=True))
        return Finished(
            sum(count for (count,) in self._lines(READ)),
            sum(count for (count,) in self._lines(CHECKED)),
            texts,
            remembered,
            kept,
            self._buckets.finished({bucket for (bucket,) in self._lines(BUCKETS)}),
            sum(count for (count,) in self._lines(WRITTEN)),
        )

    def _lines(self, what: str) -> Iterator[list[int]]:
        """The numbers of each whole line; the last one may be in the middle of being written."""
        for path in self._directory.glob(f"{what}-*"):
            for line in path.read_text(encoding="ascii").splitlines(keepends=True):
                if line.endswith("\n"):
                    yield [int(number) for number in line.split()]

    def _now(self) -> _Now:
        file = self._directory / STAGE
        # Empty while a worker writes it.
        stage = self._stage = (file.read_text(encoding="ascii") if file.exists() else "") or self._stage
        finished = self._counted()
        done, total, unit = {
            READING: (finished.read, self._rows, "rows"),
            CHECKING: (finished.checked, self._rows, "rows"),
            TRANSLATING: (finished.texts, self._texts, "texts"),
            WRITING: (finished.written, self._rows, "rows"),
        }[stage]
        # What is remembered takes no time, and says nothing of what is still to come.
        new = done - finished.remembered if stage == TRANSLATING else done
        began, before = self._began.setdefault(stage, (time.monotonic(), new))
        rate = (new - before) / max(time.monotonic() - began, 1e-3)
        return _Now(finished, stage, done, max(total, done), unit, rate)

    def _watch(self) -> None:
        if self._console.is_terminal:
            self._show_bar()
        else:
            self._print_lines()

    def _show_bar(self) -> None:
        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[counts]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            expand=True,
        )
        task, shown = bar.add_task(READING, total=None, counts=""), READING
        with Live(console=self._console, transient=True, refresh_per_second=5) as live:
            while True:
                now = self._now()
                if now.stage != shown:
                    # The time left is that of the stage.
                    bar.reset(task)
                    shown = now.stage
                bar.update(
                    task,
                    description=now.stage,
                    total=now.total,
                    completed=now.done,
                    counts=f"{now.done:,}/{now.total:,} {now.rate:,.0f} {now.unit}/s",
                )
                live.update(Group(bar, Text("  " + self._state(now.finished), style="dim")))
                if self._stop.wait(0.2):
                    return

    def _print_lines(self) -> None:
        told = time.monotonic()
        # More often than it tells, to see when a stage begins.
        while not self._stop.wait(min(1.0, PLAIN_SECONDS)):
            now = self._now()
            if time.monotonic() - told < PLAIN_SECONDS:
                continue
            told = time.monotonic()
            left = f"{(now.total - now.done) / now.rate:,.0f} s left" if now.rate else "time left unknown"
            self._console.print(
                f"{now.stage}: {now.done:,} of {now.total:,} {now.unit}, {now.rate:,.1f} a second, {left}; "
                f"{self._state(now.finished)}",
                soft_wrap=True,
            )

    def _state(self, finished: Finished) -> str:
        """What has come of the translation."""
        if not finished.texts:
            return f"{len(self._buckets.first)} languages"
        known = f", {finished.remembered:,} remembered" if finished.remembered else ""
        return (
            f"{finished.languages} of {len(self._buckets.first)} languages done, "
            f"{finished.keep_rate:.0%} of the texts kept{known}"
        )


@dataclass(frozen=True)
class _Now:
    """What is shown at a time."""

    finished: Finished
    stage: str
    done: int
    total: int
    unit: str
    rate: float
    """Of what is done, per second of its stage."""
