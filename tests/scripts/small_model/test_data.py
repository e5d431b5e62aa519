"""What the small model learns from: one translation a text, no English text in two splits, all told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from evaluation.references import REPORT, part_of
from scripts.identifier.sources import Pair
from scripts.small_model.cleaning import key_of
from scripts.small_model.data import (
    HELD_OUT,
    ORIGINS,
    SAME_FRAME,
    SCHEMA,
    TRAIN,
    Refusals,
    Row,
    agreed,
    cleaned,
    counts,
    held_out_keys,
    in_their_language,
    licence_of,
    no_refusals,
    of_usual_length,
    paragraphs_aligned,
    table_of,
    without_boilerplate,
)
from scripts.small_model.emoji_names import aligned, pairs_of_lists
from translation.identification import SHIPPED, load_identifier


@pytest.fixture
def refusals() -> Refusals:
    return no_refusals()


def row(source: str, target: str, code: str = "deu_Latn", origin: str = "libreoffice") -> Row:
    return Row(source, target, code, origin)


def test_locales_become_languages_of_the_mix(refusals: Refusals) -> None:
    pairs = [
        Pair("de", "Datei", "File"),
        Pair("sr", "Датотека", "File"),
        Pair("sr-Latn", "Datoteka", "File"),
        Pair("br", "Restr", "File"),
        Pair("en-GB", "File", "File"),
        Pair("de", "Datei", "File"),
        Pair("de", "Datei {name}", "File"),
    ]
    rows = cleaned("libreoffice", pairs, refusals)
    assert [(one.code, one.target) for one in rows] == [("deu_Latn", "Datei"), ("srp_Cyrl", "Датотека")]
    assert refusals.counts == {("libreoffice", "placeholders differ"): 1}
    assert refusals.examples["libreoffice", "placeholders differ"] == "File | Datei {name} (deu_Latn)"


def test_the_better_origin_then_the_majority_says_what_a_text_means(refusals: Refusals) -> None:
    rows = [
        row("Dog.", "Köter"),
        row("dog", "Hund", origin="cldr-names"),
        row("Save", "Sichern"),
        row("Save", "Speichern"),
        row("save", "speichern", origin="libreoffice"),
    ]
    kept = {(one.source, one.target) for one in agreed(rows, refusals)}
    assert kept == {("dog", "Hund"), ("Save", "Speichern")}
    assert refusals.counts["libreoffice", "translated otherwise"] == 2


def test_a_region_adds_to_its_language_but_does_not_overrule_it(refusals: Refusals) -> None:
    pairs = [
        Pair("pt", "trem", "train"),
        Pair("pt-PT", "comboio", "train"),
        Pair("pt-PT", "autocarro", "bus"),
    ]
    kept = agreed(cleaned("cldr-names", pairs, refusals), refusals)
    assert {(one.source, one.target) for one in kept} == {("train", "trem"), ("bus", "autocarro")}


def test_one_translation_stands_for_two_texts_at_most(refusals: Refusals) -> None:
    rows = [row(source, "Ende") for source in ("End", "Quit", "Finish", "Terminate")]
    assert [one.source for one in agreed(rows, refusals)] == ["End", "Quit"]
    assert refusals.counts["libreoffice", "translation of many texts"] == 2


def test_boilerplate_is_capped_in_all_languages_alike(refusals: Refusals) -> None:
    def frame(number: int) -> str:
        return f"Returns the value of thing {'x' * number}"

    rows = [row(frame(n), "Gibt zurück", code) for n in range(1, 61) for code in ("deu_Latn", "fra_Latn")]
    rows.append(row("Open the door now", "Öffne jetzt die Tür"))
    rows.append(row("returns the value of a name", "Name", origin="cldr-names"))
    kept = without_boilerplate(rows, refusals)
    assert len(kept) == 2 * SAME_FRAME + 2
    assert {len(one.source) for one in kept if one.code == "fra_Latn"} == {
        len(frame(n)) for n in range(1, SAME_FRAME + 1)
    }


def test_a_translation_of_another_length_goes(refusals: Refusals) -> None:
    usual = [row(f"a text of some length {n}", f"ein Text von etwas Länge {n}") for n in range(9)]
    odd = row(
        "a text of some length", "und noch vieles mehr, was im Englischen gar nicht steht, kein Wort davon"
    )
    assert of_usual_length([*usual, odd], refusals) == usual
    assert refusals.counts == {("libreoffice", "unusual length"): 1}


def test_a_text_in_another_language_goes(refusals: Refusals) -> None:
    rows = [
        row("The file could not be saved here", "Die Datei konnte hier nicht gespeichert werden"),
        row("The file could not be saved there", "Le fichier n'a pas pu être enregistré ici"),
        row("Yes", "Oui"),
    ]
    assert in_their_language(rows, load_identifier(SHIPPED), refusals) == [rows[0], rows[2]]
    assert refusals.counts == {("libreoffice", "another language"): 1}


def test_an_english_text_is_held_out_whatever_its_spelling() -> None:
    texts = [f"{word} {n}" for n in range(300) for word in ("Thing", "thing")]
    for origin, share in (("libreoffice", 0.1), ("cldr-names", 0.19)):
        rows = [row(text, "Ding", origin=origin) for text in texts]
        held = held_out_keys(rows, frozenset({"thing 7"}))
        assert share - 0.07 < len(held) / 300 < share + 0.07
        assert held == held_out_keys(rows[::-1], frozenset({"thing 7"}))
        assert "thing 7" not in held
        # What filters are measured by is held out here as well.
        if origin == "cldr-names":
            assert {key_of(text) for text in texts if part_of(text) == REPORT} - {"thing 7"} <= held


def test_paragraphs_pair_only_where_an_article_has_as_many() -> None:
    english = [
        Pair("eng_Latn", text, None, article) for article, text in ((1, "One."), (1, "Two."), (2, "Three."))
    ]
    german = [
        Pair("deu", text, None, article)
        for article, text in ((1, "Eins."), (1, "Zwei."), (2, "A."), (2, "B."))
    ]
    late = [Pair("eng_Latn", "Late.", None, 28), Pair("deu", "Spät.", None, 28)]
    assert list(paragraphs_aligned([*english, *german, *late])) == [
        Pair("deu", "Eins.", "One."),
        Pair("deu", "Zwei.", "Two."),
    ]


def emoji(*words: Sequence[str]) -> dict[str, frozenset[str]]:
    return {word: frozenset(characters) for word, characters in words}


def test_keywords_pair_by_the_emoji_that_they_stand_on() -> None:
    english = emoji(("animal", "abcd"), ("pet", "ab"), ("sea", "xy"), ("odd", "z"), ("face", "ace"))
    german = emoji(("Tier", "abcd"), ("Haustier", "ab"), ("Meer", "xyq"), ("seltsam", "z"), ("Kopf", "bdfg"))
    assert list(aligned(english, german)) == [("animal", "Tier"), ("pet", "Haustier"), ("sea", "Meer")]
    # Two that fit equally well decide nothing.
    assert list(aligned(emoji(("pet", "ab")), emoji(("Haustier", "ab"), ("Hausfreund", "ab")))) == []


def test_enumerations_are_written_as_each_language_does(tmp_path: Path) -> None:
    for locale, two, end in (("en", "{0} and {1}", "{0}, and {1}"), ("de", "{0} und {1}", "{0} und {1}")):
        folder = tmp_path / "npm-cldr-misc-full-48.2.0/package/main" / locale
        folder.mkdir(parents=True)
        patterns = {"2": two, "start": "{0}, {1}", "end": end}
        (folder / "listPatterns.json").write_text(
            json.dumps({"main": {locale: {"listPatterns": {"listPattern-type-standard": patterns}}}})
        )
    names = {"dog": "Hund", "cat": "Katze", "bird": "Vogel", "fish": "Fisch", "cow": "Kuh"}
    pairs = [Pair("deu_Latn", german, english) for english, german in names.items()]
    made = list(pairs_of_lists(pairs, tmp_path))
    assert len(made) == 3
    for pair in made:
        words = [word for part in (pair.english or "").split(", and ") for word in part.split(", ")]
        words = [word for part in words for word in part.split(" and ")]
        own = pair.text.replace(" und ", ", ").split(", ")
        assert [names[word] for word in words] == own
    assert made == list(pairs_of_lists(list(reversed(pairs)), tmp_path))


def test_all_is_written_and_counted(refusals: Refusals) -> None:
    rows = [(row("dog", "Hund", origin="cldr-names"), TRAIN), (row("Save", "Speichern"), HELD_OUT)]
    refusals.add("firefox", "no words", "… | …")
    table = table_of(rows)
    assert table.schema == SCHEMA
    assert table.to_pylist()[0] == {
        "source": "dog", "target": "Hund", "nllb_code": "deu_Latn", "origin": "cldr-names",
        "licence": "Unicode-3.0", "kind": "name", "split": "train",
    }  # fmt: skip
    text = counts(rows, refusals)
    assert "| `deu_Latn` | 1 | 0 | 0 | 0 | 0 | 1 | 0 | 0 |" in text
    assert "| firefox | no words | 1 | … · … |" in text
    assert all(licence_of(origin) for origin in ORIGINS)
