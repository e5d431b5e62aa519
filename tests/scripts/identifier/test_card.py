"""The card says what the model is, what it learnt from under which licence, and how good it is."""

from __future__ import annotations

from pathlib import Path

from scripts.identifier.card import SYSTEMS, card, letters_by_label
from scripts.identifier.sources import SOURCES


def test_card() -> None:
    one = {
        "recall": 0.9876, "unrelated": 0.0001, "same_script": 0.002, "siblings": 0.1, "english": 0.0,
        "by_language": {"deu_Latn": 0.995},
    }  # fmt: skip
    figures = {
        "sets": {
            kind: {"languages": 88, **dict.fromkeys(SYSTEMS, one)} for kind in ("sentences", "nine_words")
        },
        "speed": {"ours": 30000, "ours_over_bare_fasttext_time": 1.03, "load_seconds": 0.03},
    }
    summary = {
        "recipe": {"dim": 24, "minn": 1, "maxn": 5, "bucket": 1000, "min_count": 10, "seed": 1},
        "bytes": 7_000_000,
        "sha256": "ab" * 32,
    }
    text = card(summary, figures, {"deu_Latn": 10**6, "smo_Latn": 8000, "bre_Latn": 9000})
    assert "ab" * 32 in text
    assert "7,000,000 bytes" in text
    assert "| this model | 0.988 | 0.988 |" in text
    assert "| German | `deu_Latn` | 0.995 | 0.995 |" in text
    assert "Samoan (8,000)" in text
    assert "`bre_Latn`" in text
    assert "--dim 24 --minn 1" in text
    for source in SOURCES:
        assert source.name in text
        assert source.licence in text


def test_letters_count_training_texts_only(tmp_path: Path) -> None:
    path = tmp_path / "corpus.tsv"
    path.write_text(
        "deu_Latn\tudhr\ttrain\tabc\ndeu_Latn\tudhr\treport\tabcdef\ndeu_Latn\ttesseract\ttrain\tabcd\n",
        encoding="utf-8",
    )
    assert letters_by_label(path) == {"deu_Latn": 3}
