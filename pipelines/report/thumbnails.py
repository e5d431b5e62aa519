"""Small pictures for a page: decoded within the limits of the mix, without metadata, as WebP."""

from __future__ import annotations

import io
from base64 import b64encode

from pipelines.images import BadImage, check_image
from translation.picture_decoding import Undecodable, eight_bits, opened, upright

_STEPS = ((176, 72), (144, 60), (112, 48), (80, 36), (56, 30))
"""Longer side in pixels and quality of WebP: the first that is small enough is taken."""


def thumbnail(data: bytes, max_pixels: int, allowance: int) -> str | None:
    """A picture as a `data:` URL of at most `allowance` bytes of WebP, None if none is small enough.

    Raises:
        BadImage: it cannot be decoded, or has more than `max_pixels`.
    """
    check_image(data, max_pixels)
    try:
        with opened(data, max_pixels) as picture:
            picture.draft("RGB", (2 * _STEPS[0][0], 2 * _STEPS[0][0]))
            shown = eight_bits(upright(picture))
            # A palette or a mask may hold transparency.
            clear = "A" in shown.getbands() or "transparency" in shown.info
            shown = shown.convert("RGBA" if clear else "RGB")
    except Undecodable as error:
        raise BadImage(f"cannot be shown: {error.detail}") from error
    for side, quality in _STEPS:
        small = shown.copy()
        small.thumbnail((side, side))
        out = io.BytesIO()
        # Nothing of the original's metadata: it may say where a picture was taken.
        small.save(out, "WEBP", quality=quality, method=4, exif=b"", icc_profile=b"", xmp=b"")
        if out.tell() <= allowance:
            return "data:image/webp;base64," + b64encode(out.getvalue()).decode("ascii")
    return None
