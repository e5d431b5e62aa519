"""A machine with GPUs, as far as CTranslate2 tells: a real translator on the CPU stands in for them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import ctranslate2
import pytest


class GpuMachine:
    """What CTranslate2 is asked for."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        supported: Collection[str] = ("float32", "int8_float32"),
        error: str | None = None,
        gpus: int = 1,
    ) -> None:
        """`error`: what the libraries say at first use, if they do not load."""
        self.loaded: list[tuple[str, str]] = []
        """Devices and compute types of the models."""
        self.indices: list[list[int]] = []
        """Numbers of the devices of each."""
        self.batches: list[int] = []
        """Sentences of each batch."""
        self.waiting = 0
        """Batches that nobody has the results of yet; `most_waiting` the most at any moment."""
        self.most_waiting = 0
        self._real, self._error = ctranslate2.Translator, error
        patch.setattr(ctranslate2, "get_cuda_device_count", lambda: gpus)
        patch.setattr(ctranslate2, "get_supported_compute_types", lambda device: set(supported))
        patch.setattr(ctranslate2, "Translator", self._translator)

    def _translator(
        self, directory: str, *, device: str, device_index: list[int], compute_type: str, **options: Any
    ) -> Any:
        self.loaded.append((device, compute_type))
        self.indices.append(device_index)
        stand_in = self._real(directory, device="cpu", **options)
        return _Translator(self, stand_in, self._error) if device == "cuda" else stand_in


class _Translator:
    def __init__(self, machine: GpuMachine, real: Any, error: str | None) -> None:
        self._machine, self._real, self._error = machine, real, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def translate_batch(self, sources: list[list[str]], **options: Any) -> Any:
        if self._error:
            raise RuntimeError(self._error)
        results = self._real.translate_batch(sources, **options)
        if not options.get("asynchronous"):
            return results
        machine = self._machine
        machine.batches.append(len(sources))
        machine.waiting += 1
        machine.most_waiting = max(machine.most_waiting, machine.waiting)
        return [_Result(machine, results[0]), *results[1:]]


class _Result:
    def __init__(self, machine: GpuMachine, real: Any) -> None:
        self._machine, self._real = machine, real

    def result(self) -> Any:
        self._machine.waiting -= 1
        return self._real.result()
