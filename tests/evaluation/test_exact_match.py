"""Exact match: worked by hand, and each error of the published evaluator beside what is right."""

from __future__ import annotations

import pytest

from evaluation.exact_match import any_match, any_match_published, exact_match, exact_match_published
from evaluation.items import Item
from evaluation.measures import Metric
from tests.evaluation.conftest import item


def scores(metric: Metric, *items: Item) -> list[float]:
    (measure,) = metric(items)
    return [float(one) for one in measure.statistics[:, 0]]


def test_a_share_worked_by_hand() -> None:
    items = [item("Yes.", "yes"), item("no", "yes"), item("the left", "left"), item("2", "two")]
    (measure,) = exact_match(items)
    assert measure.value(measure.statistics.sum(axis=0)) == 75
    assert measure.signature == "exact_match|norm:vqa-2|sides:both|rev:1"


@pytest.mark.parametrize(
    ("prediction", "gold"),
    [
        ("t-shirt", "t-shirt"),
        ("none", "none"),
        ("two", "two"),
        ("dont know", "dont know"),
        ("the one", "the one"),
        ("a", "a"),
        ("24/7", "24/7"),
    ],
)
def test_published_cleaning_of_one_side_makes_right_answers_wrong(prediction: str, gold: str) -> None:
    assert scores(exact_match_published, item(prediction, gold)) == [0]
    assert scores(exact_match, item(prediction, gold)) == [1]


def test_published_joining_of_lines_makes_a_right_answer_wrong() -> None:
    assert scores(exact_match_published, item("black\nwhite", "black white")) == [0]
    assert scores(exact_match, item("black\nwhite", "black white")) == [1]


def test_published_cleaning_makes_articles_match_an_empty_gold_answer() -> None:
    # Where both became empty, every such pair would match.
    assert scores(exact_match, item("the", "a")) == [0]
    assert scores(exact_match_published, item("the", "")) == [1]
    assert scores(exact_match, item("the", "")) == [0]


@pytest.mark.parametrize(
    ("prediction", "gold", "right"),
    [("Yes.", "yes", 1), ("The left", "left", 1), ("right", "left", 0), ("dont", "don't", 1)],
)
def test_both_agree_where_the_published_one_is_right(prediction: str, gold: str, right: float) -> None:
    assert scores(exact_match, item(prediction, gold)) == [right]
    assert scores(exact_match_published, item(prediction, gold)) == [right]


@pytest.mark.parametrize("metric", [exact_match, any_match])
def test_an_empty_prediction_is_wrong_whatever_the_gold_answer(metric: Metric) -> None:
    assert scores(metric, item("", "yes"), item(" \n", "")) == [0, 0]


def test_any_accepted_answer_counts() -> None:
    items = [
        item("สีแดง", "แดง", "สีแดง", language="tha_Thai"),
        item("Rouge.", "rouge", "le rouge", language="fra_Latn"),
        item("bleu", "rouge", "le rouge", language="fra_Latn"),
    ]
    assert scores(any_match, *items) == [1, 1, 0]
    assert scores(any_match_published, *items) == [1, 0, 0]


def test_any_match_does_not_take_english_words_out_of_other_languages() -> None:
    # `a` is an article of English alone; in Hungarian, `a` and `az` are.
    assert scores(any_match, item("a ház", "ház", language="hun_Latn")) == [0]
    assert scores(any_match, item("ＮＯ", "no", language="spa_Latn")) == [1]


def test_english_answers_are_compared_as_english_whatever_the_question_is_in() -> None:
    # Turkish writes the lower case of I without a dot.
    answer = item("IN", "in", language="tur_Latn", answered_in="eng_Latn")
    assert [one.statistics[0, 0] for one in any_match([answer])] == [1]
    assert [one.statistics[0, 0] for one in any_match([item("IN", "in", language="tur_Latn")])] == [0]


def test_the_published_any_of_match_looks_at_published_answers_alone() -> None:
    both = item("ein Hund", "ein Hund", "hund", published=("hund",))
    assert any_match([both])[0].statistics[0, 0] == 1
    assert any_match_published([both])[0].statistics[0, 0] == 0
    assert (
        any_match_published([item("Hund", "ein Hund", "hund", published=("hund",))])[0].statistics[0, 0] == 1
    )


def test_nothing_is_never_right_even_where_a_gold_answer_is_blank() -> None:
    blank = item("", "a", "")
    for metric in (exact_match, exact_match_published, any_match, any_match_published):
        assert metric([blank])[0].statistics[0, 0] == 0
