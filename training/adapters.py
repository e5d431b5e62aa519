"""LoRA on the language model by peft, and its weights in 8 or 4 bits by bitsandbytes."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BitsAndBytesConfig
from transformers.pytorch_utils import Conv1D

from training.architecture import VisionLanguageModel

ALL_LINEAR = "all-linear"
FOLDER = "adapter"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

Quantization = Literal["int8", "nf4"]

NEVER_QUANTISED = ("vision_model", "qformer", "projector", "language_projection", "lm_head")


class AdapterError(ValueError):
    """An adapter that does not fit its model; the message says which file, and what differs."""


@dataclass(frozen=True)
class Lora:
    """Low-rank adaptation (Hu et al. 2021); the defaults are mBLIP's."""

    r: int = 8
    alpha: int = 16
    dropout: float = 0.05
    targets: str | tuple[str, ...] = ALL_LINEAR
    """Layers of the language model by the end of their names (`q`, `SelfAttention.q`); `all-linear`: all but
    the output head."""

    def __post_init__(self) -> None:
        for name in ("r", "alpha"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)!r} must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: {self.dropout!r} must be at least 0 and less than 1")
        if not self.targets or (isinstance(self.targets, str) and self.targets != ALL_LINEAR):
            raise ValueError(f"targets: {self.targets!r} is neither `{ALL_LINEAR}` nor a list of names")


def with_lora(model: VisionLanguageModel, lora: Lora) -> PeftModel:
    """The model with a new LoRA adapter, which changes nothing yet; the rest of it is frozen.

    Raises:
        AdapterError: no layer has such a name.
    """
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        bias="none",
        target_modules=target_pattern(model, lora.targets),
    )
    with warnings.catch_warnings():
        # peft asks transformers 5 by the name of version 4.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
        return get_peft_model(model, config)


def target_pattern(model: VisionLanguageModel, targets: str | tuple[str, ...]) -> str | list[str]:
    """What peft finds the adapted layers by: a pattern for whole names, since parts share ends of names.

    Raises:
        AdapterError: no layer has such a name.
    """
    linear = set(_linear_names(model))
    if targets == ALL_LINEAR:
        wanted, ends = linear, {name.rsplit(".", 1)[1] for name in linear}
    else:
        ends = set(targets)
        wanted = {name for name in linear if any(name.endswith(f".{end}") for end in ends)}
        lacking = sorted(end for end in ends if not any(name.endswith(f".{end}") for name in linear))
        if lacking:
            known = ", ".join(sorted({name.rsplit(".", 1)[1] for name in linear}))
            raise AdapterError(
                f"targets: the language model has no linear layer {lacking[0]!r}; it has {known}"
            )
    pattern = rf"language_model\..*\.(?:{'|'.join(re.escape(end) for end in sorted(ends))})"
    matched = {name for name, _ in model.named_modules() if re.fullmatch(pattern, name)}
    return pattern if matched == wanted else sorted(wanted)


def _linear_names(model: VisionLanguageModel) -> Iterator[str]:
    head = model.get_output_embeddings()
    for name, module in model.named_modules():
        if (
            name.startswith("language_model.")
            and module is not head
            and isinstance(module, nn.Linear | Conv1D)
        ):
            yield name


def lora_of(model: PeftModel) -> tuple[int, int, float]:
    """Rank, alpha and dropout of a model's adapter."""
    config = model.peft_config["default"]
    return config.r, config.lora_alpha, config.lora_dropout


def base_of(model: nn.Module) -> VisionLanguageModel:
    """The model without its adapter's wrapper; layers keep their adapters."""
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    assert isinstance(base, VisionLanguageModel)
    return base


def base_name(name: str) -> str | None:
    """A parameter's name as it is without an adapter; None for the adapter's own."""
    if ".lora_" in name:
        return None
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".")


