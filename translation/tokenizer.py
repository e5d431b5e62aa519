"""NLLB's text <-> token mapping: SentencePiece pieces, as the converted model's vocabulary spells them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import sentencepiece

END = "</s>"
UNKNOWN = "<unk>"


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
        """Text of pieces; `<unk>` is left out (the engine flags it)."""
        text: str = self._processor.decode([piece for piece in pieces if piece != UNKNOWN])
        return text
