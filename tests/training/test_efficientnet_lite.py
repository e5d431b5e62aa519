"""EfficientNet-Lite gives what the network that its weights were trained in gives."""

from __future__ import annotations

import math
from pathlib import Path
from zlib import crc32

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel

from scripts.miniature.parts import renamed
from training.efficientnet_lite import (
    LITE0_STAGES,
    EfficientNetLiteConfig,
    EfficientNetLiteModel,
    SamePaddingConvolution,
    register,
)

RECORDED = [2.34464, 2.6879, 0.0, 3.65876, 0.0, 0.720512]
"""Mean, standard deviation and four values of what `efficientnet_lite_pytorch` 0.1.0 makes of `pixels()` with
the weights of `filled()`."""


def wave(name: str, shape: torch.Size) -> Tensor:
    """Numbers between -1 and 1 that depend on the name alone, on any machine."""
    steps = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(steps * 0.7310585 + crc32(name.encode()) % 1000).reshape(shape)


def filled(model: EfficientNetLiteModel) -> dict[str, Tensor]:
    """Weights that let a signal through."""
    state = {}
    for name, value in model.state_dict().items():
        numbers = wave(name, value.shape)
        if name.endswith("num_batches_tracked"):
            numbers = value
        elif name.endswith("convolution.weight"):
            numbers = numbers * (2.5 / math.sqrt(value[0].numel()))
        elif name.endswith(("normalization.weight", "running_var")):
            numbers = 1 + numbers / 4
        else:
            numbers = numbers / 4
        state[name] = numbers.to(value.dtype)
    return state


def pixels() -> Tensor:
    return wave("pixels", torch.Size((2, 3, 64, 64))).float()


@pytest.fixture(scope="module")
def model() -> EfficientNetLiteModel:
    model = EfficientNetLiteModel(EfficientNetLiteConfig())
    model.load_state_dict(filled(model))
    model.eval()
    return model


def summary(features: Tensor) -> list[float]:
    some = [features[0, 0, 0, 0], features[0, 640, 1, 0], features[1, 77, 0, 1], features[1, -1, -1, -1]]
    return [float(value) for value in (features.mean(), features.std(), *some)]


@torch.no_grad()
def test_features_are_those_that_the_original_package_gave(model: EfficientNetLiteModel) -> None:
    features = model(pixels()).last_hidden_state
    assert features.shape == (2, 1280, 2, 2)
    assert summary(features) == pytest.approx(RECORDED, rel=1e-3, abs=1e-4)


@torch.no_grad()
def test_features_equal_the_original_package_where_it_is_installed(model: EfficientNetLiteModel) -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch")
    original = package.EfficientNet.from_name("efficientnet-lite0", image_size=64).eval()
    names = [name for name in original.state_dict() if not name.startswith("_fc")]
    ours = renamed(dict(zip(names, names, strict=True)), LITE0_STAGES)
    assert ours.keys() == model.state_dict().keys()
    original.load_state_dict(
        {theirs: model.state_dict()[name] for name, theirs in ours.items()}, strict=False
    )
    torch.testing.assert_close(
        model(pixels()).last_hidden_state, original.extract_features(pixels()), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(7, 3, 2), (8, 3, 2), (9, 5, 2), (6, 5, 1), (5, 1, 1)]
)
def test_what_is_odd_of_the_padding_goes_to_the_end(size: int, kernel: int, stride: int) -> None:
    convolution = SamePaddingConvolution(1, 1, kernel, stride, bias=False)
    picture = torch.randn(1, 1, size, size + 3)
    expected = []
    for extent in (size, size + 3):
        needed = max((math.ceil(extent / stride) - 1) * stride + kernel - extent, 0)
        expected.append((needed // 2, needed - needed // 2))
    (top, bottom), (left, right) = expected
    padded = torch.zeros(1, 1, size + top + bottom, size + 3 + left + right)
    padded[:, :, top : top + size, left : left + size + 3] = picture
    torch.testing.assert_close(
        convolution(picture), torch.nn.functional.conv2d(padded, convolution.weight, stride=stride)
    )
    assert convolution(picture).shape[-2:] == (math.ceil(size / stride), math.ceil((size + 3) / stride))


@torch.no_grad()
def test_a_saved_model_loads_by_its_type(model: EfficientNetLiteModel, tmp_path: Path) -> None:
    register()
    register()
    model.save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), EfficientNetLiteConfig)
    again = AutoModel.from_pretrained(tmp_path)
    assert isinstance(again, EfficientNetLiteModel)
    torch.testing.assert_close(again(pixels()).last_hidden_state, model(pixels()).last_hidden_state)


@torch.no_grad()
def test_states_of_all_stages_are_there_for_the_asking() -> None:
    config = EfficientNetLiteConfig(stem_size=8, stages=[[1, 3, 1, 1, 8], [2, 3, 2, 2, 16]], hidden_size=32)
    output = EfficientNetLiteModel(config).eval()(torch.rand(1, 3, 32, 48), output_hidden_states=True)
    shapes = [tuple(state.shape[1:]) for state in output.hidden_states]
    assert shapes == [(8, 16, 24), (8, 16, 24), (16, 8, 12), (32, 8, 12)]
    assert output.hidden_states[-1] is output.last_hidden_state


@torch.no_grad()
def test_a_new_model_neither_fades_nor_explodes() -> None:
    torch.manual_seed(0)
    features = EfficientNetLiteModel(EfficientNetLiteConfig()).train()(torch.randn(4, 3, 64, 64))
    assert 0.1 < float(features.last_hidden_state.std()) < 6
