"""What the reasons of stored rows say."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.reasons import FILTER_RULES, JUDGED, are_judged, short_reasons, text_reason
from pipelines.rows import row_reason

REASONS = st.sampled_from(
    [
        *sorted(FILTER_RULES),
        "lid: 0.1 for the language against others, at least 0.5 wanted",
        "copy: 1 of the source is copied, at most 0.4 wanted (in the prompt)",
        "image: apple.png: no such file",
        "source: line 3\nis no JSON: {",
        "lidd: ",
        "",
        ":",
    ]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCORES = st.dictionaries(st.sampled_from([*JUDGED, "lid"]), st.none() | st.floats(0, 1, width=32), max_size=3)


@given(st.lists(st.tuples(st.none() | REASONS, SCORES), max_size=6))
def test_filters_decide_on_rows_with_scores_and_no_other_fault(
    rows: list[tuple[str | None, dict[str, float | None]]],
) -> None:
    reasons = pa.array([reason for reason, _ in rows], pa.string())
    names = {name for _, scores in rows for name in scores}
    columns = {name: np.array([scores.get(name) for _, scores in rows], np.float32) for name in names}
    assert short_reasons(reasons).to_pylist() == [
        None if reason is None else reason.split(":", 1)[0] for reason, _ in rows
    ]
    assert are_judged(reasons, columns).tolist() == [
        any(scores.get(name) is not None for name in JUDGED)
        and (reason is None or reason.split(":", 1)[0] in FILTER_RULES)
        for reason, scores in rows
    ]


def test_rows_that_nothing_scored_are_not_judged() -> None:
    reasons = pa.array([None, "lid: 0.1"], pa.string())
    assert are_judged(reasons, {}).tolist() == [False, False]
    assert are_judged(reasons, {"words": np.array([np.nan, 2.0], np.float32)}).tolist() == [False, True]


def test_short_reasons_of_a_file_come_in_chunks() -> None:
    chunks = pa.chunked_array([pa.array(["lid: 0.1", None]), pa.array(["image: gone"])])
    assert short_reasons(chunks).to_pylist() == ["lid", None, "image"]


def test_the_text_of_a_reason() -> None:
    reason = "lid: 0.1 for the language against others, at least 0.5 wanted"
    for target, prompt in ((reason, None), (reason, reason), (None, reason)):
        row = row_reason(target, prompt)
        assert row is not None
        assert text_reason(row) == (reason, target is None)
