"""The benchmark of identification: its test sets, and what it calls recall and false acceptance."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.identification import (
    accepted,
    false_acceptance,
    first_words,
    main,
    measure,
    thinned,
)
from benchmarks.identification import (
    test_sets as build_test_sets,
)
from scripts.identifier.corpus import split_of
from scripts.identifier.sources import Pair


def test_first_words_by_script() -> None:
    assert first_words("one two three four five six seven eight nine ten", "eng_Latn").endswith("nine")
    assert first_words("两只小狗在厨房的桌子下面睡觉。", "zho_Hans") == "两只小狗在"


def test_sets_hold_out_lines_articles_and_english_texts(tmp_path: Path) -> None:
    def write(name: str, rows: list[dict[str, object]]) -> None:
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{name}.parquet")

    codes = {"eng_Latn": "Sentence", "deu_Latn": "Satz"}
    write(
        "ntrex",
        [
            {"line": number, "nllb_code": code, "text": f"{word} {number}"}
            for number in range(990, 1061)
            for code, word in codes.items()
        ],
    )
    write(
        "udhr",
        [
            {"article": number, "nllb_code": code, "text": f"{word} {number}\n{word} two {number}"}
            for number in (24, 27, 28, 30)
            for code, word in codes.items()
        ],
    )
    english = [f"name {number}" for number in range(900)]
    write("tatoeba", [{"nllb_code": "deu_Latn", "english": text, "text": f"T {text}"} for text in english])
    write("cldr_emoji_names", [{"nllb_code": "deu_Latn", "english": "x", "name": "y"}])
    sets = build_test_sets(tmp_path, None)
    assert sorted(sets) == ["nine_words", "sentences", "tatoeba", "udhr"]
    assert sets["sentences"]["deu_Latn"] == [f"Satz {number}" for number in range(1001, 1061)]
    assert sets["udhr"]["deu_Latn"] == ["Satz 28", "Satz two 28", "Satz 30", "Satz two 30"]
    # The corpus learns none of what is reported.
    reported = [text for text in english if split_of("tatoeba", Pair("de", "x", text)) == "report"]
    assert sets["tatoeba"]["eng_Latn"] == reported
    assert 50 < len(reported) < 150


def test_without_tables_the_command_that_makes_them_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["identification", "--data", str(tmp_path)])
    assert main() == 2
    told = capsys.readouterr().err
    assert (
        f"`python -m scripts.reference_tables --ntrex NTREX/NTREX-128 --output {tmp_path}` makes it" in told
    )


def test_acceptance_by_kind_of_the_other_language() -> None:
    shares = {
        "dan_Latn": {"dan_Latn": 0.8, "nob_Latn": 0.2},
        "nob_Latn": {"nob_Latn": 1.0, "dan_Latn": 0.1},
        "eng_Latn": {"eng_Latn": 0.9, "dan_Latn": 0.04},
        "rus_Cyrl": {"rus_Cyrl": 1.0},
    }
    found = false_acceptance(shares)
    assert found["siblings"] == pytest.approx((0.1 + 0.2) / 2)
    # Danish and Norwegian from Russian, and Russian from both: nothing.
    assert found["unrelated"] == 0.0
    assert found["english"] == pytest.approx((0.04 + 0 + 0) / 3)


def test_a_rule_accepts_what_any_of_its_detectors_names() -> None:
    texts = {"deu_Latn": ["eins", "zwei"], "fra_Latn": ["un", "deux"]}

    def first(batch):  # type: ignore[no-untyped-def]
        return [frozenset({"deu_Latn"}) for _ in batch]

    def second(batch):  # type: ignore[no-untyped-def]
        return [frozenset({"fra_Latn"}) if text in ("un", "deux") else frozenset() for text in batch]

    result, confusion = measure("t", texts, {"ours": first, "cld2": second})
    assert result["ours"]["recall"] == 0.5  # type: ignore[index]
    assert result["cld2"]["recall"] == 0.5  # type: ignore[index]
    assert result["ours_or_cld2"]["recall"] == 1.0  # type: ignore[index]
    assert result["ours_or_cld2"]["unrelated"] == pytest.approx(0.5)  # type: ignore[index]
    assert confusion == [("t", "fra_Latn", "deu_Latn", 1.0)]


def test_shares_count_each_named_language() -> None:
    named = [frozenset({"a", "b"}), frozenset({"a"}), frozenset[str](), frozenset({"b"})]
    assert accepted(named) == {"a": 0.5, "b": 0.5}


def test_thinning_spreads_evenly() -> None:
    assert thinned(range(100), 10) == range(0, 100, 10)  # type: ignore[comparison-overlap,arg-type]
    assert thinned([1, 2], 10) == [1, 2]
