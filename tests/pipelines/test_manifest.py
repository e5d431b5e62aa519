"""The manifest: written and read back alike, and the check that no row was lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.manifest import (
    LostRows,
    Manifest,
    Signature,
    check_nothing_lost,
    is_finished,
    merge_counts,
    read_manifest,
    write_manifest,
)
from pipelines.sink import ShardFile

SIGNATURE = Signature(
    version="0.1.0",
    recipe="0123456789abcdef",
    seed=17,
    model="small",
    model_digest="fedcba9876543210",
    engine="ctranslate2-4.8.5",
    decoding="{}",
    identification="cld",
    identification_digest="abc",
    thresholds="0123456789abcdef",
)


def whole() -> Manifest:
    return Manifest(
        signature=SIGNATURE,
        recipe={"name": "tiny"},
        read=5,
        counts=(merge_counts("deu_Latn", 5, [(None, 3), ("script", 1), ("lid", 1)]),),
        files=(
            ShardFile("data/deu_Latn/train-00000-of-00001.parquet", 3, "aa", 10, "deu_Latn", "train", True),
            ShardFile(
                "rejected/deu_Latn/rejected-00000-of-00001.parquet", 2, "bb", 9, "deu_Latn", "train", False
            ),
        ),
    )


def test_a_manifest_is_read_back_alike(tmp_path: Path) -> None:
    assert not is_finished(str(tmp_path))
    write_manifest(str(tmp_path), whole())
    assert is_finished(str(tmp_path))
    assert read_manifest(str(tmp_path)) == whole()


def test_counts_that_agree_pass() -> None:
    check_nothing_lost(whole())


def test_an_example_that_was_read_and_not_written_is_found() -> None:
    with pytest.raises(LostRows, match="6 examples were read, 5 judged"):
        check_nothing_lost(replace(whole(), read=6))


def test_a_file_that_is_missing_is_found() -> None:
    with pytest.raises(LostRows, match="3 written"):
        check_nothing_lost(replace(whole(), files=whole().files[:1]))


def test_rows_in_the_wrong_place_are_found() -> None:
    files = tuple(replace(file, accepted=not file.accepted) for file in whole().files)
    with pytest.raises(LostRows, match="deu_Latn: 5 read, 3 accepted and 2 rejected"):
        check_nothing_lost(replace(whole(), files=files))


def test_a_damaged_manifest_says_so(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"signature": {', encoding="utf-8")
    with pytest.raises(ValueError, match="damaged"):
        read_manifest(str(tmp_path))


def test_the_signature_is_one_line_with_everything_that_matters() -> None:
    line = str(SIGNATURE)
    assert "\n" not in line
    for part in ("0.1.0", "0123456789abcdef", "17", "small@fedcba9876543210", "ctranslate2-4.8.5", "cld@abc"):
        assert part in line
