"""What the filters know of pairs of languages comes from translations alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.references import LEARN, part_of
from scripts.pair_statistics import (
    emoji_names,
    lengths,
    shared_words,
    write_lengths,
    write_shared_words,
)
from translation.filters import TextPair


def test_a_length_is_the_median_over_texts_that_are_long_enough() -> None:
    english = "twenty five characters ok"  # 22 without spaces
    pairs = [TextPair(english, "x" * count, "deu_Latn") for count in (11, 22, 44)]
    pairs += [TextPair("short", "x" * 500, "deu_Latn"), TextPair(english, "字 字" * 5 + "字", "zho_Hans")]
    assert lengths(pairs) == {"deu_Latn": (1.0, 3), "zho_Hans": (0.5, 1)}


def test_a_shared_word_is_kept_by_half_of_the_translations() -> None:
    found = shared_words(
        [
            ("deu_Latn", "a pizza and a taxi", "eine Pizza und ein Taxi"),
            ("deu_Latn", "the taxi", "die Droschke"),
            ("deu_Latn", "a taxi of Tom", "eine Droschke von Tom"),
            ("fra_Latn", "a dog", "un chien"),
        ]
    )
    assert found == {"deu_Latn": ["pizza"], "fra_Latn": []}


def test_names_of_emoji_are_read_for_default_languages_where_they_may_be_learnt(tmp_path: Path) -> None:
    names = {chr(0x1F600 + number): f"face {number}" for number in range(30)}
    for locale, prefix in (("en", ""), ("de", "Gesicht "), ("de-AT", "G "), ("pt-PT", "cara "), ("xx", "x ")):
        table = {one: {"default": ["k"], "tts": [prefix + name]} for one, name in names.items()}
        kind = "annotationsDerived" if locale == "pt-PT" else "annotations"
        path = tmp_path / kind / locale / "annotations.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({kind: {"annotations": table}}), encoding="utf-8")
    found = list(emoji_names(tmp_path))
    learnt = [name for name in names.values() if part_of(name) == LEARN]
    assert 0 < len(learnt) < len(names)
    assert sorted(found) == sorted(
        (code, name, prefix + name)
        for name in learnt
        for code, prefix in (("deu_Latn", "Gesicht "), ("por_Latn", "cara "))
    )


def test_the_tables_are_read_back_by_the_filters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from translation.filters import copying, length

    write_lengths(tmp_path / "lengths.tsv", {"deu_Latn": (1.2345, 7)})
    write_shared_words(tmp_path / "shared_words.tsv", {"deu_Latn": ["banane", "taxi"], "fra_Latn": []})
    monkeypatch.setattr(length, "files", lambda _: tmp_path)
    monkeypatch.setattr(copying, "files", lambda _: tmp_path)
    assert length.densities.__wrapped__()["deu_Latn"] == pytest.approx(1.234, abs=1e-3)
    assert length.densities.__wrapped__()["fra_Latn"] == pytest.approx(1.08)
    found = copying.shared_words.__wrapped__()
    assert found["deu_Latn"] == found["fra_Latn"] | {"banane", "taxi"}
    assert "pizza" in found["xho_Latn"]
