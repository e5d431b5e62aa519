"""The recipes that ship: each is valid, and reads its sources where they stand in their official layouts."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from pipelines.examples import Example
from pipelines.planning import plan_mix
from pipelines.recipe import SettingsError, checked_recipe, load_recipe, sample_recipe
from pipelines.sources import pieces as pieces_of
from pipelines.sources import read_piece
from translation.settings_file import read_settings_file

RECIPES = Path(__file__).parents[2] / "recipes"
NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))
NUMBER = 20


def put(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def put_lines(path: Path, records: Sequence[object]) -> None:
    put(path, "".join(json.dumps(record) + "\n" for record in records))


def pictures(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), (number, 7 * number % 256, 9)).save(buffer, "PNG")
        put(folder / name, buffer.getvalue())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small copies of what the recipes for fine-tuning, and Centurio's, read."""
    root = tmp_path_factory.mktemp("data")
    numbers = range(NUMBER)
    put(
        root / "gqa/train_balanced_questions.json",
        json.dumps(
            {
                f"q{n}": {
                    "semantic": [{"operation": "select", "dependencies": [], "argument": "dog (1)"}],
                    "question": f"Is there a dog, number {n}?",
                    "imageId": str(n),
                    "answer": "yes",
                    "fullAnswer": "Yes, there is a dog.",
                    "isBalanced": True,
                }
                for n in numbers
            }
        ),
    )
    pictures(root / "gqa/images", *(f"{n}.jpg" for n in numbers))
    put_lines(
        root / "snli_ve/snli_ve_train.jsonl",
        [
            {
                "Flickr30K_ID": str(n),
                "gold_label": ("entailment", "neutral", "contradiction")[n % 3],
                "sentence1": "A dog runs.",
                "sentence2": f"Animal {n} moves.",
                "pairID": f"{n}.jpg#0r1e",
                "captionID": f"{n}.jpg#0",
            }
            for n in numbers
        ],
    )
    pictures(root / "flickr30k/flickr30k-images", *(f"{n}.jpg" for n in numbers))
    put_lines(
        root / "nlvr2/train.json",
        [
            {
                "identifier": f"train-{n}-0-0",
                "sentence": f"Both pictures show {n} dogs.",
                "label": ("True", "False")[n % 2],
                "directory": str(n % 3),
                "synset": "dog",
                "left_url": "http://a/b.jpg",
                "right_url": "http://a/c.jpg",
            }
            for n in numbers
        ],
    )
    for n in numbers:
        pictures(root / f"nlvr2/images/train/{n % 3}", f"train-{n}-0-img0.png", f"train-{n}-0-img1.png")
    captions = ["A dog runs.", "An animal on the grass.", "A brown dog.", "It is a dog.", "A dog outside."]
    for folder, key in (("flickr30k", "flickr30k-images"), ("coco", "train2014")):
        images = [
            {
                "sentids": [5 * n + i for i in range(5)],
                "imgid": n,
                "sentences": [
                    {"tokens": text.split(), "raw": f"{text} {n}", "imgid": n, "sentid": 5 * n + i}
                    for i, text in enumerate(captions)
                ],
                "split": "train" if n % 4 else "val",
                "filename": f"{n}.jpg" if folder == "flickr30k" else f"COCO_train2014_{n:012d}.jpg",
            }
            | ({} if folder == "flickr30k" else {"filepath": key, "cocoid": n})
            for n in numbers
        ]
        place = "flickr30k/" if folder == "flickr30k" else "coco/annotations/"
        name = f"dataset_{folder}.json"
        put(root / place / name, json.dumps({"images": images, "dataset": folder}))
    pictures(root / "coco/train2014", *(f"COCO_train2014_{n:012d}.jpg" for n in numbers))
    pictures(root / "coco/train2017", *(f"{n:012d}.jpg" for n in numbers))
    talks: list[dict[str, object]] = [
        {
            "id": f"{n:012d}",
            "image": f"coco/train2017/{n:012d}.jpg",
            "conversations": [
                {"from": "human", "value": f"<image>\nWhat is it, {n}?"},
                {"from": "gpt", "value": "A dog."},
            ],
        }
        for n in numbers
    ]
    text_only = {
        "id": "wgByO4Y_0",
        "model": "",
        "conversations": [{"from": "human", "value": "Tell a joke."}, {"from": "gpt", "value": "No."}],
    }
    put(root / "llava/llava_v1_5_mix665k.json", json.dumps([*talks, text_only]))
    questions = [{"image_id": n, "question": f"What is no. {n}?", "question_id": 1000 * n} for n in numbers]
    answers = [
        {
            "question_id": 1000 * n,
            "image_id": n,
            "multiple_choice_answer": "dog",
            "answers": [{"answer": "dog", "answer_confidence": "yes", "answer_id": 1}],
            "question_type": "what is",
            "answer_type": "other",
        }
        for n in numbers
    ]
    common = {"info": {}, "license": {}, "data_subtype": "train2014", "data_type": "mscoco"}
    name = "v2_OpenEnded_mscoco_train2014_questions.json"
    put(root / "vqav2" / name, json.dumps(common | {"task_type": "Open-Ended", "questions": questions}))
    name = "v2_mscoco_train2014_annotations.json"
    put(root / "vqav2" / name, json.dumps(common | {"annotations": answers}))
    put(root / "text/de.txt", "".join(f"Ein Satz {n}. Noch ein Satz.\n" for n in numbers))
    put(root / "text/sw.txt", "".join(f"Sentensi {n}. Nyingine tena.\n" for n in numbers))
    return root


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_valid_and_says_what_its_data_may_be_used_for(name: str) -> None:
    recipe = checked_recipe(read_settings_file(RECIPES / f"{name}.yaml"))
    assert recipe.name == name
    assert all(source.licence for source in recipe.sources)


