"""Predictions files: JSON lines of id, language and prediction, with all that is wrong with them counted.

A line may also have `references` (list of texts), `image` (what is resampled together, the id by default)
and `choices`; where the task gives the references, only the first three count. With a prediction of null,
`unanswered` may say why the model could not be asked; `cut` says that its prompt was cut. Other keys are the
model's business.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from evaluation.items import Expected, Item
from translation.languages import UnknownLanguage, resolve

BROKEN, INCOMPLETE, UNKNOWN, DOUBLED = "broken", "incomplete", "unknown language", "doubled"
UNEXPECTED, MISSING, EMPTY, UNANSWERABLE = "unexpected", "missing", "empty", "no references"
UNASKED, UNCOMPUTED, CUT = "not asked", "not computed", "cut prompt"
OF_PICTURE, OF_PROMPT, OF_MODEL = "picture", "prompt", "model"
"""What `unanswered` begins with, before a colon: whose fault it is. Pictures may be there another time."""

BROKEN_RECORD, DOUBLED_RECORD, UNGRADED = "broken record", "doubled record", "no gold answer"
UNREADABLE_LANGUAGE, LANGUAGE_LEFT_OUT = "unknown language of a record", "language left out"
OTHER_COUNT, NO_ITEMS, BLANK_GOLD = "other count", "language without items", "blank answer"

PROBLEMS: Mapping[str, str] = {
    BROKEN: "lines that are no JSON object; not scored",
    INCOMPLETE: "lines in which a field is missing or of the wrong kind; not scored",
    UNKNOWN: "lines in a language that the registry does not know; not scored",
    DOUBLED: "lines that repeat the id and language of an earlier one; the first is scored",
    UNEXPECTED: "lines whose id and language the task does not have; not scored",
    UNANSWERABLE: "lines without references; not scored",
    MISSING: "items without a prediction; scored as empty",
    UNASKED: "items that the model could not be asked; scored as empty",
    UNCOMPUTED: "items for which the model computed no number; scored as empty",
    CUT: "items whose prompt was cut to the length that the model takes, as in training; scored",
    EMPTY: "items with an empty prediction; scored, and wrong",
    BROKEN_RECORD: "records of the official files that cannot be used; not asked",
    DOUBLED_RECORD: "records of the official files that repeat the id of an earlier one; not asked",
    UNGRADED: "records of the official files without a gold answer; not asked",
    UNREADABLE_LANGUAGE: "records in a language that the registry does not know; not asked",
    BLANK_GOLD: "blank answers or captions in records that have others",
    LANGUAGE_LEFT_OUT: "languages of the official files that the task leaves out",
    NO_ITEMS: "languages of the task of which there is nothing to ask",
    OTHER_COUNT: "languages with another number of items than was published",
}
"""What can be wrong, and what is done about it."""

EXAMPLES = 10
"""So many are named of each kind."""

Key = tuple[str, str]
"""Language (NLLB code) and id."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with some lines or items."""

    kind: str
    """One of `PROBLEMS`."""
    count: int
    examples: tuple[str, ...]
    """The first of them, with their line numbers where they have one."""


@dataclass(frozen=True)
class Predictions:
    """What a predictions file holds."""

    items: tuple[Item, ...]
    lines: int
    """Lines that are not blank."""
    problems: tuple[Problem, ...]
    digest: str
    """SHA-256 of the file."""


class PredictionsError(ValueError):
    """A predictions file that cannot be scored; the message names the file and what is wrong."""


def read_predictions(
    path: Path, expected: Sequence[Expected] | None = None, *, strict: bool = False
) -> Predictions:
    """The predictions of a file, in its order; with `expected` all of the task's items, in the task's order.

    Args:
        expected: what the task asks; without it the lines hold references themselves.
        strict: any problem but an empty prediction or a cut prompt is an error.

    Raises:
        PredictionsError: the file cannot be read, holds nothing that can be scored, or is not as `strict`
            wants it.
        ValueError: two expected items have one language and id.
    """
    known = None if expected is None else _by_key(expected)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PredictionsError(f"{path}: cannot be read ({error.strerror})") from error
    found = _Found(path.name)
    lines = 0
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            lines += 1
            found.add(number, line, known)
    items = found.items(expected)
    problems = found.problems()
    if strict:
        wrong = [problem for problem in problems if problem.kind not in (EMPTY, CUT)]
        if wrong:
            raise PredictionsError(f"{path}: " + "; ".join(map(described, wrong)))
    if not items or (lines and not found.predictions):
        raise PredictionsError(
            f"{path}: nothing to score in {lines:,} lines; " + "; ".join(map(described, problems))
        )
    return Predictions(tuple(items), lines, tuple(problems), hashlib.sha256(data).hexdigest())


def _by_key(expected: Sequence[Expected]) -> dict[Key, Expected]:
    found: dict[Key, Expected] = {}
    for one in expected:
        if (one.language, one.id) in found:
            raise ValueError(f"the task has two items {one.language} {one.id!r}; ids must differ")
        found[one.language, one.id] = one
    return found


