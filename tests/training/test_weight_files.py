from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import save_file

from training.weight_files import (
    INDEX,
    SINGLE,
    CheckpointError,
    WeightFiles,
    check_report,
    located,
    read_json,
    with_weights,
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


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the one repository of a hub."""
    files, cache = tmp_path / "hub", tmp_path / "cache"
    files.mkdir()

    def names() -> list[str]:
        return [path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_file()]

    def download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        assert name == "owner/model"
        for file in filter_repo_objects(names(), allow_patterns=allow_patterns):
            (cache / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(files / file, cache / file)
        return str(cache)

    class Api:
        def list_repo_files(self, name: str, *, revision: str | None) -> list[str]:
            assert name == "owner/model"
            return names()

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    return files


def test_an_adapter_on_the_hub_comes_with_its_weights(hub: Path) -> None:
    save_file({"a": torch.ones(1)}, hub / SINGLE)
    save_file({"b": torch.ones(1)}, hub / "other.safetensors")
    (hub / "adapter").mkdir()
    save_file({"lora": torch.ones(1)}, hub / "adapter/adapter_model.safetensors")
    (hub / "adapter/adapter_config.json").write_text("{}")
    found = with_weights("owner/model")
    assert found.read(lambda name: True).keys() == {"a"}
    names = {path.relative_to(found.folder).as_posix() for path in found.folder.rglob("*") if path.is_file()}
    assert names == {SINGLE, "adapter/adapter_model.safetensors", "adapter/adapter_config.json"}


def test_pickled_weights_on_the_hub_are_named(hub: Path) -> None:
    (hub / "config.json").write_text("{}")
    (hub / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"owner/model: weights only as pytorch_model\.bin.*refs/pr/1"):
        with_weights("owner/model")
    (hub / "pytorch_model.bin").unlink()
    with pytest.raises(CheckpointError, match=r"owner/model: neither model\.safetensors nor"):
        with_weights("owner/model")


def test_without_the_hub_the_missing_weights_are_still_told(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def list_repo_files(self, name: str, *, revision: str | None) -> list[str]:
            raise ConnectionError("no network")

    (hub / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.HfApi", Away)
    with pytest.raises(CheckpointError, match=r"owner/model: neither model\.safetensors nor"):
        with_weights("owner/model")
