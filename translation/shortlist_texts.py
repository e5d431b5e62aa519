"""Reads texts by language for `translation.shortlist_building`: plain text, tables, translation memories."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from translation.languages import UnknownLanguage, resolve
from translation.mix_folder import DATA, MANIFEST, MEMORY

MOST_TEXTS = 100_000
"""Of a language: more add no pieces that are worth having in a list."""

_COLUMNS = (("target", "translation"), ("nllb_code", "target"), ("nllb_code", "text"), ("language", "target"))
"""Columns of language and text: of a translation memory, of pairs to score, of references, of a mix."""


def read_texts(paths: Iterable[Path]) -> dict[str, list[str]]:
    """Texts by NLLB code, of each language the first `MOST_TEXTS`.

    Args:
        paths: files, or folders with such files at any depth: `<code>.txt` with a text a line; `.tsv` and
            `.parquet` with the columns `nllb_code` and `target` or `text`, `language` and `target` (a mix),
            or `target` and `translation` (a translation memory).

    Raises:
        ValueError: no such file, one of another kind, or an unknown language; names the file.
    """
    texts: dict[str, list[str]] = {}
    for path in paths:
        for file in _files(path):
            for code, text in _read(file):
                held = texts.setdefault(code, [])
                if len(held) < MOST_TEXTS and text.strip():
                    held.append(text)
    return texts


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix not in _READERS:
            raise ValueError(f"{path}: not texts; give {', '.join(_READERS)}, or a folder of such files")
        return [path]
    # Of a mix what was accepted, and what the model said; not its table of answers, nor what was rejected.
    folders = [path / DATA, path / MEMORY] if (path / MANIFEST).is_file() else [path]
    found = sorted(
        file
        for folder in folders
        for suffix in _READERS
        for file in folder.rglob(f"*{suffix}")
        if file.is_file()
    )
    if not found:
        raise ValueError(f"{path}: no such folder, or none of {', '.join(_READERS)} in it")
    return found


def _read(path: Path) -> Iterator[tuple[str, str]]:
    try:
        yield from _READERS[path.suffix](path)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException, UnknownLanguage) as error:
        raise ValueError(f"{path}: {error}") from error


def _read_lines(path: Path) -> Iterator[tuple[str, str]]:
    code = resolve(path.stem).nllb
    with path.open(encoding="utf-8-sig") as file:
        for line in file:
            yield code, line.rstrip("\n")


def _read_tsv(path: Path) -> Iterator[tuple[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        language, text = _columns(path, rows.fieldnames or ())
        for number, row in enumerate(rows, 2):
            if row[language] is None or row[text] is None:
                raise ValueError(f"{path}:{number}: no {language} or no {text}; fields are parted by tabs")
            yield resolve(row[language]).nllb, row[text]


def _read_parquet(path: Path) -> Iterator[tuple[str, str]]:
    with pq.ParquetFile(path) as file:
        columns = _columns(path, file.schema_arrow.names)
        codes: dict[str, str] = {}
        for batch in file.iter_batches(8192, columns=list(columns)):
            languages, texts = (batch.column(name).to_pylist() for name in columns)
            for language, text in zip(languages, texts, strict=True):
                if language is not None and text is not None:
                    if language not in codes:
                        codes[language] = resolve(language).nllb
                    yield codes[language], text


def _columns(path: Path, names: Iterable[str]) -> tuple[str, str]:
    there = set(names)
    for columns in _COLUMNS:
        if set(columns) <= there:
            return columns
    wanted = " or ".join(f"{language} and {text}" for language, text in _COLUMNS)
    raise ValueError(f"{path}: has the columns {', '.join(sorted(there)) or 'none'}; must have {wanted}")


_READERS = {".txt": _read_lines, ".tsv": _read_tsv, ".parquet": _read_parquet}
