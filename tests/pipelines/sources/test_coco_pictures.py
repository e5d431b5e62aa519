"""COCO's pictures are found by number; which names are used shows in the first records, not in each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.sources.coco_pictures import NAMES, CocoPictures, coco_number, number_of_name
from pipelines.sources.pictures import PictureStore
from pipelines.sources.values import BadRecord


def put(folder: Path, *names: str) -> PictureStore:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return PictureStore(str(folder))


def relative(pictures: CocoPictures, number: int) -> str:
    return pictures.picture(number).locator.split("/./")[1]


@pytest.mark.parametrize("name", NAMES)
def test_each_name_gives_the_same_id(tmp_path: Path, name: str) -> None:
    store = put(tmp_path, name.format(7))
    pictures = CocoPictures(store, [7])
    assert relative(pictures, 7) == name.format(7)
    assert pictures.picture(7).image_id == "7"


def test_one_name_that_fits_is_not_looked_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = put(tmp_path, *(f"train2017/{number:012d}.jpg" for number in range(50)))
    pictures = CocoPictures(store, [*range(40), 999])
    monkeypatch.setattr(os.path, "exists", pytest.fail)
    assert relative(pictures, 49) == "train2017/000000000049.jpg"
    assert relative(pictures, 1234) == "train2017/000000001234.jpg"


def test_of_two_names_that_fit_the_commoner_counts(tmp_path: Path) -> None:
    both = [f"train2014/COCO_train2014_{number:012d}.jpg" for number in range(5)]
    store = put(tmp_path, *both, *(f"train2017/{number:012d}.jpg" for number in range(9)))
    pictures = CocoPictures(store, range(9))
    assert relative(pictures, 3) == "train2017/000000000003.jpg"


def test_pictures_under_several_names_are_looked_up_one_by_one(tmp_path: Path) -> None:
    train, val = "train2014/COCO_train2014_{:012d}.jpg", "val2014/COCO_val2014_{:012d}.jpg"
    store = put(tmp_path, *map(train.format, [1, 2, 5]), *map(val.format, [3, 4, 6]))
    pictures = CocoPictures(store, [1, 2, 3])
    assert [relative(pictures, n) for n in (5, 6, 6, 4, 1)] == [
        one.format(n) for one, n in ((train, 5), (val, 6), (val, 6), (val, 4), (train, 1))
    ]


def test_without_any_picture_the_number_alone_is_named(tmp_path: Path) -> None:
    store = put(tmp_path)
    assert relative(CocoPictures(store, [1, None, "x", True, -1]), 1) == "000000000001.jpg"


@pytest.mark.parametrize("value", [True, "1", 1.0, None, -1, 10**12, [1]])
def test_what_is_no_number_of_a_picture(value: object) -> None:
    with pytest.raises(BadRecord, match="must be COCO's number of the picture"):
        coco_number(value, "`image_id`")


@pytest.mark.parametrize(
    ("name", "number"),
    [("000000391895.jpg", 391895), ("a/000000391895.jpg", None), ("391895.jpg", None), ("1.png", None)],
)
def test_names_that_are_numbers(name: str, number: int | None) -> None:
    assert number_of_name(name) == number
