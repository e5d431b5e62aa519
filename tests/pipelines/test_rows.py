"""Rows: which of two reasons a row is rejected for."""

from __future__ import annotations

import pytest

from pipelines.rows import row_reason

LENGTH = "length_ratio: 3.2 times as long as expected, at most 2 wanted"
"""As a filter writes it; see `test_reasons_are_those_of_filters`."""
ANSWER = "answers: `accepted` is 0 in the answer table"


def test_reasons_are_those_of_filters() -> None:
    from translation.filters.verdicts import parse_reason

    assert parse_reason(LENGTH) is not None
    assert parse_reason(ANSWER) is None


@pytest.mark.parametrize(
    ("target", "prompt", "reason"),
    [
        (None, None, None),
        (LENGTH, None, LENGTH),
        (None, LENGTH, f"{LENGTH} (in the prompt)"),
        (LENGTH, LENGTH, LENGTH),
        # `refilter` may take the filter's back, and must know that the other stays.
        (LENGTH, ANSWER, f"{ANSWER} (in the prompt)"),
        (ANSWER, LENGTH, ANSWER),
        (ANSWER, ANSWER, ANSWER),
    ],
)
def test_what_no_filter_found_comes_first(target: str | None, prompt: str | None, reason: str | None) -> None:
    assert row_reason(target, prompt) == reason
