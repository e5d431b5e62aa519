"""Streams the values of a file with one JSON value a line; a line that is no JSON is reported and skipped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import orjson

MAX_LINE = 10 * 1024 * 1024
"""Bytes of a line; a longer one is skipped without being held in memory."""

BLOCK = 1024 * 1024
"""Bytes read at a time."""

BOM = b"\xef\xbb\xbf"

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
    offset = _first_line(file, start)
    while offset < end:
        chunk = file.read(min(block, end - offset))
        if not chunk:
            return
        rest = 0
        if not chunk.endswith(b"\n"):
            # The last line starts in the block, wherever it ends.
            last = file.readline(MAX_LINE + 2)
            chunk += last
            rest = _skip_line(file) if last and not last.endswith(b"\n") else 0
        found = chunk.split(b"\n")
        if not found[-1]:
            found.pop()
        long = found.pop() if rest else None
        if offset == 0 and found and found[0].startswith(BOM):
            found[0] = found[0][len(BOM) :]
            offset = len(BOM)
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
        if long is not None:
            yield from _odd_line(long, offset, rest)
            offset += len(long) + rest


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


def _first_line(file: BinaryIO, start: int) -> int:
    """Goes to the first line that starts at `start` or behind it."""
    # A line that starts exactly at `start` has its predecessor's line break right before it.
    file.seek(max(start - 1, 0))
    return start - 1 + _skip_line(file) if start else 0


def _skip_line(file: BinaryIO) -> int:
    """Reads on to the next line without holding the rest of this one; returns the bytes read."""
    size = 0
    while chunk := file.readline(BLOCK):
        size += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return size
