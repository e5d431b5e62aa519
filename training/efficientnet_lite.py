"""EfficientNet-Lite, an image encoder that is small enough for a laptop, as a model of transformers.

EfficientNet (Tan & Le 2019, https://arxiv.org/abs/1905.11946) without squeeze-and-excitation and with ReLU6:
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. transformers' own
`EfficientNetModel` cannot be configured to that.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel, initialization
from transformers.modeling_outputs import BaseModelOutputWithNoAttention

MODEL_TYPE = "efficientnet_lite"

LITE0_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel, stride of the first block, expansion and channels of each stage, as in EfficientNet-B0."""


class EfficientNetLiteConfig(PreTrainedConfig):  # type: ignore[misc]
    """The shape of an encoder; the defaults are EfficientNet-Lite0's."""

    model_type = MODEL_TYPE

    num_channels: int = 3
    image_size: int = 224
    """Pixels of a side of the pictures that it was trained on."""
    stem_size: int = 32
    stages: list[list[int]] | tuple[tuple[int, ...], ...] = LITE0_STAGES
    """See `LITE0_STAGES`."""
    hidden_size: int = 1280
    """Channels of the feature map."""
    batch_norm_eps: float = 1e-3
    batch_norm_momentum: float = 0.01
    """Of the newest batch, as torch counts it."""


class SamePaddingConvolution(nn.Conv2d):
    """A convolution that pads as TensorFlow's `SAME` does: what is odd goes to the right and bottom."""

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', ⌈H / stride⌉, ⌈W / stride⌉)."""
        vertical, horizontal = (
            max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            for size, stride, kernel in zip(pixels.shape[-2:], self.stride, self.kernel_size, strict=True)
        )
        margins = [horizontal // 2, horizontal - horizontal // 2, vertical // 2, vertical - vertical // 2]
        return super().forward(pad(pixels, margins) if any(margins) else pixels)


class NormalisedConvolution(nn.Module):
    """Convolution and batch normalisation, then ReLU6 unless `linear`."""

    def __init__(
        self,
        config: EfficientNetLiteConfig,
        channels: tuple[int, int],
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.convolution = SamePaddingConvolution(*channels, kernel, stride, groups=groups, bias=False)
        self.normalization = nn.BatchNorm2d(channels[1], config.batch_norm_eps, config.batch_norm_momentum)
        self.activation = nn.Identity() if linear else nn.ReLU6()

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        result: Tensor = self.activation(self.normalization(self.convolution(pixels)))
        return result


class InvertedResidual(nn.Module):
    """MobileNetV2's block: wider, each channel alone, narrower; added to its input where the shapes agree."""

    def __init__(
        self,
        config: EfficientNetLiteConfig,
        channels: tuple[int, int],
        kernel: int,
        stride: int,
        expansion: int,
    ) -> None:
        super().__init__()
        narrow, out = channels
        wide = narrow * expansion
        self.expand = NormalisedConvolution(config, (narrow, wide)) if expansion != 1 else nn.Identity()
        self.depthwise = NormalisedConvolution(config, (wide, wide), kernel, stride, groups=wide)
        self.project = NormalisedConvolution(config, (wide, out), linear=True)
        self.residual = stride == 1 and narrow == out

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        result: Tensor = self.project(self.depthwise(self.expand(pixels)))
        return result + pixels if self.residual else result


class EfficientNetLiteModel(PreTrainedModel):  # type: ignore[misc]
    """The encoder without its classifier; without stochastic depth too, as it is there to be used frozen."""

    config_class = EfficientNetLiteConfig
    base_model_prefix = MODEL_TYPE
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _no_split_modules = ("InvertedResidual",)

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        self.stem = NormalisedConvolution(config, (config.num_channels, config.stem_size), 3, 2)
        self.stages = nn.ModuleList()
        width = config.stem_size
        for blocks, kernel, stride, expansion, out in config.stages:
            first = InvertedResidual(config, (width, out), kernel, stride, expansion)
            others = (InvertedResidual(config, (out, out), kernel, 1, expansion) for _ in range(blocks - 1))
            self.stages.append(nn.Sequential(first, *others))
            width = out
        self.head = NormalisedConvolution(config, (width, config.hidden_size))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            # As in EfficientNet's code: He et al. 2015, by the outputs of one channel.
            initialization.normal_(
                module.weight,
                std=math.sqrt(2 / (module.out_channels // module.groups * math.prod(module.kernel_size))),
            )
        else:
            super()._init_weights(module)

    def forward(
        self, pixel_values: Tensor, output_hidden_states: bool = False, **_: object
    ) -> BaseModelOutputWithNoAttention:
        """The feature map `last_hidden_state`, (B, 1280, H / 32, W / 32) of Lite0.

        Args:
            pixel_values: (B, 3, H, W), normalised as `preprocessor_config.json` says.
            output_hidden_states: also return what comes out of the stem, every stage and the head.
        """
        states = [self.stem(pixel_values)]
        for stage in self.stages:
            states.append(stage(states[-1]))
        states.append(self.head(states[-1]))
        return BaseModelOutputWithNoAttention(
            last_hidden_state=states[-1], hidden_states=tuple(states) if output_hidden_states else None
        )


def register() -> None:
    """Makes `AutoConfig` and `AutoModel` know the model type; may be called again."""
    AutoConfig.register(MODEL_TYPE, EfficientNetLiteConfig, exist_ok=True)
    AutoModel.register(EfficientNetLiteConfig, EfficientNetLiteModel, exist_ok=True)
