"""Streams the values of a file with one JSON value a line; a line that is no JSON is reported and skipped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any, BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt
import orjson

from pipelines.sources.line_blocks import BLOCK, MAX_LINE, Block, blocks

_EXCERPT = 8_000
"""Bytes of a broken record that are kept: UTF-8 has at most four for each of the characters of a reject."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that could not be read."""

    reason: str
    raw: str
    """How the record starts, as far as it is text."""
    truncated: bool = False
    """The file breaks off here: an unknown number of records was not read."""


def lines(
    file: BinaryIO, start: int, end: int, *, block: int = BLOCK
) -> Iterator[tuple[int, object | Broken]]:
    """Byte offset and value of every line that starts in [start, end); blank lines are none.

    Offsets are of a line's first byte that is no white space. `orjson` parses; what it refuses is put to
    Python's `json`, whose answer counts: so NaN, Infinity, numbers beyond 1e308 and halves of surrogate pairs
    are accepted, as Python writes them. Whole numbers beyond 64 bits are floats.

    Args:
        file: seekable; its position on entry does not matter.
        start: also inside a line, which then belongs to whoever reads the range before.
        block: bytes read at a time; decides nothing but speed.
    """
    for block_ in blocks(file, start, end, block):
        yield from _lines(block_)


class Together(msgspec.Struct, frozen=True):
    """Records that were read at once, as one object each."""

    positions: list[int]
    columns: Sequence[list[Any]]
    """As of `Columns.values`; None where a record has none, or null."""
    record: Callable[[int], dict[str, object]]
    """All of the record at a place in `positions`, as it is read alone."""


def lines_together(
    file: BinaryIO, start: int, end: int, columns: Columns, *, block: int = BLOCK
) -> Iterator[Together | tuple[int, object | Broken]]:
    """The same lines as of `lines`, those of a block together where each of them is an object."""
    for block_ in blocks(file, start, end, block):
        together = _together(block_, columns)
        if together is None:
            yield from _lines(block_)
        else:
            yield together


class Columns:
    """Reads some columns of JSON objects, in a third of the time of reading them whole.

    Args:
        names: of the columns.
        inside: one more column, of lists of objects, and the keys that are read of these.
    """

    def __init__(self, names: Sequence[str], inside: tuple[str, Sequence[str]] | None = None) -> None:
        types: dict[str, Any] = dict.fromkeys(names, Any)
        self._inside: list[Callable[[Any], object]] = []
        if inside is not None:
            part, values = _struct(dict.fromkeys(inside[1], Any))
            self._inside = [values[key] for key in inside[1]]
            types[inside[0]] = list[part] | None  # type: ignore[valid-type]
        row, values = _struct(types)
        self._values = [values[name] for name in names]
        self._lists = None if inside is None else values[inside[0]]
        self._of_lines = msgspec.json.Decoder(row)
        self._of_list = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]

    def of_lines(self, text: bytes) -> list[object] | None:
        """The objects of lines; None where something is no object, or no JSON."""
        return self._read(self._of_lines.decode_lines, text)

    def of_list(self, text: bytes) -> list[object] | None:
        """The objects of a list; None where something is no object, or no JSON."""
        return self._read(self._of_list.decode, text)

    def _read(self, decode: Callable[[bytes], Any], text: bytes) -> list[object] | None:
        try:
            # What msgspec passes over it does not decode.
            if not text.isascii():
                text.decode()
            found: list[object] = decode(text)
        except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
            return None
        return found

    def values(self, objects: Sequence[object]) -> list[list[Any]]:
        """The values of each column; then, for that of lists, how long each is, and the values of each key
        of the objects of all of them.
        """
        found = [list(map(value, objects)) for value in self._values]
        if self._lists is not None:
            lists = [one or () for one in map(self._lists, objects)]
            parts = list(chain.from_iterable(lists))
            found += [list(map(len, lists)), *(list(map(value, parts)) for value in self._inside)]
        return found

    def brackets(self, objects: Sequence[object]) -> npt.NDArray[np.int64] | None:
        """How many objects each object is with those in its list; None where there are no such lists."""
        if self._lists is None:
            return None
        return np.fromiter((1 + len(one or ()) for one in map(self._lists, objects)), np.int64, len(objects))


