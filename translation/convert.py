"""`translate-mix model add`: a Hugging Face NLLB (M2M100) checkpoint -> a checked CTranslate2 directory.

Needs the extra `convert` (torch, transformers); translating later does not.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

from translation.disk import whole_or_absent
from translation.languages import languages
from translation.model import SENTENCEPIECE, ModelDescription, ModelError, NoSuchModel, write_description
from translation.model_weights import order_vocabulary

QUANTIZATIONS = (
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
    "int16",
    "float16",
    "bfloat16",
    "float32",
)

OWN_DESCRIPTION = "translate_mix.json"
"""Beside the checkpoint of a model trained here: `name`, `licence`, `languages`."""

KNOWN_LICENCES = {"facebook/nllb-200": "CC-BY-NC-4.0"}
"""By prefix of the hub name, where a checkpoint's own files do not say."""


def add_model(model: str, output: Path, quantization: str = "int8") -> ModelDescription:
    """Converts `model` into the directory `output`, which appears only when it is whole.

    Args:
        model: a local Hugging Face directory, or a hub name such as `facebook/nllb-200-distilled-600M`.
        output: must not exist yet.
        quantization: one of `QUANTIZATIONS`.

    Raises:
        ModelError: no such model, not an NLLB-format one, the extra `convert` is missing, or the output
            cannot be written.
    """
    if output.exists():
        raise ModelError(f"{output}: exists already; name another --output, or remove it")
    try:
        import ctranslate2
        import transformers
    except ImportError as error:
        raise ModelError(f"converting needs {error.name}: pip install 'translate-mix[convert]'") from error
    source = _checkpoint(model)
    config = _config(source)
    transformers.logging.set_verbosity_error()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with whole_or_absent(output, attempt=uuid4().hex) as directory:
            try:
                converter = ctranslate2.converters.TransformersConverter(str(source))
                converter.convert(str(directory), quantization=quantization)
            except (OSError, ValueError, RuntimeError) as error:
                raise ModelError(f"{model}: CTranslate2 cannot convert it: {error}") from error
            description = _completed(directory, model, source, config, quantization)
    except OSError as error:
        raise ModelError(
            f"{output}: cannot be written: {error.strerror or error}; name another --output, or make room"
        ) from error
    return description


def _completed(
    directory: Path, model: str, source: Path, config: dict[str, Any], quantization: str
) -> ModelDescription:
    """Puts the tokenizer and a description beside converted weights, and these into our order."""
    shutil.copyfile(source / SENTENCEPIECE, directory / SENTENCEPIECE)
    # So that shortlists can be added later without another digest.
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        ordered = Path(scratch)
        codes = set(order_vocabulary(directory, ordered)) & languages().keys()
        for file in ordered.iterdir():
            file.replace(directory / file.name)
    if not codes:
        raise ModelError(f"{model}: its vocabulary holds no NLLB language code; not an NLLB-format model")
    known = config.get("languages") or codes
    for code in known:
        if code not in codes:
            raise ModelError(
                f"{source / OWN_DESCRIPTION}: languages has {code!r}, which is no NLLB code "
                "(`translate-mix languages` lists all) or not in the model's vocabulary"
            )
    return write_description(
        directory,
        config.get("name") or model,
        _licence(model, config),
        quantization,
        config["max_position_embeddings"],
        set(known),
    )


def _checkpoint(model: str) -> Path:
    """The local directory of a checkpoint, downloaded where `model` is a hub name."""
    if Path(model).is_dir():
        return Path(model)
    if model.count("/") != 1 or model.startswith((".", "/")):
        raise NoSuchModel(f"{model}: no such directory, and not a hub name (owner/name)")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(
            snapshot_download(model, allow_patterns=["*.json", "*.safetensors", "*.bin", SENTENCEPIECE])
        )
    except RepositoryNotFoundError as error:
        raise NoSuchModel(f"{model}: no such model on the hub, and no such directory here") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{model}: the hub cannot be reached, and its cache has no copy: {reason}"
        ) from error


def _config(source: Path) -> dict[str, Any]:
    """The checkpoint's `config.json`, joined with what `translate_mix.json` says of our own models."""
    path = source / "config.json"
    config = _mapping(path, "a Hugging Face checkpoint")
    if config.get("model_type") != "m2m_100":
        raise ModelError(
            f"{source}: model_type is {config.get('model_type')!r}; NLLB's is 'm2m_100' "
            "(facebook/nllb-200-distilled-600M, -1.3B, -3.3B)"
        )
    if not (source / SENTENCEPIECE).is_file():
        raise ModelError(f"{source / SENTENCEPIECE}: missing; copy it from the original checkpoint")
    if not isinstance(config.get("max_position_embeddings"), int):
        raise ModelError(f"{path}: max_position_embeddings is missing; copy it from the original checkpoint")
    own = source / OWN_DESCRIPTION
    described = _mapping(own, "a description of a model") if own.is_file() else {}
    if not isinstance(described.get("languages", []), list):
        raise ModelError(f"{own}: languages is {described['languages']!r}; must be a list of NLLB codes")
    return config | described


def _mapping(path: Path, what: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not {what}: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: not {what}: holds a {type(content).__name__}, not keys and values")
    return content


def _licence(model: str, config: dict[str, Any]) -> str:
    if config.get("licence"):
        return str(config["licence"])
    names = [model, str(config.get("_name_or_path", ""))]
    for prefix, licence in KNOWN_LICENCES.items():
        if any(name.startswith(prefix) for name in names):
            return licence
    return "unknown: see the model's page"
