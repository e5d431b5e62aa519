"""Converted model directories: what `model add` makes, and how damage is found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Synced
from translation.convert import add_model
from translation.engine import Engine
from translation.model import ModelError, model_directory, read_description
from translation.translations import Decoding, Request


def test_the_small_model_ships_whole_and_small() -> None:
    directory = model_directory("small")
    description = read_description(directory)
    assert sum(path.stat().st_size for path in directory.iterdir()) < 20 * 2**20
    assert len(description.languages) >= 85
    assert {"eng_Latn", "deu_Latn", "swh_Latn", "jpn_Jpan"} <= set(description.languages)
    assert (directory / "README.md").is_file()


def test_a_hugging_face_directory_is_converted(checkpoint: Path, tmp_path: Path) -> None:
    description = add_model(str(checkpoint), tmp_path / "int8", "int8")
    assert description == read_description(tmp_path / "int8")
    assert len(description.languages) == 202
    assert description.quantization == "int8"
    with Engine(tmp_path / "int8", Decoding(max_output_tokens=10)) as engine:
        assert engine.translate([Request("a red apple", "eng_Latn", "deu_Latn")])[0].text


def test_a_converted_model_is_on_disk_before_it_has_its_name(
    checkpoint: Path, tmp_path: Path, synced: list[Synced]
) -> None:
    add_model(str(checkpoint), tmp_path / "int8", "int8")
    *content, last = synced
    assert {place.name for place, _ in content[:-1]} == {path.name for path in (tmp_path / "int8").iterdir()}
    assert last == (tmp_path, ("int8",))


def test_the_digest_names_the_weights(checkpoint: Path, converted: Path, tmp_path: Path) -> None:
    again = add_model(str(checkpoint), tmp_path / "float32", "float32")
    assert again.digest == read_description(converted).digest
    assert add_model(str(checkpoint), tmp_path / "int8", "int8").digest != again.digest


@pytest.mark.parametrize("name", ["model.bin", "sentencepiece.bpe.model", "shared_vocabulary.json"])
def test_a_changed_or_missing_file_is_found(converted: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(converted, copy)
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelError, match=name):
        Engine(copy)
    (copy / name).unlink()
    with pytest.raises(ModelError, match="missing"):
        Engine(copy)


def test_a_model_that_was_not_converted_says_how(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match="translate-mix model add"):
        model_directory(str(checkpoint))


def test_an_existing_output_is_left_alone(checkpoint: Path, converted: Path) -> None:
    before = read_description(converted)
    with pytest.raises(ModelError, match="exists already"):
        add_model(str(checkpoint), converted)
    assert read_description(converted) == before


def test_another_architecture_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    copy = tmp_path / "t5"
    shutil.copytree(checkpoint, copy)
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "t5"}), encoding="utf-8")
    with pytest.raises(ModelError, match="model_type is 't5'"):
        add_model(str(copy), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "[]", "config.json: not a Hugging Face checkpoint: holds a list"),
        ("config.json", '{"model_type": "m2m_100"}', "config.json: .*max_position_embeddings"),
        ("translate_mix.json", "{", "translate_mix.json: "),
        ("translate_mix.json", '{"languages": ["deu_Latn", "de"]}', "translate_mix.json: languages .*'de'"),
        ("translate_mix.json", '{"languages": "deu_Latn"}', "translate_mix.json: languages "),
    ],
)
def test_a_broken_description_is_one_message(
    checkpoint: Path, tmp_path: Path, name: str, content: str, message: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    (copy / name).write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        add_model(str(copy), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_one_message(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match=r"file/out: cannot be written: .*; name another --output"):
        add_model(str(checkpoint), tmp_path / "file" / "out")


def test_a_hub_name_is_found_in_the_cache(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The hub's cache layout: refs/main names a commit, snapshots/COMMIT holds the files.
    repository = tmp_path / "hub" / "models--facebook--nllb-200-tiny"
    shutil.copytree(checkpoint, repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40, encoding="utf-8")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    description = add_model("facebook/nllb-200-tiny", tmp_path / "out")
    assert description.name == "facebook/nllb-200-tiny"
    assert description.licence == "CC-BY-NC-4.0"


def test_an_unknown_hub_name_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="facebook/none") as error:
        add_model("facebook/none", tmp_path / "out")
    assert "\n" not in str(error.value)
