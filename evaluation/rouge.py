"""ROUGE-L of captions: the longest common subsequence of words (Lin 2004, aclanthology.org/W04-1013)."""

from __future__ import annotations

from collections.abc import Sequence

BETA = 1.2
"""How much more recall counts than precision, as in the evaluation of COCO captions."""


def rouge_l(hypothesis: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """ROUGE-L of a caption, 0 to 1, as `pycocoevalcap` has it: best precision and recall of any reference.

    Both sides are lists of words; an empty one matches nothing.
    """
    precision = recall = 0.0
    for reference in references:
        if hypothesis and reference:
            common = longest_common_subsequence(hypothesis, reference)
            precision = max(precision, common / len(hypothesis))
            recall = max(recall, common / len(reference))
    if precision == 0:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Words that both have in the same order.

    A row of the usual table is the bits of one number (Hyyrö 2004, Bit-parallel LCS-length computation).
    """
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    everywhere = (1 << len(one)) - 1
    row = everywhere
    for word in other:
        met = row & places.get(word, 0)
        row = (row + met | row - met) & everywhere
    return len(one) - row.bit_count()
