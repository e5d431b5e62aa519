"""Catalogue strings become plain pairs, and those that teach nothing are refused with the reason."""

from __future__ import annotations

import pytest

from scripts.small_model.cleaning import Clean, clean_pair, key_of


@pytest.mark.parametrize(
    ("english", "text", "code", "source", "target"),
    [
        ("~Open...", "~Öffnen...", "deu_Latn", "Open", "Öffnen"),
        ("_File", "ファイル(_F)", "jpn_Jpan", "File", "ファイル"),
        ("Cl&ose", "&Cerrar", "spa_Latn", "Close", "Cerrar"),
        ("<b>%(n)s</b> is missing.", "<b>%(n)s</b> fehlt.", "deu_Latn", "{1} is missing.", "{1} fehlt."),
        ("%1 of %2", "%2 中的 %1", "zho_Hans", "{1} of {2}", "{2} 中的 {1}"),
        ("Copy { $count } files", "{ $count } Dateien kopieren", "deu_Latn", "Copy {1} files",
         "{1} Dateien kopieren"),
        ("%PRODUCTNAME Help", "%PRODUCTNAME-Hilfe", "deu_Latn", "{1} Help", "{1}-Hilfe"),
        ("Rows:", "Zeilen:", "deu_Latn", "Rows", "Zeilen"),
        ("Tom &amp; Mary are here.", "Tom und Maria sind hier.", "deu_Latn", "Tom & Mary are here.",
         "Tom und Maria sind hier."),
        ("3 apples", "৩টি আপেল", "ben_Beng", "3 apples", "৩টি আপেল"),
        ("e\u0301tude piece", "e\u0301tude Stu\u0308ck hier", "deu_Latn", "étude piece", "étude Stück hier"),
    ],
)  # fmt: skip
def test_pairs_become_plain(english: str, text: str, code: str, source: str, target: str) -> None:
    assert clean_pair(english, text, code) == Clean(source, target)


@pytest.mark.parametrize(
    ("english", "text", "code", "reason"),
    [
        ("Copy {name}", "Kopieren", "deu_Latn", "placeholders differ"),
        ("{a} {b} {c} {d} files", "{a} {b} {c} {d} Dateien", "deu_Latn", "too many placeholders"),
        ("{n, plural, one {# file} other {# files}}", "Dateien", "deu_Latn", "wording by number"),
        ("Save", "Speichern {n, plural, other {#}}", "deu_Latn", "wording by number"),
        ("...", "…", "deu_Latn", "no words"),
        ("Save", "…", "deu_Latn", "no words"),
        ("see config_file.txt", "siehe Datei", "deu_Latn", "code or address"),
        ("Visit www.example.org", "Besuche uns", "deu_Latn", "code or address"),
        ("SUMIFS", "SUMMEWENNS", "deu_Latn", "code or address"),
        ("файл", "Datei", "deu_Latn", "source not English letters"),
        ("Save the file", "Save the file", "rus_Cyrl", "another script"),
        ("Save the file", "Save the file", "deu_Latn", "not translated"),
        ("Save the file", "Save the Datei", "deu_Latn", "not translated"),
        ("Page 3", "Seite 4", "deu_Latn", "numbers differ"),
        ("Save (all", "Speichern", "deu_Latn", "half a bracket"),
        ("Really delete it?", "Wirklich gelöscht.", "deu_Latn", "no question"),
        ("word " * 25, "Wort", "deu_Latn", "too long"),
    ],
)
def test_pairs_that_teach_nothing_are_refused(english: str, text: str, code: str, reason: str) -> None:
    assert clean_pair(english, text, code) == reason


def test_a_loan_is_a_translation_only_of_a_name() -> None:
    assert clean_pair("hamster", "hamster", "nld_Latn") == "not translated"
    assert clean_pair("hamster", "hamster", "nld_Latn", loans=True) == Clean("hamster", "hamster")


def test_a_key_is_the_same_for_all_spellings() -> None:
    assert key_of("A red apple.") == key_of("a Red Apple") == "a red apple"
    assert key_of("apple") != key_of("apples")
