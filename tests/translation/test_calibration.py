"""A bound costs no more good translations than its rule's budget, and keeps within its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translation.calibration import BORROWED, BUDGETS, Budget, _in_twos, _Scores, calibrate, fit, join
from translation.filters import ScoreTable, TextPair, load_thresholds, score_pairs
from translation.filters.policy import CALIBRATED, Policy
from translation.filters.thresholds import ANY, LENGTHS, Threshold, parse_thresholds
from translation.filters.verdicts import verdicts
from translation.identification import load_identifier
from translation.languages import default_languages

WORDS = {"answer": 2, "caption": 8, "sentence": 20}


def table(rule: str, values: Mapping[str, Sequence[float | None]], length: str = "caption") -> ScoreTable:
    """One score of texts of one length, by language."""
    codes = [code for code, own in values.items() for _ in own]
    flat = [value for own in values.values() for value in own]
    columns = {
        rule: np.array(flat, np.float32),
        "words": np.full(len(flat), WORDS[length], np.float32),
    }
    return ScoreTable(tuple(codes), columns)


def thresholds(
    budget: Budget, values: Mapping[str, Sequence[float | None]], rule: str = "lid"
) -> dict[str, Threshold]:
    found = list(_Scores(rule, [table(rule, values)]).thresholds(budget))
    assert {line.length for line in found} == {"caption"}
    return {line.nllb_code: line for line in found}


class TestOneBound:
    def test_lies_where_the_budget_is_used_up(self) -> None:
        values = [index / 1000 for index in range(1000)]
        found = thresholds(Budget("min", 0.01, 1.0), {"deu_Latn": values})[ANY]
        assert found.min == pytest.approx(0.01, rel=1e-3)
        assert (found.max, found.texts, found.rejected) == (None, 1000, 0.01)

    def test_of_the_other_side_is_its_mirror(self) -> None:
        values = [index / 1000 for index in range(1000)]
        found = thresholds(Budget("max", 0.01, 0.0), {"deu_Latn": values})[ANY]
        assert found.max == pytest.approx(0.989, rel=1e-3)
        assert (found.min, found.rejected) == (None, 0.01)

    def test_is_never_stricter_than_it_may_be(self) -> None:
        assert thresholds(Budget("min", 0.01, 0.75), {"deu_Latn": [1.0] * 500})["deu_Latn"].min == 0.75
        assert thresholds(Budget("max", 0.01, 0.4), {"deu_Latn": [0.0] * 500})["deu_Latn"].max == 0.4

    def test_is_never_looser_than_it_may_be_and_faults_make_no_room_for_others(self) -> None:
        values = [0.1] * 400 + [0.8] * 10 + [1.0] * 590
        found = thresholds(Budget("min", 0.01, 1.0, loosest=0.5), {"deu_Latn": values})["deu_Latn"]
        assert found.min == pytest.approx(0.8, rel=1e-3)
        assert found.texts == 600
        low = thresholds(Budget("max", 0.0, 0.1, loosest=0.3), {"deu_Latn": [0.2] * 5 + [0.9] * 995})
        assert low["deu_Latn"].max == pytest.approx(0.2, abs=1e-3)

    def test_of_a_language_that_is_all_faults_is_the_loosest_or_stricter(self) -> None:
        budget = Budget("max", 0.01, 0.4, loosest=0.95)
        found = thresholds(budget, {"deu_Latn": [1.0] * 3, "fra_Latn": [0.0] * 50}, "copy")
        line = found["deu_Latn"]
        assert line.max is not None
        assert 0.4 <= line.max <= 0.95
        assert (line.texts, line.rejected) == (0, 0.0)

    def test_texts_without_value_count_as_good(self) -> None:
        values: list[float | None] = [None] * 900 + [index / 100 for index in range(100)]
        found = thresholds(Budget("min", 0.01, 1.0), {"deu_Latn": values})[ANY]
        assert found.min == pytest.approx(0.1)
        assert found.rejected == 0.01

    def test_of_few_texts_borrows_from_all(self) -> None:
        budget = Budget("min", 0.011, 1.0)
        bad, good = [0.2] * 3, [0.8 + index / 1e5 for index in range(10_000)]
        found = thresholds(budget, {"deu_Latn": bad, "fra_Latn": good})
        # Of 3 texts none may be rejected, of 3 and those that are borrowed 3.
        assert 3 < budget.share * (3 + BORROWED) < 4
        assert found["deu_Latn"].min == pytest.approx(0.8, abs=0.01)
        assert found["fra_Latn"].min == pytest.approx(0.8, abs=0.01)
        many = thresholds(budget, {"deu_Latn": bad * 1000, "fra_Latn": good})
        assert many["deu_Latn"].min == pytest.approx(0.2, rel=1e-3)

    def test_is_one_for_all_languages_but_where_it_would_reject_too_many(self) -> None:
        budget = Budget("min", 0.01, 1.0, most=0.05)
        even = [index / 10_000 for index in range(10_000)]
        found = thresholds(
            budget, {"deu_Latn": even, "fra_Latn": even, "yor_Latn": [0.001] * 90 + [1.0] * 90}
        )
        assert found["deu_Latn"].min == found["fra_Latn"].min == found[ANY].min
        general = found[ANY].min
        assert general is not None
        assert found["yor_Latn"].min is not None
        assert found["yor_Latn"].min == pytest.approx(0.001)
        assert found["yor_Latn"].min < general

    @settings(deadline=None)
    @given(
        st.lists(st.floats(0, 1, width=32), min_size=1, max_size=200),
        st.sampled_from(["min", "max"]),
        st.sampled_from([0.001, 0.01, 0.1]),
    )
    def test_rejects_no_more_than_its_share(self, values: list[float], side: str, share: float) -> None:
        budget = Budget(side, share, 1.0 if side == "min" else 0.0)
        line = thresholds(budget, {"deu_Latn": values})[ANY]
        bound = np.float32(line.min if side == "min" else line.max)
        column = np.array(values, np.float32)
        rejected = np.mean(column < bound if side == "min" else column > bound)
        assert rejected <= share
        assert line.rejected == pytest.approx(rejected, abs=1e-5)


def good_tables(languages: Sequence[str] = ("deu_Latn", "fra_Latn")) -> list[ScoreTable]:
    generator = np.random.default_rng(3)
    found = []
    for length in LENGTHS:
        size = 400 * len(languages)
        columns = {"words": np.full(size, WORDS[length], np.float32)}
        for rule, budgets in BUDGETS.items():
            bad, good = (0.0, 1.0) if budgets[0].side == "min" else (1.0, 0.0)
            values = np.where(generator.random(size) < 0.002, bad, good)
            if rule == "sentences":
                values = np.ones(size)
            if rule == "length_ratio":
                values = generator.normal(1, 0.2, size).clip(0.1)
            if rule == "round_trip_chrf":
                values = generator.normal(70, 10, size).clip(0, 100)
            columns[rule] = values.astype(np.float32)
        found.append(ScoreTable(tuple(languages) * 400, columns))
    return found


class TestFit:
    def test_every_calibrated_rule_is_fitted(self) -> None:
        assert {name for name, rule in Policy().rules() if CALIBRATED in vars(rule).values()} == set(BUDGETS)

    def test_together_the_rules_keep_to_their_budget(self) -> None:
        tables = good_tables()
        fitted = fit(tables, [], "test")
        assert fitted.identification == "test"
        for each in tables:
            rejected = [one.reason for one in verdicts(each, Policy(), fitted) if not one.accepted]
            shares = sum(budget.share for budgets in BUDGETS.values() for budget in budgets)
            assert len(rejected) <= shares * len(each) + 1

    def test_a_fitted_table_can_be_written_and_read(self) -> None:
        fitted = fit(good_tables(), [], "test")
        assert parse_thresholds(fitted.text(), "t.tsv") == fitted

    def test_both_sides_of_a_rule_stand_in_one_line(self) -> None:
        lines = [line for line in fit(good_tables(), [], "test").lines if line.rule == "length_ratio"]
        assert {(line.nllb_code, line.length) for line in lines} == {
            (code, length) for code in (ANY, "deu_Latn", "fra_Latn") for length in LENGTHS
        }
        assert len(lines) == 9
        for line in lines:
            assert line.min is not None
            assert line.max is not None
            assert line.min <= 0.9 < 1.1 <= line.max

    def test_answers_have_no_bound_on_sentences_and_ends(self) -> None:
        lines = fit(good_tables(), [], "test").lines
        assert not [
            line for line in lines if line.length == "answer" and line.rule in ("sentences", "ending")
        ]

    def test_two_texts_in_one_may_make_the_bound_on_sentences_lower_but_not_higher(self) -> None:
        values = {"deu_Latn": [0.875] * 60, "fra_Latn": [1.0] * 4000}
        joined = [table("sentences", values, "sentence")]
        before = {
            (line.nllb_code, line.length): line.min
            for line in fit(good_tables(), [], "test").lines
            if line.rule == "sentences"
        }
        after = {
            (line.nllb_code, line.length): line.min
            for line in fit(good_tables(), joined, "test").lines
            if line.rule == "sentences"
        }
        assert after["deu_Latn", "sentence"] == 0.875
        assert before["deu_Latn", "sentence"] == 0.97
        assert after["fra_Latn", "sentence"] == before["fra_Latn", "sentence"]
        # Two captions as one text are mostly a sentence's length, so its bound holds for captions too.
        assert after["deu_Latn", "caption"] == 0.875
        assert after["fra_Latn", "caption"] == before["fra_Latn", "caption"]

    def test_what_the_references_tell_nothing_of_keeps_the_general_bound_that_ships(self) -> None:
        shipped = load_thresholds(None)
        captions = [table("lid", {"deu_Latn": [1.0] * 400}, "caption")]
        fitted = fit(captions, [], shipped.identification)
        general = {(line.rule, line.length): line for line in fitted.lines if line.nllb_code == ANY}
        for line in shipped.lines:
            if line.nllb_code == ANY and (line.rule, line.length) != ("lid", "caption"):
                found = general[line.rule, line.length]
                assert (found.min, found.max, found.texts, found.rejected) == (line.min, line.max, 0, 0.0)
        assert general["lid", "caption"].texts == 400
        assert parse_thresholds(fitted.text(), "t.tsv") == fitted

    def test_scores_of_another_identifier_get_safe_bounds_where_nothing_tells(self) -> None:
        fitted = fit([table("copy", {"deu_Latn": [0.0] * 400})], [], "other")
        assert {(line.nllb_code, line.min) for line in fitted.lines if line.rule == "lid"} == {(ANY, 0.5)}


class TestReferences:
    def test_are_joined_in_twos_with_the_spaces_of_the_language(self) -> None:
        first, second = TextPair("One. ", "一。", "zho_Hans"), TextPair("Two.", "二。", "zho_Hans")
        assert join(first, second, "zho_Hans") == TextPair("One. Two.", "一。二。", "zho_Hans")
        thai = TextPair("One.", "หนึ่ง", "tha_Thai")
        assert join(thai, thai, "tha_Thai").target == "หนึ่ง หนึ่ง"

    def test_only_sentences_are_joined_and_never_over_languages(self) -> None:
        ended = [TextPair("A dog runs in the park.", f"Satz {index}.", "deu_Latn") for index in range(11)]
        others = [
            TextPair("a dog runs in the park today", "ein Hund", "deu_Latn"),
            TextPair(" " * 30, "Hund.", "deu_Latn"),
            TextPair("A dog runs in the park.", "Une phrase.", "fra_Latn"),
        ]
        found = list(_in_twos(ended + others))
        assert [pair.target for pair in found] == ["Satz 0. Satz 1.", "Satz 5. Satz 6."]

    def test_without_end_mark_are_left_out_where_most_have_one(self) -> None:
        source = "A dog runs in the park."
        mixed = [TextPair(source, text, "deu_Latn") for text in ("Eins.", "Zwei", "Drei.", "Vier.")]
        assert [pair.target for pair in _in_twos(mixed)] == ["Eins. Drei."]
        thai = [TextPair(source, text, "tha_Thai") for text in ("หนึ่ง", "สอง", "สาม.")]
        assert [pair.target for pair in _in_twos(thai)] == ["หนึ่ง สอง"]


SENTENCES = {
    "deu_Latn": (
        "Der Hund läuft im Park herum.",
        "Die Katze schläft auf dem Sofa.",
        "Es regnet heute wieder.",
    ),
    "fra_Latn": (
        "Le chien court dans le parc.",
        "Le chat dort sur le canapé.",
        "Il pleut encore aujourd'hui.",
    ),
}
ENGLISH_SENTENCES = (
    "The dog is running in the park.",
    "The cat sleeps on the sofa.",
    "It is raining again today.",
)


class TestCalibrate:
    def pairs(self, times: int = 20) -> list[TextPair]:
        return [
            TextPair(english, text, code)
            for _ in range(times)
            for code, texts in SENTENCES.items()
            for english, text in zip(ENGLISH_SENTENCES, texts, strict=True)
        ]

    def test_few_references_without_numbers_and_names_make_a_table_that_can_be_used(self) -> None:
        identifier = load_identifier("cld")
        pairs = self.pairs()
        fitted = calibrate(pairs, identifier)
        assert fitted.identification == identifier.name
        assert parse_thresholds(fitted.text(), "t.tsv") == fitted
        made = verdicts(score_pairs(pairs, identifier), Policy(), fitted)
        assert all(one.accepted for one in made)

    def test_no_reference_at_all_leaves_what_ships(self) -> None:
        fitted = calibrate([], load_identifier("shipped"))
        assert all(line.nllb_code == ANY and line.texts == 0 for line in fitted.lines)
        assert parse_thresholds(fitted.text(), "t.tsv") == fitted

    def test_back_translations_calibrate_the_round_trip(self) -> None:
        pairs = [
            TextPair(pair.source, pair.target, pair.language, None, pair.source.replace("dog", "hound"))
            for pair in self.pairs()
        ]
        fitted = calibrate(pairs, load_identifier("cld"))
        found = {(line.nllb_code, line.rule): line for line in fitted.lines if line.length == "caption"}
        line = found["deu_Latn", "round_trip_chrf"]
        assert line.texts == 60
        assert line.min is not None
        assert 50 < line.min < 100

    def test_a_blank_reference_is_no_error(self) -> None:
        calibrate([*self.pairs(1), TextPair(" " * 30, " ", "deu_Latn")], load_identifier("cld"))

    def test_knows_all_languages(self) -> None:
        codes = [language.nllb for language in default_languages() if not language.english]
        fitted = calibrate(
            [TextPair("A dog. " * 5, "x. " * 9, code) for code in codes], load_identifier("shipped")
        )
        assert {line.nllb_code for line in fitted.lines} == {ANY, *codes}
