"""What the reasons of rows say: the rule, whether filters decided, and which text a reason is of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from translation.filters import Policy
from translation.row import ACCEPT, PROMPT_PREFIX

FILTER_RULES = frozenset(name for name, _ in Policy().rules())
"""What a reason starts with if a filter gave it."""

JUDGED = ("words", PROMPT_PREFIX + "words")
"""Scores that every text has that the filters looked at; a row with neither has nothing translated."""


def short_reasons(reasons: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """The rules that reasons name, or what else was wrong: `lid`, `image`, `duplicate`, ...; null stays."""
    return pc.replace_substring_regex(reasons, r"(?s):.*", "")


def are_judged(reasons: pa.Array, scores: Mapping[str, NDArray[np.float32]]) -> NDArray[np.bool_]:
    """Whether the filters decide on each row, so that other bounds may change its verdict.

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


def keep_pictures(rows: pa.RecordBatch) -> NDArray[np.bool_]:
    """Whether a mix that embeds its pictures holds those of each row.

    Rows that filters rejected keep theirs in `rejected/`, so that `translate-mix refilter` can accept them.
    """
    scores = rows.column("scores")
    judged = are_judged(
        rows.column("reason"),
        {name: pc.struct_field(scores, name).to_numpy(zero_copy_only=False) for name in JUDGED},
    )
    accepted: NDArray[np.bool_] = pc.equal(rows.column("verdict"), ACCEPT).to_numpy(zero_copy_only=False)
    return accepted | judged


def text_reason(reason: str) -> tuple[str, bool]:
    """The reason of the text that a row was rejected for, and whether that is its prompt.

    The way back from `pipelines.rows.row_reason`.
    """
    text = reason.removesuffix(" (in the prompt)")
    return text, text != reason
