"""`model.bin` in another order: the same model, whatever the weights are stored in."""

from __future__ import annotations

import json
import random
import shutil
import struct
from pathlib import Path

import ctranslate2
import pytest

from translation.model import SENTENCEPIECE, SMALL, WEIGHTS, ModelError, model_directory
from translation.model_weights import order_vocabulary, reorder, variables
from translation.shortlists import VOCABULARY, in_front, is_ordered, read_vocabulary
from translation.tokenizer import Tokenizer

SMALL_WEIGHTS = model_directory(SMALL) / WEIGHTS


@pytest.fixture(scope="module")
def rows() -> int:
    return len(read_vocabulary(model_directory(SMALL)))


def test_knows_the_variables_and_which_go_by_the_vocabulary(rows: int) -> None:
    found = {variable.name: variable for variable in variables(SMALL_WEIGHTS)}
    by_vocabulary = {name for name, variable in found.items() if variable.by_vocabulary}
    assert by_vocabulary == {"decoder/embeddings/weight", "decoder/embeddings/weight_scale"}
    assert found["decoder/embeddings/weight"].shape == (rows, 192)
    assert sum(variable.size for variable in found.values()) < SMALL_WEIGHTS.stat().st_size


def test_an_order_and_its_inverse_give_the_same_bytes(rows: int, tmp_path: Path) -> None:
    order = list(range(rows))
    random.Random(3).shuffle(order)
    inverse = sorted(range(rows), key=order.__getitem__)
    reorder(SMALL_WEIGHTS, tmp_path / "there", order)
    reorder(tmp_path / "there", tmp_path / "back", inverse)
    assert (tmp_path / "there").read_bytes() != SMALL_WEIGHTS.read_bytes()
    assert (tmp_path / "back").read_bytes() == SMALL_WEIGHTS.read_bytes()


@pytest.mark.parametrize("quantization", ["int8", "int16", "float16", "bfloat16", "float32"])
def test_the_ordered_model_translates_the_same(checkpoint: Path, tmp_path: Path, quantization: str) -> None:
    converter = ctranslate2.converters.TransformersConverter(str(checkpoint))
    converter.convert(str(tmp_path / "given"), quantization=quantization)
    shutil.copytree(tmp_path / "given", tmp_path / "ordered")
    vocabulary = order_vocabulary(tmp_path / "given", tmp_path / "ordered")
    assert is_ordered(vocabulary)
    assert not is_ordered(read_vocabulary(tmp_path / "given"))
    assert read_vocabulary(tmp_path / "ordered") == vocabulary
    sources = Tokenizer(checkpoint / SENTENCEPIECE).encode(["a red apple", "the black cat", "two dogs run"])
    given, ordered = (
        ctranslate2.Translator(str(tmp_path / name), intra_threads=1).translate_batch(
            [["eng_Latn", *pieces, "</s>"] for pieces in sources],
            target_prefix=[["deu_Latn"], ["hin_Deva"], ["swh_Latn"]],
            beam_size=2,
            max_decoding_length=20,
            return_scores=True,
        )
        for name in ("given", "ordered")
    )
    for one, other in zip(given, ordered, strict=True):
        assert one.hypotheses == other.hypotheses
        assert one.scores[0] == pytest.approx(other.scores[0], abs=1e-5)


def test_control_tokens_and_language_codes_come_first(converted: Path) -> None:
    vocabulary = read_vocabulary(converted)
    front = in_front(vocabulary)
    assert vocabulary[:4] == ["<s>", "<pad>", "</s>", "<unk>"]
    assert {"eng_Latn", "deu_Latn", "zho_Hans"} <= set(front)
    assert vocabulary[: len(front)] == front
    assert front[-1].count("_") == 1


def test_another_version_is_refused(tmp_path: Path) -> None:
    data = bytearray(SMALL_WEIGHTS.read_bytes())
    data[:4] = struct.pack("<I", 7)
    (tmp_path / WEIGHTS).write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.bin: version 7 of CTranslate2's format, only 6 is known"):
        variables(tmp_path / WEIGHTS)


@pytest.mark.parametrize("size", [2, 30, 1000, 2_000_000])
def test_a_cut_file_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / WEIGHTS).write_bytes(SMALL_WEIGHTS.read_bytes()[:size])
    with pytest.raises(ModelError, match=r"model\.bin: cut "):
        variables(tmp_path / WEIGHTS)


def test_weights_of_another_vocabulary_are_refused(tmp_path: Path, rows: int) -> None:
    shutil.copy(SMALL_WEIGHTS, tmp_path / WEIGHTS)
    vocabulary = [*read_vocabulary(model_directory(SMALL)), "one more"]
    (tmp_path / VOCABULARY).write_text(json.dumps(vocabulary))
    (tmp_path / "output").mkdir()
    with pytest.raises(ModelError, match=f"weight has {rows:,} rows, the vocabulary {rows + 1:,} entries"):
        order_vocabulary(tmp_path, tmp_path / "output")


def test_an_order_names_every_row_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="every row once"):
        reorder(SMALL_WEIGHTS, tmp_path / WEIGHTS, [0, 0, 1])
