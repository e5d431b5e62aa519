"""Pools of fresh processes: they work, keep quiet, and stop when their user does."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import Future

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


def test_work_that_has_not_begun_is_dropped_when_the_user_fails() -> None:
    waiting: list[Future[None]] = []

    def fail() -> None:
        with processes(1) as pool:
            waiting.extend(pool.submit(time.sleep, 0.5) for _ in range(60))
            raise KeyError("stop")

    began = time.monotonic()
    with pytest.raises(KeyError, match="stop"):
        fail()
    assert time.monotonic() - began < 20
    assert any(future.cancelled() for future in waiting)
