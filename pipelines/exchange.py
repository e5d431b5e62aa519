"""Translations as files that other programs read and write: TMX 1.4b and tables of tab-separated values.

TMX: https://www.gala-global.org/tmx-14b. Both are streamed, so that their size does not matter.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from xml.sax.saxutils import escape

from pipelines.inputs import open_input
from translation.answers import unescaped
from translation.languages import ENGLISH, UnknownLanguage, languages, resolve

TMX, TSV = ".tmx", ".tsv"


class ExchangeError(ValueError):
    """The file is of another layout than its suffix says; the message names file, place and remedy."""


class DamagedExchange(RuntimeError):
    """The file breaks off or cannot be read; the message says where."""


@dataclass(frozen=True)
class Pair:
    """A text in English and its translation."""

    text: str
    target: str
    """NLLB code."""
    translation: str
    engine: str = ""
    """What made it, with the model and decoding parameters where there are any; for export alone."""
    model: str = ""
    decoding: str = ""
    score: float = 0.0


@dataclass(frozen=True)
class LeftOut:
    """A part of a file that is no translation to keep."""

    place: str
    why: str


def kind_of(path: str) -> str:
    """`TMX` or `TSV` by the suffix of a file name.

    Raises:
        ExchangeError: it has another suffix.
    """
    suffix = path[path.rfind(".") :].lower()
    if suffix not in (TMX, TSV):
        raise ExchangeError(f"{path}: the name must end in {TMX} or {TSV}")
    return suffix


# --- Writing --------------------------------------------------------------------------------------

TSV_COLUMNS = ("source", "target", "nllb_code", "engine", "model", "decoding", "score")

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_TSV_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def fits(pair: Pair, kind: str) -> bool:
    """Whether a file of that kind can hold a pair: XML has no place for most control characters."""
    return kind == TSV or not (_NOT_IN_XML.search(pair.text) or _NOT_IN_XML.search(pair.translation))


def write_pairs(file: BinaryIO, kind: str, pairs: Iterable[Pair], version: str) -> None:
    """Writes pairs, all of which fit, one after the other.

    Args:
        version: of this program, for the header of a TMX file.
    """
    write: Callable[[str], object] = lambda text: file.write(text.encode())  # noqa: E731
    if kind == TSV:
        write("\t".join(TSV_COLUMNS) + "\n")
        for pair in pairs:
            cells = (pair.text, pair.translation, pair.target, pair.engine, pair.model, pair.decoding)
            row = (*(cell.translate(_TSV_ESCAPES) for cell in cells), repr(pair.score))
            write("\t".join(row) + "\n")
        return
    write(
        '<?xml version="1.0" encoding="UTF-8"?>\n<tmx version="1.4">\n'
        f'<header creationtool="translate-mix" creationtoolversion="{_attribute(version)}" '
        'segtype="paragraph" o-tmf="translate-mix" adminlang="en" '
        f'srclang="{languages()[ENGLISH].bcp47}" datatype="plaintext"/>\n<body>\n'
    )
    for pair in pairs:
        write(_unit(pair))
    write("</body>\n</tmx>\n")


def _unit(pair: Pair) -> str:
    known = (("x-engine", pair.engine), ("x-model", pair.model), ("x-decoding", pair.decoding))
    props = "".join(f'<prop type="{name}">{_content(value)}</prop>' for name, value in known if value)
    sides = "".join(
        f'<tuv xml:lang="{_tag(code)}"><seg>{_content(text)}</seg></tuv>'
        for code, text in ((ENGLISH, pair.text), (pair.target, pair.translation))
    )
    return f"<tu>{props}{sides}</tu>\n"


def _tag(code: str) -> str:
    """BCP-47; of a language that only a later version knows, its own code in that manner."""
    return languages()[code].bcp47 if code in languages() else code.replace("_", "-")


def _content(text: str) -> str:
    # A reader of XML takes a bare carriage return for a line feed.
    return escape(text, {"\r": "&#13;"})


def _attribute(text: str) -> str:
    return escape(text, {'"': "&quot;"})


# --- Reading --------------------------------------------------------------------------------------


def read_pairs(path: str | Path) -> Iterator[Pair | LeftOut]:
    """The translations out of English that a file, here or far away, holds; what is left out of it and why.

    Raises:
        ExchangeError: no file, another suffix or layout.
        DamagedExchange: it breaks off or is no text.
    """
    kind = kind_of(str(path))
    try:
        with open_input(path) as file:
            yield from _read_tsv(file, str(path)) if kind == TSV else _read_tmx(file, str(path))
    except FileNotFoundError as error:
        raise ExchangeError(f"{path}: no such file") from error
    except OSError as error:
        raise DamagedExchange(f"{path}: cannot be read: {error.strerror or error}") from error


def _pair(text: str, tag: str, translation: str, place: str) -> Pair | LeftOut:
    try:
        code = _language(tag)
    except UnknownLanguage as error:
        return LeftOut(place, str(error))
    if code == ENGLISH:
        return LeftOut(place, "the translation is English too")
    if not text.strip() or not translation.strip():
        return LeftOut(place, f"the {'translation' if text.strip() else 'source'} is empty")
    return Pair(text, code, translation)


def _language(tag: str) -> str:
    """The NLLB code of a tag, whose region and the like count only for the script of Chinese."""
    parts = re.split("[-_]", tag.strip())
    if parts[0].lower() == "zh" and {part.upper() for part in parts} & {"TW", "HK", "MO"}:
        return resolve("zh-Hant").nllb
    for end in range(len(parts), 1, -1):
        try:
            return resolve("-".join(parts[:end])).nllb
        except UnknownLanguage:
            continue
    return resolve(parts[0] if len(parts) > 1 else tag).nllb


def _read_tsv(file: BinaryIO, path: str) -> Iterator[Pair | LeftOut]:
    header: list[str] = []
    for number, line in enumerate(file, start=1):
        place = f"{path}:{number}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DamagedExchange(f"{place}: no UTF-8 at byte {error.start} of the line") from error
        cells = text.split("\t")
        if number == 1:
            header = cells
            if missing := [name for name in TSV_COLUMNS[:3] if name not in header]:
                raise ExchangeError(f"{place}: no column {', '.join(missing)}; columns are parted by tabs")
        elif len(cells) != len(header):
            if text:
                yield LeftOut(place, f"{len(cells)} columns, {len(header)} wanted; a tab is written \\t")
        else:
            row = dict(zip(header, cells, strict=True))
            yield _pair(unescaped(row["source"]), row["nllb_code"], unescaped(row["target"]), place)
    if not header:
        raise ExchangeError(f"{path}: is empty; the first line names the columns")


_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def _read_tmx(file: BinaryIO, path: str) -> Iterator[Pair | LeftOut]:
    number = 0
    root: ET.Element | None = None
    body: ET.Element | None = None
    try:
        for event, element in _parsed(file, path):
            if event == "start":
                if root is None and element.tag != "tmx":
                    raise ExchangeError(f"{path}: no TMX file: its root is <{element.tag}>, not <tmx>")
                root = element if root is None else root
                body = element if element.tag == "body" else body
            elif element.tag == "tu":
                number += 1
                yield from _of_unit(element, f"{path}: unit {number}")
                if body is not None:
                    # What was read need not stay in memory.
                    body.clear()
    except ET.ParseError as error:
        raise DamagedExchange(f"{path}: no whole XML after unit {number}: {error}") from error


def _parsed(file: BinaryIO, path: str) -> Iterator[tuple[str, ET.Element]]:
    """Where elements start and end. Raises `ParseError`, or `ExchangeError` for an encoding of no text."""
    try:
        yield from ET.iterparse(file, events=("start", "end"))
    except (LookupError, ValueError) as error:
        raise ExchangeError(f"{path}: cannot be read as XML: {error}") from error


def _of_unit(unit: ET.Element, place: str) -> Iterator[Pair | LeftOut]:
    try:
        sides = [
            (variant.get(_LANGUAGE) or variant.get("lang") or "", _text(segment))
            for variant in unit.iter("tuv")
            if (segment := variant.find("seg")) is not None
        ]
    except RecursionError:
        yield LeftOut(place, "its segments are nested too deeply")
        return
    english = [text for tag, text in sides if _is_english(tag)]
    others = [(tag, text) for tag, text in sides if not _is_english(tag)]
    if not english or not others:
        more = f" and {len(sides) - 5:,} more" if len(sides) > 5 else ""
        found = (", ".join(tag for tag, _ in sides[:5]) or "none") + more
        yield LeftOut(place, f"needs English and another language, has: {found}")
        return
    for tag, text in others:
        yield _pair(english[0], tag, text, place)


def _is_english(tag: str) -> bool:
    try:
        return _language(tag) == ENGLISH
    except UnknownLanguage:
        return False


def _text(segment: ET.Element) -> str:
    """Of a segment without the codes of other formats in it; highlighted text is text."""
    parts = [segment.text or ""]
    for inner in segment:
        parts += [_text(inner) if inner.tag == "hi" else "", inner.tail or ""]
    return "".join(parts)
