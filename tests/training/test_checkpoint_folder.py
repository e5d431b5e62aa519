from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from tests.training import tiny
from training.checkpoint_folder import checkpoint_digest, folder_of
from training.run_directory import RunError
from training.weight_files import CheckpointError


def test_a_run_s_directory_means_its_best_checkpoint_or_the_last(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    with pytest.raises(RunError, match="no checkpoint yet"):
        folder_of(run)
    first, second = run / "checkpoints" / "step-00000001", run / "checkpoints" / "step-00000002"
    tiny.write_blip2(first, "mt5")
    shutil.copytree(first, second)
    assert folder_of(run) == second
    for folder, best in ((first, "1.0"), (second, "null")):
        (folder / "training_state").mkdir()
        state = f'{{"stage": 0, "best": {best}}}'
        (folder / "training_state" / "state.json").write_text(state, encoding="utf-8")
    assert folder_of(str(run)) == first
    assert folder_of(second) == second


def test_a_directory_without_weights_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        folder_of(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="a file"):
        folder_of(tmp_path / "file")


def test_the_digest_is_of_what_decides_on_answers(tmp_path: Path) -> None:
    folder = tiny.write_blip2(tmp_path / "one", "mt5")
    digest = checkpoint_digest(folder)
    copied = shutil.copytree(folder, tmp_path / "two")
    (copied / "README.md").write_text("a model", encoding="utf-8")
    (copied / "training_state").mkdir()
    (copied / "training_state" / "state.json").write_text("{}", encoding="utf-8")
    assert checkpoint_digest(copied) == digest
    (copied / "adapter").mkdir()
    (copied / "adapter" / "adapter_config.json").write_text("{}", encoding="utf-8")
    assert checkpoint_digest(copied) != digest
    shutil.rmtree(copied / "adapter")
    weights = bytearray((copied / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copied / "model.safetensors").write_bytes(weights)
    assert checkpoint_digest(copied) != digest


def test_files_of_the_hub_s_cache_are_known_by_their_names(tmp_path: Path) -> None:
    folder = tiny.write_blip2(tmp_path / "plain", "mt5")
    cached, blobs = tmp_path / "snapshots" / "abc", tmp_path / "blobs"
    shutil.copytree(folder, cached)
    blobs.mkdir()
    weights = cached / "model.safetensors"
    name = hashlib.sha256(weights.read_bytes()).hexdigest()
    shutil.move(weights, blobs / name)
    os.symlink(blobs / name, weights)
    assert checkpoint_digest(cached) == checkpoint_digest(folder)
