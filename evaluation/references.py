"""Human translations to fit and to measure filters by: where they come from and which part is for what.

    python -m evaluation.references --data DIR [--part fit|report|learn] [--output FILE.tsv]

Reads four tables of a folder, which `python -m scripts.reference_tables` makes:

| table | columns |
|---|---|
| `ntrex.parquet` | line (from 1), nllb_code, text; the English lines are rows of eng_Latn |
| `udhr.parquet` | nllb_code, article (0 = preamble, 1-30), text; English as above |
| `tatoeba.parquet` | nllb_code, english, text |
| `cldr_emoji_names.parquet` | emoji, english, nllb_code, name, is_emoji |

And the captions of the Tux Paint stamps (https://www.tuxpaint.org, GPL-2: to measure with, not to learn from)
where their folder is given. What is fitted and what is reported never share a text: NTREX lines 1-1000 and
1001-1997; of CLDR and Tatoeba a tenth each by the English text; of the Declaration of Human Rights articles
25-27 and 28-30.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from evaluation.reference_sets import LAST_FITTED_LINE
from evaluation.stamps import parsed
from translation.filters import TextPair
from translation.languages import ENGLISH, languages

FIT, REPORT, LEARN = "fit", "report", "learn"
PARTS = (FIT, REPORT, LEARN)

_UNTRANSLATED = 4
"""Languages with the very same text of a line: they did not translate it."""

_RAW_DATA = {"ntrex": " --ntrex NTREX/NTREX-128", "tatoeba": " --tatoeba LASER/data/tatoeba/v1"}
"""What `scripts.reference_tables` wants to be given for a table."""

_FIT_ARTICLES, _REPORT_ARTICLES = range(25, 28), range(28, 31)


@dataclass(frozen=True)
class Reference:
    """A human translation and where it comes from."""

    origin: str
    """`ntrex`, `tatoeba`, `cldr`, `udhr` or `tux`."""
    number: int
    """The same for all translations of one text, within the origin."""
    pair: TextPair


def part_of(english: str) -> str:
    """Which part a text of CLDR or Tatoeba belongs to: `report`, `fit` or `learn` (for the identifier)."""
    digest = int(hashlib.blake2b(english.encode(), digest_size=8).hexdigest(), 16)
    return {0: REPORT, 1: FIT}.get(digest % 10, LEARN)


def references(folder: Path, part: str, tux: Path | None = None) -> Iterator[Reference]:
    """All references of a part.

    `fit`, `report`, or `learn`, which thresholds and figures leave to others; the stamps of Tux Paint are
    `report` alone.

    Raises:
        FileNotFoundError: a table is missing; the message has the command that makes it.
    """
    yield from ntrex(folder, part)
    yield from _aligned(
        folder / "udhr.parquet", "udhr", "article", lambda number: article_part(number) == part
    )
    for origin, name, text in (("tatoeba", "tatoeba", "text"), ("cldr", "cldr_emoji_names", "name")):
        yield from _with_english(folder / f"{name}.parquet", origin, text, part)
    if tux is not None and part == REPORT:
        yield from _stamps(tux)


def ntrex(folder: Path, part: str) -> Iterator[Reference]:
    """References of NTREX alone: lines 1-1000 are `fit`, the others `report`.

    Raises:
        FileNotFoundError: `ntrex.parquet` is missing; the message has the command that makes it.
    """
    yield from _aligned(folder / "ntrex.parquet", "ntrex", "line", lambda line: _line_part(line) == part)


def _line_part(line: int) -> str:
    return FIT if line <= LAST_FITTED_LINE else REPORT


def article_part(article: int) -> str:
    """Which part an article of the Declaration of Human Rights belongs to; 0 is the preamble."""
    return FIT if article in _FIT_ARTICLES else REPORT if article in _REPORT_ARTICLES else LEARN


def _aligned(path: Path, origin: str, key: str, chosen: Callable[[int], bool]) -> Iterator[Reference]:
    """References whose English is a row of its own."""
    table = _table(path)
    rows = list(zip(table[key], table["nllb_code"], table["text"], strict=True))
    english = {number: text for number, code, text in rows if code == ENGLISH}
    same = Counter((number, text) for number, _, text in rows)
    for number, code, text in rows:
        if code == ENGLISH or number not in english or not chosen(number):
            continue
        # Quotes and headings that were left in French or English are no translations.
        if text.strip() != english[number].strip() and same[number, text] < _UNTRANSLATED:
            yield Reference(origin, number, TextPair(english[number], text, code))


def _with_english(path: Path, origin: str, column: str, part: str) -> Iterator[Reference]:
    table = _table(path)
    numbers: dict[str, int] = {}
    for code, english, text in zip(table["nllb_code"], table["english"], table[column], strict=True):
        if code != ENGLISH and code in languages() and part_of(english) == part:
            yield Reference(origin, numbers.setdefault(english, len(numbers)), TextPair(english, text, code))


def _table(path: Path) -> dict[str, list[Any]]:
    """Values by column."""
    if not path.exists():
        command = f"python -m scripts.reference_tables{_RAW_DATA.get(path.stem, '')} --output {path.parent}"
        raise FileNotFoundError(f"{path} is missing; `{command}` makes it")
    columns: dict[str, list[Any]] = pq.read_table(path).to_pydict()
    return columns


# Fewer letters are no caption, and a few English ones are cut short.
_SHORTEST_STAMP = 4


def _stamps(folder: Path) -> Iterator[Reference]:
    for number, path in enumerate(sorted(folder.rglob("*.txt"))):
        english, captions = parsed(path.read_text(encoding="utf-8", errors="replace"))
        if len(english) < _SHORTEST_STAMP:
            continue
        for code, (caption, *_) in captions.items():
            if "\ufffd" not in caption:
                yield Reference("tux", number, TextPair(english, caption, code))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the tables")
    parser.add_argument("--part", choices=PARTS, default=FIT)
    parser.add_argument("--tux", type=Path, metavar="DIR", help="folder of the Tux Paint stamps")
    parser.add_argument("--output", type=Path, metavar="FILE.tsv", help="default: standard output")
    arguments = parser.parse_args()
    try:
        found = list(references(arguments.data, arguments.part, arguments.tux))
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    opened = arguments.output.open("w", encoding="utf-8") if arguments.output else nullcontext(sys.stdout)
    with opened as out:
        writer = csv.writer(out, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
        writer.writerow(("source", "target", "nllb_code"))
        for reference in found:
            pair = reference.pair
            writer.writerow((_line(pair.source), _line(pair.target), pair.language))
    return 0


def _line(text: str) -> str:
    """In one line without tabs, as a TSV wants it."""
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main())
