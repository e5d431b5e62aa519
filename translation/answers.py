"""The answer table of a run: short answers are translated once per language, alone and with their questions.

`contexts` chooses questions, `translate_answers` makes and judges the candidates, `format_answers` and
`read_answers` are the file `answers.tsv` that a user reviews and gives back.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from translation import segments
from translation.filters.english import words
from translation.filters.round_trip import CHANGED, agreement
from translation.languages import ENGLISH, languages
from translation.translations import Request, Translation

CONTEXTS = 3
"""So many questions of an answer are tried; more cost time and hardly change the choice."""

How = Literal["given", "checked", "alone", "context"]
"""By the user; by the shipped table, or numbers as they are; by the model, without or with a question."""


@dataclass(frozen=True)
class Given:
    """A translation that a user gave; not accepted, it rejects the rows."""

    translation: str
    accepted: bool


@dataclass(frozen=True)
class WantedAnswer:
    """An answer that needs a translation, with what the run knows of it."""

    nllb_code: str
    answer: str
    """English."""
    uses: int
    """Rows that it is the target of."""
    contexts: tuple[str, ...] = ()
    """Questions that it answers, see `contexts`."""
    given: Given | None = None


@dataclass(frozen=True)
class Entry:
    """One line of `answers.tsv`, in the order of its columns."""

    nllb_code: str
    answer: str
    translation: str
    back_translation: str | None
    """None where no model was asked."""
    how: How
    uses: int
    round_trip: float | None
    """See `translation.filters.round_trip.agreement`."""
    accepted: bool


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Entry))
"""Of the header of `answers.tsv`."""

Translate = Callable[[Sequence[Request], bool], Sequence[Translation]]
"""Translates requests; with True each as one input, without cutting it into sentences."""


# --- Candidates -----------------------------------------------------------------------------------


def contexts(questions: Iterable[str]) -> tuple[str, ...]:
    """Up to `CONTEXTS` distinct questions, those with the smallest hash.

    So the choice depends on the questions alone, not on their order, and the contexts of parts give the
    contexts of the whole.
    """
    return tuple(sorted(set(questions), key=_order)[:CONTEXTS])


def _order(question: str) -> tuple[bytes, str]:
    return hashlib.blake2b(question.encode("utf-8", "surrogatepass"), digest_size=8).digest(), question


def in_context(question: str, answer: str) -> str:
    """Question and answer as one input: `What is he doing? running.`

    Lower case and a full stop came out best on a real model (docs/filters.md): a capital or quote marks make
    it copy the English word, without a stop it drops the answer.
    """
    question = question.strip()
    marks = languages()[ENGLISH].sentence_marks
    return f"{question if question[-1:] in marks else question + '?'} {_closed(answer, ENGLISH)}"


_QUESTION_MARKS = frozenset("?？؟;\u037e፧")
_STRIPPED = " \t\r\n\u00a0\u200b\"'“”„«»‘’‹›「」-–—"


def cut_out(translation: str, nllb_code: str) -> str | None:
    """The answer in a translation of `in_context`: what follows the last question mark, else sentence mark.

    None where no mark is left, or nothing after it: the model dropped the question or the answer.
    """
    marks = languages()[nllb_code].sentence_marks
    text = translation.rstrip(marks + _STRIPPED)
    for kind in (_QUESTION_MARKS & set(marks + "?"), set(marks)):
        end = max((text.rfind(mark) for mark in kind), default=-1)
        if end >= 0:
            return text[end + 1 :].strip(_STRIPPED) or None
    return None


def _closed(text: str, nllb_code: str) -> str:
    """With a mark at its end, since models translate a word better as a sentence."""
    marks = languages()[nllb_code].sentence_marks
    return text if text[-1:] in marks else text + marks[0]


@dataclass(frozen=True)
class Answered:
    """An entry and its translation with the engine's flags; these are None where no engine made it."""

    entry: Entry
    translation: Translation | None


