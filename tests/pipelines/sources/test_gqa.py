"""GQA: an object of questions by id, with a short or a full answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.examples import Text
from pipelines.recipe import SettingsError
from tests.pipelines.sources.conftest import MakeRecipe, Records, examples, read_all, rejects

SHARED = Path(__file__).parents[3].parent / "shared/data/source/gqa"

# As the first record of testdev_balanced_questions.json, shortened.
QUESTION: dict[str, Any] = {
    "semantic": [
        {"operation": "select", "dependencies": [], "argument": "snowboard (1)"},
        {"operation": "exist", "dependencies": [0], "argument": "?"},
    ],
    "entailed": [],
    "equivalent": ["201307270"],
    "question": "Is there either a fence or a snowboard in the photograph?",
    "imageId": "n161313",
    "isBalanced": True,
    "groups": {"global": None, "local": "09existOr-fence_snowboard"},
    "answer": "yes",
    "semanticStr": "select: snowboard (1)->exist: ? [0]",
    "annotations": {"answer": {}, "question": {"7": "1"}, "fullAnswer": {"4": "1"}},
    "types": {"detailed": "existOr", "semantic": "obj", "structural": "logical"},
    "fullAnswer": "Yes, there is a snowboard.",
}


def read(folder: Path, make_recipe: MakeRecipe, content: object, **more: Any) -> Records:
    (folder / "g.json").write_text(json.dumps(content))
    return read_all(make_recipe(**{"format": "gqa", "path": "g.json", "images": "images", **more}))


@pytest.mark.parametrize(("answer", "text"), [("short", "yes"), ("full", "Yes, there is a snowboard.")])
def test_short_and_full_answers(tmp_path: Path, make_recipe: MakeRecipe, answer: str, text: str) -> None:
    (found,) = examples(read(tmp_path, make_recipe, {"201307270": QUESTION}, answer=answer))
    assert (found.source_id, found.image_id) == ("201307270", "gqa-n161313")
    assert found.image == f"{tmp_path}/images/./n161313.jpg"
    assert (found.prompt, found.target) == (Text(QUESTION["question"]), Text(text))


def test_several_files(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    for number in range(3):
        (tmp_path / f"g{number}.json").write_text(json.dumps({f"{number}": QUESTION}))
    found = read_all(make_recipe(format="gqa", path="g*.json", images="images"))
    assert [one.source_id for one in examples(found)] == ["0", "1", "2"]


def test_a_key_may_be_of_any_shape(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    found = read(tmp_path, make_recipe, {"é 1#2": QUESTION, "": QUESTION, "\n": QUESTION, "3": QUESTION})
    assert [one.source_id for one in examples(found)] == ["é 1#2", "3"]
    assert all("an id has 1 to 200 printable characters" in one.reason for one in rejects(found))
    assert all(one.source_id.startswith("g@") for one in rejects(found))


def test_a_list_of_questions_is_another_layout(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    with pytest.raises(SettingsError, match=r"g.json is a JSON list; must be one JSON object"):
        read(tmp_path, make_recipe, [{"img_id": "n1", "label": {"yes": 1}, "sent": "Is it?"}])


@pytest.mark.skipif(not SHARED.is_dir(), reason="real data excerpts are not there")
def test_real_excerpts(make_recipe: MakeRecipe) -> None:
    path = str(SHARED / "testdev_balanced_questions.json")
    records = read_all(make_recipe(format="gqa", path=path, images="images", tasks=["vqa", "vqg"]))
    assert len(examples(records)) == len(records) == 400
