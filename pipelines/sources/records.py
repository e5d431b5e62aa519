"""What JSONL, CSV and Parquet share: the columns of a record, checked, become what it says."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from pipelines.examples import TRUNCATED, Reject
from pipelines.images import BadImage
from pipelines.inputs import parent
from pipelines.recipe import Recipe
from pipelines.recipe_sources import RecordSource, Source
from pipelines.records import Asked, Captioned, Picture, Place, Record, Talk, Written
from pipelines.sources.pictures import picture_store, url_picture
from pipelines.sources.pieces import Piece

MAX_TEXT = 20_000
"""Characters of one caption, question or answer; longer ones are scraped pages, not captions."""

MAX_RECORD = 2_000
"""Characters of a raw record that a reject keeps."""

MAX_ID = 200
"""Characters of a record's own id."""

_IMAGE_MARK = re.compile(r"<image>\n|\n<image>|<image>")
_CAPTION_TASKS = frozenset({"caption", "matching"})
_SPEAKERS = (("human", "user"), ("gpt", "assistant"))


class BadRecord(ValueError):
    """A record, or a text of it, that makes no example; the message says why, not where."""


class Item(NamedTuple):
    """One caption or turn of a record, or what is wrong with it."""

    suffix: str
    """Added to the record's id where one record holds several."""
    text: str = ""
    human: str = ""
    fault: str | None = None


@dataclass(frozen=True)
class _Items:
    items: tuple[Item, ...]
    turns: bool


@dataclass(frozen=True)
class _Question:
    question: str
    answer: str
    rationales: tuple[str, ...]
    fault: str | None = None


Unusable = (BadRecord, BadImage)
"""What makes a record a reject; an archive that cannot be read is another error."""


def fault(error: ValueError) -> str:
    """What a reject says of an error among `Unusable`."""
    return f"image: {error}" if isinstance(error, BadImage) else str(error)


def broken_off(rejected: Reject) -> Reject:
    """The reject of the place where a file breaks off: an unknown number of records was not read.

    It has its own short name, by which the run tells that more than one record is missing.
    """
    return replace(rejected, reason=rejected.reason.replace("source:", f"{TRUNCATED}:", 1))


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


def picture_role(source: RecordSource) -> str:
    """Which column names the pictures: `image`, or `url` where the recipe names that."""
    return "url" if source.reads_urls else "image"


def required_columns(source: RecordSource) -> dict[str, str]:
    """The columns that every record must have, by role."""
    required = {role: source.column(role) for role in source.text_roles}
    role = picture_role(source)
    if source.needs_picture or source.reads_urls:
        required[role] = source.column(role)
    for role in ("id", "image_id"):
        if getattr(source.columns, role) is not None:
            required[role] = source.column(role)
    return required


def check_columns(
    recipe: Recipe, index: int, source: RecordSource, there: Sequence[str], label: str, hint: str = ""
) -> None:
    """That a table has the columns that the source needs.

    Raises:
        SettingsError: one is missing; names those that are there, and then the hint.
    """
    for role, column in required_columns(source).items():
        if column not in there:
            shown_columns = ", ".join(there)
            shown_columns = shown_columns if len(shown_columns) <= 300 else f"{shown_columns[:297]}..."
            remedy = f"{label} has no column `{column}`; it has {shown_columns}{hint}"
            raise recipe.error(("sources", index, "columns", role), remedy)


def picture_of_cell(recipe: Recipe, source: RecordSource, piece: Piece) -> Callable[[object], Picture]:
    """What makes the picture of a cell that holds its path, or its URL; raises `BadImage` or `BadRecord`."""
    column = source.column(picture_role(source))
    if source.reads_urls:
        by_name, what = pictures_at_urls(recipe), "URL"
    else:
        images = source.images
        folder = parent(piece.path) if images is None else recipe.source_path(images)
        by_name, what = picture_store(folder).picture, "path"

    def picture(value: object) -> Picture:
        if isinstance(value, dict) and value.get("bytes") is None:
            # As `datasets` writes a column of pictures to JSON.
            value = value.get("path")
        if not isinstance(value, str):
            raise BadRecord(f"column {column!r} is {kind(value)}, must be the {what} of a picture")
        return by_name(value)

    return picture