@dataclass(frozen=True)
class _Candidate:
    how: How
    translation: Translation
    votes: int
    """Questions that led to this translation."""


def translate_answers(
    questions: Sequence[WantedAnswer], translate: Translate, *, round_trip: bool = True
) -> list[Answered]:
    """The entry of each question: what the user gave, else what is checked, else the model's best candidate.

    Candidates are the answer alone and after each of its contexts; all are translated back without question.
    The best comes back exactly, or else but for inflection. An English word that was left as it is proves
    nothing by coming back, so a translation with one ranks behind. Among equals the answer alone wins, then
    what most questions agree upon. Without `round_trip` there is nothing to choose by, and the answer alone
    is taken.
    """
    known = [_known(question) for question in questions]
    asked = [question for question, entry in zip(questions, known, strict=True) if entry is None]
    if not round_trip:
        asked = [replace(question, contexts=()) for question in asked]
    candidates = _candidates(asked, translate)
    backs = _backs(asked, candidates, translate) if round_trip else {}
    chosen = iter(
        [_chosen(question, found, backs) for question, found in zip(asked, candidates, strict=True)]
    )
    return [Answered(entry, None) if entry else next(chosen) for entry in known]


def _known(question: WantedAnswer) -> Entry | None:
    """The entry of an answer that no model is asked for."""
    code, answer, given = question.nllb_code, question.answer, question.given
    if given is not None:
        return Entry(code, answer, given.translation, None, "given", question.uses, None, given.accepted)
    text = checked(answer, code)
    return None if text is None else Entry(code, answer, text, None, "checked", question.uses, None, True)


def _candidates(questions: Sequence[WantedAnswer], translate: Translate) -> list[list[_Candidate]]:
    """Per question its distinct translations: alone first, then in the order of the contexts."""
    alone = translate([Request(one.answer, ENGLISH, one.nllb_code) for one in questions], False)
    requests = [
        Request(in_context(context, one.answer), ENGLISH, one.nllb_code)
        for one in questions
        for context in one.contexts
    ]
    outputs = iter(translate(requests, True))
    found: list[list[_Candidate]] = []
    for question, bare in zip(questions, alone, strict=True):
        votes: dict[str, _Candidate] = {}
        for output in itertools.islice(outputs, len(question.contexts)):
            text = cut_out(output.text, question.nllb_code)
            if text is None:
                continue
            text = _cased_like(bare.text, text, question.nllb_code)
            if text.casefold() != bare.text.casefold():
                first = votes.get(text, _Candidate("context", _with_text(output, text), 0))
                votes[text] = replace(first, votes=first.votes + 1)
        found.append([_Candidate("alone", bare, 0), *votes.values()])
    return found


def _with_text(translation: Translation, text: str) -> Translation:
    return Translation(text, translation.score, translation.cut_off, translation.unknown, empty=False)


# Where `I` is the capital of `ı`, and `i` has a capital of its own.
_TWO_I = frozenset({"tur_Latn", "azj_Latn", "crh_Latn"})
_LOWER_I = MappingProxyType({"I": "ı", "İ": "i"})


def _cased_like(bare: str, text: str, nllb_code: str) -> str:
    """Without a capital that only the start of a sentence gave it."""
    if not (bare[:1].islower() and text[1:].islower()):
        return text
    lower = text[0].lower()
    return (_LOWER_I.get(text[0], lower) if nllb_code in _TWO_I else lower) + text[1:]


_Backs = dict[tuple[str, str], str]
"""(NLLB code, translation) -> English again."""


