"""Locale codes of catalogues and the letters of a text give the label it is learnt under."""

from __future__ import annotations

import pytest

from scripts.identifier.labels import label_of, main_script, scripts_of


@pytest.mark.parametrize(
    ("code", "text", "label"),
    [
        ("de-AT", "Jänner", "deu_Latn"),
        ("pt_BR", "arquivo", "por_Latn"),
        ("no", "fil", "nob_Latn"),
        ("nn", "fil", "nno_Latn"),
        ("ku", "pel", "kmr_Latn"),
        ("kmr-Latn", "pel", "kmr_Latn"),
        ("ckb", "پەڕگە", "ckb_Arab"),
        ("sr", "датотека", "srp_Cyrl"),
        ("sr", "datoteka", "srp_Latn"),
        ("sr@latin", "datoteka", "srp_Latn"),
        ("sr-el", "datoteka", "srp_Latn"),
        ("uz", "fayl", "uzn_Latn"),
        ("uz", "файл", "uzn_Cyrl"),
        ("pa-Arab", "فائل", "pan_Arab"),
        ("pa", "ਫਾਈਲ", "pan_Guru"),
        ("zh-CN", "文件", "zho_Hans"),
        ("zh_TW", "檔案", "zho_Hant"),
        ("zh-Hant-HK", "檔案", "zho_Hant"),
        ("ja", "ファイル", "jpn_Jpan"),
        ("fil", "talaksan", "tgl_Latn"),
        ("iw", "קובץ", "heb_Hebr"),
        ("sat", "ᱨᱮᱫ", "sat_Beng"),
        ("br", "restr", "bre_Latn"),
        ("yue_Hant", "檔案", "yue_Hant"),
        ("deu_Latn", "Datei", "deu_Latn"),
    ],
)
def test_codes_and_letters(code: str, text: str, label: str) -> None:
    assert label_of(code, text) == label


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en-GB", "colour"),
        ("ru", "LibreOffice"),
        ("ku", "پەڕگە"),
        ("zh-Latn", "wenjian"),
        ("hi-Latn", "dil"),
        ("qqx", "text"),
        ("simple", "text"),
        ("roa-tara", "testo"),
        ("to", "fakatonga"),
        ("de", "12 %"),
    ],
)
def test_what_is_not_learnt(code: str, text: str) -> None:
    assert label_of(code, text) is None


def test_scripts_by_letters() -> None:
    assert main_script("LibreOffice для всех") == "Latn"
    assert main_script("для всех Fox") == "Cyrl"
    assert main_script("漢字とカナ") == "Kana"
    # Of two with as many letters the first, in every run.
    assert main_script("абв abc") == "Cyrl"
    assert main_script("abc абв") == "Latn"
    assert main_script("12 – 3") is None
    assert scripts_of("jpn_Jpan") == {"Kana", "Hani"}
    assert scripts_of("bre_Latn") == {"Latn"}
