"""What a reader of a report should see first: things about a mix that look wrong or may mislead."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.examples import TRUNCATED
from pipelines.report.content import Content, LanguageContent
from pipelines.summary import LanguageCounts, counted, language_name
from translation.languages import ENGLISH
from translation.model import SMALL
from translation.row import UNDETERMINED

LEAST_ROWS = 20
"""Of a language, for a share of its rows to mean something."""
FAR_UNDER = 0.15
"""A keep-rate is far under the others if it lies below their median by more than this and three times the
median deviation from it."""
BELOW_PLAN = 0.75
"""Of the planned share; less is worth a word."""
NAMED = 12
"""Languages at most that one caution names."""

NOT_IN_MODEL = "language"
"""Short reason of rows whose language the model was not trained on."""


@dataclass(frozen=True)
class Caution:
    """One thing that a reader should know."""

    heading: str
    text: str


def cautions(content: Content) -> Iterator[Caution]:
    """Those of a mix, the gravest first."""
    manifest = content.manifest
    if not manifest.accepted:
        yield Caution("No row was accepted.", "There is nothing to train on; the rejected rows say why.")
    if manifest.signature.model == SMALL:
        yield Caution(
            "Made with the small model.",
            "It is a stand-in for trying things out that learnt a few names. Do not train on this; build the "
            "mix with an NLLB model.",
        )
    for count in manifest.counts:
        if TRUNCATED in count.reasons:
            yield Caution(
                "A source breaks off.", "An unknown number of its records is missing (reason: truncated)."
            )
    yield from _of_languages([one for one in content.languages if one.code != UNDETERMINED])
    yield from _of_questions(content.questions)
    bounds = next((one.bounds for one in content.languages), None)
    if content.languages and bounds is None:
        yield Caution(
            "The recipe in the manifest is of another version.",
            "The planned shares and the bounds of the rules are not shown.",
        )
    elif bounds is not None and bounds.thresholds is None:
        yield Caution(
            "The table of thresholds is not at hand.",
            "It is not the one that ships, and the file that the recipe names is not here or has changed, so "
            "the plots show no calibrated bounds. Make the report where the mix was made.",
        )
    if content.pictures_left_out:
        yield Caution(
            f"{counted(content.pictures_left_out, 'picture')} of the samples left out.",
            "The report would have become too large; ask for fewer samples with --samples.",
        )


def _of_languages(languages: Sequence[LanguageContent]) -> Iterator[Caution]:
    # English needs no model: those are rows with English answers, whose questions are in other languages.
    unknown = [one for one in languages if NOT_IN_MODEL in one.counts.reasons and one.code != ENGLISH]
    if unknown:
        yield Caution(
            f"{counted(len(unknown), 'language')} not in the model.",
            f"Their rows were rejected untranslated: {_named(_names(unknown))}.",
        )
    translated = [one for one in languages if one not in unknown]
    empty = [one for one in translated if not one.counts.accepted]
    if empty:
        yield Caution(
            f"{counted(len(empty), 'language')} without accepted rows.",
            f"Nothing to train on in {_named(_names(empty))}.",
        )
    under = _far_under([one for one in translated if one.counts.accepted])
    if under:
        ordered = sorted(under, key=lambda one: (one.kept or 0.0, one.code))
        named = _named([f"{one.name} ({one.kept or 0.0:.0%})" for one in ordered])
        yield Caution(
            f"{counted(len(under), 'language')} with far fewer rows kept than the others.",
            f"Look at what was rejected, and at what was accepted: {named}.",
        )
    below = [
        one
        for one in translated
        if one.counts.accepted
        and one.counts.read >= LEAST_ROWS
        and one.planned
        and one.share < BELOW_PLAN * one.planned
    ]
    if below:
        yield Caution(
            f"{counted(len(below), 'language')} below the plan.",
            f"Less than {BELOW_PLAN:.0%} of the share that the recipe gives: {_named(_names(below))}.",
        )


def _of_questions(questions: Sequence[LanguageCounts]) -> Iterator[Caution]:
    """Of those with English answers."""
    unknown = [one for one in questions if NOT_IN_MODEL in one.reasons]
    if unknown:
        named = _named([language_name(one.language) for one in unknown])
        yield Caution(
            f"Questions in {counted(len(unknown), 'language')} not in the model.",
            "Rows with English answers (`english_answers`) were rejected, their questions untranslated: "
            f"{named}.",
        )
    empty = [one for one in questions if not one.accepted and one not in unknown]
    if empty:
        yield Caution(
            f"{counted(len(empty), 'language')} without accepted questions.",
            "No row with an English answer has a question in "
            f"{_named([language_name(one.language) for one in empty])}.",
        )


def _far_under(languages: Sequence[LanguageContent]) -> list[LanguageContent]:
    """Those whose keep-rate lies far under the median of all; English, which is not translated, aside."""
    kept = {
        one.code: one.kept
        for one in languages
        if one.counts.read >= LEAST_ROWS and one.kept is not None and one.code != ENGLISH
    }
    if len(kept) < 3:
        return []
    median = statistics.median(kept.values())
    deviation = statistics.median(abs(rate - median) for rate in kept.values())
    limit = median - max(FAR_UNDER, 3 * deviation)
    return [one for one in languages if one.code in kept and kept[one.code] < limit]


def _names(languages: Sequence[LanguageContent]) -> list[str]:
    return [one.name for one in languages]


def _named(names: Sequence[str]) -> str:
    """At most `NAMED` of them."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
