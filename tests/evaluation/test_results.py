"""Result files hold what reproduces the numbers, and are read back as they were written or not at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.metrics import METRICS, UnknownMetricError, metrics_of
from evaluation.predictions import Predictions, Problem
from evaluation.results import (
    ItemScores,
    Provenance,
    Result,
    ResultError,
    evaluate,
    items_path,
    read_items,
    read_result,
    schema,
    write_result,
)
from evaluation.values import VALUES, WIDTHS
from tests.conftest import Synced
from tests.evaluation.conftest import item

ITEMS = (
    item("Yes", "yes", name="1"),
    item("no", "yes", name="2"),
    item("ja", "ja", language="deu_Latn", name="1", choices=("ja", "nein")),
    item("", "nein", language="deu_Latn", name="2", choices=("ja", "nein")),
)
PREDICTIONS = Predictions(
    ITEMS, 5, (Problem("empty", 1, ("deu_Latn 2",)), Problem("broken", 1, ("x",))), "ab" * 32
)
KNOWN = Provenance(
    "xgqa", "1" * 64, "2" * 64, "4" * 64, "mblip", "3" * 64, {"beams": 5, "length_penalty": -1.0}
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "result.json"


def made(*metrics: str) -> tuple[Result, ItemScores]:
    return evaluate(PREDICTIONS, metrics or ("exact_match", "yes_no"), KNOWN, resamples=50)


def test_a_result_is_read_as_it_was_written(path: Path) -> None:
    result, items = made("exact_match", "chrf++", "fidelity")
    write_result(path, result, items)
    assert read_result(path) == result
    again = read_items(path, result)
    assert (again.languages, again.ids, again.units) == (items.languages, items.ids, items.units)
    for name, table in items.statistics.items():
        assert np.array_equal(again.statistics[name], table)
    assert sorted(file.name for file in path.parent.iterdir()) == ["result.items.parquet", "result.json"]


def test_the_file_says_all_that_decided_on_the_numbers(path: Path) -> None:
    write_result(path, *made())
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["format"] == 1
    assert content["provenance"]["generation"] == {"beams": 5, "length_penalty": -1.0}
    assert content["provenance"]["task_digest"] == "1" * 64
    assert content["predictions_digest"] == "ab" * 32
    assert (content["items"], content["lines"]) == (4, 5)
    assert content["problems"][0] == {"kind": "empty", "count": 1, "examples": ["deu_Latn 2"]}
    assert {"translate-mix", "python", "numpy", "sacrebleu"} <= set(content["versions"])
    names = [metric["name"] for metric in content["metrics"]]
    assert names == ["exact_match", "yes_no", "yes_no.precision", "yes_no.recall", "yes_no.f1", "yes_no.yes"]
    metric = content["metrics"][0]
    assert metric["signature"] == "exact_match|norm:vqa-2|sides:both|rev:1"
    assert metric["languages"]["deu_Latn"]["value"] == 50
    assert metric["macro"] == metric["languages"]["deu_Latn"]
    digest = hashlib.sha256(items_path(path).read_bytes()).hexdigest()
    assert content["items_digest"] == digest


def test_the_schema_describes_the_file(path: Path) -> None:
    write_result(path, *made())
    content = json.loads(path.read_text(encoding="utf-8"))
    described = schema()["$defs"]
    assert described["Result"]["properties"].keys() == content.keys()
    assert described["Provenance"]["properties"].keys() == content["provenance"].keys()
    assert described["Scores"]["properties"].keys() == content["metrics"][0].keys()
    assert described["Estimate"]["properties"].keys() == content["metrics"][0]["macro"].keys()


def test_the_same_predictions_give_the_same_bytes(path: Path) -> None:
    other = path.with_name("other.json")
    write_result(path, *made("cider", "bleu"))
    write_result(other, *made("cider", "bleu"))
    assert path.read_bytes() == other.read_bytes()
    assert items_path(path).read_bytes() == items_path(other).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-30], "no result of `realign evaluate`"),
        (lambda text: "[]", "no result of `realign evaluate`"),
        (lambda text: text.replace('"format": 1', '"format": 2'), "format 2, this version reads format 1"),
        (
            lambda text: text.replace('"items": 4', '"items": "four"', 1),
            r"Expected `int`, got `str` - at `\$\.items`",
        ),
        (lambda text: text.replace('"seed"', '"sed"'), "required field `seed`"),
    ],
)
def test_a_damaged_or_foreign_file_is_an_error_that_says_where(
    path: Path, change: object, message: str
) -> None:
    write_result(path, *made())
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")  # type: ignore[operator]
    with pytest.raises(ResultError, match=message) as error:
        read_result(path)
    assert str(error.value).startswith(str(path))


def test_items_that_are_missing_or_another_results_are_an_error(path: Path) -> None:
    result, items = made()
    write_result(path, result, items)
    other, others = evaluate(replace(PREDICTIONS, items=ITEMS[:2]), ["exact_match"], KNOWN, resamples=0)
    beside = items_path(path)
    write_result(path.with_name("other.json"), other, others)
    beside.write_bytes(items_path(path.with_name("other.json")).read_bytes())
    with pytest.raises(
        ResultError, match=r"result\.items\.parquet: not the file that result\.json was written"
    ):
        read_items(path, result)
    beside.unlink()
    with pytest.raises(ResultError, match=r"result\.items\.parquet: cannot be read"):
        read_items(path, result)


def test_a_result_is_on_disk_after_its_items(path: Path, synced: list[Synced]) -> None:
    write_result(path, *made())
    names = [tuple(sorted(one.name for one in path.parent.iterdir()))[:number] for number in (1, 2)]
    assert [found for place, found in synced if place == path.parent] == names
    sizes = [found for place, found in synced if place != path.parent]
    assert sizes == [path.with_name(name).stat().st_size for name in names[1]]


def test_a_file_that_is_not_there_or_cannot_be_written_is_named(path: Path) -> None:
    with pytest.raises(ResultError, match=r"result\.json: cannot be read"):
        read_result(path)
    with pytest.raises(ResultError, match=r"cannot be written"):
        write_result(path.parent / "no" / "result.json", *made())


def test_unknown_and_repeated_metrics_are_errors() -> None:
    with pytest.raises(UnknownMetricError, match="unknown metric 'cidr'; did you mean cider"):
        metrics_of(["cidr"])
    with pytest.raises(UnknownMetricError, match="'cider' is named twice"):
        metrics_of(["cider", "cider"])


def test_every_metric_that_fits_gives_measures_of_its_name() -> None:
    for name in METRICS.keys() - {"vqa_accuracy", "vqa_accuracy_published", "spbleu"}:
        measures = METRICS[name](ITEMS)
        assert measures[0].name == name
        for measure in measures:
            assert measure.name == name or measure.name.startswith(f"{name}.")
            assert measure.signature.startswith(name)
            assert measure.statistics.shape[1] == WIDTHS[measure.kind]
    assert WIDTHS.keys() == VALUES.keys()
