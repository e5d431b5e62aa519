"""Cosines of sentence embeddings, against BERT and numpy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from translation.filters.pairs import TextPair
from translation.quality import QualityError, load_quality

if TYPE_CHECKING:
    from .conftest import Made

torch = pytest.importorskip("torch")


def embedding(made: Made, text: str) -> np.ndarray:
    ids = made.parts["tokenizer"](text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        first = made.parts["bert"](input_ids=ids).last_hidden_state[0, 0].numpy()
    dense = made.parts["dense"]
    vector = np.tanh(dense.weight.detach().numpy() @ first + dense.bias.detach().numpy())
    unit: np.ndarray = vector / np.linalg.norm(vector)
    return unit


def test_the_score_is_the_cosine_of_the_two_embeddings(labse: Made) -> None:
    texts = [("a red apple", "ein roter Apfel"), ("two dogs run", "zwei Hunde"), ("a cat", "a cat")]
    scores = load_quality(f"labse:{labse.directory}", "cpu").score(
        [TextPair(*both, "deu_Latn") for both in texts]
    )
    expected = [float(embedding(labse, source) @ embedding(labse, target)) for source, target in texts]
    assert scores == pytest.approx(expected, abs=1e-5)
    assert scores[2] == pytest.approx(1)


def test_the_limit_is_the_models_own(labse: Made) -> None:
    judge = load_quality(f"labse:{labse.directory}", "cpu")
    # One token a letter; 64 positions less [CLS] and [SEP].
    pairs = [TextPair("a" * length, "cat", "deu_Latn") for length in (61, 62, 63)]
    assert [score is None for score in judge.score(pairs)] == [False, False, True]


def broken(labse: Made, tmp_path: Path) -> Path:
    copy = tmp_path / "model"
    shutil.copytree(labse.directory, copy)
    return copy


def test_pickled_weights_are_not_opened(labse: Made, tmp_path: Path) -> None:
    copy = broken(labse, tmp_path)
    (copy / "2_Dense" / "model.safetensors").rename(copy / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(
        QualityError, match=r"2_Dense: no model.safetensors \(pytorch_model.bin would run code"
    ):
        load_quality(f"labse:{copy}", "cpu")


def test_the_models_own_code_is_not_run(labse: Made, tmp_path: Path) -> None:
    copy = broken(labse, tmp_path)
    modules = json.loads((copy / "modules.json").read_text(encoding="utf-8"))
    modules[2]["type"] = "own_code.Dense"
    (copy / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (copy / "own_code.py").write_text("raise SystemExit('it ran')", encoding="utf-8")
    with pytest.raises(QualityError, match=r"own_code.Dense is code of the model's own"):
        load_quality(f"labse:{copy}", "cpu")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("modules.json", None, "modules.json: missing; a sentence-transformers directory"),
        ("modules.json", "{", "not a list of modules"),
        ("modules.json", "[]", "the first module is not a Transformer"),
        ("config.json", "{}", "sentence-transformers cannot load it"),
        ("model.safetensors", "x", r"model.safetensors: not a safetensors file"),
    ],
)
def test_a_directory_of_another_format_is_refused(
    labse: Made, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    copy = broken(labse, tmp_path)
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_text(content, encoding="utf-8")
    with pytest.raises(QualityError, match=message):
        load_quality(f"labse:{copy}", "cpu")
