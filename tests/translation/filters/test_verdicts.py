"""A verdict follows from stored scores and thresholds alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from translation.filters import (
    NO_SCORES,
    SCORES,
    AtLeast,
    AtMost,
    Between,
    Policy,
    Scores,
    ScoreTable,
    Thresholds,
    Verdict,
    load_thresholds,
    verdicts,
)
from translation.filters.policy import CALIBRATED
from translation.filters.thresholds import ANY, Threshold
from translation.filters.verdicts import Broken, parse_reason
from translation.languages import languages

BAD = {
    "empty": 1,
    "unknown": 1,
    "cut_off": 1,
    "script": 0.2,
    "copy": 0.99,
    "english": 1.01,
    "lid": 0.0,
    "confusable": 0.0,
    "repetition": 0.96,
    "length_ratio": 9,
    "sentences": 0.1,
    "ending": 0.1,
    "numbers": 0,
    "placeholders": 0.5,
    "round_trip_exact": 0,
    "round_trip_chrf": 2.5,
}
"""For each rule that is on by default a value that breaks it in a caption of any language."""

CAPTION, SENTENCE = {"words": 8.0}, {"words": 16.0}


def judge(
    scores: Scores | dict[str, float],
    policy: Policy | None = None,
    thresholds: Thresholds | None = None,
    language: str = "deu_Latn",
) -> Verdict:
    (made,) = judge_all([scores], policy, thresholds, [language])
    return made


def judge_all(
    rows: Sequence[Scores | dict[str, float]],
    policy: Policy | None = None,
    thresholds: Thresholds | None = None,
    codes: Sequence[str] = ("deu_Latn",),
) -> list[Verdict]:
    table = ScoreTable.of_rows(list(codes) * (len(rows) // len(codes)), rows)
    return verdicts(table, policy or Policy(), thresholds or load_thresholds(None))


def changed(rule: str, value: AtMost | AtLeast | Between) -> Policy:
    changes: dict[str, Any] = {rule: value}
    return replace(Policy(), **changes)


def table_of(*lines: tuple[str, str, float]) -> Thresholds:
    """Lower bounds of `lid`."""
    return Thresholds(
        "test", tuple(Threshold(code, length, "lid", least, None, 9, 0.0) for code, length, least in lines)
    )


def test_without_scores_nothing_is_wrong() -> None:
    assert judge(NO_SCORES) == judge({**NO_SCORES, "lid": 1.0}) == Verdict(True, None)
    assert verdicts(ScoreTable(("deu_Latn",), {}), Policy(), load_thresholds(None)) == [Verdict(True, None)]
    assert judge_all([]) == []


@pytest.mark.parametrize("rule", BAD)
@pytest.mark.parametrize("language", ["deu_Latn", "zho_Hans", "yor_Latn", "kea_Latn"])
def test_each_rule_rejects_and_its_name_starts_the_reason(rule: str, language: str) -> None:
    made = judge({**CAPTION, rule: BAD[rule]}, language=language)
    assert not made.accepted
    assert made.reason is not None
    assert made.reason.startswith(f"{rule}: ")
    assert made.reason.endswith(" wanted")


@pytest.mark.parametrize("side", ["min", "max"])
@pytest.mark.parametrize("rule", SCORES[2:])
def test_a_reason_is_read_again(rule: str, side: str) -> None:
    bound = Between(0.1234, None) if side == "min" else Between(None, 0.1234)
    reason = judge({rule: 0.0 if side == "min" else 1.0}, changed(rule, bound)).reason
    assert reason is not None
    assert parse_reason(reason) == Broken(rule, side, "0.123")


@pytest.mark.parametrize(
    "reason", ["", "lid", "image: gone", "lid: at least 2", "source: at least 3 keys wanted, not 2"]
)
def test_a_reason_of_another_kind_names_no_rule(reason: str) -> None:
    assert parse_reason(reason) is None


def test_every_rule_is_tried_here() -> None:
    off = (AtLeast(None), AtMost(None))
    assert [rule.name for rule in fields(Policy) if getattr(Policy(), rule.name) not in off] == list(BAD)


def test_the_reason_holds_both_numbers() -> None:
    made = judge({"script": 0.2}, replace(Policy(), script=AtLeast(0.6)))
    assert made.reason == "script: 0.2 of the letters are in the script of the language, at least 0.6 wanted"


def test_the_first_broken_rule_gives_the_reason() -> None:
    made = judge({"numbers": 0.0, "script": 0.0})
    assert made.reason is not None
    assert made.reason.startswith("script:")


@pytest.mark.parametrize("rule", BAD)
def test_a_rule_without_threshold_is_off(rule: str) -> None:
    current = getattr(Policy(), rule)
    off = Between(None, None) if isinstance(current, Between) else type(current)(None)
    assert judge({**CAPTION, rule: BAD[rule]}, changed(rule, off)).accepted


def test_one_side_of_a_rule_is_switched_off_alone() -> None:
    policy = changed("length_ratio", Between(None, CALIBRATED))
    assert judge({**CAPTION, "length_ratio": 0.01}, policy).accepted
    assert not judge({**CAPTION, "length_ratio": 9.0}, policy).accepted


@pytest.mark.parametrize(("rule", "value"), [("model_score", -9.0), ("similarity", 0.1), ("comet_kiwi", 0.1)])
def test_judges_rule_by_choice_only(rule: str, value: float) -> None:
    assert judge({rule: value}).accepted
    assert not judge({rule: value}, changed(rule, AtLeast(value + 0.1))).accepted


def test_model_score_in_words() -> None:
    made = judge({"model_score": -9.0}, Policy(model_score=AtLeast(-2)))
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
    assert judge({name: value}, changed(name, rule)).accepted == accepted


class TestCalibratedBounds:
    TABLE = table_of(
        (ANY, "answer", 0.2),
        (ANY, "caption", 0.4),
        (ANY, "sentence", 0.8),
        ("deu_Latn", "caption", 0.6),
    )

    @pytest.mark.parametrize(
        ("language", "words", "bound"),
        [
            ("deu_Latn", 1, 0.2),
            ("deu_Latn", 3, 0.2),
            ("deu_Latn", 4, 0.6),
            ("deu_Latn", 15, 0.6),
            ("deu_Latn", 16, 0.8),
            ("fra_Latn", 3, 0.2),
            ("fra_Latn", 4, 0.4),
            ("fra_Latn", 99, 0.8),
        ],
    )
    def test_are_those_of_the_language_and_length_and_else_of_all_languages(
        self, language: str, words: float, bound: float
    ) -> None:
        above, below = (
            judge({"words": words, "lid": bound + step}, thresholds=self.TABLE, language=language)
            for step in (0.01, -0.01)
        )
        assert above.accepted
        assert str(below.reason).endswith(f"at least {bound} wanted")

    def test_a_text_of_unknown_length_counts_as_an_answer(self) -> None:
        assert judge({"lid": 0.3}, thresholds=self.TABLE).accepted
        assert not judge({"lid": 0.1}, thresholds=self.TABLE).accepted

    def test_a_bound_of_the_user_holds_for_all_languages_and_lengths(self) -> None:
        policy = changed("lid", AtLeast(0.5))
        codes = ["deu_Latn", "fra_Latn"]
        for words in (1.0, 8.0, 30.0):
            rows = [{"words": words, "lid": 0.51}] * 2
            assert all(made.accepted for made in judge_all(rows, policy, self.TABLE, codes))
            rows = [{"words": words, "lid": 0.49}] * 2
            assert not any(made.accepted for made in judge_all(rows, policy, self.TABLE, codes))

    def test_each_text_of_a_table_has_its_own(self) -> None:
        rows = [{"words": 8.0, "lid": 0.5}, {"words": 8.0, "lid": 0.5}, {"words": 20.0, "lid": 0.9}]
        made = judge_all(rows, None, self.TABLE, ["deu_Latn", "fra_Latn", "deu_Latn"])
        assert [one.accepted for one in made] == [False, True, True]

    def test_a_rule_without_line_breaks_nothing(self) -> None:
        assert judge({"words": 8.0, "copy": 1.0, "lid": 1.0}, thresholds=self.TABLE).accepted
        only = table_of(("deu_Latn", "caption", 0.6))
        assert judge({"words": 20.0, "lid": 0.0}, thresholds=only).accepted
        assert judge({"words": 8.0, "lid": 0.0}, thresholds=only, language="fra_Latn").accepted

    def test_captions_of_a_known_language_use_its_own_line_of_the_table_that_ships(self) -> None:
        lines = {
            (line.nllb_code, line.length): line.min
            for line in load_thresholds(None).lines
            if line.rule == "length_ratio"
        }
        own, general = lines["jpn_Jpan", "caption"], lines[ANY, "caption"]
        assert own is not None
        assert general is not None
        assert own != general
        middle = (own + general) / 2
        made = judge_all([{**CAPTION, "length_ratio": middle}] * 2, codes=["jpn_Jpan", "kea_Latn"])
        assert [one.accepted for one in made] == [own < middle, general < middle]


def stored(rows: Sequence[Scores], path: Path) -> list[Scores]:
    """The rows as a mix keeps them."""
    schema = pa.schema([pa.field(name, pa.float32()) for name in SCORES])
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    found: list[Scores] = pq.read_table(path).to_pylist()
    return found


def test_parquet_changes_no_verdict(tmp_path: Path) -> None:
    bounds = {value for line in load_thresholds(None).lines for value in (line.min, line.max)} - {None}
    rows: list[Scores] = [
        {**NO_SCORES, "words": words, name: value}
        for name in BAD
        for value in (0.1, 0.3, 1.0, 2.2, 30.0, *(bound for bound in bounds if bound is not None))
        for words in (1.0, 8.0, 20.0)
    ]
    read = stored(rows, tmp_path / "scores.parquet")
    assert read != rows
    for policy in (Policy(), Policy(lid=AtLeast(0.7), copy=AtMost(0.1), length_ratio=Between(0.3, 0.7))):
        assert judge_all(rows, policy) == judge_all(read, policy)


_SCORE = st.none() | st.floats(-100, 100) | st.sampled_from([0.0, 0.5, 0.7, 0.9, 1.0, 1.1])


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(languages())), st.fixed_dictionaries(dict.fromkeys(SCORES, _SCORE))),
        max_size=5,
    )
)
def test_any_scores_give_a_verdict_each_by_itself(texts: list[tuple[str, Scores]]) -> None:
    rows = [scores for _, scores in texts]
    table = ScoreTable.of_rows([code for code, _ in texts], rows)
    made = verdicts(table, Policy(), load_thresholds(None))
    assert all(one.accepted == (one.reason is None) for one in made)
    assert made == [judge(scores, language=code) for code, scores in texts]
    # As a mix keeps them and `refilter` takes them up.
    again = ScoreTable.of_rows(table.languages, table.rows())
    assert verdicts(again, Policy(), load_thresholds(None)) == made
