"""The optimiser of a stage: groups of parameters by part, and the learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.configuration import Stage
from training.parameters import parameter_groups
from training.run_directory import RunError
from training.sharding import gathered, shared_like


def optimiser_of(model: nn.Module, stage: Stage) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) over what is trained; every group has its `peak` learning rate."""
    rates = {str(part): rate for part, rate in stage.learning_rates.items()}
    groups = parameter_groups(model, rates, stage.weight_decay)
    for group in groups:
        group["peak"] = group["lr"]
    return torch.optim.AdamW(groups, betas=stage.betas, eps=stage.epsilon)


def factor(stage: Stage, step: int, steps: int) -> float:
    """What the peak rates are multiplied with in a step: a linear rise, then the schedule down to `final`.

    Args:
        step: from 0.
        steps: of the whole stage.
    """
    warm_up = min(stage.warm_up_steps, steps)
    if step < warm_up:
        return (step + 1) / warm_up
    if stage.schedule == "constant":
        return 1.0
    done = (step - warm_up) / max(1, steps - warm_up)
    left = (1 + math.cos(math.pi * done)) / 2 if stage.schedule == "cosine" else 1 - done
    return stage.final + (1 - stage.final) * left


def set_rates(groups: Sequence[dict[str, Any]], scale: float) -> dict[str, float]:
    """Sets the learning rate of every group for a step, and returns it per part."""
    for group in groups:
        group["lr"] = group["peak"] * scale
    return {str(group["name"]).partition("/")[0]: group["lr"] for group in groups}


def optimiser_state(
    model: nn.Module, optimiser: torch.optim.Optimizer, *, keep: bool = True
) -> dict[str, Tensor]:
    """An optimiser's tensors by `parameter's name/what`, in main memory.

    Args:
        keep: False for processes that give their shares of a sharded model alone, and get nothing.
    """
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    tensors = (
        (f"{names[parameter]}/{what}", value)
        for parameter, values in optimiser.state.items()
        for what, value in values.items()
    )
    return gathered(tensors, keep=keep)


def load_optimiser(model: nn.Module, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Gives an optimiser the state that `optimiser_state` returned.

    Raises:
        RunError: the tensors are of other parameters.
    """
    stored: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, what = key.rpartition("/")
        stored.setdefault(name, {})[what] = value
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    # What never got a gradient, as an encoder's pooler, has no state.
    strange = sorted(set(stored) - set(trained))
    if strange:
        raise RunError(
            f"the optimiser's state does not belong to this model, which trains no {strange[0]} "
            f"(and {len(strange) - 1} more)"
        )
    for name, values in stored.items():
        parameter = trained[name]
        optimiser.state[parameter] = {
            # AdamW counts steps in main memory.
            what: value if value.ndim == 0 else shared_like(value, parameter)
            for what, value in values.items()
        }
