"""Tables, curves and samples of the miniature, from result files as `realign evaluate` writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from evaluation.predictions import Predictions
from evaluation.results import Provenance, evaluate, write_result
from scripts.miniature import report
from tests.evaluation.conftest import item

SAID = {
    "multi": {"eng_Latn": "a harp", "deu_Latn": "Harfe", "spa_Latn": "", "rus_Cyrl": "арфа"},
    "english": {"eng_Latn": "harp", "deu_Latn": "bowling", "spa_Latn": "harp", "rus_Cyrl": "harp | lyre"},
}
PEOPLE = {"eng_Latn": "harp", "deu_Latn": "Harfe", "spa_Latn": "arpa", "rus_Cyrl": "арфа",
          "jpn_Jpan": "ハープ", "kor_Hang": "하프"}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    for arm, said in SAID.items():
        items = [item(text, PEOPLE[code], language=code, name="harp") for code, text in said.items()]
        found = evaluate(
            Predictions(tuple(items), len(items), (), "ab" * 32),
            ("cider", "chrf++", "fidelity"),
            Provenance("miniature-drawings"),
            resamples=20,
        )
        write_result(tmp_path / "results" / f"{arm}-drawings.json", *found)
        lines = [{"id": "harp", "language": code, "prediction": text} for code, text in said.items()]
        predictions = tmp_path / "results" / f"{arm}-drawings.predictions.jsonl"
        predictions.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        (tmp_path / "runs" / arm).mkdir(parents=True)
        figures = [{"kind": kind, "step": step, "loss": 4 - step / 10}
                   for step in (1, 2) for kind in ("train", "validation")]  # fmt: skip
        (tmp_path / "runs" / arm / "metrics.jsonl").write_text("".join(json.dumps(f) + "\n" for f in figures))
    data = tmp_path / "data"
    data.mkdir()
    Image.new("RGB", (8, 8)).save(data / "harp.png")
    captions = {code: [caption] for code, caption in PEOPLE.items()}
    references = {"id": "harp", "kind": "drawings", "image": "harp.png", "captions": captions}
    (data / "references.jsonl").write_text(json.dumps(references) + "\n", encoding="utf-8")
    return tmp_path


def test_a_picture_that_was_not_asked_has_an_empty_cell(folder: Path) -> None:
    path = folder / "results/multi-drawings.predictions.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    lines[0]["prediction"], lines[1]["prediction"] = None, "Har\u2028fe"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    samples = report.samples(folder / "results", folder / "data", folder)
    assert "| multilingual mix |  | Har\u2028fe |" in samples


def test_samples_are_of_pictures_that_were_captioned(folder: Path) -> None:
    path = folder / "data/references.jsonl"
    one = json.loads(path.read_text("utf-8"))
    others = [one | {"id": f"other {number}"} for number in range(20)]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*others, one]), encoding="utf-8")
    samples = report.samples(folder / "results", folder / "data", folder)
    assert samples.count("<img") == 1
    assert "| multilingual mix | a harp | Harfe |" in samples
    path.write_text("".join(json.dumps(line) + "\n" for line in others), encoding="utf-8")
    with pytest.raises(ValueError, match="none of its drawings was captioned"):
        report.samples(folder / "results", folder / "data", folder)


def test_the_table_shows_both_arms_beside_each_other(folder: Path) -> None:
    table = report.table(folder / "results", "drawings").splitlines()
    rows = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")[1:] for line in table[4:]}
    assert list(rows) == ["English", "German", "Russian", "Spanish", "**mean without English**"]
    # chrF++ of both arms, CIDEr of both, fidelity of both.
    assert rows["German"][0] == "100.0"
    assert float(rows["German"][1]) < 30
    assert rows["Russian"][4:] == ["100.0", "0.0"]


def test_a_table_of_english_alone_has_no_mean_without_it(tmp_path: Path) -> None:
    for arm in SAID:
        items = [item("a harp", "harp", language="eng_Latn", name="harp")]
        found = evaluate(
            Predictions(tuple(items), 1, (), "ab" * 32),
            ("cider", "chrf++", "fidelity"),
            Provenance("miniature-drawings"),
            resamples=20,
        )
        write_result(tmp_path / f"{arm}-english.json", *found)
    table = report.table(tmp_path, "english").splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in table[4:] if line] == ["English"]


def test_samples_show_the_picture_what_both_arms_say_and_what_people_say(folder: Path) -> None:
    output = folder / "output"
    output.mkdir()
    samples = report.samples(folder / "results", folder / "data", output)
    assert "| multilingual mix | a harp | Harfe |  | арфа |  |  |" in samples
    assert r"harp \| lyre" in samples
    assert "| people | harp | Harfe | arpa | арфа | ハープ | 하프 |" in samples
    assert 'src="miniature/pictures/harp.png"' in samples
    assert (output / "pictures" / "harp.png").exists()


def test_curves_are_drawn_of_both_arms(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    report.curves(folder / "runs", folder / "curves.svg")
    assert "<svg" in (folder / "curves.svg").read_text(encoding="utf-8")
