"""Shares that a recipe gives the languages, of what its sources hold."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.recipe import Recipe, checked_recipe
from pipelines.report.planned import planned_rows
from translation.settings_file import override_values

COCO = {"format": "coco", "annotations": "c.json", "images": "i"}


def recipe(*sources: dict[str, Any], **keys: Any) -> Recipe:
    languages = {"english_share": 0.5, "codes": ["deu_Latn", "fra_Latn"]}
    values = {"name": "r", "languages": languages, "sources": list(sources), **keys}
    return checked_recipe(override_values(values, "recipe.yaml", ()))


def test_shares_of_the_recipe_over_the_rows_of_its_sources() -> None:
    read = {"a": {"eng_Latn": 30, "deu_Latn": 10}, "b": {"eng_Latn": 60}}
    found = planned_rows(recipe({"name": "a", **COCO}, {"name": "b", **COCO}), read)
    assert found == pytest.approx({"eng_Latn": 50, "deu_Latn": 25, "fra_Latn": 25})


def test_a_source_has_a_policy_of_its_own() -> None:
    own = {"name": "b", "languages": {"english_share": 0.0, "codes": ["swh_Latn"]}, **COCO}
    read = {"a": {"eng_Latn": 40}, "b": {"swh_Latn": 10}}
    assert planned_rows(recipe({"name": "a", **COCO}, own), read) == pytest.approx(
        {"eng_Latn": 20, "deu_Latn": 10, "fra_Latn": 10, "swh_Latn": 10}
    )


def test_weights_and_other_policies() -> None:
    weighted = recipe(
        {"name": "a", **COCO}, languages={"english_share": 0.2, "weights": {"deu_Latn": 3, "fra_Latn": 1}}
    )
    assert planned_rows(weighted, {"a": {"eng_Latn": 100}}) == pytest.approx(
        {"eng_Latn": 20, "deu_Latn": 60, "fra_Latn": 20}
    )


@pytest.mark.parametrize(
    "source",
    [
        {"format": "text", "path": "wiki/{language}.txt"},
        {"format": "text", "path": "wiki.txt", "language": "zul_Latn"},
        {"format": "jsonl", "path": "w.jsonl", "tasks": ["text"], "language": "zul_Latn"},
        {"format": "nlvr2", "path": "marvl.json", "images": "i"},
        {"format": "jsonl", "path": "q.jsonl", "images": "i", "tasks": ["vqa"], "english_answers": 0.5},
        {"unknown": True},
    ],
)
def test_where_something_else_decides_on_the_language_it_is_as_planned(source: dict[str, Any]) -> None:
    sources = [{"name": "a", **COCO}] + ([] if "unknown" in source else [{"name": "b", **source}])
    assert planned_rows(recipe(*sources), {"b": {"zul_Latn": 7}}) == {"zul_Latn": 7}


@pytest.mark.parametrize("own", [{"format": "text"}, {"format": "jsonl", "tasks": ["text"]}])
def test_texts_that_are_said_to_be_english_are_translated(own: dict[str, Any]) -> None:
    source = {"name": "b", "path": "wiki", "language": "English", **own}
    assert planned_rows(recipe({"name": "a", **COCO}, source), {"b": {"eng_Latn": 8}}) == {
        "eng_Latn": 4, "deu_Latn": 2, "fra_Latn": 2,
    }  # fmt: skip


def test_records_that_could_not_be_read_have_no_language() -> None:
    assert planned_rows(recipe({"name": "a", **COCO}), {"a": {"und": 10}}) == {
        "eng_Latn": 0, "deu_Latn": 0, "fra_Latn": 0,
    }  # fmt: skip
