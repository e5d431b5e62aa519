from __future__ import annotations

import pytest

from translation.mix_folder import DATA, IMAGES, REJECTED, SHARD, TRAIN, VALIDATION, numbered


@pytest.mark.parametrize(
    ("folder", "stem", "split"),
    [
        (f"{DATA}/deu_Latn", TRAIN, TRAIN),
        (f"{DATA}/deu_Latn", VALIDATION, VALIDATION),
        (f"{REJECTED}/deu_Latn", REJECTED, None),
        (IMAGES, IMAGES, None),
    ],
)
def test_a_shard_is_known_by_its_place_and_name(folder: str, stem: str, split: str | None) -> None:
    found = SHARD.fullmatch(f"{folder}/{numbered(stem, 3, 12)}")
    assert found is not None
    assert found["split"] == split


@pytest.mark.parametrize(
    "path",
    [
        numbered(TRAIN, 0, 1),
        f"{DATA}/{numbered(TRAIN, 0, 1)}",
        f"{DATA}/deu_Latn/{numbered(REJECTED, 0, 1)}",
        f"{DATA}/deu_Latn/mine.parquet",
        f"{DATA}/deu_Latn/deeper/{numbered(TRAIN, 0, 1)}",
        f"{REJECTED}/deu_Latn/{numbered(TRAIN, 0, 1)}",
        f"{IMAGES}/deu_Latn/{numbered(IMAGES, 0, 1)}",
    ],
)
def test_other_files_are_no_shards(path: str) -> None:
    assert SHARD.fullmatch(path) is None
