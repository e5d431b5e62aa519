"""Blocks of many things, and the buckets that they go to."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pipelines import blocks
from pipelines.blocks import Gathered, Packer, bucket_of, buckets_for, compressed, decompressed


class Thing(msgspec.Struct, frozen=True):
    name: str
    number: int | None = None


THINGS = Packer(Thing)


@given(
    st.lists(
        st.builds(
            Thing, st.text(st.characters(exclude_categories=["Cs"])), st.none() | st.integers(0, 2**64 - 1)
        )
    )
)
def test_what_was_packed_comes_out(things: list[Thing]) -> None:
    assert THINGS.unpack(THINGS.pack(things)) == things
    assert list(THINGS.unpack_all([THINGS.pack(things)] * 2)) == things * 2


@given(st.binary(max_size=1000))
def test_compression_loses_nothing(data: bytes) -> None:
    assert bytes(decompressed(compressed(data))) == data


def test_a_block_takes_less_than_its_things() -> None:
    things = [Thing(f"A dog runs over picture {number}.", number) for number in range(500)]
    assert len(THINGS.pack(things)) < 500 * 15


def test_each_thing_reaches_its_bucket_once() -> None:
    gathered = Gathered(THINGS)
    things = [Thing(str(number), number) for number in range(1000)]
    for thing in things:
        gathered.add(bucket_of(thing.name, 7), thing)
    assert not gathered.full
    drained = dict(gathered.drain())
    assert set(drained) == set(range(7))
    assert sorted(one.number or 0 for block in drained.values() for one in THINGS.unpack(block)) == list(
        range(1000)
    )
    assert all(
        bucket_of(one.name, 7) == bucket for bucket, block in drained.items() for one in THINGS.unpack(block)
    )
    assert dict(gathered.drain()) == {}


def test_what_is_held_is_bounded() -> None:
    gathered = Gathered(THINGS)
    for number in range(blocks.HELD):
        assert not gathered.full
        gathered.add(0, Thing(str(number)))
    assert gathered.full


def test_half_of_a_surrogate_pair_has_a_bucket_too() -> None:
    assert 0 <= bucket_of("\ud83d", 5) < 5


def test_there_is_a_bucket_for_every_so_many_rows() -> None:
    assert [buckets_for(rows) for rows in (0, 1, blocks.ROWS_PER_BUCKET, blocks.ROWS_PER_BUCKET + 1)] == [
        1,
        1,
        1,
        2,
    ]
