"""fastText model files, looked through before fastText loads them.

Its loader looks for no end of the file and trusts every number: of a file that is cut short it reads words
for ever, and of a damaged one it ends the process. Layout: `FastText::loadModel` of
https://github.com/facebookresearch/fastText/blob/main/src/fasttext.cc, versions 11 and 12.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

MAGIC = 793_712_314
"""The number that a model file starts with."""

_VERSIONS = (11, 12)

_CENTROIDS = 256
"""Of a product quantiser, for each dimension."""


class DamagedModel(ValueError):
    """No fastText model, a cut one, or a damaged one; the message says what is wrong, and where."""


def check_model(path: Path) -> None:
    """Checks that a file holds a whole fastText model; reads its dictionary, and of its matrices the sizes.

    Raises:
        DamagedModel: it does not.
    """
    with path.open("rb") as file:
        _File(file).check()


class _File:
    """A model file that is read from its start to its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size

    def check(self) -> None:
        magic, version = self._numbers("<2i", "header")
        _demand(magic == MAGIC, "it does not start as one")
        _demand(version in _VERSIONS, f"version {version}, known: 11 and 12")
        dim, _, _, _, _, word_ngrams, _, _, bucket, _, maxn, _, _ = self._numbers("<12id", "settings")
        _demand(dim > 0 and bucket >= 0, f"{dim} dimensions, {bucket} buckets")
        _demand(bucket > 0 or (maxn <= 0 and word_ngrams <= 1), "no buckets for its n-grams")
        size, words, labels, _, pruned = self._numbers("<3i2q", "dictionary")
        _demand(
            words >= 0 and labels >= 0 and size == words + labels,
            f"{size} entries, {words} words and {labels} labels in its dictionary",
        )
        self._entries(words, labels)
        kept = bucket if pruned < 0 else pruned
        if pruned > 0:
            self._pruned(pruned)
        (quantised,) = self._numbers("<?", "input matrix")
        self._matrix("input matrix", words + kept, dim, quantised)
        (output_too,) = self._numbers("<?", "output matrix")
        # Of a model without labels the words are what it foretells; fastText says that it is no classifier.
        self._matrix("output matrix", labels or words, dim, quantised and output_too)

    def _numbers(self, layout: str, part: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self._read(struct.calcsize(layout), part))

    def _read(self, size: int, part: str) -> bytes:
        self._demand_more(size, part)
        return self._file.read(size)

    def _skip(self, size: int, part: str) -> None:
        self._demand_more(size, part)
        self._file.seek(size, os.SEEK_CUR)

    def _demand_more(self, size: int, part: str) -> None:
        end = self._file.tell() + size
        _demand(end <= self._size, f"cut short: {self._size:,} bytes, its {part} goes on to byte {end:,}")

    def _entries(self, words: int, labels: int) -> None:
        """The dictionary: words, then labels, each with its end, how often it was seen, and its type."""
        # One expression: millions of entries are passed by in a fraction of a second.
        dictionary = re.compile(
            rb"(?:[^\0]*+\0[\s\S]{8}\x00){%d}+(?:[^\0]*+\0[\s\S]{8}\x01){%d}+" % (words, labels)
        )
        start = self._file.tell()
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = dictionary.match(data, start)
            end = found.end() if found else -1
            # It would keep the file open.
            del found
        _demand(end >= 0, f"cut or damaged: its dictionary has not {words:,} words and {labels:,} labels")
        self._file.seek(end)

    def _pruned(self, count: int) -> None:
        """Where the n-grams that were kept stand in the input matrix."""
        pairs = np.frombuffer(self._read(8 * count, "list of n-grams"), dtype="<i4").reshape(count, 2)
        rows = pairs[:, 1]
        _demand(bool(rows.min() >= 0 and rows.max() < count), "n-grams that its input matrix does not have")

    def _matrix(self, part: str, rows: int, columns: int, quantised: bool) -> None:
        (norms,) = self._numbers("<?", part) if quantised else (False,)
        found = self._numbers("<2q", part)
        _demand(
            found == (rows, columns), f"{part} of {found[0]:,} x {found[1]:,}, not {rows:,} x {columns:,}"
        )
        if not quantised:
            self._skip(4 * rows * columns, part)
            return
        (codes,) = self._numbers("<i", part)
        _demand(codes >= 0, f"{part} of {codes:,} codes")
        self._skip(codes, part)
        pieces = self._quantiser(part, columns)
        _demand(codes == rows * pieces, f"{part} of {codes:,} codes, not {rows * pieces:,}")
        if norms:
            self._skip(rows, part)
            self._quantiser(part, 1)

    def _quantiser(self, part: str, columns: int) -> int:
        """Into how many pieces a product quantiser cuts a row."""
        dim, pieces, width, last = found = self._numbers("<4i", part)
        _demand(
            dim == columns and pieces > 0 and 0 < last <= width and (pieces - 1) * width + last == dim,
            f"{part} with a quantiser of {found}",
        )
        self._skip(4 * _CENTROIDS * dim, part)
        return int(pieces)


def _demand(holds: bool, wrong: str) -> None:
    if not holds:
        raise DamagedModel(wrong)
