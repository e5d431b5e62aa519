"""Small judges of the real formats: every file as the published ones have it, weights from a seed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

TEXT = [
    "a red apple on a table.", "the black cat sleeps under the old tree", "two dogs run on the beach!",
    "ein roter Apfel auf dem Tisch", "zwei Hunde laufen am Strand", "un chat noir sous l'arbre",
    "source: candidate: a man rides a bicycle 0123456789",
]  # fmt: skip

HPARAMS = """\
activations: Tanh
class_identifier: unified_metric
dropout: 0.1
encoder_model: XLM-RoBERTa
final_activation: null
hidden_sizes:
- 12
- 6
input_segments:
- mt
- src
layer: mix
layer_norm: false
layer_transformation: sparsemax_patch
pool: avg
pretrained_model: microsoft/infoxlm-large
sent_layer: mix
word_layer: 24
word_level_training: false
"""
"""As `Unbabel/wmt22-cometkiwi-da` has it, with smaller hidden sizes and without the training's own keys."""


@dataclass(frozen=True)
class Made:
    """A judge's directory, and the live modules that its weights were saved from."""

    directory: Path
    parts: dict[str, Any]


def sentencepiece_model(directory: Path, name: str, **options: Any) -> None:
    import sentencepiece

    directory.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 20),
        model_prefix=str(directory / name),
        vocab_size=120,
        model_type="unigram",
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )


def make_labse(directory: Path) -> Made:
    """BERT, CLS pooling, a dense layer with tanh, normalisation: LaBSE's four modules."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    letters = sorted(set("".join(TEXT)) - {" "})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    torch.manual_seed(1)
    bert = BertModel(
        BertConfig(
            vocab_size=len(pieces),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            initializer_range=0.5,
        )
    ).eval()
    tokenizer = BertTokenizerFast(vocab=vocabulary, do_lower_case=False)
    bert.save_pretrained(directory / "bert")
    tokenizer.save_pretrained(directory / "bert")
    dense = Dense(16, 16, activation_function=torch.nn.Tanh())
    model = SentenceTransformer(
        modules=[
            Transformer(str(directory / "bert"), max_seq_length=64),
            Pooling(16, pooling_mode="cls"),
            dense,
            Normalize(),
        ],
        device="cpu",
    )
    model.save(str(directory / "model"), create_model_card=False)
    return Made(directory / "model", {"bert": bert, "dense": dense.linear, "tokenizer": tokenizer})


def make_metricx(directory: Path) -> Made:
    """An mT5 with its whole vocabulary and an output layer of its own, as MetricX-24 has."""
    from safetensors.torch import save_file
    from transformers import AutoTokenizer, MT5Config, MT5ForConditionalGeneration

    sentencepiece_model(directory, "spiece", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    torch.manual_seed(2)
    config = MT5Config(
        vocab_size=250112, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_decoder_layers=2, num_heads=2
    )
    model = MT5ForConditionalGeneration(config).eval()
    head = torch.randn(250112, 8)
    # Spreads this model's readings over both ends of 0..25.
    head[250089] = torch.tensor([150.0, 0, 0, 115, 0, 0, 0, 0])
    model.lm_head.weight = torch.nn.Parameter(head)
    state = {key: value.detach().clone() for key, value in model.state_dict().items()}
    for tied in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"):
        state.pop(tied, None)
    save_file(state, directory / "model.safetensors", metadata={"format": "pt"})
    written = config.to_dict() | {"architectures": ["MT5ForRegression"], "tie_word_embeddings": False}
    (directory / "config.json").write_text(json.dumps(written), encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return Made(directory, {"model": model, "tokenizer": tokenizer})


def make_comet_kiwi(directory: Path) -> Made:
    """COMET's `UnifiedMetric` by the names of its weights: encoder, layer mix, estimator."""
    from safetensors.torch import save_file
    from torch import nn
    from transformers import AutoTokenizer, XLMRobertaConfig, XLMRobertaModel

    sentencepiece_model(directory, "sentencepiece.bpe")
    config = XLMRobertaConfig(
        vocab_size=300,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=66,
        initializer_range=0.5,
        pad_token_id=1,
        type_vocab_size=1,
    )
    config.save_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.save_pretrained(directory)
    torch.manual_seed(3)
    encoder = XLMRobertaModel(config, add_pooling_layer=False).eval()
    estimator = nn.Sequential(
        nn.Linear(16, 12), nn.Tanh(), nn.Dropout(), nn.Linear(12, 6), nn.Tanh(), nn.Dropout(), nn.Linear(6, 1)
    ).eval()
    state = {f"encoder.model.{key}": value for key, value in encoder.state_dict().items()}
    state |= {f"estimator.ff.{key}": value for key, value in estimator.state_dict().items()}
    mix = {f"layerwise_attention.scalar_parameters.{layer}": torch.randn(1) for layer in range(4)}
    state |= mix | {"layerwise_attention.gamma": torch.tensor([1.7])}
    state |= {"layerwise_attention.dropout_mask": torch.zeros(4)}
    save_file({key: value.clone() for key, value in state.items()}, directory / "model.safetensors")
    (directory / "hparams.yaml").write_text(HPARAMS, encoding="utf-8")
    parts = {"encoder": encoder, "estimator": estimator, "mix": list(mix.values()), "tokenizer": tokenizer}
    return Made(directory, parts | {"state": state})


@pytest.fixture(scope="session")
def labse(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_labse(tmp_path_factory.mktemp("labse"))


@pytest.fixture(scope="session")
def metricx(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_metricx(tmp_path_factory.mktemp("metricx"))


@pytest.fixture(scope="session")
def comet_kiwi(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_comet_kiwi(tmp_path_factory.mktemp("comet_kiwi"))


@pytest.fixture(scope="session")
def specs(labse: Made, metricx: Made, comet_kiwi: Made) -> dict[str, str]:
    """Spec of each judge by its column."""
    return {
        "similarity": f"labse:{labse.directory}",
        "metricx": f"metricx:{metricx.directory}",
        "comet_kiwi": f"comet_kiwi:{comet_kiwi.directory}",
    }
