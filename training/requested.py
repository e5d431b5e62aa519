"""What a configuration asks for, as the modules that make it take it."""

from __future__ import annotations

from dataclasses import replace

from training.adapters import Lora
from training.assembly import Parts
from training.checkpoint import Loaded
from training.configuration import Configuration
from training.connectors import QFormerShape
from training.texts import TextSettings
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


def with_settings(loaded: Loaded, configuration: Configuration) -> Loaded:
    """The model as this configuration trains it: how texts and pictures are prepared, and whose it is."""
    texts, data = configuration.texts, configuration.data
    pictures = replace(loaded.preprocessing.pictures, fit=data.fit, max_pixels=data.max_pixels)
    return replace(
        loaded,
        texts=TextSettings(
            texts.max_prompt_tokens,
            texts.max_target_tokens,
            loaded.texts.decoder_only,
            texts.chat,
            dict(texts.chat_options),
            texts.separator,
        ),
        preprocessing=replace(loaded.preprocessing, pictures=pictures),
        training=configuration.model_dump(mode="json"),
        digest=configuration.digest,
    )
