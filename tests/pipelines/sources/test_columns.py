"""Whole columns are judged as their values are judged one by one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.images import BadImage
from pipelines.sources.columns import (
    caption_texts,
    captions_with_checksums,
    clean_texts,
    identifiers,
    lines_of,
    may_be_longer,
    verbatim_texts,
)
from pipelines.sources.pictures import PictureStore
from pipelines.sources.values import MAX_TEXT, BadRecord, caption_text, checksum, clean_text, identifier

_PIECES = st.sampled_from(
    ["a", "Dog", " ", "  ", ".", "&amp;", "&", "é", "\n", "\t", "\0", "\x7f", "9", "<image>", "\ud800", "😀"]
)
_ODD = st.one_of(st.none(), st.integers(), st.booleans(), st.floats(), st.just([]), st.just("x" * 20_001))
_VALUES = st.lists(st.one_of(st.lists(_PIECES, max_size=6).map("".join), st.text(), _ODD), max_size=12)
_IDS = st.lists(
    st.one_of(st.integers(), st.integers(2**63, 2**65), st.text(max_size=4), st.just("i" * 201), _ODD)
)
_PATHS = st.lists(
    st.sampled_from(["a", "b.c", "000000391895", "COCO_val2014_", "/", "..", ".", "é", "#", " "])
)


def _one_by_one(
    values: list[object], judged: Callable[[object], object], failure: type[ValueError] = BadRecord
) -> list[object]:
    found: list[object] = []
    for value in values:
        try:
            found.append(judged(value))
        except failure:
            found.append(None)
    return found


def _together(texts: object, odd: set[int]) -> list[object]:
    assert isinstance(texts, list | tuple)
    return [None if at in odd else text for at, text in enumerate(texts)]


@given(_VALUES)
def test_captions(values: list[object]) -> None:
    odd: set[int] = set()
    assert _together(caption_texts(values, odd), odd) == _one_by_one(values, lambda v: caption_text(v, ""))


@given(_VALUES)
def test_texts(values: list[object]) -> None:
    odd: set[int] = set()
    assert _together(clean_texts(values, odd), odd) == _one_by_one(values, lambda v: clean_text(v, ""))


@given(_VALUES, st.sampled_from([None, 5, MAX_TEXT]))
def test_verbatim_texts(values: list[object], limit: int | None) -> None:
    odd: set[int] = set()
    alone = _one_by_one(values, lambda value: clean_text(value, "", verbatim=True, limit=limit))
    assert _together(verbatim_texts(values, odd, limit=limit), odd) == alone


@given(st.characters(), st.sampled_from(["{}", "a{}", "{}a", "a{}a", " {}"]))
@settings(max_examples=2_000)
def test_every_character_of_a_verbatim_text(character: str, text: str) -> None:
    odd: set[int] = set()
    values = ["One.", text.format(character), "Zwei."]
    alone = _one_by_one(values, lambda value: clean_text(value, "", verbatim=True))
    assert _together(verbatim_texts(values, odd), odd) == alone


@given(_VALUES)
def test_checksums_of_captions(values: list[object]) -> None:
    odd: set[int] = set()
    captions, checksums = captions_with_checksums(values, odd)
    assert (captions, odd) == (caption_texts(values, again := set()), again)
    assert list(checksums) == list(map(checksum, captions))


def test_a_checksum_is_a_crc_32() -> None:
    assert checksum("123456789") == "cbf43926"
    assert captions_with_checksums(["A9", "plants"], set())[1] == [checksum("A9"), checksum("plants")]


@given(st.lists(st.integers(0, 60)), st.integers(2, 40))
def test_lines_that_may_be_longer(lengths: list[int], limit: int) -> None:
    lines = lines_of(["x" * length for length in lengths])
    if may_be_longer(lines, limit):
        assert max(lengths) >= limit // 2
    else:
        assert max(lengths, default=0) <= limit


@given(st.one_of(_IDS, st.lists(st.integers(-(2**63), 2**64 - 1)), st.lists(st.text("ab 1", min_size=1))))
def test_ids(values: list[object]) -> None:
    odd: set[int] = set()
    found = _together(identifiers(values, odd), odd)
    for value, one, alone in zip(
        values, found, _one_by_one(values, lambda v: identifier(v, "")), strict=True
    ):
        beyond = type(value) is int and abs(value) >= 2**63
        assert one == alone or (beyond and one is None)


@given(
    st.lists(
        st.tuples(
            _PATHS.map("".join), st.sampled_from([".jpg", ".jpeg", ".JPG", ".webp", "", ".7z", "..jpg"])
        )
    ).map(lambda parts: [stem + suffix for stem, suffix in parts]),
    st.sampled_from([None, ".jpg"]),
)
def test_pictures_of_a_folder(
    tmp_path_factory: pytest.TempPathFactory, paths: list[str], suffix: str
) -> None:
    store = PictureStore(str(tmp_path_factory.getbasetemp()))
    written = [path if suffix is None else path.removesuffix(suffix) + suffix for path in paths]
    odd: set[int] = set()
    alone = _one_by_one(list(written), lambda path: store.picture(str(path)), BadImage)
    assert _together(store.pictures(written, odd), odd) == alone


def test_pictures_of_coco_are_named_by_their_numbers(tmp_path: str) -> None:
    store = PictureStore(str(tmp_path))
    written = [f"train2014/COCO_train2014_{number:012}.jpg" for number in (7, 391_895)] + [f"{12:012}.jpg"]
    odd: set[int] = set()
    assert [one.image_id for one in store.pictures(written, odd)] == ["7", "391895", "12"]
    assert list(store.pictures(written, odd)) == [store.picture(one) for one in written]
    assert not odd
