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

from translation.progress import PLAIN_SECONDS

STAGE, FINISHED, REMEMBERED = "stage", "done", "remembered"

READING, TRANSLATING, WRITING = "reading sources", "translating", "writing rows"
"""What a run does, one after the other on this machine."""


def record(directory: str | None, texts: int, remembered: int) -> None:
    """Adds `texts` to what this process has finished, and how many of them came from the memory."""
    if directory is not None:
        for name, count in ((REMEMBERED, remembered), (FINISHED, texts)):
            _write(Path(directory, f"{name}-{os.getpid()}"), f"{count}\n", "a")


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


def _numbers(path: Path) -> list[int]:
    return [int(line) for line in path.read_text(encoding="ascii").splitlines() if line.isdigit()]


class ProgressDisplay:
    """Shows done / total, rate and time left while a run goes on; a bar on a terminal, else plain lines."""

    def __init__(self, directory: Path, total: int, console: Console, quiet: bool) -> None:
        """`total`: distinct texts to translate, as they were planned; those of bad records are among them."""
        self._directory, self._total = directory, total
        self._console, self._quiet = console, quiet
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
        self.done, self.remembered = self._counts()

    def _counts(self) -> tuple[int, int]:
        """Texts done, and those of them that were remembered."""
        done, remembered = (
            sum(sum(_numbers(path)) for path in self._directory.glob(f"{name}-*"))
            for name in (FINISHED, REMEMBERED)
        )
        return done, remembered

    def _stage(self) -> str:
        stage = self._directory / STAGE
        return (stage.read_text(encoding="ascii") if stage.exists() else "") or READING

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
            task = bar.add_task(READING, total=None, rate="")
            began: float | None = None
            while True:
                (done, remembered), stage = self._counts(), self._stage()
                if stage == TRANSLATING:
                    began = began or time.monotonic()
                    # What is remembered takes no time, and says nothing of what is still to come.
                    rate = (done - remembered) / max(time.monotonic() - began, 1e-3)
                    text = f"{stage} ({remembered:,} remembered)" if remembered else stage
                    bar.update(
                        task, description=text, total=self._total, completed=done, rate=f"{rate:,.0f} texts/s"
                    )
                elif stage == WRITING:
                    bar.update(task, description=stage, total=done, completed=done, rate="")
                if self._stop.wait(0.2):
                    return

    def _lines(self) -> None:
        began: float | None = None
        while not self._stop.wait(PLAIN_SECONDS):
            (done, remembered), stage = self._counts(), self._stage()
            if stage != TRANSLATING:
                self._console.print(stage)
                continue
            began = began or time.monotonic() - PLAIN_SECONDS
            rate = (done - remembered) / (time.monotonic() - began)
            left = f"{max(0, self._total - done) / rate:,.0f} s left" if rate else "time left unknown"
            known = f", {remembered:,} remembered" if remembered else ""
            self._console.print(
                f"translated {done:,} of {self._total:,} texts{known}, {rate:,.1f} a second, {left}"
            )
