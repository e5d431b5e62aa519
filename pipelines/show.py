"""Rows of a mix in the terminal: source, translation, back-translation, scores, verdict.

Reads only the row groups and columns it prints; images are never touched, so large mixes show at once.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import pyarrow.parquet as pq
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.filesystem import join
from pipelines.manifest import read_manifest
from pipelines.sink import ShardFile
from pipelines.summary import language_name
from translation.languages import UnknownLanguage, resolve
from translation.row import ACCEPT, UNDETERMINED

COLUMNS = (
    "id",
    "task",
    "language",
    "prompt",
    "target",
    "source_prompt",
    "source_target",
    "back_translation",
    "scores",
    "verdict",
    "reason",
)
"""What gets read; the image is not among them."""
LONGEST_TEXT = 600
"""Characters of a text that are printed."""


def show(
    directory: str | PurePath, language: str | None, rejected: bool, count: int, console: Console
) -> None:
    """Prints up to `count` rows of a finished mix, accepted ones or the rejected.

    Without a language the rows spread evenly over all of them, with one, over its rows; the same call always
    prints the same rows.

    Raises:
        ValueError: no finished mix, an unknown language, or one without such rows.
    """
    manifest = read_manifest(str(directory))
    files = [file for file in manifest.files if file.accepted != rejected and file.rows]
    kind = "rejected" if rejected else "accepted"
    if not files:
        raise ValueError(f"{directory}: holds no {kind} rows{_hint(manifest.files, rejected, None)}")
    by_language: dict[str, list[ShardFile]] = {}
    for file in sorted(files, key=lambda file: file.path):
        by_language.setdefault(file.language, []).append(file)
    if language is not None:
        code = _code(language)
        if code not in by_language:
            raise ValueError(
                f"{directory}: no {kind} rows of {language_name(code)} ({code})"
                f"{_hint(manifest.files, rejected, code)}; {_present(code, by_language)}"
            )
        by_language = {code: by_language[code]}
    rows = {code: sum(file.rows for file in of_language) for code, of_language in by_language.items()}
    shown = 0
    for code, positions in spread(rows, count).items():
        for row in _read(str(directory), by_language[code], positions):
            _print(row, console)
            shown += 1
    in_all = f"{sum(rows.values()):,} {kind} rows"
    where = f"of {language_name(next(iter(rows)))}" if language else f"in {len(rows)} languages"
    console.print(Text(f"{shown:,} of {in_all} {where}"))


def spread(rows: Mapping[str, int], count: int) -> dict[str, list[int]]:
    """Language -> positions of the rows to print: at most `count`, evenly over languages, then over rows.

    Where there are more languages than rows to print, languages at even distances are taken.
    """
    codes = sorted(rows)
    if count < len(codes):
        codes = [codes[(2 * index + 1) * len(codes) // (2 * count)] for index in range(count)]
    quotas = dict.fromkeys(codes, 0)
    left = min(count, sum(rows[code] for code in codes))
    while left:
        for code in codes:
            if left and quotas[code] < rows[code]:
                quotas[code] += 1
                left -= 1
    return {code: _positions(code, rows[code], quota) for code, quota in quotas.items() if quota}


def _positions(code: str, rows: int, quota: int) -> list[int]:
    """Even distances with a start that differs by language: rows are sorted by source and task."""
    start = int.from_bytes(hashlib.sha256(code.encode()).digest()[:4], "big") / 2**32
    return [int((index + start) * rows / quota) for index in range(quota)]


def _code(language: str) -> str:
    """The NLLB code that the user means; `und` are records that could not be read."""
    if language == UNDETERMINED:
        return UNDETERMINED
    try:
        return resolve(language).nllb
    except UnknownLanguage as error:
        raise ValueError(str(error)) from error


def _hint(files: Sequence[ShardFile], accepted: bool, code: str | None) -> str:
    """Says that the other half (`accepted` or not) has rows, if it has some."""
    if not any(file.accepted == accepted and file.rows and code in (None, file.language) for file in files):
        return ""
    return (
        ", only accepted ones (leave out --rejected)"
        if accepted
        else ", only rejected ones (give --rejected)"
    )


def _present(code: str, by_language: Mapping[str, object]) -> str:
    """The languages most like the one asked for, or how to see them all."""
    near = difflib.get_close_matches(code, by_language, n=3, cutoff=0.5)
    others = ", ".join(near or sorted(by_language)[:3])
    more = len(by_language) - len(near or sorted(by_language)[:3])
    return f"there are {others}" + (f" and {more} more" if more else "")


def _read(directory: str, files: Sequence[ShardFile], positions: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The rows at ascending positions, counted through the files."""
    wanted = list(positions)
    first = 0
    for file in files:
        here = [position - first for position in wanted if first <= position < first + file.rows]
        if here:
            yield from _read_file(join(directory, *file.path.split("/")), here)
        first += file.rows


def _read_file(path: str, positions: Sequence[int]) -> Iterator[dict[str, Any]]:
    try:
        with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as handle:
            parquet = pq.ParquetFile(handle)
            first = 0
            for group in range(parquet.num_row_groups):
                rows = parquet.metadata.row_group(group).num_rows
                here = [position - first for position in positions if first <= position < first + rows]
                if here:
                    yield from parquet.read_row_group(group, columns=list(COLUMNS)).take(here).to_pylist()
                first += rows
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: cannot be read ({error}); `translate-mix verify` says what is wrong"
        ) from error


def _print(row: Mapping[str, Any], console: Console) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in _lines(row):
        grid.add_row(label, text)
    console.print(Text(printable(row["id"]), style="bold"), soft_wrap=True)
    console.print(grid)
    console.print()


def _lines(row: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    """Label and text of everything that the row has."""
    if row["prompt"] is not None:
        yield "prompt", _text(row["prompt"])
    if row["source_prompt"] not in (None, row["prompt"]):
        yield "from", _text(row["source_prompt"])
    if row["source_target"] is not None:
        yield "source", _text(row["source_target"])
    if row["target"] is not None:
        target = _text(row["target"])
        target.stylize("bold")
        yield "target", target
    if row["back_translation"] is not None:
        yield "back", _text(row["back_translation"])
    scores = {name: value for name, value in (row["scores"] or {}).items() if value is not None}
    if scores:
        yield "scores", Text("  ".join(f"{name} {value:.3g}" for name, value in scores.items()))
    accepted = row["verdict"] == ACCEPT
    verdict = Text(row["verdict"], style="green" if accepted else "red")
    if row["reason"] is not None:
        verdict.append(" – ").append_text(_text(row["reason"]))
    yield "verdict", verdict


def _text(text: str) -> Text:
    shown = printable(text[:LONGEST_TEXT])
    if len(text) > LONGEST_TEXT:
        shown += f" … ({len(text):,} characters)"
    return Text(shown)


def printable(text: str) -> str:
    """The text without characters that steer a terminal: they are shown as `\\x1b`."""
    return "".join(
        character if character == "\n" or not _steers(character) else f"\\x{ord(character):02x}"
        for character in text
    )


def _steers(character: str) -> bool:
    return character < " " or "\x7f" <= character < "\xa0"
