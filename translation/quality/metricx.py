"""Errors of a translation as MetricX-24 predicts them, without a reference (Juraska et al. 2024).

The models (`google/metricx-24-hybrid-{large,xl,xxl}-v2p6`, 1.2 B to 13 B parameters) are Apache-2.0, and so
is the mT5 whose tokenizer they use. Each is an mT5 whose first decoder step is read as a number: the logit of
the token `<extra_id_10>`, clamped to 0 (perfect) .. 25 (the scale of MQM errors).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from translation.filters.pairs import TextPair
from translation.quality.batches import padded, readable, scored, too_long, windows
from translation.quality.checkpoint import (
    QualityError,
    check_complete,
    checkpoint,
    digest,
    fetch,
    judge_name,
    loading,
    needed_for,
    require,
    torch_device,
    weights,
)

if TYPE_CHECKING:
    import torch

READOUT = 250089
"""The id of `<extra_id_10>` in mT5's vocabulary, by number as published: tokenizers do not know the name."""

LIMIT = 1536
"""Tokens of the longest input that MetricX-24 was trained on."""

_TOKENIZER = "google/mt5-large"
_TOKENIZER_FILES = ("tokenizer.json", "spiece.model")


class MetricX:
    """A MetricX-24 directory as a judge.

    A pair of more than `LIMIT` tokens, both texts together, has no score.
    """

    PUBLISHED: ClassVar[str] = "google/metricx-24-hybrid-large-v2p6@refs/pr/1"
    """The hub's own conversion; the main revision of this size has no `safetensors` file."""

    column: ClassVar[str] = "metricx"
    higher_is_better: ClassVar[bool] = False

    def __init__(self, place: str, device: str = "auto") -> None:
        """Loads the model; one from the hub takes its tokenizer from `google/mt5-large`.

        Raises:
            QualityError: not a MetricX-24 directory with `safetensors` weights and tokenizer, no such place,
                or the extra is missing.
        """
        self._device = torch_device(device)
        with needed_for("MetricX"):
            import torch
            from transformers import AutoTokenizer, MT5Model
        if "metricx-23" in place.lower():
            raise QualityError(
                f"{place}: MetricX-23 reads its input in another order; give a MetricX-24 model"
            )
        files = checkpoint(place)
        _check_config(files.directory)
        # mT5's activations overflow float16.
        dtype = torch.bfloat16 if self._device.type == "cuda" else torch.float32
        # transformers 5 ties lm_head to the embeddings of every mT5; here they differ, so it is read apart.
        self._readout = _readout(files.directory).float().to(self._device)
        tokenizer = _tokenizer_directory(files.directory, files.from_hub)
        with loading(f"{place}: transformers cannot load it"):
            self._tokenizer = AutoTokenizer.from_pretrained(
                tokenizer, trust_remote_code=False, local_files_only=True
            )
            model, found = MT5Model.from_pretrained(
                files.directory,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
        check_complete(place, found)
        self._model = model.to(self._device).eval()
        self.digest = digest(*dict.fromkeys((files.directory, tokenizer)))
        self.name = judge_name("metricx", files, self.digest, dtype)

    def score(self, pairs: Sequence[TextPair]) -> list[float | None]:
        """Per pair the predicted errors, 0..25; None where a side is empty or both together are too long."""
        return [score for window in windows(pairs) for score in self._score(window)]

    def _score(self, pairs: Sequence[TextPair]) -> list[float | None]:
        texts = [(readable(pair.source), readable(pair.target)) for pair in pairs]
        prompts = {
            (source, target): f"source: {source} candidate: {target}"
            for source, target in texts
            if source and target and not too_long(source + target, LIMIT)
        }
        if not prompts:
            return [None] * len(pairs)
        # Trained without the end-of-sentence token, so no special tokens.
        ids = self._tokenizer(
            list(prompts.values()),
            add_special_tokens=False,
            split_special_tokens=True,
            truncation=False,
            verbose=False,
        )["input_ids"]
        inputs = {key: tokens for key, tokens in zip(prompts, ids, strict=True) if len(tokens) <= LIMIT}
        return scored(texts, inputs, self._device, self._run)

    def _run(self, sequences: list[list[int]]) -> list[float]:
        import torch

        with torch.inference_mode():
            ids, mask = padded(sequences, self._tokenizer.pad_token_id, self._device)
            start = torch.zeros((len(sequences), 1), dtype=torch.long, device=self._device)
            outputs = self._model(
                input_ids=ids, attention_mask=mask, decoder_input_ids=start, use_cache=False
            )
            first = outputs.last_hidden_state[:, 0].float()
            values: list[float] = (first @ self._readout).clamp(0, 25).cpu().tolist()
        return values


def _check_config(directory: Path) -> None:
    path = require(directory, "config.json", "a MetricX-24 directory is wanted")
    try:
        config = json.loads(path.read_bytes())
        kind, vocabulary = config["model_type"], config["vocab_size"]
    except (ValueError, KeyError, TypeError) as error:
        raise QualityError(f"{path}: not a model's configuration: {error!r}") from error
    if kind != "mt5" or vocabulary <= READOUT:
        raise QualityError(
            f"{path}: model_type {kind!r} with {vocabulary} tokens; MetricX-24 is an 'mt5' with 250112"
        )


def _readout(directory: Path) -> torch.Tensor:
    """The row of `lm_head` that is the regression's, without reading the other 250,000."""
    from safetensors import safe_open

    for path in weights(directory):
        with safe_open(path, framework="pt") as file:
            if "lm_head.weight" in file.keys():  # noqa: SIM118 - not a dict
                row: torch.Tensor = file.get_slice("lm_head.weight")[READOUT]
                return row
    raise QualityError(f"{directory}: its weights have no lm_head.weight, so there is no number to read")


def _tokenizer_directory(directory: Path, from_hub: bool) -> Path:
    if any((directory / name).is_file() for name in _TOKENIZER_FILES):
        return directory
    if from_hub:
        return fetch(_TOKENIZER, files=("*.json", "spiece.model"))
    raise QualityError(
        f"{directory}: no {' or '.join(_TOKENIZER_FILES)}; put the tokenizer's files of {_TOKENIZER} there"
    )
