"""Whether all that the source holds is still there: sentences, numbers, placeholders, any text at all."""

from __future__ import annotations

from collections import Counter

from translation.filters.pairs import Scores, TextPair
from translation.languages import ENGLISH
from translation.segments import numbers, placeholders, sentence_count

# How tokenizers write a piece that they do not know; U+FFFD is a broken character.
_UNKNOWN_MARKS = ("<unk>", "\u2047", "\ufffd")


def completeness_scores(pair: TextPair) -> Scores:
    """`sentences`, `numbers`, `placeholders`, and the flags `empty`, `unknown`, `cut_off` (1 or 0).

    `sentences` is the smaller count over the larger one, with 1 added to both (1 against 3 is 0.5). `numbers`
    is the share of the source's numbers that the target has, where one that is missing without another in its
    place counts half, since it may be spelled out (`2 dogs`, `zwei Hunde`); None without any. `placeholders`
    the share that both sides have of what either has. `cut_off` is None for text that no engine made.
    """
    source, target, engine = pair.source, pair.target, pair.translation
    counts = sorted((sentence_count(source, ENGLISH), sentence_count(target, pair.language)))
    ours, theirs = placeholders(source), placeholders(target)
    return {
        "sentences": (counts[0] + 1) / (counts[1] + 1) if counts[0] else None,
        "numbers": _numbers_kept(numbers(source), numbers(target)),
        "placeholders": _share(ours & theirs, ours | theirs) if ours or theirs else None,
        "empty": float(bool(engine and engine.empty) or not target.strip()) if source.strip() else 0.0,
        "unknown": float(
            bool(engine and engine.unknown)
            or any(mark in target and mark not in source for mark in _UNKNOWN_MARKS)
        ),
        "cut_off": float(engine.cut_off) if engine else None,
    }


def _numbers_kept(wanted: Counter[str], found: Counter[str]) -> float | None:
    if not wanted:
        return None
    missing = (wanted - found).total()
    changed = min(missing, (found - wanted).total())
    return 1 - (changed + missing) / (2 * wanted.total())


def _share(part: Counter[str], whole: Counter[str]) -> float:
    return part.total() / whole.total()
