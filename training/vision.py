"""Any vision encoder of transformers by its configuration, and its features as one sequence per picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from transformers import MODEL_MAPPING, AutoConfig, AutoModel, Blip2VisionConfig, Blip2VisionModel

from training import efficientnet_lite

BLIP2_VISION = Blip2VisionConfig.model_type
PIXELS = "pixel_values"


@dataclass(frozen=True)
class VisionFeatures:
    """Which of an encoder's features are used."""

    layer: int = -1
    """-1: what it gives at its end, with its last norm; -2, ...: hidden states before, as LLaVA has it."""
    drop_class_token: bool = False
    """Without the tokens that stand for no patch: class and registers."""
    grid: int | None = None
    """Patches are averaged to so many rows and columns."""

    def __post_init__(self) -> None:
        if self.layer >= 0:
            raise ValueError(f"layer: {self.layer} must be negative; layers are counted from the end")
        if self.grid is not None and self.grid < 1:
            raise ValueError(f"grid: {self.grid} must be at least 1")


class VisionError(ValueError):
    """A vision encoder that does not fit its settings; the message says what to change."""


def vision_config_of(values: Mapping[str, Any]) -> Any:
    """The configuration of an encoder from its dictionary; of a two-tower model (CLIP) its vision side."""
    kind = values.get("model_type")
    if kind == BLIP2_VISION:
        return Blip2VisionConfig.from_dict(dict(values))
    if kind == efficientnet_lite.MODEL_TYPE:
        efficientnet_lite.register()
    config = AutoConfig.for_model(**values) if kind else None
    if config is None:
        raise VisionError("the vision encoder's config.json names no `model_type`")
    config = getattr(config, "vision_config", None) or config
    model = MODEL_MAPPING.get(type(config), None)
    if (wanted := getattr(model, "main_input_name", PIXELS)) != PIXELS:
        raise VisionError(f"{config.model_type} is no vision encoder: it takes {wanted}, not pictures")
    return config


def vision_model_of(config: Any, dtype: torch.dtype | None = None) -> Any:
    """A new encoder with random weights.

    Args:
        dtype: None: as the configuration says.
    """
    options = {} if dtype is None else {"dtype": dtype}
    if config.model_type == BLIP2_VISION:
        return Blip2VisionModel._from_config(config, **options)
    return AutoModel.from_config(config, **options)


def features_of(encoder: Any, pixel_values: Tensor, settings: VisionFeatures) -> Tensor:
    """The features of pictures: (pictures, tokens, width).

    Args:
        pixel_values: (pictures, 3, height, width), normalised.

    Raises:
        VisionError: the encoder has no such layer, or it cannot be told which of its tokens are patches.
    """
    if settings.layer == -1:
        hidden: Tensor = encoder(pixel_values=pixel_values).last_hidden_state
    else:
        states = encoder(pixel_values=pixel_values, output_hidden_states=True).hidden_states
        if states is None or len(states) < -settings.layer:
            raise VisionError(
                f"layer: the encoder gives {len(states or ())} of them, {settings.layer} is none"
            )
        hidden = states[settings.layer]
    if hidden.ndim == 4:
        if settings.grid is not None:
            hidden = adaptive_avg_pool2d(hidden, settings.grid)
        return hidden.flatten(2).transpose(1, 2)
    if not settings.drop_class_token and settings.grid is None:
        return hidden
    rows, columns = _patch_grid(hidden.shape[1], encoder.config, *pixel_values.shape[2:])
    patches = hidden[:, hidden.shape[1] - rows * columns :]
    if settings.grid is None:
        return patches
    planes = patches.transpose(1, 2).reshape(len(patches), -1, rows, columns)
    return adaptive_avg_pool2d(planes, settings.grid).flatten(2).transpose(1, 2)


_MERGES = 5
"""Halvings of the patches' grid that are looked for: Swin has three."""


def _patch_grid(tokens: int, config: Any, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of patches among an encoder's tokens, which they end.

    What comes before them are at most a class token, DeiT's second one, and registers.

    Raises:
        VisionError: no grid that fits a picture of this size leaves so few others.
    """
    registers = getattr(config, "num_register_tokens", 0) or 0
    others = {0, 1, 2, registers, 1 + registers}
    patch = getattr(config, "patch_size", None)
    high, wide = patch if isinstance(patch, list | tuple) and len(patch) == 2 else (patch, patch)
    if isinstance(high, int) and isinstance(wide, int):
        for merge in range(_MERGES):
            rows, columns = height // (high << merge), width // (wide << merge)
            if rows * columns and tokens - rows * columns in others:
                return rows, columns
    for other in sorted(others):
        side = round(max(tokens - other, 0) ** 0.5)
        if height == width and side and side * side == tokens - other:
            return side, side
    raise VisionError(
        f"which of the encoder's {tokens} tokens are patches of a picture of {height} x {width} cannot be "
        "told; neither `pool` nor `drop_class_token` can be used with it"
    )


def feature_shape(config: Any, height: int, width: int, settings: VisionFeatures) -> tuple[int, int]:
    """Tokens of one picture, and their width, found without any weights.

    Raises:
        VisionError: see `features_of`; or the encoder does not take pictures of this size.
    """
    with torch.device("meta"):
        encoder = vision_model_of(config).eval()
        try:
            found = features_of(encoder, torch.empty(1, 3, height, width), settings)
        except VisionError:
            raise
        except (ValueError, RuntimeError, TypeError, AttributeError, IndexError) as error:
            raise VisionError(f"the encoder does not take pictures of {height} x {width}: {error}") from error
    return int(found.shape[1]), int(found.shape[2])
