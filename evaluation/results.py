"""Result files: the numbers of an evaluation with all that decided on them, and beside it the items' scores.

`FILE.json` is for people and scripts; `FILE.items.parquet` has what each item adds to each number, so that
two results can be compared by a paired test without model, references or predictions.
"""

from __future__ import annotations

import hashlib
import io
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.intervals import RESAMPLES, SEED
from evaluation.items import Item
from evaluation.measures import Measure
from evaluation.metrics import metrics_of
from evaluation.predictions import Predictions, Problem
from evaluation.scores import Scores, score
from evaluation.signature import package_version
from evaluation.values import WIDTHS, Floats
from translation.disk import write_whole

FORMAT = 1
ITEMS_SUFFIX = ".items.parquet"


@dataclass(frozen=True)
class Provenance:
    """What was evaluated, and how; None where it is not known."""

    task: str
    task_digest: str | None = None
    """SHA-256 of the task file, in hexadecimal, as all digests here."""
    data_digest: str | None = None
    """Of the official files."""
    asked_digest: str | None = None
    """Of what the model was asked, word by word, see `evaluation.questions.Questions`."""
    checkpoint: str | None = None
    checkpoint_digest: str | None = None
    generation: Mapping[str, Any] | None = None
    """The settings that the predictions were made with."""
    generated_with: Mapping[str, str] | None = None
    """Versions of the libraries that the model ran with."""


@dataclass(frozen=True)
class Result:
    """The content of a result file."""

    format: int
    provenance: Provenance
    predictions_digest: str
    items: int
    """Scored ones, missing and empty predictions among them."""
    lines: int
    """Of the predictions file."""
    problems: tuple[Problem, ...]
    metrics: tuple[Scores, ...]
    resamples: int
    seed: int
    versions: Mapping[str, str]
    """Of what decides on numbers."""
    references_digest: str
    """SHA-256 of the items' languages, ids and references, in any order; CIDEr depends on all of them."""
    items_digest: str
    """SHA-256 of the file of items' scores."""

    def metric(self, name: str) -> Scores | None:
        """The scores of a name; None if there are none."""
        return next((one for one in self.metrics if one.name == name), None)


@dataclass(frozen=True)
class ItemScores:
    """What each item adds to each number."""

    languages: tuple[str, ...]
    ids: tuple[str, ...]
    units: tuple[str, ...]
    statistics: Mapping[str, Floats]
    """By metric: items × numbers that add up."""


class ResultError(ValueError):
    """A result file that cannot be read; the message names the file and what is wrong."""


def evaluate(
    predictions: Predictions,
    metrics: Sequence[str],
    provenance: Provenance,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[Result, ItemScores]:
    """Scores predictions by metrics of these names; the result, and what each item adds to it.

    Raises:
        UnknownMetricError: a name is no metric's, or stands twice.
        ValueError: a metric does not fit the items, see there.
    """
    measures = [measure for metric in metrics_of(metrics) for measure in metric(predictions.items)]
    return result_of(predictions, measures, provenance, resamples=resamples, seed=seed)


def result_of(
    predictions: Predictions,
    measures: Sequence[Measure],
    provenance: Provenance,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[Result, ItemScores]:
    """The result of measures that are aligned with the predictions' items, see `evaluate`."""
    items = predictions.items
    scores = tuple(score(items, measures, resamples, seed))
    of_items = _item_scores(items, measures)
    result = Result(
        FORMAT,
        provenance,
        predictions.digest,
        len(items),
        predictions.lines,
        predictions.problems,
        scores,
        resamples,
        seed,
        _versions(),
        _digest(items),
        hashlib.sha256(_parquet(of_items)).hexdigest(),
    )
    return result, of_items


def write_result(path: Path, result: Result, items: ItemScores) -> None:
    """Writes `FILE.json` and beside it `FILE.items.parquet`, each in one step, the JSON last."""
    write_file(items_path(path), _parquet(items))
    write_file(path, msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def read_result(path: Path) -> Result:
    """The result of a file.

    Raises:
        ResultError: it cannot be read, is no result file, or of another format.
    """
    data = _read(path)
    try:
        number = msgspec.json.decode(data, type=_Format).format
        if number != FORMAT:
            raise ResultError(
                f"{path}: format {number}, this version reads format {FORMAT}; evaluate the predictions again"
            )
        return msgspec.json.decode(data, type=Result)
    except msgspec.MsgspecError as error:
        raise ResultError(f"{path}: no result of `realign evaluate` ({error})") from error


def read_items(path: Path, result: Result) -> ItemScores:
    """The items' scores beside a result file.

    Raises:
        ResultError: they are missing, or not those that the result was written with.
    """
    beside = items_path(path)
    data = _read(beside)
    if hashlib.sha256(data).hexdigest() != result.items_digest:
        raise ResultError(f"{beside}: not the file that {path.name} was written with; evaluate again")
    table = pq.read_table(io.BytesIO(data))
    statistics = {}
    for one in result.metrics:
        flat = table.column(one.name).combine_chunks().flatten().to_numpy()
        statistics[one.name] = flat.reshape(-1, WIDTHS[one.kind])
    language, item, unit = (tuple(table.column(name).to_pylist()) for name in ("language", "id", "unit"))
    return ItemScores(language, item, unit, statistics)


def items_path(path: Path) -> Path:
    """Where the items' scores of a result file stand: `a.json` has `a.items.parquet`."""
    return path.with_name(path.name.removesuffix(".json") + ITEMS_SUFFIX)


def schema() -> dict[str, Any]:
    """The JSON schema of a result file."""
    return msgspec.json.schema(Result)


class _Format(msgspec.Struct):
    format: int


def _digest(items: Sequence[Item]) -> str:
    keys = sorted((one.language, one.id, one.references) for one in (item.expected for item in items))
    return hashlib.sha256(msgspec.json.encode(keys)).hexdigest()


def _item_scores(items: Sequence[Item], measures: Sequence[Measure]) -> ItemScores:
    expected = [item.expected for item in items]
    return ItemScores(
        tuple(one.language for one in expected),
        tuple(one.id for one in expected),
        tuple(one.unit for one in expected),
        {measure.name: measure.statistics for measure in measures},
    )


def _parquet(items: ItemScores) -> bytes:
    columns: dict[str, pa.Array] = {
        "language": pa.array(items.languages),
        "id": pa.array(items.ids),
        "unit": pa.array(items.units),
    }
    for name, table in items.statistics.items():
        columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(table.ravel()), table.shape[1])
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, compression="zstd")
    return out.getvalue()


def _versions() -> dict[str, str]:
    found = {"translate-mix": package_version(), "python": platform.python_version(), "numpy": np.__version__}
    for name in ("sacrebleu", "icu4py", "regex"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResultError(f"{path}: cannot be read ({error.strerror})") from error


def write_file(path: Path, data: bytes) -> None:
    """Writes a file in one step; raises ResultError if it cannot."""
    try:
        write_whole(path, data)
    except OSError as error:
        raise ResultError(f"{path}: cannot be written ({error.strerror})") from error
