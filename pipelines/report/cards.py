"""Samples as they are shown: texts with their languages, cut where they are very long, scores, pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.reasons import text_reason
from pipelines.report.rules import FLAGS
from pipelines.report.samples import Sample
from translation.filters.verdicts import parse_reason
from translation.languages import ENGLISH, languages
from translation.row import ACCEPT, PROMPT_PREFIX

LONGEST_TEXT = 1200
"""Characters of a text that are shown."""
LONGEST_ALT = 100
"""Characters of what is read out for a picture."""


@dataclass(frozen=True)
class ShownText:
    """One text of a row."""

    label: str
    text: str
    tag: str | None
    """BCP-47; None where it is in no language that is known."""
    direction: str
    """As HTML's `dir` has it."""
    cut: int = 0
    """Characters that are not shown."""


@dataclass(frozen=True)
class ShownScore:
    """A score of a row."""

    name: str
    value: str
    broken: bool
    """Whether it is why the row was rejected."""


@dataclass(frozen=True)
class ShownPicture:
    """A picture of a row, or why there is none."""

    url: str | None
    """`data:`."""
    text: str
    """What is read out for it, or why it is not there."""


@dataclass(frozen=True)
class Card:
    """A row as it is shown."""

    id: str
    task: str
    accepted: bool
    reason: str
    """Empty if it was accepted."""
    rule: str
    """Short name of the reason; empty if it was accepted."""
    pictures: tuple[ShownPicture, ...]
    texts: tuple[ShownText, ...]
    scores: tuple[ShownScore, ...]
    """Of the target, then of the prompt."""


Show = Callable[[Mapping[str, Any]], tuple[str | None, str]]
"""A picture's `bytes` and `path` -> its `data:` URL if it can be shown, or why not."""


def card(sample: Sample, show: Show) -> Card:
    """A row as it is shown."""
    row = sample.row
    reason = row["reason"] or ""
    alt = " ".join((row["source_target"] or row["image_id"] or "picture").split())[:LONGEST_ALT]
    pictures = []
    for one in sample.pictures:
        url, why = show(one)
        pictures.append(ShownPicture(url, alt if url else why))
    return Card(
        id=row["id"],
        task=row["task"],
        accepted=row["verdict"] == ACCEPT,
        reason=reason,
        rule=reason.partition(":")[0],
        pictures=tuple(pictures),
        texts=tuple(_texts(row)),
        scores=tuple(_scores(row["scores"] or {}, reason)),
    )


def _texts(row: Mapping[str, Any]) -> Iterator[ShownText]:
    """In the order in which a reader compares them."""
    if row["prompt"] is not None:
        # A prompt may hold a question in another language: its first letters decide on the direction.
        yield _text("Prompt", row["prompt"], row["prompt_language"], "auto")
    if row["source_prompt"] not in (None, row["prompt"]):
        yield _text("English prompt", row["source_prompt"], ENGLISH)
    translated = row["source_target"] != row["target"]
    if row["source_target"] is not None and translated:
        yield _text("English", row["source_target"], ENGLISH if row["target"] is not None else None)
    if row["target"] is not None:
        yield _text("Translation" if translated else "Text", row["target"], row["language"])
    if row["back_translation"] is not None:
        yield _text("Back", row["back_translation"], ENGLISH)


def _text(label: str, text: str, code: str | None, direction: str | None = None) -> ShownText:
    language = languages().get(code or "")
    if direction is None:
        direction = "auto" if language is None else "rtl" if language.right_to_left else "ltr"
    return ShownText(
        label,
        text[:LONGEST_TEXT],
        language.bcp47 if language else None,
        direction,
        max(len(text) - LONGEST_TEXT, 0),
    )


def _scores(scores: Mapping[str, float | None], reason: str) -> Iterator[ShownScore]:
    text, in_prompt = text_reason(reason)
    broken = parse_reason(text)
    wrong = None if broken is None else (PROMPT_PREFIX if in_prompt else "") + broken.rule
    for name, value in scores.items():
        # A flag that is not raised says nothing.
        if value is not None and not (value == 0 and name.removeprefix(PROMPT_PREFIX) in FLAGS):
            shown = name.replace(PROMPT_PREFIX, "prompt ", 1) if name.startswith(PROMPT_PREFIX) else name
            yield ShownScore(shown, f"{value:.3g}", name == wrong)
