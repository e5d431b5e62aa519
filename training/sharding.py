"""Weights shared out among processes: each holds its share, and all of a layer while it computes that.

FSDP (Zhao et al. 2023) as torch's `fully_shard` does it. It shards parameter by parameter, so frozen weights
of 16 bits and trained ones of 32 lie side by side in a layer, and what is trained may change with the stage.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.modeling_layers import GradientCheckpointingLayer

from training.adapters import base_of


def shard(model: nn.Module, processes: int, device: torch.device, picture: tuple[int, int]) -> None:
    """Keeps of every weight the share of this process, on `device`; called by all, with the same weights.

    The units that are gathered to be computed are the layers of encoder, Q-Former and language model, the
    output head where it has weights of its own, and the rest. Gradients and an optimiser made from now on are
    shared out too.

    Args:
        model: a `VisionLanguageModel`, or a `PeftModel` around one; best in main memory, whatever the device.
        picture: height and width of pictures.
    """
    # torch tells of every checkpointed layer in every step that its output is a view.
    warnings.filterwarnings("once", message="FSDP2-wrapped module", category=UserWarning)
    mesh = init_device_mesh(device.type, (processes,))
    base = base_of(model)
    for unit in (*_layers(model), *_own_head(model), model):
        # The last of them too: else its weights stay gathered after a forward pass without a backward one.
        fully_shard(unit, mesh=mesh, reshard_after_forward=True)
    base.keep_in_step(*picture)


def is_sharded(model: nn.Module) -> bool:
    return isinstance(model, FSDPModule)


def _layers(model: nn.Module) -> Iterator[nn.Module]:
    """Layers that are not inside of another one."""
    for child in model.children():
        if isinstance(child, GradientCheckpointingLayer):
            yield child
        else:
            yield from _layers(child)


def _own_head(model: nn.Module) -> Iterator[nn.Module]:
    """The output head, but for one that has its weights in common with embeddings."""
    head = base_of(model).get_output_embeddings()
    if head is None:
        return
    shown = [one for _, one in model.named_parameters(remove_duplicate=False)]
    if all(sum(one is own for one in shown) == 1 for own in head.parameters()):
        yield head


def whole(tensor: Tensor) -> Tensor:
    """A tensor with the shares of all processes, each of which must call this; others as they are."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(tensors: Iterable[tuple[str, Tensor]], *, keep: bool) -> dict[str, Tensor]:
    """Copies of whole tensors in main memory, by name; called by all processes, in the same order.

    Args:
        keep: whether this process is one that gets them; one at a time is on the others.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in tensors:
        one = whole(tensor.detach())
        if keep:
            found[name] = one.cpu().clone()
    return found


def shared_like(value: Tensor, parameter: Tensor) -> Tensor:
    """A whole tensor that all processes have, shared out and placed as a parameter is."""
    placed = value.to(parameter.device)
    if not isinstance(parameter, DTensor):
        return placed
    return distribute_tensor(placed, parameter.device_mesh, parameter.placements, src_data_rank=None)
