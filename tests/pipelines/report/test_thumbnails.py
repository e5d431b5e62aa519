"""Small pictures: of every kind that a mix holds, within their size, without what the original tells."""

from __future__ import annotations

import io
from base64 import b64decode
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.images import BadImage
from pipelines.manifest import read_manifest
from pipelines.report.gallery import Gallery
from pipelines.report.thumbnails import thumbnail
from tests.pictures import encoded
from tests.pipelines.report.small_mix import picture, row, write_mix
from translation.picture_decoding import FORMATS

PIXELS = 40_000_000


def shown(data: bytes, allowance: int = 12_000) -> Image.Image:
    url = thumbnail(data, PIXELS, allowance)
    assert url is not None
    head, _, encoded = url.partition(",")
    assert head == "data:image/webp;base64"
    assert len(b64decode(encoded)) <= allowance
    opened = Image.open(io.BytesIO(b64decode(encoded)))
    opened.load()
    return opened


def noise(size: tuple[int, int], kind: str = "JPEG") -> bytes:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return encoded(Image.fromarray(values), kind)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format(kind: str) -> None:
    assert shown(picture("red", (400, 300), kind)).size == (176, 132)


def test_small_pictures_are_not_enlarged() -> None:
    assert shown(picture("red", (20, 10))).size == (20, 10)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode(mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (30, 20)).save(file, "JPEG" if mode == "CMYK" else "PNG")
    assert shown(file.getvalue()).size == (30, 20)


def test_sixteen_bits_keep_their_greys() -> None:
    file = io.BytesIO()
    Image.new("I;16", (30, 20), 128 * 257).save(file, "PNG")
    grey = shown(file.getvalue()).convert("L").getpixel((15, 10))
    assert isinstance(grey, int)
    assert abs(grey - 128) <= 2


def test_transparency_stays() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (30, 20), (0, 0, 0, 0)).save(file, "PNG")
    assert shown(file.getvalue()).getpixel((5, 5))[3] == 0  # type: ignore[index]


def test_it_is_turned_as_the_original_says_and_says_nothing_of_it() -> None:
    whole = Image.new("RGB", (40, 20))
    exif = whole.getexif()
    exif[0x0112] = 6
    exif[0x010F] = "Camera of somebody"
    file = io.BytesIO()
    whole.save(file, "JPEG", exif=exif)
    small = shown(file.getvalue())
    assert small.size == (20, 40)
    assert not small.getexif()
    assert "exif" not in small.info


def test_a_broken_tag_of_the_exif_does_not_keep_others_from_turning_it() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a boat"
    file = io.BytesIO()
    # A width that is text.
    broken = exif.tobytes().replace(b"\x01\x0e", b"\x01\x00")
    Image.new("RGB", (40, 20)).save(file, "JPEG", exif=broken)
    assert shown(file.getvalue()).size == (20, 40)


def test_it_gets_smaller_until_it_fits() -> None:
    large, small = shown(noise((600, 400)), 20_000), shown(noise((600, 400)), 1_500)
    assert small.size[0] < large.size[0]
    assert thumbnail(noise((600, 400)), PIXELS, 50) is None


def test_bad_and_huge_pictures_are_refused() -> None:
    with pytest.raises(BadImage, match="unknown format"):
        thumbnail(b"<svg/>", PIXELS, 12_000)
    with pytest.raises(BadImage, match="too many pixels"):
        thumbnail(picture("red", (200, 100)), 19_999, 12_000)
    with pytest.raises(BadImage, match="broken or truncated"):
        thumbnail(noise((200, 100))[:2000], PIXELS, 12_000)


def test_a_gallery_shares_its_bytes_and_counts_what_did_not_fit(tmp_path: Path) -> None:
    manifest = read_manifest(str(write_mix(tmp_path / "mix", [row("deu_Latn", 0)])))
    crowded = Gallery(str(tmp_path), manifest, PIXELS, pictures=1_000_000)
    assert crowded.show({"bytes": noise((300, 200)), "path": "a.jpg"}) == (
        None,
        "picture left out for the size of the report",
    )
    assert crowded.left_out == 1
    url, why = Gallery(str(tmp_path), manifest, PIXELS, 1).show({"bytes": noise((300, 200)), "path": "a.jpg"})
    assert url
    assert not why


def test_a_mix_that_embeds_its_pictures_reads_none_from_elsewhere(tmp_path: Path) -> None:
    manifest = read_manifest(str(write_mix(tmp_path / "mix", [row("deu_Latn", 0)])))
    (tmp_path / "private.png").write_bytes(picture())
    found = Gallery(str(tmp_path), manifest, PIXELS, 1).show(
        {"bytes": None, "path": str(tmp_path / "private.png")}
    )
    assert found == (None, "picture not in the mix: private.png")


def test_a_source_that_is_another_file_by_now_costs_its_pictures_alone(tmp_path: Path) -> None:
    manifest = read_manifest(str(write_mix(tmp_path / "mix", [row("deu_Latn", 0)], images="reference")))
    gallery = Gallery(str(tmp_path), manifest, PIXELS, 1)
    for name, content in (("text", b"no Parquet file"), ("other", None)):
        path = tmp_path / f"{name}.parquet"
        if content is None:
            pq.write_table(pa.table({"other": [b"column"]}), path)
        else:
            path.write_bytes(content)
        url, why = gallery.show({"bytes": None, "path": f"{path}#column=image&row=0"})
        assert url is None
        assert why.startswith("picture not found: ")


def test_nothing_is_downloaded(tmp_path: Path) -> None:
    manifest = read_manifest(str(write_mix(tmp_path / "mix", [row("deu_Latn", 0)], images="reference")))
    path = f"{tmp_path}#url=http%3A%2F%2F127.0.0.1%3A9%2Fa.png"
    assert Gallery(str(tmp_path), manifest, PIXELS, 1).show({"bytes": None, "path": path}) == (
        None,
        "picture not in the mix: a.png",
    )
