"""In which floating dtypes a run computes, on the device at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from training.configuration import Precision


@dataclass(frozen=True)
class Precisions:
    """Of frozen weights, and of products; trained weights are float32."""

    name: Precision
    frozen: torch.dtype
    mixed: Literal["no", "bf16", "fp16"]
    """As accelerate calls it."""


FLOAT32 = Precisions("float32", torch.float32, "no")
BFLOAT16 = Precisions("bfloat16", torch.bfloat16, "bf16")
FLOAT16 = Precisions("float16", torch.float16, "fp16")


def precisions_of(wanted: Precision, device: torch.device | None = None) -> Precisions:
    """What a configuration's `precision` means on a device; `auto` is what the device is best at.

    Args:
        device: None: a GPU if there is one.
    """
    cuda = torch.cuda.is_available() if device is None else device.type == "cuda"
    if wanted == "auto":
        if not cuda:
            return FLOAT32
        return BFLOAT16 if torch.cuda.is_bf16_supported(including_emulation=False) else FLOAT16
    return next(one for one in (FLOAT32, BFLOAT16, FLOAT16) if one.name == wanted)
