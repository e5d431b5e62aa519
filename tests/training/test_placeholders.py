from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.training import tiny
from training.architecture import VisionLanguageConfig, VisionLanguageModel
from training.placeholders import PlaceholderError, with_placeholder


def model_of(kind: str, rows: int = tiny.ROWS, known: int | None = None) -> VisionLanguageModel:
    config = tiny.blip2_config(kind, known)
    config.text_config.vocab_size = rows
    return VisionLanguageModel(VisionLanguageConfig.from_blip2(config))


def test_room_in_the_embeddings_is_used() -> None:
    model, tokenizer = model_of("mt5"), tiny.tokenizer("mt5")
    assert with_placeholder(model, tokenizer) == 260
    assert model.get_input_embeddings().num_embeddings == tiny.ROWS
    assert model.config.image_token_index == 260
    assert tokenizer.convert_tokens_to_ids("<image>") == 260
    assert tokenizer("a<image>b", add_special_tokens=False)["input_ids"][1] == 260
    # A second time nothing changes.
    assert with_placeholder(model, tokenizer) == 260


@pytest.mark.parametrize("kind", ["llama", "qwen2", "mt5"])
def test_embeddings_without_room_grow(kind: str) -> None:
    tokenizer: Any = tiny.tokenizer("bloom")
    model = tiny.randomise(model_of(kind, rows=260))
    if kind == "mt5":
        head = model.language_model.lm_head
        head.weight = torch.nn.Parameter(head.weight.detach().flip(0))
    inputs = {"input_ids": torch.tensor([[5, 6, 7]])}
    if kind == "mt5":
        inputs["decoder_input_ids"] = torch.tensor([[0, 8]])
    with torch.no_grad():
        before = model(**inputs).logits
        assert with_placeholder(model, tokenizer) == 260
        after = model(**inputs).logits
    assert model.get_input_embeddings().num_embeddings == 264
    assert model.language_model.config.vocab_size == 264
    assert model.config.text_config.vocab_size == 264
    torch.testing.assert_close(after[..., :260], before)


def test_the_tokenizers_own_placeholder_is_taken() -> None:
    tokenizer = tiny.tokenizer("bloom")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<other>", "<image>"]})
    assert with_placeholder(model_of("bloom"), tokenizer) == 261


def test_what_a_model_has_learnt_with_stays() -> None:
    tokenizer = tiny.tokenizer("bloom")
    assert with_placeholder(model_of("bloom", known=270), tokenizer) == 270
    assert "<image>" not in tokenizer.get_vocab()


def test_a_tokenizer_of_another_model_is_told() -> None:
    with pytest.raises(PlaceholderError, match=r"the tokenizer has 260 tokens, .* embeddings for 200"):
        with_placeholder(model_of("bloom", rows=200), tiny.tokenizer("bloom"))
    tokenizer = tiny.tokenizer("bloom")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    with pytest.raises(PlaceholderError, match=r"token 7 stands for pictures .* <image> is 260"):
        with_placeholder(model_of("bloom", known=7), tokenizer)
