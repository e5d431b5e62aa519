"""The plan of a mix: one pass over the sources, before anything is translated.

From the hashes of all examples together come exact counts per language, the pictures to hold out, and what a
recipe leaves out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipelines.allocation import Allocation, Stratum, allocate
from pipelines.assignment import Assignment
from pipelines.hashing import Hashes
from pipelines.names import names_of
from pipelines.phrases import kept_captions
from pipelines.quotas import Integers
from pipelines.recipe import Recipe
from pipelines.recipe_sources import Source
from pipelines.sources import Piece, pieces
from pipelines.split import mixed, validation_images
from pipelines.tallying import (
    COLUMNS,
    NO_PAIRS,
    SAMPLED_PICTURES,
    SAMPLED_TEXTS,
    Column,
    Kind,
    Locators,
    Tally,
    joined,
    lowest,
    picture_stratum,
    policy_of,
    size_of,
    tallies,
)
from translation.languages import ENGLISH

_Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class SourcePlan:
    """What one source gives."""

    name: str
    rejects: int
    """Records and texts that cannot be used."""
    first_reject: str | None
    """Why the first of them cannot."""
    left_out: int
    """Examples for which `max_rows` or `phrases` has no room, and records that `where` or `skip_answers`
    leaves out."""
    unnamed: int
    """Examples of classes without a name in any language of the mix; they will be rejected."""
    rows: Mapping[str, int]
    """NLLB code of the target -> rows."""
    questions: Mapping[str, int]
    """NLLB code of the question -> rows with an English answer to one in another language."""
    texts: Mapping[str, int]
    """NLLB code -> distinct texts to translate."""
    characters: Mapping[str, int]
    """NLLB code -> characters in those."""
    sampled_texts: tuple[str, ...]
    """Some of the texts, the same ones in every run."""
    sampled_pictures: tuple[Locators, ...]
    """The pictures of some examples."""
    pictures: int
    """Distinct pictures; a pair of them counts as one."""


@dataclass(frozen=True)
class Plan:
    """What a mix will hold, and who gets which language."""

    assignment: Assignment
    sources: tuple[SourcePlan, ...]
    rows: Mapping[str, int]
    """NLLB code of the target -> rows, English first, then in code order."""
    questions: Mapping[str, int]
    """NLLB code of the question -> rows with an English answer to one in another language, in code order."""
    texts: Mapping[str, int]
    """NLLB code -> distinct texts to translate, over all sources."""
    characters: Mapping[str, int]
    pictures: int
    held_out: int
    """Pictures, and texts without one, in the validation split."""


def plan_mix(
    recipe: Recipe,
    parts: Sequence[Piece] | None = None,
    *,
    workers: int | None = None,
    told: Callable[[int, int], None] | None = None,
) -> Plan:
    """Reads all sources once and plans the mix.

    Args:
        parts: the pieces of the sources, if they are known already; their order means nothing.
        workers: processes that read; by default one for each core, or this one alone for little data.
        told: is called with bytes done and bytes in all after each piece.

    Raises:
        SettingsError: a source has another layout than the recipe says.
        pipelines.sources.SourceError: a file cannot be read on.
        concurrent.futures.process.BrokenProcessPool: a process was killed.
    """
    parts = pieces(recipe) if parts is None else parts
    found: list[list[Tally]] = [[] for _ in recipe.sources]
    whole, done = sum(map(size_of, parts)), 0
    for piece, tally in tallies(recipe, parts, workers):
        found[tally.source].append(tally)
        done += size_of(piece)
        if told is not None:
            told(done, whole)
    columns = []
    for source in recipe.sources:
        # One source after the other, and what was joined is let go: both at once would be twice the memory.
        columns.append(_Columns.of(source, found.pop(0)))
    return _plan(recipe, columns)


@dataclass
class _Columns:
    """The examples of one source, all pieces together; columns as in `Tally`."""

    source: Source
    rejects: int
    first_reject: str | None
    kinds: tuple[Kind, ...]
    columns: dict[str, Column]
    pairs: Hashes
    """As in `Tally`."""
    texts: tuple[str, ...]
    """Samples."""
    pictures: tuple[Locators, ...]
    """Samples."""
    kept_captions: Hashes | None = None
    left_out: int = 0

    @classmethod
    def of(cls, source: Source, found: Sequence[Tally]) -> _Columns:
        """Joined, and without what `phrases` leaves out."""
        numbers: dict[Kind, int] = {}
        texts: dict[int, str] = {}
        pictures: dict[int, Locators] = {}
        for tally in found:
            renumbered = [numbers.setdefault(kind, len(numbers)) for kind in tally.kinds]
            kinds = tally.columns["kind"]
            tally.columns["kind"] = np.array(renumbered, dtype=np.uint32)[kinds] if renumbered else kinds
            texts = lowest(texts, tally.texts.items(), SAMPLED_TEXTS)
            pictures = lowest(pictures, tally.pictures.items(), SAMPLED_PICTURES)
        held = cls(
            source=source,
            rejects=sum(tally.rejects for tally in found),
            left_out=sum(tally.left_out for tally in found),
            first_reject=next((tally.first_reject for tally in found if tally.rejects), None),
            kinds=tuple(numbers),
            columns={name: joined(name, [tally.columns.pop(name) for tally in found]) for name in COLUMNS},
            pairs=np.unique(np.concatenate([NO_PAIRS, *(tally.pairs for tally in found)]), axis=0),
            texts=tuple(texts.values()),
            pictures=tuple(pictures.values()),
        )
        if source.phrases is not None:
            held.kept_captions = kept_captions(
                joined("captions", [tally.captions for tally in found]),
                joined("phrases", [tally.phrases for tally in found]),
                source.phrases.seen,
                source.phrases.keep,
            )
            held.leave_out(np.isin(held.columns["caption"], held.kept_captions))
        return held

    def __getitem__(self, column: str) -> Column:
        return self.columns[column]

    def leave_out(self, kept: _Flags) -> None:
        """Drops the examples that are not kept."""
        self.left_out += int((~kept).sum())
        self.columns = {
            name: column[kept] if len(column) else column for name, column in self.columns.items()
        }

    def limit(self) -> dict[str, int]:
        """Drops what `max_rows` has no room for.

        Returns:
            `source/task` -> the sample hash below which examples stay, if not all do.
        """
        most = self.source.max_rows
        limits: dict[str, int] = {}
        if most is None:
            return limits
        kept = np.ones(len(self["kind"]), dtype=bool)
        for task in dict.fromkeys(kind.task for kind in self.kinds):
            of_task = np.array([kind.task == task for kind in self.kinds])[self["kind"]]
            samples = np.unique(self["sample"][of_task])
            if len(samples) > most:
                limits[f"{self.source.name}/{task}"] = bound = int(samples[most])
                kept &= ~of_task | (self["sample"] < np.uint64(bound))
        self.leave_out(kept)
        return limits

    def members(self) -> list[Integers]:
        """For each kind the places of its examples."""
        if len(self.kinds) == 1:
            return [np.arange(len(self["kind"]))]
        order = np.argsort(self["kind"], kind="stable")
        ends = np.searchsorted(self["kind"][order], np.arange(len(self.kinds) + 1))
        return [order[first:past] for first, past in pairwise(ends)]


def _plan(recipe: Recipe, columns: Sequence[_Columns]) -> Plan:
    limits = {task: bound for held in columns for task, bound in held.limit().items()}
    allocation = allocate(recipe.seed, _strata(recipe, columns))
    fixed = {kind.language for held in columns for kind in held.kinds if kind.language is not None}
    codes = (ENGLISH, *sorted({*allocation.codes, *fixed} - {ENGLISH}))
    rows = [_Rows.of(held, allocation, codes) for held in columns]
    texts = [made.texts(held).distinct() for held, made in zip(columns, rows, strict=True)]
    validation = _validation(recipe, columns, rows)
    counted, characters = _Texts.of(codes, texts).distinct().per_language()
    total, questions = Counter[str](), Counter[str]()
    for made in rows:
        total.update(made.counted())
        questions.update(made.counted_questions())
    by_image = {source.name: picture_stratum(recipe, source) for source in recipe.sources}
    return Plan(
        assignment=Assignment(
            seed=recipe.seed,
            allocation=allocation,
            by_image={name: stratum for name, stratum in by_image.items() if stratum is not None},
            by_phrase={
                held.source.name: held.kept_captions for held in columns if held.kept_captions is not None
            },
            limits=limits,
            validation=validation,
        ),
        sources=tuple(
            _source_plan(held, made, of_source)
            for held, made, of_source in zip(columns, rows, texts, strict=True)
        ),
        rows={code: total[code] for code in codes if total[code]},
        questions={code: questions[code] for code in codes if questions[code]},
        texts=counted,
        characters=characters,
        pictures=_distinct([_of_pictures(held) for held in columns]),
        held_out=len(validation),
    )


def _source_plan(held: _Columns, made: _Rows, texts: _Texts) -> SourcePlan:
    counted, characters = texts.per_language()
    return SourcePlan(
        name=held.source.name,
        rejects=held.rejects,
        first_reject=held.first_reject,
        left_out=held.left_out,
        unnamed=made.unnamed,
        rows=made.counted(),
        questions=made.counted_questions(),
        texts=counted,
        characters=characters,
        sampled_texts=held.texts,
        sampled_pictures=held.pictures,
        pictures=_distinct([_of_pictures(held)]),
    )


def _of_pictures(held: _Columns) -> Hashes:
    """The split hashes of the examples that have a picture."""
    with_picture = np.array([kind.with_picture for kind in held.kinds], dtype=bool)
    return held["split"] if with_picture.all() else held["split"][with_picture[held["kind"]]]


def _distinct(parts: Sequence[Hashes]) -> int:
    return len(np.unique(joined("split", parts)))


def _strata(recipe: Recipe, columns: Sequence[_Columns]) -> list[Stratum]:
    units: dict[str, list[Hashes]] = defaultdict(list)
    first: dict[str, tuple[int, Kind]] = {}
    for index, held in enumerate(columns):
        for kind, members in zip(held.kinds, held.members(), strict=True):
            if kind.language is None:
                units[kind.stratum].append(held["unit"][members])
                first.setdefault(kind.stratum, (index, kind))
    strata = []
    for key, (index, kind) in first.items():
        policy = policy_of(recipe, columns[index].source)
        strata.append(
            Stratum(
                key=key,
                hashes=np.unique(np.concatenate(units.pop(key))),
                shares=policy.shares(),
                per_example=policy.per_example,
                eligible=None if kind.name is None else names_of(recipe, index).languages(kind.name),
            )
        )
    return strata


@dataclass
class _Rows:
    """The rows of one source: its examples, each in its languages."""

    codes: tuple[str, ...]
    example: Integers
    """Place of the row's example in the columns."""
    language: NDArray[np.int16]
    """Place of the language that the row's example got, in the codes."""
    target: NDArray[np.int16]
    """Place of the language of the row's target, by which a mix is ordered."""
    question: NDArray[np.int16]
    """Of rows with English answers, the place of the language of each question that is not English."""
    unnamed: int
    """Examples without any language."""

    @classmethod
    def of(cls, held: _Columns, allocation: Allocation, codes: tuple[str, ...]) -> _Rows:
        """What workers will make of the examples."""
        examples, languages, targets, questions, unnamed = [], [], [], [], 0
        english = codes.index(ENGLISH)
        place = np.array([codes.index(code) for code in allocation.codes], dtype=np.int16)
        for kind, members in zip(held.kinds, held.members(), strict=True):
            if kind.language is not None:
                numbers = np.full((len(members), 1), codes.index(kind.language), dtype=np.int16)
            else:
                numbers = place[allocation.numbers(kind.stratum, held["unit"][members])]
            if not numbers.shape[1]:
                unnamed += len(members)
            examples.append(np.repeat(members, numbers.shape[1]))
            languages.append(numbers.reshape(-1))
            targets.append(np.full_like(languages[-1], english) if kind.stays_english else languages[-1])
            if kind.stays_english and kind.asks_in_language:
                questions.append(languages[-1][languages[-1] != english])
        return cls(
            codes,
            np.concatenate([np.empty(0, dtype=np.int64), *examples]),
            np.concatenate([np.empty(0, dtype=np.int16), *languages]),
            np.concatenate([np.empty(0, dtype=np.int16), *targets]),
            np.concatenate([np.empty(0, dtype=np.int16), *questions]),
            unnamed,
        )

    def counted(self) -> dict[str, int]:
        """Language of the target -> rows."""
        return self._counted(self.target)

    def counted_questions(self) -> dict[str, int]:
        """Language of the question -> rows with an English answer to one in another language."""
        return self._counted(self.question)

    def _counted(self, places: NDArray[np.int16]) -> dict[str, int]:
        counts = np.bincount(places, minlength=len(self.codes))
        return {code: int(count) for code, count in zip(self.codes, counts, strict=True) if count}

    def texts(self, held: _Columns) -> _Texts:
        """The texts of the rows that are to be translated."""
        parts = []
        foreign = self.language != self.codes.index(ENGLISH)
        example, language = self.example[foreign], self.language[foreign]
        for slot in ("prompt", "target"):
            wanted = held[slot][example] != 0
            chosen = example[wanted]
            parts.append(
                _Texts(self.codes, language[wanted], held[slot][chosen], held[f"{slot}_size"][chosen])
            )
        return _Texts.of(self.codes, parts)


