"""Several systems side by side: table, files, and notes on what is missing or unfair."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from evaluation.compare import compare
from evaluation.corpus import PiecesError
from evaluation.predictions import read_predictions
from evaluation.reference_sets import NTREX, TABLE, ReferenceSet, ReferenceText
from evaluation.results import ResultError, read_result
from evaluation.systems import Output, copied
from evaluation.translation_report import Measuring, html, markdown, read_measured, render
from translation.identification import SHIPPED, Identifier, load_identifier
from translation.model import SENTENCEPIECE, SMALL, model_directory
from translation.translations import Translation

PAIRS = {
    "A dog is running across the green meadow.": (
        "Ein Hund läuft über die grüne Wiese.",
        "Un chien court dans le pré vert.",
    ),
    "Two children are sitting on a wooden bench.": (
        "Zwei Kinder sitzen auf einer Holzbank.",
        "Deux enfants sont assis sur un banc en bois.",
    ),
    "A red car is parked in front of the house.": (
        "Ein rotes Auto steht vor dem Haus.",
        "Une voiture rouge est garée devant la maison.",
    ),
}
TEXTS = tuple(
    ReferenceText(line, code, source, (targets[place],))
    for place, code in enumerate(("deu_Latn", "fra_Latn"))
    for line, (source, targets) in enumerate(PAIRS.items(), start=1)
)
REFERENCES = ReferenceSet("own", TABLE, "ab" * 32, TEXTS, ("2 left out: no target (line 7, line 9)",))
PIECES = model_directory(SMALL) / SENTENCEPIECE


@pytest.fixture(scope="module")
def identifier() -> Identifier:
    return load_identifier(SHIPPED)


def human(system: str, texts: tuple[ReferenceText, ...] = TEXTS) -> Output:
    made = tuple(Translation(text.references[0], 0.0, False, False, False) for text in texts)
    return Output(system, "c" * 16, {"beam_size": 4}, texts, made, {"deu_Latn": 2.0, "fra_Latn": 1.0})


@pytest.fixture
def measuring(identifier: Identifier) -> Measuring:
    made = Measuring(REFERENCES, identifier, pieces=PIECES, resamples=50)
    made.add(human("models/human"))
    made.add(Output("theirs", None, {}, TEXTS[:3], copied(TEXTS[:3]).translations))
    made.add(copied(TEXTS))
    return made


def test_systems_stand_side_by_side_by_language(measuring: Measuring) -> None:
    out = io.StringIO()
    render(measuring.measured(), Console(file=out, width=200))
    lines = out.getvalue().splitlines()
    assert lines[0].split() == [
        *("language", "system", "texts", "chrf++", "spbleu", "fidelity", "kept", "chrf++.kept", "texts/s")
    ]
    rows = [line.split() for line in lines]
    german = next(row for row in rows if row[:2] == ["German", "(deu_Latn)"])
    # The best, with a lead that is no chance; 3 texts in 2 seconds.
    assert german[2:] == [
        *("models/human", "3", "100.0", "(100.0", "to", "100.0)", "**"),
        *("100.0",) * 4,
        "1.5",
    ]
    # Once in German, once among the means; it has no French.
    assert [row[row.index("theirs") + 1] for row in rows if "theirs" in row] == ["3", "3"]
    assert "own: 2 left out: no target (line 7, line 9)" in lines
    assert "systems have translated into different languages; their means are over their own" in lines
    assert any("highest chrF++: models/human in 1 of 1 languages" in line for line in lines)


def test_files_hold_all_and_are_read_again(measuring: Measuring, tmp_path: Path) -> None:
    path, measured = tmp_path / "mt.json", measuring.measured()
    written = measuring.write(path, measured)
    assert read_measured(path) == measured
    assert {one.name for one in written} == {
        *("mt.json", "mt.md", "mt.html", "mt.models-human.json", "mt.models-human.jsonl"),
        *("mt.theirs.json", "mt.theirs.jsonl", "mt.copy-of-the-source.json", "mt.copy-of-the-source.jsonl"),
    }
    assert all(one.stat().st_size for one in written)
    assert read_result(tmp_path / "mt.theirs.json") == measured.systems[1].result
    assert len(read_predictions(tmp_path / "mt.models-human.jsonl").items) == 6
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["references_digest"] == "ab" * 32
    assert content["systems"][0]["texts_per_second"] == {"deu_Latn": 1.5, "fra_Latn": 3.0, "all": 2.0}
    assert content["best"]["deu_Latn"]["system"] == "models/human"


def test_result_files_can_be_compared(measuring: Measuring, tmp_path: Path) -> None:
    measuring.write(tmp_path / "mt.json", measuring.measured())
    found = compare(
        tmp_path / "mt.copy-of-the-source.json",
        tmp_path / "mt.models-human.json",
        resamples=20,
        randomisations=20,
    )
    chrf = next(one for one in found.metrics if one.name == "chrf++")
    assert chrf.groups["overall"].difference is not None
    assert chrf.groups["overall"].difference > 50


def test_names_that_make_one_file_name_make_two_files(identifier: Identifier, tmp_path: Path) -> None:
    made = Measuring(REFERENCES, identifier, pieces=PIECES, resamples=1)
    made.add(human("a/b"))
    made.add(human("a-b"))
    made.write(tmp_path / "mt.json", made.measured())
    found = [read_result(path).provenance.checkpoint for path in tmp_path.glob("mt.*.json")]
    assert sorted(filter(None, found)) == ["a-b", "a/b"]


def test_a_system_cannot_be_measured_twice(measuring: Measuring) -> None:
    with pytest.raises(ValueError, match="models/human is named twice"):
        measuring.add(human("models/human"))


def test_documents_tell_what_reproduces_them(measuring: Measuring) -> None:
    measured = measuring.measured()
    for text in (markdown(measured), html(measured)):
        assert "chrf++|refs:1|case:mixed" in text
        assert "beam_size" in text
        assert "c" * 16 in text
        assert "German (deu_Latn)" in text
        assert "mean, high-resource" in text
    assert html(measured).count("<svg") == 3


def test_spbleu_is_left_out_where_its_model_cannot_be_had(
    identifier: Identifier, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def offline(*given: object, **settings: object) -> None:
        raise OSError("no connection")

    monkeypatch.setattr("evaluation.corpus.BLEU", offline)
    made = Measuring(REFERENCES, identifier, resamples=1)
    made.add(human("human"))
    measured = made.measured()
    assert measured.systems[0].result.metric("spbleu") is None
    assert measured.notes[0].startswith("left out: spBLEU: sacrebleu cannot fetch")


def test_a_model_of_pieces_that_was_asked_for_must_be_one(identifier: Identifier, tmp_path: Path) -> None:
    with pytest.raises(PiecesError, match=r"spBLEU: cannot read the SentencePiece model .*none\.model"):
        Measuring(REFERENCES, identifier, pieces=tmp_path / "none.model")


def test_lines_that_thresholds_were_fitted_on_are_noted(identifier: Identifier) -> None:
    for line, noted in ((1000, True), (1001, False)):
        texts = (ReferenceText(line, "deu_Latn", "A dog.", ("Ein Hund.",)),)
        made = Measuring(
            ReferenceSet("ntrex", NTREX, "0" * 64, texts, ()), identifier, pieces=PIECES, resamples=1
        )
        made.add(copied(texts))
        assert any("fitted on lines 1-1000" in note for note in made.measured().notes) is noted


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(ResultError, match="cannot be read"):
        read_measured(path)
    path.write_text('{"format": 1}', encoding="utf-8")
    with pytest.raises(ResultError, match=r"x\.json: not written by `translate-mix evaluate`"):
        read_measured(path)


def test_a_folder_that_is_not_there_cannot_be_written_to(measuring: Measuring, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="cannot be written"):
        measuring.write(tmp_path / "none" / "mt.json", measuring.measured())
