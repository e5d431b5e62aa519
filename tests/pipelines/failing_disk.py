"""Runs a command on a small disk of its own, with a fault each time but the last; run by its tests.

Everything is imported once; each run is a process that is forked then.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import pipelines.run  # noqa: F401 - the command imports it late
from pipelines.cli import main as translate_mix
from pipelines.filesystem import write_atomically
from pipelines.progress import record
from translation.memory_segments import SegmentFolder

FILLER, START = "filler", "start"


def fill(disk: Path) -> None:
    """Takes all the room that is left."""
    with (disk / FILLER).open("ab", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def happen(disk: Path, mix: Path, fault: dict[str, str], path: Path) -> None:
    place = mix / fault["where"]
    match fault["kind"]:
        case "full":
            fill(disk)
        case "read-only":
            place.mkdir(parents=True, exist_ok=True)
            mount("-t", "tmpfs", "-o", "ro", "tmpfs", place)
        case "file":
            shutil.rmtree(place, ignore_errors=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        case "folder":
            (path / "full").mkdir(parents=True)
        case "removed":
            shutil.rmtree(place)
        case unknown:
            raise ValueError(unknown)


def undo(disk: Path, mix: Path, fault: dict[str, str]) -> None:
    match fault["kind"]:
        case "full":
            (disk / FILLER).unlink()
        case "read-only":
            subprocess.run(["umount", str(mix / fault["where"])], check=True)
        case "file":
            (mix / fault["where"]).unlink()
        case "folder":
            for found in list(mix.rglob("full")):
                shutil.rmtree(found.parent)


def lay(disk: Path, mix: Path, fault: dict[str, str]) -> None:
    """Lets the fault happen once, just before a file is written whose path matches."""
    done = False

    def before(path: str) -> None:
        nonlocal done
        inside = os.path.relpath(path, mix)
        if not done and fnmatch.fnmatch(inside, fault["moment"]):
            done = True
            (disk / "happened").touch()
            happen(disk, mix, fault, Path(path))

    def hooked(real: Callable[..., Any], path_of: Callable[..., str]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            before(path_of(*arguments))
            return real(*arguments, **named)

        return step

    if fault["moment"] == START:
        before(str(mix / START))
        return
    for function, path_of in (
        (write_atomically, lambda path, *_: path),
        (record, lambda folder, *_: f"{folder}/done"),
    ):
        step = hooked(function, path_of)
        for module in [module for name, module in sys.modules.items() if name.startswith("pipelines.")]:
            if vars(module).get(function.__name__) is function:
                setattr(module, function.__name__, step)
    write_bytes = hooked(SegmentFolder.write_bytes, lambda folder, name, _: f"{folder.folder}/{name}")
    SegmentFolder.write_bytes = write_bytes  # type: ignore[method-assign]


def run(command: list[str], errors: Path, prepare: Callable[[], None]) -> int:
    """In a process of its own; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with errors.open("wb") as file, open(os.devnull, "wb") as nowhere:
        os.dup2(file.fileno(), 2)
        os.dup2(nowhere.fileno(), 1)
    prepare()
    try:
        translate_mix(command)
    except SystemExit as stop:
        os._exit(int(stop.code or 0))
    finally:
        os._exit(99)


def left(mix: Path) -> tuple[dict[str, str], list[str]]:
    """The files of a mix with their digests, and the Parquet files that cannot be read."""
    files, unreadable = {}, []
    for path in sorted(mix.rglob("*")):
        inside = path.relative_to(mix)
        if path.is_file() and "memory" not in inside.parts and ".work" not in inside.parts:
            files[inside.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file() and path.suffix == ".parquet":
            try:
                pq.read_table(path)
            except (OSError, ValueError):
                unreadable.append(inside.as_posix())
    return files, unreadable


def main() -> None:
    asked = json.loads(sys.argv[1])
    disk = Path(asked["disk"])
    mix = disk / "mix"
    mount("-t", "tmpfs", "-o", f"size={asked['megabytes']}M", "tmpfs", disk)
    errors = disk.parent / "errors"
    outcomes = []
    for fault in (*asked["faults"], None):
        command = [*asked["command"], *(fault["options"] if fault else ())]
        code = run(command, errors, partial(lay, disk, mix, fault) if fault else lambda: None)
        files, unreadable = left(mix)
        happened = (disk / "happened").exists()
        outcomes.append(
            {
                "happened": happened,
                "code": code,
                "errors": errors.read_text(encoding="utf-8"),
                "files": files,
                "unreadable": unreadable,
            }
        )
        if fault and happened:
            (disk / "happened").unlink()
            undo(disk, mix, fault)
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
