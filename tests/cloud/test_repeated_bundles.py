"""Work that a runner does again, as Dataflow does after it lost a worker, leaves what it left at first."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil

from tests.cloud.conftest import Program, segments_of
from tests.cloud.servers import wait_for
from tests.pipelines.mix_files import files_of


def test_bundles_that_run_twice_leave_the_same_mix_and_memory(
    program: Program, recipe: Path, local_mix: Path, tmp_path: Path
) -> None:
    mix = tmp_path / "mix"
    repeat = ["--direct_runner_bundle_repeat", "1"]
    program.call("run", str(recipe), "--output", str(mix), *repeat, "--quiet")
    assert files_of(mix) == files_of(local_mix)
    assert segments_of(mix) == segments_of(local_mix)
    assert not list(mix.rglob("*.partial"))
    program.call("verify", str(mix), "--quiet")


def test_a_run_recovers_from_workers_of_this_machine_that_are_killed(
    program: Program, recipe: Path, local_mix: Path, tmp_path: Path
) -> None:
    mix = tmp_path / "mix"
    workers = ["--direct_num_workers", "2", "--direct_running_mode", "multi_processing"]
    started = program.start("run", str(recipe), "--output", str(mix), *workers, "--quiet")
    wait_for(lambda: segments_of(mix) or started.poll() is not None, "segment")
    for worker in psutil.Process(started.pid).children(recursive=True):
        if "sdk_worker_main" in " ".join(worker.cmdline()):
            os.kill(worker.pid, signal.SIGKILL)
    output, errors = started.communicate(timeout=120)
    assert started.returncode == 0, errors
    assert "a worker process was killed; going on with what the memory holds" in output
    assert files_of(mix) == files_of(local_mix)
    assert segments_of(mix) == segments_of(local_mix)
    assert not list(mix.rglob("*.partial"))
