"""What `translate-mix run` writes is what the trainer reads, end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.pipelines.conftest import write_recipe
from training.loader import Loader, LoaderSettings, MixWeight
from training.order import OrderSettings
from training.pictures import PictureSettings
from translation.mix_folder import TRAIN, VALIDATION

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["embed", "shared", "reference"])
def mix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    recipe = write_recipe(folder / "tiny")
    command = [sys.executable, "-m", "pipelines.cli", "run", str(recipe), "--output", str(folder / "mix")]
    subprocess.run([*command, "--set", f"images={request.param}", "--quiet"], check=True, cwd=ROOT)
    return folder / "mix"


@pytest.mark.parametrize("split", [TRAIN, VALIDATION])
def test_every_accepted_row_is_trained_on(mix: Path, tokenizer: Any, split: str) -> None:
    rows: dict[str, dict[str, Any]] = {}
    for path in (mix / "data").glob(f"*/{split}-*.parquet"):
        rows |= {
            row["id"]: row for row in pq.read_table(path, columns=["id", "task", "language"]).to_pylist()
        }
    assert len(rows) > 1
    settings = LoaderSettings(
        (MixWeight(str(mix)),),
        OrderSettings(batch_size=8),
        split=split,
        pictures=PictureSettings(height=32, width=32),
    )
    with Loader(settings, tokenizer, workers=1) as loader:
        batches = list(loader)
        assert not loader.report.skipped
    given = [
        (row, task, language)
        for batch in batches
        for row, task, language in zip(batch.ids, batch.tasks, batch.languages, strict=True)
    ]
    assert sorted(given) == sorted((row["id"], row["task"], row["language"]) for row in rows.values())
    assert all(batch.image_counts.tolist() == [1] * len(batch) for batch in batches)
    assert all(batch.pixel_values.float().std() > 1 for batch in batches)
