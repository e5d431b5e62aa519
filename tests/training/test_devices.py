from __future__ import annotations

import pytest
import torch

from training.devices import DeviceError, device_of


def test_auto_is_a_gpu_where_there_is_one() -> None:
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert device_of("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "meta", "", "cuda:x"])
def test_an_unknown_device_is_told(name: str) -> None:
    with pytest.raises(DeviceError, match="must be auto, cpu, cuda"):
        device_of(name)


def test_a_gpu_that_is_not_there_is_told() -> None:
    with pytest.raises(DeviceError, match="torch finds"):
        device_of("cuda:99")
