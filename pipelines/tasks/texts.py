"""Captions, and the continuation of texts without a picture."""

from __future__ import annotations

from collections.abc import Iterator

from sentencex import segment

from pipelines.examples import Example, Text
from pipelines.recipe_sources import Source
from pipelines.records import Captioned, Written
from translation.languages import ENGLISH, languages


def captions(source: Source, record: Captioned, seed: int) -> Iterator[Example]:
    """One example per caption; the prompt is a template alone."""
    picture = record.picture
    for source_id, text in record.captions:
        yield Example(source.name, source_id, "caption", picture.locator, picture.image_id, None, Text(text))


def continuation(source: Source, record: Written, seed: int) -> Iterator[Example]:
    """The beginning of a text as prompt, the rest as target; what is not English is never translated."""
    beginning, rest = _parted(record.text, record.language or ENGLISH)
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


def _parted(text: str, language: str) -> tuple[str, str]:
    """The first sentences, about a third of the text, and the others; a single sentence is parted at a word.

    Both parts hold something, if the text has two characters that are no space.
    """
    sentences = [one for one in segment(languages()[language].bcp47.split("-")[0], text) if one.strip()]
    if len(sentences) > 1:
        taken = sentences[0]
        position = text.find(taken) + len(taken)
        for one in sentences[1:-1]:
            if position * 3 >= len(text):
                break
            position = text.find(one, position) + len(one)
    else:
        middle = len(text) // 2
        space = text.find(" ", middle)
        position = space if 0 < space < len(text.rstrip()) else middle
    return text[:position].strip(), text[position:].strip()
