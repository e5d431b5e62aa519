"""What a configuration asks for, as the modules that make it take it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from training.adapters import Lora
from training.assembly import Parts
from training.checkpoint import Loaded
from training.configuration import Configuration, DataSection
from training.connectors import QFormerShape
from training.vision import VisionFeatures


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


def with_settings(loaded: Loaded, configuration: Configuration, data: DataSection, digest: str) -> Loaded:
    """The model as this configuration trains it: how texts and pictures are prepared, and whose it is.

    What a checkpoint was trained with goes on where the configuration says nothing else.

    Args:
        data: of the stage.
        digest: of the run.
    """
    started = configuration.model.start is not None
    texts, pictures = configuration.texts, loaded.preprocessing.pictures
    said: dict[str, Any] = {
        name: dict(value) if name == "chat_options" else value
        for name, value in texts
        if not started or name in texts.model_fields_set
    }
    if not started or "fit" in data.model_fields_set:
        pictures = replace(pictures, fit=data.fit)
    pictures = replace(pictures, max_pixels=data.max_pixels)
    return replace(
        loaded,
        texts=replace(loaded.texts, **said),
        preprocessing=replace(loaded.preprocessing, pictures=pictures),
        training=configuration.model_dump(mode="json"),
        digest=digest,
    )
