"""Whether the target is in the language that was asked for."""

from __future__ import annotations

import numpy as np

from translation.filters.pairs import Batch, Column
from translation.identification import Identifier
from translation.languages import ENGLISH, languages


def language_scores(batch: Batch, identifier: Identifier) -> dict[str, Column]:
    """`lid`, `confusable` and `english` from an identifier's candidates (NLLB code to confidence).

    `lid` is 1 minus the lead that another language has over the wanted one, `confusable` the same for the
    registry's confusable siblings (Danish for Norwegian), `english` the lead of English. None where the
    identifier cannot tell, or cannot name the language.
    """
    nameable = identifier.languages()
    scores = {name: np.full(len(batch), np.nan, np.float32) for name in ("lid", "confusable", "english")}
    lid, confusable, english = scores.values()
    for index, (code, found) in enumerate(
        zip(batch.languages, identifier.identify(batch.targets), strict=True)
    ):
        if not found:
            continue
        siblings = languages()[code].confusable
        wanted = found.get(code, 0.0)
        others = resembling = wanted
        for candidate, confidence in found.items():
            if confidence <= wanted or candidate == code:
                continue
            if candidate in siblings:
                resembling = max(resembling, confidence)
            else:
                others = max(others, confidence)
        if code in nameable:
            lid[index] = 1 - (others - wanted)
            if siblings:
                confusable[index] = 1 - (resembling - wanted)
        if code != ENGLISH:
            english[index] = max(0.0, found.get(ENGLISH, 0.0) - wanted) if ENGLISH not in siblings else 0.0
    return scores
