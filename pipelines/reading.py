"""First half of the graph: sources -> examples that have a language and a readable image, and rejects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import msgspec
from apache_beam.metrics import Metrics
from msgspec.structs import replace

from pipelines.assignment import Assignment
from pipelines.examples import Example, Reject, Text
from pipelines.images import BadImage, check_image, image_bytes
from pipelines.likeness import canonical_images, content_digest, likeness
from pipelines.names import NameTable, names_of
from pipelines.recipe import Deduplicate, Recipe
from pipelines.recipe_sources import ImagenetSource
from pipelines.sources import Piece, read_piece
from translation.languages import ENGLISH

REJECTS, LEFT_OUT = "rejects", "left out"
PROMPT, TARGET = "prompt", "target"
"""The texts of an example."""

_PART = "\x1f"


class AssignedExample(msgspec.Struct, frozen=True, gc=False):
    """An example with the language it gets."""

    example: Example
    language: str
    """NLLB code."""
    image_size: int = 0
    """Bytes of the encoded pictures; known once they were checked."""
    likeness: str | int | None = None
    """What pictures that are one have in common, if the recipe asks for that: a digest or perceptual hash."""

    @property
    def id(self) -> str:
        return f"{self.example.id}/{self.language}"

    @property
    def target_language(self) -> str:
        """NLLB code of the target, which may stay English although the example got another language."""
        return self._language_of(self.example.target)

    @property
    def prompt_language(self) -> str | None:
        """NLLB code of what fills the prompt's slot; None where that has none."""
        return None if self.example.prompt is None else self._language_of(self.example.prompt)

    def _language_of(self, text: Text) -> str:
        return ENGLISH if self.example.stays_english(text) else self.language

    def texts_to_translate(self) -> Iterator[tuple[str, Text]]:
        """(`PROMPT` or `TARGET`, text) of those that are wanted in another language than they are in."""
        if self.language == ENGLISH:
            return
        for slot, text in ((PROMPT, self.example.prompt), (TARGET, self.example.target)):
            if text is not None and self.example.is_translated(text):
                yield slot, text


@dataclass(frozen=True, slots=True)
class RejectedExample:
    """An example that failed before translation: a duplicate, or a bad image."""

    assigned: AssignedExample
    reason: str
    copy: int = 0
    """Of an id that came several times: which of the others it is, from 1."""


class ReadPiece(beam.DoFn):
    """A piece of a source -> `Example`s; what is none goes to the output `rejects` as `Reject`.

    What the recipe leaves out (`max_rows`, `phrases`) goes to the output `left out` as the source's name.
    """

    def __init__(self, recipe: Recipe, assignment: Assignment) -> None:
        self._recipe, self._assignment = recipe, assignment
        self._read = Metrics.counter("translate_mix", "read")

    def process(self, piece: Piece) -> Iterator[object]:
        for record in read_piece(self._recipe, piece):
            if isinstance(record, Reject):
                self._read.inc()
                yield beam.pvalue.TaggedOutput(REJECTS, record)
            elif self._assignment.keeps(record):
                self._read.inc()
                yield record
            else:
                yield beam.pvalue.TaggedOutput(LEFT_OUT, record.dataset)


class AssignLanguages(beam.DoFn):
    """`Example` -> (id, `AssignedExample`), one for each of its languages, with names in that language.

    One that no language of the mix has a name for goes to the output `rejects` as `Reject`.
    """

    def __init__(self, recipe: Recipe, assignment: Assignment) -> None:
        self._recipe, self._assignment = recipe, assignment

    def setup(self) -> None:
        self._names: Mapping[str, NameTable] = {
            source.name: names_of(self._recipe, index)
            for index, source in enumerate(self._recipe.sources)
            if isinstance(source, ImagenetSource)
        }

    def process(self, example: Example) -> Iterator[object]:
        table = self._names.get(example.dataset)
        codes = self._assignment.languages(example)
        if not codes:
            yield beam.pvalue.TaggedOutput(REJECTS, _unnamed(example))
        for language in codes:
            named = example if table is None else _named(example, language, table)
            assigned = AssignedExample(named, language)
            yield assigned.id, assigned


def _unnamed(example: Example) -> Reject:
    shown = example.target.text if example.target.name else example.prompt and example.prompt.text
    reason = f"names: class {example.name} ({shown}) has a name in no language of the mix"
    record = example.image or ""
    return Reject(example.dataset, example.source_id, example.task, reason, record, example.image_id)


def _named(example: Example, language: str, table: NameTable) -> Example:
    def of(text: Text) -> Text:
        return text if text.name is None else replace(text, given=table.label(text.name, language))

    return replace(example, prompt=example.prompt and of(example.prompt), target=of(example.target))


class RejectDuplicates(beam.DoFn):
    """(id, examples of that id) -> (image locator or id, the first of them); the others are rejected.

    Which is first depends on their content, not on the order in which workers found them.
    """

    def process(self, element: tuple[str, Iterable[AssignedExample]]) -> Iterator[object]:
        first, *others = sorted(element[1], key=repr)
        # Without a picture the id keeps the keys apart.
        yield first.example.image or first.example.id, first
        for number, other in enumerate(others, 1):
            same = "the same content" if other == first else "other content"
            reason = (
                f"duplicate: another example with {same} has the id {other.example.id}, and one of them "
                "was kept; ids must be unique"
            )
            yield beam.pvalue.TaggedOutput(REJECTS, RejectedExample(other, reason, number))


