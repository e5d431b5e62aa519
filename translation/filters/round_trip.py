"""Whether the translation, translated back, says what the source said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from translation.filters.english import same_lemma, words
from translation.filters.pairs import Column, TextPair

SHORT_WORDS = 3
"""Up to so many words, articles aside, a text must come back exactly; chrF says little about them."""

EXACT, SAME_LEMMA, CHANGED = 1.0, 0.9, 0.0
"""The values of `round_trip_exact`: the same words, the same but for inflection (`cars`, `car`), neither."""


def is_short(text: str) -> bool:
    """Whether a round trip of an English text must be exact: it has at most three words, articles aside."""
    return len(words(text)) <= SHORT_WORDS


def goes_back(text: str, round_trip: str) -> bool:
    """Whether the translation of an English text is translated back.

    Args:
        round_trip: `none`, `short` or `all`.
    """
    return round_trip == "all" or (round_trip == "short" and is_short(text))


def agreement(source: str, back: str) -> float:
    """`EXACT`, `SAME_LEMMA` or `CHANGED`: whether an English text came back with the same words.

    Case, punctuation, articles, spelling and number words do not count (`translation.filters.english.words`);
    an added `is` or `are` counts as inflection (`standing`, `is standing`).
    """
    there, again = words(source), words(back)
    if there == again:
        return EXACT
    if len(there) > len(again):
        there = _without_auxiliary(there)
    elif len(again) > len(there):
        again = _without_auxiliary(again)
    return SAME_LEMMA if len(there) == len(again) and all(map(same_lemma, there, again)) else CHANGED


_PRONOUNS = frozenset({"he", "she", "it", "they", "i"})
_AUXILIARIES = frozenset({"am", "is", "are", "was", "were", "be", "been", "being", "to"})


def _without_auxiliary(text: tuple[str, ...]) -> tuple[str, ...]:
    """`it is standing`, `to stand` -> `standing`, `stand`; a text of such words alone keeps its last."""
    start = int(len(text) > 2 and text[0] in _PRONOUNS and text[1] in _AUXILIARIES)
    while start < len(text) - 1 and text[start] in _AUXILIARIES:
        start += 1
    return text[start:]


def round_trip_columns(pairs: Sequence[TextPair]) -> tuple[Column, Column]:
    """The columns `round_trip_exact` and `round_trip_chrf` (chrF++, 0..100); NaN where one does not apply.

    Short sources have the first, longer ones the second, pairs without back-translation or without a word in
    the source neither.
    """
    exact = np.full(len(pairs), np.nan, np.float32)
    chrf = np.full(len(pairs), np.nan, np.float32)
    longer: list[int] = []
    for index, pair in enumerate(pairs):
        if pair.back_translation is None:
            continue
        length = len(words(pair.source))
        if length > SHORT_WORDS:
            longer.append(index)
        elif length:
            exact[index] = agreement(pair.source, pair.back_translation)
    backs = [pairs[index].back_translation or "" for index in longer]
    chrf[longer] = chrf_plus_plus(backs, [pairs[index].source for index in longer])
    return exact, chrf


# --- chrF++ (Popović 2017, https://aclanthology.org/W17-4770), with sacrebleu's defaults ----------

_CHARACTER_ORDER, _WORD_ORDER, _BETA = 6, 2, 2
_AT_ONCE = 4096  # pairs; bounds memory, and leaves 52 of 64 bits to an n-gram
_BITS = 51
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
# A random odd number spreads an n-gram over the upper bits (multiplicative hashing).
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def chrf_plus_plus(hypotheses: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """chrF++ of each hypothesis against its reference, 0..100, as `sacrebleu.CHRF(word_order=2)` has it.

    Counts the n-grams of thousands of pairs in one sort, which takes an eighth of sacrebleu's time. They
    are compared by 51 bits of a hash, so two of one pair are mixed up once in 10 ** 11 captions.

    Raises:
        ValueError: the two are not of one length.
    """
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses for {len(references)} references")
    scores = [
        _chrf(hypotheses[start : start + _AT_ONCE], references[start : start + _AT_ONCE])
        for start in range(0, len(hypotheses), _AT_ONCE)
    ]
    return np.concatenate(scores) if scores else np.empty(0)


def _chrf(hypotheses: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    count = len(hypotheses)
    texts = ["".join(text.split()) for text in (*hypotheses, *references)]
    symbols = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    counts = list(_matches(symbols, [len(text) for text in texts], count, _CHARACTER_ORDER))

    tokens = [list(_tokens(text)) for text in (*hypotheses, *references)]
    numbers: dict[str, int] = {}
    ids = [numbers.setdefault(token, len(numbers) + 1) for token in chain.from_iterable(tokens)]
    counts += _matches(np.array(ids, np.uint32), [len(text) for text in tokens], count, _WORD_ORDER)

    precisions, recalls, orders = np.zeros(count), np.zeros(count), np.zeros(count)
    for ours, theirs, matches in counts:
        both = (ours > 0) & (theirs > 0)
        precisions += np.divide(matches, ours, out=np.zeros(count), where=both)
        recalls += np.divide(matches, theirs, out=np.zeros(count), where=both)
        orders += both
    orders = np.maximum(orders, 1)
    precision, recall = precisions / orders, recalls / orders
    weight = _BETA**2
    total = weight * precision + recall
    return 100 * np.divide((1 + weight) * precision * recall, total, out=np.zeros(count), where=total > 0)


Counts = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Per pair the n-grams of one order: of the hypothesis, of the reference, in both."""


