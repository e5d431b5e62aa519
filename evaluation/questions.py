"""From a task to what is asked: every item with its prompt, its pictures and its gold answers."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType

import orjson

from evaluation.items import Expected
from evaluation.pictures import AbsentPicture, Picture, PictureStore
from evaluation.predictions import (
    BLANK_GOLD,
    BROKEN_RECORD,
    DOUBLED_RECORD,
    EXAMPLES,
    LANGUAGE_LEFT_OUT,
    NO_ITEMS,
    OTHER_COUNT,
    PROBLEMS,
    UNGRADED,
    UNREADABLE_LANGUAGE,
    Problem,
    numbered,
)
from evaluation.readers import babel_imagenet, captions, maxm, mix, nlvr2, records, vqav2, xm3600
from evaluation.readers.records import DataError, LeftOut, Record, Source, digest_of
from evaluation.tasks import EACH, PLACEHOLDER, TaskFile
from training.asking import Request
from translation.languages import ENGLISH, Language, UnknownLanguage
from translation.templates import TARGET_LANGUAGE

Reader = Callable[[TaskFile, Source], Iterator[Record | LeftOut]]

_READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "records": records.read,
        "vqav2": vqav2.read,
        "nlvr2": nlvr2.read,
        "maxm": maxm.read,
        "xm3600": xm3600.read,
        "captions": captions.read,
    }
)
"""By format; those of `babel_imagenet` and `mix` want more than a file."""


@dataclass(frozen=True)
class Question:
    """One item of a task, ready to be asked."""

    expected: Expected
    request: Request
    """Without its pictures, which are read when their turn comes."""
    pictures: tuple[Picture, ...]
    picture_names: tuple[str, ...] = ()
    """As the task makes them, wherever they are found."""

    @property
    def key(self) -> tuple[str, str]:
        """Language (NLLB code) and id."""
        return self.expected.language, self.expected.id


@dataclass(frozen=True)
class Questions:
    """All that a task asks."""

    items: tuple[Question, ...]
    """In the order of the files."""
    problems: tuple[Problem, ...]
    """What of the files is not asked, and where their size is not the published one."""
    digest: str
    """SHA-256 over the official files' names and contents; pictures are no part of it."""
    asked_digest: str
    """SHA-256 over each item's key, prompt, languages, names of pictures, choices and gold answers."""
    counts: Mapping[str, int]
    """Items by NLLB code."""

    @property
    def expected(self) -> list[Expected]:
        return [one.expected for one in self.items]


