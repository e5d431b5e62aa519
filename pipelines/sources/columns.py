"""Many values at once: nearly all are as they should be, which shows on the bytes of all of them together.

Each function does what its namesake in `values` does for one value, in a tenth of the time. What is wrong
with a value is not told here: whoever gives the values looks at that one alone.
"""

from __future__ import annotations

import string
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pipelines.sources.values import (
    MAX_ID,
    MAX_TEXT,
    BadRecord,
    caption_text,
    checksum,
    clean_text,
    identifier,
)

Odd = set[int]
"""Places of the values that cannot be used, and of those that must be looked at alone to tell."""

_BAD = 4
"""Of a byte that stands in no value of the common kind, whatever is before it."""


class Bytes:
    """The bytes of values of the common kind, one value a line: which may stand in them, and behind which.

    Args:
        before: what a byte forbids behind it, as bits 1 and 2; none that is not named does.
        behind: by which of these bits a byte is forbidden, 0 for none; what is not named stands in no value.
    """

    def __init__(self, before: Mapping[str, int], behind: Mapping[str, int]) -> None:
        self._bits = bytes(
            forbids | forbidden << 4
            for forbids, forbidden in zip(_table(before, always=_BAD), _table(behind, always=0), strict=True)
        )

    def others(self, data: bytes) -> list[int]:
        """Numbers of the lines that are not of the common kind; a line break is before and behind all."""
        bits = np.frombuffer(data.translate(self._bits), np.uint8)
        forbidden = np.flatnonzero(bits[:-1] & bits[1:] >> 4)
        if not forbidden.size:
            return []
        breaks: npt.NDArray[np.int64] = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
        # What is wrong stands at `forbidden + 1`; a line break belongs to the line before it.
        found: list[int] = np.unique(np.searchsorted(breaks, forbidden + 1) - 1).tolist()
        return found


def _table(bits: Mapping[str, int], *, always: int) -> bytes:
    """What `bytes.translate` takes: the bits of each byte."""
    table = bytearray([_BAD] * 256)
    for characters, forbidden in bits.items():
        for one in characters.encode():
            table[one] = forbidden | always
    return bytes(table)


_SIGNS = "".join(set(string.punctuation) - {"&"})
_CAPTION = Bytes(
    before={" ": 1, "\n": 1 | 2},
    behind={string.ascii_letters: 0, string.digits + _SIGNS: 2, " \n": 1},
)
"""`caption_text` changes nothing in such a line."""

_TEXT = Bytes(
    before={" ": 1, "\n": 1 | 2},
    behind={string.ascii_letters + string.digits + _SIGNS: 0, "\n": 1, " ": 2},
)
"""`clean_text` changes nothing in such a line."""


def lines_of(values: Sequence[str]) -> bytes:
    """Values as lines, a line break before and behind each; what has one itself is an empty line.

    Raises:
        TypeError: one is no text.
    """
    joined = "\n".join(values)
    if joined.count("\n") != len(values) - 1:
        joined = "\n".join(["" if "\n" in value else value for value in values])
    return f"\n{joined}\n".encode(errors="surrogatepass")


def caption_texts(values: Sequence[object], odd: Odd) -> Sequence[str]:
    """Captions, cleaned; the places of those that cannot be used are added to `odd`."""
    return _texts(values, _CAPTION, _clean_caption, odd)[0]


def captions_with_checksums(values: Sequence[object], odd: Odd) -> tuple[Sequence[str], Sequence[str]]:
    """As `caption_texts`, and the checksum of each caption."""
    captions, lines = _texts(values, _CAPTION, _clean_caption, odd)
    return captions, _checksums(captions, lines)


def checksums(texts: Sequence[str]) -> Sequence[str]:
    """The checksum of each text."""
    return _checksums(texts, lines_of(texts))


def _checksums(texts: Sequence[str], lines: bytes) -> Sequence[str]:
    found = lines[1:-1].split(b"\n")
    if b"" in found:
        # A text that is none, or has lines itself.
        return list(map(checksum, texts))
    return np.array(list(map(zlib.crc32, found)), ">u4").tobytes().hex("-", 4).split("-")


def _clean_caption(value: object) -> str:
    return caption_text(value, "")


def clean_texts(values: Sequence[object], odd: Odd) -> Sequence[str]:
    """Texts, cleaned; the places of those that cannot be used are added to `odd`."""
    return _texts(values, _TEXT, lambda value: clean_text(value, ""), odd)[0]


