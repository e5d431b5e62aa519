"""Phrases of captions, and the captions that they keep."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.phrases import LONGEST, kept_captions, phrases

Pairs = list[tuple[int, int]]


def test_phrases_are_runs_of_content_words_each_once() -> None:
    assert phrases("A red bus next to a red bus, and the street light") == ["red bus", "street light"]


def test_a_long_run_is_known_by_its_last_words() -> None:
    assert phrases("a big old rusty red london bus") == ["rusty red london bus"]
    assert len(phrases("a big old rusty red london bus")[0].split()) == LONGEST


def test_punctuation_ends_a_phrase_and_case_does_not_count() -> None:
    assert phrases("Dogs. CATS") == ["dogs", "cats"]


def test_a_caption_without_content_has_no_phrase() -> None:
    assert phrases("this is a picture of the ...") == []


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 6)), max_size=120),
    st.integers(1, 6),
    st.integers(1, 6),
)
def test_each_frequent_phrase_keeps_its_captions_with_the_lowest_hashes(
    pairs: Pairs, seen: int, keep: int
) -> None:
    captions, held = np.array(pairs, dtype=np.uint64).reshape(-1, 2).T
    kept = set(kept_captions(captions, held, seen, keep).tolist())
    wanted = set()
    for phrase in {phrase for _, phrase in pairs}:
        with_it = sorted({caption for caption, one in pairs if one == phrase})
        if len(with_it) >= seen:
            wanted.update(with_it[:keep])
    assert kept == wanted


def test_no_captions_keep_none() -> None:
    none = np.empty(0, dtype=np.uint64)
    assert len(kept_captions(none, none, 1, 1)) == 0
