"""A checkpoint's directory: written so that plain transformers and peft load it, and read again.

`config.json`, weights in safetensors that training does not change (one copy for all checkpoints of a run)
and that it changes, the LoRA adapter beside them, tokenizer, processor, and `realign.json` on the training.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoTokenizer, Blip2Config, GenerationConfig

from training.adapters import (
    FOLDER as ADAPTER,
)
from training.adapters import (
    AdapterError,
    Quantization,
    base_name,
    base_of,
    is_quantised,
    keep_differentiable,
    load_adapter,
    quantisation,
    save_adapter,
    with_adapter,
)
from training.architecture import VisionLanguageConfig, VisionLanguageModel
from training.language_models import language_model_of
from training.parameters import part_of
from training.pictures import PictureSettings
from training.placeholders import PlaceholderError, resize, with_placeholder
from training.preprocessing import Preprocessing, PreprocessingError, read_preprocessing, write_preprocessing
from training.texts import TextSettings
from training.vision import BLIP2_VISION
from training.weight_files import (
    INDEX,
    CheckpointError,
    WeightFiles,
    pretrained,
    quietly,
    read_json,
    with_weights,
)
from translation.disk import sync_tree, whole_or_absent

DESCRIPTION = "realign.json"
FORMAT = 1
TRAINED = "model-trained.safetensors"
FROZEN_INDEX = "frozen.json"
"""Written last: what the run's frozen weights are, and that they are all there."""
SHARD_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Unquantised:
    """Where the language model's weights are as they were before they were packed into 8 or 4 bits."""

    folder: Path
    whole: bool
    """A checkpoint with all parts, not the language model alone."""
    dtype: torch.dtype

    def tensors(self, rows: int) -> dict[str, Tensor]:
        """All of them by the names that the whole model gives them.

        Args:
            rows: of the embeddings, which may have become more for the placeholder.
        """
        if self.whole:
            model = whole_model(self.folder, self.dtype).language_model
        else:
            model = language_model_of(self.folder, self.dtype)
        if model.get_input_embeddings().num_embeddings != rows:
            resize(model, rows)
        return {f"language_model.{name}": value.detach() for name, value in model.named_parameters()}


@dataclass(frozen=True)
class Loaded:
    """A model, and all that is needed to ask it as it was trained."""

    model: nn.Module
    """A `VisionLanguageModel`, or a `PeftModel` around one."""
    tokenizer: Any
    preprocessing: Preprocessing
    texts: TextSettings
    image_token_id: int
    training: Mapping[str, Any] = field(default_factory=dict)
    """The configuration that it was trained with; empty for checkpoints of others."""
    digest: str = ""
    """Of that configuration."""
    unquantised: Unquantised | None = None

    @property
    def base(self) -> VisionLanguageModel:
        """The model without its adapter's wrapper."""
        return base_of(self.model)

    @property
    def has_adapter(self) -> bool:
        return self.model is not self.base


