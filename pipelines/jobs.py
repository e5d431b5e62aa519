"""A graph on its runner: what the terminal is told of a job that runs elsewhere, and why it failed."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult
from rich.console import Console

from pipelines.job_names import cancelling, refusals_told
from pipelines.options import is_dataflow, is_local_runner

_DATAFLOW_LOGGER = "apache_beam.runners.dataflow"
"""Above those of all parts of Beam's client of Dataflow."""

_STATE = re.compile(r"Job (?P<job>\S+) is in state JOB_STATE_(?P<state>\w+)")
_MESSAGE = re.compile(r"(?P<time>[^:]+:\S+): JOB_MESSAGE_(?P<importance>[A-Z]+): (?P<text>.*)", re.DOTALL)
"""How Beam's client logs what Dataflow says of a job."""


class JobLog(Exception):
    """What a runner logged as errors of a job; an exception of the runner is raised from it."""


def run_graph(
    options: PipelineOptions, build: Callable[[beam.Pipeline], None], console: Console, quiet: bool
) -> bool:
    """Runs the graph that `build` makes to its end; whether that has come.

    It has not if `--no_wait_until_finish` or `--template_location` asks for the submission alone. Of a
    Dataflow job its address, states and messages are printed.

    Args:
        quiet: print the address alone.

    Raises:
        KeyboardInterrupt: of a Dataflow job, which goes on, with a message that says so.
        JobRefused: Dataflow has another job of that name.
        Exception: whatever the runner raises, from a `JobLog` with the errors that it logged before.
    """
    if is_local_runner(options):
        with beam.Pipeline(options=options) as pipeline:
            build(pipeline)
        return True
    standard, cloud = options.view_as(StandardOptions), options.view_as(GoogleCloudOptions)
    waits = not (standard.no_wait_until_finish or cloud.template_location)
    # So that its address is known before the end.
    standard.no_wait_until_finish = True
    with _heard(_Listener(console, quiet)) as listener:
        goes_on = ""
        try:
            with refusals_told(options), beam.Pipeline(options=options) as pipeline:
                build(pipeline)
            if cloud.template_location:
                # There is no job yet, which could be told of.
                console.print(f"template {cloud.template_location}", soft_wrap=True, markup=False)
            elif is_dataflow(options):
                goes_on = _tell(pipeline.result, cloud, console)
            if waits:
                pipeline.result.wait_until_finish()
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(*([goes_on] if goes_on else [])) from interrupt
        except Exception as error:
            if listener.errors:
                raise error from JobLog("\n".join(listener.errors))
            raise
        finally:
            standard.no_wait_until_finish = not waits
    return waits


def _tell(result: PipelineResult, cloud: GoogleCloudOptions, console: Console) -> str:
    """Prints where the job can be watched; returns what to say of it if we leave it alone."""
    job = result.job_id()
    url = f"https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{job}?project={cloud.project}"
    console.print(f"job    {job}: {url}", soft_wrap=True, markup=False)
    return (
        f"interrupted; the job goes on, and writes the manifest at its end: {url}\n"
        f"it ends at once by: {cancelling(cloud, job)}"
    )


class _Listener(logging.Handler):
    """Prints states and messages of a job; keeps its errors."""

    def __init__(self, console: Console, quiet: bool) -> None:
        super().__init__(logging.INFO)
        self._console, self._quiet = console, quiet
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.ERROR and text not in self.errors:
            self.errors.append(text)
        line = _line(record.name, text)
        if line and not self._quiet:
            self._console.print(line, soft_wrap=True, markup=False)


def _line(logger: str, text: str) -> str:
    """What is worth a line in the terminal; empty if nothing is."""
    if not logger.startswith(_DATAFLOW_LOGGER):
        return ""
    if match := _STATE.match(text):
        return f"job    {match['job']} is {match['state'].lower()}"
    if match := _MESSAGE.match(text):
        # Of a traceback of a worker the last line says what is wrong.
        lines = match["text"].strip().splitlines() or [""]
        return f"       {match['importance'].lower()}: {lines[-1]}"
    return ""


@contextmanager
def _heard(listener: _Listener) -> Iterator[_Listener]:
    """The listener, while it hears what Beam's clients of runners log."""
    dataflow, everything = logging.getLogger(_DATAFLOW_LOGGER), logging.getLogger()
    level, propagates = dataflow.level, dataflow.propagate
    dataflow.setLevel(logging.INFO)
    # Its errors are tracebacks, each told again whenever a bundle is tried again.
    dataflow.propagate = False
    dataflow.addHandler(listener)
    everything.addHandler(listener)
    try:
        yield listener
    finally:
        everything.removeHandler(listener)
        dataflow.removeHandler(listener)
        dataflow.setLevel(level)
        dataflow.propagate = propagates
