from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.pictures import encoded
from training.pictures import (
    BLIP2_MEAN,
    BLIP2_STD,
    BadPicture,
    PictureSettings,
    decode,
    fitted,
    normalised,
    pixels_of,
    resize,
)

SETTINGS = PictureSettings()


def gradient(width: int = 60, height: int = 40) -> Image.Image:
    across = np.linspace(0, 255, width).astype(np.uint8)[None].repeat(height, 0)
    down = np.linspace(0, 255, height).astype(np.uint8)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([across, down, 255 - across], axis=2))


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("make", [gradient, noise])
@pytest.mark.parametrize("size", [(640, 480), (31, 700), (1, 1), (1200, 9), (224, 100), (100, 80)])
def test_resize_is_pillows_bicubic_within_two_levels(
    make: Callable[[int, int], Image.Image], size: tuple[int, int]
) -> None:
    picture = make(*size)
    ours = resize(torch.from_numpy(np.array(picture)), 224, 224).numpy().astype(int)
    theirs = np.asarray(picture.resize((224, 224), Image.Resampling.BICUBIC)).astype(int)
    difference = np.abs(ours - theirs)
    assert difference.max() <= 2
    assert difference.mean() < 0.05


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_formats_of_a_mix_are_decoded(kind: str) -> None:
    pixels = decode(encoded(gradient(), kind), SETTINGS)
    assert pixels.shape == (40, 60, 3)
    assert pixels.dtype == torch.uint8
    assert np.abs(pixels.numpy().astype(int) - np.asarray(gradient()).astype(int)).mean() < 20


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_modes_become_rgb(mode: str) -> None:
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    picture = gradient().convert(mode)
    pixels = decode(encoded(picture, kind), SETTINGS)
    wanted = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(pixels.numpy().astype(int) - wanted).mean() < 6


def test_sixteen_bit_grey_keeps_its_shades() -> None:
    shades = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(8, 0)
    pixels = decode(encoded(Image.fromarray(shades)), SETTINGS)
    assert pixels[0, :, 0].tolist() == list(range(256))
    assert (pixels[..., 0] == pixels[..., 2]).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode: str) -> None:
    picture = Image.new("RGBA", (4, 2), (200, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (0, 0, 2, 2))
    pixels = decode(encoded(picture.convert(mode) if mode != "P" else picture.quantize(4)), SETTINGS)
    assert pixels[0].tolist() == [[0, 0, 0]] * 2 + [[255, 255, 255]] * 2


def test_a_single_transparent_colour_is_white() -> None:
    picture = Image.new("RGB", (2, 1), (10, 20, 30))
    picture.putpixel((1, 0), (1, 2, 3))
    pixels = decode(encoded(picture, transparency=(1, 2, 3)), SETTINGS)
    assert pixels[0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert decode(data, SETTINGS)[0, 0].tolist()[0] > 240, kind


def test_exif_turns_a_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = decode(encoded(gradient(), "JPEG", exif=exif), SETTINGS)
    assert upright.shape == (60, 40, 3)


def test_a_broken_tag_of_the_exif_does_not_keep_others_from_turning_a_picture() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a boat"
    # A width that is text.
    broken = exif.tobytes().replace(b"\x01\x0e", b"\x01\x00")
    assert decode(encoded(gradient(), "JPEG", exif=broken), SETTINGS).shape == (60, 40, 3)


def test_broken_exif_turns_nothing() -> None:
    data = encoded(gradient(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert decode(data, SETTINGS).shape == (40, 60, 3)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims to be huge."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "unknown format"),
        (b"<html>not found</html>", "unknown format"),
        (encoded(gradient(), "TIFF"), "unknown format"),
        (encoded(gradient(), "JPEG")[:400], "broken"),
        (encoded(noise(60, 40))[:2000], "broken"),
        (bomb(8000, 8000), "too many pixels"),
        (bomb(60000, 60000), "too many pixels"),
        (bomb(100, 100), "broken"),
    ],
)
def test_what_cannot_be_decoded_has_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(BadPicture) as raised:
        pixels_of(data, SETTINGS)
    assert raised.value.reason == reason
    assert raised.value.detail


def test_limits_are_settings() -> None:
    data = encoded(gradient())
    with pytest.raises(BadPicture) as pixels:
        decode(data, PictureSettings(max_pixels=2399))
    assert (pixels.value.reason, pixels.value.detail) == ("too many pixels", "60 x 40 = 2,400, at most 2,399")
    with pytest.raises(BadPicture) as size:
        decode(data, PictureSettings(max_bytes=100))
    assert size.value.reason == "too large"
    assert decode(data, PictureSettings(max_pixels=2400)).shape == (40, 60, 3)


def test_squash_changes_proportions_and_pad_keeps_them() -> None:
    pixels = torch.full((50, 100, 3), 200, dtype=torch.uint8)
    squashed = fitted(pixels, PictureSettings(height=20, width=30))
    assert squashed.shape == (20, 30, 3)
    assert (squashed == 200).all()
    padded = fitted(pixels, PictureSettings(height=40, width=40, fit="pad", margin=(1, 2, 3)))
    assert padded.shape == (40, 40, 3)
    assert (padded[10:30] == 200).all()
    assert padded[:10].reshape(-1, 3).unique(dim=0).tolist() == [[1, 2, 3]]
    assert padded[30:].reshape(-1, 3).unique(dim=0).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("size", [(1, 1000), (1000, 1), (3, 7), (40, 40)])
def test_padded_pictures_always_fit(size: tuple[int, int]) -> None:
    pixels = torch.zeros((*size, 3), dtype=torch.uint8)
    assert fitted(pixels, PictureSettings(height=40, width=40, fit="pad")).shape == (40, 40, 3)


def test_pictures_are_never_mirrored() -> None:
    pixels = pixels_of(encoded(gradient()), PictureSettings(height=40, width=60))
    assert pixels[0, 0, 0] < 10
    assert pixels[0, -1, 0] > 245


def test_normalisation_is_that_of_blip2() -> None:
    transformers = pytest.importorskip("transformers")
    data = encoded(noise(300, 200))
    ours = normalised(pixels_of(data, SETTINGS).permute(2, 0, 1)[None])
    processor = transformers.BlipImageProcessorPil(size={"height": 224, "width": 224})
    theirs = processor(Image.open(io.BytesIO(data)), return_tensors="pt")["pixel_values"]
    # Two levels of 255 over the smallest deviation.
    assert (ours - theirs).abs().max() <= 2 / 255 / min(BLIP2_STD) + 1e-5


def test_normalisation_centres_the_mean() -> None:
    level = torch.tensor([round(mean * 255) for mean in BLIP2_MEAN], dtype=torch.uint8).view(3, 1, 1)
    assert normalised(level).abs().max() < 0.01
    assert normalised(level, dtype=torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("options", "told"), [({"height": 0}, "height: 0 must be"), ({"fit": "crop"}, "fit: 'crop' is neither")]
)
def test_bad_settings_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PictureSettings(**options)
