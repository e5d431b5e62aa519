"""Beam's portable job service with workers in processes of their own gives what one process gives."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cloud.conftest import Program, segments_of
from tests.cloud.servers import WorkerPool, job_service, wait_for, worker_pool
from tests.pipelines.mix_files import files_of


@pytest.fixture(scope="module")
def jobs(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Options that send a job to the service."""
    folder = tmp_path_factory.mktemp("jobs")
    with job_service(folder, program.whole_environment) as address:
        yield ["--runner", "PortableRunner", "--job_endpoint", address]


@pytest.fixture
def pool(program: Program, tmp_path: Path) -> Iterator[WorkerPool]:
    with worker_pool(tmp_path, program.whole_environment) as started:
        yield started


def external(pool: WorkerPool) -> list[str]:
    return ["--environment_type", "EXTERNAL", "--environment_config", pool.address]


def workers_of(pool: WorkerPool) -> list[psutil.Process]:
    return psutil.Process(pool.group).children()


def test_loopback_workers_give_the_same_bytes(
    program: Program, recipe: Path, local_mix: Path, jobs: list[str], tmp_path: Path
) -> None:
    mix = tmp_path / "mix"
    program.call("run", str(recipe), "--output", str(mix), *jobs, "--environment_type", "LOOPBACK", "--quiet")
    assert files_of(mix) == files_of(local_mix)
    program.call("verify", str(mix), "--quiet")


def test_worker_processes_give_the_same_bytes(
    program: Program, recipe: Path, local_mix: Path, jobs: list[str], pool: WorkerPool, tmp_path: Path
) -> None:
    mix = tmp_path / "mix"
    program.call("run", str(recipe), "--output", str(mix), *jobs, *external(pool), "--quiet")
    assert pool.started == 1
    assert files_of(mix) == files_of(local_mix)
    assert segments_of(mix) == segments_of(local_mix)


def test_a_run_recovers_from_a_worker_that_is_killed_amid_its_work(
    program: Program, recipe: Path, local_mix: Path, jobs: list[str], pool: WorkerPool, tmp_path: Path
) -> None:
    mix = tmp_path / "mix"
    started = program.start("run", str(recipe), "--output", str(mix), *jobs, *external(pool), "--quiet")
    # The first batch is translated; the bundle is not at its end.
    wait_for(lambda: segments_of(mix) or started.poll() is not None, "segment")
    (worker,) = workers_of(pool)
    os.kill(worker.pid, signal.SIGKILL)
    output, errors = started.communicate(timeout=120)
    assert started.returncode == 0, errors
    assert "a worker process was killed; going on with what the memory holds" in output
    assert pool.started == 2
    assert files_of(mix) == files_of(local_mix)
    assert segments_of(mix) == segments_of(local_mix)
    # What the killed worker was writing into the memory goes when the next run begins (`memory.begin`).
    assert not [path for path in mix.rglob("*.partial") if path.parent.name != "memory"]
