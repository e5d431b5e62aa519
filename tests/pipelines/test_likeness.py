"""Copies of pictures are found, exact and near ones, and unlike pictures are left apart."""

from __future__ import annotations

import builtins
import random
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance

from pipelines import likeness
from pipelines.likeness import MissingLibraryError, canonical_images, content_digest, perceptual_hash
from tests.pictures import encoded


def picture(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Shapes of many sizes and colours."""
    chance = random.Random(seed)
    drawn = Image.new("RGB", size, tuple(chance.randrange(256) for _ in range(3)))
    pen = ImageDraw.Draw(drawn)
    for _ in range(25):
        x, y = chance.randrange(size[0]), chance.randrange(size[1])
        box = (x, y, x + chance.randrange(10, 160), y + chance.randrange(10, 120))
        fill = tuple(chance.randrange(256) for _ in range(3))
        chance.choice([pen.ellipse, pen.rectangle])(box, fill=fill)
    return drawn


def apart(one: bytes, other: bytes) -> int:
    first, second = perceptual_hash(one), perceptual_hash(other)
    assert first is not None
    assert second is not None
    return (first ^ second).bit_count()


def test_digests_are_equal_for_the_same_bytes_alone() -> None:
    assert content_digest(b"a") == content_digest(b"a") != content_digest(b"b")
    assert len(content_digest(b"")) == 64


def test_hashes_are_64_bits_and_do_not_change() -> None:
    pytest.importorskip("imagehash")
    # Half of the coefficients are above their median.
    for seed in range(5):
        found = perceptual_hash(encoded(picture(seed)))
        assert found is not None
        assert 0 <= found < 2**64
        assert 31 <= found.bit_count() <= 32


@pytest.mark.parametrize("seed", range(8))
def test_copies_in_other_sizes_formats_and_qualities_are_near(seed: int) -> None:
    pytest.importorskip("imagehash")
    drawn = picture(seed)
    original = encoded(drawn, "JPEG", quality=95)
    turned = Image.Exif()
    turned[0x0112], turned[0x010E] = 3, "a boat"
    # With a width that is text.
    half_broken = turned.tobytes().replace(b"\x01\x0e", b"\x01\x00")
    copies = {
        "worse": encoded(drawn, "JPEG", quality=40),
        "smaller": encoded(drawn.resize((160, 120))),
        "larger": encoded(drawn.resize((900, 675)), "JPEG"),
        "much larger": encoded(drawn.resize((2400, 1800)), "JPEG"),
        "WEBP": encoded(drawn, "WEBP"),
        "grey": encoded(drawn.convert("L")),
        "CMYK": encoded(drawn.convert("CMYK"), "JPEG"),
        "turned and said so": encoded(drawn.rotate(180), "JPEG", exif=turned),
        "turned and said so amid errors": encoded(drawn.rotate(180), "JPEG", exif=half_broken),
        "opaque": encoded(drawn.convert("RGBA")),
        "16 bits": encoded(Image.fromarray(np.asarray(drawn.convert("L")).astype(np.uint16) * 257)),
        "brighter": encoded(ImageEnhance.Brightness(drawn).enhance(1.05)),
    }
    assert {kind: apart(original, data) for kind, data in copies.items() if apart(original, data) > 4} == {}


def test_unlike_pictures_are_far_from_each_other() -> None:
    pytest.importorskip("imagehash")
    hashes = [perceptual_hash(encoded(picture(seed))) for seed in range(40)]
    shapes = [found for found in hashes if found is not None]
    assert len(shapes) == 40
    nearest = min((a ^ b).bit_count() for index, a in enumerate(shapes) for b in shapes[:index])
    assert nearest > 8


def test_lightness_counts_and_colour_does_not() -> None:
    """A limit to know: a red circle is a near-copy of a blue one."""
    pytest.importorskip("imagehash")
    folder = Path(str(files("pipelines").joinpath("sample", "images")))
    red, blue = (folder.joinpath(f"{colour}-circle.png").read_bytes() for colour in ("red", "blue"))
    assert apart(red, blue) == 0
    assert content_digest(red) != content_digest(blue)


def test_flat_pictures_are_copies_only_if_their_bytes_are_equal() -> None:
    pytest.importorskip("imagehash")
    grain = np.random.default_rng(0).normal(128, 1.5, (64, 64)).clip(0, 255).astype(np.uint8)
    half_clear = Image.new("RGBA", (64, 64), (200, 30, 30, 0))
    flat = {
        "black": encoded(Image.new("RGB", (64, 64))),
        "white": encoded(Image.new("RGB", (64, 64), "white")),
        "black JPEG": encoded(Image.new("RGB", (640, 480)), "JPEG"),
        "grain": encoded(Image.fromarray(grain)),
        "all clear": encoded(half_clear),
        "16 bits": encoded(Image.new("I;16", (64, 64), 40_000)),
    }
    entries = [(name, likeness.likeness(data)) for name, data in flat.items()]
    assert all(isinstance(key, str) for _, key in entries)
    assert canonical_images(entries, 8) == {}
    entries.append(("a black one", likeness.likeness(flat["black"])))
    assert canonical_images(entries, 8) == {"black": "a black one"}
    assert isinstance(likeness.likeness(encoded(picture(1))), int)


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    true_import = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "imagehash":
            raise ImportError(name)
        return true_import(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingLibraryError, match=r"pip install 'translate-mix\[dedup\]'"):
        perceptual_hash(encoded(picture(0)))
    assert canonical_images([("a", content_digest(b"x")), ("b", content_digest(b"x"))], 4) == {"b": "a"}


def test_the_smallest_id_stands_for_its_copies() -> None:
    entries = [("c", "one"), ("b", "one"), ("a", "two"), ("d", "one"), ("e", "three"), ("b", "one")]
    assert canonical_images(entries, 0) == {"c": "b", "d": "b"}
    assert canonical_images([], 4) == {}


def test_copies_of_copies_and_two_files_of_one_id_are_one_group() -> None:
    pytest.importorskip("scipy")
    entries: list[tuple[str, int | str]] = [
        ("d", 0b0),
        ("c", 0b11),
        ("b", 0b1111),
        ("a", 0xFF00FF00FF),
        ("d", "digest"),
        ("e", "digest"),
    ]
    assert canonical_images(entries, 2) == {"c": "b", "d": "b", "e": "b"}
    assert canonical_images(entries, 1) == {"e": "d"}


def test_distances_that_are_not_supported_are_refused() -> None:
    for distance in (-1, 9):
        with pytest.raises(ValueError, match=f"distance {distance} is not from 0 to 8 bits"):
            canonical_images([], distance)


def by_all_pairs(entries: list[tuple[str, int]], distance: int) -> dict[str, str]:
    """The plainest way: spreads the smallest id along every near pair until nothing changes."""
    smallest = {image_id: image_id for image_id, _ in entries}
    changed = True
    while changed:
        changed = False
        for one, first in entries:
            for other, second in entries:
                if (first ^ second).bit_count() <= distance and smallest[other] < smallest[one]:
                    smallest[one], changed = smallest[other], True
    return {image_id: kept for image_id, kept in smallest.items() if image_id != kept}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6),
    st.integers(0, 8),
    st.integers(0, 2**32),
    st.sampled_from([(32, 1024), (2, 4), (2, 2)]),
)
def test_banding_finds_what_all_pairs_find(
    centres: list[int], distance: int, seed: int, sizes: tuple[int, int]
) -> None:
    pytest.importorskip("scipy")
    chance = random.Random(seed)
    entries = []
    for number in range(40):
        value = chance.choice(centres)
        for bit in chance.sample(range(64), chance.randrange(distance + 3)):
            value ^= 1 << bit
        entries.append((f"{chance.randrange(10**9)}-{number}", value))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likeness, "_SMALL", sizes[0])
        patch.setattr(likeness, "_LARGE", sizes[1])
        assert canonical_images(entries, distance) == by_all_pairs(entries, distance)


@pytest.mark.parametrize("distance", [2, 4, 8])
def test_crowds_of_near_copies_and_equal_hashes_take_no_more_than_seconds(distance: int) -> None:
    pytest.importorskip("scipy")
    chance = np.random.default_rng(0)
    far = chance.integers(0, 2**64, 3_000, dtype=np.uint64)
    crowd = np.full(20_000, 0x5555_AAAA_3333_CCCC, dtype=np.uint64)
    for _ in range(distance // 2):
        crowd ^= np.uint64(1) << chance.integers(0, 64, len(crowd)).astype(np.uint64)
    equal = np.full(20_000, 0x0F0F_F0F0_00FF_FF00, dtype=np.uint64)
    hashes = [*far.tolist(), *crowd.tolist(), *equal.tolist()]
    copies = canonical_images(((f"{number:06}", found) for number, found in enumerate(hashes)), distance)
    assert len(copies) == len(crowd) + len(equal) - 2
    assert set(copies.values()) == {f"{len(far):06}", f"{len(far) + len(crowd):06}"}
