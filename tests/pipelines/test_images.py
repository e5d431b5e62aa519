"""Pictures are found by locators, have ids that agree between sources, and bad ones are named as such."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.images import (
    MAX_BYTES,
    BadImage,
    Cell,
    check_image,
    content_id,
    file_locator,
    folder_locator,
    image_bytes,
    image_id,
    relative_image_path,
    tar_locator,
    url_locator,
    zip_locator,
)
from tests.pictures import encoded
from translation.picture_decoding import FORMATS


def noisy(file_format: str = "PNG", size: tuple[int, int] = (40, 30)) -> bytes:
    """A picture of noise, so that no format stores it in a few bytes."""
    noise = bytes((17 * index * index + index // 7) % 256 for index in range(size[0] * size[1] * 3))
    return encoded(Image.frombytes("RGB", size, noise), file_format)


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + b"\0\0\0\x09IDAT"
    )


@pytest.mark.parametrize("file_format", FORMATS)
def test_accepts_whole_pictures_and_rejects_halves(file_format: str) -> None:
    data = noisy(file_format)
    check_image(data, max_pixels=1200)
    for share in (0.95, 0.5, 0.1):
        with pytest.raises(BadImage, match=r"broken or truncated|unknown format"):
            check_image(data[: int(len(data) * share)], max_pixels=1200)


def test_accepts_animations_colour_models_depths_and_orientations() -> None:
    noise = Image.open(io.BytesIO(noisy()))
    frames = [noise.rotate(angle) for angle in (90, 180)]
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    pictures = {
        "animated GIF": encoded(noise, "GIF", save_all=True, append_images=frames),
        "animated WEBP": encoded(noise, "WEBP", save_all=True, append_images=frames),
        "animated PNG": encoded(noise, "PNG", save_all=True, append_images=frames),
        "several pictures in one JPEG": encoded(noise, "MPO", save_all=True, append_images=frames),
        "CMYK": encoded(noise.convert("CMYK"), "JPEG"),
        "16-bit grey": encoded(Image.new("I;16", (40, 30), 40_000), "PNG"),
        "1 bit": encoded(noise.convert("1"), "PNG"),
        "palette with a transparent colour": encoded(noise.convert("P"), "PNG", transparency=3),
        "grey with transparency": encoded(noise.convert("LA"), "PNG"),
        "progressive": encoded(noise, "JPEG", progressive=True),
        "turned by its Exif": encoded(noise, "JPEG", exif=exif),
        "lossless WEBP": encoded(noise.convert("RGBA"), "WEBP", lossless=True),
    }
    for data in pictures.values():
        check_image(data, max_pixels=1200)
        with pytest.raises(BadImage):  # Not even the first of several pictures is whole then.
            check_image(data[: len(data) // 10], max_pixels=1200)


def test_refuses_other_formats() -> None:
    for data in (noisy("TIFF"), noisy("PPM"), b"<svg/>", b"not a picture", b"%PDF-1.7"):
        with pytest.raises(BadImage, match=r"unknown format: .* known: JPEG, PNG"):
            check_image(data, max_pixels=10_000)


def test_counts_pixels_before_decoding() -> None:
    with pytest.raises(BadImage, match=r"too many pixels: 40 x 30 = 1,200, at most 1,199"):
        check_image(noisy(), max_pixels=1199)
    # Nothing but the header exists, so decoding would fail in another way.
    with pytest.raises(BadImage, match="too many pixels: 9000 x 9000 = 81,000,000"):
        check_image(png_header(9000, 9000), max_pixels=40_000_000)
    with pytest.raises(BadImage, match="too many pixels"):
        check_image(png_header(2**31 - 1, 2**31 - 1), max_pixels=40_000_000)


def test_damage_inside_a_png_is_found() -> None:
    data = bytearray(noisy())
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(BadImage, match="broken or truncated"):
        check_image(bytes(data), max_pixels=1200)


def test_reads_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"data")
    (tmp_path / "empty.png").touch()
    assert image_bytes(str(tmp_path / "a.png")) == b"data"
    (tmp_path / "#1.png").write_bytes(b"hash")
    assert image_bytes(str(tmp_path / "#1.png")) == b"hash"
    for name, words in (
        ("b.png", "missing: no file 'b.png'"),
        ("a.png/c.png", "missing: no file 'c.png'"),
        (".", "no plain file"),
        ("empty.png", "empty: 0 bytes"),
        ("x" * 300, "too long for a file name"),
    ):
        with pytest.raises(BadImage, match=words) as caught:
            image_bytes(str(tmp_path / name))
        assert str(tmp_path) not in str(caught.value)


def test_links_must_not_lead_out_of_the_images_folder(tmp_path: Path) -> None:
    images, outside = tmp_path / "images", tmp_path / "outside"
    (images / "real").mkdir(parents=True)
    outside.mkdir()
    (images / "real" / "a.png").write_bytes(b"inside")
    (outside / "b.png").write_bytes(b"outside")
    (tmp_path / "images-too").mkdir()
    (tmp_path / "images-too" / "b.png").write_bytes(b"outside")
    (images / "near").symlink_to("real")
    (images / "a.png").symlink_to(images / "real" / "a.png")
    (images / "far").symlink_to(outside)
    (images / "b.png").symlink_to("../outside/b.png")
    (images / "c.png").symlink_to("../images-too/b.png")
    (images / "round.png").symlink_to("round.png")
    (tmp_path / "linked").symlink_to(images)
    for folder in (images, tmp_path / "linked"):
        for name in ("real/a.png", "near/a.png", "a.png"):
            assert image_bytes(folder_locator(str(folder), name)) == b"inside"
        for name in ("far/b.png", "b.png", "c.png"):
            with pytest.raises(
                BadImage, match=r"png' is a link, .* leads out of the images folder"
            ) as caught:
                image_bytes(folder_locator(str(folder), name))
            assert str(tmp_path) not in str(caught.value)
        with pytest.raises(BadImage, match=r"'round\.png' is a link that leads in a circle"):
            image_bytes(folder_locator(str(folder), "round.png"))
        with pytest.raises(BadImage, match=r"missing: no file 'gone\.png'"):
            image_bytes(folder_locator(str(folder), "gone.png"))
    # A path without an images folder is opened as it is.
    assert image_bytes(str(images / "b.png")) == b"outside"


Form = Literal["NFC", "NFD"]


@pytest.mark.parametrize(("form", "other"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_are_found_composed_or_apart(tmp_path: Path, form: Form, other: Form) -> None:
    name = unicodedata.normalize(form, "Çeşme é.png")
    (tmp_path / name).write_bytes(b"data")
    assert image_bytes(folder_locator(str(tmp_path), unicodedata.normalize(other, name))) == b"data"
    assert image_id(name) == unicodedata.normalize("NFC", "Çeşme é")


ODD_NAMES = [
    "a#file",
    "a#file#file",
    "a.parquet#column=image&row=3",
    "a.tar#offset=512&size=4",
    "a.zip#member=b",
    "cache#url=http%3A%2F%2Fexample.org",
    "#url=a",
    "a#url=b#c",
    "a b%20c&d=e.jpg",
    "a\n#member=b",
    "x#member=b\n",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_that_read_like_locators_are_files_all_the_same(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"file")
    assert image_bytes(file_locator(str(tmp_path / name))) == b"file"
    assert image_bytes(folder_locator(str(tmp_path), name)) == b"file"
    # And as folders and archives.
    (tmp_path / "inside" / name).mkdir(parents=True)
    (tmp_path / "inside" / name / "a.png").write_bytes(b"deeper")
    assert image_bytes(folder_locator(str(tmp_path / "inside" / name), "a.png")) == b"deeper"
    with zipfile.ZipFile(tmp_path / "inside" / name / "a.zip", "w") as archive:
        archive.writestr(name.strip(), b"member")
    assert image_bytes(zip_locator(str(tmp_path / "inside" / name / "a.zip"), name.strip())) == b"member"
    os.rename(tmp_path / "inside" / name / "a.zip", tmp_path / name)
    assert image_bytes(zip_locator(str(tmp_path / name), name.strip())) == b"member"
    with tarfile.open(tmp_path / name, "w") as tar:
        info = tarfile.TarInfo("a")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"four"))
    assert image_bytes(tar_locator(str(tmp_path / name), 512, 4)) == b"four"


def test_faults_of_archives_are_faults_of_the_picture(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("empty.png", b"")
    (tmp_path / "b.zip").write_bytes(b"no zip")
    for locator, words in (
        (zip_locator(str(tmp_path / "a.zip"), "empty.png"), "empty: 0 bytes"),
        (zip_locator(str(tmp_path / "a.zip"), "gone.png"), r"missing: no member 'gone\.png' of a\.zip"),
        (zip_locator(str(tmp_path / "b.zip"), "a.png"), r"b\.zip is no zip"),
        (zip_locator(str(tmp_path / "c.zip"), "a.png"), r"missing: no file c\.zip"),
        (tar_locator(str(tmp_path / "a.zip"), 512, 5), r"a\.zip has no member of 5 bytes at byte 512"),
        (tar_locator(str(tmp_path / "c.tar"), 512, 5), r"missing: no file c\.tar"),
        (tar_locator(str(tmp_path / "a.zip"), 512, MAX_BYTES + 1), "too large: 47,185,921 bytes"),
        (url_locator(str(tmp_path), "http://a.example/b"), "downloading was not asked for"),
    ):
        with pytest.raises(BadImage, match=words) as caught:
            image_bytes(locator)
        assert str(tmp_path) not in str(caught.value)


def test_refuses_huge_files_without_reading_them(tmp_path: Path) -> None:
    with open(tmp_path / "huge.png", "wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(BadImage, match="too large: 47,185,921 bytes"):
        image_bytes(str(tmp_path / "huge.png"))


@pytest.mark.parametrize("kind", ["binary", "large_binary", "struct"])
def test_reads_cells_of_parquet(tmp_path: Path, kind: str) -> None:
    values = [f"picture {row}".encode() for row in range(10)]
    cells: list[object] = (
        [{"bytes": value, "path": None} for value in values] if kind == "struct" else list(values)
    )
    cells[4] = None
    types = {
        "binary": pa.binary(),
        "large_binary": pa.large_binary(),
        "struct": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    }
    table = pa.table({"a & b": pa.array(cells, types[kind]), "n": list(range(10))})
    path = str(tmp_path / "p#1.parquet")
    pq.write_table(table, path, row_group_size=3)
    for row in (9, 0, 5, 3, 2):
        assert image_bytes(Cell(path, "a & b", row).locator) == values[row]
    with pytest.raises(BadImage, match=r"p#1.parquet row 4 holds no picture"):
        image_bytes(Cell(path, "a & b", 4).locator)
    with pytest.raises(BadImage, match="has 10 rows, no row 10"):
        image_bytes(Cell(path, "a & b", 10).locator)
    with pytest.raises(BadImage, match="holds no bytes"):
        image_bytes(Cell(path, "n", 0).locator)
    with pytest.raises(BadImage, match=r"missing: no file gone\.parquet"):
        image_bytes(Cell(str(tmp_path / "gone.parquet"), "n", 0).locator)


def test_a_rewritten_parquet_file_is_read_anew(tmp_path: Path) -> None:
    path = str(tmp_path / "p.parquet")
    for content in (b"old", b"newer"):
        pq.write_table(pa.table({"image": [content]}), path)
        assert image_bytes(Cell(path, "image", 0).locator) == content


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("../../etc/passwd", "leads out"),
        ("a/../../b.png", "leads out"),
        ("/etc/passwd", "is absolute"),
        ("https://example.org/a.png", "is a URL"),
        ("", "empty path"),
        (" ", "empty path"),
        (".", "names no file"),
        ("a/..", "names no file"),
        ("a\0.png", "NUL"),
    ],
)
def test_paths_stay_inside_the_images_folder(written: str, words: str) -> None:
    with pytest.raises(BadImage, match=words):
        relative_image_path(written)


def test_paths_are_normalised() -> None:
    assert relative_image_path("./a//x/../b.png") == "a/b.png"


def test_ids_agree_between_sources() -> None:
    for name in (
        "COCO_train2014_000000391895.jpg",
        "train2014/COCO_train2014_000000391895.jpg",
        "000000391895.jpg",
        "val2017/000000391895.jpg",
    ):
        assert image_id(name) == "391895"
    assert image_id("animals/dog.png") == "animals/dog"
    assert image_id("v1.5/dog.big.png") == "v1.5/dog.big"
    assert image_id("391895.jpg") == "391895"
    assert content_id(b"a") == content_id(b"a") != content_id(b"b")
