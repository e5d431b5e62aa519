"""A model from its parts: a whole checkpoint, or an encoder, a connector and a language model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from transformers import AutoModel, Blip2QFormerConfig, Blip2QFormerModel
from transformers.initialization import no_init_weights

from training.adapters import AdapterError, Lora, Quantization, lora_of, quantisation, with_lora
from training.architecture import VisionLanguageConfig, VisionLanguageModel
from training.checkpoint import Loaded, Unquantised, fixed_size, load, tokenizer_of, whole_config
from training.connectors import MlpShape, Projector, QFormerShape
from training.language_models import language_config_of, language_model_of
from training.pictures import PictureSettings
from training.placeholders import PlaceholderError, with_placeholder
from training.preprocessing import PreprocessingError, read_preprocessing
from training.texts import TextSettings
from training.vision import (
    VisionError,
    VisionFeatures,
    feature_shape,
    vision_config_of,
    vision_model_of,
)
from training.weight_files import (
    CheckpointError,
    OtherKind,
    located,
    pretrained,
    read_json,
    with_weights,
)

WHOLE = ("blip-2", VisionLanguageConfig.model_type)
"""Kinds of checkpoints that have all parts."""


class PartError(ValueError):
    """Parts that do not go together, or are not there; the message says which, and what to change."""


@dataclass(frozen=True)
class Parts:
    """What a model is made of; each source is a directory, or a name on the hub."""

    start: str | None = None
    """A checkpoint of this trainer, of BLIP-2 or mBLIP, to go on from; then no other source is named."""
    vision: str | None = None
    """Encoder, or a BLIP-2 checkpoint to take encoder and Q-Former of."""
    llm: str | None = None
    connector: Literal["qformer", "mlp"] = "qformer"
    qformer: QFormerShape | None = None
    """A new one; None: copied from `vision`, which must be a checkpoint that has one."""
    mlp: MlpShape = field(default_factory=MlpShape)
    projection: Literal["new", "copied"] = "new"
    """`copied` suits only the language model that `vision` was trained with."""
    features: VisionFeatures = field(default_factory=VisionFeatures)
    quantization: Quantization | None = None
    """Of the language model; `nf4` takes an eighth of float32, and a GPU to be fast."""
    lora: Lora | None = field(default_factory=Lora)
    """None: no adapter."""
    revisions: Mapping[str, str] = field(default_factory=dict)
    """Hub name -> branch, tag or commit."""
    random: bool = False
    """Random weights in the shapes that the sources' config.json say: to count and to measure, not to use."""

    def __post_init__(self) -> None:
        if self.start is not None and (self.vision or self.llm):
            raise PartError("start: a whole checkpoint, so leave out vision and llm, or leave out start")
        if self.start is None and not (self.vision and self.llm):
            lacking = "vision" if self.llm else "llm" if self.vision else "start, or vision and llm"
            raise PartError(
                f"{lacking}: missing; a model starts from one checkpoint, or from these two parts"
            )
        if self.random and self.quantization is not None:
            raise PartError("random: weights are made in full precision, so leave out quantization")
        if self.random and self.start is not None:
            raise PartError("random: takes vision and llm, not start, whose weights are the point of it")


def assemble(
    parts: Parts, *, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu", seed: int = 17
) -> Loaded:
    """The model with its adapter, its tokenizer, and how its pictures are prepared.

    Nothing is frozen yet but what the adapter is laid over; `training.parameters.trainable` says what is
    trained.

    Args:
        dtype: of encoder and language model; the connector is in float32.
        device: to build on; `meta` with `random` makes no weights at all.
        seed: of everything new, whatever was drawn before.

    Raises:
        PartError: parts do not go together.
        CheckpointError: a source is missing, damaged or of another kind.
    """
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        try:
            loaded = _started(parts, dtype, device) if parts.start else _composed(parts, dtype, device)
            return _every_layer_kept(_adapted(loaded, parts))
        except (AdapterError, PlaceholderError, PreprocessingError, VisionError) as error:
            raise PartError(str(error)) from error


def _every_layer_kept(loaded: Loaded) -> Loaded:
    """No layer is left out at random (`layerdrop`, as NLLB's configuration has it).

    Each process would leave out others, and wait for gradients or weights that no other one has.
    """
    for module in loaded.model.modules():
        if getattr(module, "layerdrop", 0):
            module.layerdrop = 0.0  # type: ignore[assignment]
    return loaded


def _started(parts: Parts, dtype: torch.dtype, device: str | torch.device) -> Loaded:
    assert parts.start is not None
    loaded = load(
        parts.start,
        dtype=dtype,
        quantization=parts.quantization,
        revision=parts.revisions.get(parts.start),
        device=device,
    )
    if loaded.has_adapter and (
        parts.lora is None or lora_of(loaded.model) != (parts.lora.r, parts.lora.alpha, parts.lora.dropout)  # type: ignore[arg-type]
    ):
        r, alpha, dropout = lora_of(loaded.model)  # type: ignore[arg-type]
        raise PartError(
            f"start: {parts.start} has a LoRA adapter (r {r}, alpha {alpha}, dropout {dropout}), and lora "
            "says another, or none; say the same to train it on, or merge it first: realign merge"
        )
    return loaded


