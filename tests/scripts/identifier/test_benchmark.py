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
    held_out,
    measure,
    thinned,
    tux_captions,
)
from benchmarks.identification import (
    test_sets as build_test_sets,
)
from scripts.identifier.corpus import split_of
from scripts.identifier.sources import Pair


def test_first_words_by_script() -> None:
    assert first_words("one two three four five six seven eight nine ten", "eng_Latn").endswith("nine")
    assert first_words("两只小狗在厨房的桌子下面睡觉。", "zho_Hans") == "两只小狗在"


def test_reported_texts_are_those_that_the_corpus_holds_out() -> None:
    names = [f"name {number}" for number in range(300)]
    assert [held_out(name) for name in names] == [
        split_of("cldr-names", Pair("de", "x", name)) == "report" for name in names
    ]


def test_captions_without_the_traps(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(
        "A duck.\nde.utf8=Eine Ente.\nta.utf8=x\nku.utf8=werdek\nzh_CN.utf8=鸭\nzh_TW.utf8=一隻鴨子\n"
        "pt_BR.utf8=Um pato.\nca@valencia.utf8=Un ànec.\nen_GB.utf8=A duck.\nnl.utf8=A duck.\nxx.utf8=?\n",
        encoding="utf-8",
    )
    assert list(tux_captions(tmp_path)) == [
        ("eng_Latn", "A duck."),
        ("deu_Latn", "Eine Ente."),
        ("zho_Hant", "一隻鴨子"),
    ]


def test_sets_hold_out_ntrex_by_line_and_articles_by_number(tmp_path: Path) -> None:
    lines = [
        {"line": number, "nllb_code": "deu_Latn", "text": f"Satz {number}"} for number in range(990, 1061)
    ]
    pq.write_table(pa.Table.from_pylist(lines), tmp_path / "ntrex.parquet")
    articles = [
        {"nllb_code": "deu_Latn", "article": number, "text": f"Absatz {number}\nZweiter {number}"}
        for number in (24, 27, 28, 30)
    ]
    pq.write_table(pa.Table.from_pylist(articles), tmp_path / "udhr.parquet")
    sets = build_test_sets(tmp_path, None)
    assert sorted(sets) == ["nine_words", "sentences", "udhr"]
    assert sets["sentences"]["deu_Latn"] == [f"Satz {number}" for number in range(1001, 1061)]
    assert sets["udhr"]["deu_Latn"] == ["Absatz 28", "Zweiter 28", "Absatz 30", "Zweiter 30"]


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
