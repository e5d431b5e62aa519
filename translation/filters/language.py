"""Whether the target is in the language that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from translation.filters.length import densities
from translation.filters.pairs import Batch, Column
from translation.identification import Identifier
from translation.languages import ENGLISH, languages

# Where the first identifier gives another language a smaller lead than this, the second is not asked.
_DOUBT = 0.02

# With it, one threshold finds 60 % of the other languages of the same script in names and answers, where
# 0.5 % of the right ones are rejected; without it 49 %. In captions it makes no difference (99.6 %).
_HALF_WEIGHT = 5


def language_scores(batch: Batch, identifier: Identifier) -> dict[str, Column]:
    """`lid`, `confusable` and `english` from an identifier's candidates (NLLB code to confidence).

    `lid` is 1 minus the lead that another language has over the wanted one, `confusable` the same for the
    registry's confusable siblings (Danish for Norwegian), `english` the lead of English. In doubt the
    identifier's second opinion is asked too, and leads are means of the two. A lead counts by n / (n + 5)
    with n the letters (as many as English would need), for in a word or two it is a guess. None where the
    identifier cannot tell, or cannot name the language. What no translation changes is not looked at.
    """
    texts = batch.plain_targets
    found = identifier.identify(texts)
    leads = np.zeros((3, len(batch)))
    for index, (code, candidates) in enumerate(zip(batch.languages, found, strict=True)):
        # Most texts are in their language, and then nothing else leads.
        if next(iter(candidates), code) != code:
            leads[:, index] = _leads(code, candidates)
    second = identifier.second_opinion
    if second is not None:
        # A second opinion that is not asked agrees; one that cannot name the language has none.
        others = second.languages()
        doubtful = [int(index) for index in np.flatnonzero(leads.max(axis=0) > _DOUBT)]
        doubtful = [index for index in doubtful if batch.languages[index] in others]
        opinions = second.identify([texts[index] for index in doubtful])
        for index, candidates in zip(doubtful, opinions, strict=True):
            leads[:, index] = (leads[:, index] + _leads(batch.languages[index], candidates)) / 2
    size = batch.letters / batch.per_language(densities())
    leads *= size / (size + _HALF_WEIGHT)
    nameable = identifier.languages()
    told = np.fromiter((bool(candidates) for candidates in found), np.bool_, len(batch))
    known = told & batch.where_language(nameable.__contains__)
    resembled = batch.where_language(lambda code: bool(_siblings(code)))
    foreign = batch.where_language(lambda code: code != ENGLISH)
    return {
        "lid": np.where(known, 1 - leads[0], np.nan).astype(np.float32),
        "confusable": np.where(known & resembled, 1 - leads[1], np.nan).astype(np.float32),
        "english": np.where(told & foreign, leads[2], np.nan).astype(np.float32),
    }


@cache
def _siblings(code: str) -> frozenset[str]:
    return frozenset(languages()[code].confusable)


def _leads(code: str, candidates: Mapping[str, float]) -> tuple[float, float, float]:
    """By how much a language that is no sibling, a sibling, and English lead over the wanted one."""
    wanted = candidates.get(code, 0.0)
    other = sibling = english = 0.0
    for candidate, confidence in candidates.items():
        lead = confidence - wanted
        if lead > 0:
            if candidate in _siblings(code):
                sibling = max(sibling, lead)
            else:
                other = max(other, lead)
                if candidate == ENGLISH:
                    english = lead
    return other, sibling, english
