"""MaXM (Changpinyo et al. 2023, https://github.com/google-research-datasets/maxm): a file a language."""

from __future__ import annotations

from collections.abc import Iterator

from evaluation.predictions import BROKEN_RECORD
from evaluation.readers.records import (
    BadRecord,
    DataError,
    LeftOut,
    Record,
    Source,
    blanks_of,
    identifier,
    loaded,
    only_language,
    shown,
    text_of,
    texts_of,
)
from evaluation.tasks import TaskFile


def read(task: TaskFile, source: Source) -> Iterator[Record | LeftOut]:
    """A record per question with all its accepted answers, `answers` and `processed_answers`."""
    content = loaded(source.path)
    annotations = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(annotations, list):
        raise DataError(f"{source.path}: has no list `annotations`; is it an official file of MaXM?")
    code = source.code or only_language(task)
    for number, image in enumerate(annotations):
        where = f"{source.path.name}: annotations[{number}]"
        pairs = image.get("qa_pairs") if isinstance(image, dict) else None
        if not isinstance(pairs, list):
            yield LeftOut(BROKEN_RECORD, f"{where}: `qa_pairs` is {shown(pairs)}, a list wanted")
            continue
        for pair in pairs:
            try:
                yield _asked(source, code, image, pair)
            except BadRecord as error:
                yield LeftOut(BROKEN_RECORD, f"{where}: {error}")


def _asked(source: Source, code: str, image: dict[str, object], pair: object) -> Record:
    if not isinstance(pair, dict):
        raise BadRecord(f"a question is {shown(pair)}, an object wanted")
    name = source.prefix + identifier(pair.get("question_id"), "question_id")
    picture = identifier(image.get("image_id"), "image_id")
    text = text_of(pair.get("question"), "question")
    golds = texts_of(pair.get("answers"), "answers")
    processed: tuple[str, ...] = ()
    if pair.get("processed_answers"):
        processed = texts_of(pair["processed_answers"], "processed_answers")
    blank = blanks_of(pair.get("answers"))
    values = {key: value for key, value in image.items() if key != "qa_pairs"}
    values = {"code": code, **values}
    accepted = tuple(dict.fromkeys((*golds, *processed)))
    return Record(name, code, text, accepted, values, unit=picture, published=processed, blank=blank)
