"""What is scored: a prediction, the references that it is held against, and what belongs together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Expected:
    """One question or picture of a task, as its official files have it."""

    id: str
    """Unique within its language."""
    language: str
    """NLLB code, by which it is counted."""
    references: tuple[str, ...]
    """Gold answers or captions, at least one."""
    unit: str
    """What is drawn together when scores are resampled, such as the picture; languages may share it."""
    choices: tuple[str, ...] = ()
    """The answers to choose from; empty where the answer is open."""
    answered_in: str | None = None
    """NLLB code of the answer where it is another, such as English answers to German questions."""
    published: tuple[str, ...] = ()
    """The references that published evaluations look at, where these are not all."""

    def __post_init__(self) -> None:
        if not self.references:
            raise ValueError(f"{self.language} {self.id!r} has no references, so nothing can be scored by it")

    @property
    def answer_language(self) -> str:
        """NLLB code of the answer."""
        return self.answered_in or self.language


@dataclass(frozen=True)
class Item:
    """A question or picture with the prediction for it."""

    expected: Expected
    prediction: str
    """Empty where the model said nothing, or no prediction was found."""

    @property
    def empty(self) -> bool:
        return not self.prediction.strip()


def by_language(items: Sequence[Item]) -> dict[str, NDArray[np.intp]]:
    """Per NLLB code, in code order, the places of its items."""
    return places_of([item.expected.language for item in items])


def by_answer(items: Sequence[Item]) -> list[tuple[str, NDArray[np.intp]]]:
    """The places of the items of each language, with the language of their answers (NLLB codes)."""
    found: dict[tuple[str, str], list[int]] = {}
    for place, item in enumerate(items):
        found.setdefault((item.expected.language, item.expected.answer_language), []).append(place)
    return [(answer, np.array(found[own, answer], np.intp)) for own, answer in sorted(found)]


def places_of(names: Iterable[str]) -> dict[str, NDArray[np.intp]]:
    """Per distinct name, in order, where it stands."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        found.setdefault(name, []).append(place)
    return {name: np.array(found[name], np.intp) for name in sorted(found)}
