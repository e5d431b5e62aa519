"""Accuracy over choices, and the numbers of POPE, worked by hand."""

from __future__ import annotations

import pytest

from evaluation.choices import accuracy, chosen, yes_no, yes_no_published
from evaluation.items import Item
from evaluation.measures import Measure
from tests.evaluation.conftest import item

XVNLI = ("yes", "no", "maybe")


def value(measure: Measure) -> float:
    return float(measure.value(measure.statistics.sum(axis=0)))


@pytest.mark.parametrize(
    ("prediction", "found"),
    [
        ("yes", 0),
        ("Yes.", 0),
        ("Yes, there is a dog", 0),
        ("No\n", 1),
        ("nothing", None),
        ("not sure", None),
        ("maybe so", 2),
        ("it is a yes", None),
        ("", None),
        ("yesterday", None),
        ("**Yes**, there is", 0),
    ],
)
def test_a_prediction_names_the_choice_it_begins_with(prediction: str, found: int | None) -> None:
    assert chosen(prediction, XVNLI, "eng_Latn") == found


def test_the_longest_choice_wins() -> None:
    assert chosen("red panda eating", ("red", "red panda"), "eng_Latn") == 1
    assert chosen("Red", ("red", "red panda"), "eng_Latn") == 0


def test_choices_in_other_languages_and_scripts() -> None:
    assert chosen("Evet, var", ("evet", "hayır"), "tur_Latn") == 0
    assert chosen("HAYIR", ("evet", "hayır"), "tur_Latn") == 1
    assert chosen("是。", ("是", "不是"), "zho_Hans") == 0
    assert chosen("不是的", ("是", "不是"), "zho_Hans") is None  # no space ends a word there


def test_gold_answers_and_choices_may_differ_in_case() -> None:
    right, _ = accuracy([item("true", "True", choices=("TRUE", "FALSE"))])
    assert value(right) == 100


def test_accuracy_worked_by_hand() -> None:
    items = [
        item("yes", "yes", choices=XVNLI),
        item("No, he runs", "no", choices=XVNLI),
        item("yes", "maybe", choices=XVNLI),
        item("ja", "yes", choices=XVNLI),
        item("", "yes", choices=XVNLI),
    ]
    right, named = accuracy(items)
    assert value(right) == pytest.approx(40)
    assert named.name == "accuracy.named"
    assert value(named) == pytest.approx(60)


def test_open_items_are_right_where_they_equal_a_gold_answer() -> None:
    (right,) = accuracy([item("Tabby cat.", "tabby", "tabby cat"), item("dog", "tabby")])
    assert value(right) == 50


def test_a_gold_answer_that_is_no_choice_is_an_error() -> None:
    with pytest.raises(ValueError, match="'-' is none of the choices 'yes', 'no', 'maybe'"):
        accuracy([item("yes", "-", choices=XVNLI)])


def pope() -> list[Item]:
    """3 true yes, 1 false yes, 2 true no, 1 missed yes, 1 neither (gold no)."""
    return [
        item("yes", "yes"),
        item("Yes.", "yes"),
        item("yes, it is", "yes"),
        item("yes", "no"),
        item("no", "no"),
        item("No.", "no"),
        item("no", "yes"),
        item("hmm", "no"),
    ]


def test_the_numbers_of_pope_worked_by_hand() -> None:
    found = {measure.name: value(measure) for measure in yes_no(pope())}
    assert found == {
        "yes_no": pytest.approx(100 * 5 / 8),
        "yes_no.precision": pytest.approx(100 * 3 / 4),
        "yes_no.recall": pytest.approx(100 * 3 / 4),
        "yes_no.f1": pytest.approx(100 * 3 / 4),
        "yes_no.yes": pytest.approx(100 * 4 / 8),
    }


def test_pope_takes_whatever_is_no_no_for_a_yes() -> None:
    found = {measure.name: value(measure) for measure in yes_no_published(pope())}
    assert found["yes_no_published.yes"] == pytest.approx(100 * 5 / 8)
    assert found["yes_no_published.recall"] == pytest.approx(100 * 3 / 4)
    assert value(yes_no_published([item("", "yes")])[0]) == 100
    assert value(yes_no([item("", "yes")])[0]) == 0


def test_yes_and_no_of_another_language_are_its_choices() -> None:
    pair = ("ja", "nein")
    first, *_ = yes_no([item("Ja!", "ja", choices=pair), item("yes", "ja", choices=pair)])
    assert value(first) == 50
    with pytest.raises(ValueError, match="3 choices, two wanted"):
        yes_no([item("yes", "yes", choices=XVNLI)])


def test_without_a_yes_precision_is_undefined() -> None:
    found = {measure.name: value(measure) for measure in yes_no([item("no", "no")])}
    assert found["yes_no.precision"] != found["yes_no.precision"]  # NaN
    assert found["yes_no"] == 100


def test_english_choices_are_read_as_english() -> None:
    # Turkish writes the lower case of I without a dot.
    found = accuracy([item("IN", "in", language="tur_Latn", choices=("in", "out"), answered_in="eng_Latn")])
    assert value(found[0]) == 100
