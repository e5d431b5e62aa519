from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    Blip2ForConditionalGeneration,
    CLIPVisionModel,
)

from tests.training import tiny
from training.adapters import Lora
from training.assembly import PartError, Parts, assemble
from training.connectors import MlpShape, QFormerShape
from training.parameters import trainable
from training.vision import VisionFeatures
from training.weight_files import INDEX, CheckpointError

QFORMER = QFormerShape(queries=6, layers=2, width=16, heads=4)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints as on the hub: BLIP-2's, language models, encoders."""
    folder = tmp_path_factory.mktemp("hub")
    for kind in ("t5", "opt", "mt5", "bloom"):
        tiny.write_blip2(folder / f"blip2-{kind}", kind)
    for kind in ("mt5", "bloom", "llama", "qwen2", "m2m100"):
        tiny.write_language_model(folder / kind, kind)
    for kind in ("clip", "siglip", "dinov2"):
        tiny.write_vision_encoder(folder / kind, kind)
    return folder


def parts(hub: Path, vision: str, llm: str, **options: Any) -> Parts:
    return Parts(vision=str(hub / vision), llm=str(hub / llm), **options)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(("vision", "llm"), [("blip2-t5", "mt5"), ("blip2-opt", "bloom")])
def test_blip2s_eyes_and_another_language_model(hub: Path, vision: str, llm: str) -> None:
    made = assemble(parts(hub, vision, llm))
    source = Blip2ForConditionalGeneration.from_pretrained(hub / vision)
    auto = AutoModelForSeq2SeqLM if llm == "mt5" else AutoModelForCausalLM
    base = made.base
    assert made.has_adapter
    assert base.config.is_blip2
    assert same(base.vision_model, source.vision_model)
    assert same(base.qformer, source.qformer)
    assert torch.equal(base.query_tokens, source.query_tokens)
    assert base.language_projection.weight.shape == (16, 16)
    assert not torch.equal(base.language_projection.weight, source.language_projection.weight)
    alone = assemble(parts(hub, vision, llm, lora=None)).base
    assert same(alone.language_model, auto.from_pretrained(hub / llm))
    assert made.image_token_id == 260
    assert made.texts.decoder_only == (llm == "bloom")
    assert (made.preprocessing.pictures.height, made.preprocessing.pictures.width) == (tiny.SIZE, tiny.SIZE)


def test_the_projection_can_be_copied(hub: Path) -> None:
    made = assemble(parts(hub, "blip2-t5", "mt5", projection="copied"))
    source = Blip2ForConditionalGeneration.from_pretrained(hub / "blip2-t5")
    assert same(made.base.language_projection, source.language_projection)


def test_only_the_wanted_parts_of_a_checkpoint_are_read(hub: Path, tmp_path: Path) -> None:
    source = Blip2ForConditionalGeneration.from_pretrained(hub / "blip2-t5")
    source.save_pretrained(tmp_path, max_shard_size="30KB")
    tiny.write_picture_settings(tmp_path)
    weights = json.loads((tmp_path / INDEX).read_text())["weight_map"]
    needed = {file for name, file in weights.items() if not name.startswith("language_")}
    others = set(weights.values()) - needed
    assert others
    for file in others:
        (tmp_path / file).unlink()
    made = assemble(parts(hub, str(tmp_path), "mt5"))
    assert same(made.base.qformer, source.qformer)


