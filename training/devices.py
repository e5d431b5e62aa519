"""The device that a model runs on."""

from __future__ import annotations

import torch


class DeviceError(ValueError):
    """A device that is not there; the message says which are."""


def device_of(name: str) -> torch.device:
    """The device of a name: `cpu`, `cuda`, `cuda:1`; `auto` is a GPU if there is one.

    Raises:
        DeviceError: there is none of that name.
    """
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if there else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"device {name!r}: must be auto, cpu, cuda, or cuda: and a number") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"device {name!r}: must be auto, cpu, cuda, or cuda: and a number")
    if device.type == "cuda" and (device.index or 0) >= there:
        raise DeviceError(f"device {name!r}: torch finds {there} GPUs here; without one, take cpu")
    return device
