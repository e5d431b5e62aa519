"""BLEU, chrF++ and spBLEU are sacrebleu's, over all items and over any part of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from evaluation import corpus
from evaluation.corpus import PiecesError, bleu, chrf, spbleu
from evaluation.items import Item
from evaluation.measures import Measure
from tests.evaluation.conftest import item
from translation.model import model_directory

SENTENCES = [
    ("A dog runs on the grass.", ("A dog is running on the grass.", "The dog runs on grass.")),
    ("Two men ride a horse in the park", ("Two men on horses in the park.",)),
    ("", ("A tree.",)),
    (
        "It is a red car, parked in a street.",
        ("A red car parked in the street", "A car", "One red car there."),
    ),
]
ITEMS = [item(said, *golds, name=str(place)) for place, (said, golds) in enumerate(SENTENCES)]

texts = st.text(alphabet="abc de.", max_size=20)
sets = st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=1, max_size=4)


def whole(measure: Measure) -> float:
    return float(measure.value(measure.statistics.sum(axis=0)))


def streams(items: list[Item]) -> list[list[str | None]]:
    most = max(len(one.expected.references) for one in items)
    return [
        [(one.expected.references[at] if at < len(one.expected.references) else None) for one in items]
        for at in range(most)
    ]


def test_a_corpus_has_sacrebleus_values() -> None:
    said, golds = [one.prediction for one in ITEMS], streams(ITEMS)
    assert whole(bleu(ITEMS)[0]) == pytest.approx(BLEU().corpus_score(said, golds).score)
    assert whole(chrf(ITEMS)[0]) == pytest.approx(CHRF(word_order=2).corpus_score(said, golds).score)


@given(sets)
def test_any_corpus_has_sacrebleus_values(pairs: list[tuple[str, list[str]]]) -> None:
    items = [item(said, *golds) for said, golds in pairs]
    said, golds = [one.prediction for one in items], streams(items)
    for (measure,), scorer in ((bleu(items), BLEU()), (chrf(items), CHRF(word_order=2))):
        found = whole(measure)
        expected = scorer.corpus_score(said, golds).score
        if np.isnan(found):  # references without a letter
            assert expected == 0
        else:
            assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("metric", [bleu, chrf])
def test_parts_of_a_corpus_are_found_from_the_statistics(metric: object) -> None:
    (measure,) = metric(ITEMS)  # type: ignore[operator]
    (part,) = metric([ITEMS[0], ITEMS[3]])  # type: ignore[operator]
    both = measure.value(np.stack([measure.statistics[[0, 3]].sum(axis=0), measure.statistics.sum(axis=0)]))
    assert both == pytest.approx([whole(part), whole(measure)])


def test_tokenizers_go_by_language_and_stand_in_the_signature() -> None:
    items = [
        item("一个人在跑", "一个人在跑步", language="zho_Hans"),
        item("男が走る", "男が走っている", language="jpn_Jpan"),
        item("ein Hund läuft", "ein Hund läuft", language="deu_Latn"),
    ]
    (measure,) = bleu(items)
    assert "|tok:13a+char+zh|" in measure.signature
    chinese = BLEU(tokenize="zh").corpus_score(["一个人在跑"], [["一个人在跑步"]]).score
    assert float(measure.value(measure.statistics[0])) == pytest.approx(chinese)


def test_pieces_of_a_model_are_bleus_tokens() -> None:
    import sentencepiece

    path = next(model_directory("small").glob("*.model"))
    (measure,) = spbleu(ITEMS, pieces=path)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def cut(text: str | None) -> str | None:
        return None if text is None else " ".join(processor.encode(text, out_type=str))

    golds = [[cut(text) for text in stream] for stream in streams(ITEMS)]
    theirs = BLEU(tokenize="none", force=True).corpus_score([cut(one.prediction) for one in ITEMS], golds)
    assert whole(measure) == pytest.approx(theirs.score)
    assert "|tok:spm-" in measure.signature


def test_a_bad_or_missing_model_of_pieces_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tmp_path / "bad.model"
    bad.write_bytes(b"no model")
    with pytest.raises(PiecesError, match=r"bad\.model is no SentencePiece model"):
        spbleu(ITEMS, bad)
    with pytest.raises(PiecesError, match=r"cannot read .*none\.model"):
        spbleu(ITEMS, tmp_path / "none.model")

    def offline(**_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(corpus, "BLEU", offline)
    with pytest.raises(PiecesError, match=r"flores200sacrebleuspm"):
        spbleu(ITEMS)
