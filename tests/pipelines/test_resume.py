"""Runs that are killed, as the kernel kills them, and go on: real processes, the real small model."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.pipelines.mix_files import files_of
from translation.memory import Memory
from translation.memory_segments import SegmentFolder

PROGRAM = '''
"""`translate-mix` with batches of a few texts, which notes what the engine was given."""
import hashlib, os
import pipelines.translating as translating
from pipelines.cli import main
from tests.pipelines.mix_files import files_of
from translation.engine import Engine

translating.BATCH_TEXTS = {"cpu": 4}
translate = Engine.translate

def noted(self, requests, *, whole=False, full=False):
    made = translate(self, requests, whole=whole, full=full)
    line = hashlib.sha256(repr((requests, whole)).encode()).hexdigest()
    with open(os.environ["CALLS"], "a") as file:
        file.write(f"{line} {len(requests)}\\n")
    return made

Engine.translate = noted
if __name__ == "__main__":
    main()
'''

SETTINGS = ["--set", "round_trip=short", "--set", "languages.english_share=0", "--quiet"]

Reached = Callable[[Path], bool]
"""Whether a run has come so far that it is to be killed."""


def start(program: Path, recipe: Path, output: Path, calls: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(program), "run", str(recipe), "--output", str(output), *SETTINGS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"CALLS": str(calls), "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def kill_when(process: subprocess.Popen[str], output: Path, reached: Reached) -> None:
    """Kills without warning; fails if the run ends before."""
    limit = time.monotonic() + 200
    while not reached(output):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def segments(number: int) -> Reached:
    return lambda output: len(list(output.glob("memory/*.parquet"))) >= number


def calls_of(path: Path) -> Counter[str]:
    return Counter(path.read_text(encoding="ascii").splitlines())


def test_a_killed_run_goes_on_and_gives_the_same_bytes(
    tmp_path: Path, make_recipe: Callable[[Path], Path]
) -> None:
    recipe = make_recipe(tmp_path / "tiny")
    program = tmp_path / "counted.py"
    program.write_text(PROGRAM, encoding="utf-8")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(program, recipe, whole, tmp_path / "whole-calls")
    assert process.wait(300) == 0, process.communicate()[1]
    process.communicate()
    expected = calls_of(tmp_path / "whole-calls")
    total = len(expected)
    assert total > 12

    draw = random.Random(5)
    stages: list[Reached] = [
        lambda output: (output / ".work").exists(),
        segments(1),
        *(segments(number) for number in sorted(draw.sample(range(2, total), 6))),
        lambda output: (output / "data").exists(),
        lambda output: (output / "README.md").exists() or (output / "answers.tsv").exists(),
    ]
    for reached in stages:
        process = start(program, recipe, killed, tmp_path / "killed-calls")
        kill_when(process, killed, reached)
        assert not (killed / "manifest.json").exists()
    (killed / "data" / "deu_Latn").mkdir(exist_ok=True)
    (killed / "data" / "deu_Latn" / ".train-00000-of-00001.parquet.0.partial").touch()
    (killed / "memory" / ".0.parquet.0.partial").touch()
    process = start(program, recipe, killed, tmp_path / "killed-calls")
    assert process.wait(300) == 0, process.communicate()[1]
    process.communicate()

    assert files_of(killed) == files_of(whole)
    assert {"manifest.json", "README.md"} < files_of(killed).keys()
    made = calls_of(tmp_path / "killed-calls")
    assert made.keys() == expected.keys()
    assert sum((made - expected).values()) <= 2 * len(stages)
    assert not list(killed.rglob("*.partial"))
    # One run, however often it was begun, and each of its calls once.
    with Memory(str(killed / "memory")) as memory, Memory(str(whole / "memory")) as other:
        assert {segment.generation for segment in memory.segments} == {1}
        assert {segment.digest for segment in memory.segments} == {s.digest for s in other.segments}
        assert len(memory) == len(other)


def test_a_run_of_two_worker_processes_is_killed_with_them_and_goes_on(
    tmp_path: Path, make_recipe: Callable[[Path], Path]
) -> None:
    recipe = make_recipe(tmp_path / "tiny")
    command = [sys.executable, "-m", "pipelines.cli", "run", str(recipe), *SETTINGS, "--output"]
    workers = ["--direct_num_workers", "2", "--direct_running_mode", "multi_processing"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [*command, str(killed), *workers],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    limit = time.monotonic() + 200
    while not segments(1)(killed):
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (killed / "manifest.json").exists()
    subprocess.run([*command, str(killed), *workers], check=True, capture_output=True)
    assert files_of(killed) == files_of(tmp_path / "whole")


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_told_to_end_says_so_ends_its_workers_and_goes_on(
    tmp_path: Path, make_recipe: Callable[[Path], Path], number: signal.Signals
) -> None:
    recipe = make_recipe(tmp_path / "tiny")
    command = [sys.executable, "-m", "pipelines.cli", "run", str(recipe), *SETTINGS, "--output"]
    workers = ["--direct_num_workers", "2"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    ended = tmp_path / "ended"
    process = subprocess.Popen(
        [*command, str(ended), *workers], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    limit = time.monotonic() + 200
    while not segments(1)(ended):
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.001)
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert errors == "translate-mix: interrupted; the same command goes on from here\n"
    _, alive = psutil.wait_procs(started, timeout=60)
    assert not alive
    assert not (ended / "manifest.json").exists()
    subprocess.run([*command, str(ended), *workers], check=True, capture_output=True)
    assert files_of(ended) == files_of(tmp_path / "whole")


def test_a_rerun_translates_nothing_and_gives_the_same_bytes(
    tmp_path: Path, make_recipe: Callable[[Path], Path]
) -> None:
    recipe = make_recipe(tmp_path / "tiny")
    program = tmp_path / "counted.py"
    program.write_text(PROGRAM, encoding="utf-8")
    mix, calls = tmp_path / "mix", tmp_path / "calls"
    command = [sys.executable, str(program), "run", str(recipe), "--output", str(mix), *SETTINGS]
    environment = os.environ | {"CALLS": str(calls), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    before, made = files_of(mix), calls_of(calls)
    assert made
    (segment,) = SegmentFolder(str(mix / "memory")).segments()
    # So many batches were merged as the run ended.
    assert segment.number == 1
    again = [*command[:-1], "--overwrite"]
    result = subprocess.run(again, env=environment, check=True, capture_output=True, text=True)
    told = re.search(r"([\d,]+) of ([\d,]+) texts came from the memory", result.stdout)
    assert told
    assert told[1] == told[2] != "0"
    assert calls_of(calls) == made
    assert files_of(mix) == before
    assert not (mix / "memory" / "unfinished.json").exists()


def test_a_memory_that_is_brought_along_serves_another_recipe(
    tmp_path: Path, make_recipe: Callable[[Path], Path]
) -> None:
    recipe = make_recipe(tmp_path / "tiny")
    program = tmp_path / "counted.py"
    program.write_text(PROGRAM, encoding="utf-8")
    environment = os.environ | {"CALLS": str(tmp_path / "calls"), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(program), "run", str(recipe), "--output"]
    subprocess.run(
        [*command, str(tmp_path / "first"), *SETTINGS], env=environment, check=True, capture_output=True
    )
    (tmp_path / "second").mkdir()
    os.rename(tmp_path / "first" / "memory", tmp_path / "second" / "memory")
    first = sum(int(line.split()[1]) for line in calls_of(tmp_path / "calls").elements())
    changed = [*SETTINGS, "--set", "filters.lid.min=0.9", "--set", "name=another"]
    subprocess.run(
        [*command, str(tmp_path / "second"), *changed], env=environment, check=True, capture_output=True
    )
    both = sum(int(line.split()[1]) for line in calls_of(tmp_path / "calls").elements())
    assert both == first
    signatures = [
        json.loads((tmp_path / mix / "manifest.json").read_text())["signature"]["recipe"]
        for mix in ("first", "second")
    ]
    assert signatures[0] != signatures[1]

    captions = json.loads((recipe.parent / "captions.json").read_text(encoding="utf-8"))["annotations"]
    table = "\n".join(f"{one['caption']}\t{one['caption']} (geprüft)\tde" for one in captions)
    (tmp_path / "checked.tsv").write_text(f"source\ttarget\tnllb_code\n{table}\n", encoding="utf-8")
    memory = [sys.executable, str(program), "memory"]
    subprocess.run(
        [*memory, "import", str(tmp_path / "second"), str(tmp_path / "checked.tsv")],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(
        [*command, str(tmp_path / "second"), *changed, "--overwrite"],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    rows = [
        row
        for path in (tmp_path / "second").glob("[dr]*/deu_Latn/*.parquet")
        for row in pq.read_table(path).to_pylist()
        if row["task"] == "caption"
    ]
    assert rows
    assert all(row["target"] == row["source_target"] + " (geprüft)" for row in rows)
    assert all("+imported-" in row["provenance"]["engine"] for row in rows)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_memory_that_cannot_be_written_stops_the_run(
    tmp_path: Path, make_recipe: Callable[[Path], Path]
) -> None:
    recipe = make_recipe(tmp_path / "tiny")
    folder = tmp_path / "mix" / "memory"
    folder.mkdir(parents=True)
    folder.chmod(0o500)
    command = [sys.executable, "-m", "pipelines.cli", "run", str(recipe), "--output", str(tmp_path / "mix")]
    result = subprocess.run([*command, "--quiet"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "memory" in result.stderr
    assert "Permission denied" in result.stderr
    assert len(result.stderr.splitlines()) == 1
