"""Items for tests, from the fields that a test is about."""

from __future__ import annotations

from evaluation.items import Expected, Item


def item(
    prediction: str,
    *references: str,
    language: str = "eng_Latn",
    name: str = "1",
    unit: str | None = None,
    choices: tuple[str, ...] = (),
    answered_in: str | None = None,
    published: tuple[str, ...] = (),
) -> Item:
    expected = Expected(name, language, references, unit or name, choices, answered_in, published)
    return Item(expected, prediction)
