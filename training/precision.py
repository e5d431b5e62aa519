"""In which floating dtypes a run computes, on the device at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from training.configuration import Precision


@dataclass(frozen=True)
class Precisions:
    """Of frozen weights, and of products; trained weights are float32."""

    frozen: torch.dtype
    mixed: Literal["no", "bf16", "fp16"]
    """As accelerate calls it."""


def precisions_of(wanted: Precision, device: torch.device) -> Precisions:
    """What a configuration's `precision` means on a device; `auto` is what the device is best at."""
    if wanted == "auto":
        if device.type != "cuda":
            wanted = "float32"
        else:
            wanted = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if wanted == "float32":
        return Precisions(torch.float32, "no")
    return Precisions(torch.bfloat16, "bf16") if wanted == "bfloat16" else Precisions(torch.float16, "fp16")
