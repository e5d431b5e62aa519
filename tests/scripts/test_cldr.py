"""What the scripts that read CLDR share."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.cldr import VERSION, fetch, locale, parsed_options, tsv, write
from translation.languages import resolve


def test_a_table_has_a_header_and_quotes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tsv(("nllb_code", "word"), [("fra_Latn", "aujourd'hui"), ("deu_Latn", '"so"')])
    assert text == 'nllb_code\tword\nfra_Latn\taujourd\'hui\ndeu_Latn\t"so"\n'
    write(tmp_path / "table.tsv", text)
    assert (tmp_path / "table.tsv").read_text(encoding="utf-8") == text
    assert capsys.readouterr().out.endswith("table.tsv: 50 bytes, 2 rows\n")


def test_locales_are_tags_but_for_those_that_cldr_names_otherwise() -> None:
    assert locale(resolve("deu_Latn")) == "de"
    assert locale(resolve("nob_Latn")) == "no"
    assert locale(resolve("zho_Hant")) == "zh-Hant"


def test_a_package_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / f"npm-cldr-x-{VERSION}").mkdir()
    assert fetch("cldr-x", tmp_path) == tmp_path / f"npm-cldr-x-{VERSION}" / "package"


def test_the_table_goes_where_the_package_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["script"])
    options = parsed_options("What it does.", "colours.tsv")
    assert (options.cache, options.output) == (Path("build/cldr"), Path("translation/colours.tsv"))