def _adapted(loaded: Loaded, parts: Parts) -> Loaded:
    if parts.lora is None or loaded.has_adapter:
        return loaded
    return replace(loaded, model=with_lora(loaded.base, parts.lora))


def _composed(parts: Parts, dtype: torch.dtype, device: str | torch.device) -> Loaded:
    assert parts.vision is not None
    assert parts.llm is not None
    vision_folder = _folder_of("vision", parts.vision, parts)
    llm_folder = _folder_of("llm", parts.llm, parts)
    values = read_json(vision_folder / "config.json")
    whole = whole_config(vision_folder) if values.get("model_type") in WHOLE else None
    _check_copies(parts, whole)
    vision = vision_config_of(values) if whole is None else copy.deepcopy(whole.vision_config)
    try:
        text = language_config_of(llm_folder)
    except OtherKind as error:
        raise PartError(f"llm: {error}") from error
    preprocessing = read_preprocessing(vision_folder, fixed_size(vision))
    config = _configuration(parts, whole, vision, text, preprocessing.pictures)
    config.dtype = dtype
    model = _random_model(config, dtype, device) if parts.random else _filled(config, parts, dtype, device)
    unquantised = None
    if parts.quantization is not None:
        unquantised = Unquantised(located(parts.llm, parts.revisions.get(parts.llm)), False, dtype)
    if parts.random and not (llm_folder / "tokenizer_config.json").is_file():
        # To count and to measure, token ids suffice.
        tokenizer = None
        image_token_id = int(model.get_input_embeddings().num_embeddings) - 1  # type: ignore[arg-type]
        model.config.image_token_index = image_token_id
    else:
        tokenizer = tokenizer_of(llm_folder)
        image_token_id = with_placeholder(model, tokenizer)
    texts = TextSettings(decoder_only=model.decoder_only)
    return Loaded(model, tokenizer, preprocessing, texts, image_token_id, unquantised=unquantised)


def _folder_of(part: str, source: str, parts: Parts) -> Path:
    """The directory of a part's model."""
    folder = located(source, parts.revisions.get(source))
    if not (folder / "config.json").is_file():
        raise PartError(f"{part}: {folder} has no config.json, so it holds no model of transformers' layout")
    return folder


def _check_copies(parts: Parts, whole: VisionLanguageConfig | None) -> None:
    """What is to be copied is there."""
    copied_qformer = parts.connector == "qformer" and parts.qformer is None
    if copied_qformer and (whole is None or whole.qformer_config is None):
        raise PartError(
            f"vision: {parts.vision} has no Q-Former to copy; describe a new one under `qformer`, or say "
            "`connector: mlp`"
        )
    if parts.projection == "copied" and not copied_qformer:
        raise PartError("projection: copied, but what it projects is new; only a copied Q-Former has one")


def _configuration(
    parts: Parts, whole: VisionLanguageConfig | None, vision: Any, text: Any, pictures: PictureSettings
) -> VisionLanguageConfig:
    tokens, width = feature_shape(vision, pictures.height, pictures.width, parts.features)
    common = {
        "vision_config": vision,
        "text_config": text,
        "vision_tokens": tokens,
        "vision_width": width,
        "feature_layer": parts.features.layer,
        "drop_class_token": parts.features.drop_class_token,
        "feature_grid": parts.features.grid,
    }
    if parts.connector == "mlp":
        config = VisionLanguageConfig(**common, qformer_config=None, mlp_layers=parts.mlp.layers)
        config.mlp_width = parts.mlp.width or config.text_width
        return config
    if parts.qformer is None:
        assert whole is not None
        qformer: Any = copy.deepcopy(whole.qformer_config)
        queries = whole.num_query_tokens
        if qformer.encoder_hidden_size != width:
            raise PartError(
                f"features: {width} wide, but the Q-Former of {parts.vision} takes "
                f"{qformer.encoder_hidden_size}"
            )
    else:
        shape = parts.qformer
        queries = shape.queries
        qformer = Blip2QFormerConfig(
            hidden_size=shape.width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=4 * shape.width,
            cross_attention_frequency=shape.cross_attention_every,
            encoder_hidden_size=width,
        )
    return VisionLanguageConfig(**common, qformer_config=qformer, num_query_tokens=queries)


def _random_model(
    config: VisionLanguageConfig, dtype: torch.dtype, device: str | torch.device
) -> VisionLanguageModel:
    with torch.device(device):
        model: VisionLanguageModel = VisionLanguageModel._from_config(config, dtype=dtype)
    _connector_in_float32(model)
    return model


def _connector_in_float32(model: VisionLanguageModel) -> None:
    for name, parameter in model.named_parameters():
        if not name.startswith(("vision_model.", "language_model.")):
            parameter.data = parameter.data.float()


