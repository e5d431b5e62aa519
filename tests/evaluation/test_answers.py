"""Answers are compared by what they say, the prediction and the gold answer in the same form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.answers import plain_answer, published_answer, vqa_answer


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Yes.", "yes"),
        ("The red car", "red car"),
        ("two", "2"),
        ("none", "0"),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("yalld've", "yalld've"),
        ("yall'd've", "y'all'd've"),
        ("t-shirt", "t shirt"),
        ("red, white", "red white"),
        ("red,white", "red white"),
        ("1,000", "1000"),
        ("1,000 people/day", "1000 peopleday"),  # as VQAv2 has it: a comma in a number joins everything
        ("2.5", "2.5"),
        ("u.s.", "us"),
        ("what ?", "what"),
        ("a\nb", "b"),
        ("on top\tof", "on top of"),
        ("  spaced   out ", "spaced out"),
    ],
)
def test_english_answers_are_cleaned_as_vqav2_does(text: str, form: str) -> None:
    assert vqa_answer(text) == form


@pytest.mark.parametrize(("text", "form"), [("a", "a"), ("The", "the"), ("?", "?"), ("", ""), (" ", "")])
def test_an_answer_of_nothing_but_articles_stays(text: str, form: str) -> None:
    assert vqa_answer(text) == form


def test_the_published_form_joins_lines_and_loses_articles() -> None:
    assert published_answer("red\nwhite") == "redwhite"
    assert published_answer("a") == ""
    assert published_answer("A T-shirt.") == "t shirt"


@pytest.mark.parametrize(
    ("text", "language", "form"),
    [
        ("«Нет».", "rus_Cyrl", "нет"),
        ("ＡＢＣ ５", "jpn_Jpan", "abc 5"),
        ("ISPARTA", "tur_Latn", "ısparta"),
        ("İZMİR", "tur_Latn", "izmir"),
        ("IL", "ita_Latn", "il"),
        ("¿sí?", "spa_Latn", "sí"),
        ("हाँ।", "hin_Deva", "हाँ"),
        ("  black   and\nwhite ", "eng_Latn", "black and white"),
        ("cafe\u0301", "fra_Latn", "café"),
        ("t-shirt", "eng_Latn", "t-shirt"),
        ("50%.", "eng_Latn", "50%"),
        ("- (C#) -", "eng_Latn", "c#"),
        ("-5 °", "eng_Latn", "-5 °"),
        ("...", "eng_Latn", "..."),
        ("", "eng_Latn", ""),
        ("בולבול\u200e", "heb_Hebr", "בולבול"),
        ("\u200bสุนัข\u200b", "tha_Thai", "สุนัข"),
        ("می\u200cخواهم\u200c", "pes_Arab", "می\u200cخواهم"),
        ("l’eau", "fra_Latn", "l'eau"),
        ("комп’ютер", "ukr_Cyrl", "комп'ютер"),
    ],
)
def test_answers_of_any_language_lose_case_width_and_outer_marks(text: str, language: str, form: str) -> None:
    assert plain_answer(text, language) == form


@given(st.text())
def test_a_plain_answer_is_stable_and_never_vanishes(text: str) -> None:
    once = plain_answer(text, "eng_Latn")
    assert plain_answer(once, "eng_Latn") == once
    assert bool(once) == bool(text.strip())


@given(st.text())
def test_an_english_answer_never_vanishes(text: str) -> None:
    assert bool(vqa_answer(text)) == bool(text.strip())
