"""The parameters of a model by part: what is trained, how fast, and with or without weight decay."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

Part = Literal["vision", "qformer", "projection", "lora", "llm"]
"""`qformer` has the query tokens; `projection` is the last layer, or the whole MLP."""

PARTS: tuple[Part, ...] = get_args(Part)

_PREFIXES: tuple[tuple[str, Part], ...] = (
    ("vision_model.", "vision"),
    ("query_tokens", "qformer"),
    ("qformer.", "qformer"),
    ("projector.", "projection"),
    ("language_projection.", "projection"),
    ("language_model.", "llm"),
)
_WRAPPERS = ("module.", "_orig_mod.", "base_model.model.")
"""Of DistributedDataParallel, torch.compile and peft."""

_EMBEDDINGS = ("query_tokens", "class_embedding", "position_embedding", "cls_token", "position_embeddings")
"""Parameters that are embeddings without being an `nn.Embedding`."""


def part_of(name: str) -> Part:
    """The part that a parameter belongs to; raises ValueError for a name that is of none."""
    bare = name
    while wrapper := next((wrapper for wrapper in _WRAPPERS if bare.startswith(wrapper)), None):
        bare = bare.removeprefix(wrapper)
    if ".lora_" in bare:
        return "lora"
    for prefix, part in _PREFIXES:
        if bare.startswith(prefix):
            return part
    raise ValueError(f"{name} belongs to no part of the model")


def parts_of(model: nn.Module) -> dict[str, Part]:
    """Name of each parameter, in the model's order -> its part."""
    return {name: part_of(name) for name, _ in model.named_parameters()}


def trainable(model: nn.Module, parts: Collection[str]) -> None:
    """Trains these parts in float32, and freezes all others; the model stays in its mode.

    Raises:
        ValueError: no such part, or one that the model does not have, or a quantised one.
    """
    for part in parts:
        if part not in PARTS:
            raise ValueError(f"{part!r} is no part of a model; there are {', '.join(PARTS)}")
    of_name = parts_of(model)
    for part in parts:
        if part not in of_name.values():
            raise ValueError(
                f"the model has no part {part!r}; it has {', '.join(sorted(set(of_name.values())))}"
            )
    for name, parameter in model.named_parameters():
        if of_name[name] not in parts:
            parameter.requires_grad_(False)
        elif not parameter.is_floating_point():
            raise ValueError(f"{of_name[name]!r} cannot be trained: its weights are quantised")
        else:
            if parameter.dtype != torch.float32:
                # 16 bits do not hold small updates; autocast computes in 16 bits all the same.
                parameter.data = parameter.data.float()
            parameter.requires_grad_(True)


@dataclass(frozen=True)
class Count:
    """How many parameters."""

    all: int
    trained: int


def counts(model: nn.Module) -> dict[Part, Count]:
    """Of each part that the model has; packed weights count as what they stand for."""
    found: dict[Part, Count] = {}
    for name, parameter in model.named_parameters():
        part = part_of(name)
        earlier = found.get(part, Count(0, 0))
        size = size_of(parameter)
        trained = size if parameter.requires_grad else 0
        found[part] = Count(earlier.all + size, earlier.trained + trained)
    return {part: found[part] for part in PARTS if part in found}


def size_of(parameter: Tensor) -> int:
    """How many weights a parameter holds; packed ones count as what they stand for."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(torch.Size(state.shape).numel())


def parameter_groups(
    model: nn.Module, rates: Mapping[str, float], weight_decay: float
) -> list[dict[str, Any]]:
    """Groups for a torch optimiser: each part that is trained, with and without weight decay.

    Norms, biases, query tokens and embeddings have no decay.

    Args:
        rates: part -> learning rate.

    Returns:
        In a fixed order, with `name`: `qformer`, `qformer/no-decay`, ...

    Raises:
        ValueError: a part is trained that has no learning rate, or nothing is trained.
    """
    plain = set(_without_decay(model))
    groups: dict[tuple[Part, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((part_of(name), name not in plain), []).append(parameter)
    if not groups:
        raise ValueError("nothing is trained")
    unrated = sorted({part for part, _ in groups} - set(rates))
    if unrated:
        raise ValueError(f"no learning rate for {', '.join(unrated)}")
    return [
        {
            "params": groups[part, decays],
            "lr": rates[part],
            "weight_decay": weight_decay if decays else 0.0,
            "name": part if decays else f"{part}/no-decay",
        }
        for part in PARTS
        for decays in (True, False)
        if (part, decays) in groups
    ]


def _without_decay(model: nn.Module) -> Iterator[str]:
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            embedding = isinstance(module, nn.Embedding) or name in _EMBEDDINGS
            if parameter.ndim < 2 or embedding:
                yield f"{prefix}.{name}" if prefix else name
