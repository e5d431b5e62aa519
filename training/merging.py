"""A checkpoint's adapter merged into its language model: what the next stage starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from torch import Tensor

from training.checkpoint import FROZEN_INDEX, Loaded, load, load_trained_base, save_weights
from training.weight_files import CheckpointError, located
from translation.disk import whole_or_absent


def merged(
    checkpoint: str | Path,
    output: Path,
    *,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    told: Callable[[str], Any] = lambda line: None,
) -> Loaded:
    """Writes a checkpoint without adapter that says what this one says, ready as a `start`.

    A language model that was trained in 8 or 4 bits is merged as it was before it was packed: its weights of
    full precision are what the checkpoint holds.

    Args:
        output: of the new checkpoint; must not exist.
        dtype: of encoder and language model; None: as they are stored, what was trained in float32. The sums
            are rounded to it once.
        revision: of a hub repository.
        told: is given lines about the work.

    Raises:
        ValueError: `output` exists.
        CheckpointError: the checkpoint is damaged or has no adapter, or `output` cannot be written.
    """
    if output.exists():
        raise ValueError(f"{output}: exists; name a directory that does not")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(output, error) from error
    loaded = load(checkpoint, dtype=dtype, revision=revision)
    if dtype is None:
        load_trained_base(loaded.model, located(checkpoint, revision))
    model = loaded.model
    if not isinstance(model, PeftModel):
        raise CheckpointError(f"{checkpoint}: has no adapter to merge; it can be a `start` as it is")
    told(f"merging {len(model.targeted_module_names)} layers")
    try:
        _merge_layers(model)
    except ValueError as error:
        raise CheckpointError(f"{checkpoint}: the adapter cannot be merged: {error}") from error
    base = model.unload()
    base.requires_grad_(False)
    whole = replace(loaded, model=base, unquantised=None)
    told(f"writing {output}")
    # Nothing is trained here, so all weights are written as frozen ones, and there is no other checkpoint to
    # share them with.
    try:
        with whole_or_absent(output, attempt=uuid4().hex) as folder:
            save_weights(whole, folder, folder)
            (folder / FROZEN_INDEX).unlink()
    except (OSError, SafetensorError) as error:
        raise _unwritable(output, error) from error
    return whole


def _merge_layers(model: PeftModel) -> None:
    """Adds the adapter to the weights in float32, so that their sum alone is rounded to the model's dtype."""
    for layer in model.modules():
        if isinstance(layer, BaseTunerLayer):
            weight: Tensor = layer.get_base_layer().get_parameter("weight")
            dtype = weight.dtype
            weight.data = weight.data.float()
            # Safe: it refuses an adapter with numbers that are none.
            layer.merge(safe_merge=True)
            weight.data = weight.data.to(dtype)


def _unwritable(output: Path, error: OSError | SafetensorError) -> CheckpointError:
    cause = getattr(error, "strerror", None) or str(error)
    return CheckpointError(f"{output}: cannot be written ({cause}); make room, or name another directory")