def _struct(types: Mapping[str, Any]) -> tuple[type[msgspec.Struct], dict[str, Callable[[Any], Any]]]:
    """What msgspec decodes objects with these keys to, and what gets the values; None for what is missing."""
    fields = {name: f"_{number}" for number, name in enumerate(types)}
    found = msgspec.defstruct(
        "Row",
        [(fields[name], type_, None) for name, type_ in types.items()],
        rename={field: name for name, field in fields.items()},
        gc=False,
    )
    return found, {name: attrgetter(field) for name, field in fields.items()}


def _lines(block: Block) -> Iterator[tuple[int, object | Broken]]:
    offset = block.offset
    found = block.text.split(b"\n")
    if not found[-1]:
        found.pop()
    for line in found:
        here, offset = offset, offset + len(line) + 1
        try:
            if len(line) > MAX_LINE:
                yield from _odd_line(line, here)
            else:
                value = orjson.loads(line)
                yield (here if line[0] > 0x20 else here + len(line) - len(line.lstrip())), value
        except orjson.JSONDecodeError:
            yield from _odd_line(line, here)
    if block.long is not None:
        yield from _odd_line(block.long, offset, block.rest)


def _together(block: Block, columns: Columns) -> Together | None:
    """The records of a block's lines; None where one may not be a whole object, or is too long."""
    text = block.text
    if block.long is not None or not text.startswith(b"{") or len(text) > MAX_LINE:
        return None
    found = np.frombuffer(text, np.uint8)
    breaks = np.flatnonzero(found == ord("\n"))
    number = len(breaks) + (not text.endswith(b"\n"))
    borders = breaks[: number - 1]
    ends = found[borders - 1]
    if b"\r" in text:
        ends = np.where(ends == ord("\r"), found[borders - 2], ends)
    # JSON never goes on behind `}` with `{`: so each line begins and ends with a value.
    if (ends != ord("}")).any() or (found[borders + 1] != ord("{")).any():
        return None
    objects = columns.of_lines(text)
    if objects is None or len(objects) != number:
        return None
    starts = [0, *(borders + 1).tolist()]

    def record(at: int) -> dict[str, object]:
        end = starts[at + 1] if at + 1 < number else len(text)
        value = next(_lines(Block(0, text[starts[at] : end])))[1]
        assert isinstance(value, dict), "it is an object"
        return value

    positions = starts if block.offset == 0 else [block.offset + one for one in starts]
    return Together(positions, columns.values(objects), record)


def accepted(raw: bytes, position: int, what: str) -> object | Broken:
    """The value that Python's `json` reads, or why it reads none.

    Args:
        position: of `raw` in its file, for the place of a byte that is no UTF-8.
        what: `line` or `record`, for the message.
    """
    try:
        value: object = json.loads(raw.decode())
    except UnicodeDecodeError as error:
        reason = f"no UTF-8 at byte {position + error.start} (0x{raw[error.start]:02x})"
    except json.JSONDecodeError as error:
        reason = f"no JSON: {error.msg} at character {error.pos} of the {what}"
    except RecursionError:
        reason = "no usable JSON: nested too deeply"
    except ValueError as error:
        # A number of more than 4,300 digits.
        reason = f"no usable JSON: {error}"
    else:
        return value
    return Broken(reason, excerpt(raw))


def excerpt(raw: bytes) -> str:
    """The start of a broken record as text."""
    return raw[:_EXCERPT].decode(errors="replace").strip()


def _odd_line(line: bytes, offset: int, rest: int = 0) -> Iterator[tuple[int, object | Broken]]:
    """A line that `orjson` does not read: blank, too long, or to be put to Python's `json`."""
    content = line.strip()
    here, size = offset + len(line) - len(line.lstrip()), len(content) + rest
    if size > MAX_LINE:
        yield here, Broken(f"line of {size:,} bytes, at most {MAX_LINE:,}", excerpt(content))
    elif content:
        yield here, accepted(content, here, "line")
