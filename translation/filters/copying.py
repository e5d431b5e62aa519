"""How much of the source stands untranslated in the target."""

from __future__ import annotations

import re
from collections import Counter

from translation.filters.pairs import TextPair
from translation.languages import ENGLISH

# Combining marks end a word here: English has none, and only words equal to English ones matter.
_WORD = re.compile(r"[^\W\d_]{2,}")


def copy_share(pair: TextPair) -> float | None:
    """Words of the source that the target has too, over the words of the source plus one.

    The one keeps loan words: `pizza` for `pizza` gives 0.5, a copied caption of ten words 0.91. Names
    (capitalised words but the first), words of one letter and numbers do not count, case is ignored. None
    where no word is left. In a source without lower case every word counts.
    """
    if pair.language == ENGLISH:
        return None
    found = _WORD.findall(pair.source)
    shouted = len(found) > 1 and pair.source == pair.source.upper()
    words = Counter(
        word.casefold()
        for index, word in enumerate(found)
        if shouted or word == word.lower() or (index == 0 and len(found) > 1)
    )
    if not words:
        return None
    kept = words & Counter(word.casefold() for word in _WORD.findall(pair.target))
    return kept.total() / (words.total() + 1)