def save_adapter(model: PeftModel, folder: Path, tensors: dict[str, Tensor] | None = None) -> None:
    """Writes what `PeftModel.from_pretrained(base, folder)` reads.

    Args:
        tensors: the model's, where it has only shares of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # peft's own `save_pretrained` would ask the hub what the base's vocabulary is.
    tensors = get_peft_model_state_dict(model, tensors, save_embedding_layers=False)
    config = model.peft_config["default"]
    # Where the base lay on this machine is of no use elsewhere: it is the folder around the adapter.
    training, base = config.inference_mode, config.base_model_name_or_path
    config.inference_mode, config.base_model_name_or_path = True, None
    config.save_pretrained(str(folder))
    config.inference_mode, config.base_model_name_or_path = training, base
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    save_file(stored, folder / WEIGHTS, metadata={"format": "pt"})


def read_adapter(folder: Path) -> tuple[LoraConfig, dict[str, Tensor]]:
    """Configuration and weights of an adapter.

    Raises:
        AdapterError: a file is missing or damaged, or it is no LoRA adapter.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise AdapterError(
                f"{folder / name}: missing; the adapter is incomplete, so take another checkpoint"
            )
    try:
        kind = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("peft_type")
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise AdapterError(f"{folder / CONFIG}: damaged: {error}") from error
    if kind != "LORA":
        raise AdapterError(f"{folder / CONFIG}: an adapter of the kind {kind!r}; only LORA is read")
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise AdapterError(f"{folder / WEIGHTS}: damaged: {error}") from error
    return LoraConfig.from_pretrained(str(folder)), tensors


def with_adapter(model: VisionLanguageModel, folder: Path) -> PeftModel:
    """The model with a stored adapter, frozen; `training.parameters.trainable` trains it on.

    Raises:
        AdapterError: it is missing, damaged, or of another model.
    """
    config, tensors = read_adapter(folder)
    try:
        wrapped = get_peft_model(model, config)
    except ValueError as error:
        raise AdapterError(f"{folder / CONFIG}: of another model: {error}") from error
    load_adapter(wrapped, folder, tensors)
    for name, parameter in wrapped.named_parameters():
        if ".lora_" in name:
            parameter.requires_grad_(False)
    return wrapped


def load_adapter(model: PeftModel, folder: Path, tensors: dict[str, Tensor] | None = None) -> None:
    """Puts an adapter's stored weights into the model's adapter, bit by bit.

    Raises:
        AdapterError: see `with_adapter`.
    """
    if tensors is None:
        _, tensors = read_adapter(folder)
    expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    lacking, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if lacking or unknown:
        problem = f"lacks {lacking[0]}" if lacking else f"has {unknown[0]}, which the model has not"
        raise AdapterError(f"{folder / WEIGHTS}: of another model: it {problem}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise AdapterError(
                f"{folder / WEIGHTS}: of another model: {name} is {tuple(tensor.shape)}, and "
                f"{tuple(expected[name].shape)} in this one"
            )
    set_peft_model_state_dict(model, tensors)


def quantisation(kind: Quantization | None, dtype: torch.dtype) -> Any | None:
    """How transformers loads the language model's layers; None: as they are.

    Args:
        dtype: that 4-bit weights are computed in.
    """
    if kind is None:
        return None
    if find_spec("bitsandbytes") is None:
        raise AdapterError(
            f"quantization: {kind} needs bitsandbytes: pip install 'translate-mix[quantization]'"
        )
    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=list(NEVER_QUANTISED))
    # QLoRA's settings (Dettmers et al. 2023).
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=list(NEVER_QUANTISED),
    )


def keep_differentiable(model: nn.Module) -> None:
    """Keeps bitsandbytes from packing 4-bit weights anew at the first inference on a CPU with AVX512-BF16.

    What it packs so has no gradients, also in the training that goes on after a validation, and needs widths
    that are multiples of 64.
    """
    for module in model.modules():
        if getattr(module, "support_avx512bf16_for_cpu", False):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def is_quantised(parameter: Tensor) -> bool:
    """Whether a parameter holds packed weights."""
    return not parameter.is_floating_point()
