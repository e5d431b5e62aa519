"""COMETKiwi scores, against the formulas of the paper; and the documented conversion, run as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import translation.quality.comet_kiwi
from translation.filters.pairs import TextPair
from translation.quality import QualityError, load_quality

if TYPE_CHECKING:
    from .conftest import Made

torch = pytest.importorskip("torch")

TEXTS = [
    ("a red apple", "ein roter Apfel"),
    ("two dogs run", "zwei Hunde laufen"),
    ("a man", "Tisch"),
    ("the old tree", "un chat noir sous l'arbre"),
]
PAIRS = [TextPair(*both, "deu_Latn") for both in TEXTS]


def estimate(made: Made, source: str, target: str) -> float:
    """gamma * sum(softmax(w) * layers) at the first token of `<s> target </s></s> source </s>`, estimated."""
    ids = made.parts["tokenizer"](target, source, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        layers = made.parts["encoder"](input_ids=ids, output_hidden_states=True).hidden_states
    weights = np.exp(np.array([float(parameter) for parameter in made.parts["mix"]], np.float64))
    mixed = 1.7 * sum(
        w * layer[0, 0].numpy() for w, layer in zip(weights / weights.sum(), layers, strict=True)
    )
    first, second, last = (part for part in made.parts["estimator"] if hasattr(part, "weight"))
    value = mixed
    for part in (first, second):
        value = np.tanh(part.weight.detach().numpy() @ value + part.bias.detach().numpy())
    return float((last.weight.detach().numpy() @ value + last.bias.detach().numpy())[0])


def test_the_score_is_the_estimators_of_the_mixed_layers(comet_kiwi: Made) -> None:
    scores = load_quality(f"comet_kiwi:{comet_kiwi.directory}", "cpu").score(PAIRS)
    assert scores == pytest.approx([estimate(comet_kiwi, *both) for both in TEXTS], abs=1e-5)


def test_a_pair_of_more_tokens_than_positions_has_no_score(comet_kiwi: Made) -> None:
    judge = load_quality(f"comet_kiwi:{comet_kiwi.directory}", "cpu")
    tokenizer = comet_kiwi.parts["tokenizer"]
    sources = [" ".join(["9"] * count) for count in range(1, 40)]
    lengths = [len(tokenizer("Apfel", source)["input_ids"]) for source in sources]
    scores = judge.score([TextPair(source, "Apfel", "deu_Latn") for source in sources])
    assert [score is None for score in scores] == [length > 64 for length in lengths]
    assert max(lengths) > 64


@pytest.fixture
def copy(comet_kiwi: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(comet_kiwi.directory, tmp_path / "kiwi"))


@pytest.mark.parametrize(
    ("line", "other", "message"),
    [
        (
            "class_identifier: unified_metric",
            "class_identifier: regression_metric",
            "class_identifier is 'regr",
        ),
        ("layer_norm: false", "layer_norm: true", "layer_norm is True; COMETKiwi-22 has False"),
        ("sparsemax_patch", "sparsemax", "layer_transformation is 'sparsemax'"),
        ("- src", "- src\n- ref", "input_segments is "),
        ("hidden_sizes:\n- 12\n- 6", "hidden_sizes: 12", "hidden_sizes is 12"),
        ("- 12\n", "- 13\n", "not COMETKiwi's weights"),
        ("activations: Tanh", "activations: [", "not YAML"),
    ],
)
def test_settings_that_mean_another_model_are_refused(
    copy: Path, line: str, other: str, message: str
) -> None:
    path = copy / "hparams.yaml"
    text = path.read_text(encoding="utf-8")
    assert line in text
    path.write_text(text.replace(line, other), encoding="utf-8")
    with pytest.raises(QualityError, match=message):
        load_quality(f"comet_kiwi:{copy}", "cpu")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "encoder.model.encoder.layer.1.output.dense.bias",
            "lack encoder.model.encoder.layer.1.output.dense.bias",
        ),
        ("estimator.ff.3.weight", "not COMETKiwi's weights"),
        ("layerwise_attention.gamma", "not COMETKiwi's weights: 'gamma'"),
        ("layerwise_attention.scalar_parameters.3", "not COMETKiwi's weights: 'scalar_parameters.3'"),
    ],
)
def test_weights_that_are_missing_are_named(copy: Path, comet_kiwi: Made, key: str, message: str) -> None:
    from safetensors.torch import save_file

    state = {name: value.clone() for name, value in comet_kiwi.parts["state"].items() if name != key}
    save_file(state, copy / "model.safetensors")
    with pytest.raises(QualityError, match=message):
        load_quality(f"comet_kiwi:{copy}", "cpu")


@pytest.mark.parametrize("name", ["hparams.yaml", "model.safetensors", "config.json"])
def test_missing_files_are_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(QualityError, match=f"{name}: missing; .*how to convert"):
        load_quality(f"comet_kiwi:{copy}", "cpu")


def test_the_documented_conversion_makes_what_is_read(comet_kiwi: Made, tmp_path: Path) -> None:
    published = tmp_path / "kiwi"
    (published / "checkpoints").mkdir(parents=True)
    shutil.copy(comet_kiwi.directory / "hparams.yaml", published)
    torch.save(
        {"state_dict": comet_kiwi.parts["state"], "epoch": 1}, published / "checkpoints" / "model.ckpt"
    )
    found = re.search(r"<<'END'\n(.*?)^ *END$", translation.quality.comet_kiwi.__doc__ or "", re.S | re.M)
    assert found is not None
    code = "\n".join(line[4:] for line in found[1].splitlines())
    output = tmp_path / "kiwi-safetensors"
    subprocess.run(
        [sys.executable, "-", str(published), str(comet_kiwi.directory), str(output)],
        input=code,
        text=True,
        check=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    converted = load_quality(f"comet_kiwi:{output}", "cpu")
    assert converted.score(PAIRS) == load_quality(f"comet_kiwi:{comet_kiwi.directory}", "cpu").score(PAIRS)