def save_weights(
    loaded: Loaded,
    folder: Path,
    frozen_folder: Path,
    parts: Collection[str] | None = None,
    trained: Mapping[str, Tensor] | None = None,
) -> None:
    """Writes a checkpoint into an empty or new folder; the caller makes it atomic by renaming the folder.

    What requires no gradient is written to `frozen_folder` at the first time, and linked from then on (copied
    where the file system has no links); it may be `folder` itself. Every file is on disk when this returns.

    Args:
        loaded: the model and what belongs to it; `parameters.trainable` has said what is trained.
        parts: those that any stage of the run trains; None: those that are trained now.
        trained: of a sharded model, what `trained_tensors` names, whole; the frozen weights were written by
            `save_frozen` before it was sharded.

    Raises:
        CheckpointError: `frozen_folder` holds the weights of another model, or not those of a sharded one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = loaded.model
    changed, frozen = _by_training(model, parts)
    if trained is not None:
        changed = {name: trained[own] for own in trained if (name := base_name(own)) is not None}
    files = dict.fromkeys(changed, TRAINED)
    sizes = {name: _bytes(tensor) for name, tensor in changed.items()}
    if changed:
        _write(folder / TRAINED, changed)
    index = _frozen_index(frozen_folder, _shapes(frozen))
    if index is None and trained is not None:
        raise CheckpointError(
            f"{frozen_folder}: the frozen weights are not all there any more; stop the run, and the same "
            "command writes them again and goes on"
        )
    if index is None:
        index = save_frozen(loaded, frozen_folder, parts)
    for name in sorted(set(index["weight_map"].values())):
        _link(frozen_folder / name, folder / name)
    files |= index["weight_map"]
    total = sum(sizes.values()) + index["total_size"]
    _write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": files})
    if loaded.has_adapter:
        save_adapter(model, folder / ADAPTER, dict(trained) if trained is not None else None)  # type: ignore[arg-type]
    save_description(loaded, folder)
    sync_tree(folder)


def save_frozen(loaded: Loaded, folder: Path, parts: Collection[str] | None = None) -> dict[str, Any]:
    """Writes the weights that training does not change, unless they are there; says which is in which file.

    Args:
        parts: see `save_weights`.

    Raises:
        CheckpointError: see `save_weights`.
    """
    _, frozen = _by_training(loaded.model, parts)
    shapes = _shapes(frozen)
    return _frozen_index(folder, shapes) or _write_frozen(folder, _unpacked(frozen, loaded), shapes)


def save_description(loaded: Loaded, folder: Path) -> None:
    """Writes everything of a checkpoint but weights."""
    base = loaded.base
    config = base.config.blip2_config() if base.config.is_blip2 else base.config
    config.image_token_index = loaded.image_token_id
    if not base.config.is_blip2:
        config.architectures = [VisionLanguageModel.__name__]
    values = config.to_dict()
    # Of a model that was loaded in 8 or 4 bits; what is written is not packed.
    for part in (values, values["text_config"]):
        part.pop("quantization_config", None)
    _write_json(folder / "config.json", values)
    base.language_model.generation_config.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    queries = base.config.num_query_tokens if base.config.is_blip2 else None
    write_preprocessing(folder, loaded.preprocessing, queries)
    _write_json(
        folder / DESCRIPTION,
        {
            "format": FORMAT,
            "texts": asdict(loaded.texts),
            "pictures": asdict(loaded.preprocessing.pictures),
            "image_token_id": loaded.image_token_id,
            "visual_tokens": base.visual_tokens,
            "training": loaded.training,
            "digest": loaded.digest,
        },
    )


def trained_tensors(model: nn.Module, parts: Collection[str]) -> Iterator[tuple[str, Tensor]]:
    """Names and values of what parts have, an adapter's too, in the same order on every process."""
    return ((name, tensor) for name, tensor in _tensors(model) if part_of(name) in parts)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: [list(tensor.shape), str(tensor.dtype)] for name, tensor in tensors.items()}


