"""One pass over the sources: every example reduced to the few numbers that a plan is made of."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines.assignment import (
    LANGUAGE,
    PHRASE,
    SAMPLE,
    SPLIT,
    caption_key,
    split_key,
    stratum_of,
    unit_key,
)
from pipelines.examples import Example, LeftOut, Reject, Text
from pipelines.hashing import Hashes, hashes_of
from pipelines.inputs import is_url
from pipelines.phrases import phrases
from pipelines.processes import processes
from pipelines.recipe import Recipe
from pipelines.recipe_sources import Source
from pipelines.shares import LanguagePolicy
from pipelines.sources import Piece, read_piece
from translation.machine import available_cores

SAMPLED_TEXTS = 512
"""Texts of each source that tokens are counted in, and that the model is timed with."""

SAMPLED_PICTURES = 64
"""Examples of each source whose pictures' bytes are counted."""

TEXT = "text"
"""Purpose of the hashes that tell texts apart."""

IN_PROCESS_BYTES = 32 * 2**20
"""Sources smaller than this are read in this process: starting others takes longer."""

Locators = tuple[str, ...]
"""The pictures of one example: one or two."""

T = TypeVar("T", str, Locators)

_CHUNK = 4096
"""Examples that are hashed together; of these, equal pictures and texts only once."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What examples have in common that languages and limits go by."""

    task: str
    stratum: str
    name: str | None
    """Key of the class whose names they need."""
    language: str | None
    """NLLB code of texts that stay in their language."""
    with_picture: bool
    stays_english: bool
    """The target, whatever language the example gets."""
    asks_in_language: bool
    """Something in the prompt is in the language that the example gets."""


Column = NDArray[Any]
"""Of uint64 where it holds hashes, of uint32 where numbers or sizes."""

COLUMNS = ("kind", "unit", "sample", "split", "prompt", "target", "prompt_size", "target_size", "caption")


@dataclass
class Tally:
    """What the plan keeps of the examples of one piece: columns of one number an example."""

    source: int
    kinds: tuple[Kind, ...]
    """By their numbers in the column `kind`."""
    columns: dict[str, Column]
    """Hashes are `unit` (what languages are drawn for), `sample` (empty without `max_rows`), `split`,
    `caption` (empty without `phrases`), and `prompt` and `target`, 0 for what is not translated; sizes are in
    characters."""
    pairs: Hashes
    """(N, 3): of what shows two pictures, the hash that it is split by, and those of either picture."""
    captions: Hashes
    """With `phrases`: the hash of every caption's key, as often as it has phrases."""
    phrases: Hashes
    """Of those, aligned."""
    rejects: int
    first_reject: str | None
    """Why the first record or text that cannot be used cannot."""
    left_out: int
    """Records that the recipe does not ask for."""
    texts: dict[int, str]
    """Those to be translated with the lowest hashes, by these."""
    pictures: dict[int, Locators]
    """Of the examples with the lowest hashes, by these."""


def tallies(
    recipe: Recipe, parts: Sequence[Piece], workers: int | None = None
) -> Iterator[tuple[Piece, Tally]]:
    """Reads all pieces, in this process or in several; the order of the results means nothing.

    Args:
        workers: processes; by default one for each core, or this one alone for little data.

    Raises:
        SettingsError: a source has another layout than the recipe says.
        SourceError: a file cannot be read on.
        concurrent.futures.process.BrokenProcessPool: a process was killed.
    """
    little = sum(map(size_of, parts)) < IN_PROCESS_BYTES
    workers = min(workers or (1 if little else available_cores()), len(parts))
    if workers <= 1:
        yield from ((piece, tally_piece(recipe, piece)) for piece in parts)
        return
    # The largest first, so that no process is left alone with it at the end.
    ordered = sorted(parts, key=size_of, reverse=True)
    with processes(workers, _filesystem_options(ordered)) as pool:
        yield from zip(ordered, pool.map(tally_piece, [recipe] * len(ordered), ordered), strict=True)


def _filesystem_options(parts: Sequence[Piece]) -> dict[str, Any] | None:
    if not any(is_url(piece.path) for piece in parts):
        return None
    # Here, because it takes Beam along, which files of this machine do not need.
    from pipelines.filesystem import filesystem_options

    return filesystem_options()


