"""A vision-language model that answers requests, asked just as it was trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationConfig
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer
from transformers.modeling_outputs import BaseModelOutput

from training.adapters import Quantization
from training.architecture import VisionLanguageModel
from training.asking import BadPrompt, Generation, Likelihood, Request
from training.batches import IGNORED, Batch
from training.checkpoint import Loaded, load
from training.checkpoint_folder import checkpoint_digest, folder_of
from training.configuration import Precision
from training.devices import device_of
from training.losses import token_cross_entropy
from training.pictures import MAX_PIXELS, BadPicture, pixels_of
from training.portions import Portions, outcomes
from training.precision import precisions_of
from training.preprocessing import Preprocessing
from training.searching import only_asked_for, search_of
from training.sequences import Expanded, expanded, left_padded
from training.texts import TextEncoder, TextSettings, TokenizerError
from translation.languages import languages

ROWS_AT_ONCE = {"cpu": 40, "cuda": 320}
"""Hypotheses of a batch, by device, where nothing else is asked for; 8 and 64 requests with 5 beams."""

Outcome = str | BadPicture | BadPrompt


@dataclass(frozen=True)
class _Question:
    """A request as tokens and pixels."""

    prompt: tuple[int, ...]
    """Up to where the answer starts."""
    pixels: Tensor
    """(pictures, 3, height, width), uint8."""
    start: tuple[int, ...]
    """What the decoder of an encoder-decoder has said already."""


@dataclass(frozen=True)
class _Choice:
    """One of the texts that a question is to be answered with."""

    question: int
    """Its place in the portion."""
    number: int
    ids: tuple[int, ...]
    """With its end token."""


@dataclass(frozen=True)
class _Asked:
    """What a model has computed of questions before it says the first token."""

    states: Tensor
    """(N, S, width): what the encoder gives, or embeddings of a decoder-only model."""
    mask: Tensor
    """(N, S); of a decoder-only model all padding is on the left."""
    cache: Any = None
    """Keys and values of decoder-only models that can go on from them in another batch."""
    last: Tensor | None = None
    """(N, vocabulary): logits of the first token, where there is a cache."""


class Answering:
    """A model of this project's architecture, or BLIP-2's, with its tokenizer. One thread at a time."""

    def __init__(
        self,
        model: VisionLanguageModel,
        tokenizer: Any,
        texts: TextSettings,
        preprocessing: Preprocessing,
        *,
        digest: Callable[[], str] | None = None,
        mixed: torch.dtype | None = None,
        quantization: Quantization | None = None,
        rows_at_once: int = 0,
    ) -> None:
        """
        Args:
            model: on its device, with adapters in place if it has any.
            digest: gives the SHA-256 of the checkpoint.
            mixed: dtype of products, where weights have several; None for those of the weights.
            quantization: what the language model's weights were read with.
            rows_at_once: hypotheses of a batch; 0 for `ROWS_AT_ONCE` of the device.

        Raises:
            TokenizerError: see `TextEncoder`.
        """
        model.eval()
        self._model, self._mixed = model, mixed
        self._preprocessing = preprocessing
        codes = _known_codes(tokenizer) if hasattr(tokenizer, "src_lang") else ()
        self._texts = TextEncoder(tokenizer, texts, codes)
        self._device = model.device
        rows = rows_at_once or ROWS_AT_ONCE.get(self._device.type, ROWS_AT_ONCE["cpu"])
        self._rows, self._by_beams = rows, dict[int, Portions]()
        self._questions_at_once, self._choices_at_once = Portions(rows), Portions(rows)
        self._takes_positions = "position_ids" in signature(model.language_model.forward).parameters
        self._digest = digest
        self._ends = _ends_of(self._texts, model)
        self._quantization = quantization

    @classmethod
    def of(cls, loaded: Loaded, **options: Any) -> Answering:
        """A model that was read from a checkpoint; options as of the constructor."""
        return cls(loaded.base, loaded.tokenizer, loaded.texts, loaded.preprocessing, **options)

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        device: str = "auto",
        precision: Precision = "auto",
        *,
        quantization: Quantization | None = None,
        rows_at_once: int = 0,
    ) -> Answering:
        """Reads a checkpoint.

        Args:
            checkpoint: a run's directory (its best checkpoint is taken, or the last), a checkpoint's, in the
                layout of this trainer, BLIP-2 or mBLIP, or a name on the hub.
            device: `auto`, `cpu`, `cuda`, `cuda:1`, ...
            precision: as in a training configuration.

        Raises:
            CheckpointError: it is missing, damaged, or of another kind.
            DeviceError: there is no such device.
            RunError: the run has no checkpoint yet.
            TokenizerError: see `TextEncoder`.
        """
        place = device_of(device)
        precisions = precisions_of(precision, place)
        folder = folder_of(checkpoint)
        loaded = load(folder, dtype=precisions.frozen, quantization=quantization, device=place)
        return cls.of(
            loaded,
            digest=partial(checkpoint_digest, folder),
            mixed=None if precisions.mixed == "no" else precisions.frozen,
            quantization=quantization,
            rows_at_once=rows_at_once,
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the checkpoint's files."""
        if self._digest is None:
            raise ValueError("this model comes from no checkpoint, so it has no digest")
        return self._digest()

    @property
    def computed_with(self) -> dict[str, str]:
        """Kind of device, precision of products, and quantization of the language model."""
        precision = self._mixed or self._model.dtype
        return computed_with(self._device, precision, self._quantization)

    def cut_prompts(self, requests: Sequence[Request]) -> list[bool]:
        """Of each request whether its prompt is longer than `max_prompt_tokens`, and cut, as in training.

        Raises:
            TokenizerError: see `answers`.
        """
        for language in {request.prompt_language for request in requests}:
            self._check_language(language)
        found = self._texts.prompts(
            [request.prompt for request in requests], [request.prompt_language for request in requests]
        )
        return [tokens is not None and tokens.cut for tokens in found]

    def answers(self, requests: Sequence[Request], settings: Generation) -> list[Outcome]:
        """What the model says to each request, or why it cannot be asked.

        Raises:
            OutOfMemory: memory does not hold a single request.
            TokenizerError: the tokenizer marks languages, and does not know one of these.
        """
        config = self._generation(settings)

        def say(questions: Sequence[_Question]) -> list[str]:
            return self._say(questions, config)

        # Later calls begin with what memory held.
        portions = self._by_beams.setdefault(settings.beams, Portions(max(1, self._rows // settings.beams)))
        return self._each(requests, [None] * len(requests), portions, lambda found, _: say(found))

    def choice_scores(
        self, requests: Sequence[Request], choices: Sequence[Sequence[str]]
    ) -> list[list[Likelihood] | BadPicture | BadPrompt]:
        """For each request the likelihood of each of its choices, or why it cannot be asked.

        Raises:
            OutOfMemory, TokenizerError: see `answers`.
        """
        listed: list[list[tuple[int, ...]] | BadPrompt] = []
        for request, texts in zip(requests, choices, strict=True):
            listed.append(self._choice_tokens(request, texts))
        return self._each(requests, listed, self._questions_at_once, self._score)

    def _each(
        self,
        requests: Sequence[Request],
        others: Sequence[Any],
        portions: Portions,
        compute: Callable[[Sequence[_Question], Sequence[Any]], Sequence[Any]],
    ) -> list[Any]:
        """`compute` of all that can be asked, in portions of like lengths, longest first.

        Args:
            others: what goes with each request; a `BadPrompt` is its outcome.
        """
        found: list[Any] = [other if isinstance(other, BadPrompt) else None for other in others]
        prompts: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        for number, request in enumerate(requests):
            if found[number] is None:
                tokens = self._prompt_tokens(request)
                if isinstance(tokens, BadPrompt):
                    found[number] = tokens
                else:
                    prompts[number] = tokens

        def length(number: int) -> int:
            return len(prompts[number][0]) + len(requests[number].pictures) * self._model.visual_tokens

        def question(number: int) -> _Question:
            prompt, start = prompts[number]
            return _Question(prompt, self._pixels(requests[number]), start)

        def computed(asked: Sequence[tuple[int, _Question]]) -> Sequence[Any]:
            return compute([one for _, one in asked], [others[number] for number, _ in asked])

        order = sorted(prompts, key=lambda number: (-length(number), number))
        for number, outcome in outcomes(order, question, computed, portions):
            found[number] = outcome
        return found

    def _prompt_tokens(self, request: Request) -> tuple[tuple[int, ...], tuple[int, ...]] | BadPrompt:
        """The prompt, and the decoder's start of an encoder-decoder."""
        self._check_language(request.prompt_language)
        self._check_language(request.language)
        (tokens,) = self._texts.prompts([request.prompt], [request.prompt_language])
        if tokens is None:
            return BadPrompt("special token", f"the prompt holds one of the tokenizer's: {request.prompt!r}")
        begun = self._begun(request.language)
        if self._model.decoder_only:
            return (*tokens.ids, *begun), ()
        return tokens.ids, (self._decoder_start, *begun)

    def _begun(self, language: str) -> tuple[int, ...]:
        """What every answer in a language begins with."""
        layout = self._texts.layout
        marks = (layout.by_language[language],) if layout.by_language else ()
        return (*marks, *layout.before_target)

    def _choice_tokens(self, request: Request, texts: Sequence[str]) -> list[tuple[int, ...]] | BadPrompt:
        self._check_language(request.language)
        begun = len(self._begun(request.language))
        listed = []
        for text, tokens in zip(
            texts, self._texts.targets(texts, [request.language] * len(texts)), strict=True
        ):
            if tokens is None:
                return BadPrompt("special token", f"a choice holds one of the tokenizer's: {text!r}")
            if tokens.cut:
                limit = self._texts.settings.max_target_tokens
                return BadPrompt("long choice", f"more than {limit} tokens: {text!r}")
            listed.append(tokens.ids[begun:])
        return listed

    def _check_language(self, code: str) -> None:
        known = self._texts.layout.by_language
        if known and code not in known:
            raise TokenizerError(
                f"the model's tokenizer has no token for {code}; it knows {len(known)} languages of NLLB's"
            )

    @property
    def _decoder_start(self) -> int:
        """What the decoder of an encoder-decoder sees first, in training too."""
        start: Tensor = self._model.shifted(torch.zeros(1, 1, dtype=torch.int64))
        return int(start.item())

    def _pixels(self, request: Request) -> Tensor:
        """(pictures, 3, height, width), uint8; raises `BadPicture`."""
        settings = self._preprocessing.pictures
        # A run may have left out large ones to go on faster; who asks wants an answer.
        settings = replace(settings, max_pixels=max(settings.max_pixels, MAX_PIXELS))
        pictures = [pixels_of(picture, settings) for picture in request.pictures]
        if not pictures:
            return torch.empty(0, 3, settings.height, settings.width, dtype=torch.uint8)
        return torch.stack(pictures).permute(0, 3, 1, 2)

    def _generation(self, settings: Generation) -> GenerationConfig:
        image_token = self._model.config.image_token_index
        return search_of(
            settings,
            self._model.language_model,
            never=() if image_token is None else (image_token,),
            ends=self._ends,
            pad=self._texts.pad_id,
            decoder_start=None if self._model.decoder_only else self._decoder_start,
        )

    @torch.inference_mode()
    def _say(self, questions: Sequence[_Question], config: GenerationConfig) -> list[str]:
        sequences, pixel_values = self._inputs(questions)
        options: dict[str, Any] = {}
        if not self._model.decoder_only:
            options["decoder_input_ids"] = self._tensor([question.start for question in questions])
        with self._autocast(), only_asked_for(self._model.language_model):
            said = self._model.generate(
                sequences.input_ids,
                sequences.attention_mask,
                pixel_values,
                generation_config=config,
                **options,
            )
        skipped = 0 if self._model.decoder_only else len(questions[0].start)
        return [self._text(ids) for ids in said[:, skipped:].tolist()]

    def _text(self, ids: Sequence[int]) -> str:
        """What was said, up to its end."""
        end = next((place for place, token in enumerate(ids) if token in self._ends), len(ids))
        text = self._texts.tokenizer.decode(  # type: ignore[attr-defined]  # the protocol names what training uses
            ids[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text).strip()

    @torch.inference_mode()
    def _score(
        self, questions: Sequence[_Question], choices: Sequence[Sequence[tuple[int, ...]]]
    ) -> list[list[Likelihood]]:
        listed = [
            _Choice(place, number, ids)
            for place, texts in enumerate(choices)
            for number, ids in enumerate(texts)
        ]
        # Like lengths together.
        listed.sort(key=lambda choice: -len(choice.ids))
        scores: list[list[Any]] = [[None] * len(texts) for texts in choices]
        with self._autocast():
            asked = self._asked(questions)

            def compute(part: Sequence[_Choice]) -> list[float]:
                return self._likelihoods(asked, questions, part)

            for choice, total in zip(listed, self._choices_at_once.results(listed, compute), strict=True):
                scores[choice.question][choice.number] = Likelihood(total, len(choice.ids))
        return scores

    def _asked(self, questions: Sequence[_Question]) -> _Asked:
        """All that does not depend on the answer, once for every question."""
        sequences, pixel_values = self._inputs(questions)
        model = self._model
        if not model.decoder_only:
            embeddings = model.embeddings_of(sequences.input_ids, pixel_values, sequences.image_places)
            encoder = model.language_model.get_encoder()
            states = encoder(inputs_embeds=embeddings, attention_mask=sequences.attention_mask)
            return _Asked(states.last_hidden_state, sequences.attention_mask)
        ids, mask = left_padded(sequences.input_ids, sequences.attention_mask)
        embeddings = model.embeddings_of(ids, pixel_values)
        options = self._positions(mask)
        made = model.language_model(
            inputs_embeds=embeddings, attention_mask=mask, use_cache=True, logits_to_keep=1, **options
        )
        if not _selectable(made.past_key_values):
            return _Asked(embeddings, mask)
        return _Asked(embeddings, mask, made.past_key_values, made.logits[:, -1])

    def _likelihoods(
        self, asked: _Asked, questions: Sequence[_Question], choices: Sequence[_Choice]
    ) -> list[float]:
        """Of each choice the sum of its tokens' log-probabilities."""
        rows = torch.tensor([choice.question for choice in choices], device=self._device)
        targets = self._tensor([choice.ids for choice in choices], IGNORED)
        mask = asked.mask[rows]
        model = self._model.language_model
        if not self._model.decoder_only:
            starts = self._tensor([questions[choice.question].start for choice in choices])
            seen = torch.cat((starts, targets[:, :-1].masked_fill(targets[:, :-1] == IGNORED, 0)), 1)
            logits = model(
                encoder_outputs=BaseModelOutput(last_hidden_state=asked.states[rows]),
                attention_mask=mask,
                decoder_input_ids=seen,
                use_cache=False,
            ).logits[:, starts.shape[1] - 1 :]
        else:
            logits = self._continued(asked, rows, mask, targets)
        losses = token_cross_entropy(logits, targets)
        return [-total for total in losses.double().sum(1).tolist()]

    def _continued(self, asked: _Asked, rows: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
        """Logits of a decoder-only model for targets that follow questions: (choices, T, vocabulary).

        Args:
            rows: (choices,), the question of each.
            mask: (choices, S), of the questions.
            targets: (choices, T).
        """
        model = self._model.language_model
        said = targets[:, :-1]
        embeddings = self._model.get_input_embeddings()(said.clamp(min=0))
        whole = torch.cat((mask, (said != IGNORED).to(mask.dtype)), 1)
        if asked.cache is None:
            embeddings = torch.cat((asked.states[rows], embeddings), 1)
            kept = targets.shape[1]
            logits: Tensor = model(
                inputs_embeds=embeddings,
                attention_mask=whole,
                use_cache=False,
                logits_to_keep=kept,
                **self._positions(whole),
            ).logits
            return logits
        assert asked.last is not None
        first = asked.last[rows][:, None]
        if not said.shape[1]:
            return first
        cache = copy(asked.cache)
        cache.layers = [copy(layer) for layer in asked.cache.layers]
        cache.batch_select_indices(rows)
        following = model(
            inputs_embeds=embeddings,
            attention_mask=whole,
            past_key_values=cache,
            use_cache=True,
            **self._positions(whole, said.shape[1]),
        ).logits
        return torch.cat((first, following), 1)

    def _positions(self, mask: Tensor, last: int | None = None) -> dict[str, Tensor]:
        """Positions counted from each row's first token, for models that take them; of the `last` tokens."""
        if not self._takes_positions:
            return {}
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        return {"position_ids": positions if last is None else positions[:, -last:]}

    def _inputs(self, questions: Sequence[_Question]) -> tuple[Expanded, Tensor | None]:
        """Sequences with places for pictures, and the pictures, on the device."""
        prompts = [torch.tensor(question.prompt) for question in questions]
        input_ids = pad_sequence(prompts, batch_first=True, padding_value=self._texts.pad_id)
        mask = pad_sequence([torch.ones_like(prompt) for prompt in prompts], batch_first=True)
        pixels = torch.cat([question.pixels for question in questions])
        nothing = ("",) * len(questions)
        batch = Batch(
            index=0,
            ids=nothing,
            tasks=nothing,
            languages=nothing,
            pixel_values=pixels,
            image_counts=torch.tensor([len(question.pixels) for question in questions]),
            image_position=self._texts.layout.image_position,
            input_ids=input_ids,
            attention_mask=mask,
            labels=torch.full((len(questions), 1), IGNORED),
            joined=False,
        )
        image_token = self._model.config.image_token_index
        sequences = expanded(batch, self._model.visual_tokens, image_token).to(self._device)
        if not len(pixels):
            return sequences, None
        return sequences, self._preprocessing.normalise(pixels.to(self._device))

    def _tensor(self, rows: Sequence[Sequence[int]], filler: int = 0) -> Tensor:
        """Rows of ids, filled up on the right."""
        tensors = [torch.tensor(row, dtype=torch.int64) for row in rows]
        return pad_sequence(tensors, batch_first=True, padding_value=filler).to(self._device)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._mixed is None:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=self._mixed)


def computed_with(device: torch.device, precision: torch.dtype, quantization: str | None) -> dict[str, str]:
    """What, beside weights and settings, answers depend on, as results tell it."""
    name = str(precision).removeprefix("torch.")
    return {"device": device.type, "precision": name, "quantization": quantization or "none"}


def _known_codes(tokenizer: Any) -> list[str]:
    """NLLB codes that a tokenizer which marks languages has tokens for."""
    unknown = getattr(tokenizer, "unk_token_id", None)
    return [code for code in languages() if tokenizer.convert_tokens_to_ids(code) not in (None, unknown)]


def _ends_of(texts: TextEncoder, model: VisionLanguageModel) -> tuple[int, ...]:
    """Tokens that end an answer: what targets end with in training, and the language model's own."""
    after = texts.layout.after_target
    special = set(texts.tokenizer.convert_tokens_to_ids(list(texts.tokenizer.all_special_tokens)))
    trained = after if len(after) == 1 else tuple(token for token in after if token in special)
    own = getattr(model.language_model.generation_config, "eos_token_id", None)
    owns = own if isinstance(own, list | tuple) else () if own is None else (own,)
    return tuple(sorted({*trained, *owns, int(texts.tokenizer.eos_token_id)}))


def _selectable(cache: Any) -> bool:
    """Whether a cache holds keys and values of rows that can be taken apart."""
    kinds = (DynamicLayer, DynamicSlidingWindowLayer)
    return type(cache) is DynamicCache and all(type(layer) in kinds for layer in cache.layers)
