"""CIDEr-D, the consensus of a caption with its references (Vedantam et al. 2015, arXiv:1411.5726).

As `pycocoevalcap` computes it, with all captions of a language in a few sorts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

ORDER, SIGMA = 4, 6.0
"""Longest n-grams, and how fast a difference in length costs, as published."""

_Ints = NDArray[np.int64]
_Floats = NDArray[np.float64]


def cider_scores(
    hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> _Floats:
    """CIDEr-D of each caption, 0 to 10, given as words, against the references of its picture.

    Document frequencies are those of all references given, so a score depends on the whole set: pictures
    without a prediction belong in it, with no words. A single picture scores 0, for no word of it is rare.

    Raises:
        ValueError: the two are not of one length, or a picture has no reference.
    """
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} captions for {len(references)} pictures")
    counts = np.fromiter(map(len, references), np.int64, len(references))
    if not counts.all():
        raise ValueError(f"picture {int(np.argmin(counts))} has no reference")
    count = len(hypotheses)
    if count == 0:
        return np.empty(0)
    texts = [*hypotheses, *chain.from_iterable(references)]
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    numbers: dict[str, int] = {}
    words = np.fromiter(
        (numbers.setdefault(word, len(numbers)) for word in chain.from_iterable(texts)),
        np.int64,
        int(sizes.sum()),
    )
    # Text -> picture; the first texts are the hypotheses, in order.
    picture = np.concatenate([np.arange(count), np.repeat(np.arange(count), counts)])
    penalty = np.exp(-((sizes[picture[count:]] - sizes[count:]) ** 2) / (2 * SIGMA**2))
    similarity = np.zeros(len(texts) - count)
    for text, gram in _grams(words, sizes):
        similarity += _cosines(text, gram, picture, count)
    total = np.bincount(picture[count:], similarity * penalty, count)
    return 10 * total / (ORDER * counts)


def _grams(words: _Ints, sizes: _Ints) -> Iterator[tuple[_Ints, _Ints]]:
    """Per order, for each n-gram the number of its text and a number of its own, in text order."""
    text = np.repeat(np.arange(len(sizes)), sizes)
    left = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(words))  # words to the end of the text
    vocabulary = int(words.max()) + 1 if len(words) else 1
    # An n-gram is the number of the one without its last word, and this word: two 32-bit numbers.
    gram = words
    for order in range(1, ORDER + 1):
        if order > 1:
            longer = left >= order
            place = np.flatnonzero(longer)
            pairs = gram[place] * vocabulary + words[place + order - 1]
            gram = np.zeros(len(words), np.int64)
            gram[place] = np.unique(pairs, return_inverse=True)[1]
        whole = left >= order
        yield text[whole], gram[whole]


def _cosines(text: _Ints, gram: _Ints, picture: _Ints, count: int) -> _Floats:
    """Per reference the clipped cosine of its picture's hypothesis with it, over n-grams of one order."""
    if not len(gram):
        return np.zeros(len(picture) - count)
    kinds = int(gram.max()) + 1
    # One entry per text and distinct n-gram, sorted by both.
    keys, times = np.unique(text * kinds + gram, return_counts=True)
    owner, kind = np.divmod(keys, kinds)
    of_reference = owner >= count
    documents = np.unique(picture[owner[of_reference]] * kinds + kind[of_reference]) % kinds
    frequency = np.bincount(documents, minlength=kinds)
    rarity = np.log(float(count)) - np.log(np.maximum(frequency, 1))
    weight = times * rarity[kind]
    norm = np.sqrt(np.bincount(owner, weight**2, len(picture)))
    # Each entry of a reference meets that of its picture's hypothesis, where it has one.
    first = int(np.searchsorted(owner, count))
    wanted = picture[owner[first:]] * kinds + kind[first:]
    place = np.minimum(np.searchsorted(keys[:first], wanted), max(first - 1, 0))
    met = keys[place] == wanted if first else np.zeros(len(wanted), np.bool_)
    theirs = weight[first:][met]
    ours = weight[place[met]]
    products = np.bincount(
        owner[first:][met] - count, np.minimum(ours, theirs) * theirs, len(picture) - count
    )
    norms = norm[picture[count:]] * norm[count:]
    cosines: _Floats = np.divide(products, norms, out=np.zeros(len(products)), where=norms > 0)
    return cosines