@dataclass
class _Notes:
    """What is found wrong while files are read."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, where: str) -> None:
        self.counts[kind] += 1
        named = self.examples.setdefault(kind, [])
        if len(named) < EXAMPLES:
            named.append(where)

    def problems(self) -> tuple[Problem, ...]:
        return tuple(
            Problem(kind, self.counts[kind], tuple(self.examples[kind]))
            for kind in PROBLEMS
            if self.counts[kind]
        )


def questions_of(task: TaskFile, *, pictures: bool = True) -> Questions:
    """Reads a task's files.

    Args:
        pictures: look for the pictures; false for what is only scored, where they need not be there.

    Raises:
        SettingsError: a path of the task is wrong.
        DataError: a file cannot be read, is of another shape, or nothing in the files can be asked; or none
            of the pictures is there.
    """
    notes = _Notes()
    made: dict[tuple[str, str], Question] = {}
    found, digest = _found(task, notes, pictures)
    for question in found:
        if question.key in made:
            notes.add(DOUBLED_RECORD, " ".join(question.key))
        else:
            made[question.key] = question
    if not made:
        wrong = "; ".join(
            f"{numbered(count, kind)} (first: {notes.examples[kind][0]})"
            for kind, count in notes.counts.items()
        )
        raise DataError(f"{task.written.file}: nothing to ask in its files" + (f": {wrong}" if wrong else ""))
    if pictures:
        _check_pictures(task, list(made.values()))
    for code, reason in task.task.left_out.items():
        notes.add(LANGUAGE_LEFT_OUT, f"{code}: {reason}")
    counts = dict(sorted(Counter(one.expected.language for one in made.values()).items()))
    _compare_counts(task, counts, notes)
    asked = asked_digest(made.values())
    return Questions(tuple(made.values()), notes.problems(), digest, asked, counts)


def asked_digest(questions: Iterable[Question]) -> str:
    """SHA-256 of what is asked, in any order; where it is the same, so are a model's answers."""
    lines = sorted(
        orjson.dumps(
            (
                one.key,
                (one.request.prompt, one.request.prompt_language, one.request.language),
                one.picture_names,
                one.expected.choices,
                one.expected.references,
            ),
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for one in questions
    )
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _found(task: TaskFile, notes: _Notes, pictures: bool) -> tuple[Iterator[Question], str]:
    """The questions of the files, and the files' digest."""
    if task.task.format == "mix":
        opened = mix.open_mix(task)
        return _held_out(mix.read(task, opened), notes), hashlib.sha256(opened.digest.encode()).hexdigest()
    sources = _sources(task)
    store = PictureStore(())
    reader = _READERS.get(task.task.format)
    # Babel-ImageNet's items are its pictures.
    if task.task.pictures is not None and (pictures or reader is None):
        places = [
            path
            for number, pattern in enumerate(task.task.pictures.path)
            for path in task.paths(("pictures", "path", number), pattern)
        ]
        store = PictureStore(places)
    paths = {source.path for source in sources}
    for key in ("annotations", "classes"):
        if getattr(task.task, key) is not None:
            paths.update(task.paths((key,), getattr(task.task, key)))
    lines = "\n".join(f"{path.name} {digest_of(path)}" for path in sorted(paths))
    if reader is None:
        reader = partial(babel_imagenet.read, store=store)
    return _asked(task, sources, reader, store, notes), hashlib.sha256(lines.encode()).hexdigest()


def _held_out(found: Iterable[mix.HeldOut | LeftOut], notes: _Notes) -> Iterator[Question]:
    for one in found:
        if isinstance(one, LeftOut):
            notes.add(one.kind, one.where)
        else:
            names = tuple(picture.name for picture in one.pictures)
            yield Question(one.expected, one.request, one.pictures, names)


def _sources(task: TaskFile) -> list[Source]:
    pattern = task.task.files
    codes: Sequence[str | None] = task.task.languages if "{code}" in pattern else (None,)  # type: ignore[assignment]
    found = []
    for code in codes:
        # A code is no glob: brackets and stars in it would be read as one.
        own = pattern if code is None else pattern.replace("{code}", glob.escape(code))
        paths = task.paths(("files",), own)
        found += [Source(path, code, prefix) for path, prefix in zip(paths, _prefixes(paths), strict=True)]
    return found


def _prefixes(paths: Sequence[Path]) -> list[str]:
    """What ids of each of several files begin with: its name, with so much of its path as is needed."""
    if len(paths) < 2:
        return [""] * len(paths)
    common = Path(os.path.commonpath([path.parent for path in paths]))
    stems, whole = [path.stem for path in paths], [path.relative_to(common) for path in paths]
    for names in (stems, [path.with_suffix("").as_posix() for path in whole]):
        if len(set(names)) == len(paths):
            return [f"{name}/" for name in names]
    return [f"{path.as_posix()}/" for path in whole]


def _asked(
    task: TaskFile, sources: Sequence[Source], reader: Reader, store: PictureStore, notes: _Notes
) -> Iterator[Question]:
    spoken: dict[str, Language | None] = {}
    others: set[str] = set()
    for source in sources:
        for record in reader(task, source):
            if isinstance(record, LeftOut):
                notes.add(record.kind, record.where)
                continue
            if record.code in task.task.left_out:
                continue
            if not task.task.wanted(record.code):
                others.add(record.code)
                continue
            if not set(record.golds).isdisjoint(task.task.ungraded):
                notes.add(UNGRADED, f"{record.code} {record.id}")
                continue
            if record.code not in spoken:
                spoken[record.code] = _language(task, record.code)
            language = spoken[record.code]
            if record.blank:
                notes.add(BLANK_GOLD, f"{record.code} {record.id}: {record.blank} of them")
            if language is None:
                notes.add(UNREADABLE_LANGUAGE, f"{source.path.name}: {record.code} {record.id}")
                continue
            try:
                yield _question(task, record, language, store)
            except ValueError as error:
                notes.add(BROKEN_RECORD, f"{record.code} {record.id}: {error}")
    for code in sorted(others):
        notes.add(LANGUAGE_LEFT_OUT, f"{code}: not among `languages`")


def _language(task: TaskFile, code: str) -> Language | None:
    try:
        return task.task.language(code)
    except UnknownLanguage:
        return None


def _question(task: TaskFile, record: Record, own: Language, store: PictureStore) -> Question:
    settings = task.task
    choices = record.choices or settings.choices
    golds = tuple(settings.labels.get(gold, gold) for gold in record.golds)
    if settings.labels and not set(record.golds) <= set(settings.labels):
        raise ValueError(f"the label {record.golds[0]!r} is none of {', '.join(settings.labels)}")
    if choices and not set(golds) <= set(choices):
        raise ValueError(f"the gold answer {golds[0]!r} is none of the choices {', '.join(choices)}")
    answer = settings.answer_language(own.nllb)
    text, prompt_language = _prompt(task, record, own, answer, choices)
    pictures, names = _pictures(task, record, store)
    unit = record.unit or next(iter(names), record.id)
    answered_in = answer.nllb if answer.nllb != own.nllb else None
    return Question(
        Expected(record.id, own.nllb, golds, unit, choices, answered_in, record.published),
        Request(text, prompt_language, answer.nllb),
        pictures,
        names,
    )


def _prompt(
    task: TaskFile, record: Record, own: Language, answer: Language, choices: Sequence[str]
) -> tuple[str, str]:
    """The prompt, and the NLLB code of its words."""
    chosen = task.task.prompt_template
    if chosen is not None:
        language = own.nllb if chosen.prompt_language == TARGET_LANGUAGE else chosen.prompt_language
        return chosen.fill(answer, record.text), language
    values = {"language": answer.name, "choices": ", ".join(choices)}

    def value(found: re.Match[str]) -> str:
        if found[1] in values:
            return values[found[1]]
        if record.text is None:
            raise ValueError(f"the prompt has {found[0]}, the record no text (`fields.text`)")
        return record.text

    # In one pass: what was filled in is never looked at again, whatever braces it holds.
    return re.sub(r"\{(\w+)\}", value, task.task.prompt or ""), ENGLISH


def _pictures(
    task: TaskFile, record: Record, store: PictureStore
) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """The pictures of a record, and their names without what the layouts put before them."""
    settings = task.task.pictures
    if settings is None:
        return (), ()
    if record.picture is not None:
        found = store.find([record.picture])
        return (found or AbsentPicture(record.picture),), (record.picture,)
    pictures: list[Picture] = []
    names = tuple(_named(pattern, record) for pattern in settings.names)
    layouts = [_named(layout, record) for layout in settings.layouts]
    for name in names:
        pictures.append(store.find([layout + name for layout in layouts]) or AbsentPicture(layouts[0] + name))
    return tuple(pictures), names


def _named(pattern: str, record: Record) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] not in record.values:
            raise ValueError(f"it has no `{found[1]}` for the picture's name {pattern!r}")
        written = record.values[found[1]]
        if isinstance(written, bool) or not isinstance(written, str | int):
            raise ValueError(f"`{found[1]}` is {written!r}, a text or a number wanted")
        digits = found[2] or found[3]
        return str(written).zfill(int(digits)) if digits else str(written)

    return PLACEHOLDER.sub(value, pattern)


