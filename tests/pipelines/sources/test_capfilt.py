"""BLIP's web captions: pictures by path or by URL, and ids that stay when the file is cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.examples import Text
from pipelines.recipe import Recipe, SettingsError, load_recipe
from pipelines.sources import pieces
from tests.pipelines.sources.conftest import MakeRecipe, Records, examples, read_all, rejects

# The layout of ccs_synthetic_filtered_large.json.
RECORDS: list[dict[str, Any]] = [
    {
        "caption": "a wooden chair in the living room",
        "url": "http://static.example.org/wood/stoel-6.jpg?a=1&b=2",
        "image": "00012/000123456.jpg",
    },
    {"caption": "a surfer on a wave ", "url": "https://example.org/wave%20one.jpg", "image": "00012/7.jpg"},
]


def read(folder: Path, make_recipe: MakeRecipe, content: object) -> Records:
    (folder / "ccs.json").write_text(json.dumps(content))
    return read_all(make_recipe(format="capfilt", path="ccs.json", images="images"))


def recipe_with_urls(folder: Path, content: object) -> Recipe:
    (folder / "ccs.json").write_text(json.dumps(content))
    source = {"name": "s", "format": "capfilt", "path": "ccs.json"}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({"name": "r", "download": {"cache": "kept"}, "sources": [source]}))
    return load_recipe(path)


def test_pictures_by_path(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    chair, wave = examples(read(tmp_path, make_recipe, RECORDS))
    assert chair.image == f"{tmp_path}/images/./00012/000123456.jpg"
    assert (chair.image_id, chair.target) == (
        "00012/000123456",
        Text("a wooden chair in the living room"),
    )
    assert chair.source_id.startswith("00012/000123456-")
    assert wave.target == Text("a surfer on a wave")


def test_pictures_by_url(tmp_path: Path) -> None:
    records = [{key: one[key] for key in ("caption", "url")} for one in RECORDS]
    chair, wave = examples(read_all(recipe_with_urls(tmp_path, records)))
    assert chair.image is not None
    assert chair.image.startswith(f"{tmp_path}/kept#url=http%3A%2F%2Fstatic.example.org%2Fwood%2F")
    assert chair.image_id is not None
    assert len(chair.image_id) == 32
    assert chair.source_id.startswith(f"{chair.image_id}-")
    assert wave.image_id != chair.image_id


def test_an_unusable_url_is_a_reject(tmp_path: Path) -> None:
    records = [{**RECORDS[0], "url": url} for url in ("ftp://x.org/a.jpg", "a.jpg", 3, "http://[", "")]
    found = read_all(recipe_with_urls(tmp_path, [*records, RECORDS[1]]))
    assert len(examples(found)) == 1
    assert len(rejects(found)) == 5
    assert "image: 'ftp://x.org/a.jpg' is not of http or https" in rejects(found)[0].reason
    assert "`url` is a number, must be text" in rejects(found)[2].reason


def test_ids_are_those_of_the_record_wherever_it_stands(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    whole = examples(read(tmp_path, make_recipe, RECORDS))
    part = examples(read(tmp_path, make_recipe, [*reversed(RECORDS)]))
    assert [one.id for one in whole] == [one.id for one in reversed(part)]


def test_only_the_same_caption_of_the_same_picture_has_the_same_id(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    first = RECORDS[0]
    records = [first, {**first, "caption": "a chair"}, {**first, "image": "b.jpg"}, first]
    ids = [one.id for one in examples(read(tmp_path, make_recipe, records))]
    assert ids[0] == ids[3]
    assert len(set(ids)) == 3


def test_without_images_downloads_must_be_allowed(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "ccs.json").write_text(json.dumps(RECORDS))
    with pytest.raises(SettingsError, match="allow their download"):
        make_recipe(format="capfilt", path="ccs.json")


def test_with_images_a_record_needs_its_path(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    record = {"caption": "a chair", "url": "http://x.org/a.jpg"}
    (found,) = rejects(read(tmp_path, make_recipe, [RECORDS[0], record]))
    assert "no column 'image'; there: 'caption, url'" in found.reason


def test_blips_own_file_has_no_pictures_and_that_is_a_wrong_recipe(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    with pytest.raises(SettingsError, match=r"ccs.json have no `image` .*; take `images` out and allow the"):
        read(tmp_path, make_recipe, [{"caption": "a chair", "url": "http://x.org/a.jpg"}])


def test_several_captions_of_a_picture(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    record = {"image": "val2014/a.jpg", "caption": ["A dog.", "A big\ndog.", "A dog."]}
    found = examples(
        read(tmp_path, make_recipe, [record, {**record, "caption": []}, {**record, "caption": "..."}])
    )
    assert [one.target.text for one in found] == ["A dog.", "A big dog."]
    assert len({one.source_id for one in found}) == 2


def test_json_lines_are_another_format(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "ccs.json").write_text("\n".join(json.dumps(one) for one in RECORDS))
    recipe = make_recipe(format="capfilt", path="ccs.json", images="images")
    with pytest.raises(SettingsError, match="is a JSON object, or has one a line; must be one JSON list"):
        pieces(recipe)


def test_matching_takes_captions_of_other_pictures(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    captions = ["a red boat on a lake", "two horses eat grass", "a plate with yellow noodles"] * 4
    records = [{"caption": text, "image": f"{n}.jpg"} for n, text in enumerate(captions)]
    (tmp_path / "ccs.json").write_text(json.dumps(records))
    recipe = make_recipe(
        format="capfilt", path="ccs.json", images="images", tasks=["matching"], negatives=1.0
    )
    found = examples(read_all(recipe))
    assert len(found) == 12
    for one in found:
        assert one.prompt is not None
        assert one.image_id is not None
        assert (one.prompt.text == captions[int(one.image_id)]) == (one.target.text == "yes")
