"""Which texts of which rows are to be translated, and in what company: the way from examples to batches.

Texts go to buckets by language and by a hash of their content, not by arrival: a bucket holds the same texts
whatever the number of workers, so its batches do too, and the output is the same.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import apache_beam as beam
import msgspec
from msgspec.structs import replace

from pipelines.blocks import Gathered, Keyed, Packer, at_the_end, bucket_of
from pipelines.examples import Text
from pipelines.reading import EXAMPLES, PROMPT, TARGET, AssignedExample
from translation.answers import contexts
from translation.filters import is_short
from translation.languages import languages

TextKey = tuple[str, str]
"""(NLLB code of the target, English text): what is translated once, however many rows use it."""

TEXTS_PER_BUCKET = 4096
"""Some minutes of NLLB-600M on two cores: work enough for batches of texts of like length."""


class Use(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A text that is to be translated for a row."""

    language: str
    """NLLB code that it is wanted in."""
    text: str
    """English."""
    row: str
    """Id of the row."""
    slot: str
    """`PROMPT` or `TARGET`."""
    is_answer: bool = False
    """It goes through the answer table."""
    question: str | None = None
    """Which it answers, where that is known."""

    @property
    def key(self) -> TextKey:
        return self.language, self.text


USES = Packer(Use)

SLOT_OF_ANSWER = MappingProxyType(
    {
        "vqa": TARGET,
        "vqg": PROMPT,
        "matching": TARGET,
        "classify_yes_no": TARGET,
        "statement": TARGET,
        "entailment": TARGET,
    }
)
"""Task -> where its answer stands."""


def uses_of(assigned: AssignedExample, supported: frozenset[str]) -> Iterator[Use]:
    """What an example needs of the model.

    Args:
        supported: NLLB codes that the model was trained on.
    """
    if assigned.language not in supported:
        return
    example = assigned.example
    for slot, text in assigned.texts_to_translate():
        if SLOT_OF_ANSWER.get(example.task) == slot and is_short(text.text):
            question = _text(example.prompt) if example.task == "vqa" else None
            yield Use(assigned.language, text.text, assigned.id, slot, True, question)
        else:
            yield Use(assigned.language, text.text, assigned.id, slot)


def _text(text: Text | None) -> str | None:
    return text.text if text else None


@dataclass(frozen=True)
class TextBuckets:
    """How texts are spread: each language over buckets of its own, or several small ones in one."""

    first: Mapping[str, int]
    """NLLB code -> its first bucket."""
    count: Mapping[str, int]
    """NLLB code -> how many it has."""

    @classmethod
    def of(cls, texts: Mapping[str, int]) -> TextBuckets:
        """Args: texts: NLLB code -> distinct texts, about."""
        first: dict[str, int] = {}
        count: dict[str, int] = {}
        buckets, room = 0, 0
        # Languages of one script, which have tokens in common, side by side.
        wanted_in = {code: number for code, number in texts.items() if number}
        for code in sorted(wanted_in, key=lambda code: (languages()[code].scripts, code)):
            wanted = wanted_in[code]
            if wanted > room:
                first[code], count[code] = buckets, max(1, round(wanted / TEXTS_PER_BUCKET))
                buckets += count[code]
                # What is left of a bucket takes the next ones, if this language has only one.
                room = TEXTS_PER_BUCKET - wanted if count[code] == 1 else 0
            else:
                first[code], count[code] = buckets - 1, 1
                room -= wanted
        return cls(first, count)

    def of_text(self, key: TextKey) -> int:
        """The bucket of a text."""
        code, text = key
        return self.first.get(code, 0) + bucket_of(text, self.count.get(code, 1))

    def finished(self, buckets: Container[int]) -> int:
        """How many languages have all their texts in these buckets."""
        return sum(
            all(bucket in buckets for bucket in range(first, first + self.count[code]))
            for code, first in self.first.items()
        )


class GatherUses(beam.DoFn):
    """(bucket of rows, block of examples) -> (bucket of texts, block of `Use`s)."""

    def __init__(self, supported: frozenset[str], buckets: TextBuckets, in_context: bool) -> None:
        """`in_context`: answers are tried with their questions, which travel along then."""
        self._supported, self._buckets, self._in_context = supported, buckets, in_context

    def start_bundle(self) -> None:
        self._uses = Gathered(USES)
        self._contexts: dict[TextKey, tuple[str, ...]] = {}

    def process(self, element: Keyed) -> Iterator[Keyed]:
        for assigned in EXAMPLES.unpack(element[1]):
            for use in uses_of(assigned, self._supported):
                self._uses.add(self._buckets.of_text(use.key), self._with_context(use))
        if self._uses.full:
            yield from self._uses.drain()
            self._contexts.clear()

    def _with_context(self, use: Use) -> Use:
        """The use without its question, if others serve: a frequent answer has a million of them."""
        if use.question is None:
            return use
        if not self._in_context:
            return replace(use, question=None)
        known = self._contexts.get(use.key, ())
        chosen = self._contexts[use.key] = contexts((*known, use.question))
        return use if use.question in chosen and use.question not in known else replace(use, question=None)

    def finish_bundle(self) -> Iterator[object]:
        yield from at_the_end(self._uses.drain())
