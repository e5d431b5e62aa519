"""`translate-mix score` and `calibrate`: the filters for pairs of text that somebody else translated."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from translation.calibration import calibrate
from translation.engine import Engine
from translation.filters import Policy, TextPair, Thresholds, goes_back, score_pairs, verdicts
from translation.identification import Identifier, load_identifier
from translation.languages import ENGLISH
from translation.model import model_directory
from translation.pair_table import COLUMNS, Cells, PairError, pair_rows, text_pairs
from translation.row import ACCEPT, REJECT
from translation.surrogates import without_halves
from translation.translations import Request

CHUNK = 2000

LEAST_REFERENCES = 300
"""Lines that `calibrate` needs."""


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
    rows = pair_rows(lines, name)
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
    pairs, problems = text_pairs(pair_rows(lines, name))
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


def _score_chunk(
    chunk: list[tuple[int, Cells]],
    identifier: Identifier,
    thresholds: Thresholds,
    engine: Engine | None,
    round_trip: str,
) -> Iterator[dict[str, Any]]:
    pairs, problems = text_pairs(chunk)
    if engine is not None:
        pairs = _with_round_trip(pairs, engine, round_trip)
    table = score_pairs(list(pairs.values()), identifier)
    scored = dict(zip(pairs, table.rows(), strict=True))
    decisions = dict(zip(pairs, verdicts(table, Policy(), thresholds), strict=True))
    for line, row in chunk:
        result: dict[str, Any] = {column: row.get(column) for column in COLUMNS}
        if line in problems:
            result = {column: text and without_halves(text) for column, text in result.items()}
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
