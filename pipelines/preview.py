"""A few rows of a mix for its card: one language of every script, and the same rows for the same mix."""

from __future__ import annotations

import hashlib
import html
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq
import regex

from pipelines.filesystem import open_binary
from pipelines.mix_files import ShardFile
from translation.languages import ENGLISH
from translation.mix_folder import TRAIN

LANGUAGES = 8
"""That are shown at least, if the mix has as many; more where they have more scripts."""
LONGEST_TEXT = 160
"""Letters, as a reader counts them, of a text that is shown."""

_COLUMNS = ["id", "prompt", "target", "source_target"]
_MARKUP = regex.compile(r"([\\`*_\[\]|~#$])")
_BREAKS = regex.compile(r"[\p{Cc}\p{Zl}\p{Zp}\s]+")
_TURNS = regex.compile(r"[\u202A-\u202E\u2066-\u2069]")
"""Marks that would turn the direction of what stands behind them."""


@dataclass(frozen=True)
class PreviewRow:
    """What the card shows of a row."""

    language: str
    """NLLB code."""
    prompt: str
    target: str
    source_target: str
    """The English of it."""


def preview_rows(files: Sequence[ShardFile], place: Callable[[ShardFile], str]) -> tuple[PreviewRow, ...]:
    """One translated row of the languages that have most rows, every script once before any twice.

    Reads only the texts of one row group of each language.

    Args:
        files: of the mix.
        place: of a file -> where it can be read now.

    Raises:
        OSError: a file cannot be read.
    """
    by_language: dict[str, list[ShardFile]] = {}
    for file in files:
        if file.accepted and file.rows and file.language != ENGLISH:
            by_language.setdefault(file.language, []).append(file)
    rows = {code: sum(file.rows for file in found) for code, found in by_language.items()}
    shown = []
    for code in _chosen(sorted(rows, key=lambda code: (-rows[code], code))):
        # The splits and shards of a language differ by picture, not in kind.
        first = min(by_language[code], key=lambda file: (file.split != TRAIN, file.path))
        row = _row(place(first), code)
        if row is not None:
            shown.append(row)
    return tuple(shown)


def _chosen(codes: Sequence[str]) -> list[str]:
    """The first of every script, and the next ones up to `LANGUAGES`, by script and code."""
    scripts: dict[str, str] = {}
    for code in codes:
        scripts.setdefault(_script(code), code)
    first = list(scripts.values())
    others = [code for code in codes if code not in first]
    chosen = first + others[: max(0, LANGUAGES - len(first))]
    return sorted(chosen, key=lambda code: (_script(code), code))


def _script(code: str) -> str:
    return code.partition("_")[2]


def _row(path: str, code: str) -> PreviewRow | None:
    """A row of the first row group with both texts, by the digest of its id: sources stand in order there."""
    with open_binary(path) as stream, pq.ParquetFile(stream) as parquet:
        read = parquet.read_row_group(0, columns=_COLUMNS).to_pylist()
    whole = [row for row in read if row["target"] and row["source_target"]]
    short = [row for row in whole if len(row["target"]) <= LONGEST_TEXT]
    found = min(short or whole, key=lambda row: hashlib.sha256(row["id"].encode()).digest(), default=None)
    if found is None:
        return None
    return PreviewRow(code, found["prompt"] or "", found["target"], found["source_target"])


def markdown(text: str) -> str:
    """A text as it shows in a cell of a Markdown table: on one line, no markup, cut, right-to-left marked."""
    line = _BREAKS.sub(" ", _TURNS.sub("", text)).strip()
    letters: list[str] = regex.findall(r"\X", line)
    if len(letters) > LONGEST_TEXT:
        line = "".join(letters[:LONGEST_TEXT]).rstrip() + "…"
    escaped = _MARKUP.sub(r"\\\1", html.escape(line, quote=False))
    return f'<span dir="rtl">{escaped}</span>' if _is_right_to_left(line) else escaped


def _is_right_to_left(text: str) -> bool:
    """Whether the first letter that has a direction is written from the right."""
    return next(_directions(text), "L") != "L"


def _directions(text: str) -> Iterator[str]:
    for letter in text:
        direction = unicodedata.bidirectional(letter)
        if direction in ("L", "R", "AL"):
            yield direction
