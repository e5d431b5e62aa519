"""CIDEr-D is that of pycocoevalcap, on made-up and on real captions."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.captions import cider, cider_by_characters
from evaluation.cider import cider_scores
from evaluation.tokens import tokenise
from tests.evaluation.conftest import item

SHARED = Path(__file__).parents[3] / "shared" / "data" / "eval"

XTD = {
    "de": "deu_Latn", "en": "eng_Latn", "es": "spa_Latn", "fr": "fra_Latn", "it": "ita_Latn",
    "jp": "jpn_Jpan", "ko": "kor_Hang", "pl": "pol_Latn", "ru": "rus_Cyrl",
    "tr": "tur_Latn", "zh": "zho_Hans",
}  # fmt: skip
XFLICKRCO = ("de", "en", "es", "id", "ja", "ru", "tr", "zh")

Words = Sequence[Sequence[str]]


def published(hypotheses: Words, references: Sequence[Words]) -> list[float]:
    scorer = pytest.importorskip("pycocoevalcap.cider.cider").Cider()
    gts = {place: [" ".join(words) for words in own] for place, own in enumerate(references)}
    res = {place: [" ".join(words)] for place, words in enumerate(hypotheses)}
    return [float(score) for score in scorer.compute_score(gts, res)[1]]


REFERENCES = [
    [["a", "dog", "runs", "on", "grass"], ["the", "brown", "dog", "is", "running"]],
    [["a", "man", "rides", "a", "horse"]],
    [
        ["two", "dogs", "play", "with", "a", "ball", "on", "the", "grass"],
        ["dogs"],
        ["a", "dog", "and", "a", "dog", "and", "a", "dog"],
    ],
    [["trees"]],
]
HYPOTHESES = [
    ["a", "dog", "runs", "on", "the", "grass"],
    ["a", "man", "a", "man", "a", "man", "a", "horse"],
    [],
    ["trees"],
]


def test_a_small_set_scores_as_published() -> None:
    assert cider_scores(HYPOTHESES, REFERENCES) == pytest.approx(published(HYPOTHESES, REFERENCES), abs=1e-12)


def test_a_perfect_caption_of_a_rare_kind_worked_by_hand() -> None:
    # All n-grams are of one picture alone, so each order's cosine is 1: mean of four, times 10.
    references = [[list("abcd")], [list("efgh")]]
    assert cider_scores([list("abcd"), list("efgx")], references)[0] == pytest.approx(10)
    # A word less: of its 1-grams 3 of 4 are met, of 2-grams 2 of 3, of 3-grams 1 of 2, and length costs.
    shorter = math.exp(-1 / 72) * sum(
        ours / math.sqrt(ours * theirs) for ours, theirs in ((3, 4), (2, 3), (1, 2))
    )
    assert cider_scores([list("abc"), list("efgh")], references)[0] == pytest.approx(10 * shorter / 4)


def test_nothing_in_common_and_nothing_at_all_score_zero() -> None:
    assert cider_scores([["x"], []], [[["a"]], [["b"]]]).tolist() == [0, 0]
    assert cider_scores([["a"]], [[["a"]]]).tolist() == [0]
    assert cider_scores([[], []], [[[]], [[]]]).tolist() == [0, 0]
    assert cider_scores([], []).tolist() == []


def test_a_picture_without_reference_is_an_error() -> None:
    with pytest.raises(ValueError, match="picture 1 has no reference"):
        cider_scores([["a"], ["b"]], [[["a"]], []])
    with pytest.raises(ValueError, match="1 captions for 2 pictures"):
        cider_scores([["a"]], [[["a"]], [["b"]]])


words = st.lists(st.sampled_from("abcde"), max_size=9)


@given(st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=3)), min_size=1, max_size=6))
def test_any_set_scores_as_published(pictures: list[tuple[list[str], list[list[str]]]]) -> None:
    hypotheses = [said for said, _ in pictures]
    references = [own for _, own in pictures]
    if not any(any(own) for own in references):
        return  # pycocoevalcap fails on a set without a word
    ours = cider_scores(hypotheses, references)
    assert ours == pytest.approx(published(hypotheses, references), abs=1e-9)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the excerpts of XTD")
@pytest.mark.parametrize("name", XTD)
def test_real_captions_of_xtd_score_as_published(name: str) -> None:
    content = json.loads((SHARED / "babel_imagenet" / "xtd.json").read_text(encoding="utf-8"))
    references = [tokenise(own, XTD[name]) for own in content["captions"][name]]
    check(references)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the captions of xFlickrCO")
@pytest.mark.parametrize("name", XFLICKRCO)
def test_real_captions_of_xflickrco_score_as_published(name: str) -> None:
    path = SHARED / "xflickrco" / "annotations" / name / "test.jsonl"
    captions = [json.loads(line)["sentences"] for line in path.read_text(encoding="utf-8").splitlines()]
    code = {"id": "ind_Latn", "ja": "jpn_Jpan"}.get(name) or XTD[name]
    check([tokenise(own, code) for own in captions[:500]])


def check(references: list[list[list[str]]]) -> None:
    """The caption of the picture before, and every third picture's own without a word, and one of none."""
    hypotheses = [
        own[0][1:] if place % 3 == 0 else references[place - 1][0] for place, own in enumerate(references)
    ]
    hypotheses[5] = []
    ours = cider_scores(hypotheses, references)
    assert ours == pytest.approx(published(hypotheses, references), abs=1e-6)
    assert ours.mean() > 0.5


def test_languages_are_corpora_of_their_own() -> None:
    german = [item("ein Hund", "ein Hund", language="deu_Latn"), item("x", "eine Katze", language="deu_Latn")]
    english = [item("a dog", "a dog"), item("a dog", "a dog"), item("a cat", "a cat")]
    (mixed,) = cider([*english, *german])
    (alone,) = cider(german)
    assert mixed.statistics[3:].tolist() == alone.statistics.tolist()
    assert mixed.signature == (
        "cider|n:4|sigma:6|df:references|refs:1|tok:words-1|seg:spaces|scale:100|rev:1"
    )


def test_punctuation_case_and_composition_change_nothing() -> None:
    plain = [item("un café noir", "un café noir", language="fra_Latn"), item("x", "y", language="fra_Latn")]
    dressed = [
        item("Un cafe\u0301 noir.", "«un café, noir!»", language="fra_Latn"),
        item("x", "y", language="fra_Latn"),
    ]
    assert np.array_equal(cider(plain)[0].statistics, cider(dressed)[0].statistics)


def test_published_code_segments_references_and_predictions_apart_and_leaves_out_what_is_missing() -> None:
    """Here both sides are cut alike, and a picture without prediction counts, with nothing."""
    items = [
        item("一个人在跑", "一个人在跑。", language="zho_Hans"),
        item("狗", "一只狗", language="zho_Hans", name="2"),
    ]
    (whole,) = cider_by_characters(items)
    (part,) = cider_by_characters([*items, item("", "一棵树", language="zho_Hans", name="3")])
    assert whole.statistics[0, 0] == pytest.approx(10)
    assert part.statistics[2].tolist() == [0, 1]
    assert part.value(part.statistics.sum(axis=0)) < whole.value(whole.statistics.sum(axis=0))
