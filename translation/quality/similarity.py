"""Cosine of the sentence embeddings of source and target, with LaBSE (Feng et al. 2022) or a model like it.

LaBSE (`sentence-transformers/LaBSE`, 471 M parameters) is Apache-2.0 and covers 109 languages; of this
project's, Pashto and Sindhi are not among them, and their cosines mean little. A cosine says little of names,
numbers and negation too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from translation.filters.pairs import TextPair
from translation.quality.batches import in_batches, readable, token_budget, too_long, windows
from translation.quality.checkpoint import (
    QualityError,
    checkpoint,
    digest,
    judge_name,
    loading,
    needed_for,
    require,
    torch_device,
    weights,
)

if TYPE_CHECKING:
    import numpy as np


class Similarity:
    """A sentence-transformers directory as a judge.

    A text of more tokens than the model's own limit (LaBSE: 256, special ones included) leaves its pairs
    without a score.
    """

    PUBLISHED: ClassVar[str] = "sentence-transformers/LaBSE@50fe0940fa3ca3be4d2170f21395beb6d581fc44"

    column: ClassVar[str] = "similarity"
    higher_is_better: ClassVar[bool] = True

    def __init__(self, place: str, device: str = "auto") -> None:
        """Loads the model.

        Raises:
            QualityError: not a sentence-transformers directory with `safetensors` weights, no such place, or
                the extra is missing.
        """
        self._device = torch_device(device)
        with needed_for("sentence similarity"):
            import torch
            from sentence_transformers import SentenceTransformer
        files = checkpoint(place)
        _check_modules(files.directory)
        # float16 keeps 11 bits of a cosine and halves the time; CPUs have no fast float16.
        dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        with loading(f"{place}: sentence-transformers cannot load it"):
            self._model = SentenceTransformer(
                str(files.directory),
                device=str(self._device),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            ).to(dtype)
        limit = self._model.max_seq_length
        if not limit:
            raise QualityError(f"{place}: names no max_seq_length; LaBSE's sentence_bert_config.json has 256")
        self._limit = int(limit)
        self.digest = digest(files.directory)
        self.name = judge_name("labse", files, self.digest, dtype)

    def score(self, pairs: Sequence[TextPair]) -> list[float | None]:
        """Per pair the cosine of source and target in -1..1; None where a side is empty or too long."""
        return [score for window in windows(pairs) for score in self._score(window)]

    def _score(self, pairs: Sequence[TextPair]) -> list[float | None]:
        import numpy as np

        texts = [(readable(pair.source), readable(pair.target)) for pair in pairs]
        rows, vectors = self._embed(sorted({text for both in texts for text in both}))
        scores: list[float | None] = []
        for source, target in texts:
            if source in rows and target in rows:
                cosine = float(np.dot(vectors[rows[source]], vectors[rows[target]]))
                scores.append(min(1.0, max(-1.0, cosine)))
            else:
                scores.append(None)
        return scores

    def _embed(self, texts: list[str]) -> tuple[dict[str, int], np.ndarray]:
        """Rows of the texts that fit, and the matrix of unit vectors (texts, dimensions), float32."""
        import numpy as np

        texts = [text for text in texts if text and not too_long(text, self._limit)]
        if not texts:
            return {}, np.zeros((0, 0), np.float32)
        tokenizer = self._model.tokenizer
        special = tokenizer.num_special_tokens_to_add()
        ids = tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        lengths = {text: len(tokens) + special for text, tokens in zip(texts, ids, strict=True) if tokens}
        fitting = [text for text, length in lengths.items() if length <= self._limit]
        found = in_batches(
            fitting, [lengths[text] for text in fitting], token_budget(self._device), self._encode
        )
        vectors = np.asarray(found, np.float32)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12) if fitting else 1
        return {text: row for row, text in enumerate(fitting)}, vectors

    def _encode(self, texts: list[str]) -> list[np.ndarray]:
        vectors = self._model.encode(
            texts, batch_size=len(texts), convert_to_tensor=True, show_progress_bar=False
        )
        return list(vectors.float().cpu().numpy())


def _check_modules(directory: Path) -> None:
    """That all of the model's parts are the library's own, and none would be read from a pickle.

    Raises:
        QualityError: one is not.
    """
    path = require(directory, "modules.json", "a sentence-transformers directory, such as LaBSE's, is wanted")
    try:
        modules = [
            (str(module["type"]), directory / module["path"]) for module in json.loads(path.read_bytes())
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise QualityError(f"{path}: not a list of modules with type and path: {error}") from error
    for kind, place in modules:
        if not kind.startswith("sentence_transformers."):
            raise QualityError(f"{path}: {kind} is code of the model's own, which is not run")
        # The library falls back to pickles where safetensors are missing. Pooling has no weights.
        if kind.endswith(".Transformer") or (place.is_dir() and any(place.glob("*.bin"))):
            weights(place)
    if not modules or not modules[0][0].endswith(".Transformer"):
        raise QualityError(
            f"{path}: the first module is not a Transformer, so texts cannot be measured in tokens"
        )
