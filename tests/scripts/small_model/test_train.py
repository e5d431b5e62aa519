"""The training script: resumes as if it had not been stopped, and writes what `model add` converts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from scripts.small_model.data import SCHEMA
from scripts.small_model.state import STATE, averaged, save_snapshot
from scripts.small_model.train import learning_rate, parser, train
from translation.convert import add_model
from translation.decoder import Threads
from translation.engine import Engine
from translation.translations import Decoding, Request

NAMES = {
    "cat": {"deu_Latn": "Katze", "fra_Latn": "chat", "jpn_Jpan": "猫"},
    "dog": {"deu_Latn": "Hund", "fra_Latn": "chien", "jpn_Jpan": "犬"},
    "red apple": {"deu_Latn": "roter Apfel", "fra_Latn": "pomme rouge", "jpn_Jpan": "赤いリンゴ"},
    "tree": {"deu_Latn": "Baum", "fra_Latn": "arbre", "jpn_Jpan": "木"},
    "bird": {"deu_Latn": "Vogel", "fra_Latn": "oiseau", "jpn_Jpan": "鳥"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "pairs.parquet"
    records = [
        {"source": english, "target": name, "nllb_code": code, "origin": "test", "licence": "CC0-1.0",
         "kind": "name", "split": "held_out" if english == "bird" else "train"}
        for english, names in NAMES.items() for code, name in names.items()
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(records, schema=SCHEMA), path)
    return path


def arguments(data: Path, folder: Path, steps: int, *others: str) -> argparse.Namespace:
    options = (
        f"--data {data} --output {folder} --steps {steps} --decay-steps 2 --warmup-steps 2 --tokens 60"
        " --round 20 --vocabulary 420 --width 16 --heads 2 --feed-forward 32 --encoder-layers 1"
        " --decoder-layers 1 --report-steps 3 --save-steps 3 --snapshot-steps 2 --evaluate-steps 4"
        " --averaged 2 --evaluated 6"
    )
    return parser().parse_args([*options.split(), *others])


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_a_stopped_training_goes_on_as_if_it_had_not_been(data: Path, tmp_path: Path) -> None:
    train(arguments(data, tmp_path / "whole", 9))
    train(arguments(data, tmp_path / "parts", 9, "--stop-after", "5"))
    train(arguments(data, tmp_path / "parts", 9))
    whole, parts = (load_file(tmp_path / name / STATE) for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name
    exported = [load_file(tmp_path / name / "hf/model.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(exported[0][name], exported[1][name]) for name in exported[0])


def test_what_was_done_after_the_last_checkpoint_is_done_again(data: Path, tmp_path: Path) -> None:
    train(arguments(data, tmp_path / "whole", 9))
    run = tmp_path / "killed"
    train(arguments(data, run, 9, "--stop-after", "3"))
    # As a kill leaves it: reports and a snapshot of steps that no checkpoint has, the last line cut.
    save_snapshot(run, torch.nn.Linear(1, 1), 4, 2)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "loss": 0.0}\n{"step": 7, "lo')
    train(arguments(data, run, 9))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == sorted({line["step"] for line in lines})
    assert all(line.get("loss") != 0.0 for line in lines)
    one, other = (load_file(tmp_path / name / STATE) for name in ("whole", "killed"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_other_settings_or_data_do_not_go_on(data: Path, tmp_path: Path) -> None:
    train(arguments(data, tmp_path, 3))
    with pytest.raises(ValueError, match=r"state\.safetensors: began with other settings or data"):
        train(arguments(data, tmp_path, 6, "--seed", "2"))


def test_the_learning_rate_falls_at_the_end_or_when_nothing_rises(data: Path, tmp_path: Path) -> None:
    options = arguments(data, tmp_path, 100)
    assert [learning_rate(step, None, options) for step in (0, 1, 50, 98, 99)] == [0.5, 1, 1, 1, 0.5]
    assert [learning_rate(step, 50, options) for step in (50, 51, 52)] == [1, 0.5, 0]
    # With a rate of nothing no evaluation is better than the first one.
    still = arguments(data, tmp_path, 100, "--rate", "0", "--muon-rate", "0", "--patience", "2")
    progress = train(still)
    assert (progress.best_step, progress.fall, progress.step) == (4, 12, 14)


def test_snapshots_are_averaged_and_old_ones_go(tmp_path: Path) -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    for step, value in ((1, 100.0), (2, 1.0), (3, 3.0)):
        torch.nn.init.constant_(layer.weight, value)
        save_snapshot(tmp_path, layer, step, 2)
    assert [path.stem for path in sorted((tmp_path / "snapshots").iterdir())] == ["00000002", "00000003"]
    assert averaged(tmp_path, 2)["weight"].item() == 2.0
    assert averaged(tmp_path, 1)["weight"].item() == 3.0


def test_the_result_is_converted_and_translates_any_character(data: Path, tmp_path: Path) -> None:
    train(arguments(data, tmp_path / "run", 4))
    description = add_model(str(tmp_path / "run" / "hf"), tmp_path / "model")
    assert description.name == "small"
    assert description.languages == ("deu_Latn", "eng_Latn", "fra_Latn", "jpn_Jpan")
    with Engine(tmp_path / "model", Decoding(max_output_tokens=8), threads=Threads(intra=1)) as engine:
        requests = [Request("cat", "eng_Latn", "deu_Latn"), Request("鑿 ⵣ", "jpn_Jpan", "eng_Latn")]
        made = list(engine.translate(requests))
    assert len(made) == 2
