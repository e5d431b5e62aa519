"""`realign evaluate` of stored predictions: what is wrong is said, and torch is for models alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.cli import main
from tests.evaluation.official import xgqa
from tests.training.conftest import row_of, write_mix

ROOT = Path(__file__).parents[2]

WITHOUT_TORCH = (
    "import sys\n"
    "for name in ('torch', 'transformers', 'peft', 'accelerate', 'safetensors'): sys.modules[name] = None\n"
    "from evaluation.cli import main\n"
    "main(sys.argv[1:])\n"
)


def put_predictions(path: Path, right: int = 12) -> Path:
    lines = [
        {
            "id": str(1000 + number),
            "language": code,
            "prediction": ("yes", "no")[number % 2] if place * 6 + number < right else "never",
        }
        for place, code in enumerate(("en", "de"))
        for number in range(6)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def of_task(root: Path) -> list[str]:
    return ["xgqa", "--set", f"root={root}", "--set", "languages=[en, de]"]


def realign(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_scoring_and_comparing_need_no_torch(tmp_path: Path) -> None:
    xgqa(tmp_path)
    calls = []
    for name, right in (("a", 12), ("b", 6)):
        predictions = str(put_predictions(tmp_path / f"{name}.jsonl", right))
        output = str(tmp_path / f"{name}.json")
        calls.append(["evaluate", *of_task(tmp_path), "--predictions", predictions, "--output", output])
    calls.append(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    for call in calls:
        command = [sys.executable, "-c", WITHOUT_TORCH, *call]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("all items")]
    (line,) = (line for line in lines if " exact_match " in line)
    assert line.split()[2:7] == ["12", "exact_match", "100.0", "50.0", "-50.0"]


def test_held_out_rows_of_a_mix_are_scored_without_torch(tmp_path: Path) -> None:
    rows = [row_of(number, "deu_Latn") for number in range(3)]
    write_mix(tmp_path / "tiny", {"deu_Latn": rows}, split="validation")
    lines = [{"id": row["id"], "language": "deu_Latn", "prediction": row["target"]} for row in rows]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    call = ["evaluate", "mix", "--set", f"root={tmp_path}", "--set", "files=tiny", "--set", "tasks=[]"]
    call += ["--predictions", str(tmp_path / "a.jsonl"), "--output", str(tmp_path / "a.json")]
    command = [sys.executable, "-c", WITHOUT_TORCH, *call]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "a.json").read_text())["items"] == 3


def test_predictions_replace_a_result_of_others_only_on_demand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    xgqa(tmp_path)
    output = ["--output", str(tmp_path / "a.json")]
    first = ["--predictions", str(put_predictions(tmp_path / "a.jsonl"))]
    second = ["--predictions", str(put_predictions(tmp_path / "b.jsonl", 6))]
    assert realign(*of_task(tmp_path), *first, *output) == 0
    before = (tmp_path / "a.json").read_bytes()
    assert realign(*of_task(tmp_path), *second, *output) == 1
    assert "holds a result of other predictions" in capsys.readouterr().err
    assert (tmp_path / "a.json").read_bytes() == before
    assert realign(*of_task(tmp_path), *second, *output, "--overwrite") == 0
    assert (tmp_path / "a.json").read_bytes() != before


@pytest.mark.parametrize(
    "options", [["--device", "cpu"], ["--precision", "float32"], ["--quantization", "int8"]]
)
def test_options_of_a_model_are_refused_with_predictions(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    xgqa(tmp_path)
    predictions = str(put_predictions(tmp_path / "a.jsonl"))
    given = [*of_task(tmp_path), "--predictions", predictions, "--output", str(tmp_path / "a.json"), *options]
    assert realign(*given) == 2
    assert f"{options[0]} is of no effect with --predictions" in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["CHECKPOINT", "xgqa", "--output", "OUT", "--set", "root=DIR"],
        ["CHECKPOINT", "--output", "OUT", "xgqa", "--set", "root=DIR"],
        ["--output", "OUT", "CHECKPOINT", "--set", "root=DIR", "xgqa"],
        ["--set", "root=DIR", "--output", "OUT", "CHECKPOINT", "xgqa"],
    ],
)
def test_options_may_stand_anywhere(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    xgqa(tmp_path)
    names = {
        "CHECKPOINT": str(tmp_path / "away"),
        "OUT": str(tmp_path / "a.json"),
        "root=DIR": f"root={tmp_path}",
    }
    given = [names.get(one, one) for one in arguments]
    assert realign(*given, "--set", "languages=[en, de]") == 1
    assert "away: no such directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["xgqa"], "a CHECKPOINT and a TASK wanted"),
        (["a", "b", "xgqa"], "a CHECKPOINT and a TASK wanted"),
        (["a", "xgqa", "--predictions", "a.jsonl"], "or a TASK and --predictions"),
        (["a", "xgqa", "--beams", "3"], "unrecognized arguments: --beams 3"),
    ],
)
def test_a_wrong_command_line_is_said(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert realign(*arguments, "--output", "a.json") == 2
    assert message in capsys.readouterr().err


def test_a_wrong_output_is_told_before_the_checkpoint_is_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    xgqa(tmp_path)
    assert realign(str(tmp_path / "away"), *of_task(tmp_path), "--output", str(tmp_path / "a.txt")) == 1
    assert "ends with .json" in capsys.readouterr().err
