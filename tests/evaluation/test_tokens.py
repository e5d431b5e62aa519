"""Captions become words: composed, in lower case, without punctuation, in every language."""

from __future__ import annotations

import importlib.util
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.tokens import SegmenterError, lower_case, segmentation, tokenise
from translation.languages import default_languages

needs_icu = pytest.mark.skipif(importlib.util.find_spec("icu4py") is None, reason="needs icu4py")


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("A man's T-shirt; he doesn't like it.", "eng_Latn", "a man 's t-shirt he does n't like it"),
        ("can't (won't) – “go” …", "eng_Latn", "ca n't wo n't go"),
        ("they’ll say it’s 10:30", "eng_Latn", "they 'll say it 's 10:30"),
        ("U.S. flag costs $3,000.50 or 20%!", "eng_Latn", "u.s. flag costs $ 3,000.50 or 20 %"),
        ("rock'n'roll e-mail 'quoted'", "eng_Latn", "rock'n'roll e-mail quoted"),
        ("L'homme n'a pas d'argent, aujourd’hui.", "fra_Latn", "l'homme n'a pas d'argent aujourd'hui"),
        ("Mann mit 3-jährigem Kind/Hund", "deu_Latn", "mann mit 3-jährigem kind hund"),
        ("мальчик-спортсмен «ёлочки»", "rus_Cyrl", "мальчик-спортсмен ёлочки"),
        ("¿Qué? ¡Hola!", "spa_Latn", "qué hola"),
        ("नमस्ते। क्या", "hin_Deva", "नमस्ते क्या"),
        ("رجل، يجلس؟", "arb_Arab", "رجل يجلس"),
        ("می\u200cرود", "pes_Arab", "می\u200cرود"),
        ("DIŞ IŞIK İyi", "tur_Latn", "dış ışık iyi"),
        ("I\u0307yi", "tur_Latn", "iyi"),
        ("İyi", "deu_Latn", "i̇yi"),
        ("ΟΔΟΣ ΣΤΟ", "ell_Grek", "οδος στο"),
        ("cafe\u0301 cre\u0301me", "fra_Latn", "café créme"),
        ("soft\u00adhyphen \ufeffmark", "eng_Latn", "softhyphen mark"),
        ("two\nlines\u2028three", "eng_Latn", "two lines three"),
        ("👍 ok 👩‍🚒! ❤️", "eng_Latn", "👍 ok 👩‍🚒 ❤️"),
        ("‍ a‌ b", "eng_Latn", "a b"),
        ("צה״ל של 'בית'", "heb_Hebr", "צה״ל של בית"),
        ("l'al·lota", "cat_Latn", "l'al·lota"),
        ("e.g. this.That", "eng_Latn", "e.g. this that"),
        ("...", "eng_Latn", ""),
        ("", "eng_Latn", ""),
    ],
)
def test_words_of_languages_with_spaces(text: str, language: str, words: str) -> None:
    assert tokenise([text], language) == [words.split()]


@needs_icu
@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("一个戴着橙色帽子的人，iPhone 15！", "zho_Hans", "一个 戴着 橙色 帽子 的 人 iphone 15"),
        ("男が、メガネをかけて走る。", "jpn_Jpan", "男 が メガネ を かけ て 走る"),
        ("ผู้ชายสวมหมวกและแว่นตา", "tha_Thai", "ผู้ชาย สวม หมวก และ แว่นตา"),
        ("លោកពាក់មួក", "khm_Khmr", "លោក ពាក់មួក"),
        ("ຜູ້ຊາຍໃສ່ໝວກ", "lao_Laoo", "ຜູ້ຊາຍ ໃສ່ ໝວກ"),
        ("ဦးထုပ်ဆောင်းထားသော", "mya_Mymr", "ဦးထုပ်ဆောင်း ထား သော"),
    ],
)
def test_words_of_languages_without_spaces_are_found_by_icu(text: str, language: str, words: str) -> None:
    assert tokenise([text], language) == [words.split()]


@needs_icu
def test_texts_are_segmented_apart_though_together() -> None:
    texts = ["一个人", "", "在\n跑", "。", "狗"]
    assert tokenise(texts, "zho_Hans") == [tokenise([text], "zho_Hans")[0] for text in texts]
    assert len(tokenise(texts, "zho_Hans")) == len(texts)
    assert tokenise([], "zho_Hans") == []


def test_characters_are_the_other_choice_without_spaces() -> None:
    assert tokenise(["一个，iPad"], "zho_Hans", "characters") == [["一", "个", "i", "p", "a", "d"]]
    assert tokenise(["ผู้ชาย"], "tha_Thai", "characters") == [["ผู้", "ช", "า", "ย"]]
    assert tokenise(["a word"], "deu_Latn", "characters") == [["a", "word"]]
    assert segmentation("zho_Hans", "characters") == "characters"
    assert segmentation("deu_Latn", "characters") == "spaces"


@needs_icu
def test_the_segmenter_is_named_with_its_version() -> None:
    assert segmentation("jpn_Jpan").startswith("icu-")


def test_without_icu_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluation import tokens

    tokens._icu.cache_clear()
    monkeypatch.setitem(sys.modules, "icu4py", None)
    with pytest.raises(SegmenterError, match="pip install icu4py"):
        tokenise(["一个"], "zho_Hans")
    tokens._icu.cache_clear()


def test_lower_case_is_that_of_the_language() -> None:
    assert lower_case("Iİ", "tur_Latn") == lower_case("Iİ", "azj_Latn") == "ıi"
    assert lower_case("I", "eng_Latn") == "i"


@needs_icu
@given(st.lists(st.text(), max_size=5), st.sampled_from(default_languages()))
def test_every_text_gives_words_and_words_stay_words(texts: list[str], language: object) -> None:
    code = language.nllb  # type: ignore[attr-defined]
    found = tokenise(texts, code)
    assert len(found) == len(texts)
    for words in found:
        assert all(word and not any(letter.isspace() for letter in word) for word in words)
