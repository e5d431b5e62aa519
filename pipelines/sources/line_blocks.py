"""Files of lines, read in blocks of whole lines: what is common is then looked at many lines at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

MAX_LINE = 10 * 1024 * 1024
"""Bytes of a line; a longer one is skipped without being held in memory."""

BLOCK = 128 * 1024
"""Bytes read at a time: what is made of larger blocks leaves the cache."""

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines."""

    offset: int
    text: bytes
    """But for the long line at its end."""
    long: bytes | None = None
    """The start of a line that is too long to be held."""
    rest: int = 0
    """Bytes of it that are not held."""

    def decoded(self) -> str | None:
        """All of its lines; None where they are no UTF-8, or one is too long."""
        if self.long is not None or len(self.text) > MAX_LINE:
            return None
        try:
            return self.text.decode()
        except UnicodeDecodeError:
            return None

    def starts(self) -> npt.NDArray[np.int64]:
        """Where in `text` each of its lines starts, blank ones too."""
        breaks = np.flatnonzero(np.frombuffer(self.text, np.uint8) == ord("\n"))
        found: npt.NDArray[np.int64] = np.concatenate((np.zeros(1, np.int64), breaks + 1))
        return found[found < len(self.text)]

    def lines(self) -> Iterator[tuple[int, bytes, int]]:
        """Offset, content and size of each line that is not blank.

        The content has no white space around it; of a line longer than `MAX_LINE` it is only the head.
        """
        offset = self.offset
        for line in self.text.split(b"\n"):
            content = line.strip()
            if content:
                yield offset + line.index(content[:1]), content, len(content)
            offset += len(line) + 1
        if self.long is not None:
            content = self.long.strip()
            start = self.offset + len(self.text) + len(self.long) - len(self.long.lstrip())
            yield start, content, len(content) + self.rest


def blocks(file: BinaryIO, start: int, end: int, block: int = BLOCK) -> Iterator[Block]:
    """The lines that start in [start, end), without the file's byte order mark.

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
        rest, long = 0, None
        if not chunk.endswith(b"\n"):
            # The last line starts in the block, wherever it ends.
            last = file.readline(MAX_LINE + 2)
            chunk += last
            rest = _skip_line(file) if last and not last.endswith(b"\n") else 0
        size = len(chunk) + rest
        if rest:
            head, border, long = chunk.rpartition(b"\n")
            chunk = head + border
        if offset == 0 and chunk.startswith(BOM):
            yield Block(len(BOM), chunk[len(BOM) :], long, rest)
        else:
            yield Block(offset, chunk, long, rest)
        offset += size


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
