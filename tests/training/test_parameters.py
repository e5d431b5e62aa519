from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training import tiny
from training.adapters import Lora, with_lora
from training.architecture import VisionLanguageConfig, VisionLanguageModel
from training.assembly import Parts, assemble
from training.parameters import counts, parameter_groups, part_of, parts_of, trainable

SHAPES = Path(__file__).parents[2] / "training/configs/shapes"
MAIN = ("qformer", "projection", "lora")


def model_of(kind: str = "mt5") -> VisionLanguageModel:
    return VisionLanguageModel(VisionLanguageConfig.from_blip2(tiny.blip2_config(kind)))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("vision_model.embeddings.class_embedding", "vision"),
        ("query_tokens", "qformer"),
        ("base_model.model.query_tokens", "qformer"),
        ("module._orig_mod.qformer.layernorm.weight", "qformer"),
        ("projector.layers.0.weight", "projection"),
        ("module.base_model.model.language_projection.bias", "projection"),
        ("base_model.model.language_model.lm_head.weight", "llm"),
        ("base_model.model.language_model.h.0.q.base_layer.weight", "llm"),
        ("base_model.model.language_model.h.0.q.lora_A.default.weight", "lora"),
    ],
)
def test_every_parameter_belongs_to_a_part(name: str, part: str) -> None:
    assert part_of(name) == part


def test_a_parameter_of_no_part_is_told() -> None:
    with pytest.raises(ValueError, match=r"classifier\.weight belongs to no part"):
        part_of("classifier.weight")


@pytest.mark.parametrize(("llm", "millions"), [("mt0-xl", 124.4), ("bloomz-7b1", 124.0)])
def test_the_papers_models_train_the_papers_parameters(llm: str, millions: float) -> None:
    parts = Parts(vision=str(SHAPES / "blip2-vit-g"), llm=str(SHAPES / llm), random=True)
    model = assemble(parts, device="meta", dtype=torch.bfloat16).model
    trainable(model, MAIN)
    found = counts(model)
    assert round(sum(count.trained for count in found.values()) / 1e6, 1) == millions
    assert found["vision"].trained == found["llm"].trained == 0
    assert found["qformer"].all == 105_162_240


def test_what_is_trained_is_in_float32() -> None:
    model = with_lora(model_of().to(torch.bfloat16), Lora(r=2))  # type: ignore[arg-type]
    trainable(model, MAIN)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (part_of(name) in MAIN), name
        assert parameter.dtype == (torch.float32 if parameter.requires_grad else torch.bfloat16), name
    trainable(model, ["projection"])
    assert {part_of(name) for name, p in model.named_parameters() if p.requires_grad} == {"projection"}


def test_tied_embeddings_stay_tied_when_the_language_model_is_trained() -> None:
    model = model_of("bloom").to(torch.bfloat16)
    trainable(model, ["llm"])
    assert model.language_model.lm_head.weight is model.get_input_embeddings().weight
    assert model.get_input_embeddings().weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("parts", "told"),
    [(["head"], "'head' is no part"), (["lora"], "the model has no part 'lora'; it has llm, projection")],
)
def test_parts_that_are_not_there_are_told(parts: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        trainable(model_of(), parts)


def test_norms_biases_queries_and_embeddings_do_not_decay() -> None:
    model = with_lora(model_of(), Lora(r=2))
    trainable(model, ["vision", "qformer", "projection", "lora"])
    rates = {"vision": 1e-6, "qformer": 1e-5, "projection": 2e-5, "lora": 2e-4}
    groups = parameter_groups(model, rates, 0.1)
    names = {parameter: name for name, parameter in model.named_parameters()}
    decay = {names[p]: group["weight_decay"] for group in groups for p in group["params"]}
    assert decay.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    for name, value in decay.items():
        plain = "norm" in name.lower() or "embedding" in name or name.endswith(("bias", "query_tokens"))
        # The patches' convolution is no table of embeddings.
        plain &= not name.endswith("patch_embedding.weight")
        assert value == (0.0 if plain else 0.1), name
    assert {group["name"]: group["lr"] for group in groups} == {
        "vision": 1e-6,
        "vision/no-decay": 1e-6,
        "qformer": 1e-5,
        "qformer/no-decay": 1e-5,
        "projection": 2e-5,
        "projection/no-decay": 2e-5,
        "lora": 2e-4,
    }


def test_trained_parts_need_learning_rates() -> None:
    model = model_of()
    trainable(model, ["qformer", "projection"])
    with pytest.raises(ValueError, match="no learning rate for qformer"):
        parameter_groups(model, {"projection": 1e-3}, 0.0)
    trainable(model, [])
    with pytest.raises(ValueError, match="nothing is trained"):
        parameter_groups(model, {}, 0.0)


def test_parts_come_in_the_models_order() -> None:
    model = model_of()
    assert list(parts_of(model)) == [name for name, _ in model.named_parameters()]
