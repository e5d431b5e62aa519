"""The interpreter of CLDR's spell-out rules, on rules in its notation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.number_words import NotSpelled, RuleSets, clean, read_rules, scales, spelled, table, words_of
from translation.languages import resolve

# After the rules of English, German (units before tens), Russian (plurals) and Polish (alternatives).
RULES = {
    "%%lenient-parse": [["&[x] << y"]],
    "%spellout-numbering-year": [["0", "=%spellout-cardinal-a=;"]],
    "%spellout-cardinal-a": [
        ["-x", "minus →→;"], ["x.x", "←← point →→→;"], ["0", "zero;"], ["1", "one;"],
        ["2", "two;"], ["3", "three;"], ["4", "=%%more=;"], ["10", "'ten[-→→];"],
        ["20", "[→%%unit→\u00adand\u00ad]twenty;"],
        ["30", "thirty[-→→];"],
        ["100", "←← hundred[ →→];"],
        ["1000", "←%%unit← $(cardinal,one{thousand}other{thousands})$[ →→];"],
        ["1100/100", "←← hundred[ →→|];"],
        ["1000000", "=#,##0=;"],
    ],
    "%%more": [["4", "four;"], ["5", "five;"], ["6", "six;"]],
    "%%unit": [["1", "un;"], ["2", "=%spellout-cardinal-a=;"]],
    "%spellout-ordinal": [["0", "=%spellout-cardinal-a=th;"]],
}  # fmt: skip


def rules(folder: Path, locale: str = "xx") -> RuleSets:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{locale}.json"
    content = {"rbnf": {"rbnf": {"SpelloutRules": {**RULES, "_rbnfRulesFile": "xx.txt"}}}}
    path.write_text(json.dumps(content), encoding="utf-8")
    return read_rules(path)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "zero"), (3, "three"), (4, "four"), (10, "ten"), (12, "ten-two"), (20, "twenty"),
        (21, "unandtwenty"), (33, "thirty-three"), (100, "one hundred"), (101, "one hundred one"),
        (200, "two hundred"), (233, "two hundred thirty-three"), (1000, "un thousand"),
        (1001, "un thousand one"), (1200, "ten-two hundred"),
    ],
)  # fmt: skip
def test_a_number_in_words(tmp_path: Path, value: int, words: str) -> None:
    assert clean(rules(tmp_path).spell(value, "%spellout-cardinal-a")) == words


def test_digits_and_unknown_plurals_are_no_words(tmp_path: Path) -> None:
    found = rules(tmp_path)
    with pytest.raises(NotSpelled):
        found.spell(1000000, "%spellout-cardinal-a")
    with pytest.raises(NotSpelled):
        found.spell(0, "%%unit")


def test_only_cardinals_are_spelled_and_units_also_without_their_count(tmp_path: Path) -> None:
    found = rules(tmp_path)
    assert found.cardinals == ["%spellout-cardinal-a"]
    words = list(spelled(found))
    assert (100, "one hundred") in words
    assert (100, " hundred") in words
    assert (1000, " thousand") in words


def test_compact_notation() -> None:
    long = {
        "1000-count-other": "0 thousand", "10000-count-other": "00 thousand", "100000-count-other": "0 lakh",
        "1000000-count-one": "0 Mio'.'", "10000000-count-other": "milioni 00;milioni -00",
    }  # fmt: skip
    short = {"1000-count-other": "0K", "10000-count-other": "0万", "100-count-other": "0"}
    formats = {"long": {"decimalFormat": long}, "short": {"decimalFormat": short}}
    assert list(scales({"decimalFormats-numberSystem-latn": formats})) == [
        (1000, "thousand"), (1000, "thousand"), (100000, "lakh"), (1000000, "Mio"), (1000000, "milioni"),
        (10000, "万"),
    ]  # fmt: skip


def test_a_table(tmp_path: Path) -> None:
    rules(tmp_path / "rbnf", "en")
    rules(tmp_path / "rbnf", "en-Latn")  # a script, no region
    words = words_of(resolve("eng_Latn"), tmp_path / "rbnf", tmp_path / "numbers")
    assert words[2] == ["two"]
    assert words[100] == ["one hundred", "hundred"]
    assert 33 not in words  # told by its parts
    text, without = table([resolve("eng_Latn"), resolve("deu_Latn")], tmp_path / "rbnf", tmp_path / "numbers")
    assert text.startswith("nllb_code\tvalue\twords\thomographs\neng_Latn\t0\tzero\t\n")
    assert without == ["deu_Latn"]
