"""The console script `realign`, from a mix to numbers."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

from evaluation.cli import main
from tests.training import tiny
from tests.training.conftest import jpeg, rows_of, write_mix
from training.answering import Answering

CONFIGURATION = """
name: small
output: run
model: {vision: blip2, llm: llm}
data: {mixes: [mix], workers: 0}
stages: [{name: main, learning_rates: {projection: 1e-3, lora: 1e-3}, steps: 4, batch_size: 4}]
per_device: 4
log: {tensorboard: false}
"""


def realign(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mix, a configuration, and what its training left."""
    made = tmp_path_factory.mktemp("realign")
    tiny.write_blip2(made / "blip2", "t5")
    tiny.write_language_model(made / "llm", "mt5")
    write_mix(made / "mix", rows_of({"deu_Latn": 12, "eng_Latn": 8}))
    (made / "small.yaml").write_text(CONFIGURATION)
    for number in range(2):
        (made / f"{number}.jpg").write_bytes(jpeg(number))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert realign("train", made / "small.yaml", "--quiet") == 0
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.set_num_threads(threads)
    return made


def test_train_tells_where_the_checkpoint_is_and_does_nothing_twice(folder: Path, capsys: Any) -> None:
    assert realign("train", folder / "small.yaml", "--quiet") == 0
    AcceleratorState._reset_state(reset_partial_state=True)
    assert "4 steps are done; the last checkpoint is" in capsys.readouterr().out


def test_another_configuration_is_a_wrong_command(folder: Path, capsys: Any) -> None:
    assert realign("train", folder / "small.yaml", "--set", "stages.0.batch_size=8") == 2
    AcceleratorState._reset_state(reset_partial_state=True)
    assert "stages.0.batch_size: 4 there, 8 here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("stages.0.step=3", "did you mean `steps`"),
        ("data.mixes=[nowhere]", "no directory"),
        ("model.llm=elsewhere", "no directory"),
    ],
)
def test_a_wrong_configuration_is_one_line(folder: Path, override: str, words: str, capsys: Any) -> None:
    assert realign("train", folder / "small.yaml", "--set", override) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_an_unfinished_mix_fails_with_one_line(folder: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir(exist_ok=True)
    assert realign("train", folder / "small.yaml", "--set", "data.mixes=[empty]", "--set", "output=x") == 1
    AcceleratorState._reset_state(reset_partial_state=True)
    assert capsys.readouterr().err.count("\n") == 1


def test_captions_come_one_a_picture(folder: Path, capsys: Any) -> None:
    pictures = [folder / "0.jpg", folder / "1.jpg"]
    options = ("--language", "deu", "--beams", "2", "--max-new-tokens", "4")
    assert realign("caption", folder / "run", *pictures, *options, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["images"] for line in lines] == [[str(path)] for path in pictures]
    assert {line["language"] for line in lines} == {"deu_Latn"}
    assert all("German" in line["prompt"] for line in lines)


def test_a_question_is_answered_alone_on_its_line(folder: Path, capsys: Any) -> None:
    options = ("--language", "swh_Latn", "--beams", "1", "--max-new-tokens", "3")
    assert realign("ask", folder / "run", folder / "0.jpg", "What is this?", *options) == 0
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("question", [(), ("What is this?",)])
def test_the_weights_of_the_llm_may_be_rounded(
    folder: Path, question: tuple[str, ...], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "ask" if question else "caption"
    options = ("--beams", "1", "--max-new-tokens", "3", "--device", "cpu", "--quantization", "int8")
    called = (command, folder / "run", folder / "0.jpg", *question, *options)
    if find_spec("bitsandbytes") is not None:
        said: list[str | None] = []
        answers = Answering.answers

        def noted(self: Answering, *arguments: Any) -> Any:
            said.append(self.computed_with["quantization"])
            return answers(self, *arguments)

        monkeypatch.setattr(Answering, "answers", noted)
        assert realign(*called) == 0
        assert said == ["int8"]
    capsys.readouterr()
    monkeypatch.setattr("training.adapters.find_spec", lambda name: None)
    assert realign(*called) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert "int8 needs bitsandbytes: pip install 'translate-mix[quantization]'" in told.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("caption", "run", "none.jpg"), 2, "none.jpg"),
        (("caption", "run", "0.jpg", "--language", "klingon"), 2, "klingon"),
        (("caption", "mix", "0.jpg"), 1, "no checkpoint"),
        (("caption", "run", "0.jpg", "--beams", "0"), 2, "--beams"),
        (("merge", "llm", "--output", "merged"), 1, "llm"),
        (("evaluate", "run", "xgq", "--output", "a.json"), 2, "xgqa"),
        (("compare", "none.json", "none.json"), 2, "none.json"),
        (("merge", "run", "--output", "mix"), 2, "mix: exists"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    folder: Path, arguments: tuple[str, ...], code: int, words: str, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(folder)
    assert realign(*arguments) == code
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_merged_checkpoint_says_the_same_and_starts_a_next_run(folder: Path, capsys: Any) -> None:
    assert realign("merge", folder / "run", "--output", folder / "merged") == 0
    options = ("--beams", "1", "--max-new-tokens", "6")
    capsys.readouterr()
    said = []
    for checkpoint in ("run", "merged"):
        assert realign("caption", folder / checkpoint, folder / "0.jpg", *options) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    overrides = ("model={start: merged}", f"output={folder / 'next'}", "stages.0.steps=1")
    sets = [part for override in overrides for part in ("--set", override)]
    assert realign("train", folder / "small.yaml", *sets, "--quiet") == 0
    AcceleratorState._reset_state(reset_partial_state=True)


def test_an_evaluation_goes_from_a_checkpoint_to_a_comparison(folder: Path, capsys: Any) -> None:
    lines = [
        {"id": str(number), "language": "deu_Latn", "image": f"{number}.jpg", "captions": ["ein Hund"]}
        for number in range(2)
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "task.yaml").write_text(
        "name: mine\nformat: records\nfiles: questions.jsonl\nlanguages: [deu_Latn]\n"
        'fields: {answers: captions}\npictures: {path: [.], names: ["{image}"]}\n'
        "template: caption-describe\ngeneration: {beams: 1, max_new_tokens: 4, length_penalty: 1}\n"
        'metrics: ["chrf++"]\n'
    )
    root = ("--set", f"root={folder}", "--quiet")
    for name in ("a", "b"):
        output = folder / f"{name}.json"
        assert realign("evaluate", folder / "run", folder / "task.yaml", "--output", output, *root) == 0
    assert "chrf++" in capsys.readouterr().out
    assert json.loads((folder / "a.json").read_text())
    assert realign("compare", folder / "a.json", folder / "b.json") == 0
    assert "chrf++" in capsys.readouterr().out
    scored = ("--predictions", folder / "a.predictions.jsonl")
    assert realign("evaluate", folder / "task.yaml", "--output", folder / "c.json", *scored, *root) == 0
