"""What the small model sees, and in which order: pairs as ids, drawn by language and kind, in batches of
similar length.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sentencepiece

from scripts.small_model.data import CAPTION, INTERFACE, NAME, SENTENCE
from translation.languages import ENGLISH

PAD, END, UNKNOWN = 1, 2, 3
"""Ids of NLLB's dictionary: <s> 0, <pad> 1, </s> 2, <unk> 3, then the SentencePiece pieces."""

BALANCE = 0.5
"""A cell of (language, kind) with n pairs is drawn as often as n to this power, times its kind's weight."""
WEIGHTS: Mapping[str, float] = {NAME: 3.0, CAPTION: 1.0, SENTENCE: 3.0, INTERFACE: 1.0}
PICTURES = 3.0
"""How much oftener than other names those are drawn that a picture shows: captions are made of them."""
SHORT = 30
"""Characters of English beyond which interface strings are drawn the more rarely the longer they are."""
VARIED = 0.15
"""Share of English sources that are spelt otherwise: with an article, a capital, without a full stop."""

Indices = np.ndarray[tuple[int], np.dtype[np.int64]]
Ids = np.ndarray[tuple[int], np.dtype[np.int32]]


@dataclass(frozen=True)
class Pairs:
    """Columns of the data, one entry a pair."""

    sources: list[str]
    targets: list[str]
    codes: list[str]
    kinds: list[str]


@dataclass(frozen=True)
class Example:
    """One direction of a pair, as ids. `source`: [lang, ..., </s>]; `target`: the same layout."""

    source: Ids
    target: Ids


@dataclass(frozen=True)
class Encoded:
    """Texts as ids in one array; text i is `ids[starts[i]:starts[i + 1]]`, without language and end."""

    ids: Ids
    starts: Indices

    def __getitem__(self, index: int) -> Ids:
        return self.ids[self.starts[index] : self.starts[index + 1]]


def read_pairs(path: Path, split: str) -> Pairs:
    """The pairs of a split of `pairs.parquet`.

    Raises:
        ValueError: there are none.
    """
    table = pq.read_table(path, columns=["source", "target", "nllb_code", "kind", "split"])
    table = table.filter(pc.equal(table["split"], split))
    if not table.num_rows:
        raise ValueError(f"{path}: no pair of the split {split!r}; write it again with data.py")
    columns = table.to_pydict()
    return Pairs(columns["source"], columns["target"], columns["nllb_code"], columns["kind"])


def licences_of(path: Path) -> list[str]:
    """Licences of the texts in `pairs.parquet`, those of the most texts first."""
    return [
        licence
        for licence, _ in Counter(
            pq.read_table(path, columns=["licence"])["licence"].to_pylist()
        ).most_common()
    ]


def encode(texts: Sequence[str], processor: sentencepiece.SentencePieceProcessor) -> Encoded:
    """Pieces of texts as ids of NLLB's dictionary."""
    parts, starts = [], [0]
    for start in range(0, len(texts), 50_000):
        for ids in processor.encode(list(texts[start : start + 50_000])):
            parts.append(np.asarray(ids, dtype=np.int32) + 1)
            starts.append(starts[-1] + len(ids))
    flat = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
    return Encoded(flat, np.asarray(starts, dtype=np.int64))


