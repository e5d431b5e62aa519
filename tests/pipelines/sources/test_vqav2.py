"""VQAv2: each question gets the answer of its own annotation, whatever the order of the files."""

from __future__ import annotations

import json
import random
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from pipelines.examples import TRUNCATED, Text
from pipelines.recipe import Recipe, SettingsError
from pipelines.records import Asked
from pipelines.sources import pieces, read_records
from tests.pipelines.sources.conftest import (
    MakeRecipe,
    Records,
    examples,
    left_out,
    read_all,
    rejects,
)

SHARED = Path(__file__).parents[3].parent / "shared/data/source/vqav2"


def question(number: int, text: str = "What is it?", image: int = 458752) -> dict[str, Any]:
    return {"image_id": image, "question": text, "question_id": number}


def annotation(number: int, answer: str = "net", image: int = 458752) -> dict[str, Any]:
    answers = [{"answer": answer, "answer_confidence": "yes", "answer_id": n} for n in range(1, 11)]
    return {
        "question_type": "what is",
        "multiple_choice_answer": answer,
        "answers": answers,
        "image_id": image,
        "answer_type": "other",
        "question_id": number,
    }


def write(folder: Path, questions: list[Any], annotations: list[Any]) -> None:
    """In the layout of the official files."""
    common = {"info": {"version": "2.0"}, "license": {"url": "x"}, "data_subtype": "train2014"}
    before = {"task_type": "Open-Ended", "data_type": "mscoco"}
    (folder / "q.json").write_text(json.dumps({**common, **before, "questions": questions}))
    (folder / "a.json").write_text(json.dumps({**common, "annotations": annotations}))


def recipe_of(make_recipe: MakeRecipe, **more: Any) -> Recipe:
    return make_recipe(
        **{"format": "vqav2", "questions": "q.json", "annotations": "a.json", "images": "images", **more}
    )


def read(folder: Path, make_recipe: MakeRecipe, questions: list[Any], annotations: list[Any]) -> Records:
    write(folder, questions, annotations)
    return read_all(recipe_of(make_recipe))


