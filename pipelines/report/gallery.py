"""The pictures of samples, wherever a mix has them: in its rows, in files of their own, where they were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from pipelines.images import REFERENCE, BadImage, image_bytes, picture_name
from pipelines.manifest import Manifest
from pipelines.report.samples import find_shared
from pipelines.report.thumbnails import thumbnail

ALL_BYTES = 9_000_000
"""Of all pictures of a report together; as text of a page they are a third longer."""
MOST_BYTES = 12_000
"""Of one picture."""

_DOWNLOAD = "#url="


class Gallery:
    """Makes small pictures of those of a mix, none larger than its share of `ALL_BYTES`."""

    def __init__(self, directory: str, manifest: Manifest, max_pixels: int, pictures: int) -> None:
        """
        Args:
            max_pixels: of a picture that is decoded.
            pictures: how many there may be.
        """
        self._directory = directory
        self._files = [file.path for file in manifest.images]
        self._elsewhere = manifest.recipe.get("images") == REFERENCE
        self._max_pixels = max_pixels
        self._allowance = min(MOST_BYTES, ALL_BYTES // max(pictures, 1))
        self._found: dict[str, tuple[str | None, str]] = {}
        self.left_out = 0
        """Pictures that were too large for their share."""

    @property
    def shared(self) -> bool:
        """Whether the pictures are in files of their own, and must be looked up together."""
        return bool(self._files)

    def look_up(self, pictures: Iterable[Mapping[str, Any]]) -> None:
        """Finds the pictures that some rows name, for a mix whose pictures are shared.

        Raises:
            DamagedMix: a file of the mix cannot be read.
        """
        names = frozenset(one["path"] for one in pictures if one["bytes"] is None and one["path"])
        for name, data in find_shared(self._directory, self._files, names):
            self._found[name] = self._small(data)

    def show(self, picture: Mapping[str, Any]) -> tuple[str | None, str]:
        """A picture's `bytes` and `path` -> its `data:` URL, or None and why it is not shown."""
        data, path = picture["bytes"], picture["path"] or ""
        if data is not None:
            return self._small(data)
        if path in self._found:
            return self._found[path]
        if self._elsewhere and path and _DOWNLOAD not in path:
            try:
                return self._small(image_bytes(path))
            except (BadImage, OSError, pa.ArrowException, KeyError) as error:
                # The last two: where a Parquet file of the source was, there is another one by now, or none.
                return None, f"picture not found: {error}"
        return None, f"picture not in the mix: {picture_name(path)}" if path else "picture not in the mix"

    def _small(self, data: bytes) -> tuple[str | None, str]:
        try:
            url = thumbnail(data, self._max_pixels, self._allowance)
        except BadImage as error:
            return None, f"picture: {error}"
        if url is None:
            self.left_out += 1
            return None, "picture left out for the size of the report"
        return url, ""
