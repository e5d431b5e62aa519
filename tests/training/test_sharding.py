from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as distributed
from torch.distributed.tensor import DTensor

from tests.training import tiny
from training.adapters import Lora, with_lora
from training.architecture import VisionLanguageConfig, VisionLanguageModel
from training.parameters import trainable
from training.sharding import gathered, is_sharded, shard, shared_like, whole

CPU = torch.device("cpu")
SIZE = (tiny.SIZE, tiny.SIZE)


@pytest.fixture
def group() -> Iterator[None]:
    """Processes that share a model out; this one alone."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def model(kind: str) -> Any:
    torch.manual_seed(3)
    made = VisionLanguageModel(VisionLanguageConfig.from_blip2(tiny.blip2_config(kind)))
    return with_lora(tiny.randomise(made), Lora())


def sharded(kind: str) -> Any:
    made = model(kind)
    trainable(made, ["qformer", "lora"])
    shard(made, 1, CPU, SIZE)
    return made


def units(made: Any) -> list[str]:
    return sorted(
        name for name, module in made.base_model.model.named_modules() if hasattr(module, "reshard")
    )


PARTS = ["vision_model.encoder.layers", "qformer.encoder.layer"]


@pytest.mark.parametrize(
    ("kind", "layers", "head"),
    [
        ("mt5", ["language_model.encoder.block", "language_model.decoder.block"], []),
        ("qwen2", ["language_model.model.layers"], []),
        ("llama", ["language_model.model.layers"], ["language_model.lm_head"]),
    ],
)
def test_layers_are_gathered_apart_and_a_head_with_weights_of_its_own(
    group: None, kind: str, layers: list[str], head: list[str]
) -> None:
    seen = sharded(kind)
    assert is_sharded(seen)
    assert not is_sharded(model(kind))
    expected = [f"{name}.{number}" for name in (*PARTS, *layers) for number in range(2)]
    assert units(seen) == sorted([*expected, *head])
    assert all(isinstance(parameter, DTensor) for parameter in seen.parameters())


def test_a_sharded_model_says_what_it_said(group: None) -> None:
    plain, seen = model("mt5"), sharded("mt5")
    ids = torch.tensor([[tiny.ROWS - 1] * tiny.QUERIES + [10, 11, 12]])
    labels = torch.tensor([[40, 41, 1]])
    with torch.no_grad():
        expected = plain(input_ids=ids, pixel_values=tiny.pictures(1), labels=labels).token_losses
        found = seen(input_ids=ids, pixel_values=tiny.pictures(1), labels=labels).token_losses
    torch.testing.assert_close(found, expected)
    # Nothing is left gathered.
    assert all(isinstance(parameter, DTensor) for parameter in seen.parameters())


def test_whole_tensors_come_back_by_name_to_those_who_keep_them(group: None) -> None:
    plain, seen = dict(model("mt5").named_parameters()), sharded("mt5")
    found = gathered(seen.named_parameters(), keep=True)
    assert found.keys() == plain.keys()
    assert all(torch.equal(found[name], plain[name]) for name in plain)
    assert not any(isinstance(tensor, DTensor) for tensor in found.values())
    assert gathered(seen.named_parameters(), keep=False) == {}


def test_a_whole_tensor_is_shared_out_as_a_parameter_is(group: None) -> None:
    parameter = next(sharded("mt5").parameters())
    value = torch.randn(parameter.shape)
    shared = shared_like(value, parameter)
    assert isinstance(shared, DTensor)
    assert shared.placements == parameter.placements
    assert torch.equal(whole(shared), value)
    assert shared_like(value, torch.nn.Parameter(value)) is value
