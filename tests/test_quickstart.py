"""`quickstart.sh` builds the sample where it is told to, and never in place of a mix that somebody made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The script beside an environment whose `translate-mix` writes down its command line."""
    folder = tmp_path / "clone"
    programs = folder / ".venv/bin"
    programs.mkdir(parents=True)
    shutil.copy(ROOT / "quickstart.sh", folder)
    (programs / "python").symlink_to(sys.executable)
    for name, text in {"pip": "", "translate-mix": f'echo "$@" > {folder}/called'}.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    return folder


def quickstart(clone: Path, here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(clone / "quickstart.sh"), *arguments]
    return subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)


def finished(folder: Path, recipe: str) -> None:
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"recipe": {"name": recipe}}))


def test_without_a_folder_the_sample_is_built_beside_the_script(clone: Path, tmp_path: Path) -> None:
    finished(clone / "mix", "sample")
    assert quickstart(clone, tmp_path).returncode == 0
    assert (clone / "called").read_text().split() == ["run", "--output", "mix", "--overwrite"]


def test_a_folder_is_named_from_where_one_is(clone: Path, tmp_path: Path) -> None:
    assert quickstart(clone, tmp_path, "out").returncode == 0
    assert (clone / "called").read_text().split()[2] == str(tmp_path / "out")


def test_another_mix_is_not_replaced(clone: Path, tmp_path: Path) -> None:
    finished(clone / "mix", "coco")
    done = quickstart(clone, tmp_path)
    assert done.returncode == 2
    assert "mix holds another mix" in done.stderr
    assert not (clone / "called").exists()
