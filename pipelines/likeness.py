"""Copies of pictures: exact ones by their bytes, near ones by a perceptual hash."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from translation.picture_decoding import FORMATS, eight_bits, over_white, upright

if TYPE_CHECKING:
    from numpy.typing import NDArray

HASH_BITS = 64

MAX_DISTANCE = 8
"""Bits; two unlike pictures are that close in 1 of about 10**9 pairs, and 4 bits in 1 of 10**13."""

FLAT = 2.0
"""Standard deviation of the luminance (0-255) of a picture without a shape that a hash could describe."""

_TWO_BANDS = 6

_SIDE = 32  # of the picture that pHash looks at
_READ_SIDE = 96  # JPEG decodes to a small size much faster; still well above what pHash looks at

_SMALL, _LARGE = 32, 1024
"""Hashes of one bucket: buckets up to the first are compared side by side, up to the second each with all of
its own at once; larger ones are searched part by part, so that they take little memory."""


class MissingLibraryError(RuntimeError):
    """An optional library is not installed; the message says how to get it."""


def content_digest(data: bytes) -> str:
    """SHA-256 of an encoded picture, in hexadecimal: equal for exact copies of the file."""
    return hashlib.sha256(data).hexdigest()


def check_library() -> None:
    """Raises `MissingLibraryError` if near-copies cannot be looked for."""
    try:
        import imagehash  # noqa: F401
    except ImportError as error:
        raise MissingLibraryError(
            "near-copies need ImageHash: pip install 'translate-mix[dedup]', or look for exact copies alone"
        ) from error


def perceptual_hash(data: bytes) -> int | None:
    """The 64-bit pHash of a picture's first frame, upright, on white; None for flat pictures.

    A picture of one colour has no shape: its hash would be rounding errors, and alike for all of them. The
    hash sees lightness alone: a red circle is a copy of a blue one.

    Raises:
        MissingLibraryError: the library ImageHash is not installed.
        Exception: what Pillow raises for a picture that `check_image` refuses.
    """
    check_library()
    import imagehash

    small = _luminance(data)
    if float(np.asarray(small, dtype=np.float32).std()) < FLAT:
        return None
    bits = imagehash.phash(small, hash_size=8, highfreq_factor=_SIDE // 8).hash
    return int.from_bytes(np.packbits(bits.reshape(-1)).tobytes(), "big")


def likeness(data: bytes) -> int | str:
    """What `canonical_images` compares: the perceptual hash, or for flat pictures the digest."""
    found = perceptual_hash(data)
    return content_digest(data) if found is None else found


def _luminance(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
        opened.draft("L", (_READ_SIDE, _READ_SIDE))
        picture = over_white(eight_bits(upright(opened)))
        return picture.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)


def canonical_images(entries: Iterable[tuple[str, int | str]], distance: int) -> dict[str, str]:
    """Copies of pictures -> the picture that stands for them, which has the smallest id; no others are in it.

    Two pictures are copies of each other if their digests are equal, their 64-bit hashes differ in at most
    `distance` bits, or a third one is a copy of both.

    Args:
        entries: (image id, digest as text or perceptual hash as number); an id may come several times.
        distance: bits, 0 to 8.

    Raises:
        ValueError: `distance` is out of range.
    """
    if not 0 <= distance <= MAX_DISTANCE:
        raise ValueError(f"distance {distance} is not from 0 to {MAX_DISTANCE} bits")
    numbers: dict[str, int] = {}
    keys: dict[int | str, int] = {}
    pairs: set[tuple[int, int]] = set()
    for image_id, key in entries:
        number = numbers.setdefault(image_id, len(numbers))
        pairs.add((number, keys.setdefault(key, len(keys))))
    # Ids are the first nodes, then the keys that tie them together.
    groups = _Groups(len(numbers) + len(keys))
    for number, key_number in pairs:
        groups.join(number, len(numbers) + key_number)
    hashed = [(key, number) for key, number in keys.items() if isinstance(key, int)]
    if distance and len(hashed) > 1:
        labels = _near_groups(np.array([key for key, _ in hashed], dtype=np.uint64), distance)
        leaders: dict[int, int] = {}
        for (_, number), label in zip(hashed, labels.tolist(), strict=True):
            groups.join(len(numbers) + leaders.setdefault(label, number), len(numbers) + number)
    smallest: dict[int, str] = {}
    for image_id, number in numbers.items():
        group = groups.find(number)
        smallest[group] = min(smallest.get(group, image_id), image_id)
    canonical = ((image_id, smallest[groups.find(number)]) for image_id, number in numbers.items())
    return {image_id: kept for image_id, kept in canonical if kept != image_id}


class _Groups:
    """Disjoint sets of numbers."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, number: int) -> int:
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    def join(self, first: int, second: int) -> None:
        first, second = self.find(first), self.find(second)
        self._parent[max(first, second)] = min(first, second)


