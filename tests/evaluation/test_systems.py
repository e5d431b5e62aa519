"""Systems' translations of reference texts: by a model, from a table, from a mix, and the copied source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.predictions import read_predictions
from evaluation.reference_sets import ReferenceText
from evaluation.systems import (
    SystemOutputError,
    copied,
    of_mix,
    of_table,
    prediction_lines,
    speeds,
    translated,
)
from tests.training.conftest import row_of, write_mix, write_shard
from training.mixes import MixError
from translation.engine import Engine
from translation.model import SMALL, model_directory
from translation.row import REJECT
from translation.translations import Decoding, Request

TEXTS = (
    ReferenceText(1, "deu_Latn", "red heart", ("rotes Herz",)),
    ReferenceText(2, "deu_Latn", "fire engine", ("Feuerwehrauto",)),
    ReferenceText(1, "fra_Latn", "red heart", ("cœur rouge",)),
)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(model_directory(SMALL), Decoding(beam_size=1))


def test_a_model_translates_each_text_into_its_language(engine: Engine) -> None:
    done: list[int] = []
    output = translated("small", engine, TEXTS, done.append)
    requests = [Request(text.source, "eng_Latn", text.language) for text in TEXTS]
    assert list(output.translations) == engine.translate(requests)
    assert output.texts == TEXTS
    assert sum(done) == 3
    assert output.digest == engine.description.digest
    assert output.settings["beam_size"] == 1
    assert set(speeds(output)) == {"deu_Latn", "fra_Latn", "all"}
    assert all(speed > 0 for speed in speeds(output).values())


def test_languages_that_a_model_does_not_know_are_noted(engine: Engine) -> None:
    cebuano = ReferenceText(1, "ceb_Latn", "red heart", ("pula nga kasingkasing",))
    output = translated("small", engine, (*TEXTS, cebuano))
    assert output.texts == TEXTS
    assert output.notes == ("not trained on ceb_Latn",)
    nothing = translated("small", engine, [cebuano])
    assert (nothing.texts, nothing.translations) == ((), ())


def test_a_copy_says_the_source() -> None:
    output = copied(TEXTS)
    assert [one.text for one in output.translations] == ["red heart", "fire engine", "red heart"]
    assert speeds(output) == {}


def test_a_table_is_matched_by_source_and_language(tmp_path: Path) -> None:
    path = tmp_path / "theirs.tsv"
    lines = ["source\ttarget\tnllb_code", "fire engine\tLöschzug\tde", "red heart\tcoeur\tfr", "dog\t\tde"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    output = of_table(path, TEXTS)
    assert [(text.language, text.line) for text in output.texts] == [("deu_Latn", 2), ("fra_Latn", 1)]
    assert [one.text for one in output.translations] == ["Löschzug", "coeur"]
    assert output.kept is None
    assert output.notes == (
        "no translation of 1 of 3 reference texts",
        "1 lines left out (line 4: no target)",
    )


def test_a_table_of_other_texts_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "theirs.tsv"
    path.write_text("source\ttarget\tnllb_code\nRed heart\trotes Herz\tde\n", encoding="utf-8")
    with pytest.raises(SystemOutputError, match=r"theirs\.tsv: has no translation of any of the 3"):
        of_table(path, TEXTS)
    with pytest.raises(SystemOutputError, match="No such file"):
        of_table(tmp_path / "none.tsv", TEXTS)


def mix_of(folder: Path) -> Path:
    accepted = [
        row_of(1, "deu_Latn", source_target="red heart", target="ein rotes Herz"),
        row_of(2, "deu_Latn", source_target="a house", target="ein Haus"),
    ]
    rejected = [
        row_of(3, "deu_Latn", source_target="red heart", target="verworfen", verdict=REJECT),
        row_of(4, "fra_Latn", source_target="red heart", target="red heart", verdict=REJECT),
        row_of(5, "deu_Latn", source_target="fire engine", target=None, verdict=REJECT),
    ]
    mix = write_mix(folder / "mix", {"deu_Latn": accepted})
    for row in rejected:
        name = f"rejected/{row['language']}/rejected-{row['id'].split('/')[1]}.parquet"
        write_shard(mix / name, [row])
    return mix


def test_rows_of_a_mix_are_matched_with_their_verdicts(tmp_path: Path) -> None:
    output = of_mix(str(mix_of(tmp_path)), TEXTS)
    assert [text.language for text in output.texts] == ["deu_Latn", "fra_Latn"]
    assert [one.text for one in output.translations] == ["ein rotes Herz", "red heart"]
    assert output.kept == (True, False)
    assert output.notes == ("no translation of 1 of 3 reference texts",)
    assert output.digest


def test_a_mix_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MixError, match="no such directory"):
        of_mix(str(tmp_path / "missing"), TEXTS)
    mix = mix_of(tmp_path)
    with pytest.raises(SystemOutputError, match="has no translation of any"):
        of_mix(str(mix), [ReferenceText(1, "deu_Latn", "another text", ("x",))])
    (mix / "rejected" / "fra_Latn" / "rejected-4.parquet").write_bytes(b"PAR1")
    with pytest.raises(SystemOutputError, match=r"rejected-4\.parquet: cannot be read"):
        of_mix(str(mix), TEXTS)


def test_prediction_lines_can_be_scored_again(tmp_path: Path) -> None:
    path = tmp_path / "small.jsonl"
    path.write_bytes(b"".join(prediction_lines(copied(TEXTS))))
    items = read_predictions(path, strict=True).items
    assert [item.prediction for item in items] == ["red heart", "fire engine", "red heart"]
    assert items[0].expected.references == ("rotes Herz",)
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[1])["source"] == "fire engine"
