"""The command line: exit codes, one message, and the commands for text at hand."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main
from pipelines.options import split_arguments
from tests.pipelines.remote_folder import RemoteFolder
from translation.filters import load_thresholds
from translation.identification import load_identifier


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
        (
            ["translate", "cat", "--to", "de", "--model", "models/x"],
            "'models/x': no such directory; name the",
        ),
        (["translate", "cat", "--to", ","], "other than English"),
        (["translate", "cat", "--to", "en"], "other than English"),
        (["translate", "cat \udcff", "--to", "de"], "not valid UTF-8"),
        (["run", "--output", ""], "must not be empty"),
        (["run", "--output", "x", "--direct_num_workers", "many"], "direct_num_workers"),
        (["run", "--output", "nowhere://x"], "nowhere://x: no filesystem for nowhere:// is installed (gs://"),
        (["run", "--output", "memory://x"], "memory://x: no filesystem for memory:// is installed (gs://"),
        (["run", "--output", "hdfs://h/x"], "hdfs://h/x: no filesystem for hdfs:// is installed: Failed to"),
        (["verify", "hdfs://h/x"], "hdfs://h/x: no filesystem for hdfs:// is installed: Failed to"),
        (["run", "--output", "x", "--performance_runtime_type_check"], "--performance_runtime_type_check:"),
        (["run", "--output", "x" * 300], "File name too long"),
        (["run", "--output", "x", "--runner", "InteractiveRunner"], "--runner InteractiveRunner cannot be"),
        (["run", "--output", "x", "--runner", "no.such.Runner"], "cannot be used here: No module named"),
        (["show", "missing"], "no such directory"),
        (["score", "missing.tsv"], "missing.tsv"),
        (["score", "missing.tsv", "--thresholds", "none.tsv"], "cannot read none.tsv"),
        (["score", "missing.tsv", "--thresholds", "."], "Is a directory"),
        (["evaluate", "missing.tsv"], "missing.tsv: cannot be read"),
        (["evaluate", "x.tsv", "--lines", "9-3"], "no range of lines"),
        (["evaluate", "x.tsv", "--languages", "klingon"], "unknown language 'klingon'"),
        (["evaluate", "x.tsv", "--output", "missing/x.json"], "in a folder that is there"),
        (["evaluate", "x.tsv", "--output", "x.html"], "name a .json file"),
        (["calibrate", "missing.tsv"], "missing.tsv: No such file"),
        (["calibrate", "."], "Is a directory"),
        (["calibrate", "x.tsv", "--round-trip", "long"], "--round-trip"),
        (["score", "x.tsv", "--model", "nowhere"], "is of no effect without --round-trip short or all"),
        (["calibrate", "x.tsv", "--model", "nowhere"], "of no effect without --round-trip short or all"),
        (["show", "missing", "-n", "0"], "number from 1 up"),
        (["model", "add", "x", "--quantization", "int3"], "int3"),
        (["model", "add", "./nowhere"], "./nowhere: no such directory"),
        (["model", "add", "x", "--output", "s3://b/x"], "s3://b/x: must lie on this machine"),
        (["evaluate", "gs://b/x.tsv"], "gs://b/x.tsv: must lie on this machine"),
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


PARALLEL = {
    "The dog is running in the park.": ("Der Hund läuft im Park herum.", "Le chien court dans le parc."),
    "The cat sleeps on the sofa.": ("Die Katze schläft auf dem Sofa.", "Le chat dort sur le canapé."),
    "It is raining again today.": ("Es regnet heute schon wieder.", "Il pleut encore aujourd'hui."),
}


def write_pairs(path: Path, *more: bytes) -> Path:
    rows = [
        f"{english}\t{text}\t{code}"
        for english, texts in PARALLEL.items()
        for text, code in zip(texts, ("deu_Latn", "fr"), strict=True)
    ]
    lines = ["source\ttarget\tnllb_code", *rows * 100]
    path.write_bytes("\n".join(lines).encode() + b"\n" + b"".join(more))
    return path


class TestCalibrate:
    def test_writes_thresholds_that_score_takes(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        pairs, table = write_pairs(tmp_path / "pairs.tsv"), tmp_path / "new" / "thresholds.tsv"
        code, out, err = call(capsys, "calibrate", str(pairs), "--output", str(table))
        assert (code, err) == (0, "")
        assert f"--set thresholds={table}" in out
        assert "fasttext-shipped-" in out
        found = load_thresholds(table)
        assert found.identification == load_identifier("shipped").name
        own = {(line.nllb_code, line.rule): line.texts for line in found.lines if line.length == "caption"}
        assert own["deu_Latn", "lid"] == own["fra_Latn", "lid"] == 300
        assert [path.name for path in table.parent.iterdir()] == ["thresholds.tsv"]
        code, out, _ = call(capsys, "score", str(pairs), "--thresholds", str(table))
        assert code == 0
        assert {json.loads(line)["verdict"] for line in out.splitlines()} == {"accept"}

    def test_reads_standard_input_and_fits_for_another_identifier(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        table = tmp_path / "thresholds.tsv"
        with write_pairs(tmp_path / "pairs.tsv").open("rb") as file:
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
            code, _, _ = call(capsys, "calibrate", "-", "--output", str(table), "--identification", "cld")
        assert code == 0
        assert load_thresholds(table).identification == load_identifier("cld").name

    def test_names_lines_that_it_leaves_out(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        bad = [
            b"a dog\tein Hund\txx_Xxxx\n",
            b"\n",
            b"dog\t\xff\tde\n",
            b"dog\t \tde\n",
            b"dog\n",
            b"x\n",
            b"y\n",
        ]
        pairs = write_pairs(tmp_path / "pairs.tsv", *bad)
        code, _, err = call(capsys, "calibrate", str(pairs), "--output", str(tmp_path / "t.tsv"))
        assert code == 0
        lines = err.splitlines()
        assert len(lines) == 6
        assert f"{pairs}: line 602 left out: unknown language 'xx_Xxxx'" in lines[0]
        assert "line 604 left out: no valid UTF-8" in lines[2]
        assert "line 605 left out: no target" in lines[3]
        assert lines[5].endswith("2 more lines left out")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "no column source, target, nllb_code; found nothing"),
            ("source\ttarget\n", "no column nllb_code"),
            ("source\ttarget\tnllb_code\n", "0 lines that can be used, 300 wanted"),
            ("source\ttarget\tnllb_code\na\tb\txx\n", "line 2: unknown language 'xx'"),
            ("source\ttarget\tnllb_code\n" + "a dog\tein Hund\tde\n" * 299, "299 lines that can be used"),
        ],
    )
    def test_nothing_to_fit_on_is_an_error_and_leaves_the_old_table(
        self, content: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        (tmp_path / "pairs.tsv").write_text(content, encoding="utf-8")
        (tmp_path / "t.tsv").write_text("old", encoding="utf-8")
        code, _, err = call(
            capsys, "calibrate", str(tmp_path / "pairs.tsv"), "--output", str(tmp_path / "t.tsv")
        )
        assert code == 2
        assert message in err
        assert len(err.splitlines()) == 1
        assert (tmp_path / "t.tsv").read_text(encoding="utf-8") == "old"

    def test_a_folder_that_cannot_be_written_to_is_one_message_and_exit_1(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        pairs = write_pairs(tmp_path / "pairs.tsv")
        code, _, err = call(capsys, "calibrate", str(pairs), "--output", str(pairs / "t.tsv"))
        assert code == 1
        assert "cannot write" in err
        assert len(err.splitlines()) == 1

    def test_with_round_trip_the_model_translates_back(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        pairs, table = write_pairs(tmp_path / "pairs.tsv"), tmp_path / "t.tsv"
        code, _, _ = call(capsys, "calibrate", str(pairs), "--output", str(table), "--round-trip", "all")
        assert code == 0
        fitted = [line for line in load_thresholds(table).lines if line.rule == "round_trip_chrf"]
        assert {line.nllb_code: line.texts for line in fitted if line.length == "caption"}["deu_Latn"] == 300

    @pytest.mark.parametrize("command", ["score", "calibrate"])
    def test_a_missing_model_is_one_message_and_exit_2(
        self,
        command: str,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        pairs = write_pairs(tmp_path / "pairs.tsv")
        code, _, err = call(capsys, command, str(pairs), "--round-trip", "all", "--model", "nowhere")
        assert code == 2
        assert "nowhere" in err
        assert len(err.splitlines()) == 1


def test_tables_may_lie_far_away(
    capsys: pytest.CaptureFixture[str],
    remote: RemoteFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_pairs(remote.folder / "pairs.tsv")
    pairs, table = remote.url("pairs.tsv"), remote.url("new/thresholds.tsv")
    code, out, err = call(capsys, "calibrate", pairs, "--output", table)
    assert (code, err) == (0, "")
    assert f"--set thresholds={table}" in out
    assert load_thresholds(remote.folder / "new" / "thresholds.tsv").lines
    code, out, _ = call(capsys, "score", pairs, "--thresholds", table)
    assert code == 0
    assert {json.loads(line)["verdict"] for line in out.splitlines()} == {"accept"}
    for arguments in (["missing.tsv"], ["pairs.tsv", "--thresholds", "missing.tsv"]):
        urls = [one if one.startswith("--") else remote.url(one) for one in arguments]
        code, _, err = call(capsys, "score", *urls)
        assert (code, len(err.splitlines())) == (2, 1)
        assert remote.url("missing.tsv") in err
    assert {path.name for path in tmp_path.iterdir()} == {"far", "cache"}


def test_score_with_thresholds_of_another_identifier_keeps_to_safe_ones(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pairs = write_pairs(tmp_path / "pairs.tsv", b"a dog runs in a park\tun chien court dans un parc\tde\n")
    for identifier in ("shipped", "cld"):
        code, out, _ = call(capsys, "score", str(pairs), "--identification", identifier)
        assert code == 0
        results = [json.loads(line) for line in out.splitlines()]
        assert {result["verdict"] for result in results[:-1]} == {"accept"}
        assert results[-1]["reason"].startswith("lid:")
    assert results[-1]["reason"].endswith("at least 0.5 wanted")


def test_languages_as_a_table_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "languages", "--json")
    assert code == 0
    assert len(json.loads(out)) == 96
    code, out, _ = call(capsys, "languages", "--all")
    assert code == 0
    assert "ckb_Arab" in out


def references(folder: Path) -> Path:
    path = folder / "own.tsv"
    lines = ["source\ttarget\tnllb_code", "red heart\trotes Herz\tde", "red heart\tcœur rouge\tfr"]
    path.write_text("\n".join([*lines, "fire engine\tFeuerwehrauto\tde"]) + "\n", encoding="utf-8")
    return path


def test_evaluate_measures_a_model_and_the_copied_source(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output = tmp_path / "mt.json"
    code, out, _ = call(
        capsys, "evaluate", str(references(tmp_path)), "--languages", "de", "--output", str(output), "--quiet"
    )
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[:2]] == ["language", "German"]
    assert f"{output}: written" in out
    content = json.loads(output.read_text(encoding="utf-8"))
    assert [system["name"] for system in content["systems"]] == ["small", "copy of the source"]
    chrf, copied = (
        next(one for one in system["result"]["metrics"] if one["name"] == "chrf++")["macro"]["value"]
        for system in content["systems"]
    )
    assert chrf > copied
    assert (tmp_path / "mt.small.items.parquet").exists()


def test_evaluate_finds_all_models_before_the_first_one_works(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*arguments: object, **options: object) -> None:
        raise AssertionError("a model was asked")

    monkeypatch.setattr("evaluation.systems.translated", work)
    code, _, err = call(capsys, "evaluate", str(references(tmp_path)), "--model", "small", "--model", "none")
    assert (code, "model 'none': no such directory" in err) == (2, True)


def test_evaluate_keeps_what_a_model_made_when_the_next_one_fails(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluation import systems
    from translation.model import ModelError, model_directory

    (tmp_path / "copy").symlink_to(model_directory("small"))
    translated = systems.translated

    def failing(system: str, *arguments: Any) -> systems.Output:
        if system != "small":
            raise ModelError("no memory")
        return translated(system, *arguments)

    monkeypatch.setattr("evaluation.systems.translated", failing)
    output = tmp_path / "mt.json"
    given = ["evaluate", str(references(tmp_path)), "--languages", "de", "--output", str(output)]
    code, _, err = call(capsys, *given, "--model", "small", "--model", str(tmp_path / "copy"))
    assert (code, "no memory" in err) == (1, True)
    assert not output.exists()
    lines = (tmp_path / "mt.small.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines
    assert all(json.loads(line)["prediction"] for line in lines)


def test_evaluate_takes_translations_made_elsewhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = references(tmp_path)
    code, out, _ = call(capsys, "evaluate", str(path), "--translations", str(path))
    assert code == 0
    assert "small" not in out
    assert "mean without English" in out
    code, _, err = call(capsys, "evaluate", str(path), "--model", "none", "--translations", str(path))
    assert code == 2
    assert "model 'none': no such directory" in err
    code, _, err = call(capsys, "evaluate", str(path), "--model", "small", "--model", "small")
    assert (code, "small is named twice" in err) == (2, True)
    code, _, err = call(capsys, "evaluate", str(path), "--mix", str(tmp_path / "none"))
    assert code == 2
    assert "no such directory" in err


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no device that is always full")
def test_a_full_disk_under_the_output_is_one_line() -> None:
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "languages"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "translate-mix: No space left on device\n"
