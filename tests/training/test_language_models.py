"""Language models from their directories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    EncoderDecoderConfig,
    EncoderDecoderModel,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
)

from tests.training import tiny
from training.assembly import Parts, assemble
from training.checkpoint import load, save_weights
from training.connectors import QFormerShape
from training.language_models import language_config_of, language_model_of
from training.weight_files import CheckpointError

SHAPE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A language model with an encoder of its own, as Gemma 3 is from 4B up."""
    text = {**SHAPE, "num_key_value_heads": 2, "head_dim": 4, "vocab_size": tiny.ROWS, "sliding_window": 64}
    vision = {**SHAPE, "image_size": 28, "patch_size": 14}
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    model = tiny.randomise(Gemma3ForConditionalGeneration(config))
    folder = tmp_path_factory.mktemp("gemma")
    model.save_pretrained(folder)
    tiny.tokenizer("llama").save_pretrained(folder)
    return folder, model


def test_of_a_model_that_can_see_the_text_model_is_taken(seeing: tuple[Path, Any]) -> None:
    folder, whole = seeing
    assert language_config_of(folder).model_type == "gemma3_text"
    found = language_model_of(folder, torch.float32)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        torch.testing.assert_close(found(input_ids=ids).logits, whole.eval()(input_ids=ids).logits)


def test_such_a_model_is_assembled_stored_and_loaded(seeing: tuple[Path, Any], tmp_path: Path) -> None:
    tiny.write_vision_encoder(tmp_path / "siglip", "siglip")
    shape = QFormerShape(queries=3, layers=2, width=16, heads=4)
    made = assemble(Parts(vision=str(tmp_path / "siglip"), llm=str(seeing[0]), qformer=shape))
    adapted = [name for name, _ in made.model.named_parameters() if ".lora_A." in name]
    # Seven linear layers of two blocks.
    assert len(adapted) == 14
    save_weights(made, tmp_path / "step", tmp_path / "frozen")
    again = load(tmp_path / "step")
    for name, parameter in made.model.named_parameters():
        assert torch.equal(parameter, again.model.get_parameter(name)), name


def test_an_encoder_decoder_with_a_decoder_of_its_own_stays_whole(tmp_path: Path) -> None:
    bert = {**SHAPE, "vocab_size": tiny.ROWS}
    config = EncoderDecoderConfig.from_encoder_decoder_configs(BertConfig(**bert), BertConfig(**bert))
    EncoderDecoderModel(config=config).save_pretrained(tmp_path)
    assert language_config_of(tmp_path).model_type == "encoder-decoder"
    assert isinstance(language_model_of(tmp_path, torch.float32), EncoderDecoderModel)


def test_a_model_without_text_is_told(tmp_path: Path) -> None:
    tiny.write_vision_encoder(tmp_path / "siglip", "siglip")
    with pytest.raises(CheckpointError, match="transformers cannot generate text with"):
        language_config_of(tmp_path / "siglip")
