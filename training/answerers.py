"""The model that answers, of whatever kind its checkpoint is."""

from __future__ import annotations

from pathlib import Path

from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from training.adapters import Quantization
from training.answering import Answering
from training.assembly import WHOLE
from training.checkpoint_folder import folder_of
from training.configuration import Precision
from training.generic_answering import GenericAnswering
from training.weight_files import CheckpointError, read_json


def load_answerer(
    checkpoint: str | Path,
    device: str = "auto",
    precision: Precision = "auto",
    *,
    quantization: Quantization | None = None,
    rows_at_once: int = 0,
) -> Answering | GenericAnswering:
    """Reads a checkpoint of this trainer, BLIP-2's or mBLIP's, or any image-text-to-text model's.

    Args:
        checkpoint: a run's directory, a checkpoint's, or a name on the hub.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        precision: as in a training configuration.
        quantization: of the language model's weights; only of models with this trainer's parts.
        rows_at_once: hypotheses of a batch; 0 leaves it to the device.

    Raises:
        CheckpointError: it is missing, damaged, or of a kind that nothing here can ask.
        DeviceError, RunError, TokenizerError: see `Answering.load`.
    """
    folder = folder_of(checkpoint)
    kind = read_json(folder / "config.json").get("model_type")
    if kind in WHOLE:
        return Answering.load(folder, device, precision, quantization=quantization, rows_at_once=rows_at_once)
    if quantization is not None:
        raise CheckpointError(
            f"{folder / 'config.json'}: a model of the kind {kind!r}; only BLIP-2's and this trainer's can "
            f"be read with quantization ({quantization}), so leave it out"
        )
    if kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return GenericAnswering.load(folder, device, precision, rows_at_once=rows_at_once)
    raise CheckpointError(
        f"{folder / 'config.json'}: a model of the kind {kind!r}, which takes no pictures with text, or "
        "which this version of transformers does not know"
    )
