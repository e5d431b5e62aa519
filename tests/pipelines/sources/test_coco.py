"""COCO captions in both layouts: a record per picture; malformed records are rejected alone."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.examples import TRUNCATED, Example, Reject, Text
from pipelines.recipe import Recipe, SettingsError
from pipelines.records import Captioned
from pipelines.sources import json_lists, pieces, read_records
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


def recipe_of(make_recipe: MakeRecipe, tmp_path: Path, content: object, **more: Any) -> Recipe:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (tmp_path / "captions.json").write_bytes(data)
    return make_recipe(format="coco", annotations="captions.json", images="images", **more)


def coco_of(make_recipe: MakeRecipe, tmp_path: Path, content: object, **more: Any) -> Records:
    return read_all(recipe_of(make_recipe, tmp_path, content, **more))


def position_of(one: Reject) -> int:
    return int(one.reason.split(" byte ")[1].split(":")[0])


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
        f"{tmp_path}/images/./COCO_val2014_000000522418.jpg",
        "522418",
        None,
        Text("A woman cutting a large white sheet cake."),
    )
    assert examples([moped])[0].target == Text("A man with a red helmet on a small moped on a dirt road.")


def test_karpathy_layout(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    first, second = examples(coco_of(make_recipe, tmp_path, KARPATHY, splits=["test"]))
    assert (first.source_id, second.source_id) == ("770337", "771687")
    assert first.image == f"{tmp_path}/images/./val2014/COCO_val2014_000000391895.jpg"
    assert first.image_id == "391895"
    assert first.target == Text("A man with a red helmet.")


def test_only_the_chosen_splits_are_read(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    content = {
        "images": [karpathy_image(split, n) for n, split in enumerate(["train", "val", "restval", "test"])]
    }
    records = coco_of(make_recipe, tmp_path, content, splits=["train", "restval"])
    assert [one.source_id for one in records] == ["0", "2"]


def test_two_pictures_of_one_id_are_told(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    same = {"id": 391895, "file_name": OFFICIAL["images"][0]["file_name"]}
    other = {"id": 391895, "file_name": "other.jpg"}
    records = coco_of(make_recipe, tmp_path, OFFICIAL | {"images": [*OFFICIAL["images"], same, other]})
    (reject,) = rejects(records)
    assert "a second picture with the id 391895, 'other.jpg'" in reject.reason


def test_splits_must_fit_the_layout(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    with pytest.raises(SettingsError, match=r"tell which to read: `splits: \[train, restval\]`"):
        coco_of(make_recipe, tmp_path, KARPATHY)
    with pytest.raises(SettingsError, match="official layout, which has no splits"):
        coco_of(make_recipe, tmp_path, OFFICIAL, splits=["train"])
    with pytest.raises(SettingsError, match=r"sources.0.splits.0 is \"trian\": did you mean `train`"):
        coco_of(make_recipe, tmp_path, KARPATHY, splits=["trian"])


@pytest.mark.parametrize(
    ("annotation", "source_id", "words"),
    [
        ({"image_id": 1, "id": 5, "caption": "A."}, "5", "no image with the id '1' in the list `images`"),
        ({"image_id": [1], "id": 5, "caption": "A."}, "5", "no image with the id '[1]'"),
        ({"image_id": True, "id": 5, "caption": "A."}, "5", "no image with the id 'true'"),
        ({"id": 5, "caption": "A."}, "5", "no column 'image_id'; there: 'id, caption'"),
        ({"image_id": 391895, "caption": "A."}, "captions@{}", "no column 'id'"),
        ({"image_id": 391895, "id": 5}, "5", "no column 'caption'"),
        ({"image_id": 391895, "id": 5, "caption": 3}, "5", "caption is a number, must be text"),
        ({"image_id": 391895, "id": 5, "caption": "\n"}, "5", "caption is empty"),
        (
            {"image_id": 391895, "id": 5, "caption": "x" * 100_000},
            "5",
            "text of 100,000 characters, at most 20,000",
        ),
        (
            {"image_id": 391895, "id": 5.5, "caption": "A."},
            "captions@{}",
            "an id must be text or a whole number",
        ),
        ("A.", "captions@{}", "is text, must be an object"),
        ({"image_id": 9, "id": 5, "caption": "A."}, "5", "image: '../x.jpg' leads out of the images folder"),
        ({"image_id": 8, "id": 5, "caption": "A."}, "5", "`file_name` of its image is null, must be text"),
    ],
)
def test_a_malformed_annotation_is_rejected_alone(
    tmp_path: Path, make_recipe: MakeRecipe, annotation: object, source_id: str, words: str
) -> None:
    good = OFFICIAL["annotations"]
    images = [*OFFICIAL["images"], {"id": 9, "file_name": "../x.jpg"}, {"id": 8}, {"id": 1.5}, 7]
    content = {"images": images, "annotations": [good[0], annotation, good[1]]}
    records = coco_of(make_recipe, tmp_path, content)
    assert [one.source_id for one in examples(records)] == ["681330", "770337"]
    no_id, no_object, bad = rejects(records)
    assert "image with the id '1.5', must be a whole number" in no_id.reason
    assert "is a number, must be an object" in no_object.reason
    position = json.dumps(content).encode().index(json.dumps(annotation).encode())
    assert bad.reason.startswith(f"source: captions.json byte {position}: ")
    assert words in bad.reason
    assert bad.source_id == source_id.format(position)
    assert 0 < len(bad.record) <= 2_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split": "dev"}, "split 'dev' is none of train, restval, val, test"),
        ({"sentences": []}, "no sentences"),
        ({"filename": None}, "column 'filename' is null"),
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
    position = json.dumps(content).encode().index(json.dumps(content["images"][1]).encode())
    assert reject.reason.startswith(f"source: captions.json byte {position}: ")
    assert words in reject.reason


@pytest.mark.parametrize("at", [20, 9_000])
@pytest.mark.parametrize(
    ("cut", "put"),
    [("}", ""), ('"caption"', "caption"), ("A dog", "A \xff dog"), ("dog number", 'dog" number')],
    ids=["brace", "quotes", "utf8", "string"],
)
def test_a_syntax_error_costs_one_annotation(
    tmp_path: Path, make_recipe: MakeRecipe, at: int, cut: str, put: str
) -> None:
    annotations = [
        json.dumps({"image_id": 391895, "id": n, "caption": f"A dog number {n}."}) for n in range(10_000)
    ]
    annotations[at] = annotations[at].replace(cut, put)
    head = '{"images": ' + json.dumps(OFFICIAL["images"]) + ', "annotations": ['
    records = coco_of(make_recipe, tmp_path, (head + ", ".join(annotations) + "]}").encode("latin-1"))
    assert [one.source_id for one in examples(records)] == [str(n) for n in range(10_000) if n != at]
    (reject,) = rejects(records)
    assert position_of(reject) == len(head) + sum(len(one) + 2 for one in annotations[:at])
    assert "no JSON" in reject.reason or "no UTF-8" in reject.reason


def test_of_a_file_that_breaks_off_everything_before_is_kept(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    annotations = [{"image_id": 391895, "id": n, "caption": f"A dog number {n}."} for n in range(10_000)]
    text = json.dumps({"images": OFFICIAL["images"], "annotations": annotations})[:-10]
    records = coco_of(make_recipe, tmp_path, text.encode())
    assert [one.source_id for one in examples(records)] == [str(n) for n in range(9_999)]
    (reject,) = rejects(records)
    start = text.rindex("{")
    assert reject.reason.startswith(f"{TRUNCATED}: captions.json byte {start}: ")
    assert "nothing after this position could be read" in reject.reason


def test_an_error_in_the_images_is_reported_once(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    text = json.dumps({"annotations": OFFICIAL["annotations"], "images": OFFICIAL["images"]})
    records = coco_of(make_recipe, tmp_path, text.replace('"license": 4', '"license": x').encode())
    assert [one.source_id for one in examples(records)] == ["770337"]
    broken, missing = rejects(records)
    assert "no image with the id '522418'" in missing.reason
    assert "no JSON" in broken.reason


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{}", "no list `images`; there: nothing"),
        (b'{"images": []}', "no list `annotations`; there: images"),
        (b"[]", "is a JSON list; must be one JSON object"),
        (b'"x"', "is no JSON: starts with '\"x\"'"),
        (b"", "the file is empty"),
        (b"\x00\x01", "is no JSON"),
        (b"no json", "is no JSON"),
        (b'{"images": 3, "annotations": []}', "`images` at byte 11 is neither a list nor an object"),
        (b"PK\x03\x04 ", "is compressed; unpack it first"),
    ],
)
def test_another_file_is_an_error(
    tmp_path: Path, make_recipe: MakeRecipe, content: bytes, words: str
) -> None:
    with pytest.raises(SettingsError) as error:
        coco_of(make_recipe, tmp_path, content)
    assert "sources.0.annotations" in str(error.value)
    assert words in str(error.value)


@pytest.mark.parametrize("name", ["annotations", "images"])
def test_an_empty_list_is_a_reject(tmp_path: Path, make_recipe: MakeRecipe, name: str) -> None:
    records = coco_of(make_recipe, tmp_path, {**OFFICIAL, name: []})
    assert not examples(records)
    assert rejects(records)[0].reason == f"source: captions.json byte 0: the list `{name}` is empty"


def test_a_byte_order_mark_is_no_fault(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    records = coco_of(make_recipe, tmp_path, b"\xef\xbb\xbf" + json.dumps(OFFICIAL).encode())
    assert len(examples(records)) == len(records) == 2


def test_items_across_chunks(
    tmp_path: Path, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lists.items, "__kwdefaults__", {"block": 7})
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


def captioned(recipe: Recipe) -> list[Captioned]:
    (piece,) = pieces(recipe)
    return [one for one in read_records(recipe, piece) if isinstance(one, Captioned)]


def test_all_captions_of_a_picture_are_one_record_wherever_they_stand(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    annotations = [
        {"image_id": image, "id": n, "caption": f"Caption {n}."}
        for n, image in enumerate([522418, 391895, 391895, 522418, 391895])
    ]
    recipe = recipe_of(make_recipe, tmp_path, {**OFFICIAL, "annotations": annotations})
    cake, moped = captioned(recipe)
    assert [one.picture.image_id for one in (cake, moped)] == ["522418", "391895"]
    assert [[source_id for source_id, _ in one.captions] for one in (cake, moped)] == [
        ["0", "3"],
        ["1", "2", "4"],
    ]
    data = (tmp_path / "captions.json").read_bytes()
    assert cake.place.position == data.index(b'{"image_id": 522418')


def test_karpathys_captions_of_a_picture_are_one_record(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    bad = {**KARPATHY["images"][0], "sentences": [*KARPATHY["images"][0]["sentences"], {"raw": "A."}]}
    recipe = recipe_of(make_recipe, tmp_path, {**KARPATHY, "images": [bad]}, splits=["test"])
    (found,) = captioned(recipe)
    assert [source_id for source_id, _ in found.captions] == ["770337", "771687"]


def test_captions_of_a_picture_are_never_its_negatives(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    first, second = OFFICIAL["images"]
    texts = {first["id"]: "A dog on green grass {}.", second["id"]: "Two women eat white cake {}."}
    annotations = [
        {"image_id": image, "id": 2 * n + side, "caption": texts[image].format(word)}
        for n, word in enumerate(["quietly", "slowly", "outside", "together", "again"] * 8)
        for side, image in enumerate(texts)
    ]
    content = {**OFFICIAL, "annotations": annotations}
    found = examples(coco_of(make_recipe, tmp_path, content, tasks=["matching"], negatives=1.0))
    assert len(found) == 80
    assert {one.target.text for one in found} >= {"no"}
    for one in found:
        own = "dog" if one.image_id == str(first["id"]) else "cake"
        assert one.prompt is not None
        assert (own in one.prompt.text) == (one.target.text == "yes")


def test_pictures_in_an_archive(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    with zipfile.ZipFile(tmp_path / "val2014.zip", "w") as archive:
        archive.writestr("val2014/COCO_val2014_000000391895.jpg", b"x")
    (tmp_path / "captions.json").write_text(json.dumps(OFFICIAL))
    records = read_all(make_recipe(format="coco", annotations="captions.json", images="val2014.zip"))
    (found,), (missing,) = examples(records), rejects(records)
    assert (found.source_id, found.image_id) == ("770337", "391895")
    assert missing.source_id == "681330"
    assert "image: missing: no member 'COCO_val2014_000000522418.jpg' in val2014.zip" in missing.reason


_IDS = st.one_of(st.integers(0, 4), st.sampled_from(["0", "x", "", 2**63, -1, 1.0, True, None, [1], "é"]))
_NAMES = st.sampled_from(
    ["a.jpg", "b.jpg", "000000391895.jpg", "COCO_val2014_000000000002.jpg", "../c.jpg", 7]
)
_IMAGES = st.lists(st.fixed_dictionaries({"id": _IDS, "file_name": _NAMES}), max_size=6)
_SAID = st.lists(
    st.fixed_dictionaries(
        {"id": _IDS, "image_id": _IDS, "caption": st.sampled_from(["A dog.", " Two  cats ", "é", "", 3])}
    ),
    max_size=12,
)


@given(images=_IMAGES, annotations=_SAID)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_lost_whatever_the_lists_hold(
    tmp_path: Path, make_recipe: MakeRecipe, images: list[Any], annotations: list[Any]
) -> None:
    good = {"id": 99, "image_id": 99, "caption": "A bird."}
    content = {
        "images": [{"id": 99, "file_name": "z.jpg"}, *images],
        "annotations": [good, *annotations],
    }
    recipe = recipe_of(make_recipe, tmp_path, content)
    read_all(recipe)
    found = [one for piece in pieces(recipe) for one in read_records(recipe, piece)]
    said = [caption for one in found if isinstance(one, Captioned) for caption in one.captions]
    told = [one for one in found if isinstance(one, Reject)]
    known = {}
    refused = 0
    for image in images:
        whole = type(image["id"]) in (int, str)
        refused += not whole or known.setdefault(image["id"], image["file_name"]) != image["file_name"]
    assert len(said) + len(told) == 1 + len(annotations) + refused
    firsts = [one.place.position for one in found if isinstance(one, Captioned)]
    assert firsts == sorted(firsts)