def pictures_at_urls(recipe: Recipe) -> Callable[[str], Picture]:
    """What makes the picture of a URL, in the cache of a recipe that allows downloads; raises `BadImage`."""
    assert recipe.download is not None, "checked with the recipe"
    return partial(url_picture, recipe.path(recipe.download.cache))


def record_of(
    source: RecordSource,
    record: Mapping[str, object],
    place: Place,
    picture: Callable[[object], Picture],
    raw: Callable[[], str],
) -> Iterator[Record | Reject]:
    """What one record says, and a reject for each of its texts that cannot be used; at least one of them.

    Args:
        picture: makes the picture of the image column's value; may raise `BadImage` or `BadRecord`.
        raw: the record as text, for rejects.
    """
    source_id = image_id = None
    task = source.tasks[0]
    try:
        source_id = _record_id(source, record, place)
        if task in _CAPTION_TASKS and isinstance(record.get(source.column("caption")), str):
            # By far the most common record: it needs none of what lists do.
            yield _captioned(source, record, place, source_id, picture)
            return
        texts = _texts(source, record, place, source_id)
        image = None if isinstance(texts, Written) else _picture(source, record, picture)
        image_id = image.image_id if image else None
        if isinstance(texts, Written):
            yield texts
            return
        if isinstance(texts, _Question):
            assert image is not None
            yield Asked(place, source_id, image, texts.question, texts.answer, texts.rationales, texts.fault)
            return
        good = [item for item in texts.items if item.fault is None]
        if good and texts.turns:
            yield Talk(place, image, tuple((source_id + one.suffix, one.human, one.text) for one in good))
        elif good:
            assert image is not None
            yield Captioned(place, image, tuple((source_id + one.suffix, one.text) for one in good))
        for item in texts.items:
            if item.fault is not None:
                failed = f"{source_id}{item.suffix}"
                yield reject(source.name, task, place, failed, item.fault, raw(), image_id)
    except Unusable as error:
        yield reject(source.name, task, place, source_id or place.id, fault(error), raw())


def _captioned(
    source: RecordSource,
    record: Mapping[str, object],
    place: Place,
    source_id: str,
    picture: Callable[[object], Picture],
) -> Captioned:
    column = source.column("caption")
    text = clean_text(record[column], f"caption {column!r}")
    image = _picture(source, record, picture)
    assert image is not None
    return Captioned(place, image, ((source_id, text),))


def _texts(
    source: RecordSource, record: Mapping[str, object], place: Place, source_id: str
) -> _Items | _Question | Written:
    if "text" in source.tasks:
        column = source.column("text")
        text = clean_text(cell(record, column), f"text {column!r}", verbatim=True)
        return Written(place, source_id, text)
    if source.in_turns:
        column = source.column("conversation")
        return _Items(tuple(turns(cell(record, column), column, together=source.turns == "keep")), turns=True)
    if source.tasks[0] in _CAPTION_TASKS:
        return _Items(tuple(_captions(record, source.column("caption"))), turns=False)
    question = _question(source, record)
    if "instruct" in source.tasks:
        return _Items((Item("", question.answer, question.question),), turns=True)
    return question


def cell(record: Mapping[str, object], column: str) -> object:
    """The value of a column that every record has. Raises `BadRecord` where it is missing or null."""
    value = record.get(column)
    if value is not None:
        return value
    if column in record:
        raise BadRecord(f"column {column!r} is null")
    there = ", ".join(list(record)[:12]) or "none"
    raise BadRecord(f"no column {column!r}; there: {there[:200]!r}")


def _record_id(source: RecordSource, record: Mapping[str, object], place: Place) -> str:
    column = source.column("id")
    if source.columns.id is None and record.get(column) is None:
        return place.id
    return identifier(cell(record, column), column)


