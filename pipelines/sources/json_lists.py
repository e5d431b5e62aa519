"""Streams the records of one big JSON list, or object of records; a broken record is reported and skipped.

The borders between records are found on the bytes, by brackets and commas outside strings, many at a time;
all records of a block are then parsed at once, and one by one where that fails. A record whose own brackets
and quotes are balanced is skipped alone, whatever is wrong with it. Where they are not, what follows looks
like a part of it: reading then goes on at the next place that begins as a good record did, with the same
bracket, first key and, where records start a line, the same indent. That loses at most records with another
first key. Where a good record holds its own beginning a second time, or records are no objects, there is no
such mark, and the file counts as truncated.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from itertools import repeat
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt
import orjson

from pipelines import inputs
from pipelines.sources.json_lines import Broken, Columns, Together, accepted, excerpt
from pipelines.sources.line_blocks import BOM

MAX_RECORD = 64 * 1024 * 1024
"""Bytes of a record; a longer one is skipped without being held in memory."""

BLOCK = 512 * 1024
"""Bytes read at a time: blocks beyond a few hundred kB are no faster, and their arrays leave the cache."""

BLOCK_TOGETHER = 256 * 1024
"""Where records are made of blocks as a whole: what is made of larger ones leaves the cache."""

PEEK = 4 * 1024
"""Bytes of the first block, each further one being twice as long: often few of them are needed."""

Item = tuple[int, str | None, object]
"""Byte offset of a record, its key if it stands in an object, and its value or `Broken`."""

_Offsets = npt.NDArray[np.int64]

_SPACE = b" \t\n\r"
_KEY = re.compile(rb'\s*("(?:[^"\\]|\\.)*")\s*:\s*', re.DOTALL)
_TRIALS = 3
"""Blocks in a row that are looked at for plain records in vain; then they are no longer."""
_LONGEST_KEY = 4_096
"""Bytes of a key with the white space around it, which is found only where all of it fits."""

_STEP = np.array([(byte in b"[{") - (byte in b"]}") for byte in range(256)], np.int8)
"""What a byte outside strings adds to the depth."""
_IS_SPACE = np.array([byte in _SPACE for byte in range(256)])


class NoSuchList(LookupError):
    """The file has no list, or object, of records where they were to be."""


def items(file: BinaryIO, path: str | None = None, *, block: int = BLOCK) -> Iterator[Item]:
    """The records of the list or object at the top of a file, or of its member `path`, in their order.

    Records are parsed by `orjson`: NaN, Infinity, numbers beyond 1e308 and halves of surrogate pairs are no
    JSON, whole numbers beyond 64 bits are floats, and of equal keys in one record the last one counts. Equal
    keys of records all come. A file that breaks off ends in a `Broken` with `truncated`, after all records
    that are whole. What follows the list in the file is not read, but for the next character.

    Args:
        file: seekable; read from its start, and by nobody else until the last record.
        path: a key of the object at the top; the first one of equal ones counts.
        block: bytes read at a time; decides nothing but speed, unless the first record is broken.

    Raises:
        NoSuchList: there is neither list nor object there.
    """
    start, is_object = _place(file, path, block)
    found = _Records(file, start, is_object, path is not None, block).read()
    # Nothing is read together without columns.
    return cast("Iterator[Item]", found)


Passed = dict[int, int]
"""Lists of a file that were read to their ends without fault: the places of their brackets."""


def items_together(
    file: BinaryIO,
    columns: Columns,
    path: str | None = None,
    *,
    block: int = BLOCK_TOGETHER,
    passed: Passed | None = None,
) -> Iterator[Item | Together]:
    """The same records as of `items`; those of a block of a list together where each of them is an object.

    Args:
        passed: where several lists of a file are read, what need not be looked through again to find one;
            this list is added.

    Raises:
        NoSuchList: as `items`.
    """
    passed = {} if passed is None else passed
    start, is_object = _place(file, path, block, passed)
    records = _Records(file, start, is_object, path is not None, block, None if is_object else columns)
    faultless = True
    for item in records.read():
        faultless = faultless and (isinstance(item, Together) or not isinstance(item[2], Broken))
        yield item
    if faultless:
        passed[start - 1] = records.end


def first_item(path: str | Path, list_path: str | None = None) -> Item | None:
    """The first record, read as `items` does; None where the list is empty.

    Reads little of the list, but all that stands before it.

    Raises:
        NoSuchList: as for `items`.
    """
    with inputs.open_input(path, inputs.PEEK) as file:
        return next(items(file, list_path), None)


def _place(
    file: BinaryIO, path: str | None, block: int, passed: Mapping[int, int] = MappingProxyType({})
) -> tuple[int, bool]:
    """Where the records start, behind the bracket, and whether they are members of an object."""
    start, first = _first_character(file)
    if not first:
        raise NoSuchList("the file is empty")
    if first not in (b"[", b"{"):
        shown = first.decode() if b"!" <= first <= b"~" else f"0x{first.hex()}"
        raise NoSuchList(f"neither a list nor an object: starts with {shown!r} at byte {start}")
    if path is None:
        return start + 1, first == b"{"
    if first == b"[":
        raise NoSuchList(f"no list `{path}`: the file is one list itself")
    seen: list[str] = []
    for key, position in _members(file, start + 1, block, passed):
        if key is None:
            # Something before it is broken; its name is still to be found.
            mark = re.compile(re.escape(orjson.dumps(path)) + rb"\s*:\s*[\[{]")
            found = _find(file, mark, block)
            if found is None:
                raise NoSuchList(f"no list `{path}`, and the file is no JSON from byte {position} on")
            position = found - 1
        elif key != path:
            seen.append(key)
            continue
        file.seek(position)
        first = file.read(1)
        if first not in (b"[", b"{"):
            raise NoSuchList(f"`{path}` at byte {position} is neither a list nor an object")
        return position + 1, first == b"{"
    raise NoSuchList(f"no list `{path}`; there: {', '.join(seen[:12])[:200] or 'nothing'}")


def _first_character(file: BinaryIO) -> tuple[int, bytes]:
    """Offset and value of the first byte that is neither byte order mark nor white space."""
    file.seek(0)
    start = len(BOM) if file.read(len(BOM)) == BOM else 0
    return _next_character(file, start)


def _next_character(file: BinaryIO, position: int) -> tuple[int, bytes]:
    file.seek(position)
    while chunk := file.read(_LONGEST_KEY):
        text = chunk.lstrip(_SPACE)
        if text:
            return position + len(chunk) - len(text), text[:1]
        position += len(chunk)
    return position, b""


def _members(
    file: BinaryIO, start: int, block: int, passed: Mapping[int, int]
) -> Iterator[tuple[str | None, int]]:
    """Keys of an object and offsets of their values, each before its value is read, unless `passed`.

    The last key is None, with the offset, where the object is not closed, or not the last thing in the file.
    """
    borders = _Borders(b"}")
    offset, begun, closed = start, [start], None
    while True:
        for position in begun:
            file.seek(position)
            key = _KEY.match(file.read(_LONGEST_KEY))
            if key is not None:
                value = position + key.end()
                yield _text(key[1]), value
                if value in passed:
                    borders, offset, closed = _Borders(b"}"), passed[value], None
                    break
        if closed is not None:
            position, more = _next_character(file, closed + 1)
            if more:
                yield None, position
            return
        file.seek(offset)
        chunk = file.read(block)
        if not chunk:
            yield None, offset
            return
        commas, end = borders.feed(chunk)
        begun = (commas + (offset + 1)).tolist()
        closed = None if end is None else offset + end
        offset += len(chunk)


def _text(key: bytes) -> str:
    try:
        return str(orjson.loads(key))
    except orjson.JSONDecodeError:
        return excerpt(key[1:-1])


def _find(file: BinaryIO, mark: re.Pattern[bytes], block: int) -> int | None:
    """The offset behind the first match in the file."""
    file.seek(0)
    offset, kept = 0, b""
    while chunk := file.read(block):
        window = kept + chunk
        found = mark.search(window)
        if found is not None:
            return offset - len(kept) + found.end()
        kept = window[-_LONGEST_KEY:]
        offset += len(chunk)
    return None


_OBJECT = re.compile(rb'\s*?(?P<indent>(?:\n[ \t]*)?)(?P<head>\{\s*"(?:[^"\\]|\\.)*"\s*:)')
"""A record in a list."""
_MEMBER = re.compile(
    rb'\s*?(?P<indent>(?:\n[ \t]*)?)"(?:[^"\\]|\\.)*"(?P<head>\s*:\s*\{\s*"(?:[^"\\]|\\.)*"\s*:)'
)
"""A record in an object."""
_ANY_KEY = rb'"(?:[^"\\\n]|\\.){0,200}"'


class _Borders:
    """Finds the commas between the elements of one list or object, and its end, in blocks of any size."""

    def __init__(self, closer: bytes) -> None:
        self._closer = closer[0]
        self._depth = 0
        self._in_string = False
        self._escaped = False
        """The last block ended in a backslash that escapes the first byte of the next."""

    def feed(self, block: bytes) -> tuple[_Offsets, int | None]:
        """Offsets in the block of the commas between elements, and of the bracket after the last element.

        A bracket of the wrong kind between elements counts as any other byte of them.
        """
        text = np.frombuffer(block, np.uint8)
        places = self._outside_strings(block, text)
        found = text[places]
        depth = np.cumsum(_STEP[found], dtype=np.int64)
        depth += self._depth
        end = None
        if depth.size and depth.min() < 0:
            lowest = np.minimum.accumulate(np.minimum(depth, 0))
            closing = np.flatnonzero(np.diff(lowest, prepend=0))
            ends = closing[found[closing] == self._closer]
            depth -= lowest
            if ends.size:
                end = int(places[ends[0]])
                places, found, depth = places[: ends[0]], found[: ends[0]], depth[: ends[0]]
        if depth.size:
            self._depth = int(depth[-1])
        return places[(found == ord(",")) & (depth == 0)], end

    def _outside_strings(self, block: bytes, text: npt.NDArray[np.uint8]) -> _Offsets:
        """Offsets of all brackets and commas outside strings."""
        quotes = text == ord('"')
        if self._escaped or b"\\" in block:
            self._drop_escaped(text, quotes)
        # A bit a byte from here on: whether it is in a string is the parity of the quotes up to it.
        inside = _bits(quotes)
        for shift in (1, 2, 4, 8, 16, 32):
            inside ^= inside << np.uint64(shift)
        turned = np.logical_xor.accumulate((inside >> np.uint64(63)).astype(np.bool_)) ^ self._in_string
        inside[0] ^= _ALL if self._in_string else _NONE
        inside[1:] ^= np.where(turned[:-1], _ALL, _NONE)
        self._in_string = bool(turned[-1])
        # `[` and `{`, and `]` and `}`, differ in one bit.
        lower = text | np.uint8(0x20)
        marks = _bits((lower == ord("{")) | (lower == ord("}")) | (text == ord(",")))
        marks &= ~inside
        # Most groups of eight bytes have none.
        groups = marks.view(np.uint8)
        some = np.flatnonzero(groups != 0)
        places = np.flatnonzero(np.unpackbits(groups[some], bitorder="little").view(np.bool_))
        offsets: _Offsets = some[places >> 3] * 8 + (places & 7)
        return offsets

    def _drop_escaped(self, text: npt.NDArray[np.uint8], quotes: npt.NDArray[np.bool_]) -> None:
        """Clears the quotes that have an odd number of backslashes before them."""
        slashes = np.flatnonzero(text == ord("\\"))
        escaped = self._escaped
        if escaped and not (slashes.size and slashes[0] == 0):
            quotes[0] = False
            escaped = False
        self._escaped = False
        if slashes.size:
            breaks = np.flatnonzero(np.diff(slashes) != 1)
            firsts = slashes[np.concatenate(([0], breaks + 1))]
            lasts = slashes[np.concatenate((breaks, [slashes.size - 1]))]
            lengths = lasts - firsts + 1
            lengths[0] -= escaped
            targets = lasts[lengths % 2 == 1] + 1
            if targets.size and targets[-1] == text.size:
                self._escaped = True
                targets = targets[:-1]
            quotes[targets] = False


_ALL, _NONE = np.uint64(0xFFFF_FFFF_FFFF_FFFF), np.uint64(0)


def _bits(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """A mask with one bit a byte, the first one the lowest; the last word is filled up with zeros."""
    words = np.zeros((mask.size + 63) // 64, "<u8")
    packed = np.packbits(mask, bitorder="little")
    words.view(np.uint8)[: packed.size] = packed
    return words


class _Records:
    """Reads the records from one place in a file on, to the end of their list."""

    def __init__(
        self,
        file: BinaryIO,
        start: int,
        is_object: bool,
        nested: bool,
        block: int,
        columns: Columns | None = None,
    ) -> None:
        self._columns = columns
        self._file = file
        self._is_object = is_object
        self._nested = nested
        self._block = block
        self._start = start
        self._sample: bytes | None = None
        """A good record with the white space before it, by which the beginning of others is known."""
        self._head = b"{"
        """How that begins, as far as it is known."""
        self._unclosed = False
        """The record before is broken and does not end in a bracket: the next element may belong to it."""
        self._odd = False
        """The element before is broken, or no object or list: it may be a part of a broken record."""
        self._not_plain = 0
        """Blocks in a row that were not as `_all_plain` takes them."""
        self._go_to(start)

    def _go_to(self, position: int) -> None:
        """Takes `position` for the start of a record."""
        self._file.seek(position)
        self._borders = self._at_depth_0()
        self._begun = position
        self._text = b""
        """What was read from `_begun` on; only its start where the record is too long to be held."""
        self._unseen = b""
        """What was read behind that, whose borders were not looked for."""
        self._size = 0
        """Bytes read from `_begun` on."""
        self._looked_at = 0
        """What `_size` was when the record was last searched for the start of another."""
        self._next_block = min(PEEK, self._block)

    @property
    def end(self) -> int:
        """Behind the bracket that closes the list, once all of it is read."""
        return self._begun

    def read(self) -> Iterator[Item | Together]:
        """All records; see `items`."""
        more = True
        while more:
            chunk = self._file.read(self._next_block)
            self._next_block = min(2 * self._next_block, self._block)
            together = self._all_plain(chunk) if chunk and self._columns is not None else None
            if together is not None:
                yield together
                continue
            chunk, self._unseen = self._unseen + chunk, b""
            more = yield from (self._feed(chunk) if chunk else self._file_ends())

    def _all_plain(self, chunk: bytes) -> Together | None:
        """The records that end in the next bytes of the file; None where their borders must be looked for.

        Where there are as many opening brackets as objects, these are where they begin.
        """
        if self._not_plain == _TRIALS or self._size > len(self._text):
            return None
        assert self._columns is not None, "else nothing is read together"
        text = b"".join((self._text, self._unseen, chunk))
        self._not_plain += 1
        last = text.rfind(self._head)
        end = text.rfind(b",", 0, max(last, 0))
        if end < 0 or text[end + 1 : last].strip(_SPACE):
            return None
        objects = self._columns.of_list(b"".join((b"[", memoryview(text)[:end], b"]")))
        if not objects:
            return None
        starts = np.flatnonzero(np.frombuffer(text, np.uint8, end) == ord("{"))
        sizes = self._columns.brackets(objects)
        if len(starts) != (len(objects) if sizes is None else sizes.sum()):
            return None
        if sizes is not None:
            starts = starts[np.cumsum(sizes) - sizes]
        longest = int(np.argmax(np.diff(starts, append=end)))
        borders = [*starts[longest : longest + 2].tolist(), end]
        indent = len(text[: borders[0]].rstrip(_SPACE))
        self._keep(text[indent : borders[1]].rstrip(_SPACE + b","))
        together = self._together(text, objects, starts, np.append(starts[1:], end), self._columns)
        self._not_plain, self._unclosed, self._odd = 0, False, False
        self._borders = self._at_depth_0()
        self._begun += end + 1
        self._text, self._unseen, self._size, self._looked_at = b"", text[end + 1 :], 0, 0
        return together

    def _at_depth_0(self) -> _Borders:
        return _Borders(b"}" if self._is_object else b"]")

    def _feed(self, chunk: bytes) -> Generator[Item | Together, None, bool]:
        """The records that end in the next bytes of the file; false at the end of the list."""
        commas, end = self._borders.feed(chunk)
        ends = commas if end is None else np.append(commas, end)
        if not ends.size:
            yield from self._go_on(chunk)
            return True
        if self._size + int(ends[0]) > MAX_RECORD:
            yield self._too_long(self._size + int(ends[0]))
            passed = int(ends[0]) + 1
            self._begun += self._size + passed
            self._text, ends = chunk[passed:], ends[1:] - passed
        else:
            self._text, ends = self._text + chunk, ends + self._size
        if ends.size:
            if (yield from self._elements(ends, end is not None)):
                return True
            passed = int(ends[-1]) + 1
            self._begun += passed
            self._text = self._text[passed:]
        self._size, self._looked_at = len(self._text), 0
        return end is None or (yield from self._list_ends())

    def _go_on(self, chunk: bytes) -> Iterator[Item]:
        """Takes bytes in which no record ends."""
        before, self._size = self._size, self._size + len(chunk)
        if before > MAX_RECORD:
            return
        self._text += chunk
        if self._size > min(2 * self._looked_at, MAX_RECORD):
            self._looked_at = self._size
            start = self._indent()
            found = self._next_start(start, len(self._text))
            # A record may hold what looks like the start of another, but then it is JSON so far.
            if found is not None and (self._size > MAX_RECORD or not self._is_json_so_far(start)):
                yield self._cut_at(start, found)
                return
        if self._size > MAX_RECORD:
            self._text = self._text[:_LONGEST_KEY]

    def _elements(self, ends: _Offsets, list_ends: bool) -> Generator[Item | Together, None, bool]:
        """The records that end at the offsets in `_text`; true if it went to a place that is not the last."""
        starts = self._starts(ends)
        if list_ends and starts.size == 1 and self._begun == self._start and starts[0] == ends[0]:
            return False
        brackets = (b"{", b"}") if self._is_object else (b"[", b"]")
        text = b"".join((brackets[0], memoryview(self._text)[: ends[-1]], brackets[1]))
        if self._columns is not None:
            objects = self._columns.of_list(text)
            if objects is not None and len(objects) == starts.size:
                self._keep_longest(ends)
                self._unclosed, self._odd = False, False
                yield self._together(self._text, objects, starts, ends, self._columns)
                return False
        try:
            values = orjson.loads(text)
        except orjson.JSONDecodeError:
            values = ()
        if len(values) != starts.size:
            # Not all are JSON, or keys are equal.
            return (yield from self._one_by_one(starts.tolist(), ends.tolist()))
        self._keep_longest(ends)
        last = next(reversed(values.values())) if self._is_object else values[-1]
        self._unclosed, self._odd = False, not isinstance(last, (dict, list))
        positions = (starts + self._begun).tolist()
        if self._is_object:
            yield from zip(positions, values.keys(), values.values(), strict=True)
        else:
            yield from zip(positions, repeat(None), values)
        return False

    def _together(
        self, text: bytes, objects: list[object], starts: _Offsets, ends: _Offsets, columns: Columns
    ) -> Together:
        """Objects that were read from these places in a text that starts at `_begun`."""

        def record(at: int) -> dict[str, object]:
            value: dict[str, object] = orjson.loads(text[starts[at] : ends[at]].rstrip(_SPACE + b","))
            return value

        return Together((starts + self._begun).tolist(), columns.values(objects), record)

    def _keep_longest(self, ends: _Offsets) -> None:
        longest = int(np.argmax(np.diff(ends, prepend=-1)))
        self._keep(self._text[int(ends[longest - 1]) + 1 if longest else 0 : int(ends[longest])])

    def _starts(self, ends: _Offsets) -> _Offsets:
        """Offsets in `_text` of the first bytes of the records that are no white space."""
        text = np.frombuffer(self._text, np.uint8)
        starts = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))
        for _ in range(64):
            space = _IS_SPACE[text[starts]]
            if not space.any():
                return starts
            starts += space
        for index in np.flatnonzero(_IS_SPACE[text[starts]]):
            start, end = int(starts[index]), int(ends[index])
            starts[index] = end - len(self._text[start:end].lstrip(_SPACE))
        return starts

    def _one_by_one(self, starts: list[int], ends: list[int]) -> Generator[Item, None, bool]:
        """As `_elements`, each record parsed alone."""
        read = [
            self._one(self._text[start:end], self._begun + start)
            for start, end in zip(starts, ends, strict=True)
        ]
        if self._sample is None:
            for (_, value), start, end in zip(read, starts, ends, strict=True):
                if self._sample is None and isinstance(value, dict):
                    space = self._text[:start].rstrip(_SPACE)
                    self._keep(self._text[len(space) : end])
        for (key, value), start, end in zip(read, starts, ends, strict=True):
            if isinstance(value, Broken):
                found = self._next_start(start, end)
                if found is not None:
                    yield self._cut_at(start, found)
                    return True
                text = self._text[start:end].rstrip(_SPACE)
                whole = _MEMBER.match(text) if self._is_object else text.startswith((b"{", b"["))
                belongs = self._unclosed and not whole
                self._unclosed = not text.endswith((b"}", b"]")) and self._sample is not None
                if belongs:
                    continue
            else:
                self._unclosed = False
            self._odd = not isinstance(value, (dict, list))
            yield self._begun + start, key, value
        return False

    def _keep(self, good: bytes) -> None:
        """Takes a good record for the sample, if its beginning tells where records begin."""
        start = (_MEMBER if self._is_object else _OBJECT).match(good)
        if start is not None:
            self._sample, self._head = good, start["head"]

    def _one(self, text: bytes, position: int) -> tuple[str | None, object | Broken]:
        """Key and value of one element."""
        text = text.rstrip(_SPACE)
        if not text:
            return None, Broken("no value before a comma or a closing bracket", "")
        key: str | None = None
        value_text = text
        try:
            if self._is_object:
                name = _KEY.match(text)
                if name is None:
                    return None, Broken("no JSON: no key in quotes before the value", excerpt(text))
                key, value_text = orjson.loads(name[1]), text[name.end() :]
            return key, orjson.loads(value_text)
        except orjson.JSONDecodeError as error:
            judged = accepted(value_text, position + len(text) - len(value_text), "record")
            # Python's `json` accepts more than JSON, and here also a key may be at fault.
            message = f"no JSON: {error.msg} at character {error.pos} of the record"
            reason = judged.reason if isinstance(judged, Broken) else message
            return key, Broken(reason, excerpt(text))

    def _next_start(self, start: int, end: int) -> int | None:
        """Where in `_text`, behind `start` and before `end`, a record begins."""
        mark = self._mark()
        found = None if mark is None else mark.search(self._text, start + 1, end)
        return None if found is None else found.start("record")

    def _goes_on(self, between: bytes) -> bool:
        """Whether a record belongs to the list although it stands behind its end, with this text between."""
        if not self._nested or not between.strip(_SPACE + b",[]{}"):
            return True
        # Behind it other lists may follow, and their records may begin alike.
        return self._odd and not between.endswith((b"[", b"{"))

    def _is_json_so_far(self, start: int) -> bool:
        """Whether what was read of a record may go on to be one."""
        text = self._text[start:]
        if self._is_object:
            name = _KEY.match(text)
            if name is None:
                return False
            text = text[name.end() :]
        try:
            # Its last letter may be cut in two.
            orjson.loads(text.decode(errors="replace"))
        except orjson.JSONDecodeError as error:
            return error.msg.startswith("unexpected end of data")
        return True

    def _mark(self) -> re.Pattern[bytes] | None:
        """How records begin: as a good one, else as the one at hand; None where that tells nothing."""
        start = (_MEMBER if self._is_object else _OBJECT).match(self._sample or self._text[:_LONGEST_KEY])
        if start is None:
            return None
        key = _ANY_KEY if self._is_object else b""
        mark = re.compile(re.escape(start["indent"]) + b"(?P<record>" + key + re.escape(start["head"]) + b")")
        # Where a record holds its own beginning a second time, so may a broken one.
        if self._sample is not None and len(mark.findall(self._sample)) != 1:
            return None
        return mark

    def _cut_at(self, start: int, found: int) -> Item:
        """The record at `start` in `_text`, which hides that the next one begins at `found`; goes there."""
        position = self._begun + start
        key, value = self._one(self._text[start:found].rstrip(_SPACE + b","), position)
        self._unclosed = False
        self._go_to(self._begun + found)
        return position, key, value

    def _indent(self) -> int:
        """Bytes of white space that `_text` starts with."""
        return len(self._text) - len(self._text.lstrip(_SPACE))

    def _too_long(self, size: int) -> Item:
        start = self._indent()
        reason = f"record of {size - start:,} bytes, at most {MAX_RECORD:,}"
        return self._begun + start, None, Broken(reason, excerpt(self._text))

    def _file_ends(self) -> Generator[Item, None, bool]:
        """What is left where a file does not close the list; true if it went to an earlier place."""
        start, end = self._indent(), self._begun + self._size
        text = self._text.rstrip(_SPACE)
        if self._size <= MAX_RECORD:
            found = self._next_start(start, len(self._text))
            if found is not None:
                yield self._cut_at(start, found)
                return True
            if text.endswith((b"}", b"]", b'"')):
                key, value = self._one(text[start:], self._begun + start)
                if not isinstance(value, Broken):
                    yield self._begun + start, key, value
                    text = b""
        position, what = (
            (self._begun + start, "inside this record") if text else (end, "before its list does")
        )
        reason = f"no JSON, nothing after this position could be read: the file ends {what}"
        yield position, None, Broken(reason, excerpt(text), truncated=True)
        return False

    def _list_ends(self) -> Generator[Item, None, bool]:
        """Looks at what follows the closing bracket before `_begun`; true if the list goes on there."""
        closed = self._begun - 1
        self._file.seek(self._begun)
        self._text = self._file.read(BLOCK)
        mark = self._mark() if self._sample is not None else None
        found = None if mark is None else mark.search(self._text)
        if found is not None and self._goes_on(self._text[: found.start("record")].strip(_SPACE)):
            self._text = self._text[:_LONGEST_KEY]
            yield closed, None, Broken("no JSON: a closing bracket, but records follow", excerpt(self._text))
            self._go_to(self._begun + found.start("record"))
            return True
        position, first = _next_character(self._file, self._begun)
        if self._nested and not first:
            reason = (
                "no JSON, nothing after this position could be read: the file ends before its object does"
            )
            yield position, None, Broken(reason, "", truncated=True)
        elif first and not (self._nested and first in b",}"):
            self._file.seek(position)
            raw = excerpt(self._file.read(_LONGEST_KEY))
            reason = "no JSON, nothing after this position could be read: text behind the list"
            yield position, None, Broken(reason, raw, truncated=True)
        return False
