"""VQA accuracy, worked by hand and against the rule as VQAv2 states it."""

from __future__ import annotations

import itertools
import json
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.answers import vqa_answer
from evaluation.vqa_accuracy import TooFewAnswersError, agreement, vqa_accuracy, vqa_accuracy_published
from tests.evaluation.conftest import item

SHARED = Path(__file__).parents[3] / "shared" / "data" / "source" / "vqav2"


def answered(*counts: tuple[str, int]) -> tuple[str, ...]:
    return tuple(answer for answer, times in counts for _ in range(times))


@pytest.mark.parametrize(("given_by", "score"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_ten_answers_give_the_known_steps(given_by: int, score: float) -> None:
    gold = answered(("net", given_by), ("racket", 10 - given_by))
    (measure,) = vqa_accuracy([item("Net.", *gold)])
    assert measure.statistics[0, 0] == pytest.approx(score)


@given(st.integers(0, 12), st.integers(0, 12))
def test_agreement_is_the_mean_over_people_left_out(with_it: int, against: int) -> None:
    if with_it + against == 0:
        return
    people = [True] * with_it + [False] * against
    left_out = [min(1.0, (sum(people) - one) / 3) for one in people]
    assert agreement(with_it, len(people)) == pytest.approx(statistics.mean(left_out))


def test_gold_answers_are_cleaned_too() -> None:
    gold = answered(("t-shirt", 6), ("T shirt", 4))
    (ours,) = vqa_accuracy([item("a t-shirt", *gold)])
    (published,) = vqa_accuracy_published([item("a t-shirt", *gold)])
    assert ours.statistics[0, 0] == 1
    # There only the four that need no cleaning match.
    assert published.statistics[0, 0] == 1
    (published,) = vqa_accuracy_published([item("a t-shirt", *answered(("t-shirt", 10)))])
    assert published.statistics[0, 0] == 0


def test_an_empty_prediction_is_wrong() -> None:
    (measure,) = vqa_accuracy([item("", *answered(("", 10)))])
    assert measure.statistics[0, 0] == 0


def test_too_few_answers_are_an_error_that_names_the_question() -> None:
    with pytest.raises(TooFewAnswersError, match=r"eng_Latn 'q7' has 1 gold answers.*exact_match"):
        vqa_accuracy([item("yes", "yes", name="q7")])


@pytest.mark.skipif(not SHARED.exists(), reason="needs the excerpts of VQAv2")
def test_official_annotations_need_no_cleaning() -> None:
    """So cleaning both sides gives what the official code gives, which cleans the prediction alone."""
    content = json.loads((SHARED / "v2_mscoco_val2014_annotations.json").read_text(encoding="utf-8"))
    answers = [[one["answer"] for one in question["answers"]] for question in content["annotations"]]
    kept = [answer for answer in itertools.chain.from_iterable(answers) if vqa_answer(answer) == answer]
    assert len(kept) / sum(map(len, answers)) > 0.97
    items = [item(statistics.mode(golds), *golds) for golds in answers]
    (ours,) = vqa_accuracy(items)
    official = [official_accuracy(vqa_answer(statistics.mode(golds)), golds) for golds in answers]
    assert ours.statistics[:, 0].mean() == pytest.approx(statistics.mean(official), abs=0.02)


def official_accuracy(said: str, golds: list[str]) -> float:
    """The rule of https://visualqa.org/evaluation.html, literally, on gold answers as they are."""
    left_out = []
    for place in range(len(golds)):
        others = golds[:place] + golds[place + 1 :]
        left_out.append(min(1.0, others.count(said) / 3))
    return statistics.mean(left_out)
