"""JSON lists and objects of records become examples, by columns as JSON lines do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.examples import Text
from pipelines.recipe import SettingsError
from pipelines.sources import pieces
from tests.pipelines.sources.conftest import MakeRecipe, examples, read_all, rejects

QUESTIONS = {
    "format": "json",
    "path": "x.json",
    "images": "images",
    "tasks": ["vqa"],
    "columns": {"image": "image_id", "answer": "answers"},
}
RECORDS = [
    {"id": 7, "image_id": "a.png", "question": "What?", "answers": ["dog", "dog", "cat"]},
    {"image_id": "b.png", "question": "Who?", "answers": ["a man"]},
]
ALPACA = {"format": "json", "path": "x.json", "tasks": ["instruct"]}


def write(folder: Path, value: Any) -> None:
    (folder / "x.json").write_text(json.dumps(value, indent=1))


def test_a_list_of_records(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path, [*RECORDS, "no record", {**RECORDS[1], "question": ""}])
    records = read_all(make_recipe(**QUESTIONS))
    first, second = examples(records)
    assert (first.source_id, first.image_id, first.prompt, first.target) == (
        "7",
        "a",
        Text("What?"),
        Text("dog"),
    )
    assert second.source_id.startswith("x@")
    no_object, empty = [one.reason for one in rejects(records)]
    assert "is text, must be an object" in no_object
    assert "question 'question' is empty" in empty


def test_records_below_a_key(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path, {"dataset": "TextVQA", "info": {"n": [2]}, "data": RECORDS})
    assert len(examples(read_all(make_recipe(**QUESTIONS, field="data")))) == 2
    with pytest.raises(SettingsError, match="no list `rows`; there: dataset, info, data"):
        pieces(make_recipe(**QUESTIONS, field="rows"))
    with pytest.raises(SettingsError, match=r"'dataset' is text, no record; name the key .* as `field`"):
        pieces(make_recipe(**QUESTIONS))


def test_the_keys_of_an_object_of_records_are_ids(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path, {"q1": RECORDS[1], "q2": RECORDS[0]})
    first, second = examples(read_all(make_recipe(**QUESTIONS)))
    assert (first.source_id, second.source_id) == ("q1", "7")


def test_lines_are_told_from_a_list(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "x.json").write_text("\n".join(map(json.dumps, RECORDS)))
    with pytest.raises(SettingsError, match="`format: jsonl` reads one object a line"):
        pieces(make_recipe(**QUESTIONS))
    write(tmp_path, RECORDS)
    with pytest.raises(
        SettingsError, match="is one JSON list, not a line per record; `format: json` reads it"
    ):
        pieces(make_recipe(**{**QUESTIONS, "format": "jsonl"}))


def test_instructions_without_pictures(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path, [{"instruction": "Name a colour.", "input": "", "output": "Red."}])
    columns = {"question": "instruction", "answer": "output"}
    (found,) = examples(read_all(make_recipe(**ALPACA, columns=columns)))
    assert (found.image, found.prompt, found.target) == (None, Text("Name a colour."), Text("Red."))
