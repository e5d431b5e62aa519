from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from training.weight_files import (
    INDEX,
    SINGLE,
    CheckpointError,
    WeightFiles,
    check_report,
    located,
    read_json,
)


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """Tensors a and b in one file, c in another."""
    save_file({"a.x": torch.ones(2, 3), "b.x": torch.zeros(4)}, tmp_path / "one.safetensors")
    save_file({"c.x": torch.full((2,), 7.0)}, tmp_path / "two.safetensors")
    weights = {"a.x": "one.safetensors", "b.x": "one.safetensors", "c.x": "two.safetensors"}
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": weights}))
    return tmp_path


def test_only_wanted_tensors_are_read(sharded: Path) -> None:
    files = WeightFiles(sharded)
    found = files.read(lambda name: name.startswith("c."))
    assert {name: value.tolist() for name, value in found.items()} == {"c.x": [7.0, 7.0]}
    assert files.shape("a.x") == (2, 3)


def test_files_without_wanted_tensors_may_be_missing(sharded: Path) -> None:
    (sharded / "one.safetensors").unlink()
    files = WeightFiles(sharded)
    assert set(files.read(lambda name: name.startswith("c."))) == {"c.x"}
    with pytest.raises(CheckpointError, match=r"one\.safetensors: missing; .* copy it again"):
        files.check()


def test_a_single_file_needs_no_index(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / SINGLE)
    files = WeightFiles(tmp_path)
    files.check()
    assert files.files == {"a": SINGLE}


def test_a_file_that_was_cut_short_is_told(sharded: Path) -> None:
    path = sharded / "one.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match=r"one\.safetensors: damaged or cut short"):
        WeightFiles(sharded).check()


def test_an_index_of_another_checkpoint_is_told(sharded: Path) -> None:
    save_file({"d.x": torch.ones(1)}, sharded / "two.safetensors")
    with pytest.raises(CheckpointError, match=r"two\.safetensors: has no tensor 'c\.x', which .*index"):
        WeightFiles(sharded).check()


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"weight_map": {"a": 1}}'])
def test_a_damaged_index_is_told(sharded: Path, text: str) -> None:
    (sharded / INDEX).write_text(text)
    with pytest.raises(CheckpointError, match=rf"{INDEX}: damaged"):
        WeightFiles(sharded).check()


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(
        CheckpointError, match=r"only as pytorch_model\.bin, a format that can run code.*convert"
    ):
        WeightFiles(tmp_path)


def test_an_empty_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="this is no checkpoint"):
        WeightFiles(tmp_path)


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such directory, and no name of a hub repository"):
        located(tmp_path / "not" / "here")
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="a file, where the directory"):
        located(tmp_path / "file")


def test_a_repository_that_cannot_be_had_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"nobody/nothing: .* cannot be had from the hub"):
        located("nobody/nothing")


@pytest.mark.parametrize(("text", "told"), [(None, "missing"), ("{", "damaged"), ("[1]", "holds no object")])
def test_json_that_cannot_be_read_is_told(tmp_path: Path, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=rf"config\.json: .*{told}|config\.json: {told}"):
        read_json(tmp_path / "config.json")


def test_a_report_is_read(tmp_path: Path) -> None:
    check_report({"mismatched_keys": set(), "missing_keys": set()}, tmp_path)
    with pytest.raises(CheckpointError, match=r"a is \(2,\), where config.json makes it \(3,\)"):
        check_report({"mismatched_keys": {("a", (2,), (3,))}, "missing_keys": set()}, tmp_path)
    with pytest.raises(CheckpointError, match="no weights for a and 1 more"):
        check_report({"mismatched_keys": set(), "missing_keys": {"b", "a"}}, tmp_path)
    check_report({"mismatched_keys": set(), "missing_keys": {"a"}}, tmp_path, lambda name: name != "a")
