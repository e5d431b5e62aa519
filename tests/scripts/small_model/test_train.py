"""The training script: resumes as if it had not been stopped, and writes what `model add` converts."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
import torch

from scripts.small_model.train import batches, encode, parser, train, train_sentencepiece
from translation.convert import add_model
from translation.decoder import Threads
from translation.engine import Engine
from translation.translations import Decoding, Request

PAIRS = [
    {"english": english, "nllb_code": code, "name": name, "split": "train"}
    for english, names in {
        "cat": {"deu_Latn": "Katze", "fra_Latn": "chat"},
        "dog": {"deu_Latn": "Hund", "fra_Latn": "chien"},
        "red apple": {"deu_Latn": "roter Apfel", "fra_Latn": "pomme rouge"},
        "tree": {"deu_Latn": "Baum", "fra_Latn": "arbre"},
    }.items()
    for code, name in names.items()
]


def arguments(folder: Path, steps: int) -> argparse.Namespace:
    folder.mkdir(exist_ok=True)
    data = folder / "pairs.jsonl"
    data.write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS), encoding="utf-8")
    options = (
        f"--data {data} --output {folder} --steps {steps} --decay-steps 2 --warmup-steps 2 --tokens 40"
        " --vocabulary 120 --width 48 --encoder-layers 1 --decoder-layers 1 --report-steps 1000"
        " --candidates 10"
    )
    return parser().parse_args(options.split())


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_a_stopped_training_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    train(arguments(tmp_path / "whole", 9))
    # The fall of the learning rate depends on the last step, so stop before it begins.
    first = arguments(tmp_path / "parts", 9)
    first.stop_after = 5
    train(first)
    train(arguments(tmp_path / "parts", 9))
    whole, parts = (
        torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "parts")
    )
    assert whole["step"] == parts["step"] == 9
    for name, weights in whole["model"].items():
        assert torch.equal(weights, parts["model"][name]), name


def test_the_result_is_converted_and_translates(tmp_path: Path) -> None:
    train(arguments(tmp_path / "run", 4))
    description = add_model(str(tmp_path / "run" / "hf"), tmp_path / "model")
    assert description.name == "small"
    assert description.languages == ("deu_Latn", "eng_Latn", "fra_Latn")
    with Engine(tmp_path / "model", Decoding(max_output_tokens=8), threads=Threads(intra=1)) as engine:
        engine.translate([Request("cat", "eng_Latn", "deu_Latn")])


def test_batches_depend_on_seed_and_epoch_alone(tmp_path: Path) -> None:
    import sentencepiece

    vocabulary = train_sentencepiece(PAIRS, tmp_path, 120)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary))
    examples = encode(PAIRS, processor, {"eng_Latn": 900, "deu_Latn": 901, "fra_Latn": 902})

    def epoch(number: int) -> list[list[list[int]]]:
        return [[e.target for e in batch] for batch in batches(examples, 40, 1.0, 1, number)]

    assert epoch(0) == epoch(0)
    assert epoch(0) != epoch(1)
    assert sorted(t for batch in epoch(0) for t in batch) == sorted(e.target for e in examples)
