"""Sets of human translations out of English, to measure translations by: NTREX, FLORES, one's own tables.

- NTREX-128 (Federmann et al. 2022, aclanthology.org/2022.sumeval-1.4): its folder of text files
  (`newstest2019-src.eng.txt`, `newstest2019-ref.deu.txt`, ...), or a Parquet table of line, nllb_code, text.
- FLORES-200 (NLLB Team 2022, arXiv:2207.04672): its folder (then `devtest` is read), or its folder `dev` or
  `devtest`.
- A tab-separated table with the columns source, target and nllb_code; lines of one source and language are
  several references of one text.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from translation.languages import ENGLISH, UnknownLanguage, languages, resolve
from translation.pair_table import PairError, pair_rows, text_pair

NTREX, FLORES, TABLE = "ntrex", "flores", "table"

LAST_FITTED_LINE = 1000
"""Of NTREX: the thresholds that ship were fitted on the lines up to it."""

EXAMPLES = 3
"""So many places are named of what is left out."""


class ReferenceSetError(ValueError):
    """A reference set that cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True)
class ReferenceText:
    """An English text and how people translated it into one language."""

    line: int
    """From 1, within the set; the same in all languages where the set is aligned."""
    language: str
    """NLLB code."""
    source: str
    references: tuple[str, ...]
    """At least one."""


@dataclass(frozen=True)
class ReferenceSet:
    """What is measured by."""

    name: str
    """`ntrex`, `flores-devtest`, or the name of the table."""
    layout: str
    """`NTREX`, `FLORES` or `TABLE`."""
    digest: str
    """SHA-256 of the files that were read."""
    texts: tuple[ReferenceText, ...]
    """By language, then by line."""
    left_out: tuple[str, ...]
    """What could not be used, one line a kind with the first places."""

    @property
    def languages(self) -> list[str]:
        return list(dict.fromkeys(text.language for text in self.texts))


def read_reference_set(
    path: Path, wanted: Collection[str] = (), lines: tuple[int, int] | None = None
) -> ReferenceSet:
    """The references of a file or folder.

    Args:
        path: see the module.
        wanted: NLLB codes; all that the set has by default.
        lines: the first and the last line to keep, from 1.

    Raises:
        ReferenceSetError: it cannot be read, has no English texts or none of these languages or lines, or its
            files have different numbers of lines.
    """
    if path.is_dir():
        found = _folder(path, wanted)
    elif path.suffix == ".parquet":
        found = _parquet(path)
    else:
        found = _table(path)
    return found.chosen(wanted, lines)


@dataclass
class _Found:
    """What was read so far."""

    path: Path
    name: str
    layout: str
    sources: dict[int, str] = field(default_factory=dict)
    """Of an aligned set, by line."""
    targets: dict[str, dict[int, str]] = field(default_factory=dict)
    """Of an aligned set, by NLLB code and line."""
    pairs: dict[tuple[str, str], tuple[int, list[str]]] = field(default_factory=dict)
    """Of a table: language and source to the first line and the references."""
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """What is left out, to where it stands."""

    def chosen(self, wanted: Collection[str], lines: tuple[int, int] | None) -> ReferenceSet:
        texts = [text for text in self._texts() if not languages()[text.language].english]
        present = {text.language for text in texts}
        if missing := sorted(set(wanted) - present):
            raise ReferenceSetError(
                f"{self.path}: no references in {', '.join(missing)}; it has {', '.join(sorted(present))}"
            )
        if wanted:
            texts = [text for text in texts if text.language in wanted]
        if lines is not None:
            last = max((text.line for text in texts), default=0)
            texts = [text for text in texts if lines[0] <= text.line <= lines[1]]
            if not texts:
                raise ReferenceSetError(
                    f"{self.path}: no line from {lines[0]} to {lines[1]}; the last is {last}"
                )
        if not texts:
            reasons = "; ".join(self._left_out())
            raise ReferenceSetError(
                f"{self.path}: no translation out of English to measure by{': ' if reasons else ''}{reasons}"
            )
        order = {code: place for place, code in enumerate(languages())}
        texts.sort(key=lambda text: (order[text.language], text.line))
        return ReferenceSet(self.name, self.layout, self.digest.hexdigest(), tuple(texts), self._left_out())

    def _texts(self) -> Iterator[ReferenceText]:
        for (code, source), (line, references) in self.pairs.items():
            yield ReferenceText(line, code, source, tuple(references))
        for code, by_line in self.targets.items():
            for line, text in by_line.items():
                if not text.strip() or not self.sources.get(line, "").strip():
                    self.wrong["without text, or without its English one"].append(f"{code} line {line}")
                else:
                    yield ReferenceText(line, code, self.sources[line], (text,))

    def _left_out(self) -> tuple[str, ...]:
        return tuple(
            f"{len(places):,} left out: {why} ({', '.join(places[:EXAMPLES])}"
            f"{', …' if len(places) > EXAMPLES else ''})"
            for why, places in self.wrong.items()
        )


