"""The manifest: written and read back alike, and the check that no row was lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.filesystem import OutputError
from pipelines.manifest import (
    LostRows,
    Manifest,
    Signature,
    check_files_stand,
    check_nothing_lost,
    is_as_written,
    is_finished,
    merge_counts,
    read_manifest,
    write_manifest,
)
from pipelines.mix_files import ShardFile

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


def test_files_that_are_gone_or_changed_since_they_were_written_are_found(tmp_path: Path) -> None:
    for file in whole().files:
        (tmp_path / file.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.path).write_bytes(bytes(file.size))
    check_files_stand(str(tmp_path), whole())
    (tmp_path / whole().files[1].path).write_bytes(bytes(3))
    with pytest.raises(OutputError, match=r"00001\.parquet has 3 bytes instead of 9 since it was written"):
        check_files_stand(str(tmp_path), whole())
    (tmp_path / whole().files[0].path).unlink()
    with pytest.raises(OutputError, match=r"data/deu_Latn/train-.* is gone since it was written"):
        check_files_stand(str(tmp_path), whole())


def changed(directory: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """Writes a manifest, changes its content, and returns the directory."""
    write_manifest(str(directory), whole())
    path = directory / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(directory)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("files"), "files is missing"),
        (lambda content: content["signature"].pop("seed"), "signature.seed is missing"),
        (lambda content: content["files"][1].pop("sha256"), "files.1.sha256 is missing"),
        (lambda content: content.update(read="5"), "read is '5': input should be a valid integer"),
        (lambda content: content.update(files={}), "files is '{}': input should be a valid"),
        (lambda content: content["files"][0].update(rows=None), "files.0.rows is 'None'"),
        (lambda content: content["files"][0].update(accepted=1), "files.0.accepted is '1'"),
        (lambda content: content["counts"][0].update(reasons=[]), "counts.0.reasons is"),
        (lambda content: content.update(format="1"), "it has no `format`"),
        (lambda content: content.pop("format"), "it has no `format`"),
        (lambda content: content["files"][0].update(path="../x.parquet"), "'../x.parquet' is no path inside"),
        (lambda content: content["files"][0].update(path="/x.parquet"), "'/x.parquet' is no path inside"),
        (lambda content: content["files"][0].update(path=""), "'' is no path inside"),
    ],
)
def test_a_damaged_manifest_says_what_and_where(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(ValueError, match="damaged") as caught:
        read_manifest(changed(tmp_path, change))
    assert f"{tmp_path}/manifest.json: damaged (" in str(caught.value)
    assert message in str(caught.value)
    assert "run with --overwrite" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_faults_of_a_manifest_are_counted(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["files"] = [{"path": "x"}]

    with pytest.raises(ValueError, match=r"files\.0\.rows is missing; .*; and 1 more\)"):
        read_manifest(changed(tmp_path, change))


@pytest.mark.parametrize("text", ['{"signature": {', "", "[]", "null", "\x00" * 100, '{"format": true}'])
def test_what_is_no_manifest_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"manifest\.json: damaged"):
        read_manifest(str(tmp_path))


def test_a_manifest_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(ValueError, match=r"manifest\.json: cannot be read: Is a directory"):
        read_manifest(str(tmp_path))


def test_a_manifest_of_a_later_version_says_so(tmp_path: Path) -> None:
    directory = changed(tmp_path, lambda content: content.update(format=2, files={"by_language": {}}))
    with pytest.raises(ValueError, match=r"a later version of translate-mix wrote it \(format 2"):
        read_manifest(directory)


def test_keys_that_came_later_may_be_there_or_not(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        for key in ("answers", "left_out", "licences", "checksum"):
            del content[key]
        content["packed_by"] = "a later version"

    directory = changed(tmp_path, change)
    assert read_manifest(directory) == whole()
    assert is_as_written(directory)


def test_any_change_of_a_manifest_shows_but_of_its_layout(tmp_path: Path) -> None:
    assert is_as_written(changed(tmp_path, lambda content: None))
    assert not is_as_written(changed(tmp_path, lambda content: content["recipe"].update(name="tinz")))
    assert not is_as_written(changed(tmp_path, lambda content: content["files"][0].update(sha256="ab")))
    assert not is_as_written(changed(tmp_path, lambda content: content.update(checksum=None)))


def test_the_signature_is_one_line_with_everything_that_matters() -> None:
    line = str(SIGNATURE)
    assert "\n" not in line
    for part in ("0.1.0", "0123456789abcdef", "17", "small@fedcba9876543210", "ctranslate2-4.8.5", "cld@abc"):
        assert part in line
