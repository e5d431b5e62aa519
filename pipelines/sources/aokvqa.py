"""A-OKVQA: one list of questions with choices, direct answers and rationales."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.examples import Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import AokvqaSource
from pipelines.records import Asked, Place, Record
from pipelines.sources import json_lists
from pipelines.sources.coco_pictures import PROBES, CocoPictures, coco_number
from pipelines.sources.lines import opened, rejected
from pipelines.sources.lists import first_objects, list_objects, list_pieces
from pipelines.sources.pictures import picture_store
from pipelines.sources.pieces import Piece
from pipelines.sources.records import Unusable, answer_of, rationales_of
from pipelines.sources.values import BadRecord, cell, clean_text, distinct_texts, identifier, kind, shown


def pieces(recipe: Recipe, index: int, source: AokvqaSource) -> list[Piece]:
    """The one file as one piece.

    Raises:
        SettingsError: as `list_pieces`, or no record has an answer, as in the test split.
    """
    found = list_pieces(recipe, index, "list")
    for piece in found:
        with opened(piece) as file:
            answered = (_has_answer(value) for _, _, value in json_lists.items(file))
            first = next(answered, True)
            has_answers = first or any(answered)
        if not has_answers:
            remedy = f"{piece.label} has no answers, as the test split; name that of train or val"
            raise recipe.error(("sources", index, source.main), remedy)
    return found


def _has_answer(value: object) -> bool:
    """Whether a record has one, or is none and cannot tell."""
    if not isinstance(value, dict):
        return True
    return value.get("correct_choice_idx") is not None or bool(value.get("direct_answers"))


def read(recipe: Recipe, source: AokvqaSource, piece: Piece) -> Iterator[Record | Reject]:
    """One record per question."""
    with opened(piece) as file:
        first = first_objects(file, None, PROBES)
        numbers = [one.get("image_id") for one in first]
        pictures = CocoPictures(picture_store(recipe.source_path(source.images)), numbers)
        for position, _, value in list_objects(source, piece, file):
            if isinstance(value, Reject):
                yield value
                continue
            place = piece.place("byte", position)
            try:
                yield _asked(source, pictures, place, value)
            except Unusable as error:
                yield rejected(source, place, value, "question_id", error)


def _asked(source: AokvqaSource, pictures: CocoPictures, place: Place, value: dict[str, object]) -> Asked:
    rationales: tuple[str, ...] = ()
    fault: str | None = None
    if "reason" in source.tasks:
        rationales, fault = rationales_of(source, lambda: _rationales(value))
    return Asked(
        place,
        identifier(cell(value, "question_id"), "question_id"),
        pictures.picture(coco_number(cell(value, "image_id"), "`image_id`")),
        clean_text(cell(value, "question"), "question"),
        _answer(value),
        rationales,
        fault,
    )


def _rationales(value: dict[str, object]) -> tuple[str, ...]:
    written = cell(value, "rationales")
    if not isinstance(written, list):
        raise BadRecord(f"`rationales` is {shown(written)}, must be a list of texts")
    if not written:
        raise BadRecord("`rationales` is an empty list")
    return distinct_texts(written, "`rationales`")


def _answer(value: dict[str, object]) -> str:
    """The right choice, else the most common direct answer."""
    right = value.get("correct_choice_idx")
    if right is None:
        return answer_of(cell(value, "direct_answers"), "`direct_answers`")
    choices = cell(value, "choices")
    if not isinstance(choices, list):
        raise BadRecord(f"`choices` is {kind(choices)}, must be a list of texts")
    if type(right) is not int or not 0 <= right < len(choices):
        raise BadRecord(
            f"`correct_choice_idx` is {shown(right)}, must be a number from 0 to {len(choices) - 1}"
        )
    return clean_text(choices[right], f"choice {right}")
