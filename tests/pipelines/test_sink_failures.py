"""Disks that are full, folders that cannot be written to or vanish: real ones, while real runs write.

A small filesystem is mounted where only the process under test sees it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("failing_disk.py")

OWN_MOUNTS = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]


def can_mount() -> bool:
    try:
        return not subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not can_mount(), reason="needs Linux namespaces to mount a filesystem")


@dataclass(frozen=True)
class Fault:
    """What goes wrong as soon as a file is about to be written whose path in the mix matches."""

    moment: str
    """Pattern of a path, or `start`: before the run begins."""
    kind: str
    where: str = ""
    """In the mix, for what is not about the file itself."""
    options: tuple[str, ...] = ()
    """Of the run."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and what it left in the mix."""

    happened: bool
    """The fault."""
    code: int
    errors: str
    files: dict[str, str]
    """Path -> SHA-256, without the memory."""
    unreadable: list[str]
    """Parquet files under final names that cannot be read."""


WORKERS = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")

SETTINGS = ["--quiet", "--set", "round_trip=short", "--set", "languages.english_share=0.2"]


def runs(folder: Path, recipe: Path, *faults: Fault) -> list[Outcome]:
    """The same command again and again on a small disk: once for each fault, and once without any."""
    folder.mkdir()
    asked: dict[str, Any] = {
        "disk": str(folder),
        "megabytes": 24,
        "command": ["run", str(recipe), "--output", str(folder / "mix"), *SETTINGS],
        "faults": [asdict(fault) for fault in faults],
    }
    done = subprocess.run(
        [*OWN_MOUNTS, sys.executable, str(PROGRAM), json.dumps(asked)],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Outcome(**one) for one in json.loads(done.stdout.splitlines()[-1])]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, make_recipe: Callable[[Path], Path]) -> Path:
    return make_recipe(tmp_path_factory.mktemp("failures") / "tiny")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, recipe: Path) -> dict[str, str]:
    """The files of a mix that nothing disturbed."""
    (outcome,) = runs(tmp_path_factory.mktemp("whole") / "disk", recipe)
    assert outcome.code == 0, outcome.errors
    assert "manifest.json" in outcome.files
    return outcome.files


def assert_stopped(outcome: Outcome, *parts: str) -> None:
    """One message with all parts, exit 1, and nothing that looks finished."""
    assert outcome.happened
    assert outcome.code == 1, outcome
    assert len(outcome.errors.splitlines()) == 1, outcome.errors
    for part in parts:
        assert part in outcome.errors
    assert "manifest.json" not in outcome.files
    assert not outcome.unreadable
    assert not [path for path in outcome.files if path.endswith(".partial")]


def test_a_full_disk_stops_the_run_and_with_room_it_goes_on(
    tmp_path: Path, recipe: Path, whole: dict[str, str]
) -> None:
    moments = (
        "memory/unfinished.json",
        "memory/*.parquet",
        ".work/progress/*",
        "data/deu_Latn/train-*.parquet",
        "answers.tsv",
        "README.md",
        "manifest.json",
    )
    *stopped, last = runs(tmp_path / "disk", recipe, *(Fault(moment, "full") for moment in moments))
    for moment, outcome in zip(moments, stopped, strict=True):
        folder = moment.rpartition("/")[0]
        assert_stopped(outcome, "No space left on device")
        # Workers write to both at the same time; either may be the first that finds no room.
        both = ("memory", ".work/progress")
        assert any(part in outcome.errors for part in (both if folder in both else (folder,)))
        if moment.startswith(("data", "README", "answers", "manifest")):
            assert "0.0 of 25.2 MB are free" in outcome.errors
            assert moment.rpartition("/")[2].split("*")[0] in outcome.errors
    assert last.code == 0, last.errors
    assert last.files == whole


def test_a_folder_that_is_read_only_or_in_the_way_stops_the_run(
    tmp_path: Path, recipe: Path, whole: dict[str, str]
) -> None:
    shard = "data/deu_Latn/train-*.parquet"
    *stopped, last = runs(
        tmp_path / "disk",
        recipe,
        Fault("memory/*.parquet", "read-only", "memory"),
        Fault(shard, "read-only", "data"),
        Fault("start", "read-only", "data/deu_Latn", WORKERS),
        Fault(shard, "file", "data/deu_Latn"),
        Fault(shard, "folder"),
        Fault("manifest.json", "folder"),
    )
    disk = tmp_path / "disk" / "mix"
    for outcome, parts in zip(
        stopped,
        (
            (f"cannot write {disk}/memory/", "Read-only file system"),
            (f"cannot write {disk}/data/deu_Latn/train-", "Read-only file system"),
            (f"cannot write {disk}/data/deu_Latn/", "Read-only file system"),
            (f"{disk}/data/deu_Latn is a file, and a folder is wanted there",),
            (f"cannot write {disk}/data/deu_Latn/train-", "a folder of that name is in the way"),
            (f"cannot write {disk}/manifest.json", "a folder of that name is in the way"),
        ),
        strict=True,
    ):
        assert_stopped(outcome, *parts)
    assert last.code == 0, last.errors
    assert last.files == whole


def test_a_mix_that_is_removed_while_it_is_made_is_never_finished(
    tmp_path: Path, recipe: Path, whole: dict[str, str]
) -> None:
    *stopped, last = runs(
        tmp_path / "disk",
        recipe,
        Fault("memory/*.parquet", "removed"),
        Fault("data/hin_Deva/train-*.parquet", "removed"),
        Fault("data/hin_Deva/train-*.parquet", "removed", "data/deu_Latn"),
        Fault("manifest.json", "removed"),
    )
    for outcome in stopped:
        assert_stopped(outcome, str(tmp_path / "disk" / "mix"))
    assert "data/deu_Latn/train-00000-of-00001.parquet is gone" in stopped[2].errors
    assert last.code == 0, last.errors
    assert last.files == whole