def described(problem: Problem) -> str:
    """A problem in one line: count, kind, what was done, the first examples."""
    shown = ", ".join(problem.examples[:3]) + (", …" if problem.count > 3 else "")
    return f"{numbered(problem.count, problem.kind)} ({shown})"


def numbered(count: int, kind: str) -> str:
    """So many of a kind of problem: `1 item without a prediction; scored as empty`."""
    text = PROBLEMS[kind]
    if count == 1:
        for several, one in _ONE:
            text = re.sub(several, one, text, count=1)
    return f"{count:,} {text}"


_ONE = (
    (r"^(line|item|record|language)s\b", r"\1"),
    (r"^(\w+) that are\b", r"\1 that is"),
    (r"^(.+) that repeat\b", r"\1 that repeats"),
    (r"^blank answers or captions\b", "blank answer or caption"),
)
"""What changes in the text of a problem that was found once."""


@dataclass
class _Found:
    """What was found while the lines are read."""

    file: str
    predictions: dict[Key, str | None] = field(default_factory=dict)
    unasked: dict[Key, str] = field(default_factory=dict)
    cut: set[Key] = field(default_factory=set)
    answerable: dict[Key, Expected] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    codes: dict[str, str | None] = field(default_factory=dict)
    """NLLB code by how the lines spell it; None where nobody knows it."""

    def wrong(self, kind: str, example: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        named = self.examples.setdefault(kind, [])
        if len(named) < EXAMPLES:
            named.append(example)

    def add(self, number: int, line: bytes, known: Mapping[Key, Expected] | None) -> None:
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            record = None
        if not isinstance(record, dict):
            self.wrong(BROKEN, f"line {number}: {_short(line.decode('utf-8', 'replace'))}")
            return
        reason = _unfit(record, references=known is None)
        if reason:
            self.wrong(INCOMPLETE, f"line {number}: {reason}")
            return
        language = self.language(record["language"])
        if language is None:
            self.wrong(UNKNOWN, f"line {number}: {_short(record['language'])}")
            return
        key = language, str(record["id"])
        where = f"line {number}: {language} {_short(key[1])}"
        if known is not None and key not in known:
            self.wrong(UNEXPECTED, where)
        elif key in self.predictions:
            self.wrong(DOUBLED, where)
        elif known is None and not record["references"]:
            self.wrong(UNANSWERABLE, where)
        else:
            self.predictions[key] = record.get("prediction")
            if record.get("prediction") is None and record.get("unanswered"):
                self.unasked[key] = str(record["unanswered"])
            if record.get("cut"):
                self.cut.add(key)
            if known is None:
                self.answerable[key] = Expected(
                    key[1],
                    language,
                    tuple(record["references"]),
                    str(record.get("image", key[1])),
                    tuple(record.get("choices", ())),
                )

    def language(self, code: str) -> str | None:
        if code not in self.codes:
            try:
                self.codes[code] = resolve(code).nllb
            except UnknownLanguage:
                self.codes[code] = None
        return self.codes[code]

    def items(self, expected: Sequence[Expected] | None) -> list[Item]:
        """The items in order; those without a prediction, or with an empty one, are noted."""
        made = []
        for one in self.answerable.values() if expected is None else expected:
            prediction = self.predictions.get((one.language, one.id))
            item = Item(one, prediction or "")
            if (one.language, one.id) in self.unasked:
                reason = self.unasked[one.language, one.id]
                kind = UNCOMPUTED if reason.startswith(f"{OF_MODEL}:") else UNASKED
                self.wrong(kind, f"{one.language} {_short(one.id)}: {_short(reason)}")
            elif prediction is None:
                self.wrong(MISSING, f"{one.language} {_short(one.id)}")
            elif item.empty:
                self.wrong(EMPTY, f"{one.language} {_short(one.id)}")
            if (one.language, one.id) in self.cut:
                self.wrong(CUT, f"{one.language} {_short(one.id)}")
            made.append(item)
        return made

    def problems(self) -> list[Problem]:
        return [
            Problem(kind, self.counts[kind], tuple(self.examples[kind]))
            for kind in PROBLEMS
            if kind in self.counts
        ]


def _unfit(record: Mapping[str, object], *, references: bool) -> str:
    """What is wrong with the fields of a line; empty if nothing is."""
    name = record.get("id")
    if not isinstance(name, str | int) or isinstance(name, bool) or name == "":
        return f"`id` is {_short(repr(name))}, a text or a number wanted"
    if not isinstance(record.get("language"), str):
        return f"`language` is {_short(repr(record.get('language')))}, a code wanted"
    if not isinstance(record.get("prediction"), str | None):
        return f"`prediction` is {_short(repr(record['prediction']))}, a text wanted"
    for key in ("references", "choices") if references else ():
        texts = record.get(key, None if key == "references" else [])
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return f"`{key}` is {_short(repr(texts))}, a list of texts wanted"
    if references and not isinstance(record.get("image", ""), str | int):
        return f"`image` is {_short(repr(record['image']))}, a text or a number wanted"
    return ""


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
