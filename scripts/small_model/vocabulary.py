"""The small model's vocabulary: a SentencePiece model as NLLB has one, and the tokenizer files around it."""

from __future__ import annotations

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import sentencepiece
from transformers import NllbTokenizer
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

from translation.languages import ENGLISH

PIECES, PIECES_OF = "sentencepiece.bpe.model", "sentencepiece.bpe.sha256"
TEXTS = 6_000
"""Of a language, at most, that the pieces are learnt from: so that large ones do not take them all."""
MANY_CHARACTERS = ("_Hans", "_Jpan", "_Hang")
"""Scripts of so many characters that all texts count: what a part lacks would be spelt in bytes."""
ENGLISH_TEXTS = 100_000
COVERAGE = 0.99995
"""Of all characters; rarer ones (most of them Chinese) are written in bytes."""
MARKS = ".,;:!?'\"()-–—…{}0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""Characters that must have pieces of their own."""


def train_sentencepiece(
    english: Sequence[str], others: Sequence[tuple[str, str]], folder: Path, size: int, seed: int
) -> Path:
    """A BPE model with byte fallback, which nothing is unknown to.

    One that is there is not trained again, if it is of the same texts and settings: `PIECES_OF` says so.

    Args:
        english: texts in English.
        others: NLLB code and text.
        size: pieces, the bytes among them.
    """
    path, note = folder / PIECES, folder / PIECES_OF
    digest = hashlib.sha256(json.dumps([list(english), list(others), size, seed]).encode()).hexdigest()
    if path.exists() and note.exists() and note.read_text() == digest:
        return path
    note.unlink(missing_ok=True)
    by_code: dict[str, list[str]] = defaultdict(list)
    for code, text in others:
        by_code[code].append(text)
    choice = random.Random(seed)
    lines: list[str] = []
    for code in sorted(by_code):
        texts = by_code[code]
        every = len(texts) <= TEXTS or code.endswith(MANY_CHARACTERS)
        lines += texts if every else choice.sample(texts, TEXTS)
    unique = sorted(set(english))
    lines += choice.sample(unique, ENGLISH_TEXTS) if len(unique) > ENGLISH_TEXTS else unique * 5
    lines += [MARKS] * 20
    partial = folder / "sentencepiece.partial"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=str(partial),
        vocab_size=size,
        character_coverage=COVERAGE,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        max_sentence_length=10_000,
        num_threads=2,
        hard_vocab_limit=False,
        minloglevel=1,
    )
    partial.with_suffix(".partial.vocab").unlink()
    partial.with_suffix(".partial.model").replace(path)
    note.write_text(digest)
    return path


def load_tokenizer(pieces: Path, folder: Path) -> NllbTokenizer:
    """The Hugging Face tokenizer of the same vocabulary, saved where the converter looks."""
    tokenizer = NllbTokenizer.from_pretrained(
        str(pieces.parent), src_lang=ENGLISH, extra_special_tokens=FAIRSEQ_LANGUAGE_CODES
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def unknown_rates(
    processor: sentencepiece.SentencePieceProcessor, texts: Sequence[tuple[str, str]]
) -> dict[str, tuple[float, float]]:
    """By NLLB code: pieces a character, and the share of pieces that are single bytes."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for (code, text), pieces in zip(texts, processor.encode([text for _, text in texts]), strict=True):
        sums = found[code]
        sums[0] += len(pieces)
        sums[1] += len(text)
        sums[2] += sum(map(processor.is_byte, pieces))
    return {code: (p / c, b / p) for code, (p, c, b) in sorted(found.items())}
