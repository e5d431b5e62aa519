"""What a configuration asks for, as the modules that make it take it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from training.adapters import Lora
from training.assembly import PartError, Parts, assemble
from training.checkpoint import Loaded
from training.configuration import Configuration, DataSection
from training.connectors import QFormerShape
from training.texts import TextEncoder, TextSettings, TokenizerError
from training.vision import VisionFeatures
from translation.settings_file import Key

_KEYS: dict[str, Key] = {
    "targets": ("lora", "targets"),
    "layer": ("vision_layer",),
    "grid": ("pool",),
    "features": ("vision",),
    **{name: (name,) for name in ("start", "vision", "llm", "projection", "quantization")},
}
"""What an error about a part begins with -> the key under `model` that it is about."""


def parts_of(configuration: Configuration) -> Parts:
    """The parts of the model."""
    model = configuration.model
    place = configuration.place
    shape = None
    if model.qformer is not None:
        new = model.qformer
        shape = QFormerShape(new.queries, new.layers, new.hidden_size, new.heads)
    lora = model.lora
    return Parts(
        start=place(model.start) if model.start else None,
        vision=place(model.vision) if model.vision else None,
        llm=place(model.llm) if model.llm else None,
        connector=model.connector,
        qformer=shape,
        projection=model.projection,
        features=VisionFeatures(model.vision_layer, model.drop_class_token, model.pool),
        quantization=model.quantization,
        lora=Lora(lora.r, lora.alpha, lora.dropout, lora.targets) if lora is not None else None,
        revisions=model.revisions,
        random=model.random,
    )


def assembled(
    configuration: Configuration, *, dtype: torch.dtype, device: str | torch.device = "cpu"
) -> Loaded:
    """The model, assembled.

    Raises:
        SettingsError: parts do not go together.
        CheckpointError: a source is missing, damaged or of another kind.
    """
    try:
        return assemble(parts_of(configuration), dtype=dtype, device=device, seed=configuration.seed)
    except PartError as error:
        about, _, remedy = str(error).partition(": ")
        key = _KEYS.get(about)
        if key is None:
            raise configuration.error(("model",), str(error)) from error
        raise configuration.error(("model", *key), remedy) from error


def with_settings(loaded: Loaded, configuration: Configuration, data: DataSection, digest: str) -> Loaded:
    """The model as this configuration trains it: how texts and pictures are prepared, and whose it is.

    What a checkpoint was trained with goes on where the configuration says nothing else.

    Args:
        data: of the stage.
        digest: of the run.
    """
    started = configuration.model.start is not None
    pictures = loaded.preprocessing.pictures
    if not started or "fit" in data.model_fields_set:
        pictures = replace(pictures, fit=data.fit)
    pictures = replace(pictures, max_pixels=data.max_pixels)
    return replace(
        loaded,
        texts=_texts(loaded, configuration),
        preprocessing=replace(loaded.preprocessing, pictures=pictures),
        training=configuration.model_dump(mode="json"),
        digest=digest,
    )


def _texts(loaded: Loaded, configuration: Configuration) -> TextSettings:
    texts = configuration.texts
    said: dict[str, Any] = {
        name: dict(value) if name == "chat_options" else value
        for name, value in texts
        if configuration.model.start is None or name in texts.model_fields_set
    }
    return replace(loaded.texts, **said)


def text_encoder(loaded: Loaded, configuration: Configuration) -> TextEncoder:
    """Prompts and targets as the configuration has them; for tokenizers that mark languages, without marks.

    Raises:
        SettingsError: the tokenizer cannot be used, or not so.
    """
    assert loaded.tokenizer is not None
    try:
        return TextEncoder(loaded.tokenizer, _texts(loaded, configuration))
    except TokenizerError as error:
        source = "llm" if configuration.model.start is None else "start"
        key: Key = ("model", source) if error.setting is None else ("texts", error.setting)
        raise configuration.error(key, error.remedy) from error
