"""Which languages an example gets, and on which side of the split its picture stands, as it was planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.allocation import Allocation
from pipelines.examples import Example
from pipelines.hashing import Hashes, hash_of, holds
from pipelines.split import side_of

LANGUAGE, SAMPLE, PHRASE, SPLIT = "language", "sample", "phrase", "split"
"""Purposes of hashes."""


@dataclass(frozen=True)
class Assignment:
    """What a plan decides on, as a worker applies it to one example at a time; small and picklable."""

    seed: int
    allocation: Allocation
    by_image: Mapping[str, str]
    """Source -> the stratum of its pictures, if its policy gives all examples of one the same languages."""
    by_phrase: Mapping[str, Hashes]
    """Source -> sorted hashes of the ids whose captions it keeps, where it balances phrases."""
    limits: Mapping[str, int]
    """`source/task` -> the bound of the sample hashes that `max_rows` has room for, if it has not for all."""
    validation: Hashes
    """Sorted hashes of the pictures that are held out."""

    @property
    def codes(self) -> tuple[str, ...]:
        """The NLLB codes that examples can get, English first."""
        return self.allocation.codes

    def keeps(self, example: Example) -> bool:
        """Whether the recipe has room for an example (`max_rows`, `phrases`)."""
        kept = self.by_phrase.get(example.dataset)
        if kept is not None and not holds(kept, hash_of(self.seed, PHRASE, caption_key(example))):
            return False
        bound = self.limits.get(f"{example.dataset}/{example.task}")
        return bound is None or hash_of(self.seed, SAMPLE, example.id) < bound

    def languages(self, example: Example) -> tuple[str, ...]:
        """NLLB codes, all different."""
        if example.language is not None:
            return (example.language,)
        pictures = self.by_image.get(example.dataset)
        unit = hash_of(self.seed, LANGUAGE, unit_key(example, pictures is not None))
        return self.allocation.languages(stratum_of(example, pictures), unit)

    def split(self, example: Example) -> str:
        """`train` or `validation`, by the picture if there is one, and so for all languages alike."""
        return side_of(self.validation, hash_of(self.seed, SPLIT, split_key(example)))


def stratum_of(example: Example, pictures: str | None) -> str:
    """Among what the language policy is exact.

    Args:
        pictures: the stratum of pictures, if they get the languages. Examples that are made of names are in
            none of those, since each class has names in other languages.
    """
    if pictures is None or example.image_id is None or example.name is not None:
        return example.stratum
    return pictures


def unit_key(example: Example, by_image: bool) -> str:
    """What languages are drawn for: the example, or its picture."""
    return example.image_id if by_image and example.image_id is not None else example.id


def split_key(example: Example) -> str:
    """What stands on one side of the split: a picture; without one a conversation, or else the example."""
    if example.image_id is not None:
        return example.image_id
    if example.conversation is not None:
        return f"{example.dataset}/{example.conversation}/{example.task}"
    return example.id


def caption_key(example: Example) -> str:
    """What is kept or left out with its phrases, for every task alike."""
    return f"{example.dataset}/{example.source_id}"
