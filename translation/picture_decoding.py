"""Encoded pictures, opened within limits, and what all who look at them see in the same way."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""Pillow's names of the formats that are opened, those that a mix may hold; its other decoders never see the
data."""

BROKEN = "broken"
"""`reason` of what cannot be decoded although its format and size are right."""


MAX_SCANS = 100
"""Of a JPEG. Progressive ones have about ten; each passes over the whole picture, whatever it adds."""

_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
"""What begins a part of a JPEG; within a scan these are the bytes that no data has."""
_SCAN, _END = b"\xda", b"\xd9"


class Undecodable(ValueError):
    """A picture that cannot be decoded, or is too large to be."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail
        """A word or two to count by, and what was found."""


_PILLOWS = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
"""The filter that passes over the warnings of Pillow's modules."""


def _without_warnings() -> None:
    """Pillow warns of many pixels, for which the limit here is our own, and of odd EXIF, which is ignored.

    The filter stays: to take it back would, with several threads, bring back that of another one.
    """
    if _PILLOWS not in warnings.filters:
        warnings.filterwarnings("ignore", module=_PILLOWS[3].pattern)


@contextmanager
def opened(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """A picture whose header says that it is small enough, to be decoded in the block.

    Raises:
        Undecodable: unknown format, more than `max_pixels`, or whatever fails in the block.
    """
    _without_warnings()
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height <= max_pixels:
                if picture.format == "JPEG":
                    _refuse_many_scans(data)
                yield picture
                return
    except (MemoryError, Undecodable):
        raise
    except UnidentifiedImageError as error:
        detail = f"{len(data):,} bytes starting {data[:8].hex(' ')}; known: {', '.join(FORMATS)}"
        raise Undecodable("unknown format", detail) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Undecodable("too many pixels", f"{error}, at most {max_pixels:,}") from error
    except Exception as error:
        # Pillow's decoders raise nearly anything on broken data: OSError, SyntaxError, struct.error, ...
        raise Undecodable(BROKEN, f"{type(error).__name__}: {error}") from error
    found = f"{width} x {height} = {width * height:,}"
    raise Undecodable("too many pixels", f"{found}, at most {max_pixels:,}")


def _refuse_many_scans(data: bytes) -> None:
    scans, position = 0, 2
    while (found := _MARKER.search(data, position)) is not None and found[1] != _END:
        scans += found[1] == _SCAN
        if scans > MAX_SCANS:
            raise Undecodable(BROKEN, f"more than {MAX_SCANS} scans")
        # What it says of itself, which may hold anything: a small picture, say.
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2])


def upright(picture: Image.Image) -> Image.Image:
    """A picture turned as its EXIF says; the same one where that says nothing, or cannot be read."""
    if picture.getexif().get(Base.Orientation, 1) == 1:
        return picture
    # Pillow would write the EXIF anew, which fails where another tag of it is broken.
    for metadata in ("exif", "Raw profile type exif"):
        picture.info.pop(metadata, None)
    turned: Image.Image = ImageOps.exif_transpose(picture)
    return turned


def eight_bits(picture: Image.Image) -> Image.Image:
    """A picture of 16 bits with its upper 8, where Pillow's conversion cuts all above 255; others stay."""
    if picture.mode.startswith("I") or picture.mode == "F":
        levels = np.asarray(picture, dtype=np.float32) / 257
        return Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    return picture


def over_white(picture: Image.Image) -> Image.Image:
    """A picture whose transparent parts are white; the same one where it has none."""
    if not picture.has_transparency_data:
        return picture
    shown = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", shown.size, (255, 255, 255, 255)), shown)
