"""NLLB's text <-> token mapping: SentencePiece pieces, as the converted model's vocabulary spells them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import sentencepiece

END = "</s>"
UNKNOWN = "<unk>"
CONTROL = frozenset({"<s>", "<pad>", END, UNKNOWN})
"""Pieces that stand for no text."""

_LANGUAGE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")


class Tokenizer:
    """The SentencePiece model of an NLLB checkpoint.

    NLLB's layout (the corrected one, https://github.com/facebookresearch/fairseq/tree/nllb):
    source `eng_Latn ▁A ▁red ▁apple </s>`, target prefix `deu_Latn`. CTranslate2 adds nothing itself.
    """

    def __init__(self, path: Path) -> None:
        """Raises ValueError where `path` is no SentencePiece model."""
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{path}: not a SentencePiece model: {error}") from error

    def encode(self, texts: Sequence[str]) -> list[list[str]]:
        """Pieces of each text, without language code and end mark.

        Half of a surrogate pair, which has no UTF-8, is the unknown character U+FFFD.
        """
        try:
            pieces: list[list[str]] = self._processor.encode(list(texts), out_type=str)
        except TypeError:
            readable = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts]
            pieces = self._processor.encode(readable, out_type=str)
        return pieces

    def decode(self, pieces: Sequence[str]) -> str:
        """Text of pieces; those without text are left out (the engine flags them)."""
        text: str = self._processor.decode([piece for piece in pieces if has_text(piece)])
        return text


def has_text(piece: str) -> bool:
    """Whether a piece stands for text, and is neither a control token nor the code of a language.

    Behind the prefix a code is a slip of the model, as `<unk>` is. Text that spells a code is never such a
    piece: SentencePiece has those codes in none of its own.
    """
    return piece not in CONTROL and piece != "<mask>" and _LANGUAGE.fullmatch(piece) is None
