"""Captions balanced by their phrases: rare ones whole, frequent ones in part.

As LLaVA thins out a web set (Liu et al. 2023, https://arxiv.org/abs/2304.08485, filtering of CC3M), with runs
of words between function words in place of parsed noun phrases.
"""

from __future__ import annotations

import re

import numpy as np

from pipelines.hashing import Hashes
from pipelines.tasks.matching import empty_words

_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|[^\w\s]")

_ARTICLES = frozenset({"a", "an", "the"})

LONGEST = 4
"""Words of a phrase; a longer run is a phrase of its last words, where the noun stands."""


def phrases(caption: str) -> list[str]:
    """The runs of content words of an English caption, lower-case, each once."""
    runs: list[list[str]] = [[]]
    empty = empty_words() | _ARTICLES
    for token in _TOKEN.findall(caption.casefold()):
        if token in empty or not token[0].isalnum():
            runs.append([])
        else:
            runs[-1].append(token)
    return list(dict.fromkeys(" ".join(run[-LONGEST:]) for run in runs if run))


def kept_captions(captions: Hashes, phrases: Hashes, seen: int, keep: int) -> Hashes:
    """The sorted hashes of the captions that a phrase keeps.

    Args:
        captions, phrases: hashes of every caption with each of its phrases; aligned.
        seen: a phrase counts if at least so many captions hold it.
        keep: captions that each such phrase keeps: those with the lowest hashes.
    """
    pairs = np.unique(np.stack([phrases, captions], axis=1), axis=0)
    held, members = pairs[:, 0], pairs[:, 1]
    starts = np.flatnonzero(np.concatenate([[True], held[1:] != held[:-1]])[: len(held)])
    sizes = np.diff(np.append(starts, len(held)))
    rank = np.arange(len(held)) - np.repeat(starts, sizes)
    return np.unique(members[(rank < keep) & (np.repeat(sizes, sizes) >= seen)])
