"""VQAv2: a file of questions and one of annotations, joined by `question_id` while both are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import BinaryIO

from pipelines.examples import Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import Vqav2Source
from pipelines.records import Asked, Record
from pipelines.sources.coco_pictures import PROBES, CocoPictures, coco_number
from pipelines.sources.lines import json_text, opened, rejected
from pipelines.sources.lists import check_list, first_objects, list_objects, list_pieces
from pipelines.sources.pictures import picture_store
from pipelines.sources.pieces import Piece, whole_files
from pipelines.sources.records import Unusable, answer_of, fault, reject
from pipelines.sources.values import BadRecord, cell, clean_text, identifier


def pieces(recipe: Recipe, index: int, source: Vqav2Source) -> list[Piece]:
    """The file of questions as one piece. Raises `SettingsError` as `list_pieces`, for both files."""
    found = list_pieces(recipe, index, "object", "questions")
    annotations = _annotations(recipe, index, source)
    check_list(recipe, ("sources", index, "annotations"), annotations, "annotations")
    return found


def read(recipe: Recipe, source: Vqav2Source, piece: Piece) -> Iterator[Record | Reject]:
    """One record per question, in the order in which the two halves are complete.

    The official files have the same order, so nothing waits for its other half; of files in other orders, as
    much is held as they differ, at most the questions and answers of one of them.
    """
    other = _annotations(recipe, piece.source, source)
    with opened(piece) as questions, opened(other) as annotations:
        first = first_objects(questions, "questions", PROBES)
        numbers = [one.get("image_id") for one in first]
        pictures = CocoPictures(picture_store(recipe.source_path(source.images)), numbers)
        waiting: tuple[dict[str, _Half | Reject], dict[str, _Half | Reject]] = ({}, {})
        for step in zip_longest(
            _halves(source, piece, questions, "questions", _question),
            _halves(source, other, annotations, "annotations", _answer),
        ):
            for side, entry in enumerate(step):
                if entry is None:
                    continue
                key, half = entry
                if key is None:
                    assert isinstance(half, Reject)
                    yield half
                elif key in waiting[1 - side]:
                    there = waiting[1 - side].pop(key)
                    yield _joined(source, pictures, key, *((there, half) if side else (half, there)))
                elif key in waiting[side]:
                    yield _alone(source, key, half, "another record of the file has this `question_id` too")
                else:
                    waiting[side][key] = half
    for key, half in waiting[0].items():
        yield _alone(
            source,
            key,
            half,
            f"no annotation in {other.label} has this `question_id`, or another question has it too",
        )
    for key, half in waiting[1].items():
        yield _alone(
            source,
            key,
            half,
            f"no question in {piece.label} has this `question_id`, or another annotation has it too",
        )


@dataclass(frozen=True, slots=True)
class _Half:
    """A question, or an answer."""

    piece: Piece
    position: int
    image: int
    text: str


def _annotations(recipe: Recipe, index: int, source: Vqav2Source) -> Piece:
    (found,) = whole_files(recipe, index, recipe.files(source.annotations))
    return found


def _halves(
    source: Vqav2Source,
    piece: Piece,
    file: BinaryIO,
    path: str,
    text: Callable[[dict[str, object]], str],
) -> Iterator[tuple[str | None, _Half | Reject]]:
    """The records of one file by their ids; a bad one goes by its id too, where it has one."""
    for position, _, value in list_objects(source, piece, file, path):
        if isinstance(value, Reject):
            yield None, value
            continue
        key = None
        try:
            key = identifier(cell(value, "question_id"), "question_id")
            image = coco_number(cell(value, "image_id"), "`image_id`")
            yield key, _Half(piece, position, image, text(value))
        except BadRecord as error:
            yield key, rejected(source, piece.place("byte", position), value, "question_id", error)


def _question(value: dict[str, object]) -> str:
    return clean_text(cell(value, "question"), "question")


def _answer(value: dict[str, object]) -> str:
    """The most common answer, as the annotators' answers were counted, else as they stand there."""
    key = "answers" if value.get("multiple_choice_answer") is None else "multiple_choice_answer"
    return answer_of(cell(value, key), f"`{key}`")


def _joined(
    source: Vqav2Source, pictures: CocoPictures, key: str, question: _Half | Reject, answer: _Half | Reject
) -> Asked | Reject:
    """A question with its answer; one reject if either is bad."""
    if isinstance(question, Reject):
        return question
    if isinstance(answer, Reject):
        return answer
    if question.image != answer.image:
        there = f"{answer.piece.label} byte {answer.position}"
        why = f"its `image_id` is {question.image}, but that of its annotation ({there}) is {answer.image}"
        return _alone(source, key, question, why)
    try:
        picture = pictures.picture(question.image)
    except Unusable as error:
        return _alone(source, key, question, fault(error))
    place = question.piece.place("byte", question.position)
    return Asked(place, key, picture, question.text, answer.text)


def _alone(source: Vqav2Source, key: str, half: _Half | Reject, why: str) -> Reject:
    if isinstance(half, Reject):
        return half
    place = half.piece.place("byte", half.position)
    raw = json_text({"question_id": key, "image_id": half.image, "text": half.text})
    return reject(source.name, source.tasks[0], place, key, why, raw)
