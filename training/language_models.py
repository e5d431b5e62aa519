"""A language model from its directory, encoder-decoder or decoder-only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from training.adapters import keep_differentiable
from training.weight_files import CheckpointError, OtherKind, WeightFiles, pretrained, read_json


def language_config_of(folder: Path) -> Any:
    """The configuration of a directory's language model; of one that can see (Gemma 3) its text model's.

    Raises:
        CheckpointError: it is damaged; `OtherKind` if it is of a model that does not generate text.
    """
    path = folder / "config.json"
    kind = read_json(path).get("model_type")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        text = config if config.is_encoder_decoder else config.get_text_config()
    except (OSError, ValueError, KeyError, TypeError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path}: {line}") from error
    if text is not config and text.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return text
    names = (
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
        if config.is_encoder_decoder
        else MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    )
    if kind not in names:
        raise OtherKind(f"{path}: a model of the kind {kind!r}, which transformers cannot generate text with")
    return config


_OF_TEXT = {
    r"^(?:model\.)?language_model\.model\.": "model.",
    r"^model\.language_model\.": "model.",
    r"^language_model\.lm_head\.": "lm_head.",
}
"""Names of weights in models that can see, and what the text model alone calls them."""


def language_model_of(
    folder: Path,
    dtype: torch.dtype,
    packing: Any | None = None,
    device: str | torch.device = "cpu",
) -> Any:
    """The language model of a directory.

    Args:
        packing: how its weights are quantised; see `training.adapters.quantisation`.

    Raises:
        CheckpointError: a weight file is missing or damaged, or of another configuration.
    """
    config = language_config_of(folder)
    WeightFiles(folder).check()
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    options: dict[str, Any] = {} if packing is None else {"quantization_config": packing}
    if read_json(folder / "config.json").get("model_type") != config.model_type:
        options["key_mapping"] = _OF_TEXT
    model = pretrained(auto, folder, config, dtype, device_map={"": device}, **options)
    keep_differentiable(model)
    return model
