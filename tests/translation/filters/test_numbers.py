"""Numbers kept, vanished and changed between a source and its translation."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from translation.filters.numbers import may_hold_numbers, numbers_kept
from translation.languages import UnknownLanguage, default_languages


@pytest.mark.parametrize(
    ("source", "target", "language"),
    [
        ("2 dogs", "2 Hunde", "deu_Latn"),
        ("2 dogs", "zwei Hunde", "deu_Latn"),
        ("two dogs", "2 Hunde", "deu_Latn"),
        ("Two dogs.", "Zwei Hunde.", "deu_Latn"),
        ("twenty-one dogs", "двадцать одна собака", "rus_Cyrl"),
        ("two dogs", "две собаки", "rus_Cyrl"),
        ("12 dogs", "十二只狗", "zho_Hans"),
        ("two hundred dogs", "二百匹の犬", "jpn_Jpan"),
        ("two dogs", "강아지 두 마리", "kor_Hang"),
        ("three dogs", "หมาสามตัว", "tha_Thai"),
        ("45 dogs", "٤٥ كلبا", "arb_Arab"),
        ("45 dogs", "४५ कुत्ते", "hin_Deva"),
        ("45 dogs", "ခွေး ၄၅ ကောင်", "mya_Mymr"),
        ("45 dogs", "ឆ្កែ ៤៥ ក្បាល", "khm_Khmr"),
        ("45 dogs", "４５匹の犬", "jpn_Jpan"),
        ("1,000.5 metres", "1.000,5 Meter", "deu_Latn"),
        ("100,000 people", "1,00,000 लोग", "hin_Deva"),
        ("100,000 people", "1 लाख लोग", "hin_Deva"),
        ("15,000 people", "1.5万人", "zho_Hans"),
        ("35,000 people", "3万5千人", "jpn_Jpan"),
        ("$37 billion", "37 000 millones de dólares", "spa_Latn"),
        ("1.5 million people", "1,5 Millionen Menschen", "deu_Latn"),
        ("1.5 million people", "1 500 000 personnes", "fra_Latn"),
        ("£11 million", "1100만 파운드", "kor_Hang"),
        ("the 21st floor", "der 21. Stock", "deu_Latn"),
        ("the 21st century", "XXI век", "rus_Cyrl"),
        ("the 17th century", "1600-talet", "swe_Latn"),
        ("It is 10:30.", "Es ist 10.30 Uhr.", "deu_Latn"),
        ("It is 10:30.", "Es ist 10 Uhr 30.", "deu_Latn"),
        ("at 3 p.m.", "um 15:00 Uhr", "deu_Latn"),
        ("A pint at 5.30pm", "En halvliter klokken 17.30", "nob_Latn"),
        ("A pint at 5.30 p.m.", "Une pinte à 17h30", "fra_Latn"),
        ("At 12.15am the bar is empty", "Um 0.15 Uhr ist die Bar leer", "deu_Latn"),
        ("The clock shows 5:30.", "Jam menunjukkan pukul 5.30.", "ind_Latn"),
        ("Leaving at 5:30 pm, back at 6:05", "Lähtö klo 17.30, paluu 6.05", "fin_Latn"),
        ("At 6:50 the beer is 4.5 euros", "Um 6:50 kostet das Bier 4.50 Euro", "deu_Latn"),
        ("A clock at 2:50, 1.5 meters high", "Eine Uhr bei 2:50, 1.50 Meter hoch", "deu_Latn"),
        ("A 2:10 hour marathon, 2.1 km loops", "Marathon von 2:10 Stunden, Runden von 2.10 km", "deu_Latn"),
        ("at 3 p.m.", "saa 9 mchana", "swh_Latn"),
        ("the 1990s", "die 90er", "deu_Latn"),
        ("on October 3", "am 3.10.", "deu_Latn"),
        ("5km", "5 km", "deu_Latn"),
        ("50% of it", "50 Prozent davon", "deu_Latn"),
        ("10 inches of rain", "25 cm Regen", "deu_Latn"),
        ("It is 75°F outside.", "Es sind 24 °C.", "deu_Latn"),
        ("bake at 350 °F", "bei 180 Grad backen", "deu_Latn"),
        ("It is 14°F.", "Es sind -10 °C.", "deu_Latn"),
        ("half past nine", "9.30 Uhr", "deu_Latn"),
        ("one and a half million", "1,5 Millionen", "deu_Latn"),
        ("half past nine", "21:30 Uhr", "deu_Latn"),
        ("half past nine", "saa tatu na nusu", "swh_Latn"),
        ("call 0800 555 111", "۰۸۰۰۵۵۵۱۱۱", "pes_Arab"),
    ],
)
def test_a_number_in_another_form_is_kept(source: str, target: str, language: str) -> None:
    assert numbers_kept(source, target, language) == 1.0


@pytest.mark.parametrize(
    ("source", "target", "language"),
    [
        ("two dogs", "drei Hunde", "deu_Latn"),
        ("2 dogs", "3 Hunde", "deu_Latn"),
        ("2 dogs", "drei Hunde", "deu_Latn"),
        ("two dogs", "3 Hunde", "deu_Latn"),
        ("two dogs", "три собаки", "rus_Cyrl"),
        ("two dogs", "三只狗", "zho_Hans"),
        ("two dogs", "강아지 세 마리", "kor_Hang"),
        ("1,000 dogs", "100 Hunde", "deu_Latn"),
        ("1,000 dogs", "2000 Hunde", "deu_Latn"),
        ("45 dogs", "४६ कुत्ते", "hin_Deva"),
        ("1.5 million people", "2,5 Millionen Menschen", "deu_Latn"),
        ("It is 10:30.", "Es ist 10.45 Uhr.", "deu_Latn"),
        ("the 21st floor", "der 31. Stock", "deu_Latn"),
        ("from 2 to 3 dogs", "von 2 bis 2 Hunde", "deu_Latn"),
        ("2 dogs", "1 Hund", "deu_Latn"),
        ("in 2016, 16 percent", "im Jahr 2061 16 Prozent", "deu_Latn"),
        ("10 inches of rain", "70 cm Regen", "deu_Latn"),
        ("It is 75°F outside.", "Es sind 50 °C.", "deu_Latn"),
        ("bake at 350°F", "bei 300 °F backen", "deu_Latn"),
        ("half past nine", "halb elf", "deu_Latn"),
        ("half past nine", "8:30 Uhr", "deu_Latn"),
        ("quarter to nine", "7:45 Uhr", "deu_Latn"),
        ("half a million", "400.000", "deu_Latn"),
        ("two and a half million", "3,5 Millionen", "deu_Latn"),
        ("two and a half years", "3,5 Jahre", "deu_Latn"),
        ("two dozen eggs", "36 œufs", "fra_Latn"),
        ("1½ cups", "2,5 Tassen", "deu_Latn"),
        ("It is 2:40.", "Es ist zehn vor fünf.", "deu_Latn"),
        ("10 to 12 people", "11 Leute", "deu_Latn"),
    ],
)
def test_another_number_in_its_place_is_a_change(source: str, target: str, language: str) -> None:
    score = numbers_kept(source, target, language)
    assert score is not None
    assert score < 0.5


@pytest.mark.parametrize(
    ("source", "target", "language"),
    [
        ("The two dogs run.", "Beide Hunde laufen.", "deu_Latn"),
        ("2 dogs", "Hunde", "deu_Latn"),
        ("two dogs", "كلبان", "arb_Arab"),
        ("2 dogs and 3 cats in May", "Hunde und 3 Katzen im Mai", "deu_Latn"),
        ("2 dogs", "une chienne et un chien", "fra_Latn"),
        ("half a million", "500.000", "deu_Latn"),
        ("two and a half million", "2,5 Millionen", "deu_Latn"),
        ("half past nine", "halb zehn", "deu_Latn"),
        ("half past nine", "half tien", "nld_Latn"),
        ("It is 9:30.", "Es ist halb zehn.", "deu_Latn"),
        ("quarter to nine", "8:45 Uhr", "deu_Latn"),
        ("two and a half years", "2,5 Jahre", "deu_Latn"),
        ("two and a half hours", "2.5小时", "zho_Hans"),
        ("two dozen eggs", "24 œufs", "fra_Latn"),
        ("two dozen eggs", "vingt-quatre œufs", "fra_Latn"),
        ("1½ cups", "1,5 Tassen", "deu_Latn"),
        ("1 1/2 cups of flour", "1,5 Tassen Mehl", "deu_Latn"),
        ("1/2 cup", "0,5 Tassen", "deu_Latn"),
        ("three quarters of a pizza", "75 % einer Pizza", "deu_Latn"),
        ("The time is 2:40.", "Es ist zwanzig vor drei.", "deu_Latn"),
        ("7:45 pm", "las ocho menos cuarto", "spa_Latn"),
        ("It is twenty to nine.", "Es ist acht Uhr vierzig.", "deu_Latn"),
    ],
)
def test_a_number_that_vanished_is_between(source: str, target: str, language: str) -> None:
    score = numbers_kept(source, target, language)
    assert score is not None
    assert 0.5 <= score < 1


def test_the_more_is_changed_the_lower() -> None:
    one = numbers_kept("2 dogs, 30 cats", "2 Hunde, 40 Katzen", "deu_Latn")
    both = numbers_kept("2 dogs, 30 cats", "3 Hunde, 40 Katzen", "deu_Latn")
    assert (one, both) == (0.25, 0.0)


@pytest.mark.parametrize(
    ("source", "language"),
    [
        ("A dog on someone's lawn.", "deu_Latn"),
        ("one dog", "deu_Latn"),
        ("two dogs", "zul_Latn"),  # no number words known
        ("", "deu_Latn"),
        ("often tense, weighty", "deu_Latn"),
        ("the twenty-first century", "deu_Latn"),
    ],
)
def test_a_source_without_numbers_has_no_score(source: str, language: str) -> None:
    assert numbers_kept(source, "2 3 4", language) is None


def test_a_glance() -> None:
    assert may_hold_numbers("Twenty-one dogs")
    assert may_hold_numbers("a room of its own, with ٣ dogs")
    assert not may_hold_numbers("no one weighs often")


def test_tone_marks_of_old_burmese_fonts_are_no_digits() -> None:
    assert numbers_kept("six dogs", "သူတို႔ ၀က္ ေျခာက္ဦး", "mya_Mymr") == 0.5


def test_an_unknown_language_is_an_error() -> None:
    with pytest.raises(UnknownLanguage):
        numbers_kept("2 dogs", "Hunde", "xxx_Latn")


NASTY = st.lists(
    st.sampled_from(
        ["2", "10", "1,000", "٣", "၄", "၀", "႔", "½", "²", "Ⅳ", "XIV", "十", "万", "two", "hundred",
         "million",
         "inches", "feet", "p.m.", "s", "th century", ":", ".", "-", " ", "\u00a0", "\u200b",
         "zwei", "三", "두",
         "°",
         "\ud800",
         "1e5", "0", "000", "９", "𝟗", "km", "0.500", "İ"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(st.text(), NASTY),
    st.one_of(st.text(), NASTY),
    st.sampled_from([language.nllb for language in default_languages()]),
)
@example("2 \ud800", "3", "deu_Latn")
@example("1" * 5000, "2" * 5000, "deu_Latn")
@example("0.10", "0.", "deu_Latn")
def test_any_text_has_a_score(source: str, target: str, language: str) -> None:
    score = numbers_kept(source, target, language)
    assert score is None or 0 <= score <= 1
    if score is not None:
        assert may_hold_numbers(source)


@given(st.integers(0, 10**12), st.sampled_from([language.nllb for language in default_languages()]))
def test_a_number_as_it_is_is_kept(number: int, language: str) -> None:
    assert numbers_kept(f"{number:,} dogs", f"x {number} x", language) == 1.0
