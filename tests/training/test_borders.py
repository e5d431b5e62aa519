from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from training.borders import Place, border_behind, border_behind_texts, tokens_behind_texts


@pytest.fixture
def tokens_of(llama_tokenizer: Any) -> Any:
    def tokens(texts: Sequence[str]) -> list[list[int]]:
        return llama_tokenizer(list(texts), add_special_tokens=False)["input_ids"]  # type: ignore[no-any-return]

    return tokens


def shown(tokenizer: Any, ids: Sequence[int]) -> str:
    return " ".join(tokenizer.convert_ids_to_tokens(list(ids)))


def test_a_space_belongs_to_the_word_behind_it(llama_tokenizer: Any, tokens_of: Any) -> None:
    border = border_behind("<s>[INST] ", tokens_of)
    assert border is not None
    assert border.place.lead == " "
    assert list(border.tokens) == tokens_of(["<s>[INST]"])[0]
    (ids,) = border.place.tokens(["草"], tokens_of)
    assert shown(llama_tokenizer, ids) in ("▁ 草", "▁草")


def test_a_text_behind_a_line_break_has_no_space(llama_tokenizer: Any, tokens_of: Any) -> None:
    border = border_behind_texts("\n", tokens_of)
    assert border is not None
    assert shown(llama_tokenizer, border.tokens) == "<0x0A>"
    assert [shown(llama_tokenizer, ids)[0] for ids in border.place.tokens(["Ein", "草"], tokens_of)] == [
        "E",
        "草",
    ]


def test_a_text_that_begins_all_is_tokenised_alone(tokens_of: Any) -> None:
    border = border_behind("", tokens_of)
    assert border is not None
    assert border.tokens == ()
    assert border.place.tokens(["Ein Hund", "Ein Hund", "草"], tokens_of) == tokens_of(
        ["Ein Hund", "Ein Hund", "草"]
    )


def test_what_makes_one_token_with_an_anchor_is_put_behind_another(
    llama_tokenizer: Any, tokens_of: Any
) -> None:
    (joined,) = Place(("]", "\n")).tokens(["(ein"], tokens_of)
    assert shown(llama_tokenizer, joined).replace(" ", "") == "(ein"
    assert Place(("]",)).tokens(["(ein"], tokens_of) == tokens_of(["(ein"])


def test_a_piece_behind_texts_has_no_space_of_its_own(llama_tokenizer: Any, tokens_of: Any) -> None:
    assert shown(llama_tokenizer, tokens_behind_texts("[/INST]", tokens_of))[0] == "["
    assert shown(llama_tokenizer, tokens_behind_texts(" [/INST]", tokens_of)).startswith("▁[")
