"""What is surely not English is named; English stays English, however short or odd."""

from __future__ import annotations

import pytest

from translation.foreign import foreign_language


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Ein Hund läuft am Strand entlang.", "deu_Latn"),
        ("Un homme mange une pomme rouge dans la rue.", "fra_Latn"),
        ("Berlin ist die Hauptstadt von Deutschland und eine Stadt mit vielen Einwohnern.", "deu_Latn"),
        ("你好，请介绍一下北京。", "zho_Hans"),
        ("什么", "zho_Hans"),
        ("Большая собака", "rus_Cyrl"),
        ("الكلب يركض على الشاطئ", "arb_Arab"),
        ("Mbwa anakimbia kwenye ufuo wa bahari leo asubuhi.", "swh_Latn"),
        ("Was macht `for x in range(10)` in diesem Programm hier eigentlich?", "deu_Latn"),
    ],
)
def test_other_languages_are_named(text: str, code: str) -> None:
    assert foreign_language(text) == code


@pytest.mark.parametrize(
    "text",
    [
        "A dog runs along the beach.",
        "croissant",
        "pizza margherita",
        "São Paulo, Brazil",
        "a plate of spaghetti alla puttanesca and a glass of vino rosso",
        "The sign says 出口 in white letters.",
        "π",
        "α",
        "",
        "12 + 7 = 19",
        "```python\nfür x = 1\nund y = 2\noder z\n```",
        "https://www.beispiel.de/hier/steht/etwas/in/der/adresse ok",
        "Translate to German: The house is red.",
        "😀 😀 😀",
        "def f(x):\n    return [y for y in x if y]",
        "\\frac{a}{b} + \\sqrt{c} = d",
        "|a|b|c|\n|---|---|---|\n|1|2|3|",
    ],
)
def test_english_and_what_is_no_language_pass(text: str) -> None:
    assert foreign_language(text) is None