def _matches(
    symbols: NDArray[np.uint32], lengths: Iterable[int], count: int, highest: int
) -> Iterator[Counts]:
    """The counts of each order up to `highest`; `symbols` holds all hypotheses, then all references."""
    sizes = np.fromiter(lengths, np.int64, 2 * count)
    text = np.repeat(np.arange(2 * count, dtype=np.uint64), sizes)
    pair, side = text % np.uint64(count), (text >= count).astype(np.uint64)
    left = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(symbols))  # symbols to the end of the text
    wide = symbols.astype(np.uint64)
    grams = np.zeros(len(symbols), np.uint64)
    place = pair << np.uint64(_BITS + 1)
    for order in range(1, highest + 1):
        longer = wide[order - 1 :]
        grams[: len(longer)] *= _SPREAD
        grams[: len(longer)] += longer
        whole = left >= order
        hashed = (grams[whole] * _SPREAD) >> np.uint64(64 - _BITS)
        keys = place[whole] | (hashed << np.uint64(1)) | side[whole]
        keys.sort()
        yield _counted(keys, np.maximum(sizes - order + 1, 0), count)


def _counted(keys: NDArray[np.uint64], sizes: NDArray[np.int64], count: int) -> Counts:
    starts = (
        np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if len(keys) else np.empty(0, int)
    )
    runs, times = keys[starts], np.diff(np.append(starts, len(keys)))
    # Of one n-gram the run of the hypothesis (even) stands right before that of the reference (odd).
    shared = np.flatnonzero(runs[:-1] ^ runs[1:] == 1)
    matches = np.bincount(
        (runs[shared] >> np.uint64(_BITS + 1)).astype(np.int64),
        np.minimum(times[shared], times[shared + 1]),
        count,
    )
    return sizes[:count], sizes[count:], matches.astype(np.int64)


def _tokens(text: str) -> Iterator[str]:
    """Words with one mark of punctuation at an end cut off, as chrF++ has it."""
    for word in text.split():
        if len(word) > 1 and word[-1] in _PUNCTUATION:
            yield word[:-1]
            yield word[-1]
        elif len(word) > 1 and word[0] in _PUNCTUATION:
            yield word[0]
            yield word[1:]
        else:
            yield word
