"""Encoded pictures -> uint8 pixels of one size, as the model's normalisation expects them.

Everything that cannot be decoded within limits is a `BadPicture` with a reason; no picture is made up.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from translation.picture_decoding import Undecodable, eight_bits, opened, over_white, upright

MAX_BYTES = 100 * 2**20
MAX_PIXELS = 40_000_000
"""What a recipe's `max_image_pixels` is by default."""
MOST_PIXELS = 178_956_970
"""Pillow itself decodes no more."""

BLIP2_MEAN = (0.48145466, 0.4578275, 0.40821073)
BLIP2_STD = (0.26862954, 0.26130258, 0.27577711)
"""CLIP's, which BLIP-2's checkpoints were trained with (Radford et al. 2021; `BlipImageProcessor`)."""

Fit = Literal["squash", "pad"]


class BadPicture(ValueError):
    """A picture that is left out."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail
        """A word or two to count by, and what was found."""


# Of pixels that are only read; torch says so once, in whichever thread is the first.
warnings.filterwarnings("ignore", "The given NumPy array is not writable")


@dataclass(frozen=True)
class PictureSettings:
    """The size of the model's pictures, how others are brought to it, and what is too large to decode."""

    height: int = 224
    width: int = 224
    fit: Fit = "squash"
    """`squash` changes the proportions, as BLIP-2 and mBLIP do; `pad` keeps them and adds margins."""
    margin: tuple[int, int, int] = (122, 117, 104)
    """Colour of `pad`'s margins: CLIP's mean, which normalisation turns into zeros."""
    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        for name in ("height", "width", "max_pixels", "max_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)!r} must be at least 1")
        if self.fit not in ("squash", "pad"):
            raise ValueError(f"fit: {self.fit!r} is neither squash nor pad")


def decode(data: bytes, settings: PictureSettings) -> Tensor:
    """A picture as it is meant to be seen: (height, width, 3), RGB, uint8, not to be written to.

    Turned as its EXIF says; of an animation the first frame; transparent parts over white; 16-bit grey
    from 0 to 65,535 as from 0 to 255; CMYK by Pillow's plain formula, without colour profiles.

    Raises:
        BadPicture: too large, of another format, broken or truncated.
    """
    if len(data) > settings.max_bytes:
        raise BadPicture("too large", f"{len(data):,} bytes, at most {settings.max_bytes:,}")
    try:
        with opened(data, settings.max_pixels) as picture:
            # Read only, and only read: `array` would copy once more.
            return torch.from_numpy(np.asarray(_as_rgb(picture)))
    except Undecodable as error:
        raise BadPicture(error.reason, error.detail) from error


def _as_rgb(picture: Image.Image) -> Image.Image:
    """Decodes, turns, and converts."""
    picture.load()
    picture = eight_bits(upright(picture))
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    return over_white(picture).convert("RGB")


def resize(pixels: Tensor, height: int, width: int) -> Tensor:
    """Bicubic, with antialiasing, as Pillow's `resize(..., BICUBIC)` to within 2 of 255.

    Args:
        pixels: (height, width, 3), uint8.
    """
    if tuple(pixels.shape[:2]) == (height, width):
        return pixels
    # On uint8 in this layout it is the algorithm of Pillow, with vector instructions: 7 times as fast.
    planes = pixels.permute(2, 0, 1)[None]
    return interpolate(planes, (height, width), mode="bicubic", antialias=True)[0].permute(1, 2, 0)


def fitted(pixels: Tensor, settings: PictureSettings) -> Tensor:
    """A decoded picture at the size that the settings say: (height, width, 3), uint8."""
    if settings.fit == "squash":
        return resize(pixels, settings.height, settings.width)
    height, width = pixels.shape[:2]
    scale = min(settings.height / height, settings.width / width)
    inner_height = max(1, min(settings.height, round(height * scale)))
    inner_width = max(1, min(settings.width, round(width * scale)))
    top, left = (settings.height - inner_height) // 2, (settings.width - inner_width) // 2
    canvas = torch.tensor(settings.margin, dtype=torch.uint8).repeat(settings.height, settings.width, 1)
    canvas[top : top + inner_height, left : left + inner_width] = resize(pixels, inner_height, inner_width)
    return canvas


def pixels_of(data: bytes, settings: PictureSettings) -> Tensor:
    """An encoded picture as (height, width, 3), uint8; raises `BadPicture`."""
    return fitted(decode(data, settings), settings)


def normalised(
    pixel_values: Tensor,
    mean: tuple[float, ...] = BLIP2_MEAN,
    std: tuple[float, ...] = BLIP2_STD,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """uint8 pixels (..., 3, height, width) as the model's floats: scaled to [0, 1], less mean, over std."""
    centre, spread = _constants(mean, std, pixel_values.device)
    return ((pixel_values.float() / 255 - centre) / spread).to(dtype)


@lru_cache
def _constants(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """(3, 1, 1) each; made once, since bringing them to a GPU waits for it."""
    centre, spread = torch.tensor(mean, device=device), torch.tensor(std, device=device)
    return centre.view(3, 1, 1), spread.view(3, 1, 1)
