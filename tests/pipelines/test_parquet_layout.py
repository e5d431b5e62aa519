"""The shards of a real run against those that Hugging Face `datasets` writes of the same rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from translation.row import IMAGE_COLUMNS

SHARD = "data/deu_Latn/train-00000-of-00001.parquet"

MEGABYTE = 10**6


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory, make_recipe: Callable[[Path], Path]) -> Path:
    folder = tmp_path_factory.mktemp("layout")
    settings = ["--quiet", "--set", "languages.codes=[deu_Latn]", "--set", "languages.english_share=0"]
    with pytest.raises(SystemExit) as stop:
        main(["run", str(make_recipe(folder / "tiny")), "--output", str(folder / "mix"), *settings])
    assert stop.value.code == 0
    return folder / "mix"


def columns_of(path: Path) -> dict[str, Any]:
    group = pq.read_metadata(path).row_group(0)
    return {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}


def features_of(path: Path) -> Any:
    return json.loads(pq.read_schema(path).metadata[b"huggingface"])


def test_features_are_spelt_as_datasets_spells_them(
    mix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset("parquet", data_files=str(mix / SHARD), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"][0]["image"].size == (128, 128)
    theirs = tmp_path / "theirs.parquet"
    loaded["train"].to_parquet(str(theirs))
    assert features_of(mix / SHARD) == features_of(theirs)
    assert pq.read_schema(mix / SHARD).names == pq.read_schema(theirs).names
    ours, other = columns_of(mix / SHARD), columns_of(theirs)
    assert ours.keys() == other.keys()
    for name in ("image.bytes", "second_image.bytes"):
        for of in (ours, other):
            assert of[name].compression == "UNCOMPRESSED"
            assert "RLE_DICTIONARY" not in of[name].encodings
    assert ours["image.bytes"].total_uncompressed_size == other["image.bytes"].total_uncompressed_size


def test_every_shard_has_page_indexes_compressed_texts_and_bounded_row_groups(mix: Path) -> None:
    shards = list(mix.glob("*/*/*.parquet"))
    assert len(shards) >= 2
    for path in shards:
        metadata = pq.read_metadata(path)
        assert path.stat().st_size <= 500 * MEGABYTE
        for number in range(metadata.num_row_groups):
            assert metadata.row_group(number).total_byte_size <= 100 * MEGABYTE
        for name, column in columns_of(path).items():
            assert column.has_offset_index
            assert column.has_column_index
            is_picture = name in {f"{image}.bytes" for image in IMAGE_COLUMNS}
            assert column.compression == ("UNCOMPRESSED" if is_picture else "ZSTD")
