"""What JSONL and Parquet share: a record, a mapping of columns, becomes examples and rejects."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.examples import Example, Reject, Text
from pipelines.images import BadImage
from pipelines.recipe import RecordSource

MAX_TEXT = 20_000
"""Characters of one caption, question or answer; longer ones are scraped pages, not captions."""

MAX_RECORD = 2_000
"""Characters of a raw record that a reject keeps."""

MAX_ID = 200
"""Characters of a record's own id."""

_IMAGE_MARK = re.compile(r"<image>\n|\n<image>|<image>")
_HUMAN, _ASSISTANT = ("human", "user"), ("gpt", "assistant")


class BadRecord(ValueError):
    """A record, or a text of it, that makes no example; the message says why, not where."""


@dataclass(frozen=True)
class Picture:
    """Where a record's picture is, and its stable id."""

    locator: str
    image_id: str


@dataclass(frozen=True)
class Place:
    """Where a record stands: `captions/a.jsonl`, `byte`, 1234."""

    file: str
    """Relative to the recipe's folder."""
    unit: str
    position: int
    stem: str
    """What ids made from the position start with."""

    @property
    def id(self) -> str:
        return f"{self.stem}@{self.position}"

    def __str__(self) -> str:
        return f"{self.file} {self.unit} {self.position}"


@dataclass(frozen=True)
class _Texts:
    """One example's texts, or what is wrong with them."""

    suffix: str
    """Added to the record's id where one record makes several examples."""
    prompt: str | None = None
    target: str = ""
    fault: str | None = None


def reject(
    source: str,
    task: str,
    place: Place,
    source_id: str,
    reason: str,
    record: str,
    image_id: str | None = None,
) -> Reject:
    """The reject of a record or of one of its texts; `place` names file and position."""
    kept = record[:MAX_RECORD].encode(errors="backslashreplace").decode()[:MAX_RECORD]
    return Reject(source, source_id, task, f"source: {place}: {reason}", kept, image_id)


def record_examples(
    source: RecordSource,
    record: Mapping[str, object],
    place: Place,
    picture: Callable[[object], Picture],
    raw: Callable[[], str],
) -> Iterator[Example | Reject]:
    """One record's examples and rejects, at least one of them.

    Args:
        picture: makes the picture of the image column's value; may raise `BadImage` or `BadRecord`.
        raw: the record as text, for rejects.
    """
    source_id = place.id
    image_id = None
    try:
        source_id = _record_id(source, record, place)
        if source.in_turns:
            texts = list(_turns(_cell(record, source.column("conversation")), source.column("conversation")))
        else:
            texts = list(_single(source, record))
        image = _picture(source, record, picture)
        image_id = image.image_id if image else None
        for text in texts:
            if text.fault is None:
                yield _example(source, f"{source_id}{text.suffix}", text, image)
            else:
                failed = f"{source_id}{text.suffix}"
                yield reject(source.name, source.task, place, failed, text.fault, raw(), image_id)
    except (BadRecord, BadImage) as error:
        what = "image: " if isinstance(error, BadImage) else ""
        yield reject(source.name, source.task, place, source_id, f"{what}{error}", raw())


def _example(source: RecordSource, source_id: str, text: _Texts, image: Picture | None) -> Example:
    return Example(
        dataset=source.name,
        source_id=source_id,
        task=source.task,
        image=image.locator if image else None,
        image_id=image.image_id if image else None,
        prompt=None if text.prompt is None else Text(text.prompt, translate=source.prompt == "translate"),
        target=Text(text.target),
    )


def _cell(record: Mapping[str, object], column: str) -> object:
    if column not in record:
        there = ", ".join(list(record)[:12]) or "none"
        raise BadRecord(f"no column {column!r}; there: {there[:200]!r}")
    if record[column] is None:
        raise BadRecord(f"column {column!r} is null")
    return record[column]


def _record_id(source: RecordSource, record: Mapping[str, object], place: Place) -> str:
    column = source.column("id")
    if source.columns.id is None and record.get(column) is None:
        return place.id
    return identifier(_cell(record, column), column)


