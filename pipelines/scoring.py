"""`translate-mix score`: the filters for pairs of text that somebody else translated."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from translation.engine import Engine
from translation.filters import Policy, TextPair, is_short, score_pairs, verdict
from translation.identification import Identifier, load_identifier
from translation.languages import ENGLISH, UnknownLanguage, resolve
from translation.model import model_directory
from translation.translations import Request

COLUMNS = ("source", "target", "nllb_code")
CHUNK = 2000


class PairError(ValueError):
    """The table cannot be read; the message names file, line and column."""


def score_file(
    lines: Iterable[str], name: str, model: str, round_trip: str, identification: str
) -> Iterator[dict[str, Any]]:
    """Scores, verdict and reason of each row of a TSV with a header line, in order.

    A row that cannot be judged (unknown language, empty cell) is rejected with that reason, not skipped.

    Raises:
        PairError: a column is missing.
        ValueError: the model or the identifier cannot be loaded.
    """
    reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
    if missing:
        raise PairError(
            f"{name}: line 1: no column {', '.join(missing)}; "
            f"found {', '.join(reader.fieldnames or ['nothing'])}"
        )
    identifier = load_identifier(identification)
    engine = None if round_trip == "none" else Engine(model_directory(model), device="auto")
    rows = enumerate(reader, start=2)
    while chunk := list(itertools.islice(rows, CHUNK)):
        yield from _score_chunk(chunk, identifier, engine, round_trip)


def _score_chunk(
    chunk: list[tuple[int, dict[str, str]]], identifier: Identifier, engine: Engine | None, round_trip: str
) -> Iterator[dict[str, Any]]:
    problems: dict[int, str] = {}
    pairs: dict[int, TextPair] = {}
    for line, row in chunk:
        try:
            pairs[line] = _pair(row)
        except ValueError as error:
            problems[line] = f"input: {error}"
    if engine is not None:
        pairs = _with_round_trip(pairs, engine, round_trip)
    scored = dict(zip(pairs, score_pairs(list(pairs.values()), identifier), strict=True))
    for line, row in chunk:
        result: dict[str, Any] = {column: row.get(column) for column in COLUMNS}
        if line in problems:
            yield result | {"scores": None, "verdict": "reject", "reason": f"{problems[line]} (line {line})"}
            continue
        decision = verdict(scored[line], Policy())
        known = {score: value for score, value in scored[line].items() if value is not None}
        yield result | {
            "nllb_code": pairs[line].language,
            "back_translation": pairs[line].back_translation,
            "scores": known,
            "verdict": "accept" if decision.accepted else "reject",
            "reason": decision.reason,
        }


def _pair(row: dict[str, str]) -> TextPair:
    """Raises ValueError with what is wrong with the row."""
    empty = [column for column in COLUMNS if not (row.get(column) or "").strip()]
    if empty:
        raise ValueError(f"no {', '.join(empty)}")
    try:
        language = resolve(row["nllb_code"])
    except UnknownLanguage as error:
        raise ValueError(str(error)) from error
    return TextPair(row["source"], row["target"], language.nllb, None, None)


def _with_round_trip(pairs: dict[int, TextPair], engine: Engine, round_trip: str) -> dict[int, TextPair]:
    """The pairs with a back-translation, where the model knows the language and the text is asked for."""
    asked = [
        line
        for line, pair in pairs.items()
        if engine.supports(pair.language)
        and pair.language != ENGLISH
        and (round_trip == "all" or is_short(pair.source))
    ]
    requests = [Request(pairs[line].target, pairs[line].language, ENGLISH) for line in asked]
    back = dict(zip(asked, engine.translate(requests), strict=True))
    return {
        line: TextPair(
            pair.source, pair.target, pair.language, None, back[line].text if line in back else None
        )
        for line, pair in pairs.items()
    }
