from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, Dinov2WithRegistersConfig, SiglipVisionConfig, SwinConfig
from transformers.modeling_outputs import BaseModelOutput

from tests.training import tiny
from training.vision import (
    VisionError,
    VisionFeatures,
    feature_shape,
    features_of,
    vision_config_of,
    vision_model_of,
)

SHAPE: dict[str, Any] = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"image_size": 56, "patch_size": 14, "intermediate_size": 32},
}
ENCODERS = {
    "clip": CLIPVisionConfig(**SHAPE),
    "siglip": SiglipVisionConfig(**SHAPE),
    "registers": Dinov2WithRegistersConfig(**SHAPE, num_register_tokens=3),
    "swin": SwinConfig(
        embed_dim=8, depths=[1, 1], num_heads=[1, 1], image_size=32, patch_size=4, window_size=4
    ),
}


class Maps(nn.Module):
    """Gives feature maps, as convolutional encoders do."""

    config = None

    def forward(self, pixel_values: Tensor) -> Any:
        maps = torch.arange(2 * 6, dtype=torch.float32).view(1, 2, 2, 3)
        return BaseModelOutput(last_hidden_state=maps.expand(len(pixel_values), -1, -1, -1))


@pytest.mark.parametrize(
    ("kind", "settings", "tokens"),
    [
        ("clip", VisionFeatures(), 17),
        ("clip", VisionFeatures(layer=-2), 17),
        ("clip", VisionFeatures(drop_class_token=True), 16),
        ("clip", VisionFeatures(grid=2), 4),
        ("siglip", VisionFeatures(), 16),
        ("siglip", VisionFeatures(drop_class_token=True), 16),
        ("siglip", VisionFeatures(grid=3), 9),
        ("registers", VisionFeatures(), 20),
        ("registers", VisionFeatures(drop_class_token=True), 16),
        ("registers", VisionFeatures(layer=-2, grid=4), 16),
    ],
)
def test_tokens_are_counted_without_weights(kind: str, settings: VisionFeatures, tokens: int) -> None:
    config = ENCODERS[kind]
    assert feature_shape(config, 56, 56, settings) == (tokens, 16)
    encoder = tiny.randomise(vision_model_of(config))
    found = features_of(encoder, torch.randn(2, 3, 56, 56), settings)
    assert found.shape == (2, tokens, 16)


def test_dropping_leaves_the_patches() -> None:
    encoder = tiny.randomise(vision_model_of(ENCODERS["registers"]))
    pixels = torch.randn(1, 3, 56, 56)
    whole = features_of(encoder, pixels, VisionFeatures())
    # The class token comes first, then the registers.
    assert torch.equal(features_of(encoder, pixels, VisionFeatures(drop_class_token=True)), whole[:, 4:])


def test_a_grid_averages_neighbours() -> None:
    encoder = tiny.randomise(vision_model_of(ENCODERS["siglip"]))
    pixels = torch.randn(1, 3, 56, 56)
    patches = features_of(encoder, pixels, VisionFeatures())[0]
    averaged = features_of(encoder, pixels, VisionFeatures(grid=2))[0]
    # The upper right of 2 x 2 is of the third and fourth patches of the two upper rows of 4 x 4.
    torch.testing.assert_close(averaged[1], patches[[2, 3, 6, 7]].mean(0))


def test_patches_are_counted_in_the_picture_that_is_given() -> None:
    """DINOv2 takes any size, whatever its configuration was trained with."""
    encoder = tiny.randomise(vision_model_of(ENCODERS["registers"]))
    pixels = torch.randn(1, 3, 112, 84)
    whole = features_of(encoder, pixels, VisionFeatures())
    assert whole.shape[1] == 4 + 8 * 6
    assert torch.equal(features_of(encoder, pixels, VisionFeatures(drop_class_token=True)), whole[:, 4:])
    corner = whole[0, 4:].unflatten(0, (8, 6))[:4, :3].flatten(0, 1).mean(0)
    torch.testing.assert_close(features_of(encoder, pixels, VisionFeatures(grid=2))[0, 0], corner)


def test_encoders_that_merge_patches_have_no_class_token_to_drop() -> None:
    encoder = tiny.randomise(vision_model_of(ENCODERS["swin"]))
    pixels = torch.randn(1, 3, 32, 32)
    whole = features_of(encoder, pixels, VisionFeatures())
    assert torch.equal(features_of(encoder, pixels, VisionFeatures(drop_class_token=True)), whole)
    assert whole.shape[1] == 16
    corner = whole[0].unflatten(0, (4, 4))[:2, :2].flatten(0, 1).mean(0)
    torch.testing.assert_close(features_of(encoder, pixels, VisionFeatures(grid=2))[0, 0], corner)


def test_tokens_of_which_no_grid_is_known_are_told() -> None:
    class Odd(nn.Module):
        config = None

        def forward(self, pixel_values: Tensor) -> Any:
            return BaseModelOutput(last_hidden_state=torch.zeros(len(pixel_values), 13, 2))

    with pytest.raises(VisionError, match="which of the encoder's 13 tokens are patches"):
        features_of(Odd(), torch.zeros(1, 3, 4, 4), VisionFeatures(grid=2))


def test_feature_maps_are_read_row_by_row() -> None:
    found = features_of(Maps(), torch.zeros(2, 3, 4, 4), VisionFeatures())
    assert found.shape == (2, 6, 2)
    assert found[1].tolist() == [[float(number), float(number + 6)] for number in range(6)]
    averaged = features_of(Maps(), torch.zeros(1, 3, 4, 4), VisionFeatures(grid=1))
    assert averaged.tolist() == [[[2.5, 8.5]]]


def test_pictures_of_another_size_are_told() -> None:
    with pytest.raises(VisionError, match="does not take pictures of 70 x 70"):
        feature_shape(ENCODERS["clip"], 70, 70, VisionFeatures())


def test_a_configuration_without_a_kind_is_told() -> None:
    with pytest.raises(VisionError, match="names no `model_type`"):
        vision_config_of({"hidden_size": 3})


@pytest.mark.parametrize(
    ("options", "told"), [({"layer": 0}, "must be negative"), ({"grid": 0}, "at least 1")]
)
def test_settings_are_checked(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        VisionFeatures(**options)
