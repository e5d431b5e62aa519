"""VQAv2 (https://visualqa.org): a file of questions, and one of annotations with ten answers each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evaluation.predictions import BROKEN_RECORD, UNGRADED
from evaluation.readers.records import (
    BadRecord,
    DataError,
    LeftOut,
    Record,
    Source,
    as_text,
    identifier,
    loaded,
    only_language,
    shown,
    text_of,
    texts_of,
)
from evaluation.tasks import TaskFile


def read(task: TaskFile, source: Source) -> Iterator[Record | LeftOut]:
    """A record per question; the annotations may be in another order."""
    (annotations,) = task.paths(("annotations",), task.task.annotations or "")
    answers: dict[object, object] = {}
    for one in _listed(loaded(annotations), "annotations", annotations.name):
        if isinstance(one, dict):
            answers[one.get("question_id")] = one.get("answers")
    code = source.code or only_language(task)
    for number, question in enumerate(_listed(loaded(source.path), "questions", source.path.name)):
        where = f"{source.path.name}: questions[{number}]"
        try:
            if not isinstance(question, dict):
                raise BadRecord(f"is {shown(question)}, an object wanted")
            name = identifier(question.get("question_id"), "question_id")
            image = identifier(question.get("image_id"), "image_id")
            text = text_of(question.get("question"), "question")
            given = answers.get(question["question_id"])
            if given is None:
                yield LeftOut(UNGRADED, f"{code} {name}: not in {annotations.name}")
                continue
            golds = _answers(given)
        except BadRecord as error:
            yield LeftOut(BROKEN_RECORD, f"{where}: {error}")
            continue
        yield Record(name, code, text, golds, question, unit=image)


def _answers(given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise BadRecord(f"`answers` is {shown(given)}, a list of objects wanted")
    listed = [one.get("answer") for one in given]
    texts_of(listed, "answers")
    # A blank answer is a person who gave none of the others': the shares are of all that answered.
    return tuple(as_text(one) or "" for one in listed)


def _listed(content: Any, key: str, file: str) -> list[Any]:
    listed = content.get(key) if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise DataError(f"{file}: has no list `{key}`; is it VQAv2's official file?")
    return listed
