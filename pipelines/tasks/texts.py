"""Captions, and the continuation of texts without a picture."""

from __future__ import annotations

import re
from collections.abc import Iterator

import regex
from sentencex import segment

from pipelines.examples import Example, Reject, Text
from pipelines.recipe_sources import Source
from pipelines.records import Captioned, Written
from translation.languages import ENGLISH, languages


def captions(source: Source, record: Captioned, seed: int) -> Iterator[Example]:
    """One example per caption; the prompt is a template alone."""
    picture = record.picture
    for source_id, text in record.captions:
        yield Example(source.name, source_id, "caption", picture.locator, picture.image_id, None, Text(text))


_WORD_LIKE = regex.compile(r"[\p{L}\p{N}]")

LEAST_WORDS, LEAST_CHARACTERS = 4, 12
"""Of a single sentence that is parted, in languages with and without spaces between words."""

MOST_CHARACTERS = 20_000
"""Of a text; no model reads more of an article than its beginning."""


def continuation(source: Source, record: Written, seed: int) -> Iterator[Example | Reject]:
    """The beginning of a text as prompt, the rest as target; what is not English is never translated.

    Of a text of more than `MOST_CHARACTERS` only its first sentences are taken; one that is too short to have
    a beginning is a reject.
    """
    parted = _parted(_start(record.text), record.language or ENGLISH)
    if parted is None:
        reason = (
            f"source: {record.place}: too short to be continued: it must have two sentences, {LEAST_WORDS} "
            f"words, or {LEAST_CHARACTERS} characters where words have no spaces between them"
        )
        yield Reject(source.name, record.source_id, "text", reason, record.text)
        return
    beginning, rest = parted
    translate = record.language is None
    yield Example(
        dataset=source.name,
        source_id=record.source_id,
        task="text",
        image=None,
        image_id=None,
        prompt=Text(beginning, translate=translate and source.prompt == "translate"),
        target=Text(rest, translate=translate),
        language=record.language,
    )


def _start(text: str) -> str:
    """The text, or of a long one its first paragraphs, sentences or words."""
    if len(text) <= MOST_CHARACTERS:
        return text
    head = text[:MOST_CHARACTERS]
    for end in ("\n\n", "\n", ". ", " "):
        position = head.rfind(end)
        if position > MOST_CHARACTERS // 2:
            return head[: position + len(end)].rstrip()
    return head


def _parted(text: str, language: str) -> tuple[str, str] | None:
    """The first sentences, about a third of the text, and the others; a single sentence is parted at a word.

    None if it is too short for that.
    """
    # A closing quotation mark or a mark of direction is no sentence.
    sentences = [
        one for one in segment(languages()[language].bcp47.split("-")[0], text) if _WORD_LIKE.search(one)
    ]
    if len(sentences) > 1:
        taken = sentences[0]
        position = text.find(taken) + len(taken)
        for one in sentences[1:-1]:
            if position * 3 >= len(text):
                break
            position = text.find(one, position) + len(one)
    else:
        words = [found.start() for found in re.finditer(r"\S+", text)]
        if len(words) >= LEAST_WORDS:
            position = words[len(words) // 2]
        elif languages()[language].spaced or len(text) < LEAST_CHARACTERS:
            return None
        else:
            # Not between a letter and its vowel signs and tone marks.
            starts = (found.start() for found in regex.finditer(r"\X", text))
            position = next((start for start in starts if start >= len(text) // 2), len(text))
            if position == len(text):
                return None
    parts = text[:position].strip(), text[position:].strip()
    return parts if all(map(_WORD_LIKE.search, parts)) else None
