"""A-OKVQA: the right choice is the answer, and the rationales go along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.recipe import SettingsError
from pipelines.records import Asked
from pipelines.sources import pieces, read_records
from tests.pipelines.sources.conftest import MakeRecipe, Records, examples, read_all, rejects

SHARED = Path(__file__).parents[3].parent / "shared/data/source/aokvqa"

# As the first record of aokvqa_v1p0_train.json, shortened.
RECORD: dict[str, Any] = {
    "split": "train",
    "image_id": 299207,
    "question_id": "22MexNkBPpdZGX6sxbxVBH",
    "question": "What is the man by the bags awaiting?",
    "choices": ["skateboarder", "train", "delivery", "cab"],
    "correct_choice_idx": 3,
    "direct_answers": ["ride", "ride", "bus", "taxi", "ride"],
    "difficult_direct_answer": False,
    "rationales": ["A train would not be on the street.", "He looks to be waiting for a ride. ", "He waits."],
}
TEST = {key: value for key, value in RECORD.items() if key not in ("correct_choice_idx", "direct_answers")}


def write(folder: Path, content: object) -> None:
    (folder / "a.json").write_text(json.dumps(content))


def read(folder: Path, make_recipe: MakeRecipe, content: object, **more: Any) -> Records:
    write(folder, content)
    return read_all(make_recipe(format="aokvqa", annotations="a.json", images="images", **more))


def asked(folder: Path, make_recipe: MakeRecipe, **change: Any) -> Asked:
    write(folder, [{**RECORD, **change}])
    recipe = make_recipe(format="aokvqa", annotations="a.json", images="images")
    (piece,) = pieces(recipe)
    (found,) = read_records(recipe, piece)
    assert isinstance(found, Asked)
    return found


def test_question_answer_and_rationales(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    found = asked(tmp_path, make_recipe)
    assert (found.source_id, found.question) == (
        "22MexNkBPpdZGX6sxbxVBH",
        "What is the man by the bags awaiting?",
    )
    assert found.answer == "cab"
    assert found.picture.image_id == "299207"
    assert found.rationales == (
        "A train would not be on the street.",
        "He looks to be waiting for a ride.",
        "He waits.",
    )


def test_equal_rationales_count_once(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    assert asked(tmp_path, make_recipe, rationales=["He waits.", "He waits. ", "B."]).rationales == (
        "He waits.",
        "B.",
    )


FAULTS = [
    ([], "`rationales` is an empty list"),
    ("A.", "`rationales` is 'A.', must be a list of texts"),
    (["A.", ""], "`rationales` item 1 is empty"),
]


@pytest.mark.parametrize(("rationales", "fault"), FAULTS)
def test_rationales_that_cannot_be_used_leave_the_question(
    tmp_path: Path, make_recipe: MakeRecipe, rationales: object, fault: str
) -> None:
    record = RECORD | {"rationales": rationales}
    found = read(tmp_path, make_recipe, [record], tasks=["vqa", "reason"])
    assert [one.task for one in examples(found)] == ["vqa"]
    (beside,) = rejects(found)
    (alone,) = read(tmp_path, make_recipe, [record], tasks=["reason"])
    assert beside.reason == f"source: a.json byte 1: {fault}"
    assert rejects([alone])[0].reason == beside.reason


@pytest.mark.parametrize(
    "change", [{"correct_choice_idx": None}, {"correct_choice_idx": None, "choices": []}]
)
def test_without_the_right_choice_the_most_common_answer_counts(
    tmp_path: Path, make_recipe: MakeRecipe, change: dict[str, Any]
) -> None:
    assert asked(tmp_path, make_recipe, **change).answer == "ride"


def test_tasks_without_reasons_need_no_rationales(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    record = {key: value for key, value in RECORD.items() if key != "rationales"}
    found = read(tmp_path, make_recipe, [record], tasks=["vqa", "vqg"])
    assert [one.task for one in examples(found)] == ["vqa", "vqg"]
    (missing,) = rejects(read(tmp_path, make_recipe, [record]))
    assert "no column 'rationales'" in missing.reason


@pytest.mark.parametrize(
    "name", ["000000299207.jpg", "val2017/000000299207.jpg", "COCO_val2014_000000299207.jpg"]
)
def test_pictures_of_2017_or_2014(tmp_path: Path, make_recipe: MakeRecipe, name: str) -> None:
    path = tmp_path / "images" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    assert asked(tmp_path, make_recipe).picture.locator == f"{tmp_path}/images/./{name}"


def test_the_test_split_is_an_error(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    with pytest.raises(SettingsError, match=r"a.json has no answers, as the test split"):
        read(tmp_path, make_recipe, [TEST, {**TEST, "direct_answers": []}])


def test_a_record_without_answers_is_a_reject(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    records = read(tmp_path, make_recipe, [TEST, RECORD], tasks=["vqa"])
    assert len(examples(records)) == 1
    (found,) = rejects(records)
    assert found.reason.startswith("source: a.json byte 1: no column 'direct_answers'")
    assert found.source_id == "22MexNkBPpdZGX6sxbxVBH"


@pytest.mark.skipif(not SHARED.is_dir(), reason="real data excerpts are not there")
@pytest.mark.parametrize("part", ["train", "val"])
def test_real_excerpts(make_recipe: MakeRecipe, part: str) -> None:
    path = SHARED / f"aokvqa_v1p0_{part}.json"
    records = read_all(make_recipe(format="aokvqa", annotations=str(path), images="images"))
    assert len(examples(records)) == len(records) == 6