def _backs(
    questions: Sequence[WantedAnswer], candidates: Sequence[Sequence[_Candidate]], translate: Translate
) -> _Backs:
    """The way back of every candidate; of what does not come back as a word alone, as a sentence."""
    answers: dict[tuple[str, str], list[str]] = {}
    for question, found in zip(questions, candidates, strict=True):
        for candidate in found:
            if candidate.translation.text.strip():
                key = (question.nllb_code, candidate.translation.text)
                answers.setdefault(key, []).append(question.answer)
    wanted = sorted(answers)
    bare = translate([Request(text, code, ENGLISH) for code, text in wanted], True)
    backs = {key: back.text.strip() for key, back in zip(wanted, bare, strict=True)}

    def agreed(key: tuple[str, str], back: str) -> float:
        return max(agreement(answer, back) for answer in answers[key])

    # Models that learnt from sentences do better with an end mark; those that learnt from names, worse.
    failed = [key for key in wanted if agreed(key, backs[key]) == CHANGED]
    marks = languages()[ENGLISH].sentence_marks
    closed = translate([Request(_closed(text, code), code, ENGLISH) for code, text in failed], True)
    for key, translation in zip(failed, closed, strict=True):
        back = translation.text.rstrip().rstrip(marks)
        if agreed(key, back) > CHANGED:
            backs[key] = back
    return backs


def _copies(answer: str, candidate: _Candidate) -> bool:
    """Whether a word of the answer stands in its translation."""
    english = {word for word in words(answer) if word.isalpha()}
    return not english.isdisjoint(words(candidate.translation.text))


def _chosen(question: WantedAnswer, candidates: Sequence[_Candidate], backs: _Backs) -> Answered:
    def agreed(candidate: _Candidate) -> float | None:
        back = backs.get((question.nllb_code, candidate.translation.text))
        return None if back is None else agreement(question.answer, back)

    def rank(candidate: _Candidate) -> tuple[float, bool, int]:
        proof = CHANGED if _copies(question.answer, candidate) else agreed(candidate) or CHANGED
        return proof, candidate.how == "alone", candidate.votes

    best = max(candidates, key=rank)  # the first of equals: contexts stand in the order of their hash
    entry = Entry(
        question.nllb_code,
        question.answer,
        best.translation.text,
        backs.get((question.nllb_code, best.translation.text)),
        best.how,
        question.uses,
        agreed(best),
        accepted=agreed(best) != CHANGED,
    )
    return Answered(entry, best.translation)


# --- Answers that need no model -------------------------------------------------------------------


def checked(answer: str, nllb_code: str) -> str | None:
    """The translation of an answer that a table has (`yes`, `red`) or that stays as it is (`12`, `A`)."""
    if not any(segment.translate for segment in segments.split(answer, ENGLISH)):
        return answer
    return _checked(nllb_code).get(_plain(answer))


def _plain(answer: str) -> str:
    return answer.strip().rstrip(".!").casefold()


@cache
def _checked(nllb_code: str) -> Mapping[str, str]:
    """English answer to its translation in a language.

    Yes, no, and colours are CLDR's words; `maybe.tsv` is a list of this project that no native speakers have
    reviewed, without the languages whose word is not sure.
    """
    colours = {
        row["english"]: row["names"].split("|")[0]
        for row in _rows("colours.tsv", nllb_code)
        # As an answer it is as often the fruit.
        if row["english"] != "orange"
    }
    judgements = {
        word: row[word]
        for table, words_of_it in (("yes_no.tsv", ("yes", "no")), ("maybe.tsv", ("maybe",)))
        for row in _rows(table, nllb_code)
        for word in words_of_it
    }
    return MappingProxyType(colours | judgements)


def _rows(table: str, nllb_code: str) -> Iterator[dict[str, str]]:
    text = files("translation").joinpath(table).read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return (row for row in rows if row["nllb_code"] == nllb_code)


# --- The file -------------------------------------------------------------------------------------


class AnswersError(ValueError):
    """`answers.tsv` is wrong; the message names file, line, what was found and what would be right."""

    def __init__(self, file: str, line: int | None, remedy: str) -> None:
        self.file, self.line, self.remedy = file, line, remedy
        super().__init__(f"{file}:{line}: {remedy}" if line else f"{file}: {remedy}")

    def __reduce__(self) -> tuple[type[AnswersError], tuple[str, int | None, str]]:
        return type(self), (self.file, self.line, self.remedy)


