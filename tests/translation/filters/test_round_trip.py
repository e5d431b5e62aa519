"""The round trip: words that count as the same, inflections, and chrF++."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF

from translation.filters import TextPair, is_short
from translation.filters.english import same_lemma, words
from translation.filters.round_trip import (
    CHANGED,
    EXACT,
    SAME_LEMMA,
    agreement,
    chrf_plus_plus,
    round_trip_columns,
)


@pytest.mark.parametrize(
    ("source", "back"),
    [
        ("dog", "A dog."),
        ("the Dogs", "dogs"),
        ("2", "two"),
        ("twelve apples", "12 apples"),
        ("grey", "gray"),
        ("t-shirt", "T shirt"),
        ("donut", "doughnut"),
        ("ice cream", "icecream"),
        ("ｈａｔ", "hat"),
        ("it's", "it is"),
        ("don't walk", "do not walk"),
        ("man's hat", "the man’s hat"),
        ("1,000", "1000"),
        ("A", "a"),
    ],
)
def test_the_same_words_are_exact(source: str, back: str) -> None:
    assert agreement(source, back) == EXACT


@pytest.mark.parametrize(
    ("source", "back"),
    [
        ("car", "cars"),
        ("men", "the man"),
        ("running", "run"),
        ("runs", "running"),
        ("standing", "is standing"),
        ("standing", "to stand"),
        ("sitting", "they are sitting"),
        ("skateboarding", "skateboard"),
        ("knives", "knife"),
        ("bigger", "big"),
        ("red cars", "red car"),
        ("short sleeved", "short sleeve"),
    ],
)
def test_inflection_alone_is_told_apart(source: str, back: str) -> None:
    assert agreement(source, back) == agreement(back, source) == SAME_LEMMA


@pytest.mark.parametrize(
    ("source", "back"),
    [
        ("turkey", "Peru"),
        ("light blue", "blue light"),
        ("glass", "glasses"),
        ("new", "news"),
        ("car", "caring"),
        ("corn", "corner"),
        ("ski", "skier"),
        ("he is", "she is"),
        ("dog", ""),
        ("dog", "dog dog"),
        ("left", "right"),
        ("13", "30"),
    ],
)
def test_other_words_are_a_change(source: str, back: str) -> None:
    assert agreement(source, back) == agreement(back, source) == CHANGED


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_can_be_compared(first: str, second: str) -> None:
    assert agreement(first, first) == EXACT
    assert agreement(first, second) == agreement(second, first)


@given(st.text(st.sampled_from("abdeginrstuy"), min_size=1, max_size=8))
def test_a_word_is_of_its_own_lemma(word: str) -> None:
    assert same_lemma(word, word)
    assert words(word) == words(f"The {word.upper()}!") or word in ("a", "an")


SENTENCES = (
    "A man riding a wave on top of a surfboard.",
    "Two dogs play with a (red) frisbee in the park, while people watch!",
    "a b",
    "aaaaaaa aaaa",
    "",
    "x",
    "...",
    "你好，世界",
    "\ud800 broken",
    "\N{FAMILY} emoji \N{GRINNING FACE}\N{GRINNING FACE}",
)


def sacrebleu(hypothesis: str, reference: str) -> float:
    return float(CHRF(word_order=2).sentence_score(hypothesis, [reference]).score)


class TestChrf:
    def test_is_sacrebleu_s(self) -> None:
        pairs = [(one, other) for one in SENTENCES for other in SENTENCES]
        ours = chrf_plus_plus([one for one, _ in pairs], [other for _, other in pairs])
        assert ours == pytest.approx([sacrebleu(*pair) for pair in pairs], abs=1e-6)
        assert chrf_plus_plus([SENTENCES[0]], [SENTENCES[0]]) == pytest.approx([100])

    @given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=40)), max_size=8))
    def test_is_sacrebleu_s_for_any_text(self, pairs: list[tuple[str, str]]) -> None:
        ours = chrf_plus_plus([one for one, _ in pairs], [other for _, other in pairs])
        assert ours == pytest.approx([sacrebleu(*pair) for pair in pairs], abs=1e-6)

    def test_a_batch_does_not_change_a_score(self) -> None:
        hypotheses = [f"a dog number {index} in the park" for index in range(5000)]
        references = [f"the dog number {index % 7} in a park" for index in range(5000)]
        together = chrf_plus_plus(hypotheses, references)
        some = [0, 17, 4095, 4096, 4999]
        assert [together[one] for one in some] == [
            chrf_plus_plus([hypotheses[one]], [references[one]])[0] for one in some
        ]

    def test_lengths_must_agree(self) -> None:
        with pytest.raises(ValueError, match="2 hypotheses for 1"):
            chrf_plus_plus(["a", "b"], ["a"])


def test_short_sources_get_one_column_longer_ones_the_other() -> None:
    def pair(source: str, back: str | None) -> TextPair:
        return TextPair(source, "x", "deu_Latn", None, back)

    exact, chrf = round_trip_columns(
        [
            pair("cars", "car"),
            pair("a dog on the red table", "a dog on the red table"),
            pair("dog", None),
            pair("!", "!"),
        ]
    )
    assert exact[0] == np.float32(SAME_LEMMA)
    assert chrf[1] == pytest.approx(100)
    assert np.isnan(exact[1:]).all()
    assert np.isnan(chrf[[0, 2, 3]]).all()
    assert is_short("the three red dogs")
    assert not is_short("three red dogs run")


def test_a_long_number_is_one_word_and_read_once() -> None:
    # Minutes, were each of its digits looked at from all before it.
    assert words("1" * 100_000) == ("1" * 100_000,)
    assert words("1,000.5 men and 3.5") == ("1000.5", "men", "and", "3.5")
