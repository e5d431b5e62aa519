"""The schema of a mix's rows: the one place that the writer, the trainer and the viewers import it from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from translation.filters import SCORES

UNDETERMINED = "und"
"""`language` of a reject that could not be read far enough to be given one."""

ACCEPT, REJECT = "accept", "reject"

PROMPT_PREFIX = "prompt_"
"""Before the name of a score: it is of the translated prompt, not of the target."""

ROW_SCORES: tuple[str, ...] = (*SCORES, *(PROMPT_PREFIX + name for name in SCORES))
"""Fields of `scores`."""

ENGINE_FIELDS = ("engine", "model", "model_digest", "decoding", "identification", "code_version")
"""Fields of `provenance`."""

_STRING = pa.string()

PAIRED = "+"
"""Between the ids of two pictures, in the `image_id` of a row that shows both."""

TASKS = (
    *("caption", "matching", "vqa", "vqg", "reason", "instruct", "classify", "classify_yes_no"),
    *("statement", "entailment", "text"),
)
"""What `task` may be in a row that this project makes."""

IMAGE_COLUMNS = ("image", "second_image")
"""Pictures in Hugging Face's layout; the second one is that of statements about two pictures."""

ROW_FIELDS: tuple[pa.Field, ...] = (
    pa.field("id", _STRING, nullable=False),
    pa.field("dataset", _STRING, nullable=False),
    pa.field("task", _STRING, nullable=False),
    pa.field("template", _STRING),
    pa.field("image", pa.struct([pa.field("bytes", pa.binary()), pa.field("path", _STRING)])),
    pa.field("second_image", pa.struct([pa.field("bytes", pa.binary()), pa.field("path", _STRING)])),
    pa.field("image_id", _STRING),
    pa.field("split", _STRING),
    pa.field("prompt_language", _STRING),
    pa.field("question_language", _STRING),
    pa.field("language", _STRING, nullable=False),
    pa.field("prompt", _STRING),
    pa.field("target", _STRING),
    pa.field("source_prompt", _STRING),
    pa.field("source_target", _STRING),
    pa.field("back_translation", _STRING),
    pa.field("scores", pa.struct([pa.field(name, pa.float32()) for name in ROW_SCORES])),
    pa.field("verdict", _STRING, nullable=False),
    pa.field("reason", _STRING),
    pa.field("provenance", pa.struct([pa.field(name, _STRING) for name in ENGINE_FIELDS])),
)


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """How Hugging Face `datasets` spells an Arrow type in the schema's metadata."""
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    return {"dtype": "float32" if kind == pa.float32() else str(kind), "_type": "Value"}


def row_schema(decoded: bool = True) -> pa.Schema:
    """The Arrow schema, with the metadata by which `datasets` decodes `image`.

    Args:
        decoded: False leaves pictures as they are, bytes and path, for a mix whose rows only name them.
    """
    image = {"_type": "Image"} if decoded else {"decode": False, "_type": "Image"}
    features: Mapping[str, Any] = {
        field.name: image if field.name in IMAGE_COLUMNS else _feature(field.type) for field in ROW_FIELDS
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(ROW_FIELDS, metadata=metadata)
