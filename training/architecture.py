"""Vision encoder, connector and language model as one: BLIP-2's forward for any of their kinds.

The parts have the names of BLIP-2's (Li et al. 2023, `Blip2ForConditionalGeneration` of transformers), so a
composition of its parts has the same state dict.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    Blip2Config,
    Blip2QFormerConfig,
    Blip2QFormerModel,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers import initialization as transformers_init
from transformers.configuration_utils import SubConfigSpec
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import ModelOutput

from training.batches import IGNORED
from training.connectors import Projector
from training.losses import token_cross_entropy
from training.sequences import Expanded, left_padded, targets_at
from training.vision import BLIP2_VISION, VisionFeatures, features_of, vision_config_of, vision_model_of


class VisionLanguageConfig(PreTrainedConfig):  # type: ignore[misc]  # transformers has no types here
    """What a `VisionLanguageModel` is built from."""

    model_type = "realign"
    attribute_map = {"image_token_id": "image_token_index"}  # noqa: RUF012
    sub_configs_defaults = {  # noqa: RUF012
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama"),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model"),
        "qformer_config": SubConfigSpec(config_class=Blip2QFormerConfig, optional=True),
    }

    vision_config: dict[str, Any] | PreTrainedConfig | None = None
    text_config: dict[str, Any] | PreTrainedConfig | None = None
    qformer_config: dict[str, Any] | PreTrainedConfig | None = None
    """None: an MLP."""
    num_query_tokens: int = 32
    """Of the Q-Former."""
    mlp_layers: int = 2
    mlp_width: int = 0
    vision_tokens: int = 257
    """What the encoder gives for one picture, and its width."""
    vision_width: int = 1408
    feature_layer: int = -1
    drop_class_token: bool = False
    feature_grid: int | None = None
    image_token_index: int | None = None
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs: Any) -> None:
        if isinstance(self.vision_config, Mapping):
            self.vision_config = vision_config_of(self.vision_config)
        super().__post_init__(**kwargs)
        text: Any = self.text_config
        qformer: Any = self.qformer_config
        self.is_encoder_decoder = text.is_encoder_decoder
        if qformer is not None:
            qformer.encoder_hidden_size = self.vision_width

    @property
    def features(self) -> VisionFeatures:
        """Which of the encoder's features are used."""
        return VisionFeatures(self.feature_layer, self.drop_class_token, self.feature_grid)

    @property
    def visual_tokens(self) -> int:
        """What the language model sees of one picture."""
        return self.vision_tokens if self.qformer_config is None else self.num_query_tokens

    @property
    def text_width(self) -> int:
        """Of the language model's input embeddings."""
        text: Any = self.text_config
        text = text.get_text_config()
        return int(getattr(text, "word_embed_proj_dim", None) or text.hidden_size)

    @property
    def is_blip2(self) -> bool:
        """Whether `Blip2ForConditionalGeneration` is the same model."""
        text: Any = self.text_config
        return (
            self.qformer_config is not None
            and self.vision_config.model_type == BLIP2_VISION  # type: ignore[union-attr]
            and self.features == VisionFeatures()
            and self.text_width == text.hidden_size
            # BLIP-2 takes these for decoder-only models, whatever they are.
            and (text.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) != text.is_encoder_decoder
        )

    @classmethod
    def from_blip2(cls, config: Any) -> VisionLanguageConfig:
        """The same model as a `Blip2Config` describes."""
        vision = copy.deepcopy(config.vision_config)
        sides = vision.image_size if isinstance(vision.image_size, list | tuple) else [vision.image_size] * 2
        patches = (
            vision.patch_size if isinstance(vision.patch_size, list | tuple) else [vision.patch_size] * 2
        )
        return cls(
            vision_config=vision,
            text_config=copy.deepcopy(config.text_config),
            qformer_config=copy.deepcopy(config.qformer_config),
            num_query_tokens=config.num_query_tokens,
            vision_tokens=(sides[0] // patches[0]) * (sides[1] // patches[1]) + 1,
            vision_width=vision.hidden_size,
            image_token_index=config.image_token_index,
            initializer_range=config.initializer_range,
            dtype=config.dtype,
        )

    def blip2_config(self) -> Any:
        """The `Blip2Config` of the same model; raises ValueError where there is none."""
        if not self.is_blip2:
            raise ValueError("this is no composition of BLIP-2's parts")
        # Copies: a configuration that takes others in takes their kind of attention from them.
        config = Blip2Config(
            vision_config=copy.deepcopy(self.vision_config),
            text_config=copy.deepcopy(self.text_config),
            qformer_config=copy.deepcopy(self.qformer_config),
            num_query_tokens=self.num_query_tokens,
            image_token_index=self.image_token_index,
            initializer_range=self.initializer_range,
            dtype=self.dtype,
        )
        config.architectures = ["Blip2ForConditionalGeneration"]
        return config


@dataclass
class Output(ModelOutput):  # type: ignore[misc]  # transformers has no types here
    """What a forward pass gives."""

    loss: Tensor | None = None
    """The mean over all targets of the batch, float32."""
    token_losses: Tensor | None = None
    """(N, T), float32: of each target, 0 where there is none."""
    logits: Tensor | None = None
    """(N, T, vocabulary); of a decoder-only model without targets' places, (N, S, vocabulary)."""


class VisionLanguageModel(PreTrainedModel):  # type: ignore[misc]  # transformers has no types here
    """Pictures and text in, text out: features of pictures stand in the places of placeholder tokens."""

    config_class = VisionLanguageConfig
    base_model_prefix = "realign"
    main_input_name = "input_ids"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _keep_in_fp32_modules_strict = ["query_tokens", "qformer", "projector", "language_projection"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_attention_backend = True
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012

    def __init__(self, config: VisionLanguageConfig) -> None:
        super().__init__(config)
        self._silenced: list[tuple[nn.Module, str, float]] = []
        self._idle_picture: tuple[int, int] | None = None
        self.vision_model = vision_model_of(config.vision_config)
        if config.qformer_config is not None:
            width = config.qformer_config.hidden_size  # type: ignore[union-attr]
            self.query_tokens = nn.Parameter(torch.zeros(1, config.num_query_tokens, width))
            self.qformer = Blip2QFormerModel._from_config(config.qformer_config)
        else:
            width = config.mlp_width if config.mlp_layers > 1 else config.vision_width
            self.projector = Projector(config.vision_width, width, config.mlp_layers)
        self.language_projection = nn.Linear(width, config.text_width)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        self.language_model = kind.from_config(config.text_config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self and self.has_qformer:
            # As BERT's embeddings, which they stand for.
            transformers_init.normal_(self.query_tokens, std=self.config.initializer_range)

    @property
    def has_qformer(self) -> bool:
        """Whether the connector is a Q-Former, not an MLP."""
        return self.config.qformer_config is not None

    @property
    def decoder_only(self) -> bool:
        """Whether prompt and target make one sequence."""
        return not self.config.is_encoder_decoder

    @property
    def visual_tokens(self) -> int:
        """How many places each picture takes."""
        return int(self.config.visual_tokens)

    def get_input_embeddings(self) -> nn.Module:
        """The language model's."""
        embeddings: nn.Module = self.language_model.get_input_embeddings()
        return embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Of the language model."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module | None:
        """The language model's."""
        head: nn.Module | None = self.language_model.get_output_embeddings()
        return head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Of the language model."""
        self.language_model.set_output_embeddings(new_embeddings)

    def gradient_checkpointing_enable(self, **options: Any) -> None:
        """For the language model alone: a frozen encoder keeps nothing, and the connector is small."""
        self.language_model.activation_checkpointing_enable(**options)
        # Only reentrant checkpoints, which are not used, need inputs that have gradients.
        self.language_model.disable_input_require_grads()
        self.train(self.training)

    def gradient_checkpointing_disable(self) -> None:
        """For the language model."""
        self.language_model.activation_checkpointing_disable()

    def train(self, mode: bool = True) -> VisionLanguageModel:
        """Training mode, but for parts in which nothing is trained: no dropout there."""
        super().train(mode)
        for layer, name, rate in self._silenced:
            setattr(layer, name, rate)
        self._silenced.clear()
        for part in (self.vision_model, *self.connector(), self.language_model):
            if mode and not _trained(part):
                part.eval()
                self._keep_recomputing(part)
        return self

    def _keep_recomputing(self, part: nn.Module) -> None:
        """Layers are checkpointed only in training mode: so these are, without the dropout of their own."""
        for layer in part.modules():
            if isinstance(layer, GradientCheckpointingLayer) and layer.gradient_checkpointing:
                layer.training = True
                for name, value in list(vars(layer).items()):
                    if "dropout" in name and isinstance(value, float) and value > 0:
                        self._silenced.append((layer, name, value))
                        setattr(layer, name, 0.0)

    def connector(self) -> tuple[nn.Module, ...]:
        """The modules between encoder and language model; query tokens are a parameter beside them."""
        first = self.qformer if self.has_qformer else self.projector
        return (first, self.language_projection)

    def image_features(self, pixel_values: Tensor) -> Tensor:
        """What the language model sees of pictures: (pictures, visual tokens, text width).

        Args:
            pixel_values: (pictures, 3, height, width), float, normalised.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and _trained(self.vision_model)):
            pixels = pixel_values.to(self._vision_dtype)
            seen = features_of(self.vision_model, pixels, self.config.features)
        if self.has_qformer:
            # In float32 whatever the precision around it, as BLIP-2's are trained and run.
            with torch.autocast(seen.device.type, enabled=False):
                queries = self.query_tokens.expand(len(seen), -1, -1)
                seen = self.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
        else:
            seen = self.projector(seen)
        return self.language_projection(seen.to(self.language_projection.weight.dtype))  # type: ignore[no-any-return]

    @property
    def _vision_dtype(self) -> torch.dtype:
        parameters: Iterator[nn.Parameter] = self.vision_model.parameters()
        return next(parameter.dtype for parameter in parameters if parameter.is_floating_point())

    def embeddings_of(
        self, input_ids: Tensor, pixel_values: Tensor | None = None, image_places: Tensor | None = None
    ) -> Tensor:
        """Embeddings of tokens, and features in the places of placeholders: (N, S, text width).

        Args:
            image_places: see `Expanded`; without it they are looked for, which makes the host wait for a GPU.

        Raises:
            ValueError: there are not as many placeholders as the pictures have features.
        """
        embeddings: Tensor = self.get_input_embeddings()(input_ids)
        if image_places is None:
            placeholder = self.config.image_token_index
            found = torch.zeros_like(input_ids) if placeholder is None else input_ids == placeholder
            image_places = found.flatten().nonzero().flatten()
        pictures = 0 if pixel_values is None else len(pixel_values)
        if len(image_places) != pictures * self.visual_tokens:
            raise ValueError(
                f"{len(image_places)} placeholders in the text for {pictures} pictures of "
                f"{self.visual_tokens} visual tokens each"
            )
        if pixel_values is None or not pictures:
            return self._with_idle_parts(embeddings)
        features = self.image_features(pixel_values).to(embeddings.dtype)
        # Not masked_scatter, whose backward makes the host wait for the GPU.
        flat = embeddings.flatten(0, 1).index_copy(0, image_places, features.flatten(0, 1))
        return flat.view_as(embeddings)

    def keep_in_step(self, height: int, width: int) -> None:
        """From now on, all parts are computed for every batch, on a black picture where it has none.

        Processes that share weights out gather them layer by layer, which none of them may leave out.
        """
        self._idle_picture = (height, width)

    def _with_idle_parts(self, embeddings: Tensor) -> Tensor:
        """The same values, with zero gradients for parts that saw no picture: other processes have some."""
        if self._idle_picture is not None:
            # The random numbers of what follows are those of a batch without a picture.
            with torch.random.fork_rng([embeddings.device] if embeddings.is_cuda else []):
                black = self.image_features(torch.zeros(1, 3, *self._idle_picture, device=embeddings.device))
            return embeddings + black.sum().to(embeddings.dtype) * 0
        if not torch.is_grad_enabled():
            return embeddings
        own = [self.vision_model, *self.connector()]
        idle = [p for part in own for p in part.parameters() if p.requires_grad]
        if self.has_qformer and self.query_tokens.requires_grad:
            idle.append(self.query_tokens)
        if not idle:
            return embeddings
        nothing = torch.stack([p.flatten()[0].float() for p in idle]).sum() * 0
        return embeddings + nothing.to(embeddings.dtype)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        image_places: Tensor | None = None,
        target_places: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        losses_only: bool = False,
        **options: Any,
    ) -> Output:
        """Logits, and losses where there are labels.

        Args:
            input_ids: (N, S), with placeholders; padded on the right.
            attention_mask: (N, S).
            pixel_values: (pictures, 3, height, width), float, normalised; of all examples, in order.
            labels: (N, L), or (N, S) of a decoder-only model, not shifted; -100 is ignored.
            image_places: see `Expanded`.
            target_places: see `Expanded`; without it a decoder-only model computes logits of all places.
            decoder_input_ids: (N, L), of an encoder-decoder; without them, `labels` shifted.
            losses_only: do not hand out logits, which are by far the largest tensor.
            options: for the language model.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        embeddings = self.embeddings_of(input_ids, pixel_values, image_places)
        if self.decoder_only:
            if target_places is not None:
                options["logits_to_keep"] = target_places
            logits = self._language_logits(embeddings, attention_mask, **options)
            targets = labels if labels is None else _foretold(labels, target_places)
        else:
            if decoder_input_ids is None and labels is not None:
                decoder_input_ids = self.shifted(labels)
            logits = self._language_logits(
                embeddings, attention_mask, decoder_input_ids=decoder_input_ids, **options
            )
            targets = labels
        if targets is None:
            return Output(logits=logits)
        losses = token_cross_entropy(logits, targets)
        mean = losses.sum() / (targets != IGNORED).sum().clamp(min=1)
        return Output(mean, losses, None if losses_only else logits)

    def _language_logits(self, embeddings: Tensor, attention_mask: Tensor, **options: Any) -> Tensor:
        logits: Tensor = self.language_model(
            inputs_embeds=embeddings, attention_mask=attention_mask, use_cache=False, **options
        ).logits
        return logits

    def shifted(self, labels: Tensor) -> Tensor:
        """What the decoder sees when it is to say `labels`: a start token, then all but the last.

        Raises:
            ValueError: the language model's configuration names no start token.
        """
        text = self.config.text_config
        start = getattr(text, "decoder_start_token_id", None)
        if start is None:
            start = getattr(self.language_model.generation_config, "decoder_start_token_id", None)
        if start is None:
            raise ValueError("the language model's config.json has no `decoder_start_token_id`")
        pad = start if text.pad_token_id is None else text.pad_token_id
        seen: Tensor = labels.new_full(labels.shape, start)
        seen[:, 1:] = labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, pad)
        return seen

    def token_losses(self, sequences: Expanded, pixel_values: Tensor | None = None) -> Tensor:
        """The loss of each of `sequences.targets`: (N, T), float32, 0 where it is ignored.

        Wrapped for several processes, call the wrapper with `arguments_of(sequences)` instead.
        """
        output: Output = self(**arguments_of(sequences), pixel_values=pixel_values)
        assert output.token_losses is not None
        return output.token_losses

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        **options: Any,
    ) -> Tensor:
        """Tokens that the language model says after its prompts: (N, up to max_new_tokens), without prompts.

        Args:
            input_ids: (N, S), with placeholders, padded on either side.
            attention_mask: (N, S).
            pixel_values: (pictures, 3, height, width), float, normalised.
            options: of transformers' `generate`.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if self.decoder_only:
            input_ids, attention_mask = left_padded(input_ids, attention_mask)
        embeddings = self.embeddings_of(input_ids, pixel_values)
        said: Tensor = self.language_model.generate(
            inputs_embeds=embeddings, attention_mask=attention_mask, **options
        )
        return said


def arguments_of(sequences: Expanded) -> dict[str, Any]:
    """Of `VisionLanguageModel.forward`, for losses alone."""
    return {
        "input_ids": sequences.input_ids,
        "attention_mask": sequences.attention_mask,
        "labels": sequences.labels,
        "image_places": sequences.image_places,
        "target_places": sequences.target_places,
        "losses_only": True,
    }


def _foretold(labels: Tensor, target_places: Tensor | None) -> Tensor:
    """The labels that logits foretell: those one further."""
    if target_places is None:
        target_places = torch.arange(labels.shape[1], device=labels.device).expand(labels.shape)
    return targets_at(labels, target_places)


def _trained(part: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in part.parameters())
