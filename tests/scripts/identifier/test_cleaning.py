"""Catalogue texts become plain text, and only those that say something about their language are kept."""

from __future__ import annotations

import unicodedata

import pytest

from scripts.identifier.cleaning import clean, keep, own_share, untranslated


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("~Datei öffnen…", "Datei öffnen"),
        ("_Datei öffnen", "Datei öffnen"),
        ("&Datei", "Datei"),
        ("ファイル(~F)", "ファイル"),
        ("파일(_F)", "파일"),
        ("<b>%(name)s</b> fehlt", "fehlt"),
        ("{0} de {1} archivos", "de archivos"),
        ("%PRODUCTNAME kann %1 nicht öffnen", "kann nicht öffnen"),
        ("Ukuvala i-{ -brand-short-name } manje", "Ukuvala i- manje"),
        ("Enregistrer &amp; quitter", "Enregistrer & quitter"),
        ("Voir https://example.org/aide pour l'aide", "Voir pour l'aide"),
        ("Suche in [[Spezial:Suche|der Suche]] starten", "Suche in der Suche starten"),
        ("Erste\\nZeile\nund zweite", "Erste Zeile und zweite"),
        ("Ein\u00adgabe", "Ein gabe"),
        ("  rotes\u00a0Herz  ", "rotes Herz"),
    ],
)
def test_marks_of_catalogues_go(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    "text", ["{count, plural, one {# Datei} other {# Dateien}}", "{{PLURAL:$1|página|páginas}}"]
)
def test_texts_that_depend_on_a_number_are_dropped(text: str) -> None:
    assert clean(text) == ""


def test_texts_are_composed() -> None:
    yoruba = "ọ̀rẹ́ mi"
    assert clean(unicodedata.normalize("NFD", yoruba)) == unicodedata.normalize("NFC", yoruba)


def test_share_of_own_letters() -> None:
    assert own_share("красное сердце", "rus_Cyrl") == 1.0
    assert own_share("Firefox для всех", "rus_Cyrl") == pytest.approx(7 / 14)
    assert own_share("12 + 3", "rus_Cyrl") == 0.0
    assert own_share("赤いハート", "jpn_Jpan") == 1.0
    assert own_share("ᱟᱨᱟᱜ", "sat_Beng") == 1.0


def test_untranslated_by_words() -> None:
    assert untranslated("Tools menu", "tools menu")
    assert untranslated("Open the file dosya", "Open the file")
    assert not untranslated("Dosyayı aç", "Open the file")
    assert not untranslated("Tools", None)


@pytest.mark.parametrize(
    ("text", "label", "english", "kept"),
    [
        ("rotes Herz", "deu_Latn", "red heart", True),
        ("red heart", "deu_Latn", "red heart", False),
        ("red heart", "eng_Latn", "red heart", True),
        ("красное", "deu_Latn", "red", False),
        ("ab", "deu_Latn", "from", False),
        ("心", "zho_Hans", "heart", True),
    ],
)
def test_what_is_kept(text: str, label: str, english: str, kept: bool) -> None:
    assert keep(text, label, english) is kept
