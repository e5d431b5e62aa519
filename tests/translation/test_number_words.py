"""Number words: known spellings of many languages, and the numbers that a text spells."""

from __future__ import annotations

import csv
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import translation
from translation.languages import ENGLISH, UnknownLanguage, default_languages
from translation.number_words import fold, homographs, number_words, spelled, spells_numbers

TABLE = Path(translation.__file__).with_name("number_words.tsv")


@pytest.mark.parametrize(
    ("language", "word", "value"),
    [
        ("deu_Latn", "zwölf", 12), ("deu_Latn", "einundzwanzig", 21), ("deu_Latn", "hundert", 100),
        ("deu_Latn", "Millionen", 10**6), ("fra_Latn", "soixante-dix", 70),
        ("fra_Latn", "quatre-vingt-dix-neuf", 99), ("fra_Latn", "septante", 70), ("rus_Cyrl", "два", 2),
        ("rus_Cyrl", "две", 2),
        ("rus_Cyrl", "двумя", 2),
        ("rus_Cyrl", "сорок", 40), ("rus_Cyrl", "тысяч", 1000), ("arb_Arab", "ثلاثة", 3),
        ("arb_Arab", "اثنان", 2),
        ("arb_Arab", "خمسة وأربعون", 45), ("hin_Deva", "दो", 2), ("hin_Deva", "पैंतालीस", 45),
        ("hin_Deva", "लाख", 10**5), ("swh_Latn", "kumi na mbili", 12), ("swh_Latn", "arobaini", 40),
        ("jpn_Jpan", "十二", 12), ("jpn_Jpan", "万", 10**4), ("kor_Hang", "두", 2), ("kor_Hang", "이", 2),
        ("kor_Hang", "스물하나", 21), ("tur_Latn", "on iki", 12), ("tur_Latn", "bin", 1000),
        ("npi_Deva", "करोड", 10**7), ("spa_Latn", "veintiuno", 21), ("pol_Latn", "dwóch", 2),
        ("tha_Thai", "สาม", 3), ("vie_Latn", "mười", 10), ("zho_Hans", "两", 2),
    ],
)  # fmt: skip
def test_spellings(language: str, word: str, value: int) -> None:
    assert number_words(language)[fold(word)] == value


def test_a_language_without_rules_has_no_small_numbers() -> None:
    assert not spells_numbers("zul_Latn")
    assert number_words("zul_Latn")[fold("inkulungwane")] == 1000
    assert number_words("ydd_Hebr") == {}
    assert spells_numbers("deu_Latn")
    assert sum(spells_numbers(language.nllb) for language in default_languages()) == 63


def test_an_unknown_language_is_an_error() -> None:
    with pytest.raises(UnknownLanguage):
        number_words("xxx_Latn")


@pytest.mark.parametrize("language", [x.nllb for x in default_languages() if spells_numbers(x.nllb)])
def test_every_spelling_reads_as_its_value(language: str) -> None:
    table = number_words(language)
    read = {word: spelled(word, language) for word in table}
    wrong = {word for word, found in read.items() if [number.value for number in found] != [table[word]]}
    # Han numerals are read by rules, where 元 and the banknotes' 壱 are none.
    assert not wrong or language in ("zho_Hans", "jpn_Jpan")
    assert {2, 3, 10, 20, 100} <= {table[word] for word in table.keys() - wrong}


@pytest.mark.parametrize(
    ("text", "language", "values"),
    [
        ("two hundred and fifty thousand dogs, twenty-one cats", ENGLISH, [250000, 21]),
        ("three or four million", ENGLISH, [3, 4000000]),
        ("one, two, three", ENGLISH, [1, 2, 3]),
        ("a dog", ENGLISH, []),
        ("двадцать один год", "rus_Cyrl", [21]),
        ("三百五十人和两万三千", "zho_Hans", [350, 23000]),
        ("二〇二〇年", "zho_Hans", [2020]),
        ("一千二百万と廿", "jpn_Jpan", [12000000, 20]),
        ("두 명과 스물하나", "kor_Hang", [2, 21]),
        ("สองร้อยคน", "tha_Thai", [200]),
        ("ZWEI Hunde", "deu_Latn", [2]),
    ],
)
def test_numbers_in_a_text(text: str, language: str, values: list[int]) -> None:
    assert [number.value for number in spelled(fold(text), language)] == values


def test_where_a_number_stands() -> None:
    text = fold("He saw twenty-one cats and two.")
    assert [text[number.start : number.end] for number in spelled(text, ENGLISH)] == ["twenty one", "two"]


def test_homographs_are_spellings() -> None:
    assert homographs("vie_Latn") == {"năm"}
    for language in default_languages():
        assert homographs(language.nllb) <= number_words(language.nllb).keys()


@given(st.text(), st.sampled_from([language.nllb for language in default_languages()]))
def test_any_text_can_be_read(text: str, language: str) -> None:
    folded = fold(text)
    for number in spelled(folded, language):
        assert number.value >= 0
        assert 0 <= number.start < number.end <= len(folded)


def test_the_table_is_what_its_reader_expects() -> None:
    assert TABLE.stat().st_size < 300_000
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len({(row["nllb_code"], row["value"]) for row in rows}) == len(rows)
    for row in rows:
        words = row["words"].split("|")
        assert all(words)
        assert len(set(words)) == len(words)
        assert all(unicodedata.is_normalized("NFC", word) and word == word.casefold() for word in words)
        assert set(filter(None, row["homographs"].split("|"))) <= set(words)
