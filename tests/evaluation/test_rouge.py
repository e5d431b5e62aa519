"""ROUGE-L is that of pycocoevalcap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.captions import rouge
from evaluation.rouge import longest_common_subsequence, rouge_l
from tests.evaluation.conftest import item

words = st.lists(st.sampled_from("abcd"), max_size=12)


def plain_length(one: list[str], other: list[str]) -> int:
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for row, word in enumerate(one):
        for place, met in enumerate(other):
            table[row + 1][place + 1] = (
                table[row][place] + 1 if word == met else max(table[row][place + 1], table[row + 1][place])
            )
    return table[-1][-1]


@given(words, words)
def test_the_subsequence_is_as_long_as_the_table_says(one: list[str], other: list[str]) -> None:
    assert longest_common_subsequence(one, other) == plain_length(one, other)


@given(words.filter(bool), st.lists(words.filter(bool), min_size=1, max_size=3))
def test_captions_score_as_published(said: list[str], references: list[list[str]]) -> None:
    scorer = pytest.importorskip("pycocoevalcap.rouge.rouge").Rouge()
    theirs = scorer.calc_score([" ".join(said)], [" ".join(own) for own in references])
    assert rouge_l(said, references) == pytest.approx(theirs)


def test_worked_by_hand() -> None:
    # Three words in order: precision 3/4, recall 3/5.
    score = rouge_l(["the", "dog", "runs", "fast"], [["the", "brown", "dog", "runs", "here"]])
    assert score == pytest.approx(2.44 * 0.75 * 0.6 / (0.6 + 1.44 * 0.75))
    assert rouge_l([], [["a"]]) == rouge_l(["a"], [[]]) == rouge_l(["a"], [["b"]]) == 0


def test_items_of_any_language() -> None:
    (measure,) = rouge([item("A dog!", "a dog"), item("", "ein Hund", language="deu_Latn")])
    assert measure.statistics[:, 0].tolist() == [pytest.approx(1), 0]
    assert measure.signature == "rouge_l|beta:1.2|refs:1|tok:words-1|seg:spaces|rev:1"
