"""Names of Dataflow jobs; tests/cloud has what the service says of them."""

from __future__ import annotations

import re

import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions

from pipelines.job_names import check_not_running, job_name, name_job
from pipelines.options import beam_options


def named(output: str, *arguments: str) -> str | None:
    options = beam_options(arguments)
    name_job(options, output)
    name: str | None = options.view_as(GoogleCloudOptions).job_name
    return name


@pytest.mark.parametrize(
    ("output", "begins"),
    [
        ("gs://bucket/mix", "translate-mix-mix-"),
        ("gs://bucket/A mix_of 2026!", "translate-mix-a-mix-of-2026-"),
        ("gs://bucket/" + "long" * 60, "translate-mix-longlong"),
        ("gs://bucket/混合", "translate-mix-"),
        ("gs://bucket/", "translate-mix-bucket-"),
    ],
)
def test_a_name_follows_from_the_output_and_is_one_that_dataflow_takes(output: str, begins: str) -> None:
    name = job_name(output)
    assert name.startswith(begins)
    # https://cloud.google.com/dataflow/docs/guides/setting-pipeline-options, and at most as long as a label.
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])", name)


def test_an_output_has_one_name_and_another_output_another() -> None:
    assert job_name("gs://bucket/mix") == job_name("gs://bucket/mix/")
    assert len({job_name(f"gs://{path}") for path in ("a/mix", "b/mix", "a/MIX", "a/mix-2")}) == 4


def test_only_a_dataflow_job_without_a_name_gets_one() -> None:
    assert named("gs://b/mix", "--runner", "DataflowRunner") == job_name("gs://b/mix")
    assert named("gs://b/mix", "--runner", "DataflowRunner", "--job_name", "ours") == "ours"
    assert named("gs://b/mix", "--runner", "FlinkRunner") is None
    assert named("mix") is None


def test_nobody_is_asked_where_no_job_of_that_name_can_be() -> None:
    # Any request would fail: there is neither a project nor a network.
    template = ("--runner", "DataflowRunner", "--template_location", "gs://b/template", "--job_name", "ours")
    for arguments in ((), ("--runner", "FlinkRunner"), template):
        check_not_running(beam_options(arguments), "gs://b/mix")
