"""How much of a device's arithmetic a run uses: model FLOPs per step, and what devices can do."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import gather_object
from torch.utils.flop_counter import FlopCounterMode

from training.batches import Batch
from training.loading_report import LoadingReport
from training.parameters import size_of
from training.sequences import Expanded
from training.vision import features_of

PEAK_TERAFLOPS: Mapping[str, float] = {
    "H100 PCIe": 756.0,
    "H100 NVL": 835.0,
    "H100": 989.4,
    "H200": 989.4,
    "A100": 312.0,
    "L40S": 362.0,
    "L40": 181.0,
    "L4": 121.0,
    "A10G": 70.0,
    "A10": 125.0,
    "A6000": 154.8,
    "RTX 4090": 165.2,
    "RTX 3090": 71.0,
    "B200": 2250.0,
}
"""Dense 16-bit matrix products with float32 sums, from NVIDIA's data sheets; the first name whose words a
device's name holds."""


@dataclass(frozen=True)
class Work:
    """Positions that parts of the model compute in a step."""

    encoder: int
    """Of the LLM's encoder, or of a decoder-only LLM, with visual ones, without padding."""
    decoder: int
    """Of an encoder-decoder's decoder; of a decoder-only model's output head."""
    pictures: int


@dataclass(frozen=True)
class Costs:
    """FLOPs per position, of the parts of a model; attention scores of the LLM are not counted."""

    vision: float
    """Of one picture, forward and what is computed backward."""
    connector: float
    encoder: float
    decoder: float

    def flops(self, work: Work) -> float:
        """Of forward and backward, without what gradient checkpointing computes again.

        That is what MFU counts (Chowdhery et al. 2022, PaLM).
        """
        return (
            work.pictures * (self.vision + self.connector)
            + work.encoder * self.encoder
            + work.decoder * self.decoder
        )


def peak_flops(device: torch.device) -> float | None:
    """FLOPs a second of a GPU in 16 bits; None where that is not known."""
    if device.type != "cuda":
        return None
    return peak_of(torch.cuda.get_device_name(device))


def peak_of(name: str) -> float | None:
    """FLOPs a second of a GPU of this name, or None."""
    return next(
        (peak * 1e12 for known, peak in PEAK_TERAFLOPS.items() if re.search(rf"\b{known}\b", name)), None
    )


def _counted(call: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def picture_flops(model: Any, size: tuple[int, int]) -> tuple[int, int]:
    """What encoder and connector compute for one picture without training, as torch counts it.

    Args:
        model: a `VisionLanguageModel` without wrappers; it is run on one black picture.
        size: height and width of pictures.
    """
    parameter = next(p for p in model.vision_model.parameters() if p.is_floating_point())
    picture = torch.zeros(1, 3, *size, device=parameter.device, dtype=parameter.dtype)
    training = model.training
    # torch's counter follows gradients, which there are none of here.
    wanted = [one for one in model.parameters() if one.requires_grad]
    model.eval().requires_grad_(False)
    vision = _counted(lambda: features_of(model.vision_model, picture, model.config.features))
    connector = _counted(lambda: model.image_features(picture)) - vision
    for one in wanted:
        one.requires_grad_(True)
    model.train(training)
    return vision, connector


def costs_of(model: Any, pictures: tuple[int, int], trained: Set[str]) -> Costs:
    """What a model computes per position: for a picture as it was counted, in the LLM by its weights.

    Args:
        model: a `VisionLanguageModel` without wrappers.
        pictures: see `picture_flops`.
        trained: parts that are trained: gradients of the LLM's inputs are computed if anything before it is,
            those of weights where they are.
    """
    vision, connector = pictures
    before = bool(trained & {"vision", "qformer", "projection"})
    llm = model.language_model
    head = llm.get_output_embeddings()
    head_weights = size_of(head.weight) if head is not None else 0
    embedded = {id(llm.get_input_embeddings().weight)} | ({id(head.weight)} if head is not None else set())
    weights = {name: size_of(one) for name, one in llm.named_parameters() if id(one) not in embedded}
    decoder = sum(count for name, count in weights.items() if "decoder." in name)
    encoder = sum(weights.values()) - decoder
    if not llm.config.is_encoder_decoder:
        encoder, decoder = encoder + decoder, 0
    backward = (1 if before or trained & {"lora", "llm"} else 0) + (1 if "llm" in trained else 0)
    factor = 2 * (1 + backward)
    return Costs(
        vision=vision * (3 if "vision" in trained else 1),
        connector=connector * (3 if before else 1),
        encoder=encoder * factor,
        decoder=(decoder + head_weights) * factor,
    )


class Throughput:
    """Counts what is computed between two lines of figures, on all processes."""

    def __init__(
        self,
        model: Any,
        pictures: tuple[int, int] | None,
        trained: Set[str],
        device: torch.device,
        report: LoadingReport,
        peak: float | None,
    ) -> None:
        """
        Args:
            model: a `VisionLanguageModel` without wrappers.
            pictures: see `picture_flops`; None without `peak`.
            trained: its parts that are trained.
            report: of this process's loader, as it stands now.
            peak: FLOPs a second of the device in the precision of the run; None where that is not known.
        """
        self._device = device
        self._costs = costs_of(model, pictures, trained) if pictures is not None else None
        self._peak = peak or math.nan
        self.seconds = 0.0
        """Of steps."""
        self._examples = self._tokens = 0
        self._work = Work(0, 0, 0)
        self._waited = report.waited
        self.note = ""
        """For the progress bar."""

    def add(self, batch: Batch, sequences: Expanded) -> None:
        """Counts a batch, while it is in main memory."""
        targets = sum(batch.target_counts)
        places = int(sequences.attention_mask.sum())
        self._examples += len(batch)
        self._tokens += places + (0 if batch.joined else targets)
        self._work = Work(
            self._work.encoder + places,
            self._work.decoder + targets,
            self._work.pictures + len(batch.pixel_values),
        )

    def gathered(self, report: LoadingReport) -> dict[str, float | None]:
        """Figures since the last line, of all processes together; to be called on each.

        Args:
            report: of this process's loader.
        """
        mine = {
            "examples": self._examples,
            "tokens": self._tokens,
            "flops": self._costs.flops(self._work) if self._costs is not None else math.nan,
            "waited": report.waited - self._waited,
            "seconds": self.seconds,
        }
        self._waited = report.waited
        every = gather_object([mine])
        total = {name: sum(one[name] for one in every) for name in mine}
        seconds = max(self.seconds, 1e-9)
        figures: dict[str, float | None] = {
            "examples_per_second": total["examples"] / seconds,
            "tokens_per_second": total["tokens"] / seconds,
            "data_wait_share": total["waited"] / max(total["seconds"], 1e-9),
        }
        if self._costs is not None:
            figures["mfu"] = total["flops"] / seconds / (self._peak * len(every))
        if self._device.type == "cuda":
            figures["gpu_memory_gib"] = torch.cuda.max_memory_allocated(self._device) / 2**30
        self.seconds, self._examples, self._tokens, self._work = 0.0, 0, 0, Work(0, 0, 0)
        return figures
