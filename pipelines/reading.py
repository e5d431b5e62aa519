"""First half of the graph: sources -> examples that have a language and a readable image, and rejects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
import msgspec
from apache_beam.metrics import Metrics
from msgspec.structs import replace

from pipelines import progress
from pipelines.assignment import Assignment
from pipelines.blocks import Gathered, Keyed, Packer, at_the_end, bucket_of, tagged
from pipelines.examples import Example, LeftOut, Reject, Text
from pipelines.images import BadImage, check_image, image_bytes
from pipelines.likeness import canonical_images, content_digest, likeness
from pipelines.names import NameTable, names_of
from pipelines.recipe import Deduplicate, Recipe
from pipelines.recipe_sources import ImagenetSource
from pipelines.sources import Piece, read_piece
from pipelines.sources.records import MAX_RECORD
from translation.foreign import foreign_language
from translation.languages import ENGLISH, languages

REJECTS, UNREAD, LEFT_OUT, READ = "rejects", "unread", "left out", "read"
"""Outputs: blocks of `RejectedExample`s; (bucket of ids, block of `Reject`s); (source, examples or records);
numbers of examples and rejects."""

PROMPT, TARGET = "prompt", "target"
"""The texts of an example."""

_PART = "\x1f"
_ALL = 0
"""The bucket of what goes to no bucket."""

_TOLD_AT_ONCE = 256
"""Examples with checked pictures."""


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


class RejectedExample(msgspec.Struct, frozen=True, gc=False):
    """An example that failed before translation: a duplicate, or a bad image."""

    assigned: AssignedExample
    reason: str
    copy: int = 0
    """Of an id that came several times: which of the others it is, from 1."""


EXAMPLES, REJECTED, UNREADABLE = Packer(AssignedExample), Packer(RejectedExample), Packer(Reject)


class ReadPieces(beam.DoFn):
    """A piece of a source -> its examples with their languages, keyed by a bucket of ids.

    Records that are no examples go to the output `UNREAD`, keyed likewise; what the recipe leaves out
    (`max_rows`, `phrases`; records by `where`, `skip_answers`) is counted in `LEFT_OUT`, all others in
    `READ`.
    """

    def __init__(
        self, recipe: Recipe, assignment: Assignment, buckets: int, progress_directory: str | None
    ) -> None:
        self._recipe, self._assignment, self._buckets = recipe, assignment, buckets
        self._progress = progress_directory
        self._read = Metrics.counter("translate_mix", "read")

    def setup(self) -> None:
        self._names: Mapping[str, NameTable] = {
            source.name: names_of(self._recipe, index)
            for index, source in enumerate(self._recipe.sources)
            if isinstance(source, ImagenetSource)
        }

    def process(self, piece: Piece) -> Iterator[object]:
        examples, unread = Gathered(EXAMPLES), Gathered(UNREADABLE)
        left_out: Counter[str] = Counter()
        read = told = 0
        for record in read_piece(self._recipe, piece):
            if isinstance(record, LeftOut):
                left_out[record.dataset] += record.records
                continue
            if isinstance(record, Example) and not self._assignment.keeps(record):
                left_out[record.dataset] += 1
                continue
            if isinstance(record, Example):
                record = if_english(record)
            for one in (record,) if isinstance(record, Reject) else self._in_languages(record):
                read += 1
                if isinstance(one, Reject):
                    unread.add(bucket_of(one.id, self._buckets), one)
                else:
                    examples.add(bucket_of(one.id, self._buckets), one)
            if examples.full or unread.full:
                yield from examples.drain()
                yield from tagged(unread.drain(), UNREAD)
                self._tell(read - told)
                told = read
        yield from examples.drain()
        yield from tagged(unread.drain(), UNREAD)
        yield from tagged(left_out.items(), LEFT_OUT)
        yield beam.pvalue.TaggedOutput(READ, read)
        self._tell(read - told)

    def _tell(self, read: int) -> None:
        self._read.inc(read)
        progress.record(self._progress, progress.READ, read)

    def _in_languages(self, example: Example) -> Iterator[AssignedExample | Reject]:
        """The example in each of its languages, with names in that language.

        One that no language of the mix has a name for is a `Reject`.
        """
        table = self._names.get(example.dataset)
        codes = self._assignment.languages(example)
        if not codes:
            yield _unnamed(example)
        for language in codes:
            yield AssignedExample(example if table is None else _named(example, language, table), language)


def if_english(example: Example) -> Example | Reject:
    """The example, or why it cannot be translated: a text that would be taken for English is surely not."""
    if example.language is not None:
        return example
    for what, text in (("prompt", example.prompt), ("target", example.target)):
        code = None if text is None or text.name is not None else foreign_language(text.text)
        if text is not None and code is not None:
            name = f"{languages()[code].name} ({code})" if code in languages() else code
            remedy = "; name their `language` in the recipe" if example.task == "text" else ""
            reason = f"foreign: the {what} is not English but {name}: {text.text[:80]!r}{remedy}"
            record = text.text[:MAX_RECORD]
            return Reject(example.dataset, example.source_id, example.task, reason, record, example.image_id)
    return example


def _unnamed(example: Example) -> Reject:
    shown = example.target.text if example.target.name else example.prompt and example.prompt.text
    reason = f"names: class {example.name} ({shown}) has a name in no language of the mix"
    record = example.image or ""
    return Reject(example.dataset, example.source_id, example.task, reason, record, example.image_id)


def _named(example: Example, language: str, table: NameTable) -> Example:
    def of(text: Text) -> Text:
        return text if text.name is None else replace(text, given=table.label(text.name, language))

    return replace(example, prompt=example.prompt and of(example.prompt), target=of(example.target))


class _FromBucketToBucket(beam.DoFn):
    """(bucket, blocks of examples) -> (other bucket, block) of those that pass; the others are rejected."""

    def __init__(self, buckets: int) -> None:
        self._buckets = buckets

    def start_bundle(self) -> None:
        self._passed, self._rejects = Gathered(EXAMPLES), Gathered(REJECTED)

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[object]:
        for one in self.sift(EXAMPLES.unpack_all(element[1])):
            if isinstance(one, RejectedExample):
                self._rejects.add(_ALL, one)
            else:
                self._passed.add(bucket_of(self.key(one), self._buckets), one)
            if self._passed.full or self._rejects.full:
                yield from self._passed.drain()
                yield from tagged((block for _, block in self._rejects.drain()), REJECTS)

    def finish_bundle(self) -> Iterator[object]:
        yield from at_the_end(self._passed.drain())
        yield from at_the_end((block for _, block in self._rejects.drain()), REJECTS)

    def sift(self, examples: Iterable[AssignedExample]) -> Iterator[AssignedExample | RejectedExample]:
        """The examples of one bucket, rejected or not."""
        raise NotImplementedError

    def key(self, assigned: AssignedExample) -> str:
        """What decides on the bucket of one that passed."""
        raise NotImplementedError


class RejectDuplicates(_FromBucketToBucket):
    """Examples by id -> the first of each id, by picture; the others are rejected.

    Which is first depends on their content, not on the order in which workers found them.
    """

    def sift(self, examples: Iterable[AssignedExample]) -> Iterator[AssignedExample | RejectedExample]:
        """All examples of an id must be among these."""
        by_id: dict[str, list[AssignedExample]] = {}
        for assigned in examples:
            by_id.setdefault(assigned.id, []).append(assigned)
        for alike in by_id.values():
            first, *others = alike if len(alike) == 1 else sorted(alike, key=repr)
            yield first
            for number, other in enumerate(others, 1):
                same = " with the same content" if other == first else " with other content"
                if other.example.task == "matching":
                    # A false caption is drawn by where it stands, and tells nothing of the records.
                    same = ""
                reason = (
                    f"duplicate: another example{same} has the id {other.example.id}, and only "
                    "one of them was looked at further; ids must be unique"
                )
                yield RejectedExample(other, reason, number)

    def key(self, assigned: AssignedExample) -> str:
        """The place of the picture; without one the id keeps the keys apart."""
        return assigned.example.image or assigned.example.id


_LIKENESS: Mapping[str, Callable[[bytes], str | int | None]] = {
    "none": lambda data: None,
    "exact": content_digest,
    "near": likeness,
}


class CheckImages(_FromBucketToBucket):
    """Examples by picture -> those whose pictures can be decoded, with their size, by what they show.

    A picture is decoded once. Distinct likenesses go to the output `LIKENESSES`, keyed by a bucket of them.
    """

    def __init__(
        self,
        max_pixels: int,
        deduplicate: Deduplicate,
        buckets: int,
        progress_directory: str | None = None,
    ) -> None:
        super().__init__(buckets)
        self._max_pixels = max_pixels
        self._likeness = deduplicate.images
        self._progress = progress_directory

    def start_bundle(self) -> None:
        super().start_bundle()
        self._likenesses = Gathered(LIKENESS)
        progress.enter(self._progress, progress.CHECKING)

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[object]:
        yield from super().process(element)
        if self._likenesses.full:
            yield from tagged(self._likenesses.drain(), LIKENESSES)

    def finish_bundle(self) -> Iterator[object]:
        yield from super().finish_bundle()
        yield from at_the_end(self._likenesses.drain(), LIKENESSES)

    def sift(self, examples: Iterable[AssignedExample]) -> Iterator[AssignedExample | RejectedExample]:
        """All examples of a picture must be among these."""
        # In the order of their places, so that archives are read from front to back.
        by_picture = sorted(examples, key=lambda assigned: assigned.example.image or "")
        told = 0
        checked: dict[str, tuple[int, str | int | None, str | None]] = {}
        seen: set[tuple[str | int, str]] = set()
        for number, assigned in enumerate(by_picture, start=1):
            one = self._checked(assigned, checked)
            if number == len(by_picture) or number - told >= _TOLD_AT_ONCE:
                progress.record(self._progress, progress.CHECKED, number - told)
                told = number
            yield one
            if isinstance(one, AssignedExample):
                alike, image_id = one.likeness, one.example.image_id
                if alike is not None and image_id is not None and (alike, image_id) not in seen:
                    seen.add((alike, image_id))
                    self._likenesses.add(bucket_of(str(alike), self._buckets), (alike, image_id))

    def _checked(
        self, assigned: AssignedExample, checked: dict[str, tuple[int, str | int | None, str | None]]
    ) -> AssignedExample | RejectedExample:
        """The example with what its pictures are like, which `checked` remembers."""
        size, likenesses = 0, []
        for locator in (assigned.example.image, assigned.example.second_image):
            if locator is None:
                continue
            if locator not in checked:
                checked[locator] = self._check(locator)
            more, likeness, reason = checked[locator]
            if reason is not None:
                return RejectedExample(assigned, reason)
            size += more
            likenesses.append(likeness)
        # A pair is another one if both pictures are; near ones are not looked for among pairs.
        both = "+".join(map(str, likenesses)) if len(likenesses) > 1 else None
        alike = both or next(iter(likenesses), None)
        return replace(assigned, image_size=size, likeness=alike) if likenesses else assigned

    def _check(self, locator: str) -> tuple[int, str | int | None, str | None]:
        """Size and likeness of a picture, or what is wrong with it."""
        try:
            data = image_bytes(locator)
            check_image(data, self._max_pixels)
        except BadImage as error:
            return 0, None, f"image: {error}"
        return len(data), _LIKENESS[self._likeness](data), None

    def key(self, assigned: AssignedExample) -> str:
        """See `shown_key`."""
        return shown_key(assigned)


LIKENESS = Packer(tuple[str | int, str])
"""(likeness, image id)."""
LIKENESSES = "likenesses"


def shown_key(assigned: AssignedExample) -> str:
    """What examples that say the same of the same have in common: the picture, or else the text."""
    example = assigned.example
    return example.target.text if example.image_id is None else example.image_id


class UnifyImages(beam.PTransform):
    """(bucket, block of examples) -> the same; pictures that are one have one id, the first in order.

    Takes two outputs of `CheckImages`, `examples` and `LIKENESSES`.
    """

    def __init__(self, deduplicate: Deduplicate, buckets: int) -> None:
        super().__init__()
        self._deduplicate, self._buckets = deduplicate, buckets

    def expand(self, checked: Mapping[str, beam.PCollection]) -> beam.PCollection:
        examples = checked["examples"]
        if self._deduplicate.images == "none":
            return examples
        alike = checked[LIKENESSES] | "Group likenesses" >> beam.GroupByKey()
        exact = self._deduplicate.images == "exact"
        copies = (
            alike
            | "Distinct" >> beam.FlatMap(_of_several_ids if exact else _distinct)
            | "All" >> beam.combiners.ToList()
            | "Copies" >> beam.FlatMap(_copies, 0 if exact else self._deduplicate.distance)
        )
        return examples | "Unify" >> beam.FlatMap(
            _unified, beam.pvalue.AsDict(copies), self._buckets
        ).with_output_types(Keyed)


def _distinct(group: tuple[int, Iterable[bytes]]) -> set[tuple[str | int, str]]:
    return set(LIKENESS.unpack_all(group[1]))


def _of_several_ids(group: tuple[int, Iterable[bytes]]) -> set[tuple[str | int, str]]:
    """All that exact copies need: what is alike comes in one group, and most pictures have one id."""
    found = _distinct(group)
    ids = Counter(shown for shown, _ in found)
    return {(shown, image_id) for shown, image_id in found if ids[shown] > 1}


def _copies(alike: Sequence[tuple[str | int, str]], distance: int) -> Iterator[tuple[str, str]]:
    yield from canonical_images([(image_id, seen) for seen, image_id in alike], distance).items()


def _unified(element: Keyed, copies: Mapping[str, str], buckets: int) -> Iterator[Keyed]:
    bucket, block = element
    if not copies:
        yield element
        return
    moved = Gathered(EXAMPLES)
    for assigned in EXAMPLES.unpack(block):
        image_id = assigned.example.image_id
        first = copies.get(image_id) if image_id is not None else None
        if first is None:
            moved.add(bucket, assigned)
        else:
            unified = replace(assigned, example=replace(assigned.example, image_id=first))
            moved.add(bucket_of(shown_key(unified), buckets), unified)
    yield from moved.drain()


class RejectRepeated(_FromBucketToBucket):
    """Examples by what they show -> those of the first id that say it, by id; the others are rejected."""

    def __init__(self, deduplicate: Deduplicate, buckets: int) -> None:
        """Without its `rows` all pass. With `images: exact`, pictures of one id are told by their bytes, with
        `none` by where they are.
        """
        super().__init__(buckets)
        self._enabled = deduplicate.rows
        self._exact = deduplicate.images == "exact"
        self._by_place = deduplicate.images == "none"

    def sift(self, examples: Iterable[AssignedExample]) -> Iterator[AssignedExample | RejectedExample]:
        """All examples with a picture or, without one, with a text must be among these."""
        if not self._enabled:
            yield from examples
            return
        by_content: dict[str, list[AssignedExample]] = {}
        for assigned in examples:
            shown = ""
            if self._exact:
                shown = str(assigned.likeness or "")
            elif self._by_place:
                shown = _PART.join((assigned.example.image or "", assigned.example.second_image or ""))
            by_content.setdefault(_PART.join((shown, _content_of(assigned.example))), []).append(assigned)
        for alike in by_content.values():
            first = min(assigned.example.id for assigned in alike)
            for assigned in alike:
                if assigned.example.id == first:
                    yield assigned
                else:
                    reason = f"duplicate: {first} has the same picture, prompt and target"
                    yield RejectedExample(assigned, reason)

    def key(self, assigned: AssignedExample) -> str:
        """The id."""
        return assigned.id


def _content_of(example: Example) -> str:
    """What an example shows and says in English."""
    return _PART.join(
        (
            example.image_id or "",
            example.language or "",
            example.task,
            example.family,
            example.prompt.text if example.prompt else "",
            example.target.text,
        )
    )