def size_of(piece: Piece) -> int:
    """How much work a piece is, in bytes where the format has those."""
    return max(piece.end - piece.start, 1)


def policy_of(recipe: Recipe, source: Source) -> LanguagePolicy:
    """The language policy of a source: its own, or the recipe's."""
    return (source.languages or recipe.languages).policy()


def picture_stratum(recipe: Recipe, source: Source) -> str | None:
    """The stratum of all pictures, where the policy gives every example of one the same languages.

    Sources that have the recipe's policy share it, as they may share pictures.
    """
    if policy_of(recipe, source).unit != "image":
        return None
    common = policy_of(recipe, source) == recipe.languages.policy()
    return "pictures" if common else f"{source.name}/pictures"


def tally_piece(recipe: Recipe, piece: Piece) -> Tally:
    """Reads a piece and keeps what the plan needs of it."""
    source = recipe.sources[piece.source]
    held = _Held(source, recipe.seed, picture_stratum(recipe, source))
    examples = held.examples(read_piece(recipe, piece))
    while chunk := list(islice(examples, _CHUNK)):
        held.add(chunk)
    return held.tally(piece.source)


@dataclass
class _Held:
    """What is known of a piece so far."""

    source: Source
    seed: int
    unit: str | None
    """The stratum of pictures, if those get the languages."""
    rejects: int = 0
    first_reject: str | None = None
    left_out: int = 0
    kinds: dict[tuple[str, str | None, str | None, bool, bool, bool], int] = field(default_factory=dict)
    found: list[Kind] = field(default_factory=list)
    columns: dict[str, list[Column]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    pairs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Ids of two pictures together -> of each."""
    captions: array[int] = field(default_factory=lambda: array("Q"))
    phrases: list[Hashes] = field(default_factory=list)
    texts: dict[int, str] = field(default_factory=dict)
    pictures: dict[int, Locators] = field(default_factory=dict)

    def examples(self, records: Iterable[Example | Reject | LeftOut]) -> Iterator[Example]:
        """Those among what was read; the rest is counted."""
        for record in records:
            if isinstance(record, LeftOut):
                self.left_out += record.records
            elif isinstance(record, Reject):
                self.rejects += 1
                self.first_reject = self.first_reject or record.reason
            else:
                yield record

    def add(self, chunk: Sequence[Example]) -> None:
        """Takes some examples."""
        by_image = self.unit is not None
        units = [unit_key(example, by_image) for example in chunk]
        self._put("kind", np.array([self._kind(example) for example in chunk], dtype=np.uint32))
        self._put("unit", hashes_of(self.seed, LANGUAGE, units))
        if self.source.max_rows is not None:
            self._put("sample", hashes_of(self.seed, SAMPLE, [example.id for example in chunk]))
        self._add_pictures(chunk)
        self._add_texts(chunk)
        if self.source.phrases is not None:
            self._add_phrases(chunk)

    def _put(self, column: str, values: Column) -> None:
        self.columns[column].append(values)

    def _kind(self, example: Example) -> int:
        key = (
            example.task,
            example.name,
            example.language,
            example.image_id is not None,
            example.stays_english(example.target),
            example.prompt is not None and not example.stays_english(example.prompt),
        )
        number = self.kinds.get(key)
        if number is None:
            number = self.kinds[key] = len(self.found)
            stratum = stratum_of(example, self.unit)
            self.found.append(Kind(example.task, stratum, *key[1:]))
        return number

    def _add_pictures(self, chunk: Sequence[Example]) -> None:
        keys = [split_key(example) for example in chunk]
        self.pairs.update(
            (key, example.picture_ids)
            for key, example in zip(keys, chunk, strict=True)
            if example.picture_ids
        )
        first = dict(zip(reversed(keys), reversed(chunk), strict=True))
        hashes = hashes_of(self.seed, SPLIT, first)
        number = dict(zip(first, range(len(first)), strict=True))
        self._put("split", hashes[[number[key] for key in keys]])
        examples = list(first.values())
        found = [
            (int(hashes[place]), _locators(examples[place]))
            for place in _candidates(hashes, self.pictures, SAMPLED_PICTURES)
            if examples[place].image is not None
        ]
        if found:
            self.pictures = lowest(self.pictures, found, SAMPLED_PICTURES)

    def _add_texts(self, chunk: Sequence[Example]) -> None:
        wanted = {
            "prompt": [_to_translate(example.prompt, example) for example in chunk],
            "target": [_to_translate(example.target, example) for example in chunk],
        }
        # A caption is told and judged, a question asked and answered: each is hashed once.
        distinct = dict.fromkeys(wanted["prompt"] + wanted["target"])
        number = dict(zip(distinct, range(len(distinct)), strict=True))
        texts = list(number)
        # The seed does not matter for what is only told apart.
        hashes = np.maximum(hashes_of(0, TEXT, texts), np.uint64(1))
        sizes = np.fromiter(map(len, texts), dtype=np.uint32, count=len(texts))
        empty = number.get("")
        if empty is not None:
            hashes[empty] = 0
        for slot, held in wanted.items():
            places = [number[text] for text in held]
            self._put(slot, hashes[places])
            self._put(f"{slot}_size", sizes[places])
        places = [place for place in _candidates(hashes, self.texts, SAMPLED_TEXTS) if place != empty]
        if places:
            found = [(int(hashes[place]), texts[place]) for place in places]
            self.texts = lowest(self.texts, found, SAMPLED_TEXTS)

    def _add_phrases(self, chunk: Sequence[Example]) -> None:
        captions = hashes_of(self.seed, PHRASE, [caption_key(example) for example in chunk])
        self._put("caption", captions)
        held: list[str] = []
        for caption, example in zip(captions.tolist(), chunk, strict=True):
            if example.task == "caption":
                found = phrases(example.target.text)
                held += found
                self.captions.extend([caption] * len(found))
        self.phrases.append(hashes_of(0, PHRASE, held))

    def _pairs(self) -> Hashes:
        together = list(self.pairs)
        each = [hashes_of(self.seed, SPLIT, [ids[side] for ids in self.pairs.values()]) for side in (0, 1)]
        return np.stack([hashes_of(self.seed, SPLIT, together), *each], axis=1) if together else NO_PAIRS

    def tally(self, source: int) -> Tally:
        """All of it."""
        return Tally(
            source=source,
            kinds=tuple(self.found),
            columns={name: joined(name, parts) for name, parts in self.columns.items()},
            pairs=self._pairs(),
            captions=np.frombuffer(self.captions, dtype=np.uint64),
            phrases=joined("phrases", self.phrases),
            rejects=self.rejects,
            first_reject=self.first_reject,
            left_out=self.left_out,
            texts=self.texts,
            pictures=self.pictures,
        )


NO_PAIRS: Hashes = np.empty((0, 3), dtype=np.uint64)


def joined(column: str, parts: Sequence[Column]) -> Column:
    """The parts of a column in one array, empty if there are none."""
    kind = np.uint32 if column == "kind" or column.endswith("_size") else np.uint64
    return np.concatenate([np.empty(0, dtype=kind), *parts])


def _locators(example: Example) -> Locators:
    return tuple(one for one in (example.image, example.second_image) if one is not None)


def _to_translate(text: Text | None, example: Example) -> str:
    """What is translated if the example gets another language; empty if nothing is."""
    return text.text if text is not None and example.is_translated(text) else ""


def _candidates(hashes: Hashes, kept: Mapping[int, object], number: int) -> list[int]:
    """Places of the hashes that may be among the lowest."""
    if len(kept) < number:
        return list(range(len(hashes)))
    found: list[int] = np.flatnonzero(hashes < np.uint64(max(kept))).tolist()
    return found


def lowest(kept: Mapping[int, T], found: Iterable[tuple[int, T]], number: int) -> dict[int, T]:
    """The items with the lowest hashes, in their order; of several with one hash the first in their order."""
    merged = dict(kept)
    for hashed, item in found:
        merged[hashed] = min(item, merged.get(hashed, item))
    return dict(sorted(merged.items())[:number])
