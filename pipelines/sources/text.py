"""Plain text, one text a line, UTF-8, in one language a file. Positions and made-up ids are offsets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import repeat

import numpy as np

from pipelines.examples import Reject
from pipelines.inputs import pattern_expression, with_folders_by_name
from pipelines.recipe import Recipe
from pipelines.recipe_sources import LANGUAGE_SLOT, TextSource
from pipelines.records import Place, Record, Written
from pipelines.sources.columns import Odd, verbatim_texts
from pipelines.sources.line_blocks import Block, blocks
from pipelines.sources.lines import byte_ranges, line_text, opened, plain_files, rejected_line
from pipelines.sources.pieces import Piece
from pipelines.sources.records import with_odd
from pipelines.sources.values import BadRecord, clean_text
from translation.languages import Language, UnknownLanguage, resolve


def pieces(recipe: Recipe, index: int, source: TextSource) -> list[Piece]:
    """Byte ranges of the files; a line belongs to the range that it starts in.

    Raises:
        SettingsError: a file is compressed or UTF-16, or `{language}` in the path stands for what is no code,
            or for another language than `language`.
    """
    found: list[Piece] = []
    for piece, _ in plain_files(recipe, index):
        language = _language_of_path(recipe, source, piece, ("sources", index, "path"))
        if language and source.language not in (None, language.nllb):
            by_path = f"{piece.label} is in {language.nllb} by its path"
            remedy = f"{by_path}; take `language` or `{LANGUAGE_SLOT}` out"
            raise recipe.error(("sources", index, "language"), remedy)
        found.extend(byte_ranges(piece))
    return found


def read(recipe: Recipe, source: TextSource, piece: Piece) -> Iterator[Record | Reject]:
    """One record per line that starts in the piece."""
    key = ("sources", piece.source, "path")
    language = _language_of_path(recipe, source, piece, key)
    code = source.own_language
    if language is not None:
        code = None if language.english else language.nllb
    with opened(piece) as file:
        for block in blocks(file, piece.start, piece.end):
            yield from _together(source, piece, block, code)


def _together(
    source: TextSource, piece: Piece, block: Block, language: str | None
) -> Iterable[Record | Reject]:
    """What the lines of a block say, nearly all of them looked at together."""
    text = block.decoded()
    if not text:
        return _one_by_one(source, piece, block, language)
    lines = text.removesuffix("\n").split("\n")
    odd: Odd = set()
    texts = verbatim_texts(lines, odd, limit=None, lines=block.text)
    starts = block.starts()
    # A text's place is where it begins; blank lines are none.
    odd.update(np.flatnonzero(np.frombuffer(block.text, np.uint8)[starts] <= ord(" ")).tolist())
    positions = (block.offset + starts).tolist()
    places = map(Place, repeat(piece.label), repeat("byte"), positions, repeat(piece.stem))
    ids = map(f"{piece.stem}@".__add__, map(str, positions))
    records = map(Written, places, ids, texts, repeat(language))

    def alone(at: int) -> Iterator[Record | Reject]:
        start, line = int(starts[at]), lines[at].encode()
        return _one_by_one(source, piece, Block(block.offset + start, line), language)

    return with_odd(records, odd, alone)


def _one_by_one(
    source: TextSource, piece: Piece, block: Block, language: str | None
) -> Iterator[Record | Reject]:
    for offset, line, size in block.lines():
        place = piece.place("byte", offset)
        try:
            text = clean_text(line_text(line, offset, size), "the text", verbatim=True, limit=None)
            yield Written(place, place.id, text, language)
        except BadRecord as error:
            yield rejected_line(source, place, line, error)


def _language_of_path(
    recipe: Recipe, source: TextSource, piece: Piece, key: tuple[str | int, ...]
) -> Language | None:
    """The language that `{language}` stands for in the path of a file; None where the recipe has no slot."""
    if LANGUAGE_SLOT not in source.path:
        return None
    pattern = with_folders_by_name(recipe.source_path(source.path))
    found = re.fullmatch(_expression(pattern), piece.path, re.DOTALL)
    if found is None:
        raise recipe.error(key, f"{piece.label}: `{LANGUAGE_SLOT}` stands for different texts in its path")
    try:
        return resolve(found["language"])
    except UnknownLanguage as error:
        raise recipe.error(key, f"{piece.label}: {error}") from error


def _expression(pattern: str) -> str:
    """The regular expression of a glob; `{language}` is a group, the same text wherever it stands.

    It is the longest text that fits: `{language}-*.txt` takes all of `sr-Latn` from `sr-Latn-00.txt`.
    """
    parts = [pattern_expression(part) for part in pattern.split(LANGUAGE_SLOT)]
    return f"{parts[0]}(?P<language>[^/]+){'(?P=language)'.join(parts[1:])}"
