"""What a training of the small model leaves on disk to go on from: one safetensors file, whole or not at all;
and snapshots of the weights, the last of which are averaged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from translation.disk import whole_or_absent

STATE = "state.safetensors"
SNAPSHOTS = "snapshots"


@dataclass
class Progress:
    """Where a training stands."""

    settings: str
    """Digest of what must not change when it goes on."""
    step: int = 0
    round: int = 0
    done: int = 0
    """Batches of the round that are done."""
    fall: int | None = None
    """Step at which the learning rate began to fall for good; None before."""
    best: float = float("-inf")
    """Highest held-out chrF of averaged weights."""
    best_step: int = 0
    seconds: float = 0.0
    tokens: int = 0
    """Target tokens, without padding."""


def save_state(
    folder: Path,
    model: torch.nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    progress: Progress,
) -> None:
    """Writes weights, what the optimisers remember, the random state and the place, in one file."""
    tensors: dict[str, torch.Tensor] = {f"model/{name}": value for name, value in model.named_parameters()}
    for number, optimizer in enumerate(optimizers):
        for key, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimizer/{number}/{key}/{name}"] = torch.as_tensor(value)
    tensors["random"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random_cuda"] = torch.cuda.get_rng_state()
    _write(folder / STATE, tensors, {"progress": json.dumps(asdict(progress))})


def load_state(
    folder: Path,
    model: torch.nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    settings: str,
) -> Progress:
    """Puts all back as `save_state` found it; a new `Progress` where there is no file.

    Raises:
        ValueError: the training began with other settings or data.
    """
    path = folder / STATE
    if not path.exists():
        return Progress(settings)
    with safe_open(path, "pt") as file:
        progress = Progress(**json.loads(file.metadata()["progress"]))
    if progress.settings != settings:
        raise ValueError(
            f"{path}: began with other settings or data ({progress.settings[:12]}, now {settings[:12]}); "
            "see settings.json beside it, or name another --output"
        )
    tensors = load_file(path)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(tensors[f"model/{name}"])
    for number, optimizer in enumerate(optimizers):
        described = optimizer.state_dict()
        states: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith(f"optimizer/{number}/"):
                _, _, parameter, name = key.split("/")
                states.setdefault(int(parameter), {})[name] = tensor
        described["state"] = states
        optimizer.load_state_dict(described)
    torch.set_rng_state(tensors["random"])
    if "random_cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random_cuda"])
    return progress


def save_snapshot(folder: Path, model: torch.nn.Module, step: int, keep: int) -> None:
    """Keeps the weights of this step and of the last others, `keep` in all."""
    snapshots = folder / SNAPSHOTS
    snapshots.mkdir(exist_ok=True)
    _write(snapshots / f"{step:08}.safetensors", dict(model.named_parameters()), {})
    for path in sorted(snapshots.glob("*.safetensors"))[:-keep]:
        path.unlink()


def drop_snapshots_after(folder: Path, step: int) -> None:
    """Removes the snapshots that a training which goes on from `step` makes again."""
    for path in (folder / SNAPSHOTS).glob("*.safetensors"):
        if int(path.stem) > step:
            path.unlink()


def averaged(folder: Path, keep: int) -> dict[str, torch.Tensor]:
    """Mean of the last `keep` snapshots' weights, or of as many as there are.

    Raises:
        ValueError: there is none.
    """
    paths = sorted((folder / SNAPSHOTS).glob("*.safetensors"))[-keep:]
    if not paths:
        raise ValueError(f"{folder / SNAPSHOTS}: no snapshot to average")
    sums = {name: value.double() for name, value in load_file(paths[0]).items()}
    for path in paths[1:]:
        for name, value in load_file(path).items():
            sums[name] += value
    return {name: (value / len(paths)).float() for name, value in sums.items()}


def _write(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with whole_or_absent(path) as temporary:
        save_file(plain, temporary, metadata)
