"""The sample that ships: complete, small, readable, and true by construction."""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "pipelines" / "sample"


@cache
def script() -> ModuleType:
    """`scripts/sample.py`, which is no part of a package."""
    specification = importlib.util.spec_from_file_location("sample_script", ROOT / "scripts" / "sample.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["sample_script"] = module
    specification.loader.exec_module(module)
    return module


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLE / name).read_text(encoding="utf-8").splitlines()]


@cache
def names() -> dict[str, str]:
    """File name of the picture -> its name."""
    coco = json.loads((SAMPLE / "captions.json").read_text(encoding="utf-8"))
    files = {image["id"]: image["file_name"] for image in coco["images"]}
    return {files[annotation["image_id"]]: annotation["caption"] for annotation in coco["annotations"]}


@cache
def group_of() -> dict[str, str]:
    return {name: noun for noun, members in script().GROUPS.items() for name in members}


def test_every_picture_has_one_caption_and_every_caption_its_picture() -> None:
    coco = json.loads((SAMPLE / "captions.json").read_text(encoding="utf-8"))
    files = {path.name for path in (SAMPLE / "images").iterdir()}
    assert {image["file_name"] for image in coco["images"]} == files
    assert len(coco["annotations"]) == len(coco["images"]) == len(files) >= 400
    assert {annotation["image_id"] for annotation in coco["annotations"]} == {
        image["id"] for image in coco["images"]
    }
    assert {image["license"] for image in coco["images"]} == {one["id"] for one in coco["licenses"]}
    assert len(set(names().values())) == len(files)


def test_pictures_decode_at_the_size_the_captions_file_says_and_are_small() -> None:
    coco = json.loads((SAMPLE / "captions.json").read_text(encoding="utf-8"))
    total = 0
    for image in coco["images"]:
        path = SAMPLE / "images" / image["file_name"]
        total += path.stat().st_size
        with Image.open(path) as picture:
            picture.load()
            assert picture.size == (image["width"], image["height"])
            assert len(picture.convert("RGB").getcolors(2**16) or []) > 1, f"{path.name} is blank"
    assert total < 4e6


