"""Conversations, as data sets write them, become pairs of what a human and what an assistant says.

LLaVA's `[{from, value}]`, chat's `[{role, content}]` with contents of text or parts, the Cauldron's
`[{user, assistant}]`, and each of them as one mapping of lists, as `datasets` stores a sequence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress, islice
from typing import NamedTuple

import numpy as np

from pipelines.sources.columns import Odd, only_texts, verbatim_texts
from pipelines.sources.values import MAX_TEXT, BadRecord, clean_text, kind, shown

_MARK = "<image>"
_MARK_AND_LINE = re.compile(r"<image>\n|\n<image>|<image>")
_SPEAKERS = (("human", "user"), ("gpt", "assistant"))


class Item(NamedTuple):
    """One caption or turn of a record, or what is wrong with it."""

    suffix: str
    """Added to the record's id where one record holds several."""
    text: str = ""
    human: str = ""
    fault: str | None = None


class _Said(NamedTuple):
    role: object
    text: object
    where: str
    """`turn 3`"""


def turns(value: object, column: str, *, together: bool) -> Iterator[Item]:
    """The pairs of a conversation; what the system or the assistant says before them is left out.

    Args:
        together: a prompt holds what was said before, so nothing can follow a pair that cannot be used.

    Raises:
        BadRecord: they are no pairs of question and answer, or ask for more than one picture.
    """
    said = _said(value, column)
    marks = 0
    for index, one in enumerate(said):
        if one.role not in _SPEAKERS[index % 2]:
            right = " or ".join(_SPEAKERS[index % 2])
            raise BadRecord(f"{one.where} is by {shown(one.role)}, must be by {right}: they alternate")
        if isinstance(one.text, str) and index % 2 == 0:
            marks += one.text.count(_MARK)
    if len(said) == 1:
        raise BadRecord("conversation without an answer")
    if marks > 1:
        raise BadRecord(f"{marks} marks `{_MARK}`, a record has one picture")
    broken: str | None = None
    for pair, start in enumerate(range(0, len(said), 2)):
        item = _pair(said[start : start + 2], pair)
        if together and broken is not None and item.fault is None:
            before = f"{broken} or its answer, which was said before, cannot be used"
            item = item._replace(fault=before)
        if item.fault is not None and broken is None:
            broken = said[start].where
        yield item