def _code(found: _Found, spelling: str, where: str) -> str | None:
    """The NLLB code; None, and noted, where the registry does not know it."""
    try:
        return resolve(spelling).nllb
    except UnknownLanguage:
        found.wrong["in a language that the registry does not know"].append(where)
        return None


def _parquet(path: Path) -> _Found:
    found = _Found(path, path.stem, NTREX)
    found.digest.update(_bytes(path))
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ReferenceSetError(
            f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})"
        ) from error
    columns = ("line", "nllb_code", "text")
    if missing := [column for column in columns if column not in table.column_names]:
        raise ReferenceSetError(
            f"{path}: no column {', '.join(missing)}; found {', '.join(table.column_names) or 'nothing'}"
        )
    codes: dict[str, str | None] = {}
    for line, spelling, text in zip(*(table.column(name).to_pylist() for name in columns), strict=True):
        if not isinstance(line, int) or not isinstance(spelling, str) or not isinstance(text, str):
            found.wrong["without line, nllb_code or text"].append(f"{spelling} line {line}")
            continue
        if spelling not in codes:
            codes[spelling] = _code(found, spelling, spelling)
        code = codes[spelling]
        if code == ENGLISH:
            found.sources[line] = text
        elif code is not None:
            found.targets.setdefault(code, {})[line] = text
    if not found.sources:
        raise ReferenceSetError(f"{path}: no rows in {ENGLISH}, the sources of the translations")
    return found


def _table(path: Path) -> _Found:
    found = _Found(path, path.stem, TABLE)
    data = _bytes(path)
    found.digest.update(data)
    try:
        rows = pair_rows(data.split(b"\n"), str(path))
        for number, row in rows:
            if not any(row.values()):
                continue
            try:
                pair = text_pair(row)
            except ValueError as error:
                found.wrong[str(error)].append(f"line {number}")
                continue
            if languages()[pair.language].english:
                found.wrong["English is what is translated from"].append(f"line {number}")
                continue
            _, references = found.pairs.setdefault((pair.language, pair.source), (number - 1, []))
            if pair.target not in references:
                references.append(pair.target)
    except PairError as error:
        raise ReferenceSetError(str(error)) from error
    return found


_NTREX_FILE = re.compile(r"newstest2019-ref\.(?P<name>[\w-]+)\.txt")
_NTREX_SOURCE = "newstest2019-src.eng.txt"
_FLORES_FILE = re.compile(r"(?P<name>\w+)\.(?P<part>dev|devtest)")


def _folder(path: Path, wanted: Collection[str]) -> _Found:
    if (path / _NTREX_SOURCE).is_file():
        return _aligned(_Found(path, NTREX, NTREX), path / _NTREX_SOURCE, _NTREX_FILE, wanted)
    for folder in (path / "devtest", path / "dev", path):
        for part in ("devtest", "dev"):
            source = folder / f"{ENGLISH}.{part}"
            if source.is_file():
                named = re.compile(_FLORES_FILE.pattern.replace("dev|devtest", part))
                return _aligned(_Found(path, f"{FLORES}-{part}", FLORES), source, named, wanted)
    raise ReferenceSetError(
        f"{path}: neither {_NTREX_SOURCE} (NTREX-128) nor devtest/{ENGLISH}.devtest (FLORES-200) is there"
    )


def _aligned(found: _Found, source: Path, named: re.Pattern[str], wanted: Collection[str]) -> _Found:
    """A folder with one file a language, of as many lines each."""
    found.sources = _lines(found, source)
    for path in sorted(source.parent.iterdir()):
        match = named.fullmatch(path.name)
        if match is None or path == source:
            continue
        code = _code(found, match["name"], path.name)
        if code is None or (wanted and code not in wanted) or languages()[code].english:
            continue
        if code in found.targets:
            found.wrong[f"a second file in {code}"].append(path.name)
            continue
        texts = _lines(found, path)
        if len(texts) != len(found.sources):
            raise ReferenceSetError(
                f"{path}: {len(texts):,} lines, {source.name} has {len(found.sources):,}; fetch it again"
            )
        found.targets[code] = texts
    return found


def _lines(found: _Found, path: Path) -> dict[int, str]:
    data = _bytes(path)
    found.digest.update(data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ReferenceSetError(f"{path}: line {line} is no UTF-8") from error
    # Not `splitlines`: some texts hold other line separators.
    lines: Iterable[str] = text.removesuffix("\n").split("\n")
    return {number: line.rstrip("\r") for number, line in enumerate(lines, start=1)}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ReferenceSetError(f"{path}: cannot be read ({error.strerror})") from error


def known_sources(texts: Iterable[ReferenceText]) -> Mapping[tuple[str, str], int]:
    """Place of each text by NLLB code and source; of the same source the first line's."""
    places: dict[tuple[str, str], int] = {}
    for place, text in enumerate(texts):
        places.setdefault((text.language, text.source), place)
    return places
