"""Whether all that the source holds is still there: sentences, their end, placeholders, any text at all."""

from __future__ import annotations

from collections import Counter

import numpy as np
import regex
from numpy.typing import NDArray

from translation.filters.characters import Characters, kind
from translation.filters.pairs import Batch, Column, column, hints
from translation.languages import ENGLISH, languages
from translation.segments import placeholders, sentence_count

# How tokenizers write a piece that they do not know; U+FFFD is a broken character.
_UNKNOWN_MARKS = ("<unk>", "\u2047", "\ufffd")

# Quotes, brackets and spaces may follow the mark that ends a sentence.
_AFTER_END = " \t\r\n\xa0\u200b\u200c\u200d\u200e\u200f\ufeff'\"’”»«“„›)]」』）】》*_"
# And what stands for them in older texts and other fonts; the last is Greek's question mark.
_ENDS = frozenset("॥៖་‥⋯\u037e").union(*(one.sentence_marks for one in languages().values()))


def engine_flags(batch: Batch) -> dict[str, Column]:
    """`empty`, `unknown`, `cut_off` (1 or 0) and `model_score`; the last two none for text at hand."""
    engines = [pair.translation for pair in batch.pairs]
    none = np.full(len(batch), np.nan, np.float32)
    by_engine = any(engine is not None for engine in engines)
    has_source = np.fromiter((not text.isspace() and text != "" for text in batch.sources), np.bool_)
    said = batch.source.count(kind("letter") | kind("digit")) > 0
    no_target = np.fromiter((text.isspace() or text == "" for text in batch.targets), np.bool_)
    no_target |= said & (batch.target.count(kind("letter") | kind("digit")) == 0)
    came_empty = np.fromiter((engine is not None and engine.empty for engine in engines), np.bool_)
    unknown = np.fromiter((engine is not None and engine.unknown for engine in engines), np.bool_)
    for index in np.flatnonzero(batch.target.count(kind("unknown"))):
        source, target = batch.sources[index], batch.targets[index]
        unknown[index] |= any(mark in target and mark not in source for mark in _UNKNOWN_MARKS)
    return {
        "empty": column(has_source & (no_target | came_empty)),
        "unknown": column(unknown),
        "cut_off": column([engine and engine.cut_off for engine in engines]) if by_engine else none,
        "model_score": column([engine and engine.score for engine in engines]) if by_engine else none,
    }


# Translators make one sentence of two, and often two of one: of NTREX's lines 0.3 % have fewer sentences than
# the English. Nearly all of those are as long as any, while a text that lost one of two is half as long. So
# how short a text is says how much of a missing sentence is really missing: all and nothing of it, in
# expected lengths, where there are fewer sentences, and where there are not.
_FEWER, _AS_MANY = (0.6, 1.2), (0.5, 0.8)
# Texts with more sentences have some of their own where they are longer as well.
_LONGER = 1.5


# A mark after a word of three letters or more, and a letter that is not lower case.
_PLAIN_END = regex.compile(
    r"\p{L}\p{M}*\p{L}\p{M}*\p{L}\p{M}*[.!?…][\p{Pf}\"')]*\s+[\p{Pi}\"'„¿¡(]*(?=[\p{Lu}\p{Lo}])"
)


def sentences_kept(batch: Batch, length_ratio: Column) -> Column:
    """1 where no sentence is lost or added, else down to the counts' ratio, 1 added to both (1 of 2: 2/3).

    With fewer sentences than the source that is reached at 0.6 times the expected length, and 1 at 1.2 times,
    where sentences were joined. In a translation of several that has as many, one counts as lost from 0.8
    times the expected length down to 0.5, for another may have been parted, or the language shows no ends.
    With more sentences it counts from 1.5 times on. None for a source without one.
    """
    ours = _counts(batch.source, batch.sources, [ENGLISH] * len(batch))
    theirs = _counts(batch.target, batch.targets, batch.languages)
    for index in np.flatnonzero(theirs < ours):
        # Lists of abbreviations hold words of every day: Spanish `mar.` is Tuesday, and the sea.
        ends = len(_PLAIN_END.findall(batch.targets[index].rstrip(_AFTER_END)))
        theirs[index] = min(ours[index], max(theirs[index], ends + 1))
    fewer = theirs < ours
    ratio = (np.minimum(ours, theirs) + 1) / (np.maximum(ours, theirs) + 1)
    one_less = np.where(ours > 1, ours / (ours + 1), 1)
    kept = np.where(
        fewer, _towards_1(ratio, length_ratio, _FEWER), _towards_1(one_less, length_ratio, _AS_MANY)
    )
    added = (theirs > ours) & (length_ratio >= _LONGER)
    kept[added] = ratio[added]
    kept[ours == 0] = np.nan
    return column(kept)


def _towards_1(
    lowest: NDArray[np.float64], lengths: Column, between: tuple[float, float]
) -> NDArray[np.float64]:
    """`lowest` up to the first of two lengths, 1 from the second one on."""
    return lowest + (1 - lowest) * np.interp(lengths, between, (0, 1))


def _counts(characters: Characters, texts: list[str], languages: list[str]) -> NDArray[np.int64]:
    """Sentences of each text. Two letters, no break and no markup before the last one are one sentence."""
    letter = characters.of_kind(kind("letter"))
    odd = characters.of_kind(kind("break") | kind("hint"))
    breaks = characters.between(odd, characters.starts, characters.last(letter))
    counts = np.ones(len(texts), np.int64)
    # Three spaces part columns.
    odd_texts = np.fromiter(("   " in text for text in texts), np.bool_, len(texts))
    odd_texts |= (breaks > 0) | (characters.sums(letter) < 2) | (characters.lengths > 900)
    for index in np.flatnonzero(odd_texts):
        counts[index] = sentence_count(texts[index], languages[index])
    return counts


def length_without_end(batch: Batch, length_ratio: Column) -> Column:
    """The length ratio of a target without the mark that ends its source, as if it had broken off.

    None where the mark is there, or the source has none.
    """
    ratios = np.full(len(batch), np.nan, np.float32)
    for index, (source, target) in enumerate(zip(batch.sources, batch.targets, strict=True)):
        if source.rstrip(_AFTER_END)[-1:] in _SOURCE_ENDS and not has_end(target):
            ratios[index] = length_ratio[index]
    return ratios


_SOURCE_ENDS = frozenset(".!?…")


def has_end(target: str) -> bool:
    """Whether a text in any language ends in a mark that ends sentences."""
    return target.rstrip(_AFTER_END)[-1:] in _ENDS


def placeholders_kept(batch: Batch) -> Column:
    """The share of placeholders and markup that both sides have of what either has; none without any."""
    kept = np.full(len(batch), np.nan, np.float32)
    hinted = hints(batch.source, batch.sources) + hints(batch.target, batch.targets)
    for index in map(int, np.flatnonzero(hinted)):
        ours, theirs = batch.placeholders.get(index, Counter[str]()), placeholders(batch.targets[index])
        if "`" not in batch.sources[index]:
            # Some people write quotes so.
            theirs = Counter({text: count for text, count in theirs.items() if text[0] != "`"})
        if ours or theirs:
            kept[index] = _share(ours & theirs, ours | theirs)
    return kept


def _share(part: Counter[str], whole: Counter[str]) -> float:
    return part.total() / whole.total()
