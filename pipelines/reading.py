"""First half of the graph: sources -> examples that have a language and a readable image, and rejects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.metrics import Metrics

from pipelines.assignment import LanguagePolicy
from pipelines.examples import Example, Reject
from pipelines.images import BadImage, check_image, image_bytes
from pipelines.recipe import Recipe
from pipelines.sources import Piece, read_piece

REJECTS = "rejects"


@dataclass(frozen=True)
class AssignedExample:
    """An example with the language it gets."""

    example: Example
    language: str
    """NLLB code."""
    image_size: int = 0
    """Bytes of the encoded picture; known once it was checked."""

    @property
    def id(self) -> str:
        return f"{self.example.id}/{self.language}"


@dataclass(frozen=True)
class RejectedExample:
    """An example that failed before translation: a duplicate id, or a bad image."""

    assigned: AssignedExample
    reason: str


class ReadPiece(beam.DoFn):
    """A piece of a source -> `Example`s; what is none goes to the output `rejects` as `Reject`."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._read = Metrics.counter("translate_mix", "read")

    def process(self, piece: Piece) -> Iterator[object]:
        for record in read_piece(self._recipe, piece):
            self._read.inc()
            if isinstance(record, Reject):
                yield beam.pvalue.TaggedOutput(REJECTS, record)
            else:
                yield record


class AssignLanguage(beam.DoFn):
    """`Example` -> (id, `AssignedExample`)."""

    def __init__(self, policy: LanguagePolicy, seed: int) -> None:
        self._policy, self._seed = policy, seed

    def process(self, example: Example) -> Iterator[tuple[str, AssignedExample]]:
        yield example.id, AssignedExample(example, self._policy.language(self._seed, example.id))


class RejectDuplicates(beam.DoFn):
    """(id, examples of that id) -> (image locator or id, the first of them); the others are rejected.

    Which is first depends on their content, not on the order in which workers found them.
    """

    def process(self, element: tuple[str, Iterable[AssignedExample]]) -> Iterator[object]:
        first, *others = sorted(element[1], key=repr)
        # Without a picture the id keeps the keys apart.
        yield first.example.image or first.example.id, first
        for other in others:
            same = "the same content" if other == first else "other content"
            reason = (
                f"duplicate: another example with {same} has the id {other.example.id}, and one of them "
                "was kept; ids must be unique"
            )
            yield beam.pvalue.TaggedOutput(REJECTS, RejectedExample(other, reason))


class CheckImages(beam.DoFn):
    """(image locator or id, examples) -> the examples with the image's size; a picture is decoded once."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels

    def process(self, element: tuple[str, Iterable[AssignedExample]]) -> Iterator[object]:
        examples = list(element[1])
        locator = examples[0].example.image
        size, reason = 0, None
        if locator:
            try:
                data = image_bytes(locator)
                check_image(data, self._max_pixels)
                size = len(data)
            except BadImage as error:
                reason = f"image: {error}"
        for example in examples:
            if reason is None:
                yield AssignedExample(example.example, example.language, size)
            else:
                yield beam.pvalue.TaggedOutput(REJECTS, RejectedExample(example, reason))
