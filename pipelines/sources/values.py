"""What a value of a record must be: a text, an id; and how messages show one that is not."""

from __future__ import annotations

import html
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from unicodedata import category

MAX_TEXT = 20_000
"""Characters of one caption, question or answer; longer ones are scraped pages, not captions."""


MAX_ID = 200
"""Characters of a record's own id."""


class BadRecord(ValueError):
    """A record, or a text of it, that makes no example; the message says why, not where."""


def cell(record: Mapping[str, object], column: str) -> object:
    """The value of a column that every record has. Raises `BadRecord` where it is missing or null."""
    value = record.get(column)
    if value is not None:
        return value
    if column in record:
        raise BadRecord(f"column {column!r} is null")
    there = ", ".join(list(record)[:12]) or "none"
    raise BadRecord(f"no column {column!r}; there: {there[:200]!r}")


def identifier(value: object, column: str) -> str:
    """An id as text: a whole number, or 1 to 200 printable characters. Raises `BadRecord`."""
    if type(value) is int:
        if -(2**63) <= value < 2**64:
            return str(value)
        value = str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2.0**53:
        # A column of whole numbers in which one is missing, as pandas writes it.
        return str(int(value))
    if isinstance(value, float) and abs(value) >= 2.0**63:
        raise BadRecord(f"column {column!r} is a number of more than 64 bits; write such ids as text")
    if not isinstance(value, str):
        raise BadRecord(f"column {column!r} is {kind(value)}, an id must be text or a whole number")
    if not value.strip() or len(value) > MAX_ID or not value.isprintable():
        raise BadRecord(f"column {column!r} is {shown(value)}, an id has 1 to {MAX_ID} printable characters")
    return value


_ENTITY = re.compile(r"&(?:[A-Za-z][A-Za-z0-9]{1,30}|#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6});")
"""What web pages write for signs; texts that were taken from them still have it."""


def clean_text(value: object, what: str, *, verbatim: bool = False, limit: int | None = MAX_TEXT) -> str:
    """A text without white space around it or control characters, with the signs that `&amp;` stands for.

    Args:
        verbatim: leave those that `&amp;` and the like stand for as they are: in what may be about web pages.
        limit: characters that it may have; None for any number.

    Raises:
        BadRecord: it is no text, empty, too long, or holds NUL or half of a surrogate pair.
    """
    if not isinstance(value, str):
        raise BadRecord(f"{what} is {kind(value)}, must be text")
    if not verbatim and "&" in value and ";" in value:
        # Twice, for what was escaped again: `&amp;eacute;`.
        for _ in range(2):
            value = _ENTITY.sub(lambda found: html.unescape(found[0]), value)
    # Nearly all captions; nothing else can be wrong with those.
    if value.isascii() and value.isprintable() and len(value) <= MAX_TEXT and (plain := value.strip()):
        return plain
    if limit is not None and len(value) > limit:
        raise BadRecord(f"text of {len(value):,} characters, at most {limit:,} ({what})")
    text = _CONTROLS.sub("", value).strip()
    # The first character decides nearly always.
    if not text[:1].isalnum() and not any(one.isprintable() and not one.isspace() for one in text):
        raise BadRecord(f"{what} is empty")
    if "\0" in text:
        raise BadRecord(f"{what} holds NUL at character {value.index(chr(0))}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            lone = f"U+{ord(text[error.start]):04X}"
            raise BadRecord(
                f"{what} holds half of a surrogate pair, {lone}, at character {error.start}"
            ) from error
    return text


_CONTROLS = re.compile(r"[\x01-\x08\x0e-\x1f\x7f\ufeff]")
"""Control characters but for NUL, which tells broken data, and those that part words; byte order marks."""


def caption_text(value: object, what: str) -> str:
    """A caption: a text in one line that says something. Raises `BadRecord` as `clean_text`."""
    # Nearly all captions; there is nothing to clean in those.
    if (
        isinstance(value, str)
        and value.isascii()
        and value.isprintable()
        and value[:1].isalpha()
        and value[-1] != " "
        and "  " not in value
        and "&" not in value
        and len(value) <= MAX_TEXT
    ):
        return value
    text = clean_text(value, what)
    if not text.isprintable() or "  " in text:
        text = " ".join(text.split())
    # Signs are emojis and the like, not punctuation.
    if not text[:1].isalpha() and not any(one.isalnum() or category(one)[0] == "S" for one in text):
        raise BadRecord(f"{what} is {shown(text)}, without a letter")
    return text


def checksum(text: str) -> str:
    """The CRC-32 of a text as 8 hexadecimal digits: tells the few texts about one picture apart."""
    return f"{zlib.crc32(text.encode(errors='surrogatepass')):08x}"


def distinct_texts(values: Sequence[object], what: str) -> tuple[str, ...]:
    """Clean texts, each once. Raises `BadRecord` for the first that is none."""
    return tuple(dict.fromkeys(clean_text(one, f"{what} item {index}") for index, one in enumerate(values)))


def kind(value: object) -> str:
    """What a value of JSON is, for messages."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list"}
    if value is None:
        return "null"
    return "an object" if isinstance(value, Mapping) else names.get(type(value), type(value).__name__)


def shown(value: object) -> str:
    """A value of a record, short enough for a message."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
