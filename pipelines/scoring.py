"""`translate-mix score` and `calibrate`: the filters for pairs of text that somebody else translated."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from translation.calibration import calibrate
from translation.engine import Engine
from translation.filters import Policy, TextPair, Thresholds, goes_back, score_pairs, verdicts
from translation.identification import Identifier, load_identifier
from translation.languages import ENGLISH, UnknownLanguage, resolve
from translation.model import model_directory
from translation.row import ACCEPT, REJECT
from translation.translations import Request

COLUMNS = ("source", "target", "nllb_code")
CHUNK = 2000

LEAST_REFERENCES = 300
"""Lines that `calibrate` needs."""


class PairError(ValueError):
    """The table cannot be read; the message names file, line and column."""


def score_file(
    lines: Iterable[bytes],
    name: str,
    model: str,
    round_trip: str,
    identification: str,
    thresholds: Thresholds,
) -> Iterator[dict[str, Any]]:
    """Scores, verdict and reason of each row of a TSV with a header line, in order.

    A row that cannot be judged (unknown language, empty cell) is rejected with that reason, not skipped.

    Raises:
        PairError: a column is missing.
        ValueError: the model or the identifier cannot be loaded.
    """
    rows = _rows(lines, name)
    identifier = load_identifier(identification)
    thresholds = thresholds.for_identification(identifier.name)
    engine = None if round_trip == "none" else Engine(model_directory(model), device="auto")
    while chunk := list(itertools.islice(rows, CHUNK)):
        yield from _score_chunk(chunk, identifier, thresholds, engine, round_trip)


def calibrate_file(
    lines: Iterable[bytes], name: str, model: str, round_trip: str, identification: str
) -> tuple[Thresholds, dict[int, str]]:
    """The thresholds that the reference translations of a TSV justify, and the lines that cannot be used.

    Raises:
        PairError: a column is missing, or no line can be used.
        ValueError: the model or the identifier cannot be loaded.
    """
    pairs, problems = _pairs(_rows(lines, name))
    if len(pairs) < LEAST_REFERENCES:
        problem = f"; line {next(iter(problems))}: {next(iter(problems.values()))}" if problems else ""
        raise PairError(
            f"{name}: {len(pairs)} lines that can be used, {LEAST_REFERENCES} wanted: fewer say nothing of"
            f" rules that may reject one text in a thousand{problem}"
        )
    identifier = load_identifier(identification)
    if round_trip != "none":
        pairs = _with_round_trip(pairs, Engine(model_directory(model), device="auto"), round_trip)
    return calibrate(list(pairs.values()), identifier), problems


def _rows(lines: Iterable[bytes], name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column of each line after the header."""
    numbered = enumerate(lines, start=1)
    header = next((_cells(line) for _, line in numbered), [])
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise PairError(
            f"{name}: line 1: no column {', '.join(missing)}; "
            f"found {', '.join(filter(None, header)) or 'nothing'}"
        )
    return ((number, dict(zip(header, _cells(line), strict=False))) for number, line in numbered)


def _cells(line: bytes) -> list[str]:
    """Tab-separated; quotes are letters. What is no UTF-8 becomes a lone surrogate, which `_pair` refuses."""
    return line.decode("utf-8", errors="surrogateescape").removeprefix("\ufeff").rstrip("\r\n").split("\t")


def _score_chunk(
    chunk: list[tuple[int, dict[str, str]]],
    identifier: Identifier,
    thresholds: Thresholds,
    engine: Engine | None,
    round_trip: str,
) -> Iterator[dict[str, Any]]:
    pairs, problems = _pairs(chunk)
    if engine is not None:
        pairs = _with_round_trip(pairs, engine, round_trip)
    table = score_pairs(list(pairs.values()), identifier)
    scored = dict(zip(pairs, table.rows(), strict=True))
    decisions = dict(zip(pairs, verdicts(table, Policy(), thresholds), strict=True))
    for line, row in chunk:
        result: dict[str, Any] = {column: row.get(column) for column in COLUMNS}
        if line in problems:
            result = {column: _printable(text) for column, text in result.items()}
            reason = f"input: {problems[line]} (line {line})"
            yield result | {"back_translation": None, "scores": None, "verdict": REJECT, "reason": reason}
            continue
        decision = decisions[line]
        known = {score: float(f"{value:.4g}") for score, value in scored[line].items() if value is not None}
        yield result | {
            "nllb_code": pairs[line].language,
            "back_translation": pairs[line].back_translation,
            "scores": known,
            "verdict": ACCEPT if decision.accepted else REJECT,
            "reason": decision.reason,
        }


def _printable(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", errors="backslashreplace").decode()


def _pairs(rows: Iterable[tuple[int, dict[str, str]]]) -> tuple[dict[int, TextPair], dict[int, str]]:
    """Line number to pair, and to what is wrong where a row is none."""
    pairs, problems = {}, {}
    for line, row in rows:
        try:
            pairs[line] = _pair(row)
        except ValueError as error:
            problems[line] = str(error)
    return pairs, problems


def _pair(row: dict[str, str]) -> TextPair:
    """Raises ValueError with what is wrong with the row."""
    if any("\ud800" <= character <= "\udfff" for text in row.values() for character in text):
        raise ValueError("no valid UTF-8")
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
        if engine.supports(pair.language) and pair.language != ENGLISH and goes_back(pair.source, round_trip)
    ]
    requests = [Request(pairs[line].target, pairs[line].language, ENGLISH) for line in asked]
    back = dict(zip(asked, engine.translate(requests), strict=True))
    return {
        line: TextPair(
            pair.source, pair.target, pair.language, None, back[line].text if line in back else None
        )
        for line, pair in pairs.items()
    }
