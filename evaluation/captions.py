"""Caption metrics on words: CIDEr-D and ROUGE-L, each language a corpus of its own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice

import numpy as np

from evaluation.cider import ORDER, SIGMA, cider_scores
from evaluation.items import Item, by_answer
from evaluation.measures import Measure, mean
from evaluation.rouge import BETA, rouge_l
from evaluation.signature import reference_count, signature
from evaluation.tokens import REVISION, Segmenter, segmentation, tokenise

Words = list[list[str]]


def cider(items: Sequence[Item], segmenter: Segmenter = "icu") -> list[Measure]:
    """CIDEr-D times 100, the mean over captions; document frequencies from the references of the language.

    Pictures without a prediction score 0 and count among the documents.

    Raises:
        SegmenterError: a language needs ICU, which is not installed.
    """
    scores = np.zeros(len(items))
    for language, places in by_answer(items):
        scores[places] = cider_scores(*_words([items[place] for place in places], language, segmenter))
    name = "cider" if segmenter == "icu" else f"cider_{segmenter}"
    line = signature(
        name, n=ORDER, sigma=f"{SIGMA:g}", df="references", **_wording(items, segmenter), scale=100
    )
    return [mean(name, scores, line)]


def cider_by_characters(items: Sequence[Item]) -> list[Measure]:
    """`cider` with single characters for words in Chinese, Japanese, Thai, Burmese, Khmer and Lao."""
    return cider(items, "characters")


def rouge(items: Sequence[Item]) -> list[Measure]:
    """ROUGE-L in percent, the mean over captions.

    Raises:
        SegmenterError: a language needs ICU, which is not installed.
    """
    scores = np.zeros(len(items))
    for language, places in by_answer(items):
        hypotheses, references = _words([items[place] for place in places], language, "icu")
        scores[places] = [rouge_l(*pair) for pair in zip(hypotheses, references, strict=True)]
    return [mean("rouge_l", scores, signature("rouge_l", beta=BETA, **_wording(items, "icu")))]


def _words(items: Sequence[Item], language: str, segmenter: Segmenter) -> tuple[Words, list[Words]]:
    """Hypotheses and references as words."""
    hypotheses = tokenise([item.prediction for item in items], language, segmenter)
    references = [item.expected.references for item in items]
    words = iter(tokenise(list(chain.from_iterable(references)), language, segmenter))
    return hypotheses, [list(islice(words, len(own))) for own in references]


def _wording(items: Sequence[Item], segmenter: Segmenter) -> dict[str, object]:
    found = {segmentation(item.expected.answer_language, segmenter) for item in items}
    return {"refs": reference_count(items), "tok": REVISION, "seg": "+".join(sorted(found))}
