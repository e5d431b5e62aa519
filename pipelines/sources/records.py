"""What JSONL, CSV and Parquet share: the columns of a record, checked, become what it says."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, repeat
from types import NoneType
from typing import TypeVar

from pipelines.examples import TRUNCATED, LeftOut, Reject
from pipelines.images import BadImage
from pipelines.inputs import parent
from pipelines.recipe import Recipe
from pipelines.recipe_sources import RecordSource, Source
from pipelines.records import Asked, Captioned, Picture, Place, Record, Talk, Written
from pipelines.sources.columns import Odd, caption_texts, identifiers, only_texts, verbatim_texts
from pipelines.sources.conversations import Item, marked, turns, without_mark
from pipelines.sources.pictures import each_picture, picture_store, url_picture
from pipelines.sources.pieces import Piece
from pipelines.sources.selection import Selection
from pipelines.sources.values import (
    BadRecord,
    caption_text,
    cell,
    clean_text,
    distinct_texts,
    identifier,
    kind,
)
from translation.surrogates import without_halves

MAX_RECORD = 2_000
"""Characters of a raw record that a reject keeps."""

_FIRST_RECORDS = 1_000
"""Of a file without a header, in which a column must be found."""

_CAPTION_TASKS = frozenset({"caption", "matching"})


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
    kept = without_halves(record[:MAX_RECORD])[:MAX_RECORD]
    return Reject(source, source_id, task, f"source: {place}: {reason}", kept, image_id)


def picture_role(source: RecordSource) -> str:
    """Which column names the pictures: `image`, or `url` where the recipe names that."""
    return "url" if source.reads_urls else "image"


def required_columns(source: RecordSource) -> dict[str, str]:
    """The columns that every record must have, by role."""
    required = {role: source.column(role) for role in source.text_roles}
    role = picture_role(source)
    if source.has_picture_column:
        required[role] = source.column(role)
    for role in ("id", "image_id"):
        if getattr(source.columns, role) is not None:
            required[role] = source.column(role)
    return required


def columns_of_table(source: RecordSource) -> Mapping[tuple[str | int, ...], str]:
    """All columns that a table must have, empty or not: key of the source -> column."""
    required: dict[tuple[str | int, ...], str] = {
        ("columns", role): column for role, column in required_columns(source).items()
    }
    return {**required, **source.looked_up}


def check_columns(
    recipe: Recipe, index: int, source: RecordSource, there: Sequence[str], label: str, hint: str = ""
) -> None:
    """That a table has the columns that the source needs.

    Raises:
        SettingsError: one is missing; names those that are there, and then the hint.
    """
    for key, column in columns_of_table(source).items():
        if column not in there:
            remedy = f"{label} has no column `{column}`; it has {_names(there)}{hint}"
            raise recipe.error(("sources", index, *key), remedy)


def check_first_records(
    recipe: Recipe, index: int, source: RecordSource, first: Iterable[Mapping[str, object]], label: str
) -> None:
    """That columns which records may lack are in one of the first records, if there are any.

    Raises:
        SettingsError: one is in none of them.
    """
    missing = {key: column for key, column in source.looked_up.items() if column != source.column("id")}
    seen: dict[str, None] = {}
    for record in islice(first, _FIRST_RECORDS):
        seen.update(dict.fromkeys(record))
        missing = {key: column for key, column in missing.items() if column not in record}
        if not missing:
            return
    if seen and missing:
        key, column = next(iter(missing.items()))
        remedy = f"none of the first records of {label} has `{column}`; they have {_names(list(seen))}"
        raise recipe.error(("sources", index, *key), remedy)


def _names(columns: Sequence[str]) -> str:
    shown_columns = ", ".join(columns)
    return shown_columns if len(shown_columns) <= 300 else f"{shown_columns[:297]}..."


_Said = TypeVar("_Said", Record | Reject, Record | Reject | LeftOut)


class PictureCells:
    """Makes the pictures of cells that hold their paths, or their URLs."""

    def __init__(self, recipe: Recipe, source: RecordSource, piece: Piece) -> None:
        self._column = source.column(picture_role(source))
        self._what = "URL" if source.reads_urls else "path"
        if source.reads_urls:
            self._named = pictures_at_urls(recipe)
            self.many: Callable[[Sequence[str], Odd], Sequence[Picture]] = partial(each_picture, self._named)
            """The pictures of many; places of those that have none are added to `Odd`."""
        else:
            images = source.images
            store = picture_store(parent(piece.path) if images is None else recipe.source_path(images))
            self._named, self.many = store.picture, store.pictures

    def one(self, value: object) -> Picture:
        """The picture of a cell. Raises `BadImage` or `BadRecord`."""
        if isinstance(value, dict) and value.get("bytes") is None:
            # As `datasets` writes a column of pictures to JSON.
            value = value.get("path")
        if not isinstance(value, str):
            raise BadRecord(
                f"column {self._column!r} is {kind(value)}, must be the {self._what} of a picture"
            )
        return self._named(value)


def only_picture(value: object) -> object:
    """The picture of a cell that may hold a list of pictures; None where it holds none.

    Raises:
        BadRecord: the list holds several.
    """
    if not isinstance(value, list):
        return value
    if len(value) > 1:
        raise BadRecord(f"{len(value)} pictures, a record has one")
    return value[0] if value else None


def pictures_at_urls(recipe: Recipe) -> Callable[[str], Picture]:
    """What makes the picture of a URL, in the cache of a recipe that allows downloads; raises `BadImage`."""
    assert recipe.download is not None, "checked with the recipe"
    return partial(url_picture, recipe.path(recipe.download.cache))


def with_odd(
    found: Iterable[Record], odd: Odd, alone: Callable[[int], Iterable[_Said]]
) -> Iterable[Record | _Said]:
    """Records that were made together, but what `alone` says in place of the odd ones."""
    if not odd:
        return found
    said: Iterable[Iterable[Record | _Said]] = (
        alone(at) if at in odd else (one,) for at, one in enumerate(found)
    )
    return chain.from_iterable(said)


class RecordReader:
    """Makes of the records of one source what they say; which columns they have is looked up once."""

    def __init__(
        self,
        source: RecordSource,
        picture: Callable[[object], Picture],
        pictures: Callable[[Sequence[str], Odd], Sequence[Picture]] | None = None,
    ) -> None:
        """
        Args:
            picture: makes the picture of the image column's value; may raise `BadImage` or `BadRecord`.
            pictures: makes those of many texts; without it records are read one by one.
        """
        self._source, self._picture, self._pictures = source, picture, pictures
        self._selection = Selection.of(source)
        self._task = source.tasks[0]
        self._id, self._must_have_id = source.column("id"), source.columns.id is not None
        self._picture_column, self._image_id = source.column(picture_role(source)), source.columns.image_id
        self._caption: str | None = None
        """The column of captions, where they are no joined texts."""
        if self._task in _CAPTION_TASKS and not source.further_columns("caption"):
            self._caption = source.column("caption")
        self._caption_name = f"caption {self._caption!r}"
        self.common = self._common()
        """The columns, no other, of which `read_many` makes records; None where they are read one by one."""

    def _common(self) -> tuple[str, ...] | None:
        source = self._source
        if source.where:
            return None
        if "text" in source.tasks:
            return None if source.further_columns("text") else (self._id, source.column("text"))
        if self._caption is None or self._pictures is None:
            return None
        named = () if self._image_id is None else (self._image_id,)
        return (self._id, self._caption, self._picture_column, *named)

    def selects(self, record: Mapping[str, object]) -> bool:
        """Whether the recipe asks for a record (`where`)."""
        return self._selection.has(record)

    def read_many(
        self,
        piece: Piece,
        unit: str,
        positions: Sequence[int],
        columns: Sequence[Sequence[object]],
        alone: Callable[[int], Iterable[Record | Reject | LeftOut]],
    ) -> Iterable[Record | Reject | LeftOut]:
        """What many records say, as `read` does of each.

        Args:
            positions: of the records in their file, in `unit`.
            columns: the values of the columns `common`; None where a record has none.
            alone: what `read` says of the record at a place in `positions`.
        """
        if not positions:
            return []
        odd: Odd = set()
        ids = self._ids(piece, positions, columns[0], odd)
        places = map(Place, repeat(piece.label), repeat(unit), positions, repeat(piece.stem))
        found: Iterable[Record]
        if "text" in self._source.tasks:
            texts = verbatim_texts(columns[1], odd, limit=None)
            found = map(Written, places, ids, texts, repeat(self._source.own_language))
        else:
            assert self._pictures is not None, "`common` is None"
            captions = caption_texts(columns[1], odd)
            pictures = self._pictures(only_texts(columns[2], odd), odd)
            if self._image_id is not None:
                locators = [picture.locator for picture in pictures]
                pictures = list(map(Picture, locators, identifiers(columns[3], odd)))
            found = map(Captioned, places, pictures, zip(zip(ids, captions, strict=True), strict=True))
        return with_odd(found, odd, alone)

    def _ids(
        self, piece: Piece, positions: Sequence[int], values: Sequence[object], odd: Odd
    ) -> Sequence[str]:
        if self._must_have_id or set(map(type, values)) != {NoneType}:
            return identifiers(values, odd)
        return [f"{piece.stem}@{position}" for position in positions]

    def read(
        self, record: Mapping[str, object], place: Place, raw: Callable[[], str]
    ) -> Sequence[Record | Reject | LeftOut]:
        """What one record says, and a reject for each of its texts that cannot be used; at least one of them.

        Args:
            raw: the record as text, for rejects.
        """
        if not self.selects(record):
            return (LeftOut(self._source.name),)
        source_id: str | None = None
        try:
            source_id = self._id_of(record, place)
            said = None if self._caption is None else record.get(self._caption)
            if isinstance(said, str):
                # By far the most common record: it needs none of what lists do.
                text = caption_text(said, self._caption_name)
                picture = self._picture_of(record)
                assert picture is not None, "a caption needs one"
                return (Captioned(place, picture, ((source_id, text),)),)
            return list(self._said(record, place, source_id, raw))
        except Unusable as error:
            rejected_id = source_id or place.id
            return (reject(self._source.name, self._task, place, rejected_id, fault(error), raw()),)

    def _said(
        self, record: Mapping[str, object], place: Place, source_id: str, raw: Callable[[], str]
    ) -> Iterator[Record | Reject]:
        texts = _texts(self._source, record, place, source_id)
        if isinstance(texts, Written):
            yield texts
            return
        picture = self._picture_of(record)
        if isinstance(texts, _Question):
            assert picture is not None, "a question needs one"
            yield Asked(
                place, source_id, picture, texts.question, texts.answer, texts.rationales, texts.fault
            )
            return
        good = [item for item in texts.items if item.fault is None]
        if good and texts.turns:
            said = tuple((source_id + one.suffix, one.human, one.text) for one in good)
            yield Talk(place, source_id, picture, said)
        elif good:
            assert picture is not None, "captions need one"
            yield Captioned(place, picture, tuple((source_id + one.suffix, one.text) for one in good))
        image_id = picture.image_id if picture else None
        for item in texts.items:
            if item.fault is not None:
                failed = f"{source_id}{item.suffix}"
                yield reject(self._source.name, self._task, place, failed, item.fault, raw(), image_id)

    def _id_of(self, record: Mapping[str, object], place: Place) -> str:
        value = record.get(self._id)
        if value is None:
            if not self._must_have_id:
                return place.id
            cell(record, self._id)
        return identifier(value, self._id)

    def _picture_of(self, record: Mapping[str, object]) -> Picture | None:
        source, column = self._source, self._picture_column
        value = record.get(column)
        if isinstance(value, list):
            value = only_picture(value)
        if value is None or (value == "" and not source.needs_picture):
            if not source.needs_picture and (column in record or not source.has_picture_column):
                if any(marked(record.get(source.column(role))) for role in source.text_roles):
                    there = f"column {column!r} is empty" if column in record else f"no column {column!r}"
                    raise BadRecord(f"`<image>` in the text, but {there}")
                return None
            if record.get(column) is not None:
                raise BadRecord(f"column {column!r} is an empty list")
            cell(record, column)
        found = self._picture(value)
        if self._image_id is None:
            return found
        return Picture(found.locator, identifier(cell(record, self._image_id), self._image_id))


def _texts(
    source: RecordSource, record: Mapping[str, object], place: Place, source_id: str
) -> _Items | _Question | Written:
    if "text" in source.tasks:
        column = source.column("text")
        text = _text(source, record, "text")
        text = clean_text(text, f"text {column!r}", verbatim=True, limit=None)
        return Written(place, source_id, text, source.own_language)
    if source.in_turns:
        column = source.column("conversation")
        return _Items(tuple(turns(cell(record, column), column, together=source.turns == "keep")), turns=True)
    if source.tasks[0] in _CAPTION_TASKS:
        return _Items(tuple(_captions(source, record)), turns=False)
    question = _question(source, record)
    if "instruct" in source.tasks:
        return _Items((Item("", question.answer, question.question),), turns=True)
    return question


def _text(source: RecordSource, record: Mapping[str, object], role: str) -> object:
    """The cell of a text; or, of several columns, what is in them as one text."""
    column, further = source.column(role), source.further_columns(role)
    value = cell(record, column)
    if not further:
        return value
    found = [clean_text(value, f"{role} {column!r}", verbatim=True, limit=None)]
    for name in further:
        more = record.get(name)
        if more is not None and not (isinstance(more, str) and not more.strip()):
            found.append(clean_text(more, f"{role} {name!r}", verbatim=True, limit=None))
    return "\n\n".join(found)


def _captions(source: RecordSource, record: Mapping[str, object]) -> Iterator[Item]:
    column = source.column("caption")
    captions = _text(source, record, "caption")
    if not isinstance(captions, list):
        yield Item("", caption_text(captions, f"caption {column!r}"))
    elif not captions:
        raise BadRecord(f"caption {column!r} is an empty list")
    else:
        for index, caption in enumerate(captions):
            try:
                yield Item(f"#{index}", caption_text(caption, f"caption {column!r} item {index}"))
            except BadRecord as error:
                yield Item(f"#{index}", fault=str(error))


def _question(source: RecordSource, record: Mapping[str, object]) -> _Question:
    column = source.column("question")
    what = f"question {column!r}"
    question = without_mark(clean_text(_text(source, record, "question"), what), what)
    column = source.column("answer")
    value = _text(source, record, "answer")
    if type(value) is int and "choices" in record:
        raise BadRecord(f"answer {column!r} is the number of one of the `choices`; give that as text")
    answer = answer_of(value, f"answer {column!r}")
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


def answer_of(value: object, what: str) -> str:
    """A text or number, or the most common of a list of them (VQAv2: mappings with `answer`), the first of
    equals; a list may be written as text (`"['ride', 'walk']"`, as in A-OKVQA's data set on the hub).
    """
    if isinstance(value, str) and _LIST.match(value):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            value = ast.literal_eval(value)
    if not isinstance(value, list):
        return clean_text(_written(value), what)
    if not value:
        raise BadRecord(f"{what} is an empty list")
    answers = [one.get("answer") if isinstance(one, Mapping) else one for one in value]
    # Who gave no answer does not take that of others away.
    given = [(index, one) for index, one in enumerate(answers) if one is not None and str(one).strip()]
    texts = [clean_text(_written(one), f"{what} item {index}") for index, one in given or enumerate(answers)]
    return Counter(texts).most_common(1)[0][0]


_LIST = re.compile(r"""\s*\[\s*['"].*['"]\s*\]\s*$""", re.DOTALL)


def _written(value: object) -> object:
    """A whole number as text (`How many?`); anything else as it is."""
    return str(value) if type(value) is int and abs(value) < 10**15 else value
