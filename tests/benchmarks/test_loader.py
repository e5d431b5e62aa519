from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_all_sides_run_and_the_last_line_holds_the_figures() -> None:
    pytest.importorskip("webdataset")
    pytest.importorskip("datasets")
    command = [sys.executable, "benchmarks/loader.py", "--quick", "--rows", "128", "--rounds", "1"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    figures = json.loads(run.stdout.splitlines()[-1])
    for key in ("vs_pillow", "vs_datasets", "vs_webdataset", "variety"):
        assert figures[key] > 0
    assert 0 < figures["padding_share"] < 0.3 < figures["padding_share_shuffled"]