def _near_groups(hashes: NDArray[np.uint64], distance: int) -> NDArray[np.intp]:
    """A number per hash, equal where a chain of hashes within the distance of each other connects two.

    The bits are cut into `distance + 2` bands. Two hashes within the distance agree in at least two of them,
    so for each two bands only the hashes that agree in both are compared. More bands than the pigeonhole
    needs make the buckets so small that a million hashes take seconds instead of minutes; for large distances
    it is three bands of `distance + 3`.
    """
    agreeing = 2 if distance <= _TWO_BANDS else 3
    edges = np.linspace(0, HASH_BITS, distance + agreeing + 1).round().astype(int)
    masks = [((1 << int(end)) - 1) ^ ((1 << int(start)) - 1) for start, end in pairwise(edges)]
    labels = np.arange(len(hashes))
    for chosen in combinations(masks, agreeing):
        band = hashes & np.uint64(sum(chosen))
        order = np.argsort(band)
        ordered = band[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        # What is one group already needs no comparison; this keeps crowds of near-copies cheap.
        grouped = labels[order]
        unlike = np.minimum.reduceat(grouped, starts) != np.maximum.reduceat(grouped, starts)
        lengths = np.diff(np.append(starts, len(ordered)))
        small = lengths <= _SMALL
        found = list(_in_small_buckets(hashes, order, lengths, unlike & small, distance))
        for bucket in np.flatnonzero(unlike & ~small):
            members = order[starts[bucket] : starts[bucket] + lengths[bucket]]
            search = _in_bucket if len(members) <= _LARGE else _in_large_bucket
            found.append(search(hashes[members], members, distance))
        labels = _joined(labels, found)
    return labels


_Pairs = tuple["NDArray[np.intp]", "NDArray[np.intp]"]


def _joined(labels: NDArray[np.intp], found: list[_Pairs]) -> NDArray[np.intp]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first = labels[np.concatenate([pair[0] for pair in found])] if found else labels[:0]
    second = labels[np.concatenate([pair[1] for pair in found])] if found else labels[:0]
    if not len(first):
        return labels
    size = len(labels)
    graph = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(size, size))
    joined = connected_components(graph, directed=False)[1].astype(np.intp)
    return joined[labels]


def _in_small_buckets(
    hashes: NDArray[np.uint64],
    order: NDArray[np.intp],
    lengths: NDArray[np.intp],
    wanted: NDArray[np.bool_],
    distance: int,
) -> Iterator[_Pairs]:
    """All pairs of many buckets at once: each hash with the next one of its bucket, the one after, ..."""
    members = order[np.repeat(wanted, lengths)]
    bucket = np.repeat(np.flatnonzero(wanted), lengths[wanted])
    values = hashes[members]
    for step in range(1, int(lengths[wanted].max(initial=1))):
        near = np.bitwise_count(values[step:] ^ values[:-step]) <= distance
        near &= bucket[step:] == bucket[:-step]
        found = np.flatnonzero(near)
        yield members[found], members[found + step]


def _in_bucket(values: NDArray[np.uint64], members: NDArray[np.intp], distance: int) -> _Pairs:
    near = np.bitwise_count(values[:, None] ^ values[None, :]) <= distance
    first, second = np.divmod(np.flatnonzero(near), len(values))
    return members[first], members[second]


def _in_large_bucket(values: NDArray[np.uint64], members: NDArray[np.intp], distance: int) -> _Pairs:
    """Pairs that connect a bucket: who was reached from another one is not compared again.

    So a crowd of near-copies, such as title pages, takes a few passes, not one per hash.
    """
    first: list[NDArray[np.intp]] = []
    second: list[NDArray[np.intp]] = []
    todo = np.arange(len(values))
    frontier: list[int] = []
    while len(todo):
        if not frontier:
            frontier, todo = [int(todo[0])], todo[1:]
        here = frontier.pop()
        near = np.bitwise_count(values[todo] ^ values[here]) <= distance
        if near.any():
            reached, todo = todo[near], todo[~near]
            frontier += reached.tolist()
            first.append(np.full(len(reached), members[here]))
            second.append(members[reached])
    if not first:
        return members[:0], members[:0]
    return np.concatenate(first), np.concatenate(second)
