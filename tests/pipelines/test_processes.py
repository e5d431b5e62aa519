"""Pools of fresh processes: they work, keep quiet, and stop when their user does."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from pipelines.processes import processes


def test_work_is_done_in_other_processes_that_leave_control_c_to_the_first() -> None:
    with processes(1) as pool:
        assert pool.submit(os.getpid).result() != os.getpid()
        assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN


def _endpoint() -> object:
    from pipelines.filesystem import filesystem_options

    return filesystem_options().get("s3_endpoint_url")


def test_accounts_and_endpoints_of_stores_reach_other_processes() -> None:
    with processes(1, {"s3_endpoint_url": "http://127.0.0.1:9"}) as pool:
        assert pool.submit(_endpoint).result() == "http://127.0.0.1:9"


def _wait_for(path: Path) -> None:
    given_up = time.monotonic() + 20
    while not path.exists():
        if time.monotonic() > given_up:
            path.touch()
        time.sleep(0.01)


def test_work_that_has_not_begun_is_dropped_when_the_user_fails(tmp_path: Path) -> None:
    waiting: list[Future[None]] = []
    dropped = tmp_path / "dropped"

    def fail() -> None:
        with processes(1) as pool:
            # What has begun lasts until the last work is dropped.
            waiting.extend(pool.submit(_wait_for, dropped) for _ in range(60))
            waiting[-1].add_done_callback(lambda _: dropped.touch())
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        fail()
    assert waiting[-1].cancelled()
    # One may be under way, and one or two handed over.
    assert sum(future.cancelled() for future in waiting) >= 57