def test_a_question_and_its_answer(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (found,) = examples(read(tmp_path, make_recipe, [question(458752000)], [annotation(458752000)]))
    assert (found.source_id, found.image_id) == ("458752000", "458752")
    assert (found.prompt, found.target) == (Text("What is it?"), Text("net"))


def test_questions_with_an_answer_that_is_to_be_skipped_are_left_out(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    write(tmp_path, [question(1), question(2)], [annotation(2), annotation(1, "Unanswerable")])
    records = read_all(recipe_of(make_recipe, skip_answers=["unanswerable"]))
    assert [one.source_id for one in examples(records)] == ["2"]
    assert (left_out(records), rejects(records)) == (1, [])


def test_a_hash_sign_in_a_question_drops_nothing(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    texts = ["What is #5?", "# of dogs?", "Is this the #1 bus? #yes"]
    questions = [question(n, text) for n, text in enumerate(texts)]
    records = read(tmp_path, make_recipe, questions, [annotation(n, f"#{n}") for n in range(3)])
    found = [(one.prompt, one.target) for one in examples(records)]
    assert found == [(Text(text), Text(f"#{n}")) for n, text in enumerate(texts)]
    assert len(records) == 3


@pytest.mark.parametrize("tasks", [["vqa"], ["vqg"], ["vqa", "vqg"]])
@pytest.mark.parametrize("order", ["same", "reversed", "shuffled", "both shuffled"])
def test_every_answer_stays_with_its_question_and_picture(
    tmp_path: Path, make_recipe: MakeRecipe, tasks: list[str], order: str
) -> None:
    numbers = list(range(300))
    questions = [question(n, f"What is thing {n}?", image=1000 + n // 3) for n in numbers]
    annotations = [annotation(n, f"answer {n}", image=1000 + n // 3) for n in numbers]
    if order == "reversed":
        questions.reverse()
    if "shuffled" in order:
        random.Random(1).shuffle(questions)
    if order == "both shuffled":
        random.Random(2).shuffle(annotations)
    write(tmp_path, questions, annotations)
    found = read_all(recipe_of(make_recipe, tasks=tasks))
    assert len(examples(found)) == len(found) == 300 * len(tasks)
    for one in examples(found):
        number = int(one.source_id)
        assert one.prompt is not None
        texts = [one.prompt.text, one.target.text]
        wanted = [f"What is thing {number}?", f"answer {number}"]
        assert texts == (wanted if one.task == "vqa" else wanted[::-1])
        assert one.image_id == str(1000 + number // 3)
    assert len({one.id for one in examples(found)}) == len(found)


def test_files_of_the_same_order_give_that_order(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    numbers = [7, 3, 9, 1]
    records = read(
        tmp_path, make_recipe, [question(n) for n in numbers], [annotation(n) for n in numbers if n != 3]
    )
    assert [one.source_id for one in examples(records)] == ["7", "9", "1"]


def test_a_question_or_annotation_alone_is_a_reject(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    records = read(
        tmp_path,
        make_recipe,
        [question(n) for n in (1, 2, 3, 3)],
        [annotation(n) for n in (2, 3, 4)],
    )
    assert [one.source_id for one in examples(records)] == ["2", "3"]
    told = {(one.source_id, one.reason.split(": ", 2)[2]) for one in rejects(records)}
    assert told == {
        ("1", "no annotation in a.json has this `question_id`, or another question has it too"),
        ("3", "no annotation in a.json has this `question_id`, or another question has it too"),
        ("4", "no question in q.json has this `question_id`, or another annotation has it too"),
    }
    assert all(
        one.reason.startswith(("source: q.json byte ", "source: a.json byte ")) for one in rejects(records)
    )


def test_an_annotation_of_another_picture_is_a_reject(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (found,) = rejects(read(tmp_path, make_recipe, [question(1, image=5)], [annotation(1, image=6)]))
    assert "its `image_id` is 5, but that of its annotation (a.json byte " in found.reason
    assert found.reason.endswith("is 6")


def test_without_a_counted_answer_the_most_common_one_is_taken(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    one = annotation(1)
    del one["multiple_choice_answer"]
    for index, answer in enumerate(["a", "b", "b", "c"]):
        one["answers"][index]["answer"] = answer
    one["answers"] = one["answers"][:4]
    (found,) = examples(read(tmp_path, make_recipe, [question(1)], [one]))
    assert found.target == Text("b")


NAMES = [
    "COCO_train2014_000000458752.jpg",
    "train2014/COCO_train2014_000000458752.jpg",
    "val2014/COCO_val2014_000000458752.jpg",
    "000000458752.jpg",
    "train2017/000000458752.jpg",
]


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_found_by_their_numbers(tmp_path: Path, make_recipe: MakeRecipe, name: str) -> None:
    path = tmp_path / "images" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    (found,) = examples(read(tmp_path, make_recipe, [question(1)], [annotation(1)]))
    assert found.image == f"{tmp_path}/images/./{name}"
    assert found.image_id == "458752"


@pytest.mark.parametrize("name", NAMES)
def test_pictures_in_archives_are_found_by_their_numbers(
    tmp_path: Path, make_recipe: MakeRecipe, name: str
) -> None:
    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 1
        archive.addfile(member, BytesIO(b"x"))
    write(tmp_path, [question(1), question(2, image=3)], [annotation(1), annotation(2, image=3)])
    records = read_all(recipe_of(make_recipe, images="images.tar"))
    (found,), (missing,) = examples(records), rejects(records)
    assert found.image is not None
    assert found.image.startswith(f"{tmp_path}/images.tar#offset=")
    assert "image: missing: no member" in missing.reason


def test_pictures_of_both_parts_beside_each_other(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    for number, part in ((1, "train2014"), (2, "val2014"), (3, "train2014")):
        path = tmp_path / "images" / part / f"COCO_{part}_{number:012d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    found = examples(
        read(
            tmp_path,
            make_recipe,
            [question(n, image=n) for n in (1, 2, 3)],
            [annotation(n, image=n) for n in (1, 2, 3)],
        )
    )
    parts = [one.image.split("/./")[1].split("/")[0] for one in found if one.image]
    assert parts == ["train2014", "val2014", "train2014"]


def test_a_broken_off_file_says_so(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path, [question(1), question(2)], [annotation(1), annotation(2)])
    data = (tmp_path / "a.json").read_bytes()
    (tmp_path / "a.json").write_bytes(data[:-100])
    records = read_all(recipe_of(make_recipe))
    assert [one.source_id for one in examples(records)] == ["1"]
    broken, alone = rejects(records)
    assert broken.reason.startswith(f"{TRUNCATED}: a.json byte ")
    assert alone.source_id == "2"


def test_both_files_are_checked_before_anything_is_read(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path, [question(1)], [annotation(1)])
    with pytest.raises(SettingsError, match=r"q.json: no list `annotations`; there: info") as error:
        pieces(recipe_of(make_recipe, annotations="q.json"))
    assert "sources.0.annotations" in str(error.value)
    with pytest.raises(SettingsError, match="no list `questions`"):
        pieces(recipe_of(make_recipe, questions="a.json"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="real data excerpts are not there")
@pytest.mark.parametrize(("part", "number"), [("val2014", 100), ("train2014", 3)])
def test_real_excerpts(make_recipe: MakeRecipe, part: str, number: int) -> None:
    recipe = recipe_of(
        make_recipe,
        questions=str(SHARED / f"v2_OpenEnded_mscoco_{part}_questions.json"),
        annotations=str(SHARED / f"v2_mscoco_{part}_annotations.json"),
    )
    (piece,) = pieces(recipe)
    records = [one for one in read_records(recipe, piece) if isinstance(one, Asked)]
    assert len(records) == number
    first = records[0]
    wanted = {
        "val2014": ("Where is he looking?", "down"),
        "train2014": ("What is this photo taken looking through?", "net"),
    }
    assert (first.question, first.answer) == wanted[part]
