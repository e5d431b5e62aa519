"""What is told of jobs; tests/cloud has whole ones."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest
from rich.console import Console

from pipelines import run
from pipelines.jobs import _heard, _Listener, run_graph
from pipelines.options import beam_options
from pipelines.recipe import load_recipe
from pipelines.run import RunFailed, run_mix

DATAFLOW = logging.getLogger("apache_beam.runners.dataflow.dataflow_runner")


def printed(quiet: bool = False) -> tuple[_Listener, io.StringIO]:
    text = io.StringIO()
    return _Listener(Console(file=text, width=200, highlight=False), quiet), text


def test_a_graph_runs_to_its_end_on_this_machine(tmp_path: Path) -> None:
    def build(pipeline: beam.Pipeline) -> None:
        pipeline | beam.Create(["one"]) | beam.Map(lambda name: (tmp_path / name).touch())

    run_graph(beam_options([]), build, Console(file=io.StringIO()), quiet=True)
    assert (tmp_path / "one").exists()


def test_states_and_messages_of_a_job_are_lines_and_tracebacks_are_not() -> None:
    listener, text = printed()
    with _heard(listener):
        DATAFLOW.info("Job %s is in state %s", "job-7", "JOB_STATE_RUNNING")
        DATAFLOW.info("2026-01-01 00:00:00+00:00: JOB_MESSAGE_BASIC: [Stage] Worker pool started.")
        DATAFLOW.error("2026-01-01 00:00:01+00:00: JOB_MESSAGE_ERROR: Traceback:\n  line 1\nValueError: x\n")
        DATAFLOW.info("Console URL: somewhere")
    assert text.getvalue().splitlines() == [
        "job    job-7 is running",
        "       basic: [Stage] Worker pool started.",
        "       error: ValueError: x",
    ]
    assert len(listener.errors) == 1


def test_a_quiet_listener_keeps_errors_of_any_runner_once(caplog: pytest.LogCaptureFixture) -> None:
    listener, text = printed(quiet=True)
    with _heard(listener):
        for _ in range(2):
            logging.getLogger().error("ValueError: of another runner")
        DATAFLOW.info("Job %s is in state %s", "job-7", "JOB_STATE_RUNNING")
    logging.getLogger().error("after the job")
    assert listener.errors == ["ValueError: of another runner"]
    assert not text.getvalue()


@pytest.fixture
def failing_run(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[str, int, str]]:
    """What the runner says whenever it is asked -> how the run fails, the times it asked, what it printed."""

    def fail(said: str) -> tuple[str, int, str]:
        tries: list[object] = []

        def lost(*arguments: object) -> bool:
            tries.append(arguments)
            raise RuntimeError(said)

        monkeypatch.setattr(run, "run_graph", lost)
        out = io.StringIO()
        with pytest.raises(RunFailed) as failed:
            run_mix(load_recipe(tiny_recipe), str(tmp_path / "mix"), [], Console(file=out), quiet=True)
        return str(failed.value), len(tries), out.getvalue()

    return fail


def test_a_run_that_loses_workers_again_and_again_ends_and_says_what_to_do(
    failing_run: Callable[[str], tuple[str, int, str]],
) -> None:
    message, tries, printed = failing_run(run.LOST_WORKER)
    assert "a worker process ended before its work did" in message
    assert tries == run.TRIES
    assert printed.count("a worker process was killed; going on") == run.TRIES - 1


def test_another_failure_is_not_tried_again(
    failing_run: Callable[[str], tuple[str, int, str]],
) -> None:
    message, tries, _ = failing_run("the disk is full")
    assert "the disk is full" in message
    assert tries == 1


def test_a_runner_that_cannot_be_fetched_says_why(
    failing_run: Callable[[str], tuple[str, int, str]],
) -> None:
    message, _, _ = failing_run(
        "Traceback:\nValueError: Unable to get filesystem from specified path\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        "RuntimeError: Unable to fetch remote prism binary at https://x/y.zip: <urlopen error no network>"
    )
    assert message.startswith("Unable to fetch remote prism binary at https://x/y.zip: <urlopen error no")


def test_an_error_that_speaks_of_an_interruption_is_none(
    failing_run: Callable[[str], tuple[str, int, str]],
) -> None:
    message, _, _ = failing_run("no KeyboardInterrupt came")
    assert "no KeyboardInterrupt came" in message


def test_an_interrupted_worker_is_an_interruption(failing_run: Callable[[str], tuple[str, int, str]]) -> None:
    with pytest.raises(KeyboardInterrupt):
        failing_run("Traceback (most recent call last):\n  File x\nKeyboardInterrupt\n")
