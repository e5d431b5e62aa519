"""Pictures are found by name in folders, archives and Parquet files, and never outside of them."""

from __future__ import annotations

import tarfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.pictures import PictureStore
from evaluation.readers.records import DataError
from tests.evaluation.official import png, put_picture
from training.pictures import BadPicture

NAMES = ("val2014/a.jpg", "val2014/b.jpg", "val2014/Tükenmez/c.jpg")


def folder(root: Path) -> Path:
    for number, name in enumerate(NAMES):
        put_picture(root / "pictures" / name, number)
    return root / "pictures"


def zipped(root: Path) -> Path:
    with ZipFile(root / "a.zip", "w") as archive:
        archive.writestr("val2014/", "")
        for number, name in enumerate(NAMES):
            archive.writestr(name, png(number))
    return root / "a.zip"


def test_what_a_mac_puts_beside_pictures_is_none_of_them(tmp_path: Path) -> None:
    archive = zipped(tmp_path)
    with ZipFile(archive, "a") as opened:
        opened.writestr("__MACOSX/val2014/._a.jpg", b"attributes")
        opened.writestr("__MACOSX/val2014/a.jpg", b"attributes")
        opened.writestr("val2014/._a.jpg", b"attributes")
    place = folder(tmp_path)
    (place / "val2014/._a.jpg").write_bytes(b"attributes")
    for store in (PictureStore([archive]), PictureStore([place])):
        assert [name for name, _ in store.listed()] == sorted(NAMES)
    assert PictureStore([archive]).find(["._a.jpg"]) is None


def tarred(root: Path) -> Path:
    with tarfile.open(root / "a.tar", "w") as archive:
        archive.add(folder(root), ".")
    return root / "a.tar"


def parquet(root: Path) -> Path:
    images = [{"bytes": png(number), "path": name} for number, name in enumerate(NAMES)]
    pq.write_table(
        pa.table({"image": images, "image_id": ["one", "two", "three"]}), root / "a.parquet", row_group_size=2
    )
    return root / "a.parquet"


@pytest.mark.parametrize("place", [folder, zipped, tarred, parquet])
def test_pictures_are_found_by_name(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    store = PictureStore([place(tmp_path)])
    for number, name in enumerate(NAMES):
        found = store.find(["missing.jpg", name])
        assert found is not None
        assert found.read() == png(number)
    assert store.find(["val2014/d.jpg", "", "val2014"]) is None


@pytest.mark.parametrize("place", [folder, zipped, tarred, parquet])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_may_be_composed_or_not(tmp_path: Path, place: Callable[[Path], Path], form: str) -> None:
    found = PictureStore([place(tmp_path)]).find([unicodedata.normalize(form, NAMES[2])])
    assert found is not None
    assert found.read() == png(2)


@pytest.mark.parametrize("place", [zipped, tarred, parquet])
def test_the_topmost_folder_of_an_archive_may_be_left_out(
    tmp_path: Path, place: Callable[[Path], Path]
) -> None:
    found = PictureStore([place(tmp_path)]).find(["b.jpg"])
    assert found is not None
    assert found.read() == png(1)


def test_a_topmost_folder_that_tells_pictures_apart_is_not_left_out(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        for number, name in enumerate(("train/1.jpg", "val/1.jpg", "val/2.jpg")):
            archive.writestr(name, png(number))
    store = PictureStore([tmp_path / "a.zip"])
    assert store.find(["1.jpg"]) is None
    for name, number in (("val/1.jpg", 1), ("2.jpg", 2)):
        found = store.find([name])
        assert found is not None
        assert found.read() == png(number)


def test_parquet_has_pictures_by_id_too(tmp_path: Path) -> None:
    found = PictureStore([parquet(tmp_path)]).find(["three"])
    assert found is not None
    assert found.read() == png(2)


def test_parquet_may_hold_plain_bytes(tmp_path: Path) -> None:
    pq.write_table(pa.table({"key": ["k"], "image": [png(5)]}), tmp_path / "a.parquet")
    found = PictureStore([tmp_path / "a.parquet"]).find(["k"])
    assert found is not None
    assert found.read() == png(5)


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../secret.png", "a\0b"])
def test_names_never_lead_out_of_a_folder(tmp_path: Path, name: str) -> None:
    put_picture(tmp_path / "secret.png", 1)
    assert PictureStore([folder(tmp_path)]).find([name]) is None


def test_all_places_are_looked_at_in_order(tmp_path: Path) -> None:
    put_picture(tmp_path / "first/a.jpg", 1)
    put_picture(tmp_path / "second/a.jpg", 2)
    put_picture(tmp_path / "second/b.jpg", 3)
    store = PictureStore([tmp_path / "first", tmp_path / "second"])
    found = [store.find([name]) for name in ("a.jpg", "b.jpg")]
    assert [one.read() for one in found if one] == [png(1), png(3)]


def test_listed_pictures_are_in_order_and_nothing_else(tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / "README.txt").write_text("no picture")
    assert [name for name, _ in PictureStore([place]).listed()] == sorted(NAMES)


def test_a_picture_that_went_away_is_a_bad_one(tmp_path: Path) -> None:
    found = PictureStore([folder(tmp_path)]).find([NAMES[0]])
    assert found is not None
    (tmp_path / "pictures" / NAMES[0]).unlink()
    with pytest.raises(BadPicture, match="unreadable"):
        found.read()


def test_a_damaged_zip_member_is_a_bad_picture(tmp_path: Path) -> None:
    path = zipped(tmp_path)
    store = PictureStore([path])
    data = bytearray(path.read_bytes())
    place = data.index(png(1))
    data[place : place + 4] = b"XXXX"
    path.write_bytes(data)
    found = store.find([NAMES[1]])
    assert found is not None
    with pytest.raises(BadPicture, match="unreadable"):
        found.read()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.tgz", r"pictures must be in a folder, or a \.zip, \.tar or \.parquet file; unpack it"),
        ("a.txt", r"pictures must be in a folder, or a \.zip, \.tar or \.parquet file$"),
        ("a.zip", r"a\.zip: cannot be read \(File is not a zip file\)"),
        ("a.tar", r"a\.tar: cannot be read"),
        ("a.parquet", r"a\.parquet: cannot be read"),
    ],
)
def test_a_place_of_another_kind_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(b"no archive at all, but long enough to look like a file of some kind" * 20)
    with pytest.raises(DataError, match=message):
        PictureStore([tmp_path / name])


def test_parquet_without_pictures_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no column `image`; it has text"):
        PictureStore([tmp_path / "a.parquet"])