def pairs_together(
    sizes: Sequence[int], speakers: Sequence[object], values: Sequence[object], odd: Odd
) -> list[list[tuple[str, str]]]:
    """What human and assistant say in many conversations `[{from, value}]`, in turns; no mark is left.

    Places of the conversations that `turns` must look at are added to `odd`.

    Args:
        sizes: turns of each conversation.
        speakers, values: of all turns.
    """
    counts = np.array(sizes, np.int64)
    unpaired = (counts == 0) | (counts % 2 == 1)
    if unpaired.any():
        odd.update(np.flatnonzero(unpaired).tolist())
        kept = np.repeat(~unpaired, counts)
        speakers, values = list(compress(speakers, kept)), list(compress(values, kept))
        counts[unpaired] = 0
    ends = np.cumsum(counts)
    odd_turns: Odd = set()
    by, texts = only_texts(speakers, odd_turns), list(only_texts(values, odd_turns))
    for first in (ends - counts)[~unpaired].tolist():
        texts[first] = _without_first_mark(texts[first])
    cleaned = verbatim_texts(texts, odd_turns)
    if _MARK in "\n".join(cleaned):
        odd_turns.update(at for at, text in enumerate(cleaned) if _MARK in text)
    for side, names in enumerate(_SPEAKERS):
        if not set(by[side::2]) <= set(names):
            odd_turns.update(at for at in range(side, len(by), 2) if by[at] not in names)
    if odd_turns:
        odd.update(np.searchsorted(ends, list(odd_turns), side="right").tolist())
    pairs = zip(cleaned[::2], cleaned[1::2], strict=True)
    return [list(islice(pairs, size)) for size in (counts // 2).tolist()]


def _without_first_mark(text: str) -> str:
    """A prompt without the mark in a line of its own at its start or its end."""
    if len(text) > MAX_TEXT:
        return text
    return text.removesuffix(f"\n{_MARK}") if text.endswith(_MARK) else text.removeprefix(f"{_MARK}\n")


def marked(value: object) -> bool:
    """Whether a conversation, or a text, asks for a picture by `<image>` or by a part of that kind."""
    if isinstance(value, Mapping):
        return value.get("type") in _PICTURES or any(map(marked, value.values()))
    if isinstance(value, list):
        return any(map(marked, value))
    return isinstance(value, str) and _MARK in value


def without_mark(text: str, what: str) -> str:
    """The prompt without LLaVA's `<image>` and its line break; the trainer puts the picture itself."""
    if _MARK not in text:
        return text
    without = _MARK_AND_LINE.sub("", text).strip()
    if not without:
        raise BadRecord(f"{what} is empty but for `{_MARK}`")
    return without


def _said(value: object, column: str) -> list[_Said]:
    """Who says what, from the first question on. Raises `BadRecord`."""
    if isinstance(value, Mapping):
        value = _listed(value, column)
    if not isinstance(value, list):
        raise BadRecord(f"conversation {column!r} is {kind(value)}, must be a list of turns")
    said = [one for index, turn in enumerate(value) for one in _turn(turn, index)]
    if said and said[0].role == "system":
        del said[0]
    # Some conversations were cut from longer ones; LLaVA's own loader leaves such an answer out too.
    if len(said) > 2 and said[0].role in _SPEAKERS[1] and said[1].role in _SPEAKERS[0]:
        del said[0]
    if not said:
        raise BadRecord(f"conversation {column!r} is empty")
    return said


def _listed(value: Mapping[str, object], column: str) -> list[object]:
    """A mapping of equally long lists as a list of mappings."""
    lists = {key: one for key, one in value.items() if isinstance(one, list)}
    if len({len(one) for one in lists.values()}) != 1:
        raise BadRecord(f"conversation {column!r} is an object, must be a list of turns")
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _turn(turn: object, index: int) -> Iterator[_Said]:
    """What a turn says; both sides where it holds question and answer."""
    where = f"turn {index}"
    if not isinstance(turn, Mapping):
        raise BadRecord(f"{where} is {kind(turn)}, must be a mapping of from/value or role/content")
    if turn.get("from") is not None:
        yield _Said(turn["from"], turn.get("value"), where)
    elif "role" in turn:
        yield _Said(turn["role"], _content(turn.get("content"), where), where)
    elif "user" in turn and "assistant" in turn:
        yield _Said("user", turn["user"], where)
        yield _Said("assistant", turn["assistant"], f"the answer of {where}")
    elif "from" in turn:
        yield _Said(None, turn.get("value"), where)
    else:
        raise BadRecord(f"{where} has neither `from` nor `role`, nor `user` and `assistant`")


_PICTURES = frozenset({"image", "image_url"})


def _content(content: object, where: str) -> object:
    """The content of a message; parts become one text, a line each, with a mark for each picture."""
    if not isinstance(content, list):
        return content
    lines = []
    for part in content:
        if isinstance(part, Mapping) and part.get("type") in _PICTURES:
            lines.append(_MARK)
            continue
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            what = shown(part.get("type")) if isinstance(part, Mapping) else kind(part)
            raise BadRecord(f"{where} has a part of type {what}, must be text or image")
        lines.append(text)
    return "\n".join(lines)


def _pair(said: Sequence[_Said], pair: int) -> Item:
    suffix = f"#{pair}"
    try:
        asked = said[0]
        prompt = without_mark(clean_text(asked.text, asked.where, verbatim=True), asked.where)
        if len(said) == 1:
            raise BadRecord(f"{asked.where} has no answer")
        answer = clean_text(said[1].text, said[1].where, verbatim=True)
        if _MARK in answer:
            raise BadRecord(f"{said[1].where} has a mark `{_MARK}`, which stands for a picture")
        return Item(suffix, answer, prompt)
    except BadRecord as error:
        return Item(suffix, fault=str(error))