def verbatim_texts(
    values: Sequence[object], odd: Odd, *, limit: int | None = MAX_TEXT, lines: bytes | None = None
) -> Sequence[str]:
    """Texts of any script, cleaned as `clean_text` does with `verbatim`; the places of those that cannot be
    used are added to `odd`.

    Args:
        lines: all of them, where they are at hand as UTF-8.
    """
    texts: Sequence[str] = values  # type: ignore[assignment]
    if not texts:
        return texts
    try:
        found = list(map(str.strip, texts))
    except TypeError:
        texts = only_texts(values, odd)
        found = list(map(str.strip, texts))
    others: set[int] = set()
    joined = "\n".join(found) if lines is None else lines
    # Of ASCII all is seen that is neither white space nor a control character.
    if not all(found) or not (joined.isascii() or "".join([text[0] for text in found]).isalnum()):
        others = {at for at, text in enumerate(found) if not text[:1].isalnum()}
    if _may_need_cleaning(joined):
        others |= {at for at, text in enumerate(found) if _may_need_cleaning(text)}
    if limit is not None and max(map(len, texts)) > limit:
        others |= {at for at, text in enumerate(texts) if len(text) > limit}
    for at in others:
        try:
            found[at] = clean_text(texts[at], "", verbatim=True, limit=limit)
        except BadRecord:
            odd.add(at)
    return found


def _may_need_cleaning(text: str | bytes) -> bool:
    """Whether control characters, byte order marks or halves of surrogate pairs may stand in a text."""
    try:
        data = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError:
        return True
    if b"\x7f" in data or (not data.isascii() and _BYTE_ORDER_MARK in data):
        return True
    numbers = np.frombuffer(data, np.uint8)
    # What is from 9 to 13 parts words or lines; numbers below 14 become large ones.
    return bool((numbers < 9).any() or (numbers - np.uint8(14) < 18).any())


_BYTE_ORDER_MARK = "\ufeff".encode()


def _texts(
    values: Sequence[object], common: Bytes, cleaned: Callable[[object], str], odd: Odd
) -> tuple[Sequence[str], bytes]:
    """The texts and their lines, as of `lines_of`."""
    texts: Sequence[str] = values  # type: ignore[assignment]
    try:
        lines = lines_of(texts)
    except TypeError:
        texts = only_texts(values, odd)
        lines = lines_of(texts)
    if not texts:
        return texts, lines
    others = common.others(lines)
    if may_be_longer(lines, MAX_TEXT):
        others = sorted({*others, *(at for at, text in enumerate(texts) if len(text) > MAX_TEXT)})
    if not others:
        return texts, lines
    found = list(texts)
    for at in others:
        try:
            found[at] = cleaned(texts[at])
        except BadRecord:
            odd.add(at)
    return found, lines_of(found)


def may_be_longer(lines: bytes, limit: int) -> bool:
    """Whether a line may have more bytes: it would fill one of the windows of half as many."""
    half = limit // 2
    return any(lines.find(b"\n", at, at + half) < 0 for at in range(0, len(lines) - half, half))


def only_texts(values: Sequence[object], odd: Odd) -> Sequence[str]:
    """The values, with an empty text for each that is none; its place is added to `odd`."""
    if set(map(type, values)) <= {str}:
        return values  # type: ignore[return-value]
    odd.update(at for at, value in enumerate(values) if not isinstance(value, str))
    return [value if isinstance(value, str) else "" for value in values]


def identifiers(values: Sequence[object], odd: Odd) -> Sequence[str]:
    """Ids as text; the places of those that cannot be used are added to `odd`."""
    types = set(map(type, values))
    if types == {int} and min(values) >= -(2**63) and max(values) < 2**64:  # type: ignore[type-var, operator]
        return list(map(str, values))
    if types == {str}:
        texts: Sequence[str] = values  # type: ignore[assignment]
        longest = max(map(len, texts))
        if longest <= MAX_ID and all(map(str.strip, texts)) and all(map(str.isprintable, texts)):
            return texts
    found = []
    for value in values:
        try:
            # Numbers beyond 64 bits are others where a record is read alone.
            found.append("" if type(value) is int and abs(value) >= 2**63 else identifier(value, ""))
        except BadRecord:
            found.append("")
    odd.update(at for at, one in enumerate(found) if not one)
    return found