def probabilities(pairs: Pairs, pictured: frozenset[str]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How often each pair is drawn; they sum to 1.

    Args:
        pictured: English names that are drawn `PICTURES` times as often as others.
    """
    cells = list(zip(pairs.codes, pairs.kinds, strict=True))
    numbers = {cell: number for number, cell in enumerate(sorted(set(cells)))}
    cell_of = np.asarray([numbers[cell] for cell in cells])
    weights = np.asarray([PICTURES if kind == NAME and source in pictured else 1.0
                          for kind, source in zip(pairs.kinds, pairs.sources, strict=True)])  # fmt: skip
    weights *= np.asarray([min(1.0, SHORT / len(source)) if kind == INTERFACE else 1.0
                           for kind, source in zip(pairs.kinds, pairs.sources, strict=True)])  # fmt: skip
    counts = np.bincount(cell_of)
    mass = np.asarray([WEIGHTS[kind] for _, kind in sorted(numbers)]) * counts**BALANCE
    weights *= mass[cell_of] / np.bincount(cell_of, weights)[cell_of]
    shares: np.ndarray[tuple[int], np.dtype[np.float64]] = weights / weights.sum()
    return shares


def respelt(english: str, choice: float) -> str:
    """Another way to write an English source that means the same; `choice` in 0..1 says which."""
    if english.endswith(".") and choice < 0.5:
        return english[:-1]
    if english[:1].isupper() and english[1:2].islower():
        return english[0].lower() + english[1:]
    if " " in english and english[-1:] not in ".!?" and choice < 0.3:
        return f"{english[:1].upper()}{english[1:]}."
    article = "an" if english[:1] in "aeiou" else "a"
    options = (f"{article} {english}", f"{article.capitalize()} {english}", f"the {english}",
               f"{english[:1].upper()}{english[1:]}", f"{article.capitalize()} {english}.")  # fmt: skip
    return options[min(int(choice * len(options)), len(options) - 1)]


class Draws:
    """Draws examples of a round by (seed, round) alone, so that a stopped training finds its place."""

    def __init__(
        self,
        pairs: Pairs,
        processor: sentencepiece.SentencePieceProcessor,
        codes: Mapping[str, int],
        pictured: frozenset[str],
        into_english: float,
        seed: int,
    ) -> None:
        """Encodes all pairs: `english` and `other` are their pieces."""
        self._pairs, self._codes, self._seed, self._into_english = pairs, codes, seed, into_english
        self._processor = processor
        self.english, self.other = encode(pairs.sources, processor), encode(pairs.targets, processor)
        self._cumulative = np.cumsum(probabilities(pairs, pictured))

    def __len__(self) -> int:
        return len(self._pairs.sources)

    def round(self, number: int, size: int) -> list[Example]:
        """`size` examples of a round."""
        rng = np.random.default_rng([self._seed, number])
        # Evenly spaced over the probabilities, shifted at random: less chance than independent draws.
        places = (np.arange(size) + rng.random()) / size * self._cumulative[-1]
        rows = np.minimum(np.searchsorted(self._cumulative, places, side="right"), len(self) - 1)
        back = rng.random(size) < self._into_english
        varied = (rng.random(size) < VARIED) & ~back
        choices = rng.random(size)
        spellings = self._processor.encode(
            [
                respelt(self._pairs.sources[row], choice)
                for row, choice in zip(rows[varied], choices[varied], strict=True)
            ]
        )
        others = iter(spellings)
        examples = []
        for row, into, other in zip(rows.tolist(), back.tolist(), varied.tolist(), strict=True):
            english = np.asarray(next(others), dtype=np.int32) + 1 if other else self.english[row]
            examples.append(self._example(english, self.other[row], self._pairs.codes[row], into))
        return examples

    def _example(self, english: Ids, other: Ids, code: str, into_english: bool) -> Example:
        ours, theirs = _framed(english, self._codes[ENGLISH]), _framed(other, self._codes[code])
        return Example(theirs, ours) if into_english else Example(ours, theirs)


def _framed(ids: Ids, language: int) -> Ids:
    return np.concatenate([np.asarray([language], np.int32), ids, np.asarray([END], np.int32)])


def batches(examples: Sequence[Example], tokens: int, order: np.random.Generator) -> Iterator[list[Example]]:
    """Random batches of at most `tokens` padded tokens, both sides together, of similar length."""
    sources = np.asarray([len(example.source) for example in examples])
    targets = np.asarray([len(example.target) for example in examples])
    # Up and down in turn, so that targets change by little from one length of sources to the next.
    turn = np.where(np.unique(sources, return_inverse=True)[1] % 2, -targets, targets)
    by_length = np.lexsort((order.random(len(examples)), turn, sources)).tolist()
    made: list[list[Example]] = [[]]
    source = target = 0
    for number in by_length:
        example = examples[number]
        source, target = max(source, len(example.source)), max(target, len(example.target))
        if made[-1] and (len(made[-1]) + 1) * (source + target) > tokens:
            made.append([])
            source, target = len(example.source), len(example.target)
        made[-1].append(example)
    for number in order.permutation(len(made)).tolist():
        yield made[number]


def sample_of(pairs: Pairs, size: int, wanted: Callable[[str], bool]) -> list[int]:
    """About `size` pairs of the kinds that are `wanted`, chosen by a hash, as many of each language."""
    rows: dict[str, list[tuple[bytes, int]]] = {}
    for number, (code, kind, source) in enumerate(zip(pairs.codes, pairs.kinds, pairs.sources, strict=True)):
        if wanted(kind):
            place = hashlib.blake2b(f"{code}/{source}".encode(), digest_size=8).digest()
            rows.setdefault(code, []).append((place, number))
    each = max(1, size // max(1, len(rows)))
    return [number for code in sorted(rows) for _, number in sorted(rows[code])[:each]]
