"""Progress of a plan: how much of the sources is read, as a bar on a terminal, as plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from translation.progress import PLAIN_SECONDS


class ReadingProgress:
    """Shows the share that is done, and the time left: a bar, or a line every `PLAIN_SECONDS`."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console, self._quiet = console, quiet
        self._began = self._told = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> ReadingProgress:
        if self._console.is_terminal and not self._quiet:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("reading sources", total=None)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, what: str) -> None:
        """Something else begins, whose end cannot be foreseen."""
        if self._bar is not None:
            self._bar.update(self._task, description=what, total=None, completed=0)

    def read(self, done: int, whole: int) -> None:
        """So many bytes of all are read."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=whole)
            return
        now = time.monotonic()
        if not self._quiet and now - self._told >= PLAIN_SECONDS:
            self._told = now
            left = (now - self._began) * (whole - done) / max(done, 1)
            self._console.print(f"reading sources: {done / whole:.0%} of {whole:,} bytes, {left:,.0f} s left")
