"""Engines of workers: each process its own, or one for all processes of a machine."""

from __future__ import annotations

import multiprocessing
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.utils.shared import Shared
from rich.console import Console

from pipelines import engines, translating
from pipelines.engines import EngineOptions, HeldEngine, computed_by
from pipelines.manifest import read_manifest
from pipelines.options import beam_options
from pipelines.recipe import load_recipe
from pipelines.run import make_plan
from pipelines.translate_mix import translate_mix
from tests.gpu_machine import GpuMachine
from translation.decoder import Threads
from translation.engine import Engine
from translation.memory import Origin, begin
from translation.model import SMALL, ModelError
from translation.translations import Decoding, Request, Translation

REQUESTS = [Request("red apple", "eng_Latn", "deu_Latn"), Request("cat", "eng_Latn", "rus_Cyrl")]


@pytest.fixture
def options(tmp_path: Path) -> EngineOptions:
    memory = str(tmp_path / "memory")
    begin(memory, "a run", lambda: "")
    return EngineOptions(
        directory=SMALL,
        decoding=Decoding(beam_size=1),
        device="cpu",
        threads=Threads(),
        memory=memory,
        origin=Origin("ctranslate2", "small", "greedy"),
        shortlist=True,
        computed="cpu",
    )


def translated(options: EngineOptions, answers: Queue[list[Translation]]) -> None:
    """What another process says."""
    held = HeldEngine(options, Shared())
    answers.put(held.engine.translate(REQUESTS))
    held.release()


def translated_and_held(options: EngineOptions, answers: Queue[list[Translation]]) -> None:
    """As `translated`, of a process that goes on until it is killed."""
    held = HeldEngine(options, Shared())
    answers.put(held.engine.translate(REQUESTS))
    time.sleep(600)
    held.release()


def test_threads_of_a_process_hold_one_engine(options: EngineOptions) -> None:
    shared = Shared()
    first, second = HeldEngine(options, shared), HeldEngine(options, shared)
    assert first.engine is second.engine
    first.release()
    assert second.engine.translate(REQUESTS)[0].text
    second.release()


def test_processes_of_a_machine_call_one_engine(options: EngineOptions, tmp_path: Path) -> None:
    options = replace(options, shared_as=f"test-{uuid.uuid4().hex}")
    held = HeldEngine(options, Shared())
    mine = held.engine.translate(REQUESTS)
    # The other process finds no model: only by calling this one it can translate.
    blind = replace(options, directory=str(tmp_path / "no model"))
    context = multiprocessing.get_context("spawn")
    answers: Queue[list[Translation]] = context.Queue()
    process = context.Process(target=translated, args=(blind, answers))
    process.start()
    theirs = answers.get(timeout=60)
    process.join(60)
    assert process.exitcode == 0
    assert theirs == mine
    # It let go of it; we still hold it.
    assert held.engine.translate(REQUESTS) == mine
    held.release()


def test_the_next_process_serves_after_the_first_has_died(options: EngineOptions) -> None:
    options = replace(options, shared_as=f"test-{uuid.uuid4().hex}")
    context = multiprocessing.get_context("spawn")
    for _ in range(2):
        # One that was killed may have left its queue locked.
        answers: Queue[list[Translation]] = context.Queue()
        process = context.Process(target=translated_and_held, args=(options, answers))
        process.start()
        assert len(answers.get(timeout=60)) == len(REQUESTS)
        process.kill()
        process.join(60)


def test_a_worker_that_computes_otherwise_than_planned_is_an_error(options: EngineOptions) -> None:
    with pytest.raises(ModelError, match=r"computes on cpu, but the run was planned for cuda-int8_float16"):
        replace(options, computed="cuda-int8_float16").load()


def test_a_run_with_one_engine_for_two_processes_makes_the_same_mix(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(tiny_recipe, [])
    digests = []
    for name, arguments in (("alone", []), ("shared", ["--direct_num_workers", "2"])):
        output = str(tmp_path / name)
        options = beam_options(arguments)
        plan, _ = make_plan(recipe, output, "cpu", options, Console(quiet=True), quiet=True)
        assert not plan.engine.shared_as
        if arguments:
            engine = replace(plan.engine, shared_as=f"test-{uuid.uuid4().hex}")
            plan = replace(plan, engine=engine)
        plan = replace(plan, progress_directory=None)
        begin(plan.engine.memory, "a run", lambda: "")
        with beam.Pipeline(options=options) as pipeline:
            translate_mix(pipeline, plan)
        digests.append({file.path: file.sha256 for file in read_manifest(output).files})
    assert digests[0] == digests[1]


def test_the_engine_says_what_it_computes_on(options: EngineOptions) -> None:
    held = HeldEngine(options, Shared())
    assert computed_by(held.engine._engine) == "cpu"
    held.release()


def test_each_gpu_has_a_batch_to_do_and_another_is_being_prepared(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(tiny_recipe, [])
    begun: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers: int, name: str) -> None:
            begun.append(workers)
            super().__init__(workers, name)

    def run(name: str, device: str) -> list[dict[str, Any]]:
        options = beam_options([])
        plan, _ = make_plan(recipe, str(tmp_path / name), device, options, Console(quiet=True), quiet=True)
        assert plan.engine.on_gpu == (device == "cuda")
        plan = replace(plan, progress_directory=None)
        begin(plan.engine.memory, "a run", lambda: "")
        with beam.Pipeline(options=options) as pipeline:
            translate_mix(pipeline, plan)
        tables = [pq.read_table(file) for file in sorted((tmp_path / name / "data").rglob("*.parquet"))]
        rows = pa.concat_tables(tables).select(["id", "target"]).to_pylist()
        return sorted(rows, key=lambda row: str(row["id"]))

    monkeypatch.setattr(translating, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(translating, "BATCH_TEXTS", {"cpu": 3, "cuda": 5})
    on_cpu = run("cpu", "cpu")
    assert set(begun) == {2}
    begun.clear()
    machine = GpuMachine(monkeypatch, gpus=2)
    assert run("cuda", "cuda") == on_cpu
    assert set(begun) == {3}
    assert max(machine.batches) == 5


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        (Threads(), Threads(4, 4)),
        (Threads(2, 0), Threads(2, 8)),
        (Threads(1, 3), Threads(1, 3)),
        (Threads(1, 0, 4096), Threads(4, 4, 4096)),
    ],
)
def test_a_worker_elsewhere_uses_its_own_cores(
    options: EngineOptions, monkeypatch: pytest.MonkeyPatch, asked: Threads, used: Threads
) -> None:
    monkeypatch.setattr(engines, "available_cores", lambda: 16)
    opened: list[Threads] = []

    class Opened(Engine):
        def __init__(self, *places: Any, threads: Threads, **options: Any) -> None:
            opened.append(threads)
            super().__init__(*places, threads=Threads(1, 1), **options)

    monkeypatch.setattr(engines, "Engine", Opened)
    replace(options, shared_as="test", threads=asked).load().close()
    assert opened == [used]
