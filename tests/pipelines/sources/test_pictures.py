"""Pictures are found by the paths that sources write, in folders and in archives alike."""

from __future__ import annotations

import io
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.images import BadImage, image_bytes
from pipelines.sources.pictures import PictureStore, UnusableImages, picture_files, picture_store, url_picture

COCO = "COCO_train2014_000000391895.jpg"


def in_folder(path: Path, files: dict[str, bytes]) -> str:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return str(path)


def in_zip(path: Path, files: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path := path.with_suffix(".zip"), "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return str(path)


def in_tar(path: Path, files: dict[str, bytes]) -> str:
    with tarfile.open(path := path.with_suffix(".tar"), "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return str(path)


Pack = Callable[[Path, dict[str, bytes]], str]
every_kind = pytest.mark.parametrize("pack", [in_folder, in_zip, in_tar])
archives = pytest.mark.parametrize("pack", [in_zip, in_tar])


@every_kind
def test_pictures_have_the_same_ids_and_bytes_wherever_they_are(tmp_path: Path, pack: Pack) -> None:
    files = {f"train2014/{COCO}": b"coco", "animals/dog.png": b"dog", "a#1 ü.png": b"odd"}
    store = PictureStore(pack(tmp_path / "images", files))
    for written, image_id, data in (
        (f"train2014/{COCO}", "391895", b"coco"),
        (f"./train2014//x/../{COCO}", "391895", b"coco"),
        ("animals/dog.png", "animals/dog", b"dog"),
        ("a#1 ü.png", "a#1 ü", b"odd"),
        (unicodedata.normalize("NFD", "a#1 ü.png"), "a#1 ü", b"odd"),
    ):
        picture = store.picture(written)
        assert picture.image_id == image_id
        assert image_bytes(picture.locator) == data


@every_kind
def test_paths_that_lead_out_are_refused(tmp_path: Path, pack: Pack) -> None:
    store = PictureStore(pack(tmp_path / "images", {"a.png": b"a"}))
    for written, words in (
        ("../a.png", "leads out"),
        ("/etc/passwd", "is absolute"),
        ("", "empty path"),
        ("http://a.example/a.png", "is a URL"),
        ("a\0.png", "NUL"),
    ):
        with pytest.raises(BadImage, match=words):
            store.picture(written)


@archives
def test_a_missing_member_is_named_without_a_folder_of_this_machine(tmp_path: Path, pack: Pack) -> None:
    store = PictureStore(pack(tmp_path / "images", {"a.png": b"a", "folder/b.png": b"b"}))
    for written in ("gone.png", "folder", "b.png"):
        with pytest.raises(BadImage, match=rf"missing: no member '{written}' in images\.(zip|tar)") as caught:
            store.picture(written)
        assert str(tmp_path) not in str(caught.value)


@archives
def test_the_single_top_folder_of_an_archive_may_be_left_out(tmp_path: Path, pack: Pack) -> None:
    path = pack(tmp_path / "images", {f"train2014/{COCO}": b"coco", "train2014/train2014/b.png": b"b"})
    store = PictureStore(path)
    assert image_bytes(store.picture(COCO).locator) == b"coco"
    assert store.picture(COCO) == store.picture(f"train2014/{COCO}")
    assert image_bytes(store.picture("train2014/b.png").locator) == b"b"
    with pytest.raises(BadImage, match="missing"):
        store.picture("b.png")


def test_what_a_mac_adds_to_a_zip_is_no_second_top_folder(tmp_path: Path) -> None:
    path = in_zip(tmp_path / "i", {"top/a.png": b"a", "__MACOSX/top/._a.png": b"notes"})
    assert image_bytes(PictureStore(path).picture("a.png").locator) == b"a"


def test_separators_of_windows_in_a_zip_are_understood(tmp_path: Path) -> None:
    path = in_zip(tmp_path / "i", {"top/a.png": b"a", "top/b.png": b"b"})
    Path(path).write_bytes(Path(path).read_bytes().replace(b"top/", b"top\\"))
    assert image_bytes(PictureStore(path).picture("top/b.png").locator) == b"b"


def test_a_pattern_names_many_archives_of_both_kinds(tmp_path: Path) -> None:
    in_tar(tmp_path / "train-000", {"train2014/1.png": b"one", "train2014/both.png": b"x"})
    in_tar(tmp_path / "train-001", {"2.png": b"two", "train2014/both.png": b"y"})
    in_zip(tmp_path / "train-002", {"val2014/3.png": b"three", "val2014/1.png": b"other one"})
    store = PictureStore(str(tmp_path / "train-*"))
    for written, data in (("train2014/1.png", b"one"), ("2.png", b"two"), ("3.png", b"three")):
        assert image_bytes(store.picture(written).locator) == data
    with pytest.raises(BadImage, match=r"'train2014/both\.png' is in more than one of the archives"):
        store.picture("train2014/both.png")
    with pytest.raises(BadImage, match=r"'1\.png' is in 2 of the archives; write it with its top folder"):
        store.picture("1.png")
    with pytest.raises(BadImage, match=r"in train-000\.tar, train-001\.tar, train-002\.zip"):
        store.picture("gone.png")


def test_a_folder_whose_name_looks_like_a_pattern_is_a_folder(tmp_path: Path) -> None:
    path = in_folder(tmp_path / "train-[0]*", {"a.png": b"a"})
    assert image_bytes(PictureStore(path).picture("a.png").locator) == b"a"


def test_a_pattern_in_such_a_folder_names_archives(tmp_path: Path) -> None:
    (tmp_path / "train-[0]*").mkdir()
    in_tar(tmp_path / "train-[0]*" / "a", {"a.png": b"a"})
    store = PictureStore(str(tmp_path / "train-[0]*" / "*.tar"))
    assert image_bytes(store.picture("a.png").locator) == b"a"


def test_links_in_a_tar_lead_to_its_members_alone(tmp_path: Path) -> None:
    path = in_tar(tmp_path / "i", {"./a/one.png": b"one"})
    with tarfile.open(path, "a") as tar:
        for name, kind, target in (
            ("a/hard.png", tarfile.LNKTYPE, "./a/one.png"),
            ("b/soft.png", tarfile.SYMTYPE, "../a/one.png"),
            ("b/out.png", tarfile.SYMTYPE, "/etc/passwd"),
            ("b/round.png", tarfile.SYMTYPE, "round.png"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    store = PictureStore(path)
    assert image_bytes(store.picture("a/hard.png").locator) == b"one"
    assert image_bytes(store.picture("b/soft.png").locator) == b"one"
    for name in ("b/out.png", "b/round.png"):
        with pytest.raises(BadImage, match="is a link to no file of the tar"):
            store.picture(name)


def test_a_later_member_of_a_tar_replaces_the_earlier_one(tmp_path: Path) -> None:
    path = in_tar(tmp_path / "i", {"a.png": b"old", "./a.png": b"newer"})
    assert image_bytes(PictureStore(path).picture("a.png").locator) == b"newer"
    path = str(tmp_path / "linked.tar")
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("a.png")
        link.type, link.linkname = tarfile.SYMTYPE, "gone.png"
        tar.addfile(link)
        info = tarfile.TarInfo("a.png")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"plain"))
    assert image_bytes(PictureStore(path).picture("a.png").locator) == b"plain"


def test_names_that_lead_out_of_an_archive_are_never_found(tmp_path: Path) -> None:
    for pack in (in_zip, in_tar):
        store = PictureStore(pack(tmp_path / "i", {"../evil.png": b"e", "/abs.png": b"e", "a.png": b"a"}))
        assert image_bytes(store.picture("a.png").locator) == b"a"
        for name in ("evil.png", "abs.png"):
            with pytest.raises(BadImage, match="missing"):
                store.picture(name)


def test_images_that_cannot_be_used_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    for name, words in (
        ("gone", "no folder or file .*gone; name a folder"),
        ("gone-*.tar", r"no folder or file .*gone-\*\.tar"),
        ("a.tar.gz", r"a\.tar\.gz is no \.zip or uncompressed \.tar"),
        ("a.*", r"is no \.zip or uncompressed \.tar"),
    ):
        with pytest.raises(UnusableImages, match=words):
            picture_files(str(tmp_path / name))
    (tmp_path / "zipped.tar").write_bytes(b"\x1f\x8b" + bytes(600))
    (tmp_path / "damaged.zip").write_bytes(b"PK\x03\x04")
    for name, words in (("zipped.tar", "compressed with gzip"), ("damaged.zip", "is no zip")):
        store = PictureStore(str(tmp_path / name))
        with pytest.raises(UnusableImages, match=words):
            store.picture("a.png")


def test_a_store_is_made_once_per_process(tmp_path: Path) -> None:
    path = in_zip(tmp_path / "i", {"a.png": b"a"})
    assert picture_store(path) is picture_store(path)


def test_pictures_at_urls_have_ids_of_their_own(tmp_path: Path) -> None:
    one, two = (url_picture(str(tmp_path), f"https://a.example/b.jpg?{number}#part") for number in (1, 2))
    assert len(one.image_id) == 32
    assert one.image_id != two.image_id
    assert one == url_picture(str(tmp_path), " https://a.example/b.jpg?1 ")
    for url in (
        "ftp://a.example/b",
        "file:///etc/passwd",
        "https:///b",
        "http://u:p@a.example/",
        "http://[a/",
        "b.jpg",
    ):
        with pytest.raises(BadImage):
            url_picture(str(tmp_path), url)
