"""CTranslate2's `model.bin`: what variables it holds, and another order of the vocabulary for its rows.

The format is that of `ctranslate2.specs.model_spec.ModelSpec.save`, version 6: numbers are little-endian,
names end in a zero byte that their length counts.
"""

from __future__ import annotations

import json
import mmap
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from translation.model import WEIGHTS, ModelError
from translation.shortlists import VOCABULARY, in_front, read_vocabulary

VERSION = 6
"""Of the file format, the only one that is known here."""

_BY_VOCABULARY = re.compile(r"(encoder/embeddings_\d+|decoder/embeddings|decoder/projection)/")
"""Names of the variables with a row for each entry of the vocabulary: weights, scales, biases."""

_AT_ONCE = 64 * 2**20
"""Bytes that are held at once."""


@dataclass(frozen=True)
class Variable:
    """A tensor in the file."""

    name: str
    shape: tuple[int, ...]
    dtype: int
    """CTranslate2's number of the type."""
    offset: int
    """Of its content in the file, in bytes."""
    size: int
    """In bytes."""

    @property
    def by_vocabulary(self) -> bool:
        """Has it a row for each entry of the vocabulary?"""
        return bool(self.shape) and _BY_VOCABULARY.match(self.name) is not None


def variables(path: Path) -> list[Variable]:
    """The variables of a `model.bin`, in the order of the file.

    Raises:
        ModelError: not such a file, of another version, or cut.
    """
    with path.open("rb") as file:
        return _variables(file, path)


def reorder(path: Path, output: Path, order: Sequence[int]) -> None:
    """Writes a `model.bin` with the rows of the vocabulary in another order, and nothing else changed.

    Args:
        order: per row of the output its row in `path`; every row once.

    Raises:
        ModelError: as `variables`, or a variable does not have as many rows as `order`.
    """
    if sorted(order) != list(range(len(order))):
        raise ValueError("an order names every row once")
    with path.open("rb") as file, output.open("wb") as made:
        found = _variables(file, path)
        for variable in found:
            if variable.by_vocabulary and variable.shape[0] != len(order):
                raise ModelError(
                    f"{path}: {variable.name} has {variable.shape[0]:,} rows, the vocabulary {len(order):,} "
                    "entries; convert the model again with `translate-mix model add`"
                )
        copied = 0
        for variable in found:
            if variable.by_vocabulary:
                _copy(file, made, copied, variable.offset)
                _copy_rows(file, made, variable, order)
                copied = variable.offset + variable.size
        _copy(file, made, copied, path.stat().st_size)


def order_vocabulary(directory: Path, output: Path) -> list[str]:
    """Writes weights and vocabulary of a model into `output`, in the order that shortlists need.

    Returns:
        The vocabulary in that order (see `translation.shortlists.in_front`).

    Raises:
        ModelError: as `reorder`, or the vocabulary is none.
    """
    vocabulary = read_vocabulary(directory)
    place = {token: index for index, token in enumerate(vocabulary)}
    order = [place[token] for token in in_front(vocabulary)]
    moved = set(order)
    order += [index for index in range(len(vocabulary)) if index not in moved]
    reorder(directory / WEIGHTS, output / WEIGHTS, order)
    ordered = [vocabulary[index] for index in order]
    text = json.dumps(ordered, indent=0, ensure_ascii=False)
    (output / VOCABULARY).write_text(text + "\n", encoding="utf-8")
    return ordered


def _copy(file: BinaryIO, made: BinaryIO, start: int, end: int) -> None:
    file.seek(start)
    while start < end:
        piece = file.read(min(_AT_ONCE, end - start))
        made.write(piece)
        start += len(piece)


def _copy_rows(file: BinaryIO, made: BinaryIO, variable: Variable, order: Sequence[int]) -> None:
    width = variable.size // variable.shape[0]
    at_once = max(1, _AT_ONCE // width)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for start in range(0, len(order), at_once):
            places = (variable.offset + row * width for row in order[start : start + at_once])
            made.write(b"".join(mapped[place : place + width] for place in places))


def _variables(file: BinaryIO, path: Path) -> list[Variable]:
    def number(form: str) -> int:
        content = file.read(struct.calcsize(form))
        try:
            value: int = struct.unpack(f"<{form}", content)[0]
        except struct.error as error:
            raise ModelError(f"{path}: cut at byte {file.tell():,}; convert the model again") from error
        return value

    def text() -> str:
        return file.read(number("H")).rstrip(b"\0").decode("utf-8", "replace")

    size = path.stat().st_size
    version = number("I")
    if version != VERSION:
        raise ModelError(
            f"{path}: version {version} of CTranslate2's format, only {VERSION} is known here; convert the "
            "model again with `translate-mix model add`"
        )
    text()  # name of the architecture
    number("I")  # its revision
    found = []
    for _ in range(number("I")):
        name = text()
        shape = tuple(number("I") for _ in range(number("B")))
        dtype, length = number("B"), number("I")
        variable = Variable(name, shape, dtype, file.tell(), length)
        if variable.offset + length > size:
            raise ModelError(f"{path}: cut within {name}; convert the model again")
        found.append(variable)
        file.seek(length, 1)
    return found
