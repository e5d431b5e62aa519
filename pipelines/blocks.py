"""Many small things as one element of a pipeline: packed, compressed, and keyed by the bucket they go to.

A runner spends more on an element than this project on a row, and Beam's local runner holds all elements of
a step in memory. A block of some hundred costs the runner as much as one, and takes a tenth of the memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import apache_beam as beam
import msgspec
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindows

ROWS_PER_BUCKET = 16_384
"""Of a bucket that one step works on at a time: some tens of megabytes."""

HELD = 65_536
"""Things that a step holds before it makes blocks of them."""

Keyed = tuple[int, bytes]
"""(bucket, block)."""

_SIZE = 8
_T = TypeVar("_T")


class Packer(Generic[_T]):
    """Turns a sequence of one kind of thing into a block, and back."""

    def __init__(self, kind: type[_T]) -> None:
        """`kind`: what `msgspec` knows how to write."""
        self._kind = kind
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[kind])  # type: ignore[valid-type]

    def __reduce__(self) -> tuple[type[Packer[_T]], tuple[type[_T]]]:
        return type(self), (self._kind,)

    def pack(self, things: Sequence[_T]) -> bytes:
        """A block."""
        return compressed(self._encoder.encode(things))

    def unpack(self, block: bytes) -> list[_T]:
        """What was packed, in order."""
        things: list[_T] = self._decoder.decode(decompressed(block))
        return things

    def unpack_all(self, blocks: Iterable[bytes]) -> Iterator[_T]:
        """What was packed into several blocks."""
        for block in blocks:
            yield from self.unpack(block)


def compressed(data: Any) -> bytes:
    """Bytes or a buffer, with its size in front."""
    packed: bytes = _codec().compress(data, asbytes=True)
    return len(data).to_bytes(_SIZE, "little") + packed


def decompressed(block: bytes) -> memoryview:
    """The way back from `compressed`."""
    size = int.from_bytes(block[:_SIZE], "little")
    return memoryview(_codec().decompress(memoryview(block)[_SIZE:], decompressed_size=size))


def _codec() -> pa.Codec:
    return pa.Codec("zstd", compression_level=1)


def buckets_for(rows: int) -> int:
    """How many buckets so many rows are spread over."""
    return max(1, -(-rows // ROWS_PER_BUCKET))


def bucket_of(key: str, buckets: int) -> int:
    """Where a thing with this key goes, the same in every process."""
    if buckets == 1:
        return 0
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % buckets


class Gathered(Generic[_T]):
    """Things on their way to buckets, held until there are enough of them for blocks."""

    def __init__(self, packer: Packer[_T]) -> None:
        self._packer = packer
        self._held: dict[Any, list[_T]] = {}
        self._count = 0

    def add(self, bucket: Any, thing: _T) -> None:
        """Holds one more."""
        self._held.setdefault(bucket, []).append(thing)
        self._count += 1

    @property
    def full(self) -> bool:
        """Whether it is time to `drain` it."""
        return self._count >= HELD

    def drain(self) -> Iterator[tuple[Any, bytes]]:
        """(bucket, block) of all that it holds, which is nothing then."""
        held, self._held, self._count = self._held, {}, 0
        for bucket, things in held.items():
            yield bucket, self._packer.pack(things)


def at_the_end(elements: Iterable[Any], tag: str | None = None) -> Iterator[Any]:
    """Elements as `finish_bundle` has to yield them."""
    for element in elements:
        value = GlobalWindows.windowed_value(element)
        yield value if tag is None else beam.pvalue.TaggedOutput(tag, value)


def tagged(elements: Iterable[Any], tag: str) -> Iterator[beam.pvalue.TaggedOutput]:
    """Elements for another output than the main one."""
    return (beam.pvalue.TaggedOutput(tag, element) for element in elements)
