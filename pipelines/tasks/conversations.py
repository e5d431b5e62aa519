"""Instructions: the turns of conversations."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.examples import Example, Text
from pipelines.recipe_sources import Source
from pipelines.records import Talk

BETWEEN_TURNS = "\n\n"
"""Between the turns of a prompt that holds what was said before; a translation keeps it."""


def instruct(source: Source, record: Talk, seed: int) -> Iterator[Example]:
    """One example per answer: to its question alone (`turns: split`), or to all that was said (`keep`)."""
    said: list[str] = []
    for source_id, human, assistant in record.turns:
        said.append(human)
        prompt = BETWEEN_TURNS.join(said) if source.turns == "keep" else human
        said.append(assistant)
        yield Example(
            dataset=source.name,
            source_id=source_id,
            task="instruct",
            image=record.picture.locator if record.picture else None,
            image_id=record.picture.image_id if record.picture else None,
            prompt=Text(prompt, translate=source.prompt == "translate"),
            target=Text(assistant),
            conversation=record.source_id,
        )