def identifier(value: object, column: str) -> str:
    """An id as text: a whole number, or 1 to 200 printable characters. Raises `BadRecord`."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise BadRecord(f"column {column!r} is {kind(value)}, an id must be text or a whole number")
    if not value.strip() or len(value) > MAX_ID or not value.isprintable():
        raise BadRecord(f"column {column!r} is {shown(value)}, an id has 1 to {MAX_ID} printable characters")
    return value


def clean_text(value: object, what: str) -> str:
    """A text without white space around it.

    Raises:
        BadRecord: it is no text, empty, too long, or holds NUL or half of a surrogate pair.
    """
    if not isinstance(value, str):
        raise BadRecord(f"{what} is {kind(value)}, must be text")
    if len(value) > MAX_TEXT:
        raise BadRecord(f"text of {len(value):,} characters, at most {MAX_TEXT:,} ({what})")
    text = value.strip()
    if not any(character.isprintable() and not character.isspace() for character in text):
        raise BadRecord(f"{what} is empty")
    if "\0" in text:
        raise BadRecord(f"{what} holds NUL at character {value.index(chr(0))}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            lone = f"U+{ord(text[error.start]):04X}"
            raise BadRecord(
                f"{what} holds half of a surrogate pair, {lone}, at character {error.start}"
            ) from error
    return text


def _single(source: RecordSource, record: Mapping[str, object]) -> Iterator[_Texts]:
    if source.task == "caption":
        column = source.column("caption")
        captions = _cell(record, column)
        if not isinstance(captions, list):
            yield _Texts("", target=clean_text(captions, f"caption {column!r}"))
        elif not captions:
            raise BadRecord(f"caption {column!r} is an empty list")
        else:
            for index, caption in enumerate(captions):
                try:
                    yield _Texts(f"#{index}", target=clean_text(caption, f"caption {column!r} item {index}"))
                except BadRecord as error:
                    yield _Texts(f"#{index}", fault=str(error))
        return
    column = source.column("question")
    question = _without_mark(
        clean_text(_cell(record, column), f"question {column!r}"), f"question {column!r}"
    )
    column = source.column("answer")
    yield _Texts("", question, _answer(_cell(record, column), f"answer {column!r}"))


def _answer(value: object, what: str) -> str:
    """A text, or the most common of a list of them (VQAv2: mappings with `answer`), the first of equals."""
    if not isinstance(value, list):
        return clean_text(value, what)
    if not value:
        raise BadRecord(f"{what} is an empty list")
    answers = [one.get("answer") if isinstance(one, Mapping) else one for one in value]
    texts = [clean_text(one, f"{what} item {index}") for index, one in enumerate(answers)]
    return Counter(texts).most_common(1)[0][0]


def _turns(value: object, column: str) -> Iterator[_Texts]:
    """The pairs of a conversation, LLaVA's `from`/`value` or chat `role`/`content`."""
    if not isinstance(value, list):
        raise BadRecord(f"conversation {column!r} is {kind(value)}, must be a list of turns")
    if not value:
        raise BadRecord(f"conversation {column!r} is empty")
    turns = [_turn(turn, index) for index, turn in enumerate(value)]
    for index, (role, _) in enumerate(turns):
        right = _HUMAN if index % 2 == 0 else _ASSISTANT
        if role not in right:
            raise BadRecord(
                f"turn {index} is by {shown(role)}, must be by {' or '.join(right)}: they alternate"
            )
    if len(turns) == 1:
        raise BadRecord("conversation without an answer")
    marks = sum(text.count("<image>") for _, text in turns if isinstance(text, str))
    if marks > 1:
        raise BadRecord(f"{marks} marks `<image>`, a record has one picture")
    for pair, start in enumerate(range(0, len(turns), 2)):
        yield _pair(turns[start : start + 2], pair)


def _turn(turn: object, index: int) -> tuple[object, object]:
    if not isinstance(turn, Mapping):
        raise BadRecord(f"turn {index} is {kind(turn)}, must be a mapping of from/value or role/content")
    for role, text in (("from", "value"), ("role", "content")):
        if role in turn:
            return turn[role], turn.get(text)
    raise BadRecord(f"turn {index} has neither `from` nor `role`")


def _pair(turns: Sequence[tuple[object, object]], pair: int) -> _Texts:
    suffix = f"#{pair}"
    try:
        asked = f"turn {2 * pair}"
        prompt = _without_mark(clean_text(turns[0][1], asked), asked)
        if len(turns) == 1:
            raise BadRecord(f"{asked} has no answer")
        return _Texts(suffix, prompt, clean_text(turns[1][1], f"turn {2 * pair + 1}"))
    except BadRecord as error:
        return _Texts(suffix, fault=str(error))


def _without_mark(text: str, what: str) -> str:
    """The prompt without LLaVA's `<image>` and its line break; the trainer puts the picture itself."""
    without = _IMAGE_MARK.sub("", text).strip()
    if not without:
        raise BadRecord(f"{what} is empty but for `<image>`")
    return without


def _picture(
    source: RecordSource, record: Mapping[str, object], picture: Callable[[object], Picture]
) -> Picture | None:
    column = source.column("image")
    if record.get(column) is None:
        if source.task == "instruct" and source.columns.image is None:
            if any("<image>" in str(record.get(source.column(role))) for role in source.text_roles):
                raise BadRecord(f"`<image>` in the text, but no column {column!r}")
            return None
        _cell(record, column)
    found = picture(record[column])
    if source.columns.image_id is None:
        return found
    return Picture(found.locator, identifier(_cell(record, source.columns.image_id), source.columns.image_id))


def kind(value: object) -> str:
    """What a value of JSON is, for messages."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list"}
    if value is None:
        return "null"
    return "an object" if isinstance(value, Mapping) else names.get(type(value), type(value).__name__)


def shown(value: object) -> str:
    """A value of a record, short enough for a message."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
