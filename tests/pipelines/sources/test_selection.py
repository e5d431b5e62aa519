"""Records that `where` or `skip_answers` leaves out are counted, and are no rejects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.recipe import SettingsError
from pipelines.sources import pieces
from tests.pipelines.sources.conftest import (
    FORMATS,
    MakeRecipe,
    examples,
    left_out,
    read_all,
    rejects,
    write_rows,
)

ROWS = [
    {"text": "First.", "split": "train", "label": 0, "good": True, "note": None},
    {"text": "Second.", "split": "test", "label": 1, "good": False, "note": "1"},
    {"text": "Third.", "split": "train", "label": 1, "good": True, "note": "x"},
    {"text": "Fourth.", "split": "train", "label": 2, "good": None, "note": None},
]
TEXTS = {"tasks": ["text"], "language": "de"}


def write(folder: Path, kind: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows in a file of the format, and the source of texts that reads it."""
    return TEXTS | write_rows(folder, kind, rows)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("where", "read"),
    [
        ({"split": "train"}, ["First.", "Third.", "Fourth."]),
        ({"split": "train", "label": [1, 2]}, ["Third.", "Fourth."]),
        ({"label": 1.0}, ["Second.", "Third."]),
        ({"good": True}, ["First.", "Third."]),
        ({"good": [False, None]}, ["Second.", "Fourth."]),
        ({"note": None}, ["First.", "Fourth."]),
        ({"note": "1"}, ["Second."]),
        ({"split": "dev"}, []),
    ],
)
def test_only_records_with_the_values_are_read(
    tmp_path: Path, make_recipe: MakeRecipe, kind: str, where: dict[str, Any], read: list[str]
) -> None:
    # The first of two sentences is the prompt.
    rows = [row | {"text": f"{row['text']} More."} for row in ROWS]
    found = read_all(make_recipe(**write(tmp_path, kind, rows), where=where))
    said = [f"{one.prompt.text if one.prompt else ''}" for one in examples(found)]
    assert said == read
    assert left_out(found) == len(ROWS) - len(read)
    assert rejects(found) == []


@pytest.mark.parametrize("kind", FORMATS)
def test_a_column_that_no_record_has_is_a_wrong_recipe(
    tmp_path: Path, make_recipe: MakeRecipe, kind: str
) -> None:
    recipe = make_recipe(**write(tmp_path, kind, ROWS), where={"splt": "train"})
    with pytest.raises(SettingsError, match=r"`splt`; (it has|they have) text, split, label, good") as told:
        pieces(recipe)
    assert told.value.key == "sources.0.where.splt"


@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_a_record_of_json_without_the_column_is_as_one_with_null(
    tmp_path: Path, make_recipe: MakeRecipe, kind: str
) -> None:
    rows = [{"text": "One. Two."}, {"text": "Three. Four.", "good": True}]
    source = write(tmp_path, kind, rows)
    assert left_out(read_all(make_recipe(**source, where={"good": True}))) == 1
    (found,) = examples(read_all(make_recipe(**source, where={"good": None})))
    assert found.prompt is not None
    assert found.prompt.text == "One."


def test_one_is_neither_true_nor_text(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    rows = [{"text": f"{value!r} is it. So.", "a": value} for value in (1, 1.0, True, "1", [1], None)]
    source = write(tmp_path, "jsonl", rows)
    for value, read in ((1, 2), (True, 1), ("1", 1), (None, 1)):
        assert len(examples(read_all(make_recipe(**source, where={"a": value})))) == read


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({"split": 1}, "column `split` of x.parquet is string, so it is never 1"),
        ({"label": ["0", 1]}, "column `label` of x.parquet is int64, so it is never '0'"),
        ({"label": True}, "so it is never True"),
        ({"good": 1}, "column `good` of x.parquet is bool, so it is never 1"),
    ],
)
def test_a_value_that_a_column_of_parquet_cannot_hold_is_a_wrong_recipe(
    tmp_path: Path, make_recipe: MakeRecipe, where: dict[str, Any], told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        pieces(make_recipe(**write(tmp_path, "parquet", ROWS), where=where))


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({"split": []}, r"where\.split is \[\]: .*must have at least 1 item"),
        ({"split": {"is": "train"}}, r"where\.split is .*: must be a boolean .* or a list"),
        ("train", r'where is "train": must be a mapping'),
    ],
)
def test_a_filter_of_another_form_is_a_wrong_recipe(
    tmp_path: Path, make_recipe: MakeRecipe, where: object, told: str
) -> None:
    source = write(tmp_path, "jsonl", ROWS)
    with pytest.raises(SettingsError, match=told):
        make_recipe(**source, where=where)


def test_broken_records_are_rejects_whatever_is_asked_for(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    source = write(tmp_path, "jsonl", ROWS)
    (tmp_path / "x.jsonl").write_text('{"split": "train"}\n{broken\n')
    found = read_all(make_recipe(**source, where={"split": "test"}))
    assert left_out(found) == len(rejects(found)) == 1


def test_pictures_of_row_groups_that_are_left_out_are_not_read(
    tmp_path: Path, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"image": [b"0", b"1", b"2", b"3"], "caption": ["A."] * 4, "split": [*"aaab"]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    recipe = make_recipe(format="parquet", path="x.parquet", tasks=["caption"], where={"split": "b"})
    read: list[tuple[int, ...]] = []
    batches = pq.ParquetFile.iter_batches

    def noted(self: pq.ParquetFile, *arguments: Any, **keys: Any) -> Any:
        if "image" in keys["columns"]:
            read.append(tuple(keys["row_groups"]))
        return batches(self, *arguments, **keys)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    found = read_all(recipe)
    assert set(read) == {(1,)}
    assert [one.source_id for one in examples(found)] == ["x@3"]
    assert left_out(found) == 3


def vizwiz(*answers: str) -> dict[str, Any]:
    """A question with the answers of several people."""
    return {
        "image": "a.png",
        "question": "What is this?",
        "answers": [{"answer": answer, "answer_confidence": "yes"} for answer in answers],
    }


VIZWIZ = {
    "tasks": ["vqa", "vqg"],
    "images": "images",
    "columns": {"answer": "answers"},
    "skip_answers": ["unanswerable", "unsuitable image"],
}


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
def test_questions_whose_most_common_answer_is_none_are_left_out(
    tmp_path: Path, make_recipe: MakeRecipe, kind: str
) -> None:
    rows = [
        vizwiz("unanswerable", "unanswerable", "a can"),
        vizwiz("unanswerable", "soup", "soup"),
        vizwiz("Unanswerable."),
        vizwiz("the unsuitable image"),
        vizwiz("unsuitable"),
    ]
    found = read_all(make_recipe(**VIZWIZ, **write_rows(tmp_path, kind, rows)))
    assert [one.target.text for one in examples(found) if one.task == "vqa"] == ["soup", "unsuitable"]
    assert len(examples(found)) == 4
    assert (left_out(found), rejects(found)) == (3, [])


def test_an_answer_without_words_is_left_out_as_it_stands(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    keys = {**VIZWIZ, "tasks": ["vqa"], "skip_answers": ["?"]}
    found = read_all(make_recipe(**keys, **write_rows(tmp_path, "jsonl", [vizwiz("?"), vizwiz("!")])))
    assert [one.target.text for one in examples(found)] == ["!"]
    assert left_out(found) == 1


def test_answers_are_skipped_only_where_questions_are(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    source = write(tmp_path, "jsonl", ROWS)
    with pytest.raises(SettingsError, match="has no effect without the task `reason` or `vqa` or `vqg`"):
        make_recipe(**source, skip_answers=["unanswerable"])
