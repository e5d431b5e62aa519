"""Processes of this machine that share work; they import nothing heavy before they know how to start."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

READER_KILLED = "a process that read was killed, perhaps for memory; less data at a time takes less"


@contextmanager
def processes(number: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh processes; work that has not begun is dropped when its user fails or is interrupted."""
    # Not forked: Beam's and Arrow's threads may hold locks that nobody would release in a copy.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(number, mp_context=context, initializer=_start)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start() -> None:
    # Control-C reaches all processes of a terminal; the one that waits for the others tells of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Beam warns at import about extras that are not installed.
    logging.disable(logging.WARNING)