def test_an_encoder_with_an_mlp(hub: Path) -> None:
    features = VisionFeatures(layer=-2, drop_class_token=True)
    made = assemble(parts(hub, "clip", "llama", connector="mlp", features=features, mlp=MlpShape(3, 24)))
    base = made.base
    assert base.visual_tokens == 4
    assert not base.config.is_blip2
    assert base.language_projection.weight.shape == (16, 24)
    theirs = CLIPVisionModel.from_pretrained(hub / "clip").eval()
    pixels = tiny.pictures(2)
    with torch.no_grad():
        expected = theirs(pixel_values=pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        expected = base.language_projection(base.projector(expected))
        found = base.image_features(pixels)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("vision", "llm", "options", "tokens"),
    [
        ("siglip", "qwen2", {"qformer": QFORMER}, 6),
        ("dinov2", "m2m100", {"connector": "mlp", "features": VisionFeatures(grid=1)}, 1),
        ("dinov2", "mt5", {"connector": "mlp"}, 5),
        ("blip2-t5", "bloom", {"connector": "mlp", "mlp": MlpShape(1)}, 5),
        ("blip2-opt", "m2m100", {}, 4),
    ],
)
def test_any_encoder_goes_with_any_language_model(
    hub: Path, vision: str, llm: str, options: dict[str, Any], tokens: int
) -> None:
    made = assemble(parts(hub, vision, llm, **options))
    trainable(made.model, {"lora", "projection"} | ({"qformer"} if made.base.has_qformer else set()))
    assert made.base.visual_tokens == tokens
    ids = torch.tensor([[made.image_token_id] * tokens + [10, 11, 12]])
    labels = ids.clone() if made.base.decoder_only else torch.tensor([[20, 1]])
    loss = made.model(input_ids=ids, pixel_values=tiny.pictures(1), labels=labels).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert made.base.language_projection.weight.grad.ne(0).any()


def test_what_is_new_depends_on_the_seed_alone(hub: Path) -> None:
    wanted = parts(hub, "siglip", "qwen2", qformer=QFORMER)
    torch.manual_seed(1)
    one = assemble(wanted, seed=3)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))
    torch.manual_seed(2)
    assert same(one.model, assemble(wanted, seed=3).model)
    assert not same(one.model, assemble(wanted, seed=4).model)


def test_the_connector_is_in_float32_whatever_the_others(hub: Path) -> None:
    for wanted in (
        parts(hub, "blip2-t5", "mt5"),
        Parts(start=str(hub / "blip2-mt5")),
        parts(hub, "clip", "llama", connector="mlp"),
        parts(hub, "blip2-t5", "bloom", random=True),
    ):
        made = assemble(wanted, dtype=torch.bfloat16)
        for name, parameter in made.base.named_parameters():
            frozen = name.startswith(("vision_model", "language_model")) and ".lora_" not in name
            assert parameter.dtype == (torch.bfloat16 if frozen else torch.float32), name


@pytest.mark.parametrize("kind", ["t5", "opt", "mt5", "bloom"])
def test_a_whole_checkpoint_is_a_start(hub: Path, kind: str) -> None:
    made = assemble(Parts(start=str(hub / f"blip2-{kind}"), lora=None))
    assert same(made.base, Blip2ForConditionalGeneration.from_pretrained(hub / f"blip2-{kind}"))
    assert not made.has_adapter
    assert made.image_token_id == 260


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_the_language_model_alone_is_quantised(hub: Path, quantization: Any) -> None:
    pytest.importorskip("bitsandbytes")
    for wanted in (
        parts(hub, "blip2-t5", "mt5", quantization=quantization),
        Parts(start=str(hub / "blip2-bloom"), quantization=quantization),
    ):
        made = assemble(wanted, dtype=torch.bfloat16)
        packed = {name for name, p in made.base.named_parameters() if not p.is_floating_point()}
        assert packed
        assert all(name.startswith("language_model.") and "lm_head" not in name for name in packed)
        trainable(made.model, {"lora", "projection", "qformer"})
        with pytest.raises(ValueError, match="'llm' cannot be trained: its weights are quantised"):
            trainable(made.model, {"llm"})
        assert type(made.base.language_model).__name__ in ("MT5ForConditionalGeneration", "BloomForCausalLM")