def test_there_are_enough_examples_for_95_languages() -> None:
    turns = sum(len(talk["conversations"]) // 2 for talk in lines("conversations.jsonl"))
    examples = len(names()) + len(lines("questions.jsonl")) + turns
    assert 3600 <= examples <= 4000
    assert examples / 2 / 95 > 18


def test_ids_are_unique_and_every_picture_has_questions_and_a_talk() -> None:
    questions, talks = lines("questions.jsonl"), lines("conversations.jsonl")
    for records in (questions, talks):
        assert len({record["id"] for record in records}) == len(records)
        assert {record["image"] for record in records} == names().keys()
    assert len(questions) >= 3 * len(names())
    assert len({(question["image"], question["question"]) for question in questions}) == len(questions)


def test_every_answer_is_a_name_of_the_sample_and_true_of_its_picture() -> None:
    for question in lines("questions.jsonl"):
        name, answer = names()[question["image"]], question["answer"]
        absent = "not in the picture" in question["question"] or "do not fit" in question["question"]
        if absent:
            assert_other(name, answer)
        else:
            assert answer == name, question


def test_a_choice_between_two_names_the_right_one_and_a_wrong_one() -> None:
    chosen = [question for question in lines("questions.jsonl") if question["id"][-2:] in ("-4", "-5")]
    assert len(chosen) == 2 * len(names())
    first = 0
    for question in chosen:
        name = names()[question["image"]]
        text = question["question"].partition(":")[2] or question["question"]
        mentioned = [other for other in names().values() if other in text]
        assert name in mentioned
        assert question["answer"] in mentioned
        first += text.index(question["answer"]) < len(text) / 2
    assert 0.4 < first / len(chosen) < 0.6, "the place of the answer gives it away"


def test_talks_have_llavas_layout_and_their_second_answer_is_another_of_the_same_kind() -> None:
    for talk in lines("conversations.jsonl"):
        turns = talk["conversations"]
        assert [turn["from"] for turn in turns] == ["human", "gpt", "human", "gpt"]
        assert turns[0]["value"].startswith("<image>\n")
        assert all("<image>" not in turn["value"] for turn in turns[1:])
        name = names()[talk["image"]]
        assert turns[1]["value"] == name
        assert group_of()[name] in turns[2]["value"]
        assert_other(name, turns[3]["value"])


def assert_other(name: str, other: str) -> None:
    assert other != name
    assert group_of()[other] == group_of()[name]
    assert frozenset((name, other)) not in script().overlaps()


def test_names_with_a_common_last_word_are_never_set_against_each_other_by_oversight() -> None:
    """`house` and `derelict house` may both be true: such pairs must be listed."""
    colours = {"red", "orange", "yellow", "green", "blue", "purple", "black", "white"}
    missing = []
    for members in script().GROUPS.values():
        for shorter in members:
            for longer in members:
                inside = longer.endswith(f" {shorter}") or longer.startswith(f"{shorter} ")
                pair = frozenset((shorter, longer))
                if inside and pair not in script().overlaps():
                    missing.append((shorter, longer))
    assert [pair for pair in missing if pair[1].split()[0] not in colours] == []


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A `pairs.jsonl` that has every name of the sample as trained, one of them in two languages."""
    path = tmp_path / "pairs.jsonl"
    records = [{"english": name, "emoji": "🐕", "split": "train"} for name in group_of()]
    path.write_text("".join(json.dumps(record) + "\n" for record in [*records, records[0]]), encoding="utf-8")
    return path


def test_a_held_out_name_stops_the_build(pairs: Path) -> None:
    text = pairs.read_text(encoding="utf-8").replace(
        '{"english": "poodle", "emoji": "\\ud83d\\udc15", "split": "train"}',
        '{"english": "poodle", "emoji": "\\ud83d\\udc15", "split": "held_out"}',
    )
    pairs.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"not trained on.*'poodle'"):
        script().pictures(script().trained_emoji(pairs))


def test_the_texts_that_ship_are_what_the_script_makes(pairs: Path) -> None:
    built = script()
    chosen = built.pictures(built.trained_emoji(pairs))
    rivals = {picture.name: built.others(picture, built.overlaps()) for picture in chosen}
    assert json.loads((SAMPLE / "captions.json").read_text(encoding="utf-8")) == built.captions(chosen)
    assert lines("questions.jsonl") == [
        question for picture in chosen for question in built.questions(picture, rivals[picture.name])
    ]
    assert lines("conversations.jsonl") == [
        built.conversation(picture, rivals[picture.name]) for picture in chosen
    ]


def test_the_recipe_is_valid_and_finds_its_files() -> None:
    from pipelines.recipe import load_recipe, sample_recipe

    recipe = load_recipe(sample_recipe())
    assert recipe.model == "small"
    assert [source.tasks[0] for source in recipe.sources] == ["caption", "vqa", "instruct"]
    assert len(recipe.languages.codes) == 95
    assert recipe.languages.english_share == 0.5


def test_the_recipe_yields_every_example_and_no_reject() -> None:
    from pipelines.examples import Example
    from pipelines.recipe import load_recipe, sample_recipe
    from pipelines.sources import pieces, read_piece

    recipe = load_recipe(sample_recipe())
    records = [record for piece in pieces(recipe) for record in read_piece(recipe, piece)]
    assert [record for record in records if not isinstance(record, Example)] == []
    examples = [record for record in records if isinstance(record, Example)]
    assert len(examples) == len({example.id for example in examples}) == 8 * len(names())
    assert {example.target.text for example in examples} == set(names().values())
    assert all(example.prompt is None or not example.prompt.translate for example in examples)
    assert not any("<image>" in example.prompt.text for example in examples if example.prompt)
