"""Work that a runner does again, as Dataflow does after it lost a worker, leaves what it left at first."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil

from tests.cloud.conftest import Program, files_of, segments_of
from tests.cloud.servers import wait_for


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


def test_a_worker_of_this_machine_that_is_killed_ends_the_run_and_the_same_command_goes_on(
    program: Program, recipe: Path, local_mix: Path, tmp_path: Path
) -> None:
    mix = tmp_path / "mix"
    workers = ["--direct_num_workers", "2", "--direct_running_mode", "multi_processing"]
    command = ["run", str(recipe), "--output", str(mix), *workers, "--quiet"]
    started = program.start(*command)
    wait_for(lambda: segments_of(mix) or started.poll() is not None, "segment")
    for worker in psutil.Process(started.pid).children(recursive=True):
        if "sdk_worker_main" in " ".join(worker.cmdline()):
            os.kill(worker.pid, signal.SIGKILL)
    _, errors = started.communicate(timeout=120)
    assert started.returncode == 1
    assert "a worker process ended before its work did" in errors
    assert not (mix / "manifest.json").exists()

    program.call(*command)
    assert files_of(mix) == files_of(local_mix)
    assert segments_of(mix) == segments_of(local_mix)
