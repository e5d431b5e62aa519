"""What the pipeline judges and shows and what the trainer sees is decoded by the same functions."""

from __future__ import annotations

import io
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from tests.pictures import encoded
from translation.picture_decoding import (
    FORMATS,
    MAX_SCANS,
    Undecodable,
    eight_bits,
    opened,
    over_white,
    upright,
)


@pytest.mark.parametrize("threads", [1, 4])
def test_pillow_does_not_warn_and_no_filter_is_lost(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    data = encoded(Image.new("RGB", (4, 5), "red"), "PNG")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        Image.open(io.BytesIO(data)).close()
        assert [one.category for one in told] == [Image.DecompressionBombWarning]
        told.clear()
        others = list(warnings.filters)
        with ThreadPoolExecutor(threads) as pool:
            assert all(one.size == (4, 5) for one in pool.map(decode, [data] * 200))
        assert not told
        assert list(warnings.filters)[1:] == others


def decode(data: bytes, max_pixels: int = 10_000) -> Image.Image:
    with opened(data, max_pixels) as picture:
        picture.load()
        return picture.copy()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_within_the_limit_is_decoded(kind: str) -> None:
    assert decode(encoded(Image.new("RGB", (40, 30), "red"), kind), 1200).size == (40, 30)


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (b"<html>", "unknown format", "6 bytes starting 3c 68 74 6d 6c 3e; known: JPEG, PNG, WEBP, GIF, BMP"),
        (encoded(Image.new("RGB", (8, 8)), "TIFF"), "unknown format", "bytes starting 49 49"),
        (encoded(Image.new("RGB", (101, 100))), "too many pixels", "101 x 100 = 10,100, at most 10,000"),
        (encoded(Image.effect_noise((40, 30), 90))[:400], "broken", "OSError: "),
    ],
)
def test_what_cannot_be_decoded_has_a_reason(data: bytes, reason: str, detail: str) -> None:
    with pytest.raises(Undecodable) as caught:
        decode(data)
    assert caught.value.reason == reason
    assert detail in caught.value.detail


def test_a_jpeg_of_endless_scans_is_broken() -> None:
    data = encoded(Image.effect_noise((40, 30), 90).convert("RGB"), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    within, beyond = (data[:-2] + data[last:-2] * more + data[-2:] for more in (MAX_SCANS - 10, MAX_SCANS))
    assert decode(within).size == (40, 30)
    with pytest.raises(Undecodable) as caught:
        decode(beyond)
    assert caught.value.args == ("broken", "more than 100 scans")
    # What stands behind the picture, as a phone's film does, is none of its scans.
    assert decode(data + b"\xff\xda\x00\x02" * 2 * MAX_SCANS).size == (40, 30)


def test_sixteen_bits_become_the_upper_eight() -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(np.asarray(eight_bits(Image.fromarray(levels))), levels // 257)
    grey = Image.new("L", (2, 2), 200)
    assert eight_bits(grey) is grey


def test_a_picture_is_turned_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with opened(encoded(Image.new("RGB", (60, 40)), "JPEG", exif=exif), 10_000) as picture:
        assert upright(picture).size == (40, 60)


def test_what_is_transparent_is_white() -> None:
    assert over_white(Image.new("RGBA", (1, 1), (200, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255, 255)
    plain = Image.new("RGB", (1, 1), "red")
    assert over_white(plain) is plain
