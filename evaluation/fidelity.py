"""Language fidelity: whether an output is in the language and the script that were asked for.

Found by the shipped identifier, with the bounds that the filters of a mix use.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import regex
from numpy.typing import NDArray

from evaluation.items import Item
from evaluation.measures import Measure, mean
from evaluation.signature import signature
from translation.filters import AtLeast, Policy, ScoreTable, TextPair, Thresholds, load_thresholds, verdicts
from translation.filters.language import language_scores
from translation.filters.length import densities
from translation.filters.pairs import Batch, column
from translation.filters.script import script_share
from translation.identification import SHIPPED, Identifier, load_identifier

_AT_ONCE = 20_000

_LETTERS_A_WORD = 4.5
"""In English."""

Flags = NDArray[np.bool_]


def fidelity(items: Sequence[Item], identifier: Identifier | None = None) -> list[Measure]:
    """Shares of predictions in the asked language, of those that can be judged, and the share of those.

    `fidelity` takes a sibling of the registry (Danish for Norwegian) for the language itself;
    `fidelity.strict` counts it as wrong where the identifier is sure enough for a mix to reject it. An empty
    prediction is in no language, and neither is one of signs alone (`...`, an emoji), or with a character or
    token that stands for what could not be written (U+FFFD, `<unk>`). A number (`3`, `50%`), or a text in the
    right script of a language that the identifier cannot name, cannot be judged. Nearly every word or two
    pass as any language of their script, so on short answers these numbers say little.
    """
    found = identifier or load_identifier(SHIPPED)
    faithful, strict = np.zeros(len(items), np.bool_), np.zeros(len(items), np.bool_)
    judged = np.ones(len(items), np.bool_)
    spoken = [place for place, item in enumerate(items) if not item.empty]
    for start in range(0, len(spoken), _AT_ONCE):
        places = spoken[start : start + _AT_ONCE]
        table = _scores([items[place] for place in places], found)
        faithful[places] = _accepted(table, Policy(confusable=AtLeast(None)), found)
        strict[places] = _accepted(table, Policy(), found)
        broken = np.array([_broken(items[place].prediction) for place in places], np.bool_)
        faithful[places] &= ~broken
        strict[places] &= ~broken
        judged[places] = ~np.isnan(table.columns["lid"]) | ~faithful[places]
    line = signature("fidelity", lid=f"{found.name}@{found.digest[:8]}", thresholds=_thresholds(found).digest)
    return [
        mean("fidelity", faithful.astype(np.float64), line, judged),
        mean("fidelity.strict", strict.astype(np.float64), line, judged),
        mean("fidelity.judged", judged.astype(np.float64), line),
    ]


# `⁇` is what SentencePiece writes for the unknown token.
_UNWRITTEN = regex.compile(r"\ufffd|<unk>|\u2047", regex.IGNORECASE)
_LETTER = regex.compile(r"\p{L}")
_NUMBER = regex.compile(r"[\p{P}\p{Sc}\p{Sm}\p{Z}\s°]*\p{N}[\p{N}\p{P}\p{Sc}\p{Sm}\p{Z}\s°]*")


def _broken(text: str) -> bool:
    """Whether a text is in no language: it holds signs alone, or what could not be written."""
    if _UNWRITTEN.search(text):
        return True
    return not _LETTER.search(text) and not _NUMBER.fullmatch(text)


def _scores(items: Sequence[Item], identifier: Identifier) -> ScoreTable:
    """What the filters say of the language and script of predictions."""
    # The filters leave names aside that the source has too; here there is none.
    batch = Batch([TextPair("", item.prediction, item.expected.answer_language) for item in items])
    columns = {
        # Bounds go by the words of the English source; this text would have about so many.
        "words": column(batch.letters / batch.per_language(densities()) / _LETTERS_A_WORD),
        "script": script_share(batch),
        **language_scores(batch, identifier),
    }
    return ScoreTable(tuple(batch.languages), columns)


def _accepted(table: ScoreTable, policy: Policy, identifier: Identifier) -> Flags:
    """Which texts a policy accepts; its other rules find no score, and what has none breaks no rule."""
    return np.array([one.accepted for one in verdicts(table, policy, _thresholds(identifier))], np.bool_)


def _thresholds(identifier: Identifier) -> Thresholds:
    return load_thresholds(None).for_identification(identifier.name)
