"""Records come as JSON lines, as a list, or as an object by id; broken ones are told, not dropped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.readers.records import DataError, records, texts_of

TWO = [{"id": "a", "x": 1}, {"id": "b", "x": 2}]


def test_the_three_shapes_hold_the_same_records(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text("\n".join(map(json.dumps, TWO)) + "\n\n")
    lines = list(records(path))
    path.write_text(json.dumps(TWO, indent=1))
    listed = list(records(path))
    path.write_text(json.dumps({one["id"]: one for one in TWO}))
    keyed = list(records(path))
    assert [values for _, _, values in lines] == [values for _, _, values in listed] == TWO
    assert [(key, values) for _, key, values in keyed] == [("a", TWO[0]), ("b", TWO[1])]
    where = [found[1][0].removeprefix(f"{tmp_path.name}/") for found in (lines, listed, keyed)]
    assert where == ["data.json, line 2", "data.json[1]", "data.json: 'b'"]


def test_one_line_is_a_record(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('\ufeff{"id": 1, "label": true}\n', encoding="utf-8")
    assert [values for _, _, values in records(path)] == [{"id": 1, "label": True}]


def test_a_broken_line_comes_as_its_text(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"id": 1}\n{"id": \n')
    assert [values for _, _, values in records(path)] == [{"id": 1}, '{"id": ']


@pytest.mark.parametrize("content", ["<html>", ""])
def test_what_is_no_json_at_all_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "data.jsonl").write_text(content)
    with pytest.raises(DataError, match=r"data\.jsonl: neither JSON nor JSON lines"):
        list(records(tmp_path / "data.jsonl"))


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        list(records(tmp_path))


def test_truth_values_and_numbers_are_answers() -> None:
    assert texts_of([True, False, 3, " x "], "answers") == ("true", "false", "3", "x")
