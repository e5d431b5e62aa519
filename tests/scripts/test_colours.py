"""Names of colours from the keywords of emoji."""

from __future__ import annotations

import json
from pathlib import Path

import translation
from scripts.colours import colours, table
from translation.languages import resolve

GERMAN = {
    "🔴": ["Kreis", "Rot"], "🟥": ["Quadrat", "rot"], "❤": ["Herz", "rotes Herz"],
    "🔵": ["Kreis", "blau"], "🟦": ["Quadrat", "blau"], "🟢": ["Kreis", "grünlich"],
}  # fmt: skip


def test_a_colour_is_what_its_emoji_share_with_no_other() -> None:
    assert colours(GERMAN) == {"red": ["rot"], "blue": ["blau"]}


def test_names_as_frequent_stay_in_the_order_of_the_keywords() -> None:
    names = ["rouge", "rougeâtre", "vermeil", "carmin", "pourpre"]
    assert colours({"🔴": names, "🟥": names}) == {"red": names}


def test_a_table(tmp_path: Path) -> None:
    untranslated = {"🔴": ["red"], "🟥": ["red"]}
    for tag, keywords in (("de", GERMAN), ("zu", untranslated), ("en", untranslated)):
        (tmp_path / tag).mkdir()
        entries = {emoji: {"default": words} for emoji, words in keywords.items()}
        content = {"annotations": {"annotations": entries}}
        (tmp_path / tag / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    languages = [resolve(code) for code in ("deu_Latn", "eng_Latn", "fra_Latn", "zul_Latn")]
    rows = ["nllb_code\tenglish\tnames", "deu_Latn\tred\trot", "deu_Latn\tblue\tblau", "eng_Latn\tred\tred"]
    assert table(languages, tmp_path).splitlines() == rows


def test_the_table_that_ships() -> None:
    lines = Path(translation.__file__).with_name("colours.tsv").read_text(encoding="utf-8").splitlines()
    rows = {
        (code, colour): names.split("|") for code, colour, names in (line.split("\t") for line in lines[1:])
    }
    assert rows["deu_Latn", "red"] == ["rot"]
    assert "синий" in rows["rus_Cyrl", "blue"]
    assert all(resolve(code).nllb == code and all(names) for (code, _), names in rows.items())
