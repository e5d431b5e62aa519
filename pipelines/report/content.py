"""Everything that a report says of a mix, as values; the templates lay it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.manifest import Manifest
from pipelines.report.bounds import Bounds, Limit
from pipelines.report.cards import Card
from pipelines.report.tallies import Tally
from pipelines.summary import LanguageCounts, by_text, language_name, total
from translation.languages import ENGLISH, Language, languages
from translation.row import PROMPT_PREFIX, UNDETERMINED


@dataclass(frozen=True)
class LanguageContent:
    """One language of a mix."""

    code: str
    """NLLB code, or `und`."""
    counts: LanguageCounts
    tally: Tally
    share: float
    """Of the accepted rows of the mix."""
    planned: float | None
    """Share that it was to have; None where that is not known."""
    bounds: Bounds | None
    """None where the recipe of the mix cannot be read."""
    accepted: tuple[Card, ...]
    rejected: tuple[Card, ...]

    @property
    def name(self) -> str:
        return language_name(self.code)

    @property
    def _known(self) -> Language | None:
        """None for records that could not be read, and for what only a later version knows."""
        return languages().get(self.code)

    @property
    def autonym(self) -> str | None:
        """None where it is the English name too, or not known."""
        own = None if self._known is None else self._known.autonym
        return None if own is None or own.casefold() == self.name.casefold() else own

    @property
    def tag(self) -> str | None:
        """BCP-47, for fonts and voices; None where it is not known."""
        return None if self._known is None else self._known.bcp47

    @property
    def direction(self) -> str:
        """As HTML's `dir` has it."""
        if self._known is None:
            return "auto"
        return "rtl" if self._known.right_to_left else "ltr"

    @property
    def mc4_share(self) -> float | None:
        """Percent of mC4."""
        return None if self._known is None else self._known.mc4_share

    def limits(self, score: str) -> tuple[Limit, ...]:
        """The bounds of a score of targets or prompts."""
        if self.bounds is None or self.code in (UNDETERMINED, ENGLISH):
            # Scores of English rows are those of their questions in other languages.
            return ()
        return self.bounds.of(score.removeprefix(PROMPT_PREFIX), self.code)

    @property
    def kept(self) -> float | None:
        return self.counts.accepted / self.counts.read if self.counts.read else None


@dataclass(frozen=True)
class Part:
    """A task or a source of a mix."""

    name: str
    accepted: int
    rejected: int
    licence: str = ""


@dataclass(frozen=True)
class RuleContent:
    """A rule that rejected rows of a mix."""

    name: str
    rows: int
    by_language: Mapping[str, int]
    """NLLB code -> rows, of languages that have some; those with English answers by their question."""

    @property
    def most(self) -> list[tuple[str, int]]:
        """The three languages with most such rows, by name."""
        ordered = sorted(self.by_language.items(), key=lambda item: (-item[1], item[0]))
        return [(language_name(code), rows) for code, rows in ordered[:3]]


@dataclass(frozen=True)
class Content:
    """A whole report."""

    manifest: Manifest
    digest: str
    """Of the manifest that it was made from."""
    languages: tuple[LanguageContent, ...]
    """By English name; records that could not be read last."""
    questions: tuple[LanguageCounts, ...]
    """Rows with English answers by the language of their question, if that is another; by English name."""
    everything: Tally
    tasks: tuple[Part, ...]
    sources: tuple[Part, ...]
    rules: tuple[RuleContent, ...]
    """The commonest first."""
    pictures_left_out: int
    """Of the samples, for the size of the report."""

    @property
    def name(self) -> str:
        """The recipe's."""
        return str(self.manifest.recipe.get("name", "mix"))

    @property
    def total(self) -> LanguageCounts:
        return total(self.manifest.counts)

    @property
    def left_out(self) -> int:
        return sum(self.manifest.left_out.values())

    @property
    def languages_read(self) -> int:
        return sum(one.code != UNDETERMINED for one in self.languages)

    @property
    def languages_accepted(self) -> int:
        return sum(one.code != UNDETERMINED and one.counts.accepted > 0 for one in self.languages)

    @property
    def questions_accepted(self) -> int:
        """Languages of questions with English answers that have accepted rows."""
        return sum(one.accepted > 0 for one in self.questions)

    @property
    def scores(self) -> list[str]:
        """Scores of targets that some row has, in the order of a row's."""
        return [name for name in self.everything.shown if not name.startswith(PROMPT_PREFIX)]

    def common_limits(self, score: str) -> tuple[Limit, ...]:
        """The bounds of a score that are the same in all languages that have it."""
        found = {
            one.limits(score) for one in self.languages if score in one.tally.scores and one.code != ENGLISH
        }
        bounds = next((one.bounds for one in self.languages), None)
        if bounds is not None and score.startswith(PROMPT_PREFIX):
            rule = score.removeprefix(PROMPT_PREFIX)
            found |= {bounds.of(rule, one.language) for one in self.questions}
        return found.pop() if len(found) == 1 else ()

    @property
    def model_licence(self) -> str:
        """Empty if it is not known."""
        return next((licence for name, licence in self._licences if name.startswith("model ")), "")

    @property
    def other_licences(self) -> list[tuple[str, str]]:
        """Of what is neither the model nor a source."""
        return [one for one in self._licences if not one[0].startswith(("model ", "source "))]

    @property
    def _licences(self) -> list[tuple[str, str]]:
        return list(self.manifest.licences.items())


