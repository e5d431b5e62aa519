"""Processes of this machine that share work; they import nothing heavy before they know how to start."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

READER_KILLED = "a process that read was killed, perhaps for memory; less data at a time takes less"


@contextmanager
def processes(
    number: int, filesystem_options: Mapping[str, Any] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh processes; work that has not begun is dropped when its user fails or is interrupted.

    Args:
        filesystem_options: of `pipelines.filesystem`, for processes that read files far away.
    """
    # Not forked: Beam's and Arrow's threads may hold locks that nobody would release in a copy.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(number, mp_context=context, initializer=_start, initargs=(filesystem_options,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start(filesystem_options: Mapping[str, Any] | None) -> None:
    # Control-C reaches all processes of a terminal; the one that waits for the others tells of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Beam warns at import about extras that are not installed.
    logging.disable(logging.WARNING)
    if filesystem_options is not None:
        from apache_beam.options.pipeline_options import PipelineOptions

        from pipelines.filesystem import set_filesystem_options

        set_filesystem_options(PipelineOptions.from_dictionary(dict(filesystem_options)))
