"""Models of a given shape with random weights: what they are made of, and that they never end."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import ctranslate2
import pytest
import sentencepiece
import torch
from transformers import M2M100ForConditionalGeneration

from scripts import shape_model
from scripts.shape_model import BESIDE_PIECES, PADDING, Shape, filled_up, make_model, train_vocabulary
from translation.decoder import Threads
from translation.engine import Engine
from translation.languages import languages
from translation.model import SENTENCEPIECE, SMALL, model_directory
from translation.tokenizer import END, Tokenizer
from translation.translations import Decoding, Request

TINY = Shape(layers=2, width=32, heads=2, feed_forward=64, entries=9000)
TEXTS = ["a red apple on a table", "two dogs", "the black cat sleeps under the old tree with a bird"]
LIMIT = 12
FIXED = Decoding(max_output_tokens=LIMIT, second_tries=0)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """So small a model gains nothing from a second one, and loses much on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def vocabulary() -> bytes:
    return (model_directory(SMALL) / SENTENCEPIECE).read_bytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, vocabulary: bytes) -> Path:
    output = tmp_path_factory.mktemp("shape")
    make_model(output, TINY, vocabulary, "float32", lists=["deu_Latn"])
    return output


def test_the_shape_is_that_of_nllb_600m() -> None:
    with torch.device("meta"):
        model = shape_model.random_model(Shape(), seed=0)
    # As the hub gives it for facebook/nllb-200-distilled-600M.
    assert sum(parameter.numel() for parameter in model.parameters()) == 615_073_792
    assert model.config.scale_embedding
    assert model.config.activation_function == "relu"
    assert model.config.max_position_embeddings == 1024


def test_both_directories_have_every_entry(made: Path) -> None:
    checkpoint = M2M100ForConditionalGeneration.from_pretrained(made / "hf")
    assert checkpoint.get_input_embeddings().weight.shape == (TINY.entries, TINY.width)
    vocabulary = json.loads((made / "ct2" / "shared_vocabulary.json").read_text(encoding="utf-8"))
    assert len(vocabulary) == len(set(vocabulary)) == TINY.entries
    assert languages().keys() <= set(vocabulary)


@pytest.mark.parametrize("beam_size", [1, 4])
def test_every_hypothesis_goes_to_the_limit(made: Path, beam_size: int) -> None:
    decoding = dataclasses.replace(FIXED, beam_size=beam_size)
    requests = [Request(text, "eng_Latn", "deu_Latn") for text in TEXTS]
    with Engine(made / "ct2", decoding, threads=Threads(1, 1)) as engine:
        assert engine.shortlisted == {"deu_Latn"}
        for full in (False, True):
            assert all(one.cut_off and not one.unknown for one in engine.translate(requests, full=full))
        assert all(len(pieces) == LIMIT + 1 for pieces in engine.tokens(requests))


@pytest.mark.parametrize("beam_size", [1, 4])
def test_transformers_and_ctranslate2_make_the_same_tokens(made: Path, beam_size: int) -> None:
    content = json.loads((made / "hf" / "tokenizer.json").read_text(encoding="utf-8"))
    ids = content["model"]["vocab"] | {token["content"]: token["id"] for token in content["added_tokens"]}
    tokens = {index: token for token, index in ids.items()}
    translator = ctranslate2.Translator(str(made / "ct2"), intra_threads=1)
    model = M2M100ForConditionalGeneration.from_pretrained(made / "hf")
    for pieces in Tokenizer(made / "ct2" / SENTENCEPIECE).encode(TEXTS):
        source = ["eng_Latn", *pieces, END]
        theirs = translator.translate_batch(
            [source], target_prefix=[["deu_Latn"]], beam_size=beam_size, max_decoding_length=LIMIT + 1
        )
        ours = model.generate(
            input_ids=torch.tensor([[ids[token] for token in source]]),
            decoder_input_ids=torch.tensor([[ids[END], ids["deu_Latn"]]]),
            num_beams=beam_size,
            max_new_tokens=LIMIT,
        )
        assert [tokens[index] for index in ours[0].tolist()] == [END, *theirs[0].hypotheses[0]]


def test_padding_changes_no_tokens_of_text(vocabulary: bytes) -> None:
    before = sentencepiece.SentencePieceProcessor(model_proto=vocabulary)
    after = sentencepiece.SentencePieceProcessor(model_proto=filled_up(vocabulary, 20_000))
    assert after.get_piece_size() == 20_000
    assert after.id_to_piece(19_999).startswith(PADDING)
    for text in (*TEXTS, "ein roter Apfel, 赤いりんご: ǆ", f"{PADDING[1:]}aaaa"):
        assert after.encode(text, out_type=str) == before.encode(text, out_type=str)


def test_a_vocabulary_that_is_too_large(tmp_path: Path, vocabulary: bytes) -> None:
    with pytest.raises(ValueError, match=r"8000 pieces, but the shape has room for 1000"):
        make_model(tmp_path, dataclasses.replace(TINY, entries=1000 + BESIDE_PIECES), vocabulary)


def test_a_vocabulary_of_texts(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TEXTS * 3), encoding="utf-8")
    processor = sentencepiece.SentencePieceProcessor(model_proto=train_vocabulary([text], 200))
    assert processor.get_piece_size() <= 200
    for line in TEXTS:
        pieces = processor.encode(line, out_type=str)
        assert processor.decode(pieces) == line
        assert len(pieces) < len(line)
        assert processor.unk_id() not in processor.encode(line)


def test_the_same_seed_makes_the_same_weights() -> None:
    weights = [shape_model.random_model(TINY, seed).model.shared.weight for seed in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_command_says_what_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"layers": 1, "width": 16, "heads": 2, "feed-forward": 32, "entries": 8300}
    options = [f"--{name}={size}" for name, size in sizes.items()]
    monkeypatch.setattr(sys, "argv", ["shape_model", str(tmp_path / "made"), *options, "--lists="])
    assert shape_model.main() == 0
    assert "8,000 pieces of text" in capsys.readouterr().out
    assert shape_model.main() == 1
    assert "has a model already" in capsys.readouterr().err
