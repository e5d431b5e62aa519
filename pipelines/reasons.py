"""Reasons of stored rows: by column what `pipelines.rows` says of one row, and which text a reason is of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.rows import FILTER_RULES, JUDGED


def short_reasons(reasons: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """`pipelines.rows.short_reason` of every reason; null stays null."""
    return pc.replace_substring_regex(reasons, r"(?s):.*", "")


def are_judged(reasons: pa.Array, scores: Mapping[str, NDArray[np.float32]]) -> NDArray[np.bool_]:
    """`pipelines.rows.is_judged` of every row.

    Args:
        scores: by name, NaN where a row has none; those that no row has may be missing.
    """
    scored = np.zeros(len(reasons), np.bool_)
    for name in JUDGED:
        if name in scores:
            scored |= ~np.isnan(scores[name])
    if not scored.any():
        return scored
    ours = pc.is_in(short_reasons(reasons), pa.array(sorted(FILTER_RULES)))
    judged: NDArray[np.bool_] = scored & pc.or_(reasons.is_null(), ours).to_numpy(zero_copy_only=False)
    return judged


def text_reason(reason: str) -> tuple[str, bool]:
    """The reason of the text that a row was rejected for, and whether that is its prompt.

    The way back from `pipelines.rows.row_reason`.
    """
    text = reason.removesuffix(" (in the prompt)")
    return text, text != reason
