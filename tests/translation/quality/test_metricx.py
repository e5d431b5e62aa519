"""MetricX-24 scores, against the whole mT5 run on one pair at a time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from translation.filters.pairs import TextPair
from translation.quality import QualityError, load_quality

if TYPE_CHECKING:
    from .conftest import Made

torch = pytest.importorskip("torch")

TEXTS = [
    ("a red apple", "ein roter Apfel"),
    ("two dogs run on the beach", "zwei Hunde laufen am Strand"),
    ("a man", "Tisch"),
    ("the black cat sleeps under the old tree", "un chat noir sous l'arbre"),
    ("0123456789", "0123456789"),
    ("bicycle", "beach"),
]
PAIRS = [TextPair(*both, "deu_Latn") for both in TEXTS]


def logit(made: Made, source: str, target: str) -> float:
    """The first decoder step's logit of token 250089; the input's end-of-sentence token is dropped."""
    ids = made.parts["tokenizer"](f"source: {source} candidate: {target}", return_tensors="pt")["input_ids"]
    assert ids[0, -1] == made.parts["tokenizer"].eos_token_id
    with torch.no_grad():
        logits = made.parts["model"](input_ids=ids[:, :-1], decoder_input_ids=torch.tensor([[0]])).logits
    return float(logits[0, 0, 250089])


def test_the_score_is_the_clamped_logit_of_the_readout_token(metricx: Made) -> None:
    scores = load_quality(f"metricx:{metricx.directory}", "cpu").score(PAIRS)
    logits = [logit(metricx, *both) for both in TEXTS]
    assert scores == pytest.approx([min(25.0, max(0.0, value)) for value in logits], abs=1e-3)
    assert any(0 < value < 25 for value in logits)
    assert any(not 0 < value < 25 for value in logits)


def test_a_pair_of_more_than_1536_tokens_has_no_score(metricx: Made) -> None:
    judge = load_quality(f"metricx:{metricx.directory}", "cpu")
    tokenizer = metricx.parts["tokenizer"]

    def tokens(count: int) -> int:
        text = f"source: apple candidate: {'9 ' * count}".strip()
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    count = 1
    while tokens(count + 1) <= 1536:
        count += max(1, (1536 - tokens(count + 1)) // 4)
    fits, does_not = judge.score(
        [TextPair("apple", "9 " * count, "deu_Latn"), TextPair("apple", "9 " * (count + 1), "deu_Latn")]
    )
    assert fits is not None
    assert does_not is None


def edited(made: Made, tmp_path: Path, **config: object) -> Path:
    copy = tmp_path / "model"
    shutil.copytree(made.directory, copy)
    settings = json.loads((copy / "config.json").read_text(encoding="utf-8")) | config
    (copy / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return copy


def test_shards_are_read_as_one_file_is(metricx: Made, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = edited(metricx, tmp_path)
    state = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    shards: dict[str, dict[str, Any]] = {f"model-0000{number}-of-00002.safetensors": {} for number in (1, 2)}
    where = {}
    for index, key in enumerate(state):
        name = list(shards)[index % 2]
        shards[name][key] = state[key]
        where[key] = name
    for name, part in shards.items():
        save_file(part, copy / name, metadata={"format": "pt"})
    (copy / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": where}), encoding="utf-8"
    )
    expected = load_quality(f"metricx:{metricx.directory}", "cpu").score(PAIRS)
    assert load_quality(f"metricx:{copy}", "cpu").score(PAIRS) == expected


def test_weights_that_are_missing_are_named(metricx: Made, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = edited(metricx, tmp_path)
    state = load_file(copy / "model.safetensors")
    lost = state.pop("decoder.final_layer_norm.weight")
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(QualityError, match=r"weights lack decoder.final_layer_norm.weight"):
        load_quality(f"metricx:{copy}", "cpu")
    state["decoder.final_layer_norm.weight"] = lost
    del state["lm_head.weight"]
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(QualityError, match=r"have no lm_head.weight"):
        load_quality(f"metricx:{copy}", "cpu")


def test_another_model_is_refused(metricx: Made, tmp_path: Path) -> None:
    with pytest.raises(QualityError, match="model_type 't5' with 250112 tokens"):
        load_quality(f"metricx:{edited(metricx, tmp_path / 'a', model_type='t5')}", "cpu")
    with pytest.raises(QualityError, match="model_type 'mt5' with 1000 tokens"):
        load_quality(f"metricx:{edited(metricx, tmp_path / 'b', vocab_size=1000)}", "cpu")


def test_pickled_weights_and_a_missing_tokenizer_are_named(metricx: Made, tmp_path: Path) -> None:
    copy = edited(metricx, tmp_path)
    for name in ("tokenizer.json", "spiece.model"):
        (copy / name).unlink()
    with pytest.raises(QualityError, match="put the tokenizer's files of google/mt5-large there"):
        load_quality(f"metricx:{copy}", "cpu")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(QualityError, match=r"no model.safetensors \(pytorch_model.bin would run code"):
        load_quality(f"metricx:{copy}", "cpu")
