"""Yes and no as CLDR has them, and the table that ships."""

from __future__ import annotations

import json
from pathlib import Path

import translation
from scripts.yes_no import table, words
from translation.languages import resolve


def test_the_first_word_of_an_entry() -> None:
    assert words({"yesstr": "Sí:s", "nostr": "no:n"}) == ("sí", "no")
    assert words({"yesstr": "chan eil:ch:c:n", "nostr": "નહીં "}) == ("chan eil", "નહીં")
    assert words({}) == ("", "")


def test_a_table(tmp_path: Path) -> None:
    for tag, yes, no in (("de", "ja:j", "nein:n"), ("xh", "yes:y", "no:n"), ("en", "yes:y", "no:n")):
        (tmp_path / tag).mkdir()
        content = {"main": {tag: {"posix": {"messages": {"yesstr": yes, "nostr": no}}}}}
        (tmp_path / tag / "posix.json").write_text(json.dumps(content), encoding="utf-8")
    languages = [resolve(code) for code in ("deu_Latn", "eng_Latn", "fra_Latn", "xho_Latn", "zho_Hans")]
    text, without = table(languages, tmp_path)
    assert text == "nllb_code\tyes\tno\ndeu_Latn\tja\tnein\neng_Latn\tyes\tno\nzho_Hans\t是\t否\n"
    assert without == ["fra_Latn", "xho_Latn"]


def test_the_table_that_ships() -> None:
    lines = Path(translation.__file__).with_name("yes_no.tsv").read_text(encoding="utf-8").splitlines()
    rows = {code: (yes, no) for code, yes, no in (line.split("\t") for line in lines[1:])}
    assert lines[0] == "nllb_code\tyes\tno"
    assert rows["deu_Latn"] == ("ja", "nein")
    assert rows["tur_Latn"] == ("evet", "hayır")
    assert all(yes and no and yes != no and resolve(code).nllb == code for code, (yes, no) in rows.items())
