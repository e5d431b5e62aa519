"""Bounds of a mix: those of its recipe, and the calibrated ones of a table that is known to be the mix's."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.manifest import read_manifest
from pipelines.recipe import checked_recipe
from pipelines.report.bounds import Bounds, Limit, bounds_of
from tests.pipelines.report.small_mix import write_mix
from translation.filters.thresholds import LENGTHS, default_thresholds
from translation.settings_file import override_values


def bounds(folder: Path, recipe: dict[str, Any] | None = None, **signature: str) -> Bounds:
    manifest = read_manifest(
        str(write_mix(folder / "mix", [], empty=["deu_Latn"], recipe=recipe, **signature))
    )
    return bounds_of(
        str(folder / "mix"), manifest, checked_recipe(override_values(manifest.recipe, "manifest.json", ()))
    )


def test_a_number_in_the_recipe_holds_for_every_text(tmp_path: Path) -> None:
    found = bounds(tmp_path, {"filters": {"lid": {"min": 0.6}, "length_ratio": {"min": None, "max": 2.0}}})
    assert found.of("lid", "deu_Latn") == (Limit(0.6, "min", LENGTHS),)
    assert found.of("length_ratio", "deu_Latn") == (Limit(2.0, "max", LENGTHS),)
    assert found.of("lid", "deu_Latn")[0].everywhere


def test_rules_that_are_off_and_scores_without_a_rule_have_none(tmp_path: Path) -> None:
    found = bounds(tmp_path, {"filters": {"lid": {"min": None}}})
    assert (
        found.of("lid", "deu_Latn")
        == found.of("model_score", "deu_Latn")
        == found.of("words", "deu_Latn")
        == ()
    )


def test_calibrated_bounds_are_those_of_the_language_by_length(tmp_path: Path) -> None:
    found = bounds(tmp_path).of("length_ratio", "deu_Latn")
    table = {
        (length, side): default_thresholds().bounds("length_ratio", side, ["deu_Latn"])[0][place]  # type: ignore[index]
        for place, length in enumerate(LENGTHS)
        for side in ("min", "max")
    }
    told = {(length, limit.side): limit.value for limit in found for length in limit.lengths}
    assert told == pytest.approx(table)


def test_one_value_for_all_lengths_is_one_limit(tmp_path: Path) -> None:
    (limit,) = bounds(tmp_path).of("repetition", "deu_Latn")
    assert limit.everywhere


def test_rules_about_sentences_have_no_bound_for_answers(tmp_path: Path) -> None:
    limits = bounds(tmp_path).of("sentences", "deu_Latn")
    assert {length for limit in limits for length in limit.lengths} <= set(LENGTHS[1:])
    assert limits


def test_another_table_than_the_mix_was_made_with_is_not_used(tmp_path: Path) -> None:
    found = bounds(tmp_path, {"filters": {"copy": {"max": 0.4}}}, thresholds="another")
    assert found.thresholds is None
    assert found.of("lid", "deu_Latn") == ()
    assert found.of("copy", "deu_Latn") == (Limit(0.4, "max", LENGTHS),), "what the recipe says is known"


def test_a_table_that_is_gone_is_not_used(tmp_path: Path) -> None:
    assert bounds(tmp_path, {"thresholds": "gone.tsv"}).thresholds is None


def test_the_table_that_the_mix_keeps_is_used_where_the_recipes_is_gone(tmp_path: Path) -> None:
    table = default_thresholds().text()
    mix = write_mix(tmp_path / "mix", [], empty=["deu_Latn"], recipe={"thresholds": "gone.tsv"})
    (mix / "thresholds.tsv").write_text(table, encoding="utf-8")
    manifest = replace(read_manifest(str(mix)), thresholds=hashlib.sha256(table.encode()).hexdigest())
    recipe = checked_recipe(override_values(manifest.recipe, "manifest.json", ()))
    assert bounds_of(str(mix), manifest, recipe).thresholds == default_thresholds()
    (mix / "thresholds.tsv").write_text(f"{table}#", encoding="utf-8")
    assert bounds_of(str(mix), manifest, recipe).thresholds is None


def test_bounds_of_another_identifier_are_the_safe_ones(tmp_path: Path) -> None:
    table = default_thresholds().for_identification("glotlid")
    found = bounds(tmp_path, identification="glotlid", thresholds=table.digest)
    assert found.of("lid", "deu_Latn") == (Limit(0.5, "min", LENGTHS),)
