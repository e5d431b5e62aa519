"""Pictures as files, for all tests."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """What `picture.save` writes.

    Args:
        kind: Pillow's name of the format.
    """
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()
