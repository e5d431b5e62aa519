"""How pictures become a model's input: what preprocessor_config.json says, read and written."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.pictures import BLIP2_MEAN, BLIP2_STD, PictureSettings, normalised

FILE = "preprocessor_config.json"
PROCESSOR_FILE = "processor_config.json"
BICUBIC = 3
"""Pillow's number."""

Triple = tuple[float, float, float]


class PreprocessingError(ValueError):
    """A preprocessor_config.json that cannot be used; the message names the file and the key."""


@dataclass(frozen=True)
class Preprocessing:
    """Size and normalisation of a model's pictures."""

    pictures: PictureSettings = field(default_factory=PictureSettings)
    mean: Triple = BLIP2_MEAN
    std: Triple = BLIP2_STD

    def normalise(self, pixel_values: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """uint8 pixels (pictures, 3, height, width) as the model's floats."""
        return normalised(pixel_values, self.mean, self.std, dtype)


def read_preprocessing(folder: Path, size: tuple[int, int] | None = None) -> Preprocessing:
    """What the files of a checkpoint or encoder say; what they do not is as in BLIP-2.

    Args:
        size: height and width, where the model leaves no choice.

    Raises:
        PreprocessingError: a file is damaged, or a value is of the wrong kind or not supported.
    """
    path, values = _stored(folder)
    height, width = size or _size(path, values)
    _check_switches(path, values)
    mean = _triple(path, values, "image_mean", BLIP2_MEAN)
    std = _triple(path, values, "image_std", BLIP2_STD)
    if values.get("do_normalize", True) is False:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    pictures = PictureSettings(height=height, width=width)
    if mean != BLIP2_MEAN:
        # Margins are what normalisation turns into zeros.
        pictures = replace(
            pictures, margin=(round(mean[0] * 255), round(mean[1] * 255), round(mean[2] * 255))
        )
    return Preprocessing(pictures, mean, std)


def _stored(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The image processor's values, wherever this checkpoint has them."""
    for name in (FILE, PROCESSOR_FILE):
        path = folder / name
        if not path.is_file():
            continue
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise PreprocessingError(f"{path}: damaged: {error}") from error
        if name == PROCESSOR_FILE:
            values = values.get("image_processor") or {}
        if values:
            return path, values
    return folder / FILE, {}


def _check_switches(path: Path, values: dict[str, Any]) -> None:
    """Refuses what would give the encoder other pixels than it knows."""
    if values.get("do_flip_channel_order"):
        raise PreprocessingError(f"{path}: do_flip_channel_order: blue before red is not supported")
    if values.get("do_rescale", True) is False:
        raise PreprocessingError(f"{path}: do_rescale: pixels from 0 to 255 are not supported")
    factor = values.get("rescale_factor") or 1 / 255
    if not isinstance(factor, int | float) or not math.isclose(factor, 1 / 255, rel_tol=1e-3):
        raise PreprocessingError(f"{path}: rescale_factor: {factor!r}, where only 1/255 is supported")


def _size(path: Path, values: dict[str, Any]) -> tuple[int, int]:
    """What pictures have after all resizing and cropping."""
    size = values.get("size", 224)
    if values.get("do_center_crop"):
        size = values.get("crop_size", size)
    if isinstance(size, dict):
        size = (size["height"], size["width"]) if "height" in size else size.get("shortest_edge")
    if isinstance(size, int):
        size = (size, size)
    if not isinstance(size, tuple) or not all(isinstance(side, int) and side > 0 for side in size):
        raise PreprocessingError(f"{path}: size: {values.get('size')!r} says no height and width")
    return size[0], size[1]


def _triple(path: Path, values: dict[str, Any], name: str, default: Triple) -> Triple:
    found = values.get(name, default)
    try:
        red, green, blue = (float(value) for value in found)
    except (TypeError, ValueError) as error:
        raise PreprocessingError(f"{path}: {name}: {found!r} is no list of three numbers") from error
    return red, green, blue


def write_preprocessing(folder: Path, preprocessing: Preprocessing, queries: int | None) -> None:
    """Writes what transformers' `BlipImageProcessor` and, with `queries`, `Blip2Processor` read.

    Args:
        queries: visual tokens of a BLIP-2 model; None for others.
    """
    pictures = preprocessing.pictures
    values: dict[str, Any] = {
        "image_processor_type": "BlipImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": pictures.height, "width": pictures.width},
        "resample": BICUBIC,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
    }
    processor: dict[str, Any] = {}
    if queries is not None:
        values["processor_class"] = "Blip2Processor"
        processor = {"processor_class": "Blip2Processor", "num_query_tokens": queries}
    (folder / FILE).write_text(json.dumps(values, indent=2), encoding="utf-8")
    if processor:
        (folder / PROCESSOR_FILE).write_text(json.dumps(processor, indent=2), encoding="utf-8")
