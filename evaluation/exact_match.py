"""Exact match of short answers: with one normalisation on both sides, or as published."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from evaluation.answers import PLAIN, VQA, plain_answer, published_answer, vqa_answer
from evaluation.items import Item
from evaluation.measures import Measure, mean
from evaluation.signature import signature


def exact_match(items: Sequence[Item]) -> list[Measure]:
    """Share of English answers that equal a gold answer, both as VQAv2's evaluation normalises them."""
    return [_matching(items, "exact_match", lambda text, _: vqa_answer(text), norm=VQA, sides="both")]


def any_match(items: Sequence[Item]) -> list[Measure]:
    """Share of answers in any language that equal an accepted answer, as MaXM counts them.

    Both sides are composed, in lower case, without marks at their ends.
    """
    return [_matching(items, "any_match", plain_answer, norm=PLAIN, sides="both")]


def exact_match_published(items: Sequence[Item]) -> list[Measure]:
    """Exact match as mBLIP's evaluation has it: the prediction is cleaned, the gold answer is not.

    Right predictions of gold answers such as `t-shirt` or `none` count as wrong, so this is for comparison
    with published numbers alone.
    """
    scores = [
        not item.empty
        and published_answer(item.prediction) in {_bare(gold) for gold in item.expected.references}
        for item in items
    ]
    return [
        mean(
            "exact_match_published",
            np.array(scores, np.float64),
            signature("exact_match_published", norm="vqa-published", sides="prediction"),
        )
    ]


def any_match_published(items: Sequence[Item]) -> list[Measure]:
    """Any-of match as mBLIP's evaluation has it: nothing is cleaned but case and outer white space.

    Of MaXM's answers only the processed ones are accepted, as there.
    """
    scores = [
        not item.empty
        and _bare(item.prediction)
        in {_bare(gold) for gold in item.expected.published or item.expected.references}
        for item in items
    ]
    return [
        mean(
            "any_match_published",
            np.array(scores, np.float64),
            signature("any_match_published", norm="lower", sides="both"),
        )
    ]


def _bare(text: str) -> str:
    return text.lower().strip()


def _matching(
    items: Sequence[Item], name: str, normalise: Callable[[str, str], str], **settings: object
) -> Measure:
    scores = np.zeros(len(items))
    for place, item in enumerate(items):
        if not item.empty:
            language = item.expected.answer_language
            said = normalise(item.prediction, language)
            scores[place] = any(said == normalise(gold, language) for gold in item.expected.references)
    return mean(name, scores, signature(name, **settings))
