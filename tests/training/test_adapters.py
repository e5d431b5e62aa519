from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from tests.training import tiny
from training.adapters import AdapterError, Lora, base_name, target_pattern, with_lora
from training.architecture import VisionLanguageConfig, VisionLanguageModel


def model_of(kind: str) -> VisionLanguageModel:
    return VisionLanguageModel(VisionLanguageConfig.from_blip2(tiny.blip2_config(kind)))


def adapted(model: VisionLanguageModel, targets: Any) -> set[str]:
    return set(with_lora(model, Lora(r=2, targets=targets)).targeted_module_names)


@pytest.mark.parametrize("kind", ["t5", "mt5", "opt", "bloom"])
def test_all_linear_layers_of_the_language_model_are_adapted_but_its_head(kind: str) -> None:
    model = model_of(kind)
    names = adapted(model, "all-linear")
    assert names
    assert all(name.startswith("language_model.") for name in names)
    assert not any("lm_head" in name for name in names)
    ends = {
        "opt": "q_proj k_proj v_proj out_proj fc1 fc2",
        "bloom": "query_key_value dense dense_h_to_4h dense_4h_to_h",
    }
    expected = set(ends.get(kind, "q k v o wi_0 wi_1 wo").split())
    assert {name.rsplit(".", 1)[1] for name in names} == expected


def test_named_layers_alone_are_adapted() -> None:
    names = adapted(model_of("mt5"), ("SelfAttention.q", "wo"))
    assert {name.split(".")[-2:][0] + "." + name.split(".")[-1] for name in names} == {
        "SelfAttention.q",
        "DenseReluDense.wo",
    }
    # Both stacks of 2 layers have both.
    assert len(names) == 8


def test_layers_of_other_parts_with_such_names_are_left() -> None:
    """`dense` is a name in the Q-Former too."""
    model = model_of("bloom")
    assert all(name.startswith("language_model.") for name in adapted(model, ("dense",)))


def test_a_pattern_says_which_layers_unless_it_would_say_too_much() -> None:
    model = model_of("mt5")
    pattern = target_pattern(model, "all-linear")
    assert isinstance(pattern, str)
    assert re.fullmatch(pattern, "language_model.encoder.block.0.layer.0.SelfAttention.q")
    # Something that is no linear layer has the name of one.
    model.language_model.encoder.q = torch.nn.Embedding(3, 4)
    names = target_pattern(model, ("q",))
    assert isinstance(names, list)
    assert "language_model.encoder.q" not in names


def test_a_layer_that_is_not_there_is_told() -> None:
    with pytest.raises(AdapterError, match="no linear layer 'nothing'; it has k, o, q"):
        with_lora(model_of("mt5"), Lora(targets=("q", "nothing")))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"r": 0}, "r: 0"),
        ({"alpha": 0}, "alpha: 0"),
        ({"dropout": 1.0}, "dropout"),
        ({"targets": "q"}, "targets: 'q'"),
    ],
)
def test_settings_are_checked(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Lora(**options)


def test_names_without_the_adapter() -> None:
    assert base_name("base_model.model.language_model.h.q.base_layer.weight") == "language_model.h.q.weight"
    assert base_name("base_model.model.language_model.h.q.lora_A.default.weight") is None
    assert base_name("query_tokens") == "query_tokens"