_LIKENESS: Mapping[str, Callable[[bytes], str | int | None]] = {
    "none": lambda data: None,
    "exact": content_digest,
    "near": likeness,
}


class CheckImages(beam.DoFn):
    """(image locator or id, examples) -> the examples with the image's size; a picture is decoded once."""

    def __init__(self, max_pixels: int, deduplicate: Deduplicate) -> None:
        self._max_pixels = max_pixels
        self._likeness = deduplicate.images

    def process(self, element: tuple[str, Iterable[AssignedExample]]) -> Iterator[object]:
        checked: dict[str, tuple[int, str | int | None, str | None]] = {}
        for assigned in element[1]:
            size, likenesses, reason = 0, [], None
            for locator in (assigned.example.image, assigned.example.second_image):
                if locator is None or reason is not None:
                    continue
                if locator not in checked:
                    checked[locator] = self._check(locator)
                more, likeness, reason = checked[locator]
                size += more
                likenesses.append(likeness)
            if reason is not None:
                yield beam.pvalue.TaggedOutput(REJECTS, RejectedExample(assigned, reason))
            else:
                # A pair is another one if both pictures are; near ones are not looked for among pairs.
                both = "+".join(map(str, likenesses)) if len(likenesses) > 1 else None
                alike = both or next(iter(likenesses), None)
                yield replace(assigned, image_size=size, likeness=alike)

    def _check(self, locator: str) -> tuple[int, str | int | None, str | None]:
        """Size and likeness of a picture, or what is wrong with it."""
        try:
            data = image_bytes(locator)
            check_image(data, self._max_pixels)
        except BadImage as error:
            return 0, None, f"image: {error}"
        return len(data), _LIKENESS[self._likeness](data), None


class UnifyImages(beam.PTransform):
    """`AssignedExample`s -> the same; pictures that are one have one id, the first in order."""

    def __init__(self, deduplicate: Deduplicate) -> None:
        super().__init__()
        self._deduplicate = deduplicate

    def expand(self, examples: beam.PCollection) -> beam.PCollection:
        if self._deduplicate.images == "none":
            return examples
        ids = (
            examples
            | "Likeness" >> beam.FlatMap(_likeness_of).with_output_types(tuple[Any, str])
            | "Distinct" >> beam.Distinct().with_output_types(tuple[Any, str])
        )
        if self._deduplicate.images == "exact":
            copies = ids | "Alike" >> beam.GroupByKey() | "Copies" >> beam.FlatMap(_copies)
        else:
            copies = (
                ids
                | "All" >> beam.combiners.ToList()
                | "Near copies" >> beam.FlatMap(_near_copies, self._deduplicate.distance)
            )
        return examples | "Unify" >> beam.Map(_unified, beam.pvalue.AsDict(copies)).with_output_types(
            AssignedExample
        )


def _likeness_of(assigned: AssignedExample) -> Iterator[tuple[str | int, str]]:
    if assigned.likeness is not None and assigned.example.image_id is not None:
        yield assigned.likeness, assigned.example.image_id


def _copies(alike: tuple[str | int, Iterable[str]]) -> Iterator[tuple[str, str]]:
    first, *others = sorted(alike[1])
    for other in others:
        yield other, first


def _near_copies(alike: Sequence[tuple[str | int, str]], distance: int) -> Iterator[tuple[str, str]]:
    yield from canonical_images([(image_id, seen) for seen, image_id in alike], distance).items()


def _unified(assigned: AssignedExample, copies: Mapping[str, str]) -> AssignedExample:
    image_id = assigned.example.image_id
    first = copies.get(image_id) if image_id is not None else None
    if first is None:
        return assigned
    return replace(assigned, example=replace(assigned.example, image_id=first))


class RejectRepeated(beam.PTransform):
    """`AssignedExample`s -> those that say something new, and `RejectedExample`s in the output `REJECTS`."""

    def __init__(self, enabled: bool) -> None:
        super().__init__()
        self._enabled = enabled

    def expand(self, examples: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        if self._enabled:
            grouped = (
                examples
                | "By content" >> beam.Map(_content_of).with_output_types(tuple[bytes, AssignedExample])
                | "Group by content" >> beam.GroupByKey()
            )
        else:
            grouped = examples | "Alone" >> beam.Map(lambda assigned: (b"", [assigned]))
        return grouped | "Reject" >> beam.ParDo(_RejectOthers()).with_outputs(REJECTS, main="examples")


def _content_of(assigned: AssignedExample) -> tuple[bytes, AssignedExample]:
    """(digest of what an example shows and says in English, the example)."""
    example = assigned.example
    prompt = example.prompt.text if example.prompt else ""
    said = _PART.join(
        (
            example.image_id or "",
            example.language or "",
            example.task,
            example.family,
            prompt,
            example.target.text,
        )
    )
    return hashlib.blake2b(said.encode(), digest_size=16).digest(), assigned


class _RejectOthers(beam.DoFn):
    """(content, examples) -> those of the first id, in all its languages; the others are rejected."""

    def process(self, element: tuple[bytes, Iterable[AssignedExample]]) -> Iterator[object]:
        examples = list(element[1])
        first = min(assigned.example.id for assigned in examples)
        for assigned in examples:
            if assigned.example.id == first:
                yield assigned
            else:
                reason = f"duplicate: {first} has the same picture, prompt and target"
                yield beam.pvalue.TaggedOutput(REJECTS, RejectedExample(assigned, reason))
