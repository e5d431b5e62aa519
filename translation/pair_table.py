"""Tables of text pairs: tab-separated lines with the columns source, target and nllb_code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from translation.filters import TextPair
from translation.languages import UnknownLanguage, resolve
from translation.surrogates import SURROGATE

COLUMNS = ("source", "target", "nllb_code")

Cells = dict[str, str]
"""Of a line, by column."""


class PairError(ValueError):
    """The table cannot be read; the message names file, line and column."""


def pair_rows(lines: Iterable[bytes], name: str) -> Iterator[tuple[int, Cells]]:
    """Line number and cells by column of each line after the header.

    Args:
        name: of the file, for messages.

    Raises:
        PairError: a column is missing.
    """
    numbered = enumerate(lines, start=1)
    header = next((_cells(line) for _, line in numbered), [])
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise PairError(
            f"{name}: line 1: no column {', '.join(missing)}; "
            f"found {', '.join(filter(None, header)) or 'nothing'}"
        )
    return ((number, dict(zip(header, _cells(line), strict=False))) for number, line in numbered)


def text_pair(row: Cells) -> TextPair:
    """The pair of a line; raises ValueError with what is wrong with the line."""
    if any(SURROGATE.search(text) for text in row.values()):
        raise ValueError("no valid UTF-8")
    empty = [column for column in COLUMNS if not (row.get(column) or "").strip()]
    if empty:
        raise ValueError(f"no {', '.join(empty)}")
    try:
        language = resolve(row["nllb_code"])
    except UnknownLanguage as error:
        raise ValueError(str(error)) from error
    return TextPair(row["source"], row["target"], language.nllb, None, None)


def text_pairs(rows: Iterable[tuple[int, Cells]]) -> tuple[dict[int, TextPair], dict[int, str]]:
    """Line number to pair, and to what is wrong where a line is none."""
    pairs, problems = {}, {}
    for line, row in rows:
        try:
            pairs[line] = text_pair(row)
        except ValueError as error:
            problems[line] = str(error)
    return pairs, problems


def _cells(line: bytes) -> list[str]:
    """Tab-separated; quotes are letters. What is no UTF-8 becomes a lone surrogate, see `text_pair`."""
    return line.decode("utf-8", errors="surrogateescape").removeprefix("\ufeff").rstrip("\r\n").split("\t")
