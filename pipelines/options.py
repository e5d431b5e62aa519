"""Beam's command-line options, told apart from ours."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Sequence
from typing import Any, NoReturn

from apache_beam.options.pipeline_options import (
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    StandardOptions,
    TypeOptions,
    WorkerOptions,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners.runner import PipelineRunner, create_runner

LOCAL_RUNNER = "FnApiRunner"
"""Beam's name of the runner that works on this machine alone."""

_ALSO_HERE = ("BundleBasedDirectRunner", "PrismRunner")
"""Others whose workers are on this machine unless an environment is named."""

DATAFLOW = "DataflowRunner"

CONNECT_S = 10.0
"""Until a job service must have answered."""
_EMBEDDED = "embed"
"""Beam's word for a job service of its own."""
_OWN_PROCESSES = ("LOOPBACK", "PROCESS", "EXTERNAL")
"""Environments of workers that see the files of the machine that they run on."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """(what Beam understands, the rest in order): Beam's own parser decides, values go with their options.

    Raises:
        ValueError: a value that Beam refuses.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    for kind in _option_classes(PipelineOptions):
        kind._add_argparse_args(parser)
    rest = parser.parse_known_args(list(arguments))[1]
    beam, position = [], 0
    for argument in arguments:
        if position < len(rest) and argument == rest[position]:
            position += 1
        else:
            beam.append(argument)
    return beam, rest


def _option_classes(base: Any) -> list[Any]:
    """Direct and indirect subclasses that define options of their own, each once."""
    found: list[Any] = []
    for kind in base.__subclasses__():
        if kind not in found and "_add_argparse_args" in vars(kind):
            found.append(kind)
        found += [inner for inner in _option_classes(kind) if inner not in found]
    return found


def beam_options(arguments: Sequence[str]) -> PipelineOptions:
    """Options as Beam reads them, with this project's default runner.

    Raises:
        ValueError: there is no such runner, a number of workers below 0, or an option that no run would
            survive.
    """
    options = PipelineOptions(list(arguments))
    if options.view_as(TypeOptions).performance_runtime_type_check:
        # It holds every output of a step, such as counts, to the type of the one that is grouped.
        raise ValueError("--performance_runtime_type_check: takes counts for examples; leave it out")
    standard = options.view_as(StandardOptions)
    if standard.runner in (None, "DirectRunner"):
        # Beam's DirectRunner may first try to download another runner; this is the one it falls back to.
        standard.runner = LOCAL_RUNNER
    _runner(options)
    direct = options.view_as(DirectOptions)
    if direct.direct_num_workers < 0:
        raise ValueError("--direct_num_workers must be 0 (one a core) or more")
    if direct.direct_num_workers != 1 and direct.direct_running_mode == "in_memory":
        # Which is the default, and in which Beam has one worker whatever the number.
        direct.direct_running_mode = "multi_processing"
    return options


def _runner(options: PipelineOptions) -> PipelineRunner:
    name = options.view_as(StandardOptions).runner
    try:
        return create_runner(name)
    except (ImportError, AttributeError) as error:
        # For Dataflow's, Beam raises another error while it handles that of the import.
        if is_dataflow(options) and isinstance(error.__context__ or error, ModuleNotFoundError):
            remedy = f"--runner {name} needs more packages: pip install 'translate-mix[gcp]'"
            raise ValueError(remedy) from error
        raise ValueError(f"--runner {name} cannot be used here: {error}") from error


def check_runner_options(options: PipelineOptions) -> None:
    """Whether the runner has all options that it needs, before hours go into the reading of sources.

    Raises:
        ValueError: says which are missing, or that no job service answers.
    """
    name = options.view_as(StandardOptions).runner
    problems = PipelineOptionsValidator(options, _runner(options)).validate()
    if problems:
        raise ValueError(f"--runner {name}: {'; '.join(problem.strip() for problem in problems)}")
    endpoint = options.view_as(PortableOptions).job_endpoint
    if endpoint and endpoint != _EMBEDDED:
        _check_endpoint(endpoint)
    if is_dataflow(options) and not _brings_this_package(options):
        raise ValueError(
            f"--runner {name}: the workers lack this program; give --sdk_container_image with an image of "
            "docker/worker.Dockerfile, or --extra_package with its wheel"
        )


def _check_endpoint(endpoint: str) -> None:
    """That somebody listens there: Beam waits for five minutes, and then does not say for whom."""
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except (OSError, ValueError, OverflowError) as error:
        cause = getattr(error, "strerror", None) or error
        raise ValueError(
            f"--job_endpoint {endpoint}: no job service answers there ({cause}); start it, or give HOST:PORT "
            "of another"
        ) from error


def _brings_this_package(options: PipelineOptions) -> bool:
    setup, worker = options.view_as(SetupOptions), options.view_as(WorkerOptions)
    return bool(
        worker.sdk_container_image
        or setup.extra_packages
        or setup.setup_file
        or setup.requirements_file
        or setup.prebuild_sdk_container_engine
    )


def is_dataflow(options: PipelineOptions) -> bool:
    """Whether Google Cloud Dataflow does the work."""
    return bool(options.view_as(StandardOptions).runner == DATAFLOW)


def is_local_runner(options: PipelineOptions) -> bool:
    """Whether all work is done on this machine, and by processes that this one starts."""
    return bool(options.view_as(StandardOptions).runner == LOCAL_RUNNER)


def workers_elsewhere(options: PipelineOptions) -> bool:
    """Whether the workers surely do not see the files of this machine: in containers, or in a cloud."""
    runner = options.view_as(StandardOptions).runner
    environment = options.view_as(PortableOptions).environment_type
    if is_local_runner(options) or (runner in _ALSO_HERE and environment is None):
        return False
    return runner == DATAFLOW or environment not in _OWN_PROCESSES


def has_accelerators(options: PipelineOptions) -> bool:
    """Whether Dataflow is asked for workers with a GPU."""
    services = options.view_as(GoogleCloudOptions).dataflow_service_options or ()
    return any(str(service).startswith("worker_accelerator=") for service in services)