def _filled(
    config: VisionLanguageConfig, parts: Parts, dtype: torch.dtype, device: str | torch.device
) -> VisionLanguageModel:
    """A shell without memory, into which the loaded and the new parts are put."""
    assert parts.vision is not None
    assert parts.llm is not None
    # Before gigabytes are downloaded: it may say that a package is missing.
    packing = quantisation(parts.quantization, dtype)
    with torch.device("meta"):
        model: VisionLanguageModel = VisionLanguageModel(config)
    prefixes = _copied_prefixes(parts)

    def wanted(name: str) -> bool:
        return name.startswith(prefixes)

    files = with_weights(parts.vision, parts.revisions.get(parts.vision), wanted)
    if read_json(files.folder / "config.json").get("model_type") in WHOLE:
        tensors = files.read(wanted)
        with no_init_weights():
            encoder = vision_model_of(config.vision_config, dtype)
        model.vision_model = _loaded(encoder, tensors, "vision_model.", files.folder)
    else:
        files.check()
        tensors = {}
        model.vision_model = _encoder(files.folder, config.vision_config, dtype)
    _fill_connector(model, parts, tensors, files.folder)
    folder = with_weights(parts.llm, parts.revisions.get(parts.llm)).folder
    llm = language_model_of(folder, dtype, packing, device)
    model.language_model = llm
    model.config.text_config = llm.config
    model.all_tied_weights_keys = model.get_expanded_tied_weights_keys(all_submodels=True)
    for name in _QUANTISATION_MARKS:
        if hasattr(llm, name):
            setattr(model, name, getattr(llm, name))
    for part in (model.vision_model, *model.connector()):
        part.to(device)
    if model.has_qformer:
        model.query_tokens = nn.Parameter(model.query_tokens.data.to(device))
    model.eval()
    return model


_QUANTISATION_MARKS = (
    "is_loaded_in_8bit",
    "is_loaded_in_4bit",
    "is_quantized",
    "quantization_method",
    "hf_quantizer",
    "hf_device_map",
)
"""By which peft and accelerate know of packed weights; they look at the whole model."""


def _copied_prefixes(parts: Parts) -> tuple[str, ...]:
    prefixes: tuple[str, ...] = ("vision_model.",)
    if parts.connector == "qformer" and parts.qformer is None:
        prefixes = (*prefixes, "qformer.", "query_tokens")
    if parts.projection == "copied":
        prefixes = (*prefixes, "language_projection.")
    return prefixes


def _fill_connector(
    model: VisionLanguageModel, parts: Parts, tensors: Mapping[str, Tensor], folder: Path
) -> None:
    """In float32, copied or new; what is new is drawn on the CPU, so it is the same for every device."""
    config = model.config
    std = config.initializer_range
    if not model.has_qformer:
        width = config.mlp_width if config.mlp_layers > 1 else config.vision_width
        projector = Projector(config.vision_width, width, config.mlp_layers)
        for layer in projector.layers:
            assert isinstance(layer, nn.Linear)
            _draw(layer, std)
        model.projector = projector
    elif parts.qformer is None:
        with no_init_weights():
            qformer = Blip2QFormerModel._from_config(config.qformer_config, dtype=torch.float32)
        model.qformer = _loaded(qformer, tensors, "qformer.", folder)
        queries = tensors.get("query_tokens")
        expected = (1, config.num_query_tokens, config.qformer_config.hidden_size)
        if queries is None or tuple(queries.shape) != expected:
            raise CheckpointError(
                f"{folder}: no query tokens of the shape {expected}, which config.json says"
            )
        model.query_tokens = nn.Parameter(queries.float())
    else:
        model.qformer = Blip2QFormerModel._from_config(config.qformer_config, dtype=torch.float32)
        shape = (1, config.num_query_tokens, config.qformer_config.hidden_size)
        model.query_tokens = nn.Parameter(torch.randn(shape) * std)
    projection = nn.Linear(model.language_projection.in_features, config.text_width)
    if parts.projection == "copied":
        _loaded(projection, tensors, "language_projection.", folder)
    else:
        _draw(projection, std)
    model.language_projection = projection


def _draw(layer: nn.Linear, std: float) -> None:
    """As transformers begins linear layers."""
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)


_Module = TypeVar("_Module", bound=nn.Module)


def _loaded(module: _Module, tensors: Mapping[str, Tensor], prefix: str, folder: Path) -> _Module:
    """A part with its weights of a whole checkpoint."""
    own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    expected = module.state_dict()
    for name, value in expected.items():
        if name not in own:
            raise CheckpointError(f"{folder}: no weights for {prefix}{name}; the checkpoint is incomplete")
        if own[name].shape != value.shape:
            raise CheckpointError(
                f"{folder}: {prefix}{name} is {tuple(own[name].shape)}, where config.json makes it "
                f"{tuple(value.shape)}; the weights are not of this configuration"
            )
    # What is over are buffers that older versions of transformers stored.
    module.load_state_dict({name: own[name] for name in expected})
    return module


def _encoder(folder: Path, config: Any, dtype: torch.dtype) -> Any:
    """A vision encoder that has a checkpoint of its own, or stands in one with a text side."""

    def needed(name: str) -> bool:
        # A pooler is made for whole pictures; what is used here are their patches.
        return not name.startswith(("pooler.", "head."))

    return pretrained(AutoModel, folder, config, dtype, needed=needed)