_ESCAPES = MappingProxyType({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_UNESCAPED = MappingProxyType({code: character for character, code in _ESCAPES.items()})


def format_answers(entries: Iterable[Entry]) -> str:
    """The text of `answers.tsv`: a header, then the entries by language, uses (most first) and answer."""
    ordered = sorted(entries, key=lambda entry: (entry.nllb_code, -entry.uses, entry.answer))
    lines = [COLUMNS, *(_cells(entry) for entry in ordered)]
    return "".join("\t".join(line) + "\n" for line in lines)


def _cells(entry: Entry) -> Iterator[str]:
    for name in COLUMNS:
        value = getattr(entry, name)
        if isinstance(value, bool):
            yield str(int(value))
        elif isinstance(value, float):
            yield f"{value:g}"
        else:
            yield "" if value is None else "".join(_ESCAPES.get(letter, letter) for letter in str(value))


def read_answers(path: Path) -> dict[tuple[str, str], Given]:
    """The entries of a reviewed `answers.tsv`, by NLLB code and English answer.

    Needs the columns `nllb_code`, `answer` and `translation`; `accepted` (1 or 0, else 1) keeps the rows of
    an answer or rejects them. The other columns tell of the run that wrote the file and are not read.

    Raises:
        AnswersError: the file cannot be read, lacks a column, or a line has an unknown language, an empty or
            doubled answer, no translation though it is accepted, or the wrong number of columns.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise AnswersError(str(path), None, f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise AnswersError(str(path), line, f"no UTF-8 at byte {error.start}; save it as UTF-8") from error
    lines = [line.removesuffix("\r") for line in lines]
    header = lines[0].split("\t")
    _check_header(str(path), header)
    given: dict[tuple[str, str], Given] = {}
    first: dict[tuple[str, str], int] = {}
    for number, row in enumerate(lines[1:], start=2):
        if not row.strip():
            continue
        key, entry = _parsed(str(path), number, header, row)
        if key in given:
            raise AnswersError(
                str(path), number, f"{key[1]!r} in {key[0]} stands on line {first[key]} too; keep one"
            )
        given[key], first[key] = entry, number
    return given


_NEEDED = ("nllb_code", "answer", "translation")


def _check_header(file: str, header: Sequence[str]) -> None:
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        remedy = f"no column {', '.join(missing)} in the first line; columns are parted by tabs"
        raise AnswersError(file, 1, remedy)
    for name in header:
        if name not in COLUMNS:
            raise AnswersError(file, 1, f"unknown column {name!r}; known: {', '.join(COLUMNS)}")
        if header.count(name) > 1:
            raise AnswersError(file, 1, f"column {name!r} stands there twice")


def _parsed(file: str, number: int, header: Sequence[str], line: str) -> tuple[tuple[str, str], Given]:
    cells = line.split("\t")
    if len(cells) != len(header):
        remedy = f"{len(cells)} columns, {len(header)} wanted; a tab in a text is written \\t"
        raise AnswersError(file, number, remedy)
    row = {name: unescaped(cell).strip() for name, cell in zip(header, cells, strict=True)}
    code = row["nllb_code"]
    if code not in languages() or languages()[code].english:
        remedy = f"{code!r} is no NLLB code to translate into (`translate-mix languages` lists all)"
        raise AnswersError(file, number, remedy)
    accepted = row.get("accepted", "1")
    if accepted not in ("0", "1"):
        raise AnswersError(file, number, f"accepted is {accepted!r}; 1 keeps the rows, 0 rejects them")
    if not row["answer"]:
        raise AnswersError(file, number, "answer is empty")
    if accepted == "1" and not row["translation"]:
        remedy = "translation is empty; write one, or 0 in `accepted`, or leave out the line"
        raise AnswersError(file, number, remedy)
    return (code, row["answer"]), Given(row["translation"], accepted == "1")


def unescaped(cell: str) -> str:
    return re.sub(r"\\[\\tnr]", lambda match: _UNESCAPED[match[0]], cell)