@pytest.mark.parametrize("width", [16, 64])
def test_4_bit_weights_can_be_trained_through_after_a_validation(
    hub: Path, tmp_path: Path, width: int
) -> None:
    """bitsandbytes packs them for inference on CPUs with AVX512-BF16: without gradients, in blocks of 32."""
    pytest.importorskip("bitsandbytes")
    config = tiny.text_config("llama")
    config.hidden_size, config.num_key_value_heads, config.head_dim = width, 4, width // 4
    config.intermediate_size = 2 * width
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tiny.tokenizer("llama").save_pretrained(tmp_path)
    made = assemble(Parts(vision=str(hub / "blip2-t5"), llm=str(tmp_path), quantization="nf4"))
    trainable(made.model, {"projection", "lora"})
    made.model.train()
    token = made.image_token_id
    asked = {
        "input_ids": torch.tensor([[token] * made.base.visual_tokens + [10, 11, 12]]),
        "pixel_values": tiny.pictures(1),
    }
    weight = made.base.language_projection.weight

    def gradient() -> torch.Tensor:
        weight.grad = None
        torch.manual_seed(0)
        made.model(**asked).logits.logsumexp(-1).sum().backward()
        assert weight.grad is not None
        return weight.grad.clone()

    before = gradient()
    assert before.any()
    made.model.eval()
    with torch.no_grad():
        made.model(**asked)
    made.model.train()
    torch.testing.assert_close(gradient(), before)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "start, or vision and llm: missing"),
        ({"vision": "x"}, "llm: missing"),
        ({"llm": "x"}, "vision: missing"),
        ({"start": "x", "llm": "y"}, "a whole checkpoint, so leave out vision and llm"),
        ({"vision": "x", "llm": "y", "random": True, "quantization": "int8"}, "leave out quantization"),
        ({"start": "x", "random": True}, "takes vision and llm, not start"),
    ],
)
def test_sources_that_do_not_go_together_are_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(PartError, match=told):
        Parts(**options)


def test_what_cannot_be_copied_is_told(hub: Path) -> None:
    with pytest.raises(PartError, match="clip has no Q-Former to copy"):
        assemble(parts(hub, "clip", "llama"))
    with pytest.raises(PartError, match="projection: copied, but what it projects is new"):
        assemble(parts(hub, "blip2-t5", "mt5", connector="mlp", projection="copied"))


def test_a_language_model_is_no_vision_encoder(hub: Path) -> None:
    for kind, wanted in (("mt5", "input_ids"), ("llama", "input_ids")):
        with pytest.raises(PartError, match=f"is no vision encoder: it takes {wanted}, not pictures"):
            assemble(Parts(vision=str(hub / kind), llm=str(hub / "mt5"), connector="mlp"))


def test_a_copied_projection_of_another_width_is_told(hub: Path, tmp_path: Path) -> None:
    config = tiny.text_config("llama")
    config.hidden_size = 32
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tiny.tokenizer("llama").save_pretrained(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"language_projection.weight is \(16, 16\), where .* \(32, 16\)"
    ):
        assemble(Parts(vision=str(hub / "blip2-t5"), llm=str(tmp_path), projection="copied"))


def test_a_tokenizer_of_another_model_is_told(hub: Path, tmp_path: Path) -> None:
    tiny.write_language_model(tmp_path, "bloom", rows=200)
    with pytest.raises(
        PartError, match="the tokenizer has 260 tokens, but the language model embeddings for 200"
    ):
        assemble(Parts(vision=str(hub / "blip2-t5"), llm=str(tmp_path)))


def test_embeddings_of_another_size_than_the_configuration_says_are_told(hub: Path, tmp_path: Path) -> None:
    tiny.write_language_model(tmp_path, "bloom")
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"vocab_size": 300}))
    with pytest.raises(CheckpointError, match=r"word_embeddings.weight is \(272, 16\), where .* \(300, 16\)"):
        assemble(Parts(vision=str(hub / "blip2-t5"), llm=str(tmp_path)))


def test_a_model_that_does_not_write_is_told(hub: Path) -> None:
    with pytest.raises(PartError, match=r"^llm: .*config.json: a model of the kind 'clip'"):
        assemble(Parts(vision=str(hub / "blip2-t5"), llm=str(hub / "clip")))


def test_features_that_the_encoder_does_not_give_are_told(hub: Path) -> None:
    with pytest.raises(PartError, match="layer: the encoder gives 3 of them, -9 is none"):
        assemble(parts(hub, "clip", "llama", connector="mlp", features=VisionFeatures(layer=-9)))


def test_targets_of_lora_are_checked(hub: Path) -> None:
    with pytest.raises(PartError, match="no linear layer 'q_proj'; it has dense"):
        assemble(parts(hub, "blip2-t5", "bloom", lora=Lora(targets=("q_proj",))))


def test_no_layer_is_left_out_at_random(hub: Path) -> None:
    made = assemble(parts(hub, "blip2-t5", "m2m100"))
    assert made.base.config.text_config.encoder_layerdrop > 0
    assert [module for module in made.model.modules() if getattr(module, "layerdrop", 0)] == []
