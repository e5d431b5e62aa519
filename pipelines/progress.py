"""Progress of a run on this machine: workers count finished texts into small files, the launcher reads them.

Beam's local runner reports metrics only at the end. On a remote runner its own pages show progress.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

PLAIN_SECONDS = 30
TOTAL, FINISHED, REMEMBERED = "total", "done", "remembered"


def record(directory: str | None, texts: int, remembered: int) -> None:
    """Adds `texts` to what this process has finished, and how many of them came from the memory."""
    if directory is not None:
        for name, count in ((REMEMBERED, remembered), (FINISHED, texts)):
            with open(os.path.join(directory, f"{name}-{os.getpid()}"), "a", encoding="ascii") as file:
                file.write(f"{count}\n")


def record_total(count: int, directory: str | None) -> None:
    """Says how many distinct texts there are to translate."""
    if directory is not None:
        Path(directory, TOTAL).write_text(f"{count}\n", encoding="ascii")


def _numbers(path: Path) -> list[int]:
    return [int(line) for line in path.read_text(encoding="ascii").splitlines() if line.isdigit()]


class ProgressDisplay:
    """Shows done / total, rate and time left while a run goes on; a bar on a terminal, else plain lines."""

    def __init__(self, directory: Path, console: Console, quiet: bool) -> None:
        self._directory, self._console, self._quiet = directory, console, quiet
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
        self.done = self.remembered = 0
        """Texts, once the display has ended."""

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
        self.done, self.remembered, _ = self._counts()

    def _counts(self) -> tuple[int, int, int | None]:
        """Texts done, those of them that were remembered, and all, once they are counted."""
        total = self._directory / TOTAL
        done, remembered = (
            sum(sum(_numbers(path)) for path in self._directory.glob(f"{name}-*"))
            for name in (FINISHED, REMEMBERED)
        )
        return done, remembered, _numbers(total)[0] if total.exists() and _numbers(total) else None

    def _watch(self) -> None:
        if self._console.is_terminal:
            self._bar()
        else:
            self._lines()

    def _bar(self) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task("reading sources", total=None, rate="")
            started: float | None = None
            while True:
                done, remembered, total = self._counts()
                if total is not None:
                    started = started or time.monotonic()
                    rate = done / max(time.monotonic() - started, 1e-3)
                    text = "translating" if done < total else "writing rows"
                    text += f" ({remembered:,} remembered)" if remembered else ""
                    bar.update(
                        task, description=text, total=total, completed=done, rate=f"{rate:,.0f} texts/s"
                    )
                if self._stop.wait(0.2):
                    return

    def _lines(self) -> None:
        began = time.monotonic()
        while not self._stop.wait(PLAIN_SECONDS):
            done, remembered, total = self._counts()
            seconds = time.monotonic() - began
            if total is None:
                self._console.print(f"reading sources, {seconds:,.0f} s")
                continue
            rate = done / seconds
            left = f"{(total - done) / rate:,.0f} s left" if done else "time left unknown"
            known = f", {remembered:,} remembered" if remembered else ""
            self._console.print(
                f"translated {done:,} of {total:,} texts{known}, {rate:,.1f} a second, {left}"
            )


class RowProgress:
    """Shows rows done of all, rate and time left: a bar on a terminal, else a line every `PLAIN_SECONDS`."""

    def __init__(self, text: str, total: int, console: Console, quiet: bool) -> None:
        self._text, self._total, self._console, self._quiet = text, total, console, quiet
        self._done = 0
        self._began = self._told = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> RowProgress:
        if self._console.is_terminal and not self._quiet:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task(self._text, total=self._total, rate="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, rows: int) -> None:
        """So many rows more are done."""
        self._done += rows
        now = time.monotonic()
        rate = self._done / max(now - self._began, 1e-3)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, rate=f"{rate:,.0f} rows/s")
        elif not self._quiet and now - self._told >= PLAIN_SECONDS:
            self._told = now
            left = (self._total - self._done) / max(rate, 1e-3)
            self._console.print(
                f"{self._text}: {self._done:,} of {self._total:,} rows, {rate:,.0f} a second, "
                f"{left:,.0f} s left"
            )
