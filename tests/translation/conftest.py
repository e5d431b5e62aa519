"""A tiny NLLB-format checkpoint, and its conversion: the real formats, in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from transformers import M2M100ForConditionalGeneration, NllbTokenizer

CODES = ["eng_Latn", "deu_Latn", "fra_Latn", "hin_Deva", "jpn_Jpan", "swh_Latn"]

TEXT = [
    "a red apple on a table.", "the black cat sleeps under the old tree", "two dogs run on the beach!",
    "ein roter Apfel auf dem Tisch", "un chat noir sous l'arbre", "paka mweusi analala",
    "लाल सेब", "赤いりんご",
    "0123456789", "Is this a cat or a dog?", "a photo of a bicycle, a bus and a train",
]  # fmt: skip


def make_checkpoint(
    directory: Path,
    seed: int = 0,
    vocabulary: int = 300,
    lessons: Mapping[str, str] | None = None,
    steps: int = 80,
) -> Path:
    """A Hugging Face directory as `facebook/nllb-200-*` lays it out, one layer deep, trained for a second.

    Args:
        lessons: what to translate to what, into all languages; characters that only translations have are
            `<unk>`. By default each text is "translated" to its neighbour.
        steps: of training; some 300 until a few lessons are known by heart.
    """
    import sentencepiece
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    directory.mkdir(parents=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*TEXT, *(lessons or ())] * 20),
        model_prefix=str(directory / "sentencepiece.bpe"),
        vocab_size=vocabulary,
        model_type="bpe",
        character_coverage=1.0,
        normalization_rule_name="identity",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    tokenizer = NllbTokenizer.from_pretrained(
        str(directory), src_lang="eng_Latn", extra_special_tokens=FAIRSEQ_LANGUAGE_CODES
    )
    tokenizer.save_pretrained(directory)
    torch.manual_seed(seed)
    model = M2M100ForConditionalGeneration(
        M2M100Config(
            vocab_size=len(tokenizer),
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_position_embeddings=1024,
            scale_embedding=True,
            dropout=0.0,
            attention_dropout=0.0,
        )
    )
    _train(model, tokenizer, lessons or dict(zip(TEXT, TEXT[1:] + TEXT[:1], strict=True)), steps)
    model.save_pretrained(directory)
    return directory


def _train(
    model: M2M100ForConditionalGeneration, tokenizer: NllbTokenizer, lessons: Mapping[str, str], steps: int
) -> None:
    """A few steps, so that hypotheses end and are confident."""
    import torch

    pairs = [(source, target, code) for source, target in lessons.items() for code in CODES[1:]]
    source = tokenizer([source for source, _, _ in pairs], return_tensors="pt", padding=True)
    labels = tokenizer([target for _, target, _ in pairs], return_tensors="pt", padding=True).input_ids
    labels[:, 0] = torch.tensor(tokenizer.convert_tokens_to_ids([code for _, _, code in pairs]))
    labels[labels == tokenizer.pad_token_id] = -100
    # So small a model gains nothing from a second thread, and loses much on a busy machine.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(steps):
        model(**source, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("hf") / "nllb-tiny")


@pytest.fixture(scope="session")
def converted(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In float32, so that it can be compared with transformers exactly."""
    from translation.convert import add_model

    directory = tmp_path_factory.mktemp("ct2") / "nllb-tiny-float32"
    add_model(str(checkpoint), directory, "float32")
    return directory