def _check_pictures(task: TaskFile, found: Sequence[Question]) -> None:
    """Refuses a run in which no picture is there: then the path or the names are wrong."""
    pictures = [picture for one in found for picture in one.pictures]
    if pictures and all(isinstance(picture, AbsentPicture) for picture in pictures):
        example = pictures[0]
        assert isinstance(example, AbsentPicture)
        named = task.task.pictures.path if task.task.pictures else ()
        places = ", ".join(str(task.root / path) for path in named)
        raise task.written.error(
            ("pictures",),
            f"none of {len(pictures):,} pictures is there; the first would be {example.name!r} in {places}",
            show=False,
        )


def _compare_counts(task: TaskFile, counts: Mapping[str, int], notes: _Notes) -> None:
    for code in task.task.languages or ():
        if task.task.language(code).nllb not in counts:
            notes.add(NO_ITEMS, code)
    expected = task.task.expected
    if not expected:
        return
    by_code = {code: count for code, count in expected.items() if code != EACH}
    own = {task.task.language(code).nllb: count for code, count in by_code.items()}
    asked = {task.task.language(code).nllb for code in task.task.languages or ()} | set(counts)
    for code in sorted(asked):
        wanted = own.get(code, expected.get(EACH))
        if wanted is not None and counts.get(code, 0) != wanted:
            notes.add(OTHER_COUNT, f"{code}: {counts.get(code, 0):,} of {wanted:,}")
