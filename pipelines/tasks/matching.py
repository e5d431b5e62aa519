"""Image-text matching: is this caption one of this picture? Half of the captions are another picture's.

A negative is hard: it shares rare words with a caption of the picture. And it is checked: so much of what it
says must be said by no caption of the picture that it cannot be one by accident; all of it, where the picture
has one or two captions only.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pipelines.examples import Example, Text
from pipelines.hashing import fraction
from pipelines.recipe_sources import Source
from pipelines.records import Captioned, Picture
from pipelines.tasks.judgements import NO, YES
from translation.filters.english import bases, words

WINDOW = 20_000
"""Captions among which a negative is looked for; also what is held in memory."""

NEW_SHARE = 0.5
"""Share of a negative's words that no caption of the picture may have, nor a word alike."""

MANY_CAPTIONS = 3
"""A picture with fewer captions shows much that they do not say: a negative may share no word with them."""

_LOOKED_AT = 48
"""Candidates that are compared for one caption."""


@dataclass(frozen=True, slots=True)
class _Caption:
    source_id: str
    picture: Picture
    text: str
    content: frozenset[str]


class Matcher:
    """Makes one example of each caption, a window at a time."""

    def __init__(self, source: Source, seed: int) -> None:
        self._source, self._seed = source, seed
        self._held: list[_Caption] = []

    def add(self, record: Captioned) -> Iterator[Example]:
        """Takes a picture's captions; yields the examples of a window that is full."""
        self._held += [
            _Caption(source_id, record.picture, text, content_words(text))
            for source_id, text in record.captions
        ]
        if len(self._held) >= WINDOW:
            yield from self.finish()

    def finish(self) -> Iterator[Example]:
        """The examples of what is held."""
        window = _Window(self._held)
        self._held = []
        shown: dict[str, set[str]] = defaultdict(set)
        for caption in window.captions:
            key = f"{self._source.name}/{caption.source_id}"
            other = None
            if fraction(self._seed, "negative", key) < self._source.negatives:
                position = fraction(self._seed, "other caption", key)
                other = window.negative(caption, position, shown[caption.picture.image_id])
                if other is not None:
                    shown[caption.picture.image_id].add(other.text)
            yield Example(
                dataset=self._source.name,
                source_id=caption.source_id,
                task="matching",
                image=caption.picture.locator,
                image_id=caption.picture.image_id,
                prompt=Text((other or caption).text, translate=self._source.prompt == "translate"),
                target=Text(NO if other else YES),
            )


class _Window:
    """Captions, by their words and by their pictures."""

    def __init__(self, captions: list[_Caption]) -> None:
        self.captions = captions
        self._with_word: dict[str, list[int]] = defaultdict(list)
        self._words_of: dict[str, set[str]] = defaultdict(set)
        self._captions_of: Counter[str] = Counter()
        self._said: dict[str, _Said] = {}
        for number, caption in enumerate(captions):
            self._words_of[caption.picture.image_id] |= caption.content
            self._captions_of[caption.picture.image_id] += 1
            for word in caption.content:
                self._with_word[word].append(number)
        # Whole numbers: sums of fractions depend on the order of a set, which is another one in each process.
        self._weight = {word: _WEIGHT // len(there) for word, there in self._with_word.items()}

    def negative(self, caption: _Caption, position: float, shown: Container[str]) -> _Caption | None:
        """The caption that shares most rare words with one, and is none of its picture; None if none fits.

        Args:
            position: in [0, 1), where the search starts, so that equal captions get different negatives.
            shown: texts that another caption of the picture has as its negative.
        """
        captions, content, weight = self.captions, caption.content, self._weight.__getitem__
        shared: dict[int, int] = {}
        for number in self._candidates(caption, position):
            if number not in shared:
                shared[number] = sum(map(weight, content & captions[number].content))
        ordered = sorted(shared, key=shared.__getitem__, reverse=True)
        fitting = (captions[number] for number in ordered if captions[number].text not in shown)
        return next((other for other in fitting if self._is_false(other, caption.picture)), None)

    def _candidates(self, caption: _Caption, position: float) -> Iterator[int]:
        """Captions with the rarest words first, then any; only any for a picture of which little is said."""
        left = _LOOKED_AT
        little = self._captions_of[caption.picture.image_id] < MANY_CAPTIONS
        for word in (
            () if little else sorted(caption.content, key=lambda word: (len(self._with_word[word]), word))
        ):
            there = self._with_word[word]
            yield from _around(there, position, taken := min(len(there), max(left // 2, 1)))
            left -= taken
            if left <= 0:
                return
        yield from _around(range(len(self.captions)), position, min(left, len(self.captions)))

    def _is_false(self, other: _Caption, picture: Picture) -> bool:
        if other.picture.image_id == picture.image_id:
            return False
        said = self._said.get(picture.image_id)
        if said is None:
            said = self._said[picture.image_id] = _Said.of(self._words_of[picture.image_id])
        enough = self._captions_of[picture.image_id] >= MANY_CAPTIONS
        return said.contradicted_by(other.content, NEW_SHARE if enough else 1.0)


_WEIGHT = 10**12
"""What a word counts that one caption has; more than any number of captions, so that quotients differ."""


def _around(numbers: Sequence[int], position: float, count: int) -> Sequence[int]:
    """So many of the numbers from a position in [0, 1) on, round the end."""
    start = int(position * len(numbers))
    over = max(start + count - len(numbers), 0)
    return [*numbers[start : start + count], *numbers[:over]]


@dataclass(frozen=True, slots=True)
class _Said:
    """What the captions of one picture say."""

    words: frozenset[str]
    bases: frozenset[str]
    """Of the words, as `translation.filters.english.bases` has them."""
    groups: frozenset[int]
    """Of words alike that they are in."""

    @classmethod
    def of(cls, words: Iterable[str]) -> _Said:
        words = frozenset(words)
        return cls(
            words,
            frozenset().union(*map(bases, words)),
            frozenset().union(*(groups_alike().get(word, ()) for word in words)),
        )

    def contradicted_by(self, content: frozenset[str], share: float = NEW_SHARE) -> bool:
        """Whether this share of a caption's words is neither said nor alike to what is."""
        if not content:
            return False
        alike, groups, known = groups_alike(), self.groups, self.bases
        new = sum(
            groups.isdisjoint(alike.get(word, ())) and known.isdisjoint(bases(word))
            for word in content - self.words
        )
        return new >= max(1.0, share * len(content))


def contradicts(content: frozenset[str], said: Iterable[str]) -> bool:
    """Whether half or more of a caption's words are neither said of a picture nor alike to what is."""
    return _Said.of(said).contradicted_by(content)


def content_words(text: str) -> frozenset[str]:
    """The words of a caption that say what can be seen."""
    return frozenset(words(text)) - empty_words()


@cache
def empty_words() -> frozenset[str]:
    """Words of captions that name nothing that can be seen."""
    return frozenset(word for kind, line in _rows() if kind == "empty" for word in line)


@cache
def groups_alike() -> Mapping[str, frozenset[int]]:
    """Word -> numbers of the groups that it is in; words of one group may be said of the same thing."""
    groups: dict[str, set[int]] = defaultdict(set)
    for number, (kind, line) in enumerate(_rows()):
        if kind == "alike":
            for word in line:
                groups[word].add(number)
    return {word: frozenset(numbers) for word, numbers in groups.items()}


def _rows() -> list[tuple[str, list[str]]]:
    text = files("pipelines.tasks").joinpath("matching.tsv").read_text(encoding="utf-8")
    return [(row["kind"], row["words"].split()) for row in csv.DictReader(text.splitlines(), delimiter="\t")]
