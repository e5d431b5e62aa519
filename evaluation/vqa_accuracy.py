"""VQA accuracy: an answer is right as far as people gave it (Antol et al. 2015, arXiv:1505.00468)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from evaluation.answers import VQA, published_answer, vqa_answer
from evaluation.items import Item
from evaluation.measures import Measure, mean
from evaluation.signature import reference_count, signature

_ENOUGH = 3
"""So many of the other people make an answer wholly right."""


class TooFewAnswersError(ValueError):
    """A question has too few answers for this metric; the message names it."""


def vqa_accuracy(items: Sequence[Item]) -> list[Measure]:
    """VQA accuracy with the normalisation of VQAv2's evaluation on both sides.

    The official code cleans predictions wholly, and of gold answers the punctuation alone, where they differ.
    On VQAv2's own annotations, which were cleaned before they were published, both give the same.

    Raises:
        TooFewAnswersError: a question has fewer than four gold answers, so that none could be wholly right.
    """
    return [_accuracy(items, "vqa_accuracy", vqa_answer, vqa_answer, norm=VQA, sides="both")]


def vqa_accuracy_published(items: Sequence[Item]) -> list[Measure]:
    """VQA accuracy as mBLIP's evaluation has it: predictions are cleaned, gold answers are not.

    Raises:
        TooFewAnswersError: see `vqa_accuracy`.
    """
    return [
        _accuracy(
            items,
            "vqa_accuracy_published",
            published_answer,
            lambda gold: gold.lower().strip(),
            norm="vqa-published",
            sides="prediction",
        )
    ]


def agreement(matches: int, answers: int) -> float:
    """The mean over people of whether the others agree with an answer, at most 1 each.

    Args:
        matches: how many people gave the answer.
        answers: how many people answered.
    """
    with_it = matches * min(1.0, (matches - 1) / _ENOUGH)
    against = (answers - matches) * min(1.0, matches / _ENOUGH)
    return (with_it + against) / answers


def _accuracy(
    items: Sequence[Item],
    name: str,
    of_prediction: Callable[[str], str],
    of_gold: Callable[[str], str],
    **settings: object,
) -> Measure:
    scores = np.zeros(len(items))
    for place, item in enumerate(items):
        golds = item.expected.references
        if len(golds) <= _ENOUGH:
            raise TooFewAnswersError(
                f"{name}: {item.expected.language} {item.expected.id!r} has {len(golds)} gold answers, more "
                f"than {_ENOUGH} wanted (VQAv2 has 10); with one answer a question use exact_match"
            )
        if not item.empty:
            said = of_prediction(item.prediction)
            scores[place] = agreement(sum(said == of_gold(gold) for gold in golds), len(golds))
    return mean(name, scores, signature(name, refs=reference_count(items), **settings))
