"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_SECONDS = 30
"""Between two lines where there is no terminal."""


class CountProgress:
    """Shows done of all, rate and time left: a bar on a terminal, else a line every `PLAIN_SECONDS`."""

    def __init__(
        self, text: str, total: int, console: Console, quiet: bool, unit: str = "rows", done: int = 0
    ) -> None:
        """
        Args:
            unit: of what is counted, in the plural.
            done: before now, by a run that this one goes on with.
        """
        self._text, self._total, self._console, self._quiet = text, total, console, quiet
        self._unit, self._before = unit, done
        self._done = done
        self._began = self._told = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> CountProgress:
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
            self._task = self._bar.add_task(self._text, total=self._total, completed=self._done, rate="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int, note: str = "") -> None:
        """So many more are done; `note` stands behind the rate."""
        self._done += count
        now = time.monotonic()
        rate = (self._done - self._before) / max(now - self._began, 1e-3)
        if self._bar is not None:
            self._bar.update(
                self._task, completed=self._done, rate=f"{_figure(rate)} {self._unit}/s {note}".rstrip()
            )
        elif not self._quiet and now - self._told >= PLAIN_SECONDS:
            self._told = now
            left = (self._total - self._done) / max(rate, 1e-3)
            self._console.print(
                f"{self._text}: {self._done:,} of {self._total:,} {self._unit}, {_figure(rate)} a second, "
                f"{left:,.0f} s left{', ' if note else ''}{note}"
            )


def _figure(rate: float) -> str:
    """Rates below ten with a digit behind the point, so that slow work does not show as 0."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:,.2f}"
