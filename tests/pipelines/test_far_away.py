"""The same recipe gives the same mix wherever the recipe, its data and the mix lie."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

from pipelines import inputs, run
from pipelines.manifest import read_manifest
from pipelines.recipe import SettingsError, load_recipe
from pipelines.run import RunFailed, make_plan, run_mix
from pipelines.verify import problems
from tests.pipelines.remote_folder import FOLDER, KeptFileSystem, StoreFault, forget, url_of

Rows = dict[str, list[dict[str, object]]]


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    forget()
    yield
    forget()


def rows(mix: Path) -> Rows:
    """The rows of each file of data and rejects."""
    return {
        path.relative_to(mix).as_posix(): pq.read_table(path).to_pylist()
        for path in sorted(mix.glob("*/*/*.parquet"))
        if path.parent.parent.name in ("data", "rejected")
    }


def build(recipe: str | Path, output: str | Path, *overrides: str) -> None:
    run_mix(load_recipe(recipe, overrides), str(output), [], Console(quiet=True), quiet=True)


def test_a_mix_is_the_same_far_away(tmp_path: Path, make_recipe: Callable[[Path], Path]) -> None:
    recipe = make_recipe(tmp_path / "bucket" / "tiny")
    build(recipe, tmp_path / "here")
    build(url_of(recipe, tmp_path), "kept://bucket/mix")
    assert rows(tmp_path / "bucket" / "mix") == rows(tmp_path / "here") != {}
    here, there = read_manifest(str(tmp_path / "here")), read_manifest("kept://bucket/mix")
    assert (here.signature, here.counts) == (there.signature, there.counts)


def test_what_workers_print_of_an_error_goes_to_a_log_of_this_machine(
    tmp_path: Path,
    make_recipe: Callable[[Path], Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    recipe, logs = make_recipe(tmp_path / "bucket" / "tiny"), tmp_path / "logs"
    logs.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(logs))

    def fail(*arguments: object) -> bool:
        os.write(2, b"Traceback of a worker\n")
        raise RuntimeError("the disk is on fire")

    with monkeypatch.context() as patched:
        patched.setattr(run, "run_graph", fail)
        with pytest.raises(RunFailed) as failed:
            build(recipe, "kept://bucket/mix")
    assert capfd.readouterr().err == ""
    (folder,) = logs.glob("translate-mix-*")
    assert str(failed.value) == f"the disk is on fire (details in {folder}/run-error.txt)"
    assert (folder / "workers.log").read_text() == "Traceback of a worker\n"
    assert "the disk is on fire" in (folder / "run-error.txt").read_text()
    shutil.rmtree(folder)
    build(recipe, "kept://bucket/mix")
    assert not list(logs.glob("translate-mix-*"))


def test_recipe_and_data_may_lie_apart(tmp_path: Path, make_recipe: Callable[[Path], Path]) -> None:
    recipe = make_recipe(tmp_path / "bucket" / "tiny")
    here = tmp_path / "recipe.yaml"
    shutil.copyfile(recipe, here)
    apart = load_recipe(here, ["root=kept://bucket/tiny"])
    assert apart.digest == load_recipe(recipe).digest
    assert apart.source_path("captions.json") == "kept://bucket/tiny/captions.json"
    far = load_recipe(url_of(recipe, tmp_path), ["root=../tiny", f"sources.0.images={recipe.parent}/images"])
    assert far.source_path("captions.json") == "kept://bucket/tiny/captions.json"
    assert far.source_path(f"{recipe.parent}/images") == f"{recipe.parent}/images"


@pytest.mark.parametrize(
    ("overrides", "key", "words"),
    [
        (["root=kept://bucket/nowhere"], "root", "no folder kept://bucket/nowhere"),
        (["root=nofs://bucket/tiny"], "root", "no filesystem for nofs:// is installed"),
        (["sources.0.annotations=a.json"], "sources.0.annotations", "no file kept://bucket/tiny/a.json"),
        (["sources.0.annotations=images"], "sources.0.annotations", "is a folder; name a file"),
        (["sources.0.annotations='*.json'"], "sources.0.annotations", "is a glob; name one file"),
        (["sources.0.annotations=secret.json"], "sources.0.annotations", "403 Forbidden"),
        (["sources.1.images=pictures"], "sources.1.images", "no folder or archive kept://bucket/tiny/pict"),
        (["model=kept://bucket/model"], "model", "no directory kept://bucket/model"),
        (["identification=kept://bucket/lid.bin"], "identification", "no file kept://bucket/lid.bin"),
        (["quality=['labse:kept://bucket/labse']"], "quality.0", "no directory kept://bucket/labse"),
        (["download={cache: cache}"], "download.cache", "name a folder of this machine, or one that all"),
        (["thresholds=thresholds.tsv"], "thresholds", "there is no such file"),
        (["answers.file=answers.tsv"], "answers.file", "there is no such file"),
    ],
)
def test_what_is_not_there_is_told_as_on_disk(
    tmp_path: Path, make_recipe: Callable[[Path], Path], overrides: list[str], key: str, words: str
) -> None:
    recipe = make_recipe(tmp_path / "bucket" / "tiny")
    (recipe.parent / "secret.json").write_text("{}")
    with pytest.raises(SettingsError) as caught:
        load_recipe(url_of(recipe, tmp_path), overrides)
    assert caught.value.key == key
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("sources.0.images={}/images", "sources.0.images"),
        ("sources.1.images={}/images", "sources.1.images"),
        ("sources.1.path={}/questions.jsonl", "sources.1.path"),
        ("identification={}/lid.bin", "identification"),
        ("quality=['labse:{}/images']", "quality.0"),
    ],
)
def test_what_lies_here_is_out_of_reach_of_workers_elsewhere(
    tmp_path: Path, make_recipe: Callable[[Path], Path], override: str, key: str
) -> None:
    recipe = make_recipe(tmp_path / "bucket" / "tiny")
    (recipe.parent / "lid.bin").write_bytes(b"a model")
    far = load_recipe(url_of(recipe, tmp_path), [override.format(recipe.parent)])
    options = PipelineOptions(["--runner", "DataflowRunner"])
    with pytest.raises(SettingsError) as caught:
        make_plan(far, "kept://bucket/mix", "cpu", options, Console(quiet=True), quiet=True)
    assert caught.value.key == key
    assert "is on this machine, and the workers of DataflowRunner are not" in str(caught.value)


def test_a_recipe_that_is_not_there_is_told_by_its_url() -> None:
    with pytest.raises(SettingsError, match=r"^kept://bucket/recipe.yaml: cannot be read: No such file"):
        load_recipe("kept://bucket/recipe.yaml")


def test_a_store_that_does_not_answer_stops_the_recipe(
    tmp_path: Path, make_recipe: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "WAITS_S", (0.0,))
    recipe = make_recipe(tmp_path / "bucket" / "tiny")
    KeptFileSystem.faults[:] = [StoreFault("connection reset")] * 2
    with pytest.raises(SettingsError, match=r"root is .*: no answer from the store, asked 2 times: .*reset"):
        load_recipe(recipe, ["root=kept://bucket/tiny"])


def test_a_mix_may_have_a_name_that_looks_like_a_pattern(
    tmp_path: Path, make_recipe: Callable[[Path], Path]
) -> None:
    recipe = make_recipe(tmp_path / "bucket" / "tiny")
    build(recipe, tmp_path / "here")
    name = "mix [1] what?*"
    # What the name would find as a pattern.
    other = tmp_path / "bucket" / "mix 1 what is this" / "data" / "deu_Latn" / "train-00000-of-00001.parquet"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"another's")
    left = tmp_path / "bucket" / name / "data" / "deu_Latn" / "train-00007-of-00009.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of a run that was killed")
    build(recipe, f"kept://bucket/{name}")
    assert rows(tmp_path / "bucket" / name) == rows(tmp_path / "here")
    assert other.read_bytes() == b"another's"
    foreign = left.with_name("foreign.parquet")
    foreign.write_bytes(b"")
    assert list(problems(f"kept://bucket/{name}")) == [
        "data/deu_Latn/foreign.parquet: is not in the manifest"
    ]
