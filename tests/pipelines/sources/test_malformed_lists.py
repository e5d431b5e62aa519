"""Malformed records in big JSON files: each is one reject with file and byte, and its neighbours are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.examples import Reject
from pipelines.images import BadImage, check_image, image_bytes
from pipelines.records import Asked, Captioned, Record, Talk
from pipelines.sources import pieces, read_piece, read_records
from tests.pipelines.sources.conftest import MakeRecipe, examples

Make = Callable[[int], dict[str, Any]]


def coco_annotation(n: int) -> dict[str, Any]:
    return {"image_id": 100 + n, "id": n, "caption": f"A dog number {n}."}


def karpathy_image(n: int) -> dict[str, Any]:
    sentences = [{"tokens": ["a"], "raw": f"A dog number {n}.", "imgid": n, "sentid": n}]
    return {
        "filepath": "train2014",
        "filename": f"COCO_train2014_{n:012d}.jpg",
        "imgid": n,
        "split": "train",
        "sentences": sentences,
        "cocoid": n,
    }


def capfilt_record(n: int) -> dict[str, Any]:
    return {"caption": f"a dog number {n}", "url": f"http://example.org/{n}.jpg", "image": f"a/{n}.jpg"}


def vqav2_question(n: int) -> dict[str, Any]:
    return {"image_id": 100 + n, "question": f"Is this #{n}?", "question_id": n}


def vqav2_annotation(n: int) -> dict[str, Any]:
    answers = [{"answer": f"answer {n}", "answer_confidence": "yes", "answer_id": 1}]
    return {
        "question_type": "is this",
        "multiple_choice_answer": f"answer {n}",
        "answers": answers,
        "image_id": 100 + n,
        "answer_type": "other",
        "question_id": n,
    }


def aokvqa_record(n: int) -> dict[str, Any]:
    return {
        "split": "train",
        "image_id": 100 + n,
        "question_id": f"q{n}",
        "question": f"Why {n}?",
        "choices": ["a", "b", "c", "d"],
        "correct_choice_idx": n % 4,
        "direct_answers": ["a", "b"],
        "rationales": [f"Because of {n}.", "Because."],
    }


def gqa_question(n: int) -> dict[str, Any]:
    semantic = [{"operation": "select", "dependencies": [], "argument": "dog (1)"}]
    return {
        "semantic": semantic,
        "question": f"Is dog {n} there?",
        "imageId": f"n{n}",
        "answer": "yes",
        "fullAnswer": "Yes, it is.",
    }


def llava_record(n: int) -> dict[str, Any]:
    said = [{"from": "human", "value": f"<image>\nWhat is {n}?"}, {"from": "gpt", "value": "A dog."}]
    return {"id": f"{n:012d}", "image": f"{n:012d}.jpg", "conversations": said}


IMAGES = [{"file_name": f"COCO_train2014_{100 + n:012d}.jpg", "id": 100 + n} for n in range(3)]
IMAGES.append({"file_name": "/etc/x.jpg", "id": 999})

LAYOUTS: dict[str, tuple[Make, str, str, dict[str, Any]]] = {
    "coco": (coco_annotation, f'{{"images": {json.dumps(IMAGES)}, "annotations": [', "]}", {}),
    "karpathy": (karpathy_image, '{"images": [', '], "dataset": "coco"}', {"splits": ["train"]}),
    "capfilt": (capfilt_record, "[", "]", {}),
    "vqav2 question": (vqav2_question, '{"info": {}, "questions": [', "]}", {}),
    "vqav2 annotation": (vqav2_annotation, '{"info": {}, "annotations": [', "]}", {}),
    "aokvqa": (aokvqa_record, "[", "]", {"tasks": ["vqa", "reason"]}),
    "gqa": (gqa_question, "{", "}", {}),
    "llava": (llava_record, "[", "]", {}),
}
"""Layout -> what makes a good record, what stands before and after the records, more keys of the source."""

# What is changed in the second of three records (None takes the key out), and words of the reason.
CHANGED: list[tuple[str, dict[str, Any], str]] = [
    ("coco", {"caption": None}, "no column 'caption'"),
    ("coco", {"caption": ["A."]}, "caption is a list, must be text"),
    ("coco", {"caption": " \t"}, "caption is empty"),
    ("coco", {"caption": "A\x00B"}, "caption holds NUL at character 1"),
    ("coco", {"caption": "x" * 30_000}, "text of 30,000 characters, at most 20,000"),
    ("coco", {"image_id": 7}, "no image with the id '7'"),
    ("coco", {"image_id": {"a": 1}}, "no image with the id"),
    ("coco", {"image_id": 999}, "image: '/etc/x.jpg' is absolute"),
    ("coco", {"id": "x" * 300}, "an id has 1 to 200 printable characters"),
    ("karpathy", {"split": "dev"}, "split 'dev' is none of train, restval, val, test"),
    ("karpathy", {"split": ["train"]}, "is none of train"),
    ("karpathy", {"filename": "../../x.jpg"}, "leads out of the images folder"),
    ("karpathy", {"filename": 5}, "`filename` of its image is a number"),
    ("karpathy", {"sentences": {"raw": "A."}}, "no sentences"),
    ("karpathy", {"sentences": [{"raw": "A.", "sentid": None}]}, "column 'sentid' is null"),
    ("capfilt", {"caption": 3.5}, "caption is a number, must be text"),
    ("capfilt", {"caption": "\u200b"}, "caption is empty"),
    ("capfilt", {"image": None}, "no column 'image'"),
    ("capfilt", {"image": "http://example.org/a.jpg"}, "is a URL"),
    ("capfilt", {"image": "a\x00.jpg"}, "image: path holds NUL"),
    ("capfilt", {"image": ""}, "image: empty path"),
    ("capfilt", {"image": "a/" * 150 + "b.jpg"}, "at most 180 printable characters"),
    ("vqav2 question", {"question": None}, "no column 'question'"),
    ("vqav2 question", {"question": "\u3000"}, "question is empty"),
    ("vqav2 question", {"image_id": "101"}, "`image_id` is '101', must be COCO's number"),
    ("vqav2 question", {"image_id": -3}, "`image_id` is '-3', must be COCO's number"),
    ("vqav2 question", {"image_id": 5}, "`image_id` is 5, but that of its annotation"),
    ("vqav2 annotation", {"multiple_choice_answer": ""}, "`multiple_choice_answer` is empty"),
    ("vqav2 annotation", {"multiple_choice_answer": None, "answers": []}, "`answers` is an empty list"),
    ("vqav2 annotation", {"multiple_choice_answer": True}, "is a boolean, must be text"),
    ("vqav2 annotation", {"image_id": 1.5}, "`image_id` is '1.5', must be COCO's number"),
    ("aokvqa", {"correct_choice_idx": 4}, "`correct_choice_idx` is '4', must be a number from 0 to 3"),
    ("aokvqa", {"correct_choice_idx": True}, "`correct_choice_idx` is 'true'"),
    ("aokvqa", {"choices": "abcd"}, "`choices` is text, must be a list"),
    ("aokvqa", {"choices": ["a", None, "c", "d"]}, "choice 1 is null, must be text"),
    ("aokvqa", {"image_id": None}, "no column 'image_id'"),
    ("gqa", {"question": 7}, "question is a number, must be text"),
    ("gqa", {"answer": None}, "no column 'answer'"),
    ("gqa", {"imageId": "../1"}, "image: '../1.jpg' leads out of the images folder"),
    ("gqa", {"imageId": {}}, "column 'imageId' is an object"),
    ("llava", {"conversations": None}, "no column 'conversations'"),
    ("llava", {"conversations": []}, "conversation 'conversations' is empty"),
    ("llava", {"conversations": ["Hi."]}, "turn 0 is text"),
    (
        "llava",
        {"conversations": [{"from": "gpt", "value": "A."}] * 2},
        "turn 0 is by 'gpt', must be by human",
    ),
    ("llava", {"conversations": [{"from": "human", "value": "A?"}]}, "conversation without an answer"),
    ("llava", {"image": None}, "`<image>` in the text, but no `image`"),
    ("llava", {"image": ["a.jpg", "b.jpg"]}, "2 pictures, a record has one"),
    ("llava", {"id": []}, "column 'id' is a list"),
]

# What is replaced in the JSON of the second record.
BROKEN: list[tuple[str, str, str]] = [
    ("coco", '"caption"', "caption"),
    ("coco", "dog", "dog \\ud800"),
    ("karpathy", '"split": "train"', '"split": train'),
    ("capfilt", '", "url"', ', "url"'),
    ("aokvqa", "1,", "1 000,"),
    ("gqa", "]", ""),
    ("llava", "}]", "]"),
    ("llava", "What", "W\xffat"),
    ("llava", "What", "W\x01at"),
]


def read_with(
    folder: Path, make_recipe: MakeRecipe, layout: str, bad: str
) -> tuple[list[Record | Reject], list[str], int]:
    """What is read where the second of three records is bad, which others are good, and its byte."""
    make, before, after, more = LAYOUTS[layout]
    name = layout.split()[0]

    def text(n: int) -> str:
        return (f'"{n}": ' if layout == "gqa" else "") + json.dumps(make(n))

    start = before + text(0) + ",\n "
    content = start + bad + ", " + text(2) + after
    (folder / "bad.json").write_bytes(content.encode("latin-1"))
    source = {"format": name, "images": "images", **more}
    if name == "vqav2":
        other = {"vqav2 question": "vqav2 annotation", "vqav2 annotation": "vqav2 question"}[layout]
        make_other, before_other, after_other, _ = LAYOUTS[other]
        records = ", ".join(json.dumps(make_other(n)) for n in range(3))
        (folder / "good.json").write_text(before_other + records + after_other)
        keys = {"vqav2 question": "questions", "vqav2 annotation": "annotations"}
        source |= {keys[layout]: "bad.json", keys[other]: "good.json"}
    elif name in ("coco", "karpathy", "aokvqa"):
        source |= {"format": name.replace("karpathy", "coco"), "annotations": "bad.json"}
    else:
        source["path"] = "bad.json"
    recipe = make_recipe(**source)
    (piece,) = pieces(recipe)
    return list(read_records(recipe, piece)), ["0", "2"], len(start.encode("latin-1"))


def numbers(records: list[Record | Reject]) -> list[str]:
    """Which of the records were read, by the numbers in their texts."""
    told = []
    for one in records:
        if isinstance(one, Captioned):
            told.append(one.captions[0][1].rstrip(".").split()[-1])
        elif isinstance(one, Asked):
            told.append("".join(filter(str.isdecimal, one.question)))
        elif isinstance(one, Talk):
            told.append("".join(filter(str.isdecimal, one.turns[0][1])))
    return told


@pytest.mark.parametrize(("layout", "change", "words"), CHANGED)
def test_a_malformed_record_is_one_reject_with_file_and_byte(
    tmp_path: Path, make_recipe: MakeRecipe, layout: str, change: dict[str, Any], words: str
) -> None:
    record = {key: value for key, value in {**LAYOUTS[layout][0](1), **change}.items() if value is not None}
    bad = ('"1": ' if layout == "gqa" else "") + json.dumps(record)
    records, good, position = read_with(tmp_path, make_recipe, layout, bad)
    assert numbers(records) == good
    (reject,) = [one for one in records if isinstance(one, Reject)]
    assert reject.reason.startswith(f"source: bad.json byte {position}: ")
    assert words in reject.reason
    assert 0 < len(reject.record) <= 2_000


@pytest.mark.parametrize(("layout", "cut", "put"), BROKEN)
def test_a_record_that_is_no_json_is_one_reject_with_file_and_byte(
    tmp_path: Path, make_recipe: MakeRecipe, layout: str, cut: str, put: str
) -> None:
    written = ('"1": ' if layout == "gqa" else "") + json.dumps(LAYOUTS[layout][0](1))
    assert cut in written
    records, good, position = read_with(tmp_path, make_recipe, layout, written.replace(cut, put, 1))
    assert numbers(records) == good
    (reject,) = [one for one in records if isinstance(one, Reject)]
    assert reject.reason.startswith(f"source: bad.json byte {position}: ")
    assert 0 < len(reject.record) <= 2_000


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", ["3", "null", '"text"', "[]", "true"])
def test_a_record_that_is_no_object_is_a_reject(
    tmp_path: Path, make_recipe: MakeRecipe, layout: str, value: str
) -> None:
    bad = ('"1": ' if layout == "gqa" else "") + value
    records, good, position = read_with(tmp_path, make_recipe, layout, bad)
    assert numbers(records) == good
    told = [one for one in records if isinstance(one, Reject)]
    assert told[0].reason.startswith(f"source: bad.json byte {position}: is ")
    assert told[0].reason.endswith("must be an object")
    # In a join the other half is alone then.
    assert len(told) == (2 if layout.startswith("vqav2") else 1)


def test_every_mistake_is_counted_once_among_many(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    good = [json.dumps(llava_record(n)) for n in range(2_000)]
    bad = [
        json.dumps({key: value for key, value in {**llava_record(0), **change}.items() if value is not None})
        for layout, change, _ in CHANGED
        if layout == "llava"
    ]
    for index, text in enumerate(bad):
        good.insert(200 * (index + 1), text)
    (tmp_path / "l.json").write_text("[" + ",".join(good) + "]")
    recipe = make_recipe(format="llava", path="l.json", images="images")
    (piece,) = pieces(recipe)
    records = list(read_piece(recipe, piece))
    assert len(examples(records)) == 2_000
    assert len(records) == 2_000 + len(bad)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xd8\xff\xe0 half a picture"])
def test_a_picture_that_cannot_be_read_is_no_picture(
    tmp_path: Path, make_recipe: MakeRecipe, content: bytes | None
) -> None:
    (tmp_path / "images/a").mkdir(parents=True)
    if content is not None:
        (tmp_path / "images/a/1.jpg").write_bytes(content)
    (tmp_path / "c.json").write_text(json.dumps([capfilt_record(1)]))
    recipe = make_recipe(format="capfilt", path="c.json", images="images")
    (piece,) = pieces(recipe)
    (found,) = examples(list(read_piece(recipe, piece)))
    assert found.image is not None
    with pytest.raises(BadImage):
        check_image(image_bytes(found.image), 40_000_000)