def _by_training(
    model: nn.Module, parts: Collection[str] | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The base's tensors that training changes, and the others; of tied ones the first name alone."""
    trained: dict[str, Tensor] = {}
    frozen: dict[str, Tensor] = {}
    if parts is None:
        parts = {part_of(name) for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name, tensor in _tensors(model):
        bare = base_name(name)
        if bare is not None:
            (trained if part_of(name) in parts else frozen)[bare] = tensor.detach()
    return trained, frozen


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    for prefix, module in model.named_modules():
        for own, buffer in module.named_buffers(recurse=False):
            if buffer is not None and own not in module._non_persistent_buffers_set:
                yield f"{prefix}.{own}", buffer


def _unpacked(frozen: Mapping[str, Tensor], loaded: Loaded) -> dict[str, Tensor]:
    """The frozen tensors with packed ones as they were before."""
    packed = [name for name, tensor in frozen.items() if is_quantised(tensor) and _is_weight(name)]
    if not packed:
        return dict(frozen)
    if loaded.unquantised is None:
        raise CheckpointError(
            f"{packed[0]}: its weights are quantised, and nothing says what they were before"
        )
    rows = loaded.base.get_input_embeddings().num_embeddings
    source = loaded.unquantised.tensors(int(rows))  # type: ignore[arg-type]
    lacking = [name for name in packed if name not in source]
    if lacking:
        raise CheckpointError(
            f"{loaded.unquantised.folder}: has no tensor {lacking[0]}; did it change meanwhile?"
        )
    return {name: source[name] if name in packed else tensor for name, tensor in frozen.items()}


def _is_weight(name: str) -> bool:
    return name.startswith("language_model.") and name.endswith(".weight")


def _frozen_index(folder: Path, shapes: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was written before; None where nothing complete is there."""
    if not (folder / FROZEN_INDEX).is_file():
        return None
    index = read_json(folder / FROZEN_INDEX)
    if index.get("tensors") != shapes:
        known, wanted = index.get("tensors", {}), dict(shapes)
        other = next((name for name in sorted({*known, *wanted}) if known.get(name) != wanted.get(name)), "?")
        raise CheckpointError(
            f"{folder}: holds the frozen weights of another model ({other} differs); give this run a "
            "directory of its own"
        )
    for name, size in index["files"].items():
        if not (folder / name).is_file() or (folder / name).stat().st_size != size:
            return None
    return index


def _write_frozen(folder: Path, tensors: Mapping[str, Tensor], shapes: Mapping[str, Any]) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FROZEN_INDEX).unlink(missing_ok=True)
    shards = list(_shards(tensors))
    weight_map: dict[str, str] = {}
    files: dict[str, int] = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-frozen-{number:05d}-of-{len(shards):05d}.safetensors"
        _write(folder / file, {name: tensors[name] for name in names})
        weight_map |= dict.fromkeys(names, file)
        files[file] = (folder / file).stat().st_size
    total = sum(_bytes(tensor) for tensor in tensors.values())
    index = {"weight_map": weight_map, "files": files, "total_size": total, "tensors": dict(shapes)}
    # Whoever finds the index finds all that it names.
    sync_tree(folder)
    with whole_or_absent(folder / FROZEN_INDEX) as temporary:
        _write_json(temporary, index)
    return index


def _shards(tensors: Mapping[str, Tensor]) -> Iterator[list[str]]:
    names: list[str] = []
    size = 0
    for name, tensor in tensors.items():
        if names and size + _bytes(tensor) > SHARD_BYTES:
            yield names
            names, size = [], 0
        names.append(name)
        size += _bytes(tensor)
    if names:
        yield names


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    # Clones of views, since safetensors refuses shared memory.
    values = {name: _own(tensor) for name, tensor in tensors.items()}
    with whole_or_absent(path) as temporary:
        save_file(values, temporary, metadata={"format": "pt"})


def _own(tensor: Tensor) -> Tensor:
    whole = tensor.cpu().contiguous()
    shared = whole.untyped_storage().nbytes() != _bytes(whole)
    return whole.clone() if shared else whole


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    if source == target:
        return
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def load_trained(model: nn.Module, folder: Path) -> None:
    """Puts what a run trained back into its model, bit by bit and in the dtype that it was trained in.

    It does not matter what is set to be trained at the moment.

    Raises:
        CheckpointError: a file is missing or damaged, or of another model.
    """
    load_trained_base(model, folder)
    base = base_of(model)
    if model is not base:
        try:
            load_adapter(model, folder / ADAPTER)  # type: ignore[arg-type]
        except AdapterError as error:
            raise CheckpointError(str(error)) from error


def load_trained_base(model: nn.Module, folder: Path) -> None:
    """As `load_trained`, without the adapter: `load` rounds these weights to the dtype that it is given.

    Raises:
        CheckpointError: see `load_trained`.
    """
    files = WeightFiles(folder)
    stored = files.read(lambda name: files.files[name] == TRAINED)
    own = {base_name(name): tensor for name, tensor in _tensors(model)}
    for name, tensor in stored.items():
        place = own.get(name)
        if place is None or place.shape != tensor.shape:
            found = "nothing" if place is None else f"{tuple(place.shape)}"
            raise CheckpointError(
                f"{folder / TRAINED}: of another model: {name} is {tuple(tensor.shape)}, and {found} in "
                "this one"
            )
        # Assigned, not copied: parts that are trained are float32, and may not be so yet.
        place.data = tensor.to(place.device)


def load_unrounded(model: nn.Module, folder: Path, parts: Collection[str]) -> None:
    """Puts weights that are in float32 now, of these parts, back to what the checkpoint holds.

    A model is loaded in 16 bits. What an earlier run trained would be rounded to them, and with it the small
    changes that it made.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    own = {base_name(name): tensor for name, tensor in model.named_parameters()}
    stored = WeightFiles(folder).read(lambda name: name in own and part_of(name) in parts)
    for name, tensor in stored.items():
        place = own[name]
        # Another shape: of a vocabulary that has grown.
        if place.dtype == tensor.dtype == torch.float32 and place.shape == tensor.shape:
            place.data.copy_(tensor)


def load(
    checkpoint: str | Path,
    *,
    dtype: torch.dtype | None = None,
    quantization: Quantization | None = None,
    revision: str | None = None,
    device: str | torch.device = "cpu",
) -> Loaded:
    """A checkpoint of this trainer, or one in the layout of BLIP-2 or mBLIP, ready to be asked (`eval()`).

    Args:
        checkpoint: a directory, or a name on the hub.
        dtype: of everything but the connector, which is in float32; None: as the checkpoint says.
        quantization: of the language model.
        revision: of a hub repository.
        device: to load to.

    Raises:
        CheckpointError: it is missing, damaged or incomplete, or of another kind.
    """
    folder = with_weights(checkpoint, revision).folder
    WeightFiles(folder).check()
    config = whole_config(folder)
    dtype = dtype or _dtype(config)
    model = whole_model(folder, dtype, quantisation(quantization, dtype), device)
    tokenizer = tokenizer_of(folder)
    try:
        image_token_id = with_placeholder(model, tokenizer)
        preprocessing = read_preprocessing(folder, fixed_size(config.vision_config))
        adapted: nn.Module = model
        if (folder / ADAPTER).is_dir():
            adapted = with_adapter(model, folder / ADAPTER)
    except PlaceholderError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    except (PreprocessingError, AdapterError) as error:
        raise CheckpointError(str(error)) from error
    adapted.requires_grad_(False)
    adapted.eval()
    unquantised = Unquantised(folder, True, dtype) if quantization else None
    texts = TextSettings(decoder_only=model.decoder_only, chat=False)
    found = Loaded(adapted, tokenizer, preprocessing, texts, image_token_id, unquantised=unquantised)
    described = folder / DESCRIPTION
    return _described(found, described) if described.is_file() else found


def _described(found: Loaded, path: Path) -> Loaded:
    """With what the trainer wrote about it."""
    values = read_json(path)
    if values.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: format {values.get('format')!r}, and this version reads {FORMAT}; it was written by "
            "another version of this package"
        )
    try:
        texts = TextSettings(**values["texts"])
        stored = values["pictures"] | {"margin": tuple(values["pictures"]["margin"])}
        pictures = PictureSettings(**stored)
        training, digest = values["training"], values["digest"]
        image_token_id = values["image_token_id"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged: {type(error).__name__}: {error}") from error
    if image_token_id != found.image_token_id:
        raise CheckpointError(
            f"{path}: the placeholder is token {image_token_id}, but {found.image_token_id} for the "
            "tokenizer beside it; they are of different checkpoints"
        )
    preprocessing = replace(found.preprocessing, pictures=pictures)
    return replace(found, texts=texts, preprocessing=preprocessing, training=training, digest=digest)


def whole_config(folder: Path) -> VisionLanguageConfig:
    """The configuration of a checkpoint with all parts; raises `CheckpointError` where it has not all."""
    path = folder / "config.json"
    values = read_json(path)
    kind = values.get("model_type")
    try:
        if kind == VisionLanguageConfig.model_type:
            return VisionLanguageConfig.from_dict(values)  # type: ignore[no-any-return]
        if kind == Blip2Config.model_type:
            return VisionLanguageConfig.from_blip2(Blip2Config.from_dict(values))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: {type(error).__name__}: {error}") from error
    raise CheckpointError(
        f"{path}: a model of the kind {kind!r}; only {VisionLanguageConfig.model_type!r} and "
        f"{Blip2Config.model_type!r} have all parts. A language model alone goes under `llm`, an encoder "
        "under `vision`"
    )


def _dtype(config: Any) -> torch.dtype:
    found = config.dtype or torch.float32
    return found if isinstance(found, torch.dtype) else getattr(torch, str(found))


def fixed_size(vision_config: Any) -> tuple[int, int] | None:
    """The one size of pictures that BLIP-2's encoder takes; None for others, whose files say it."""
    if vision_config.model_type != BLIP2_VISION:
        return None
    size = vision_config.image_size
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def whole_model(
    folder: Path, dtype: torch.dtype, packing: Any | None = None, device: str | torch.device = "cpu"
) -> VisionLanguageModel:
    """All parts from one directory; raises `CheckpointError` for weights missing or of another shape."""
    config = whole_config(folder)
    options: dict[str, Any] = {} if packing is None else {"quantization_config": packing}
    model = pretrained(VisionLanguageModel, folder, config, dtype, device_map={"": device}, **options)
    keep_differentiable(model)
    generation = folder / "generation_config.json"
    if generation.is_file():
        with quietly():
            model.language_model.generation_config = GenerationConfig.from_pretrained(folder)
    return model  # type: ignore[no-any-return]


def tokenizer_of(folder: Path) -> Any:
    """A directory's tokenizer; raises `CheckpointError` where there is none that can be read."""
    try:
        with quietly():
            return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{folder}: the tokenizer cannot be read: {line}") from error
