"""A verdict follows from stored scores and thresholds alone."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from translation.filters import NO_SCORES, SCORES, AtLeast, AtMost, Between, Policy, Scores, verdict

BAD = {
    "empty": 1,
    "unknown": 1,
    "cut_off": 1,
    "script": 0.2,
    "copy": 0.9,
    "english": 0.9,
    "lid": 0.1,
    "confusable": 0.1,
    "repetition": 0.8,
    "length_ratio": 4,
    "sentences": 0.3,
    "numbers": 0,
    "placeholders": 0.5,
    "round_trip_exact": 0,
    "round_trip_chrf": 12.5,
}
"""For each rule that is on by default a value that breaks it."""


def _changed(rule: str, value: AtMost | AtLeast | Between) -> Policy:
    changes: dict[str, Any] = {rule: value}
    return replace(Policy(), **changes)


def test_without_scores_nothing_is_wrong() -> None:
    assert verdict(NO_SCORES, Policy()) == verdict({**NO_SCORES, "lid": 1.0}, Policy())
    assert verdict(NO_SCORES, Policy()).accepted


@pytest.mark.parametrize("rule", BAD)
def test_each_rule_rejects_and_its_name_starts_the_reason(rule: str) -> None:
    made = verdict({**NO_SCORES, rule: BAD[rule]}, Policy())
    assert not made.accepted
    assert made.reason is not None
    assert made.reason.startswith(f"{rule}: ")
    assert made.reason.endswith(" wanted")


def test_every_rule_is_tried_here() -> None:
    on = [rule.name for rule in fields(Policy) if getattr(Policy(), rule.name) != AtLeast(None)]
    assert on == list(BAD)


def test_the_reason_holds_both_numbers() -> None:
    made = verdict({**NO_SCORES, "script": 0.2}, replace(Policy(), script=AtLeast(0.6)))
    assert made.reason == "script: 0.2 of the letters are in the script of the language, at least 0.6 wanted"


def test_the_first_broken_rule_gives_the_reason() -> None:
    made = verdict({**NO_SCORES, "numbers": 0.0, "script": 0.0}, Policy())
    assert made.reason is not None
    assert made.reason.startswith("script:")


@pytest.mark.parametrize("rule", BAD)
def test_a_rule_without_threshold_is_off(rule: str) -> None:
    current = getattr(Policy(), rule)
    off = Between(None, None) if isinstance(current, Between) else type(current)(None)
    assert verdict({**NO_SCORES, rule: BAD[rule]}, _changed(rule, off)).accepted


def test_model_score_is_ruled_by_choice_only() -> None:
    scores: Scores = {**NO_SCORES, "model_score": -9.0}
    assert verdict(scores, Policy()).accepted
    made = verdict(scores, Policy(model_score=AtLeast(-2)))
    assert made.reason == "model_score: -9 log-probability per token, at least -2 wanted"


@pytest.mark.parametrize(
    ("rule", "value", "accepted"),
    [
        (AtMost(0.7), 0.7, True),
        (AtMost(0.7), 0.7001, False),
        (AtLeast(0.7), 0.7, True),
        (AtLeast(0.7), 0.6999, False),
        (Between(0.5, 2), 2.1, False),
        (Between(0.5, 2), 0.4, False),
        (Between(0.5, None), 9, True),
    ],
)
def test_a_value_on_the_threshold_passes(
    rule: AtMost | AtLeast | Between, value: float, accepted: bool
) -> None:
    name = {AtMost: "copy", AtLeast: "lid", Between: "length_ratio"}[type(rule)]
    assert verdict({**NO_SCORES, name: value}, _changed(name, rule)).accepted == accepted


def test_parquet_changes_no_verdict(tmp_path: Path) -> None:
    schema = pa.schema([pa.field(name, pa.float32()) for name in SCORES])
    rows: list[Scores] = [
        {**NO_SCORES, name: value} for name in BAD for value in (0.1, 0.3, 0.5, 0.7, 1.0, 2.2, 30.0)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "scores.parquet")
    stored = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    policies = [Policy(), Policy(lid=AtLeast(0.7), copy=AtMost(0.1), length_ratio=Between(0.3, 0.7))]
    for policy in policies:
        assert [verdict(row, policy) for row in rows] == [verdict(row, policy) for row in stored]
    assert stored != rows


@given(st.fixed_dictionaries({name: st.none() | st.floats(-100, 100) for name in SCORES}))
def test_any_scores_give_a_verdict(scores: Scores) -> None:
    made = verdict(scores, Policy())
    assert made.accepted == (made.reason is None)
