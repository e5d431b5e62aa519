"""Submission to Dataflow by Beam's real client; the service runs what was uploaded, as far as it can here."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from tests.cloud.conftest import GoogleCloud
from tests.cloud.servers import BUCKET, Dataflow, wait_for
from tests.pipelines.mix_files import files_of

ACCELERATOR = "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
IMAGE = "europe-docker.pkg.dev/our-project/images/translate-mix:1"

RUN_UPLOADED = """
import sys
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

FileSystems.set_options(PipelineOptions([]))
pipeline = beam_runner_api_pb2.Pipeline.FromString(FileSystems.open(sys.argv[1]).read())
for environment in pipeline.components.environments.values():
    # A container of the image would do the work.
    environment.urn, environment.payload = python_urns.EMBEDDED_PYTHON, b""
    del environment.dependencies[:]
FnApiRunner().run_via_runner_api(pipeline, PipelineOptions([])).wait_until_finish()
"""

Command = Callable[[str], list[str]]


def ends_after(over: threading.Event, state: str = "JOB_STATE_DONE") -> Callable[[dict[str, Any]], str]:
    """The work of a job that runs until somebody says that it is over."""

    def work(_: dict[str, Any]) -> str:
        over.wait()
        return state

    return work


@pytest.fixture
def command(google: GoogleCloud, recipe: Path, tmp_path: Path) -> Command:
    """Address of the service -> the command line, with sources and output in the bucket."""
    for path in sorted(recipe.parent.rglob("*")):
        if path.is_file():
            google.store.upload(f"data/{path.relative_to(recipe.parent).as_posix()}", path.read_bytes())

    def arguments(address: str) -> list[str]:
        return [
            "run", str(recipe), "--set", f"root=gs://{BUCKET}/data", "--output", f"gs://{BUCKET}/mix",
            "--runner", "DataflowRunner", "--dataflow_endpoint", address, "--project", "our-project",
            "--region", "europe-west4", "--temp_location", f"gs://{BUCKET}/temp",
        ]  # fmt: skip

    return arguments


def test_a_job_is_submitted_as_its_options_say_and_makes_the_mix(
    google: GoogleCloud, command: Command, local_mix: Path, tmp_path: Path
) -> None:
    wheel = tmp_path / "translate_mix-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"PK the wheel of this program")

    def work(job: dict[str, Any]) -> str:
        uploaded = job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
        done = subprocess.run(
            [sys.executable, "-c", RUN_UPLOADED, uploaded],
            env=google.program.whole_environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            dataflow.messages.append(("ERROR", done.stderr))
            return "JOB_STATE_FAILED"
        return "JOB_STATE_DONE"

    dataflow = Dataflow(work, [("BASIC", "Worker pool started."), ("DEBUG", "noise")])
    with dataflow.serve() as address:
        done = google.program.call(
            *command(address),
            "--job_name", "our-mix", "--sdk_container_image", IMAGE, "--extra_package", str(wheel),
            "--dataflow_service_options", ACCELERATOR, "--machine_type", "g2-standard-8",
            "--num_workers", "2", "--max_num_workers", "9", "--autoscaling_algorithm", "THROUGHPUT_BASED",
            "--disk_size_gb", "60", "--experiments", "no_use_multiple_sdk_containers",
            "--device", "cpu",
        )  # fmt: skip

    jobs = "/v1b3/projects/our-project/locations/europe-west4/jobs"
    assert dataflow.requests[:2] == [("GET", jobs), ("POST", jobs)]
    job = dataflow.job
    assert (job["name"], job["type"]) == ("our-mix", 1)
    environment = job["environment"]
    assert environment["serviceOptions"] == [ACCELERATOR]
    assert "use_runner_v2" in environment["experiments"]
    assert "no_use_multiple_sdk_containers" in environment["experiments"]
    assert "use_multiple_sdk_containers" not in environment["experiments"]
    (workers,) = environment["workerPools"]
    assert workers["machineType"] == "g2-standard-8"
    assert workers["numWorkers"] == 2
    assert workers["diskSizeGb"] == 60
    assert workers["autoscalingSettings"] == {"maxNumWorkers": 9, "algorithm": 2}
    assert [one["containerImage"] for one in workers["sdkHarnessContainerImages"]] == [IMAGE]

    staged = {Path(name).name: name for name in google.store.names("temp/")}
    assert google.store.read(staged[wheel.name]) == wheel.read_bytes()
    assert wheel.name in [package["name"] for package in workers["packages"]]
    graph = beam_runner_api_pb2.Pipeline.FromString(google.store.read(staged["pipeline.pb"]))
    steps = {one.unique_name.split("/")[0] for one in graph.components.transforms.values()}
    assert {"Read", "Check images", "Translate", "Make rows", "Write", "Manifest"} <= steps

    address = "https://console.cloud.google.com/dataflow/jobs/europe-west4/job-7?project=our-project"
    assert f"job    job-7: {address}" in done.stdout
    assert "job-7 is running" in done.stdout
    assert "basic: Worker pool started." in done.stdout
    assert "job-7 is done" in done.stdout
    assert "noise" not in done.stdout
    fetched = google.store.download("mix", tmp_path / "fetched")
    rows = {name for name in files_of(fetched) if name.endswith(".parquet")}
    assert rows
    assert {name: files_of(fetched)[name] for name in rows} == {
        name: digest for name, digest in files_of(local_mix).items() if name in rows
    }


def test_a_job_that_fails_says_why(google: GoogleCloud, command: Command) -> None:
    trace = (
        'Traceback (most recent call last):\n  File "sink.py", line 1\n'
        "pipelines.filesystem.OutputError: cannot write gs://our-bucket/x: no permission "
        "[while running 'Write']"
    )
    dataflow = Dataflow(lambda _: "JOB_STATE_FAILED", [("ERROR", trace)])
    with dataflow.serve() as address:
        done = google.program.call(*command(address), "--sdk_container_image", IMAGE, code=1)
    assert done.stderr.startswith("translate-mix: cannot write gs://our-bucket/x: no permission (details in ")
    assert "error: pipelines.filesystem.OutputError: cannot write" in done.stdout
    assert "job-7 is failed" in done.stdout
    assert not [name for name in google.store.names("mix/") if name.endswith("manifest.json")]


def test_an_interrupted_command_leaves_the_job_and_says_how_to_end_it(
    google: GoogleCloud, command: Command
) -> None:
    over = threading.Event()
    dataflow = Dataflow(ends_after(over))
    with dataflow.serve() as address:
        started = google.program.start(*command(address), "--sdk_container_image", IMAGE)
        wait_for(
            lambda: (
                any(path.endswith("/job-7") for _, path in dataflow.requests) or started.poll() is not None
            ),
            "look at the job",
        )
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=60)
        over.set()
    assert started.returncode == 130
    assert "the job goes on" in errors
    assert "gcloud dataflow jobs cancel job-7 --region=europe-west4 --project=our-project" in errors
    assert not [path for method, path in dataflow.requests if method == "PUT"]


def test_a_command_that_need_not_wait_says_what_comes_last(google: GoogleCloud, command: Command) -> None:
    over = threading.Event()
    dataflow = Dataflow(ends_after(over))
    with dataflow.serve() as address:
        done = google.program.call(
            *command(address), "--sdk_container_image", IMAGE, "--no_wait_until_finish"
        )
        over.set()
    assert "job    job-7: https://console.cloud.google.com/" in done.stdout
    assert f"submitted; gs://{BUCKET}/mix/manifest.json will be its last file" in done.stdout


def submitted(dataflow: Dataflow) -> int:
    return sum(method == "POST" for method, _ in dataflow.requests)


def test_a_second_job_for_an_output_is_refused_before_it_deletes_what_the_first_one_wrote(
    google: GoogleCloud, command: Command
) -> None:
    over, shard = threading.Event(), "mix/data/deu_Latn/train-00000-of-00001.parquet"
    dataflow = Dataflow(ends_after(over, "JOB_STATE_FAILED"))
    with dataflow.serve() as address:
        submit = [*command(address), "--sdk_container_image", IMAGE, "--no_wait_until_finish"]
        google.program.call(*submit)
        google.store.upload(shard, b"rows")
        refused = google.program.call(*submit, code=2)
        assert google.store.names("mix/data/") == [shard]
        assert submitted(dataflow) == 1
        name = dataflow.job["name"]

        over.set()
        dataflow.seen_running.set()
        wait_for(lambda: not dataflow.active, "end of the job")
        google.program.call(*submit)
        assert google.store.names("mix/data/") == []
    assert submitted(dataflow) == 2
    assert name.startswith("translate-mix-mix-")
    assert refused.stderr == (
        f"translate-mix: gs://{BUCKET}/mix: job job-7 ({name}) is still writing there; wait for its end, or "
        "end it by: gcloud dataflow jobs cancel job-7 --region=europe-west4 --project=our-project\n"
    )


def test_nothing_is_deleted_where_the_service_does_not_say_what_is_running(
    google: GoogleCloud, command: Command
) -> None:
    shard = "mix/data/deu_Latn/train-00000-of-00001.parquet"
    google.store.upload(shard, b"rows")
    dataflow = Dataflow(lambda _: "JOB_STATE_DONE", listing=HTTPStatus.FORBIDDEN)
    with dataflow.serve() as address:
        refused = google.program.call(*command(address), "--sdk_container_image", IMAGE, code=1)
    assert google.store.names("mix/data/") == [shard]
    assert submitted(dataflow) == 0
    assert refused.stderr.startswith("translate-mix: Dataflow does not say which jobs are running: 403 ")
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("conflict", [HTTPStatus.OK, HTTPStatus.CONFLICT])
def test_a_refusal_of_the_service_does_not_advise_to_write_there_all_the_same(
    google: GoogleCloud, command: Command, conflict: HTTPStatus
) -> None:
    over = threading.Event()
    dataflow = Dataflow(ends_after(over), listed=False, conflict=conflict)
    with dataflow.serve() as address:
        submit = [*command(address), "--sdk_container_image", IMAGE, "--no_wait_until_finish"]
        google.program.call(*submit)
        refused = google.program.call(*submit, code=1)
        over.set()
    assert refused.stderr.startswith(
        f"translate-mix: another job of the name {dataflow.job['name']} has started a moment ago, and may be "
        "writing to the same output; wait for its end, and give the same command again (details in "
    )


def test_the_launcher_of_a_template_writes_a_job_and_starts_none(
    google: GoogleCloud, command: Command
) -> None:
    dataflow = Dataflow(lambda _: "JOB_STATE_DONE")
    with dataflow.serve() as address:
        done = google.program.call(
            *command(address),
            *("--sdk_container_image", IMAGE, "--template_location", f"gs://{BUCKET}/templates/ours"),
        )
    assert f"template gs://{BUCKET}/templates/ours" in done.stdout
    assert IMAGE in google.store.read("templates/ours").decode()
    assert not [path for method, path in dataflow.requests if method == "POST"]


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        (["--project", "our-project"], "Missing required option: project"),
        (["--sdk_container_image", IMAGE], "the workers lack this program; give --sdk_container_image"),
        (
            ["--set", f"root=gs://{BUCKET}/data"],
            "is on this machine, and the workers of DataflowRunner are not",
        ),
    ],
)
def test_what_is_missing_is_said_before_anything_is_sent(
    google: GoogleCloud, command: Command, left_out: list[str], said: str
) -> None:
    # Beam looks at its options for the real service only.
    arguments = [*command("https://dataflow.googleapis.com"), "--sdk_container_image", IMAGE]
    start = arguments.index(left_out[1]) - 1
    del arguments[start : start + 2]
    done = google.program.call(*arguments, code=2)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
