"""Judgements: whether a statement holds for two pictures, whether a picture entails a hypothesis."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.examples import Example, Text
from pipelines.recipe_sources import Source
from pipelines.records import Entailed, Stated
from translation.answers import checked
from translation.row import PAIRED

YES, NO = "yes", "no"


def statement(source: Source, record: Stated, seed: int) -> Iterator[Example]:
    """A statement about two pictures; they and all that they are shown with stand on one side of the split.

    One that is not English stays as it is, and is answered in its language, if the words for yes and no are
    known.
    """
    left, right = record.pictures
    answer = YES if record.holds else NO
    if record.language is not None:
        answer = checked(answer, record.language) or answer
    yield Example(
        dataset=source.name,
        source_id=record.source_id,
        task="statement",
        image=left.locator,
        image_id=f"{left.image_id}{PAIRED}{right.image_id}",
        prompt=Text(record.statement, translate=source.prompt == "translate"),
        target=Text(answer),
        second_image=right.locator,
        picture_ids=(left.image_id, right.image_id),
        language=record.language,
    )


def entailment(source: Source, record: Entailed, seed: int) -> Iterator[Example]:
    """A hypothesis, to be answered with yes, maybe or no."""
    yield Example(
        dataset=source.name,
        source_id=record.source_id,
        task="entailment",
        image=record.picture.locator,
        image_id=record.picture.image_id,
        prompt=Text(record.hypothesis, translate=source.prompt == "translate"),
        target=Text(record.label),
    )
