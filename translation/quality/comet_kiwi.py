"""How good a translation is, as COMETKiwi estimates it without a reference (Rei et al. 2022).

The model `Unbabel/wmt22-cometkiwi-da` (565 M parameters) is CC-BY-NC-SA-4.0 and gated: commercial use is not
covered. Its package needs numpy 1, protobuf 4 and transformers 4, which this project cannot have, and its
weights are a pickle, which is not opened here. So its small head is built below, and its weights are read
from `safetensors`, converted once by the user, who has accepted the licence, in an environment with torch,
transformers and safetensors:

    hf download Unbabel/wmt22-cometkiwi-da --local-dir kiwi
    python - kiwi microsoft/infoxlm-large kiwi-safetensors <<'END'
    import shutil, sys
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoTokenizer
    model, encoder, output = sys.argv[1:]
    AutoConfig.from_pretrained(encoder).save_pretrained(output)
    AutoTokenizer.from_pretrained(encoder).save_pretrained(output)
    shutil.copy(f"{model}/hparams.yaml", output)
    state = torch.load(f"{model}/checkpoints/model.ckpt", map_location="cpu", weights_only=True)["state_dict"]
    save_file({key: value.clone() for key, value in state.items()}, f"{output}/model.safetensors")
    END
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from translation.filters.pairs import TextPair
from translation.quality.batches import padded, readable, scored, too_long, windows
from translation.quality.checkpoint import (
    QualityError,
    check_complete,
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
    import torch

# What the head below computes; the published file spells the softmax that the model uses `sparsemax_patch`.
_ACCEPTED: dict[str, tuple[Any, ...]] = {
    "class_identifier": ("unified_metric",),
    "encoder_model": ("XLM-RoBERTa",),
    "input_segments": (["mt", "src"],),
    "sent_layer": ("mix",),
    "layer_transformation": ("sparsemax_patch", "softmax"),
    "layer_norm": (False,),
    "activations": ("Tanh", "Sigmoid"),
    "final_activation": (None, "Tanh", "Sigmoid"),
}
_ENCODER, _MIX, _ESTIMATOR = "encoder.model.", "layerwise_attention.", "estimator."
_ADVICE = "see translation/quality/comet_kiwi.py for how to convert Unbabel/wmt22-cometkiwi-da"


class CometKiwi:
    """A converted COMETKiwi directory as a judge.

    A pair of more tokens than the encoder has positions (512, both texts and four special ones) has no score.
    """

    column: ClassVar[str] = "comet_kiwi"
    higher_is_better: ClassVar[bool] = True

    def __init__(self, place: str, device: str = "auto") -> None:
        """Loads `config.json` and tokenizer (the encoder's), `hparams.yaml` and `model.safetensors`.

        Raises:
            QualityError: a file or the extra is missing, or it is another kind of COMET model.
        """
        self._device = torch_device(device)
        with needed_for("COMETKiwi"):
            import torch
            from transformers import AutoTokenizer
        if not Path(place or "?").is_dir():
            raise QualityError(
                f"comet_kiwi: no directory {place!r}; name a converted one, 'comet_kiwi:DIRECTORY'; {_ADVICE}"
            )
        files = checkpoint(place)
        settings = _settings(files.directory)
        state = _state(files.directory)
        self._encoder = _encoder(files.directory, _part(state, _ENCODER))
        self._layers, self._estimator = _head(files.directory, settings, state, self._encoder.config)
        with loading(f"{place}: transformers cannot load its tokenizer"):
            self._tokenizer = AutoTokenizer.from_pretrained(
                files.directory, trust_remote_code=False, local_files_only=True
            )
        # float16 suits this encoder; the head stays in float32.
        dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        self._encoder.to(self._device, dtype).eval()
        self._layers = self._layers.to(self._device)
        self._estimator.to(self._device).eval()
        # XLM-R counts its positions from 2.
        self._limit = int(self._encoder.config.max_position_embeddings) - 2
        self.digest = digest(files.directory)
        self.name = judge_name("comet_kiwi", files, self.digest, dtype)

    def score(self, pairs: Sequence[TextPair]) -> list[float | None]:
        """Per pair the estimated quality, about 0..1; None where a side is empty or both are too long."""
        return [score for window in windows(pairs) for score in self._score(window)]

    def _score(self, pairs: Sequence[TextPair]) -> list[float | None]:
        texts = [(readable(pair.source), readable(pair.target)) for pair in pairs]
        known = sorted({text for both in texts for text in both if text and not too_long(text, self._limit)})
        if not known:
            return [None] * len(pairs)
        encoded = self._tokenizer(
            known, add_special_tokens=False, split_special_tokens=True, truncation=False, verbose=False
        )["input_ids"]
        ids = {text: tokens for text, tokens in zip(known, encoded, strict=True) if tokens}
        start, end = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        inputs = {}
        for source, target in texts:
            if source in ids and target in ids:
                joint = [start, *ids[target], end, end, *ids[source], end]
                if len(joint) <= self._limit:
                    inputs[source, target] = joint
        return scored(texts, inputs, self._device, self._run)

    def _run(self, sequences: list[list[int]]) -> list[float]:
        import torch

        with torch.inference_mode():
            ids, mask = padded(sequences, self._tokenizer.pad_token_id, self._device)
            outputs = self._encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True)
            first = torch.stack([layer[:, 0].float() for layer in outputs.hidden_states])
            mixed = torch.einsum("l,lbd->bd", self._layers, first)
            values: list[float] = self._estimator(mixed).squeeze(-1).cpu().tolist()
        return values


def _settings(directory: Path) -> dict[str, Any]:
    path = require(directory, "hparams.yaml", f"it comes with the checkpoint; {_ADVICE}")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise QualityError(f"{path}: not YAML: {error}") from error
    if not isinstance(settings, dict):
        raise QualityError(f"{path}: not a mapping; {_ADVICE}")
    for key, accepted in _ACCEPTED.items():
        if settings.get(key) not in accepted:
            wanted = " or ".join(map(repr, accepted))
            raise QualityError(f"{path}: {key} is {settings.get(key)!r}; COMETKiwi-22 has {wanted}")
    sizes = settings.get("hidden_sizes")
    if not isinstance(sizes, list) or not sizes or not all(isinstance(size, int) for size in sizes):
        raise QualityError(f"{path}: hidden_sizes is {sizes!r}; COMETKiwi-22 has [3072, 1024]")
    return settings


def _state(directory: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    path = require(directory, "model.safetensors", _ADVICE)
    weights(directory)
    state: dict[str, torch.Tensor] = load_file(path)
    return state


def _part(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _encoder(directory: Path, state: dict[str, torch.Tensor]) -> Any:
    from transformers import XLMRobertaConfig, XLMRobertaModel

    path = require(directory, "config.json", f"it is the encoder's; {_ADVICE}")
    with loading(f"{path}: not the encoder of these weights"):
        config = XLMRobertaConfig.from_pretrained(directory, local_files_only=True)
        encoder, found = XLMRobertaModel.from_pretrained(
            None, config=config, state_dict=state, add_pooling_layer=False, output_loading_info=True
        )
    check_complete(directory, found, _ENCODER)
    return encoder


def _head(
    directory: Path, settings: dict[str, Any], state: dict[str, torch.Tensor], config: Any
) -> tuple[torch.Tensor, torch.nn.Sequential]:
    """The share of each layer, (layers + 1), and the estimator, its parts numbered as in the checkpoint."""
    import torch
    from torch import nn

    activations = {"Tanh": nn.Tanh, "Sigmoid": nn.Sigmoid}
    parts: list[nn.Module] = []
    width = config.hidden_size
    for size in settings["hidden_sizes"]:
        parts += [nn.Linear(width, size), activations[settings["activations"]](), nn.Dropout(0.0)]
        width = size
    parts.append(nn.Linear(width, 1))
    if settings["final_activation"] is not None:
        parts.append(activations[settings["final_activation"]]())
    estimator = nn.Sequential(*parts)
    mix = _part(state, _MIX)
    with loading(f"{directory / 'model.safetensors'}: not COMETKiwi's weights"):
        estimator.load_state_dict(_part(state, f"{_ESTIMATOR}ff."))
        parameters = [mix[f"scalar_parameters.{layer}"] for layer in range(config.num_hidden_layers + 1)]
        layers = mix["gamma"].float() * torch.softmax(torch.cat(parameters).float(), 0)
    return layers, estimator.float()
