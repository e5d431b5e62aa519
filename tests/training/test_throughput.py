from __future__ import annotations

import pytest
import torch

from tests.training import tiny
from training.architecture import VisionLanguageConfig, VisionLanguageModel
from training.throughput import Costs, Work, costs_of, peak_of, picture_flops

SIZE = (tiny.SIZE, tiny.SIZE)


def model(kind: str) -> VisionLanguageModel:
    return VisionLanguageModel(VisionLanguageConfig.from_blip2(tiny.blip2_config(kind)))


def costs(whole: VisionLanguageModel, trained: set[str]) -> Costs:
    return costs_of(whole, picture_flops(whole, SIZE), trained)


def linear_weights(module: torch.nn.Module) -> int:
    return sum(one.weight.numel() for one in module.modules() if isinstance(one, torch.nn.Linear))


def test_parts_cost_what_their_weights_multiply() -> None:
    whole = model("mt5")
    found = costs(whole, {"projection"})
    places = (tiny.SIZE // 14) ** 2 + 1
    # The encoder's linear layers at every place, and its convolution and attention scores besides.
    linear = 2 * linear_weights(whole.vision_model) * places
    assert linear < found.vision < 4 * linear
    # The connector forward and twice backward.
    connector = 2 * (linear_weights(whole.qformer) + linear_weights(whole.language_projection))
    assert 3 * connector < found.connector < 3 * connector * places * 2


@pytest.mark.parametrize(
    ("trained", "times"), [({"projection"}, 2), ({"lora"}, 2), ({"llm"}, 3), ({"llm", "qformer"}, 3)]
)
def test_backward_is_counted_where_it_is_computed(trained: set[str], times: int) -> None:
    found = costs(model("mt5"), trained)
    nothing = costs(model("mt5"), set())
    assert found.encoder == times * nothing.encoder
    assert found.decoder == times * nothing.decoder


def test_a_decoder_only_model_computes_its_head_for_targets_alone() -> None:
    found = costs(model("bloom"), set())
    assert found.decoder == 2 * tiny.ROWS * 16
    assert found.encoder > 0


def test_work_adds_up() -> None:
    costs = Costs(vision=5.0, connector=1.0, encoder=10.0, decoder=100.0)
    assert costs.flops(Work(encoder=3, decoder=2, pictures=4)) == 4 * 6 + 30 + 200


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 NVL", 835.0),
        ("NVIDIA L4", 121.0),
        ("NVIDIA L40S", 362.0),
        ("NVIDIA L40", 181.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA GeForce RTX 4090", 165.2),
    ],
)
def test_peaks_are_found_by_whole_words(name: str, teraflops: float) -> None:
    assert peak_of(name) == teraflops * 1e12


def test_the_peak_of_another_device_is_not_known() -> None:
    assert peak_of("NVIDIA A1000") is None
