"""The Parquet files of a mix as its manifest names them, and the columns that they have."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pyarrow as pa

from pipelines.images import SHARED
from translation.row import row_schema


@dataclass(frozen=True)
class ShardFile:
    """One finished Parquet file."""

    path: str
    """Relative to the mix."""
    rows: int
    sha256: str
    size: int
    language: str
    split: str
    accepted: bool


@dataclass(frozen=True)
class ImageFile:
    """One finished file of pictures."""

    path: str
    """Relative to the mix."""
    rows: int
    sha256: str
    size: int


_FEATURES = {"image_id": {"dtype": "string", "_type": "Value"}, "image": {"_type": "Image"}}

IMAGE_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("image", pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)
"""Of the files: `image_id` is what rows have as `image.path`."""


def schema_of(images: str) -> pa.Schema:
    """Of the rows of a mix; `datasets` cannot decode pictures that they only name."""
    return row_schema(decoded=images != SHARED)
