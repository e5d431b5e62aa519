"""Beam's options as the command line takes them."""

from __future__ import annotations

import socket

import pytest
from apache_beam.options.pipeline_options import DirectOptions

from pipelines.engines import cores_per_worker
from pipelines.options import beam_options, check_runner_options, has_accelerators, workers_elsewhere
from translation.machine import available_cores


def test_several_workers_are_processes_unless_something_else_is_said() -> None:
    def mode(*arguments: str) -> str:
        return str(beam_options(arguments).view_as(DirectOptions).direct_running_mode)

    assert mode() == "in_memory"
    assert mode("--direct_num_workers", "2") == "multi_processing"
    assert mode("--direct_num_workers", "0") == "multi_processing"
    assert mode("--direct_num_workers", "2", "--direct_running_mode", "multi_threading") == "multi_threading"


@pytest.mark.parametrize(
    ("arguments", "cores"),
    [
        ([], available_cores()),
        (["--direct_num_workers", str(available_cores())], 1),
        (["--direct_num_workers", "0"], 1),
        (["--direct_num_workers", "1000"], 1),
        # Threads of one process share its model.
        (["--direct_num_workers", "2", "--direct_running_mode", "multi_threading"], available_cores()),
        (["--runner", "PortableRunner"], 0),
    ],
)
def test_a_worker_process_has_its_share_of_the_cores(arguments: list[str], cores: int) -> None:
    assert cores_per_worker(beam_options(arguments)) == cores


@pytest.mark.parametrize(
    ("arguments", "elsewhere"),
    [
        ([], False),
        (["--direct_num_workers", "2"], False),
        (["--runner", "DataflowRunner"], True),
        (["--runner", "BundleBasedDirectRunner"], False),
        (["--runner", "PrismRunner"], False),
        (["--runner", "PrismRunner", "--environment_type", "DOCKER"], True),
        # Docker, if nothing is said.
        (["--runner", "PortableRunner", "--job_endpoint", "localhost:1"], True),
        (["--runner", "PortableRunner", "--environment_type", "LOOPBACK"], False),
        (["--runner", "FlinkRunner", "--environment_type", "PROCESS"], False),
    ],
)
def test_workers_in_containers_and_clouds_do_not_see_this_machine(
    arguments: list[str], elsewhere: bool
) -> None:
    assert workers_elsewhere(beam_options(arguments)) == elsewhere


def test_accelerators_are_asked_for_by_a_service_option() -> None:
    gpu = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
    assert has_accelerators(beam_options(["--dataflow_service_options", gpu]))
    assert not has_accelerators(beam_options(["--dataflow_service_options", "enable_prime"]))
    assert not has_accelerators(beam_options([]))


def test_a_job_service_that_does_not_answer_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        arguments = ["--runner=PortableRunner", "--environment_type=LOOPBACK"]
        check_runner_options(beam_options([*arguments, f"--job_endpoint=127.0.0.1:{port}"]))
    for endpoint in (f"127.0.0.1:{port}", "127.0.0.1:no port", "nothing"):
        with pytest.raises(ValueError, match=f"--job_endpoint {endpoint}: no job service answers there"):
            check_runner_options(beam_options([*arguments, f"--job_endpoint={endpoint}"]))