def identifier(value: object, column: str) -> str:
    """An id as text: a whole number, or 1 to 200 printable characters. Raises `BadRecord`."""
    if type(value) is int:
        if -(2**63) <= value < 2**64:
            return str(value)
        value = str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2.0**53:
        # A column of whole numbers in which one is missing, as pandas writes it.
        return str(int(value))
    if isinstance(value, float) and abs(value) >= 2.0**63:
        raise BadRecord(f"column {column!r} is a number of more than 64 bits; write such ids as text")
    if not isinstance(value, str):
        raise BadRecord(f"column {column!r} is {kind(value)}, an id must be text or a whole number")
    if not value.strip() or len(value) > MAX_ID or not value.isprintable():
        raise BadRecord(f"column {column!r} is {shown(value)}, an id has 1 to {MAX_ID} printable characters")
    return value


_ENTITY = re.compile(r"&(?:amp|quot|apos|lt|gt|nbsp|#0?39|#x27|#34);")
"""What web pages write for a few signs; texts that were taken from them still have it."""


def clean_text(value: object, what: str, *, verbatim: bool = False) -> str:
    """A text without white space around it, and with the signs that `&amp;` and the like stand for.

    Args:
        verbatim: leave those as they are: in what may be about web pages.

    Raises:
        BadRecord: it is no text, empty, too long, or holds NUL or half of a surrogate pair.
    """
    if not isinstance(value, str):
        raise BadRecord(f"{what} is {kind(value)}, must be text")
    if not verbatim and "&" in value and ";" in value:
        value = _ENTITY.sub(lambda found: html.unescape(found[0]), value)
    # Nearly all captions; nothing else can be wrong with those.
    if value.isascii() and value.isprintable() and len(value) <= MAX_TEXT and (plain := value.strip()):
        return plain
    if len(value) > MAX_TEXT:
        raise BadRecord(f"text of {len(value):,} characters, at most {MAX_TEXT:,} ({what})")
    text = value.strip()
    # The first character decides nearly always.
    if not text[:1].isalnum() and not any(one.isprintable() and not one.isspace() for one in text):
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


def _captions(record: Mapping[str, object], column: str) -> Iterator[Item]:
    captions = cell(record, column)
    if not isinstance(captions, list):
        yield Item("", clean_text(captions, f"caption {column!r}"))
    elif not captions:
        raise BadRecord(f"caption {column!r} is an empty list")
    else:
        for index, caption in enumerate(captions):
            try:
                yield Item(f"#{index}", clean_text(caption, f"caption {column!r} item {index}"))
            except BadRecord as error:
                yield Item(f"#{index}", fault=str(error))


def _question(source: RecordSource, record: Mapping[str, object]) -> _Question:
    column = source.column("question")
    what = f"question {column!r}"
    question = _without_mark(clean_text(cell(record, column), what), what)
    column = source.column("answer")
    answer = answer_of(cell(record, column), f"answer {column!r}")
    if "reason" not in source.tasks:
        return _Question(question, answer, ())
    rationales, fault = rationales_of(source, lambda: _rationales(source, record))
    return _Question(question, answer, rationales, fault)


def rationales_of(source: Source, read: Callable[[], tuple[str, ...]]) -> tuple[tuple[str, ...], str | None]:
    """The rationales of a record; or none and what is wrong with them, if other tasks can use the record.

    Raises:
        BadRecord: something is wrong with them, and nothing else is made of the record.
    """
    try:
        return read(), None
    except BadRecord as error:
        if source.tasks == ("reason",):
            raise
        return (), str(error)


def _rationales(source: RecordSource, record: Mapping[str, object]) -> tuple[str, ...]:
    column = source.column("rationale")
    value = cell(record, column)
    values = value if isinstance(value, list) else [value]
    if not values:
        raise BadRecord(f"rationale {column!r} is an empty list")
    return distinct_texts(values, f"rationale {column!r}")


def distinct_texts(values: Sequence[object], what: str) -> tuple[str, ...]:
    """Clean texts, each once. Raises `BadRecord` for the first that is none."""
    return tuple(dict.fromkeys(clean_text(one, f"{what} item {index}") for index, one in enumerate(values)))


