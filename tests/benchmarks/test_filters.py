"""The benchmark of the filters, as far as it goes without its tables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_without_tables_the_command_that_makes_them_is_told(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "benchmarks/filters.py", "--data", tmp_path],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr == (
        f"{tmp_path / 'ntrex.parquet'} is missing; `python -m scripts.reference_tables"
        f" --ntrex NTREX/NTREX-128 --output {tmp_path}` makes it; or give another folder with --data\n"
    )
