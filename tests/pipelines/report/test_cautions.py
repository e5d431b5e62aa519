"""What a reader is told first."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipelines.report import write_report
from pipelines.report.rules import MEANINGS, OTHER, meaning
from tests.pipelines.report.small_mix import rejected, row, write_mix
from translation.filters import Policy


def told(folder: Path, rows: list[dict[str, Any]], **options: Any) -> str:
    mix = write_mix(folder / "mix", rows, **options)
    path = write_report(str(mix), console=Console(file=io.StringIO()))
    text = Path(path).read_text(encoding="utf-8")
    return (
        text[text.find("Before you use it") : text.find("<caption>Tasks")]
        if "Before you use it" in text
        else ""
    )


def good(*codes: str, rows: int = 20) -> list[dict[str, Any]]:
    return [row(code, index) for code in codes for index in range(rows)]


EVEN = good("arb_Arab", "deu_Latn", "heb_Hebr", "jpn_Jpan", "mya_Mymr", "tha_Thai", "eng_Latn")


def test_nothing_to_say_of_a_good_mix(tmp_path: Path) -> None:
    assert told(tmp_path, EVEN) == ""


def test_the_small_model(tmp_path: Path) -> None:
    assert "stand-in" in told(tmp_path, EVEN, model="small")


def test_languages_that_the_model_does_not_know(tmp_path: Path) -> None:
    reason = "language: the model 'nllb' was not trained on Yiddish"
    text = told(tmp_path, [*EVEN, rejected("ydd_Hebr", 0, reason=reason, target=None)])
    assert "1 language not in the model." in text
    assert "Yiddish" in text
    assert "without accepted rows" not in text, "it is said once"


def test_questions_that_the_model_does_not_know_are_not_rows_of_english(tmp_path: Path) -> None:
    reason = "language: the model 'nllb' was not trained on Yiddish"
    asked = [
        rejected("eng_Latn", 100, reason=reason, question_language="ydd_Hebr"),
        rejected("eng_Latn", 101, question_language="swh_Latn"),
        row("eng_Latn", 102, question_language="deu_Latn"),
    ]
    text = told(tmp_path, [*EVEN, *asked])
    assert "Questions in 1 language not in the model." in text
    assert "their questions untranslated: Yiddish." in text
    assert "1 language without accepted questions." in text
    assert "has a question in Swahili." in text
    assert "rows were rejected untranslated" not in text


def test_languages_without_accepted_rows(tmp_path: Path) -> None:
    text = told(tmp_path, [*EVEN, rejected("zul_Latn", 0)])
    assert "1 language without accepted rows." in text
    assert "Nothing to train on in Zulu" in text


def test_languages_that_keep_far_less_than_the_others(tmp_path: Path) -> None:
    rows = good("arb_Arab", "heb_Hebr", "jpn_Jpan", "mya_Mymr", "tha_Thai")
    rows += good("deu_Latn", rows=30) + [rejected("deu_Latn", 100 + index) for index in range(20)]
    text = told(tmp_path, rows)
    assert "1 language with far fewer rows kept than the others." in text
    assert "German (60%)" in text


def test_few_rows_mean_nothing(tmp_path: Path) -> None:
    rows = EVEN + good("zul_Latn", rows=2) + [rejected("zul_Latn", 100 + index) for index in range(3)]
    assert "far fewer" not in told(tmp_path, rows)


def test_languages_below_the_plan(tmp_path: Path) -> None:
    rows = good("arb_Arab", "heb_Hebr", "jpn_Jpan", "mya_Mymr", "tha_Thai", rows=60) + good(
        "deu_Latn", rows=30
    )
    text = told(tmp_path, rows, recipe={"languages": {"english_share": 0.0, "codes": [
        "arb_Arab", "deu_Latn", "heb_Hebr", "jpn_Jpan", "mya_Mymr", "tha_Thai"]}})  # fmt: skip
    assert "1 language below the plan." in text
    assert "German" in text


def test_a_source_that_breaks_off(tmp_path: Path) -> None:
    assert "A source breaks off." in told(
        tmp_path, [*EVEN, rejected("und", 0, reason="truncated: c.json: breaks off")]
    )


def test_thresholds_that_are_not_at_hand(tmp_path: Path) -> None:
    assert "The table of thresholds is not at hand." in told(tmp_path, EVEN, thresholds="another")


def test_every_rule_has_its_meaning() -> None:
    rules = [name for name, _ in Policy().rules()]
    assert set(rules) <= MEANINGS.keys()
    assert meaning("of a later version") == OTHER


@pytest.mark.parametrize("sentence", [*MEANINGS.values(), OTHER])
def test_meanings_are_sentences(sentence: str) -> None:
    assert sentence[0].isupper()
    assert sentence.endswith(".")