def make_content(
    manifest: Manifest,
    digest: str,
    tallies: Mapping[str, Tally],
    cards: Mapping[tuple[str, bool], Sequence[Card]],
    bounds: Bounds | None,
    planned: Mapping[str, float] | None,
    pictures_left_out: int,
) -> Content:
    """Puts together what was counted and chosen.

    Args:
        tallies: by language.
        cards: by language and whether the rows are accepted.
        bounds: None if the recipe cannot be read.
        planned: rows of each language; likewise.
        pictures_left_out: of samples, for the size of the file.
    """
    ordered = sorted(
        manifest.counts, key=lambda one: (one.language == UNDETERMINED, language_name(one.language))
    )
    all_planned = sum(planned.values()) if planned else 0.0
    found = tuple(
        LanguageContent(
            code=counts.language,
            counts=counts,
            tally=tallies.get(counts.language, Tally()),
            share=counts.accepted / manifest.accepted if manifest.accepted else 0.0,
            planned=planned.get(counts.language, 0.0) / all_planned if planned and all_planned else None,
            bounds=bounds,
            accepted=tuple(cards.get((counts.language, True), ())),
            rejected=tuple(cards.get((counts.language, False), ())),
        )
        for counts in ordered
    )
    everything, tasks, sources = Tally(), Tally(), Tally()
    for tally in tallies.values():
        everything.include(tally)
        tasks.tasks += tally.tasks
        sources.sources += tally.sources
    return Content(
        manifest=manifest,
        digest=digest,
        languages=found,
        questions=tuple(sorted(manifest.questions, key=lambda one: language_name(one.language))),
        everything=everything,
        tasks=_parts(tasks.tasks, {}),
        sources=_parts(sources.sources, _licences_of_sources(manifest)),
        rules=_rules(manifest),
        pictures_left_out=pictures_left_out,
    )


def read_by_source(tallies: Mapping[str, Tally]) -> dict[str, dict[str, int]]:
    """Source -> language -> rows."""
    read: dict[str, dict[str, int]] = {}
    for code, tally in tallies.items():
        for (source, _), rows in tally.sources.items():
            of_source = read.setdefault(source, {})
            of_source[code] = of_source.get(code, 0) + rows
    return read


def _parts(counter: Counter[tuple[str, bool]], licences: Mapping[str, str]) -> tuple[Part, ...]:
    """The largest first."""
    parts = [
        Part(name, counter[name, True], counter[name, False], licences.get(name, ""))
        for name in {name for name, _ in counter}
    ]
    return tuple(sorted(parts, key=lambda part: (-part.accepted - part.rejected, part.name)))


def _licences_of_sources(manifest: Manifest) -> dict[str, str]:
    return {
        name.removeprefix("source "): licence
        for name, licence in manifest.licences.items()
        if name.startswith("source ")
    }


def _rules(manifest: Manifest) -> tuple[RuleContent, ...]:
    reasons = total(manifest.counts).reasons
    places = by_text(manifest.counts, manifest.questions)
    return tuple(
        RuleContent(
            rule, reasons[rule], {code: found[rule] for code, found in places.items() if found.get(rule)}
        )
        for rule in sorted(reasons, key=lambda rule: (-reasons[rule], rule))
    )
