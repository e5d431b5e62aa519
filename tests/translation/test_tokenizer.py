"""Pieces that stand for no text are left out of it."""

from __future__ import annotations

import pytest

from translation.decoder import Threads
from translation.engine import Engine
from translation.model import SMALL, model_directory
from translation.tokenizer import Tokenizer, has_text
from translation.translations import Decoding, Request


@pytest.mark.parametrize("piece", ["</s>", "<s>", "<pad>", "<unk>", "<mask>", "spa_Latn", "kmr_Latn"])
def test_control_tokens_and_codes_of_languages_are_no_text(piece: str) -> None:
    assert not has_text(piece)


@pytest.mark.parametrize("piece", ["\u2581a", "apple", "_", "\u2581spa_Latn", "spa", "Latn", "\u2581"])
def test_all_others_are(piece: str) -> None:
    assert has_text(piece)


def test_a_text_that_spells_a_code_keeps_it() -> None:
    tokenizer = Tokenizer(model_directory(SMALL) / "sentencepiece.bpe.model")
    (pieces,) = tokenizer.encode(["spa_Latn is a code"])
    assert all(map(has_text, pieces))
    assert tokenizer.decode(["deu_Latn", *pieces, "deu_Latn", "<mask>"]) == "spa_Latn is a code"


def test_a_code_amid_a_translation_is_flagged_and_left_out() -> None:
    request = Request("what is this", "eng_Latn", "spa_Latn")
    decoding = Decoding(second_tries=0)
    with Engine(model_directory(SMALL), decoding, threads=Threads(intra=1), shortlist=False) as engine:
        (tokens,) = engine.tokens([request])
        (found,) = engine.translate([request])
    assert "spa_Latn" in tokens, "another model than the one that this was seen with"
    assert "spa_Latn" not in found.text
    assert found.unknown