def test_the_recipes_that_the_documentation_names_are_there() -> None:
    tuning = ["gqa", "xvnli", "marvl", "flickr30k"]
    assert sorted(["sample", "miniature", "mblip-v2", "mblip-v2-paper", "centurio-like", *tuning]) == NAMES
    assert sample_recipe().is_file()


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("gqa", {"vqa": NUMBER}),
        ("xvnli", {"entailment": NUMBER}),
        ("marvl", {"statement": NUMBER}),
        ("flickr30k", {"caption": 75}),
        (
            "centurio-like",
            {"instruct": NUMBER + 1, "caption": 75, "vqa": 2 * NUMBER, "vqg": NUMBER, "text": 2 * NUMBER},
        ),
    ],
)
def test_it_reads_its_sources_in_their_official_layouts(name: str, rows: dict[str, int], root: Path) -> None:
    recipe = load_recipe(RECIPES / f"{name}.yaml", [f"root={root}"])
    found = [one for piece in pieces_of(recipe) for one in read_piece(recipe, piece)]
    assert [one for one in found if not isinstance(one, Example)] == []
    counted = dict.fromkeys(rows, 0)
    for one in found:
        counted[one.task] += 1
    assert counted == rows
    for one in found:
        for locator in filter(None, (one.image, getattr(one, "second_image", None))):
            assert Path(locator).is_file(), locator


def test_a_root_that_is_missing_is_said_with_the_way_to_name_one() -> None:
    with pytest.raises(SettingsError, match=r"root is \"data/\": no folder .*--set root=FOLDER"):
        load_recipe(RECIPES / "mblip-v2.yaml")


def test_a_root_that_is_typed_starts_at_the_working_directory(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    typed = load_recipe(RECIPES / "gqa.yaml", [f"root={root.name}"])
    assert typed.source_path("a") == str(root / "a")
    assert typed.digest == load_recipe(RECIPES / "gqa.yaml", [f"root={root}"]).digest


def test_text_stays_in_its_language_and_answers_of_gqa_in_english(root: Path) -> None:
    plan = plan_mix(load_recipe(RECIPES / "centurio-like.yaml", [f"root={root}"]))
    texts = next(source for source in plan.sources if source.name == "wikipedia")
    assert texts.rows == {"deu_Latn": NUMBER, "swh_Latn": NUMBER}
    assert sum(texts.texts.values()) == 0
    recipe = load_recipe(RECIPES / "gqa.yaml", [f"root={root}"])
    (piece,) = pieces_of(recipe)
    for example in read_piece(recipe, piece):
        assert isinstance(example, Example)
        assert not example.target.translate
        assert example.prompt is not None
        assert example.prompt.translate


@pytest.mark.parametrize("name", ["gqa", "gqa.yaml"])
def test_a_recipe_that_ships_is_found_by_its_name_with_the_data_here(
    name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").symlink_to(root)
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(name)
    assert recipe.name == "gqa"
    assert recipe.root == "data/"
    assert Path(recipe.path("data")) == tmp_path / "data"
    assert sum(plan_mix(recipe).rows.values())


def test_names_that_nothing_has_are_told_with_those_that_ship(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"no such file, and unknown recipe .*`mblip-v2`\? Valid: .*gqa"):
        load_recipe("mblip-v3")
    (tmp_path / "gqa").write_text("name: mine\n")
    with pytest.raises(SettingsError, match=r"^gqa:"):
        load_recipe("gqa")
