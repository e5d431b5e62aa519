"""A template's parameters are options that `translate-mix run` takes, and Dataflow can read its metadata."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import parser
from pipelines.options import split_arguments

DOCKER = Path(__file__).resolve().parents[2] / "docker"
METADATA = json.loads((DOCKER / "flex-template.json").read_text(encoding="utf-8"))
EXAMPLES = {
    "recipe": ["gs://bucket/recipe.yaml", "/opt/translate-mix/recipes/mblip-v2.yaml"],
    "output": ["gs://bucket/mix"],
    "set": ["model=/opt/model", "model=/opt/model; languages.codes=[deu_Latn, swh_Latn];seed=3"],
    "overwrite": ["true", "false"],
    "device": ["auto", "cpu", "cuda"],
    "threads": ["auto", "4", "2x4", "2x4x4096"],
    "sdk_container_image": ["europe-west4-docker.pkg.dev/project/images/translate-mix:0.1.0"],
    "sdk_location": ["container"],
    "dataflow_service_options": ["worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"],
    "experiments": ["no_use_multiple_sdk_containers", "use_runner_v2,no_use_multiple_sdk_containers"],
}
WRONG = {
    "recipe": ["recipe.txt", "recipes/sample.yaml"],
    "output": ["/work/mix", "gs://"],
    "set": ["model", "=3"],
    "overwrite": ["yes"],
    "device": ["gpu"],
    "threads": ["2x", "four"],
    "sdk_container_image": [""],
    "sdk_location": ["elsewhere"],
    "dataflow_service_options": ["worker accelerator"],
    "experiments": ["a b"],
}
TYPES = {
    "DEFAULT",
    "TEXT",
    "GCS_READ_BUCKET",
    "GCS_WRITE_BUCKET",
    "GCS_READ_FILE",
    "GCS_WRITE_FILE",
    "GCS_READ_FOLDER",
    "GCS_WRITE_FOLDER",
}
"""Of https://cloud.google.com/dataflow/docs/reference/rest/v1b3/projects.locations.templates#ParameterType."""


def command(*parameters: str) -> list[str]:
    spec = importlib.util.spec_from_file_location("flex_template", DOCKER / "flex_template.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    line: list[str] = module.command(parameters)
    return line


def parsed(*parameters: str) -> tuple[list[str], Any]:
    beam, own = split_arguments(command(*parameters))
    return beam, parser().parse_args(own)


def test_the_metadata_has_the_documented_form() -> None:
    assert set(METADATA) <= {"name", "description", "parameters"}
    names = [parameter["name"] for parameter in METADATA["parameters"]]
    assert len(names) == len(set(names))
    for parameter in METADATA["parameters"]:
        assert {"name", "label", "helpText"} <= parameter.keys()
        assert parameter.keys() <= {"name", "label", "helpText", "isOptional", "regexes", "paramType"}
        assert parameter["paramType"] in TYPES
        assert isinstance(parameter.get("isOptional", False), bool)


def test_googles_client_reads_the_metadata() -> None:
    types = pytest.importorskip("google.cloud.dataflow_v1beta3.types", reason="the extra gcp")
    read = types.TemplateMetadata.from_json(json.dumps(METADATA), ignore_unknown_fields=False)
    assert [one.name for one in read.parameters] == [one["name"] for one in METADATA["parameters"]]


@pytest.mark.parametrize("name", [parameter["name"] for parameter in METADATA["parameters"]])
def test_a_parameter_takes_what_the_command_takes(name: str) -> None:
    patterns = next(one["regexes"] for one in METADATA["parameters"] if one["name"] == name)
    for example in EXAMPLES[name]:
        assert all(re.search(pattern, example) for pattern in patterns), example
        given = [f"--{name}={example}"] + (["--output=gs://b/mix"] if name != "output" else [])
        beam, own = parsed(*given)
        assert hasattr(own, name) or f"--{name}={example}" in beam
    for example in WRONG[name]:
        assert not all(re.search(pattern, example) for pattern in patterns), example


def test_parameters_become_a_run() -> None:
    beam, own = parsed(
        "--recipe=gs://b/r.yaml",
        "--output=gs://b/mix",
        "--set=model=/opt/model; seed=3",
        "--overwrite=true",
        "--runner=DataflowRunner",
        "--project=p",
        "--region=europe-west4",
        "--temp_location=gs://b/tmp",
        "--template_location=gs://b/job",
        "--dataflow_service_options=worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver",
    )
    assert (str(own.recipe), own.output, own.overwrite, own.quiet) == (
        "gs://b/r.yaml",
        "gs://b/mix",
        True,
        True,
    )
    assert own.set == ["model=/opt/model", "seed=3"]
    # The launcher must not wait for the job: https://cloud.google.com/dataflow/docs/guides/templates.
    assert "--no_wait_until_finish" in beam
    assert {"--runner=DataflowRunner", "--template_location=gs://b/job"} <= set(beam)


def test_empty_and_false_parameters_change_nothing() -> None:
    _, own = parsed("--recipe=", "--output=gs://b/mix", "--set=", "--overwrite=false")
    assert (own.recipe, own.set, own.overwrite) == (None, [], False)
