"""Several columns make one text, as Alpaca's instruction and input do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.examples import Text
from pipelines.recipe import SettingsError
from pipelines.sources import pieces
from tests.pipelines.sources.conftest import (
    FORMATS,
    MakeRecipe,
    examples,
    read_all,
    rejects,
    write_rows,
)

ALPACA = {"tasks": ["instruct"], "columns": {"question": ["instruction", "input"], "answer": "output"}}
ROWS = [
    {"instruction": "Name a colour.", "input": "", "output": "Red."},
    {"instruction": "Count the words.", "input": " One two. ", "output": "2"},
    {"instruction": "Say hello.", "input": None, "output": "Hello."},
    {"instruction": "", "input": "Red, blue.", "output": "Blue."},
]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_blank_line_joins_columns_and_empty_ones_are_left_out(
    tmp_path: Path, make_recipe: MakeRecipe, kind: str
) -> None:
    records = read_all(make_recipe(**ALPACA, **write_rows(tmp_path, kind, ROWS)))
    assert [(one.prompt, one.target) for one in examples(records)] == [
        (Text("Name a colour."), Text("Red.")),
        (Text("Count the words.\n\nOne two."), Text("2")),
        (Text("Say hello."), Text("Hello.")),
    ]
    (empty,) = rejects(records)
    assert "question 'instruction' is empty" in empty.reason


@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_records_of_json_may_lack_all_but_the_first(
    tmp_path: Path, make_recipe: MakeRecipe, kind: str
) -> None:
    rows = [{"instruction": "Say hello.", "output": "Hello."}, *ROWS[1:2], {"input": "x", "output": "y"}]
    records = read_all(make_recipe(**ALPACA, **write_rows(tmp_path, kind, rows)))
    said = [one.prompt.text for one in examples(records) if one.prompt]
    assert said == ["Say hello.", "Count the words.\n\nOne two."]
    (missing,) = rejects(records)
    assert "no column 'instruction'" in missing.reason


@pytest.mark.parametrize("kind", FORMATS)
def test_a_joined_column_that_no_record_has_is_a_wrong_recipe(
    tmp_path: Path, make_recipe: MakeRecipe, kind: str
) -> None:
    columns = {"question": ["instruction", "inptu"], "answer": "output"}
    recipe = make_recipe(tasks=["instruct"], columns=columns, **write_rows(tmp_path, kind, ROWS))
    with pytest.raises(SettingsError, match="`inptu`") as told:
        pieces(recipe)
    assert told.value.key == "sources.0.columns.question.1"


def test_captions_and_texts_are_joined_too(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    row = {"image": "a.png", "title": "A dog.", "more": "It runs.\nFast.", "body": "It is one."}
    source = write_rows(tmp_path, "jsonl", [row])
    columns: dict[str, Any] = {"caption": ["title", "more"]}
    (caption,) = examples(read_all(make_recipe(tasks=["caption"], columns=columns, **source)))
    assert caption.target == Text("A dog. It runs. Fast.")
    columns = {"text": ["title", "body"]}
    (text,) = examples(read_all(make_recipe(tasks=["text"], columns=columns, **source)))
    assert (text.prompt, text.target) == (Text("A dog."), Text("It is one."))


def test_only_text_is_joined(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    row = {"instruction": "Count.", "input": ["a"], "output": "1"}
    (listed,) = rejects(read_all(make_recipe(**ALPACA, **write_rows(tmp_path, "jsonl", [row]))))
    assert "question 'input' is a list, must be text" in listed.reason
    with pytest.raises(
        SettingsError, match=r"column `input` of x\.parquet is list<.*>, only strings are joined"
    ):
        pieces(make_recipe(**ALPACA, **write_rows(tmp_path, "parquet", [row])))


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"question": []}, "must have at least 1 item"),
        ({"question": ["a", "a"]}, "a stands there twice"),
        ({"image": ["a", "b"]}, "must be a string"),
    ],
)
def test_a_wrong_list_of_columns_is_a_wrong_recipe(
    tmp_path: Path, make_recipe: MakeRecipe, columns: dict[str, Any], told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        make_recipe(**{**ALPACA, "columns": columns}, **write_rows(tmp_path, "jsonl", ROWS))
