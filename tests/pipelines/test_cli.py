"""The command line: exit codes, one message, and the commands for text at hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.options import split_arguments


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_options_of_beam_are_told_apart_with_their_values() -> None:
    beam, ours = split_arguments(
        [
            "run",
            "recipe.yaml",
            "--direct_num_workers",
            "2",
            "--output",
            "mix",
            "--runner=FnApiRunner",
        ]
    )
    assert beam == ["--direct_num_workers", "2", "--runner=FnApiRunner"]
    assert ours == ["run", "recipe.yaml", "--output", "mix"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "--output"),
        (["run", "--output", "x", "--direct_num_worker", "2"], "--direct_num_worker"),
        (["run", "missing.yaml", "--output", "x"], "missing.yaml"),
        (["translate", "cat", "--to", "klingon"], "unknown language 'klingon'"),
        (["translate", "cat", "--to", "ceb_Latn"], "was not trained on Cebuano"),
        (["translate", "cat", "--to", ","], "other than English"),
        (["translate", "cat", "--to", "en"], "other than English"),
        (["translate", "cat \udcff", "--to", "de"], "not valid UTF-8"),
        (["run", "--output", ""], "must not be empty"),
        (["run", "--output", "x", "--direct_num_workers", "many"], "direct_num_workers"),
        (["run", "--output", "nowhere://x"], "nowhere://x"),
        (["show", "missing"], "no such directory"),
        (["score", "missing.tsv"], "missing.tsv"),
        (["show", "missing", "-n", "0"], "number from 1 up"),
        (["model", "add", "x", "--quantization", "int3"], "int3"),
    ],
)
def test_a_wrong_command_line_is_one_message_and_exit_2(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_translate_prints_a_line_for_each_language(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "translate", "A red apple on a table.", "--to", "deu_Latn,swh_Latn,ja")
    assert code == 0
    lines = [line.split("\t") for line in out.splitlines()]
    assert [line[0] for line in lines] == ["deu_Latn", "swh_Latn", "jpn_Jpan"]
    assert all(line[1] and float(line[2]) < 0 for line in lines)


def test_score_judges_every_row_and_loses_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sentence = "The children are playing football in the park near the old church."
    rows = [
        (sentence, "Die Kinder spielen im Park in der Nähe der alten Kirche Fußball.", "deu_Latn"),
        (sentence, "Les enfants jouent au football dans le parc près de la vieille église.", "de"),
        (sentence, sentence, "deu_Latn"),
        (sentence, "", "deu_Latn"),
        (sentence, "Die Kinder", "xx_Xxxx"),
    ]
    path = tmp_path / "pairs.tsv"
    path.write_text(
        "source\ttarget\tnllb_code\n" + "".join("\t".join(row) + "\n" for row in rows), encoding="utf-8"
    )
    code, out, _ = call(capsys, "score", str(path))
    assert code == 0
    results = [json.loads(line) for line in out.splitlines()]
    assert [result["verdict"] for result in results] == ["accept", "reject", "reject", "reject", "reject"]
    assert results[0]["scores"]["script"] == 1
    assert results[1]["reason"].startswith("lid:")
    assert results[3]["reason"].startswith("input: no target")
    assert "unknown language 'xx_Xxxx'" in results[4]["reason"]


def test_score_keeps_count_of_lines(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_bytes(
        b"\xef\xbb\xbfsource\ttarget\tnllb_code\r\n"
        b'the "cat"\tdie "Katze"\tde\r\n'
        b"\r\n"
        b"dog\t\xff\tde\r\n"
        b"dog\t" + b"Hund " * 40_000 + b"\tde\r\n"
        b"dog\tHund\r\n"
    )
    code, out, _ = call(capsys, "score", str(path))
    assert code == 0
    results = [json.loads(line) for line in out.splitlines()]
    assert [result["verdict"] for result in results] == ["accept", "reject", "reject", "reject", "reject"]
    assert [result["reason"][-8:] for result in results if "input" in str(result["reason"])] == [
        "(line 3)",
        "(line 4)",
        "(line 6)",
    ]
    assert "UTF-8" in results[2]["reason"]


def test_score_names_a_missing_column(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("source\ttext\n", encoding="utf-8")
    code, _, err = call(capsys, "score", str(path))
    assert code == 2
    assert "no column target, nllb_code" in err


def test_score_with_round_trip_uses_the_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("source\ttarget\tnllb_code\ncat\tKatze\tdeu_Latn\n", encoding="utf-8")
    code, out, _ = call(capsys, "score", str(path), "--round-trip", "short")
    assert code == 0
    assert json.loads(out)["back_translation"]


def test_languages_as_a_table_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "languages", "--json")
    assert code == 0
    assert len(json.loads(out)) == 96
    code, out, _ = call(capsys, "languages", "--all")
    assert code == 0
    assert "ckb_Arab" in out
