"""What the measuring script says: sacrebleu's figures on what the engine makes of texts never trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sacrebleu.metrics.chrf import CHRF

from scripts.small_model import measure
from scripts.small_model.data import SCHEMA
from scripts.small_model.measure import NAMES, TATOEBA, TRAINED, TUX, Pair, Score
from translation.engine import Engine
from translation.languages import ENGLISH
from translation.model import model_directory
from translation.translations import Request

MODEL = model_directory("small")
WORDS = {"red heart": "rotes Herz", "dog": "Hund", "bicycle": "Fahrrad", "spider": "Spinne"}
PAIRS = [Pair(english, "deu_Latn", german) for english, german in WORDS.items()]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(MODEL, measure.DECODING) as engine:
        yield engine


def test_figures_are_those_of_sacrebleu_on_the_output_of_the_engine(engine: Engine) -> None:
    figures = measure.measure(engine, PAIRS, back=True)
    english, german = list(WORDS), list(WORDS.values())
    out = [t.text for t in engine.translate([Request(text, ENGLISH, "deu_Latn") for text in english])]
    into = [t.text for t in engine.translate([Request(text, "deu_Latn", ENGLISH) for text in german])]
    back = [t.text for t in engine.translate([Request(text, "deu_Latn", ENGLISH) for text in out])]
    assert figures.from_english == Score(
        texts=4,
        chrf=round(CHRF().corpus_score(out, [german]).score, 2),
        copy_chrf=round(CHRF().corpus_score(english, [german]).score, 2),
        exact=sum(a == b for a, b in zip(out, german, strict=True)) / 4,
    )
    assert figures.into_english.chrf == round(CHRF().corpus_score(into, [english]).score, 2)
    assert figures.round_trip == sum(a.casefold() == b for a, b in zip(back, english, strict=True)) / 4


def test_a_round_trip_ignores_what_the_filter_ignores_and_leaves_out_long_names(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"dog": "The DOG.", "bicycle": "bike", "globe showing Europe-Africa": "globe"}
    monkeypatch.setattr(
        measure,
        "_translate",
        lambda _, requests: [
            answers.get(request.text, request.text) if request.source != ENGLISH else request.text
            for request in requests
        ],
    )
    pairs = [Pair(english, "deu_Latn", "x") for english in answers]
    assert measure.measure(engine, pairs, back=True).round_trip == 0.5
    assert measure.measure(engine, pairs[2:], back=True).round_trip is None
    assert measure.measure(engine, pairs).round_trip is None


def test_a_copied_source_scores_as_the_baseline_says() -> None:
    score = measure.score(["pizza", "tennis"], ["Brot", "Huhu"], ["pizza", "tennis"])
    assert (score.chrf, score.copy_chrf, score.exact) == (0.0, 100.0, 0.0)


def test_what_was_trained_on_is_not_judged_however_it_is_spelt() -> None:
    pairs = [Pair("A red Apple.", "deu_Latn", "x"), Pair("two red apples", "deu_Latn", "y")]
    assert measure.unseen(pairs, frozenset({"a red apple"})) == pairs[1:]


def test_a_sample_is_the_same_in_any_order_and_leaves_out_languages_with_few_texts() -> None:
    many = [Pair(f"name {n}", "deu_Latn", f"Name {n}") for n in range(50)]
    few = [Pair(f"name {n}", "fra_Latn", f"nom {n}") for n in range(measure.FEW - 1)]
    sample = measure.sample_of([*many, *few], 30)
    assert sample == measure.sample_of([*few, *many[::-1]], 30)
    assert list(sample) == ["deu_Latn"]
    assert len(sample["deu_Latn"]) == 30
    assert len(measure.sample_of(many, 0)["deu_Latn"]) == 50


def write_data(path: Path, rows: list[tuple[str, str, str, str, str]]) -> Path:
    records = [
        {"source": source, "target": target, "nllb_code": "deu_Latn", "origin": origin, "licence": "CC0-1.0",
         "kind": kind, "split": split}
        for source, target, origin, kind, split in rows
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(records, schema=SCHEMA), path)
    return path


def test_sets_are_read_by_origin_and_split(tmp_path: Path) -> None:
    path = write_data(
        tmp_path / "pairs.parquet",
        [
            ("Dog", "Hund", "cldr-names", "name", "train"),
            ("spider", "Spinne", "cldr-names", "name", "held_out"),
            ("Save", "Speichern", "firefox", "interface", "held_out"),
            ("Bench", "Bank", "presets", "name", "held_out"),
            ("It rains.", "Es regnet.", "tatoeba", "sentence", "held_out"),
        ],
    )
    sets, trained = measure.read_data(path)
    assert trained == {"dog"}
    assert sets[TRAINED] == [Pair("Dog", "deu_Latn", "Hund")]
    assert sets[NAMES] == [Pair("spider", "deu_Latn", "Spinne")]
    assert sets[TATOEBA] == [Pair("It rains.", "deu_Latn", "Es regnet.")]
    assert measure.trained_pairs(path) == {"deu_Latn": 1}
    only = write_data(tmp_path / "held_out.parquet", [("a b", "c", "tatoeba", "sentence", "held_out")])
    with pytest.raises(ValueError, match=r"held_out\.parquet: no pair of the split 'train'"):
        measure.read_data(only)


def test_ntrex_is_read_without_the_other_tables(tmp_path: Path) -> None:
    rows = [("eng_Latn", "A dog."), ("deu_Latn", "Ein Hund.")]
    table = [{"line": 1001, "nllb_code": code, "text": text} for code, text in rows]
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "ntrex.parquet")
    assert measure.read_ntrex(tmp_path) == [Pair("A dog.", "deu_Latn", "Ein Hund.")]


def test_all_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(english, german, "cldr-names", "name", "train") for english, german in WORDS.items()]
    rows += [(f"thing {n}", f"Ding {n}", "cldr-names", "name", "held_out") for n in range(3)]
    data = write_data(tmp_path / "pairs.parquet", rows)
    root = tmp_path / "debian-tuxpaint-stamps-default/usr/share/tuxpaint/stamps/animals"
    root.mkdir(parents=True)
    for name, caption in (("dog", "Dog."), ("ox", "An ox.\nde.utf8=Ein Ochse.\nsmo.utf8=O se povi.")):
        (root / f"{name}.png").touch()
        (root / f"{name}.txt").write_text(f"{caption}\n", encoding="utf-8")
    monkeypatch.setattr(measure, "FEW", 1)
    output = tmp_path / "measured"
    monkeypatch.setattr(
        "sys.argv",
        f"measure {MODEL} --data {data} --packages {tmp_path} --output {output} --sample 2".split(),
    )
    assert measure.main() == 0
    result = json.loads((tmp_path / "measured.json").read_text(encoding="utf-8"))
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == result["means"]
    assert set(result["figures"]) == {NAMES, "interface", TATOEBA, TUX, TRAINED}
    assert result["figures"][TUX].keys() == {"deu_Latn"}  # not what the model does not know
    assert result["figures"][NAMES]["deu_Latn"]["from_english"]["texts"] == 2
    assert result["figures"][TRAINED]["deu_Latn"]["round_trip"] is not None
    assert result["data"] == [{"origin": "cldr-names", "licence": "CC0-1.0", "train": 4, "held_out": 3}]
    assert [one["english"] for one in result["examples"] if one["code"] == "deu_Latn"][:2] == [
        "dog",
        "red heart",
    ]
    table = (tmp_path / "measured.md").read_text(encoding="utf-8")
    german = result["figures"][NAMES]["deu_Latn"]["from_english"]
    assert f"| German `deu_Latn` | {german['chrf']:.1f} ({german['copy_chrf']:.1f}) |" in table
