"""Two results side by side: differences, intervals, p-values, and what is not comparable."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from evaluation.compare import Comparison, compare
from evaluation.intervals import holm
from evaluation.items import Item
from evaluation.predictions import Predictions
from evaluation.results import Provenance, ResultError, evaluate, items_path, write_result
from tests.evaluation.conftest import item

KNOWN = Provenance("xgqa")


def stored(path: Path, items: Sequence[Item], *metrics: str, provenance: Provenance = KNOWN) -> Path:
    predictions = Predictions(tuple(items), len(items), (), "0" * 64)
    write_result(path, *evaluate(predictions, metrics or ("exact_match",), provenance, resamples=20))
    return path


def answers(
    share: float, seed: int, languages: Sequence[str] = ("eng_Latn", "deu_Latn", "fra_Latn")
) -> list[Item]:
    draw = random.Random(seed)
    return [
        item("yes" if draw.random() < share else "no", "yes", language=language, name=str(number))
        for language in languages
        for number in range(80)
    ]


def run(tmp_path: Path, first: Sequence[Item], second: Sequence[Item], *metrics: str) -> Comparison:
    one = stored(tmp_path / "a.json", first, *metrics)
    two = stored(tmp_path / "b.json", second, *metrics)
    return compare(one, two, resamples=200, randomisations=999)


def test_a_clear_difference_is_found(tmp_path: Path) -> None:
    found = run(tmp_path, answers(0.3, 1), answers(0.8, 2))
    (metric,) = found.metrics
    assert list(metric.languages) == ["deu_Latn", "eng_Latn", "fra_Latn"]
    assert list(metric.groups) == ["high", "macro", "overall"]
    for difference in (*metric.languages.values(), *metric.groups.values()):
        assert difference.difference is not None
        assert difference.difference == pytest.approx((difference.second or 0) - (difference.first or 0))
        assert difference.difference > 30
        assert difference.interval is not None
        assert 0 < difference.interval.low < difference.difference < difference.interval.high
        assert difference.p is not None
        assert difference.p <= 0.003
    assert metric.groups["macro"].items == 160
    assert metric.groups["overall"].items == found.items == 240


def test_the_values_are_those_of_the_results(tmp_path: Path) -> None:
    items = answers(0.5, 3)
    found = run(tmp_path, items, answers(0.6, 4))
    (metric,) = found.metrics
    (own,) = found.first.metrics
    assert metric.languages["deu_Latn"].first == own.languages["deu_Latn"].value
    assert metric.groups["macro"].first == pytest.approx(own.macro.value)
    assert metric.groups["overall"].first == pytest.approx(own.overall.value)


def test_a_result_against_itself_is_chance(tmp_path: Path) -> None:
    found = run(tmp_path, answers(0.5, 5), answers(0.5, 5))
    (metric,) = found.metrics
    for difference in (*metric.languages.values(), *metric.groups.values()):
        assert difference.difference == 0
        assert difference.p == 1


def test_pairing_finds_what_two_intervals_would_hide(tmp_path: Path) -> None:
    """Both err on the same items, the second on a few more; the intervals of the two overlap widely."""
    first = answers(0.5, 6, ["deu_Latn"])
    second = [item("no", "yes", language="deu_Latn", name=one.expected.id) for one in first[:12]] + first[12:]
    found = run(tmp_path, first, second)
    before, after = (result.metrics[0].languages["deu_Latn"] for result in (found.first, found.second))
    assert (before.low or 0) < (after.high or 0)
    p = found.metrics[0].languages["deu_Latn"].p
    assert p is not None
    assert p < 0.05


def test_languages_are_adjusted_for_their_number(tmp_path: Path) -> None:
    codes = ["deu_Latn", "fra_Latn", "rus_Cyrl"]
    alone = [
        run(tmp_path, answers(0.5, seed, [code]), answers(0.66, seed + 9, [code]))
        .metrics[0]
        .languages[code]
        .p
        for seed, code in enumerate(codes)
    ]
    first = [one for seed, code in enumerate(codes) for one in answers(0.5, seed, [code])]
    second = [one for seed, code in enumerate(codes) for one in answers(0.66, seed + 9, [code])]
    found = run(tmp_path, first, second).metrics[0].languages
    assert [found[code].p for code in codes] == holm(alone)
    assert holm(alone) != alone


def test_items_that_one_lacks_are_left_out_and_counted(tmp_path: Path) -> None:
    items = answers(0.5, 9, ["deu_Latn"])
    found = run(tmp_path, items[:70], items[20:])
    assert (found.items, found.only_first, found.only_second) == (50, 20, 10)
    difference = found.metrics[0].languages["deu_Latn"]
    assert (difference.items, difference.difference) == (50, 0)


def test_corpus_metrics_are_compared_too(tmp_path: Path) -> None:
    texts = [
        "a dog runs on the grass",
        "two men ride a horse",
        "a red car in a street",
        "a cat on a mat",
    ] * 10
    good = [item(text, text, name=str(at)) for at, text in enumerate(texts)]
    bad = [item("a man", text, name=str(at)) for at, text in enumerate(texts)]
    found = run(tmp_path, bad, good, "bleu", "chrf++", "cider")
    assert [metric.name for metric in found.metrics] == ["bleu", "chrf++", "cider"]
    for metric in found.metrics:
        assert (metric.groups["overall"].p or 1) < 0.01


def test_some_languages_are_compared_with_all(tmp_path: Path) -> None:
    german = [item("ein Hund", "ein Hund läuft", language="deu_Latn", name=str(at)) for at in range(9)]
    chinese = [item("一只狗", "一只狗在跑", language="zho_Hans", name=str(at)) for at in range(9)]
    found = run(tmp_path, german, [*german, *chinese], "cider", "bleu")
    assert [metric.name for metric in found.metrics] == ["cider", "bleu"]
    assert (found.items, found.only_second) == (9, 9)
    by_characters = run(tmp_path, chinese, chinese, "cider")
    assert by_characters.metrics


def test_other_signatures_and_lacking_metrics_are_not_compared(tmp_path: Path) -> None:
    one = stored(
        tmp_path / "a.json", [item("yes", "yes"), item("yes", "no", name="2")], "exact_match", "bleu"
    )
    two = stored(
        tmp_path / "b.json",
        [item("yes", "yes", "no"), item("yes", "no", name="2")],
        "exact_match",
        "bleu",
        "any_match",
    )
    found = compare(one, two, resamples=10, randomisations=9)
    assert [metric.name for metric in found.metrics] == ["exact_match"]
    references, bleu, lacking = found.warnings
    assert references.startswith("items or references differ")
    assert bleu.startswith("bleu: not compared, ")
    assert "refs:1" in bleu
    assert "refs:var" in bleu
    assert lacking == "any_match: only the second has it"


def test_references_of_other_languages_besides_do_not_part_what_is_the_same(tmp_path: Path) -> None:
    german = [item("ja", "ja", name=str(number), language="deu_Latn") for number in range(3)]
    english = [item("yes", "yes", "yeah", name=str(number), language="eng_Latn") for number in range(3)]
    one = stored(tmp_path / "a.json", [*german, *english], "bleu")
    two = stored(tmp_path / "b.json", german, "bleu")
    found = compare(one, two, resamples=10, randomisations=9)
    assert (found.items, found.only_first) == (3, 3)
    assert [metric.name for metric in found.metrics] == ["bleu"]


def test_another_language_hides_no_other_number_of_references(tmp_path: Path) -> None:
    def german(*references: str) -> list[Item]:
        return [item("ja", *references, name=str(number), language="deu_Latn") for number in range(3)]

    english = [item("yes", "yes", name=str(number)) for number in range(3)]
    one = stored(tmp_path / "a.json", [*german("ja"), *english], "bleu")
    two = stored(tmp_path / "b.json", german("ja", "doch", "jawohl"), "bleu")
    with pytest.raises(ResultError, match="no number in common"):
        compare(one, two, resamples=10, randomisations=9)


def test_differing_settings_are_said(tmp_path: Path) -> None:
    items = answers(0.5, 1, ["deu_Latn"])
    one = stored(
        tmp_path / "a.json", items, provenance=Provenance("xgqa", data_digest="1", generation={"beams": 5})
    )
    two = stored(
        tmp_path / "b.json", items, provenance=Provenance("xgqa", data_digest="2", generation={"beams": 1})
    )
    warnings = compare(one, two, resamples=10, randomisations=9).warnings
    assert warnings == (
        "data digest differs: 1 and 2",
        "generation differs: {'beams': 5} and {'beams': 1}",
    )


def test_what_has_nothing_in_common_is_an_error(tmp_path: Path) -> None:
    items = answers(0.5, 1, ["deu_Latn"])
    one = stored(tmp_path / "a.json", items)
    other_task = stored(tmp_path / "b.json", items, provenance=Provenance("pope"))
    with pytest.raises(ResultError, match=r"'xgqa'.*'pope'; only results of one task"):
        compare(one, other_task)
    other_items = stored(tmp_path / "c.json", answers(0.5, 1, ["fra_Latn"]))
    with pytest.raises(ResultError, match="no item in common"):
        compare(one, other_items)
    other_metric = stored(tmp_path / "d.json", items, "any_match")
    with pytest.raises(ResultError, match="no number in common: exact_match: only the first has it"):
        compare(one, other_metric)
    items_path(one).unlink()
    with pytest.raises(ResultError, match=r"a\.items\.parquet: cannot be read"):
        compare(one, other_items)


def test_one_picture_alone_has_no_interval(tmp_path: Path) -> None:
    found = run(tmp_path, [item("yes", "yes")], [item("no", "yes")])
    assert found.metrics[0].languages["eng_Latn"].interval is None
    assert found.metrics[0].languages["eng_Latn"].difference == -100