def answer_of(value: object, what: str) -> str:
    """A text, or the most common of a list of them (VQAv2: mappings with `answer`), the first of equals."""
    if not isinstance(value, list):
        return clean_text(value, what)
    if not value:
        raise BadRecord(f"{what} is an empty list")
    answers = [one.get("answer") if isinstance(one, Mapping) else one for one in value]
    # Who gave no answer does not take that of others away.
    given = [(index, one) for index, one in enumerate(answers) if one is not None and str(one).strip()]
    texts = [clean_text(one, f"{what} item {index}") for index, one in given or enumerate(answers)]
    return Counter(texts).most_common(1)[0][0]


def turns(value: object, column: str, *, together: bool) -> Iterator[Item]:
    """The pairs of a conversation, LLaVA's `from`/`value` or chat `role`/`content`.

    Args:
        together: a prompt holds what was said before, so nothing can follow a pair that cannot be used.

    Raises:
        BadRecord: they are no pairs of question and answer, or ask for more than one picture.
    """
    if not isinstance(value, list):
        raise BadRecord(f"conversation {column!r} is {kind(value)}, must be a list of turns")
    if not value:
        raise BadRecord(f"conversation {column!r} is empty")
    marks = 0
    said = []
    for index, turn in enumerate(value):
        role, text = _turn(turn, index)
        if role not in _SPEAKERS[index % 2]:
            right = " or ".join(_SPEAKERS[index % 2])
            raise BadRecord(f"turn {index} is by {shown(role)}, must be by {right}: they alternate")
        if isinstance(text, str) and "<image>" in text:
            marks += text.count("<image>")
        said.append(text)
    if len(said) == 1:
        raise BadRecord("conversation without an answer")
    if marks > 1:
        raise BadRecord(f"{marks} marks `<image>`, a record has one picture")
    broken: int | None = None
    for pair, start in enumerate(range(0, len(said), 2)):
        item = _pair(said[start : start + 2], pair)
        if together and broken is not None and item.fault is None:
            before = f"turn {2 * broken} or its answer, which was said before, cannot be used"
            item = item._replace(fault=before)
        if item.fault is not None and broken is None:
            broken = pair
        yield item


def _turn(turn: object, index: int) -> tuple[object, object]:
    if not isinstance(turn, dict):
        raise BadRecord(f"turn {index} is {kind(turn)}, must be a mapping of from/value or role/content")
    if "from" in turn:
        return turn["from"], turn.get("value")
    if "role" in turn:
        return turn["role"], turn.get("content")
    raise BadRecord(f"turn {index} has neither `from` nor `role`")


def _pair(texts: Sequence[object], pair: int) -> Item:
    suffix = f"#{pair}"
    try:
        asked = f"turn {2 * pair}"
        prompt = _without_mark(clean_text(texts[0], asked, verbatim=True), asked)
        if len(texts) == 1:
            raise BadRecord(f"{asked} has no answer")
        return Item(suffix, clean_text(texts[1], f"turn {2 * pair + 1}", verbatim=True), prompt)
    except BadRecord as error:
        return Item(suffix, fault=str(error))


def _without_mark(text: str, what: str) -> str:
    """The prompt without LLaVA's `<image>` and its line break; the trainer puts the picture itself."""
    if "<image>" not in text:
        return text
    without = _IMAGE_MARK.sub("", text).strip()
    if not without:
        raise BadRecord(f"{what} is empty but for `<image>`")
    return without


def _picture(
    source: RecordSource, record: Mapping[str, object], picture: Callable[[object], Picture]
) -> Picture | None:
    column = source.column(picture_role(source))
    if record.get(column) is None:
        if not source.needs_picture and not source.reads_urls:
            if any("<image>" in str(record.get(source.column(role))) for role in source.text_roles):
                raise BadRecord(f"`<image>` in the text, but no column {column!r}")
            return None
        cell(record, column)
    found = picture(record[column])
    if source.columns.image_id is None:
        return found
    return Picture(found.locator, identifier(cell(record, source.columns.image_id), source.columns.image_id))


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