@dataclass
class _Texts:
    """Texts, each in a language that it is to be translated into; aligned columns."""

    codes: tuple[str, ...]
    language: NDArray[np.int16]
    text: Hashes
    size: NDArray[np.uint32]

    @classmethod
    def of(cls, codes: tuple[str, ...], parts: Sequence[_Texts]) -> _Texts:
        """All parts together."""
        return cls(
            codes,
            np.concatenate([np.empty(0, dtype=np.int16), *(part.language for part in parts)]),
            joined("text", [part.text for part in parts]),
            joined("text_size", [part.size for part in parts]),
        )

    def distinct(self) -> _Texts:
        """Each text once for each of its languages."""
        # One number for both: sorting by two columns takes three times as long.
        first = np.unique(self.text ^ mixed(self.language), return_index=True)[1]
        return _Texts(self.codes, self.language[first], self.text[first], self.size[first])

    def per_language(self) -> tuple[dict[str, int], dict[str, int]]:
        """Language -> texts, and language -> characters in them."""
        count = np.bincount(self.language, minlength=len(self.codes))
        size = np.bincount(self.language, weights=self.size, minlength=len(self.codes))
        there = [number for number in range(len(self.codes)) if count[number]]
        return (
            {self.codes[number]: int(count[number]) for number in there},
            {self.codes[number]: int(size[number]) for number in there},
        )


def _validation(recipe: Recipe, columns: Sequence[_Columns], rows: Sequence[_Rows]) -> Hashes:
    """The pictures to hold out: the same share of those of each source and language.

    A picture counts for one of its rows, its primary one, which is drawn by the rows' hashes. Pictures that
    some row shows together stand on one side.
    """
    split = joined("split", [held["split"][made.example] for held, made in zip(columns, rows, strict=True)])
    strata = [
        np.int32(number * len(made.codes)) + made.language.astype(np.int32)
        for number, made in enumerate(rows)
    ]
    stratum = np.concatenate([np.empty(0, dtype=np.int32), *strata])
    # The rows of one unit, in its several languages, have one hash; each shall be drawn as often.
    unit = joined("unit", [held["unit"][made.example] for held, made in zip(columns, rows, strict=True)])
    unit ^= mixed(stratum)
    order = np.lexsort((unit, split))
    split, stratum = split[order], stratum[order]
    first = np.ones(len(split), dtype=bool)
    first[1:] = split[1:] != split[:-1]
    pairs = np.concatenate([NO_PAIRS, *(held.pairs for held in columns)])
    return validation_images(split[first], stratum[first].astype(np.int64), recipe.validation, pairs)
