"""COCO captions in both layouts; a file that breaks off gives everything before the break and one reject."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.examples import Example, Reject, Text
from pipelines.recipe import RecipeError
from pipelines.sources import coco, pieces
from tests.pipelines.sources.conftest import MakeRecipe, Records, examples, read_all, rejects

SHARED = Path(__file__).parents[3].parent / "shared/data/source"

# As in the official captions_val2014.json, cut to two images.
OFFICIAL: dict[str, Any] = {
    "info": {"description": "COCO 2014 Dataset", "version": "1.0", "year": 2014},
    "images": [
        {
            "license": 3,
            "file_name": "COCO_val2014_000000391895.jpg",
            "height": 360,
            "width": 640,
            "date_captured": "2013-11-14 11:18:45",
            "id": 391895,
        },
        {
            "license": 4,
            "file_name": "COCO_val2014_000000522418.jpg",
            "height": 480,
            "width": 640,
            "id": 522418,
        },
    ],
    "licenses": [{"url": "http://creativecommons.org/licenses/by/2.0/", "id": 4, "name": "Attribution"}],
    "annotations": [
        {"image_id": 522418, "id": 681330, "caption": "A woman cutting a large white sheet cake."},
        {
            "image_id": 391895,
            "id": 770337,
            "caption": "A man with a red helmet on a small moped on a dirt road. ",
        },
    ],
}

# As in Karpathy's dataset_coco.json, whose first record this is, cut to two captions.
KARPATHY: dict[str, Any] = {
    "images": [
        {
            "filepath": "val2014",
            "sentids": [770337, 771687],
            "filename": "COCO_val2014_000000391895.jpg",
            "imgid": 0,
            "split": "test",
            "sentences": [
                {"tokens": ["a", "man"], "raw": "A man with a red helmet. ", "imgid": 0, "sentid": 770337},
                {
                    "tokens": ["man", "riding"],
                    "raw": "Man riding a motor bike.",
                    "imgid": 0,
                    "sentid": 771687,
                },
            ],
            "cocoid": 391895,
        },
    ],
    "dataset": "coco",
}


def coco_of(make_recipe: MakeRecipe, tmp_path: Path, content: object, **more: Any) -> Records:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (tmp_path / "captions.json").write_bytes(data)
    return read_all(make_recipe(format="coco", annotations="captions.json", images="images", **more))


def karpathy_image(split: str, number: int) -> dict[str, Any]:
    sentence = {"raw": f"Caption {number}.", "sentid": number}
    return {"filename": f"{number}.jpg", "split": split, "sentences": [sentence]}


@pytest.mark.parametrize("order", [["images", "annotations"], ["annotations", "info", "images"]])
def test_official_layout_in_any_order(tmp_path: Path, make_recipe: MakeRecipe, order: list[str]) -> None:
    cake, moped = coco_of(make_recipe, tmp_path, {key: OFFICIAL[key] for key in order})
    assert cake == Example(
        "s",
        "681330",
        "caption",
        f"{tmp_path}/images/COCO_val2014_000000522418.jpg",
        "522418",
        None,
        Text("A woman cutting a large white sheet cake."),
    )
    assert examples([moped])[0].target == Text("A man with a red helmet on a small moped on a dirt road.")


def test_karpathy_layout(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    first, second = examples(coco_of(make_recipe, tmp_path, KARPATHY, splits=["test"]))
    assert (first.source_id, second.source_id) == ("770337", "771687")
    assert first.image == f"{tmp_path}/images/val2014/COCO_val2014_000000391895.jpg"
    assert first.image_id == "391895"
    assert first.target == Text("A man with a red helmet.")


def test_only_the_chosen_splits_are_read(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    content = {
        "images": [karpathy_image(split, n) for n, split in enumerate(["train", "val", "restval", "test"])]
    }
    records = coco_of(make_recipe, tmp_path, content, splits=["train", "restval"])
    assert [one.source_id for one in records] == ["0", "2"]


def test_splits_must_fit_the_layout(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    with pytest.raises(RecipeError, match=r"tell which to read: `splits: \[train, restval\]`"):
        coco_of(make_recipe, tmp_path, KARPATHY)
    with pytest.raises(RecipeError, match="official layout, which has no splits"):
        coco_of(make_recipe, tmp_path, OFFICIAL, splits=["train"])
    with pytest.raises(RecipeError, match=r"sources.0.splits.0 is \"trian\": must be one of"):
        coco_of(make_recipe, tmp_path, KARPATHY, splits=["trian"])


@pytest.mark.parametrize(
    ("annotation", "source_id", "words"),
    [
        ({"image_id": 1, "id": 5, "caption": "A."}, "5", "no image with the id 1 in the list `images`"),
        ({"image_id": [1], "id": 5, "caption": "A."}, "5", "no image with the id [1]"),
        ({"id": 5, "caption": "A."}, "5", "no `image_id`"),
        ({"image_id": 391895, "caption": "A."}, "captions@1", "no `id`"),
        ({"image_id": 391895, "id": 5}, "5", "no `caption`"),
        ({"image_id": 391895, "id": 5, "caption": 3}, "5", "caption is a number, must be text"),
        ({"image_id": 391895, "id": 5, "caption": "\n"}, "5", "caption is empty"),
        (
            {"image_id": 391895, "id": 5, "caption": "x" * 100_000},
            "5",
            "text of 100,000 characters, at most 20,000",
        ),
        (
            {"image_id": 391895, "id": 5.5, "caption": "A."},
            "captions@1",
            "an id must be text or a whole number",
        ),
        ("A.", "captions@1", "annotation is text, must be an object"),
        ({"image_id": 9, "id": 5, "caption": "A."}, "5", "image: '../x.jpg' leads out of the images folder"),
        ({"image_id": 8, "id": 5, "caption": "A."}, "5", "`file_name` of its image is null, must be text"),
    ],
)
def test_a_malformed_annotation_is_rejected_alone(
    tmp_path: Path, make_recipe: MakeRecipe, annotation: object, source_id: str, words: str
) -> None:
    good = OFFICIAL["annotations"]
    images = [*OFFICIAL["images"], {"id": 9, "file_name": "../x.jpg"}, {"id": 8}, 7]
    content = {"images": images, "annotations": [good[0], annotation, good[1]]}
    first, bad, last = coco_of(make_recipe, tmp_path, content)
    assert len(examples([first, last])) == 2
    (reject,) = rejects([bad])
    assert reject.reason.startswith("source: captions.json annotation 1: ")
    assert words in reject.reason
    assert reject.source_id == source_id
    assert 0 < len(reject.record) <= 2_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split": "dev"}, "split 'dev' is none of train, restval, val, test"),
        ({"sentences": []}, "no sentences"),
        ({"filename": None}, "no `filename`"),
        ({"filename": "/x.jpg"}, "image: '/x.jpg' is absolute"),
        ({"sentences": [{"raw": "", "sentid": 9}]}, "raw of sentence 0 is empty"),
        ({"sentences": ["A."]}, "sentence 0 is text, must be an object"),
    ],
)
def test_a_malformed_karpathy_image_is_rejected_alone(
    tmp_path: Path, make_recipe: MakeRecipe, change: dict[str, Any], words: str
) -> None:
    content = {
        "images": [
            karpathy_image("train", 0),
            {**karpathy_image("train", 1), **change},
            karpathy_image("train", 2),
        ]
    }
    first, bad, last = coco_of(make_recipe, tmp_path, content, splits=["train"])
    assert [one.source_id for one in examples([first, last])] == ["0", "2"]
    (reject,) = rejects([bad])
    assert reject.reason.startswith("source: captions.json image 1: ")
    assert words in reject.reason


@pytest.mark.parametrize("at", [20, 5_000])
@pytest.mark.parametrize(
    ("cut", "put", "words"),
    [
        ("", "", "parse error"),
        ("}", "", "parse error"),
        ('"caption"', "caption", "lexical error"),
        ("A", "\xff", "invalid bytes"),
    ],
    ids=["truncated", "brace", "quotes", "utf8"],
)
def test_after_a_syntax_error_what_came_before_is_kept(
    tmp_path: Path, make_recipe: MakeRecipe, at: int, cut: str, put: str, words: str
) -> None:
    annotations = [
        json.dumps({"image_id": 391895, "id": n, "caption": f"A dog number {n}."}) for n in range(10_000)
    ]
    head = '{"images": ' + json.dumps(OFFICIAL["images"]) + ', "annotations": ['
    if cut:
        good = annotations[at]
        annotations[at] = good.replace(cut, put)
        text = (head + ", ".join(annotations) + "]}").encode("latin-1")
        start = len(head) + sum(len(one) + 2 for one in annotations[:at])
        fault = range(start, start + len(good) + 3)
    else:
        text = (head + ", ".join(annotations[: at + 1]))[:-4].encode()
        fault = range(len(text), len(text) + 1)
    records = coco_of(make_recipe, tmp_path, text)
    assert [one.source_id for one in examples(records)] == [str(n) for n in range(at)]
    (reject,) = [one for one in records if isinstance(one, Reject)]
    assert records[-1] is reject
    position = int(reject.reason.split(" byte ")[1].split(":")[0])
    assert position in fault
    assert "nothing after this position could be read" in reject.reason
    assert words in reject.reason or "premature EOF" in reject.reason or not cut


def test_an_error_in_the_images_is_reported_once(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    text = json.dumps({"annotations": OFFICIAL["annotations"], "images": OFFICIAL["images"]})
    records = coco_of(make_recipe, tmp_path, text.replace('"license": 4', '"license": x').encode())
    assert [one.source_id for one in examples(records)] == ["770337"]
    missing, broken = rejects(records)
    assert "no image with the id 522418" in missing.reason
    assert "lexical error" in broken.reason


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"images": [], "annotations": {}}', b'"x"'])
def test_a_file_without_the_lists_is_a_reject(
    tmp_path: Path, make_recipe: MakeRecipe, content: bytes
) -> None:
    (reject,) = rejects(coco_of(make_recipe, tmp_path, content))
    assert reject.reason == "source: captions.json byte 0: no list `annotations`, or an empty one"


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"no json"])
def test_a_file_that_is_no_json_is_a_reject(tmp_path: Path, make_recipe: MakeRecipe, content: bytes) -> None:
    (reject,) = rejects(coco_of(make_recipe, tmp_path, content))
    assert reject.reason.startswith("truncated: captions.json byte ")
    assert "no JSON" in reject.reason


def test_a_byte_order_mark_is_no_fault(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    records = coco_of(make_recipe, tmp_path, b"\xef\xbb\xbf" + json.dumps(OFFICIAL).encode())
    assert len(examples(records)) == len(records) == 2


def test_items_across_chunks(
    tmp_path: Path, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coco, "_CHUNK", 7)
    assert len(examples(coco_of(make_recipe, tmp_path, OFFICIAL))) == 2


@pytest.mark.skipif(not SHARED.is_dir(), reason="real data excerpts are not there")
def test_real_excerpts(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    def read(path: str, **more: Any) -> Records:
        return read_all(make_recipe(format="coco", annotations=str(SHARED / path), images="images", **more))

    train = read("coco/annotations/captions_train2014.json")
    assert (len(examples(train)), len(rejects(train))) == (0, 100)
    val = read("coco/annotations/captions_val2014.json")
    assert (len(examples(val)), len(rejects(val))) == (4, 96)
    assert all("no image with the id" in one.reason for one in rejects(train + val))
    assert len(examples(read("coco/dataset_coco.json", splits=["test"]))) == 5
    flickr = read("flickr8k/dataset_flickr8k.json", splits=["train", "val", "test"])
    assert len(examples(flickr)) == len(flickr) == 500
    assert len(read("flickr8k/dataset_flickr8k.json", splits=["train"])) == 400


def test_one_piece_per_file(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    coco_of(make_recipe, tmp_path, OFFICIAL)
    (piece,) = pieces(make_recipe(format="coco", annotations="captions.json", images="images"))
    assert (piece.start, piece.end) == (0, (tmp_path / "captions.json").stat().st_size)
