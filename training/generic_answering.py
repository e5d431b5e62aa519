"""Any image-text-to-text model of transformers as one that answers requests, asked by its own processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from training.answering import ROWS_AT_ONCE, computed_with
from training.asking import BadPrompt, Generation, Likelihood, Request
from training.batches import IGNORED
from training.borders import Place, border_behind_texts, tokens_behind_texts
from training.checkpoint_folder import checkpoint_digest, folder_of
from training.configuration import Precision
from training.devices import device_of
from training.losses import token_cross_entropy
from training.pictures import BadPicture, PictureSettings, decode
from training.portions import Portions, outcomes
from training.precision import precisions_of
from training.searching import only_asked_for, search_of
from training.texts import PLACE_OF_PROMPT, PLACE_OF_TARGET
from training.weight_files import CheckpointError, WeightFiles, check_report

Inputs = dict[str, Any]


class _Template(Enum):
    """Of chats."""

    NONE = 0
    OF_TEXTS = 1
    OF_PARTS = 2
    """Pictures and texts."""


@dataclass(frozen=True)
class _Shown:
    """A request with decoded pictures."""

    prompt: str
    pictures: tuple[Image.Image, ...]


@dataclass(frozen=True)
class _Choice:
    """A text that a request may be answered with."""

    place: int
    """Of the request in the portion."""
    number: int
    ids: tuple[int, ...]


@dataclass(frozen=True)
class _Start:
    """Where an answer begins behind a prompt."""

    place: Place
    overlap: int = 0
    """Last tokens of the prompt that are a part of the answer's first one: a space that ends the prompt."""


_ALONE = _Start(Place(()))


class GenericAnswering:
    """LLaVA, Qwen-VL, Idefics, ... with its processor and chat template. One thread at a time.

    Pictures and then the text of a request go into the model's own chat template; without one they go to the
    processor as they are.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        digest: Callable[[], str] | None = None,
        rows_at_once: int = 0,
    ) -> None:
        """
        Args:
            model: of `AutoModelForImageTextToText`, on its device.
            digest: gives the SHA-256 of the checkpoint.
            rows_at_once: hypotheses of a batch; 0 for `ROWS_AT_ONCE` of the device.

        Raises:
            CheckpointError: its processor has no tokenizer, or no end token.
        """
        self._model, self._processor = model.eval(), processor
        tokenizer = getattr(processor, "tokenizer", None)
        if tokenizer is None or tokenizer.eos_token_id is None:
            raise CheckpointError(f"{type(processor).__name__}: has no tokenizer with an end token")
        self._tokenizer = tokenizer
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "left"
        self._decoder_only = not model.config.is_encoder_decoder
        rows = rows_at_once or ROWS_AT_ONCE.get(model.device.type, ROWS_AT_ONCE["cpu"])
        self._rows, self._by_beams = rows, dict[int, Portions]()
        self._questions_at_once, self._choices_at_once = Portions(rows), Portions(rows)
        self._digest = digest

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        device: str = "auto",
        precision: Precision = "auto",
        *,
        rows_at_once: int = 0,
    ) -> GenericAnswering:
        """Reads a checkpoint of transformers; code that comes with one is never run.

        Args:
            checkpoint: a directory, or a name on the hub.
            device, precision: as of `Answering.load`.

        Raises:
            CheckpointError: it is missing or damaged, or transformers knows no such model.
            DeviceError: there is no such device.
        """
        place = device_of(device)
        folder = folder_of(checkpoint)
        WeightFiles(folder).check()
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            processor = AutoProcessor.from_pretrained(folder, **options)
            model, report = AutoModelForImageTextToText.from_pretrained(
                folder,
                dtype=precisions_of(precision, place).frozen,
                use_safetensors=True,
                output_loading_info=True,
                **options,
            )
        except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CheckpointError(f"{folder}: transformers cannot read it: {line}") from error
        check_report(report, folder)
        return cls(
            model.to(place), processor, digest=partial(checkpoint_digest, folder), rows_at_once=rows_at_once
        )

    @property
    def computed_with(self) -> dict[str, str]:
        """Kind of device, and precision of all weights."""
        return computed_with(self._model.device, self._model.dtype, None)

    def cut_prompts(self, requests: Sequence[Request]) -> list[bool]:
        """None is cut: the processor takes prompts of any length."""
        return [False] * len(requests)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the checkpoint's files."""
        if self._digest is None:
            raise ValueError("this model comes from no checkpoint, so it has no digest")
        return self._digest()

    def answers(
        self, requests: Sequence[Request], settings: Generation
    ) -> list[str | BadPicture | BadPrompt]:
        """What the model says to each request, or why it cannot be asked.

        Raises:
            OutOfMemory: memory does not hold a single request.
        """
        config = self._generation(settings)

        def say(asked: Sequence[tuple[int, _Shown]]) -> list[str]:
            return self._say([shown for _, shown in asked], config)

        portions = self._by_beams.setdefault(settings.beams, Portions(max(1, self._rows // settings.beams)))
        return self._each(requests, self._refusals(requests), say, portions)

    def choice_scores(
        self, requests: Sequence[Request], choices: Sequence[Sequence[str]]
    ) -> list[list[Likelihood] | BadPicture | BadPrompt]:
        """For each request the likelihood of each of its choices, or why it cannot be asked.

        Raises:
            OutOfMemory: memory does not hold a single request with a choice.
        """
        refusals = self._refusals(requests)
        for number, (_, texts) in enumerate(zip(requests, choices, strict=True)):
            if number not in refusals:
                found = next((text for text in texts if self._holds_special(text)), None)
                if found is not None:
                    refusals[number] = BadPrompt("special token", f"a choice holds one: {found!r}")

        def score(asked: Sequence[tuple[int, _Shown]]) -> list[list[Likelihood]]:
            return self._score([shown for _, shown in asked], [choices[number] for number, _ in asked])

        return self._each(requests, refusals, score, self._questions_at_once)

    def _refusals(self, requests: Sequence[Request]) -> dict[int, BadPrompt]:
        return {
            number: BadPrompt("special token", f"the prompt holds one of the tokenizer's: {request.prompt!r}")
            for number, request in enumerate(requests)
            if self._holds_special(request.prompt)
        }

    def _holds_special(self, text: str) -> bool:
        return any(token in text for token in self._special)

    @cached_property
    def _special(self) -> tuple[str, ...]:
        """Texts that are more than text, to the tokenizer or the processor."""
        added = getattr(self._tokenizer, "added_tokens_decoder", {}).values()
        own = (getattr(self._processor, name, None) for name in ("image_token", "video_token"))
        tokens = {
            *(str(token) for token in self._tokenizer.all_special_tokens),
            *(str(token) for token in added if token.special),
            *(token for token in own if isinstance(token, str)),
        }
        return tuple(token for token in tokens if token.strip())

    def _each(
        self,
        requests: Sequence[Request],
        refusals: Mapping[int, BadPrompt],
        compute: Callable[[Sequence[tuple[int, _Shown]]], Sequence[Any]],
        portions: Portions,
    ) -> list[Any]:
        """`compute` of all that can be asked, in portions of as many pictures and of like lengths."""
        found: dict[int, Any] = dict(refusals)

        def shown(number: int) -> _Shown:
            pictures = (decode(picture, self._limits) for picture in requests[number].pictures)
            return _Shown(requests[number].prompt, tuple(Image.fromarray(one.numpy()) for one in pictures))

        def pictures(number: int) -> int:
            return len(requests[number].pictures)

        order = sorted(
            (number for number in range(len(requests)) if number not in found),
            key=lambda number: (-pictures(number), -len(requests[number].prompt), number),
        )
        # Processors differ in what they make of batches in which some have pictures and some have none.
        for _, group in groupby(order, key=pictures):
            found.update(outcomes(list(group), shown, compute, portions))
        return [found[number] for number in range(len(requests))]

    @cached_property
    def _limits(self) -> PictureSettings:
        """What is too large to decode; the processor resizes."""
        return PictureSettings()

    def _generation(self, settings: Generation) -> GenerationConfig:
        return search_of(
            settings,
            self._model,
            never=self._placeholders,
            ends=self._ends,
            pad=self._tokenizer.pad_token_id,
        )

    @cached_property
    def _ends(self) -> list[int]:
        """Tokens that end an answer: the model's own, and the end of its turn."""
        own = self._model.generation_config.eos_token_id
        owns = own if isinstance(own, list | tuple) else () if own is None else (own,)
        special = set(self._tokenizer.convert_tokens_to_ids(list(self._special)))
        turns = self._answer_end[:1] if self._answer_end[0] in special else ()
        return sorted({*owns, *turns, int(self._tokenizer.eos_token_id)})

    @cached_property
    def _placeholders(self) -> tuple[int, ...]:
        """Tokens in whose places features stand, so that a model must not say them."""
        names = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")
        ids = (getattr(self._model.config, name, None) for name in names)
        return tuple(sorted({token for token in ids if isinstance(token, int) and token >= 0}))

    @torch.inference_mode()
    def _say(self, shown: Sequence[_Shown], config: GenerationConfig) -> list[str]:
        inputs = self._inputs(shown)
        with only_asked_for(self._model):
            said = self._model.generate(**inputs, generation_config=config)
        prompts = inputs["input_ids"]
        if self._decoder_only and torch.equal(said[:, : prompts.shape[1]], prompts):
            said = said[:, prompts.shape[1] :]
        texts = self._tokenizer.batch_decode(
            said, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return [str(text).strip() for text in texts]

    def _inputs(self, shown: Sequence[_Shown]) -> Inputs:
        """What the processor makes of requests with as many pictures each, on the device."""
        options: dict[str, Any] = {"padding": True, "return_tensors": "pt"}
        turns = [self._turns(one.prompt, one.pictures) for one in shown]
        if self._template is _Template.OF_PARTS:
            made = self._processor.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=True, return_dict=True, processor_kwargs=options
            )
        else:
            texts = [one[0]["content"] for one in turns]
            if self._template is _Template.OF_TEXTS:
                texts = self._processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
                # As transformers does: a template that writes the start token wants no second one.
                start = self._tokenizer.bos_token
                options["add_special_tokens"] = not (start and texts[0].startswith(start))
            pictures = [list(one.pictures) for one in shown] if shown[0].pictures else None
            made = self._processor(text=texts, images=pictures, **options)
        return dict(made.to(self._model.device, self._model.dtype))

    def _turns(
        self, prompt: str, pictures: Sequence[Image.Image], answer: str | None = None
    ) -> list[dict[str, Any]]:
        """A request as a conversation, with the answer if there is one."""
        asked: Any = f"{self._mark * len(pictures)}{prompt}"
        answered: Any = answer
        if self._template is _Template.OF_PARTS:
            shown = [{"type": "image", "image": picture} for picture in pictures]
            asked = [*shown, {"type": "text", "text": prompt}]
            answered = [{"type": "text", "text": answer}]
        turns = [{"role": "user", "content": asked}]
        return turns if answer is None else [*turns, {"role": "assistant", "content": answered}]

    @property
    def _mark(self) -> str:
        """What stands for a picture in a text; nothing where the processor puts pictures in by itself."""
        return str(getattr(self._processor, "image_token", None) or "")

    @cached_property
    def _template(self) -> _Template:
        """What the chat template takes; many a template is the language model's own, for texts alone."""
        if not getattr(self._processor, "chat_template", None):
            return _Template.NONE
        part = [{"type": "text", "text": PLACE_OF_PROMPT}]
        rendered = self._processor.apply_chat_template([{"role": "user", "content": part}], tokenize=False)
        # One for texts writes the list as Python does.
        return _Template.OF_TEXTS if "'type'" in rendered else _Template.OF_PARTS

    @cached_property
    def _around_answer(self) -> tuple[str, str, str]:
        """What the template puts between prompt and answer, before an answer, and behind it."""
        asked = self._rendered(self._turns(PLACE_OF_PROMPT, ()), add_generation_prompt=True)
        answered = self._rendered(self._turns(PLACE_OF_PROMPT, (), PLACE_OF_TARGET))
        head, _, after = answered.partition(PLACE_OF_TARGET)
        begun = head[len(asked) :] if head.startswith(asked) else ""
        # Spaces are a part of the answer's first word; other texts some models say before they answer.
        begun = "" if begun.strip(" ") else begun
        # What follows the end of the turn, a line break, is for the next turn.
        return asked.partition(PLACE_OF_PROMPT)[2], begun, after.strip()

    def _rendered(self, turns: list[dict[str, Any]], **options: Any) -> str:
        return str(self._processor.apply_chat_template(turns, tokenize=False, **options))

    @cached_property
    def _answer_end(self) -> tuple[int, ...]:
        """Tokens after an answer: the end of its turn, or the tokenizer's end token."""
        after = "" if self._template is _Template.NONE else self._around_answer[2]
        return tokens_behind_texts(after, self._ids) if after else (int(self._tokenizer.eos_token_id),)

    @cached_property
    def _answer_start(self) -> _Start:
        """Where an answer stands; without a template, and in a decoder of its own, it begins all."""
        if self._template is _Template.NONE or not self._decoder_only:
            return _ALONE
        between, begun, _ = self._around_answer
        border = border_behind_texts(between + begun, self._ids)
        if border is None:
            return _ALONE
        return _Start(border.place, max(len(tokens_behind_texts(between, self._ids)) - len(border.tokens), 0))

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self._tokenizer(list(texts), add_special_tokens=False)
        return [list(ids) for ids in encoded["input_ids"]]

    @torch.inference_mode()
    def _score(self, shown: Sequence[_Shown], choices: Sequence[Sequence[str]]) -> list[list[Likelihood]]:
        distinct = list(dict.fromkeys(text for texts in choices for text in texts))
        tokens = self._answer_start.place.tokens(distinct, self._ids)
        ids = dict(zip(distinct, tokens, strict=True))
        listed = [
            _Choice(place, number, (*ids[text], *self._answer_end))
            for place, texts in enumerate(choices)
            for number, text in enumerate(texts)
        ]
        listed.sort(key=lambda choice: -len(choice.ids))
        scores: list[list[Any]] = [[None] * len(texts) for texts in choices]

        def compute(part: Sequence[_Choice]) -> list[float]:
            return self._likelihoods([shown[choice.place] for choice in part], part)

        for choice, total in zip(listed, self._choices_at_once.results(listed, compute), strict=True):
            scores[choice.place][choice.number] = Likelihood(total, len(choice.ids))
        return scores

    def _likelihoods(self, shown: Sequence[_Shown], choices: Sequence[_Choice]) -> list[float]:
        """Of each choice the sum of its tokens' log-probabilities."""
        inputs = self._inputs(shown)
        said = [torch.tensor(choice.ids, device=self._model.device) for choice in choices]
        targets = pad_sequence(said, batch_first=True, padding_value=IGNORED)
        if self._decoder_only:
            logits, targets = self._joined(inputs, said)
        else:
            logits = self._model(**inputs, labels=targets).logits
        losses = token_cross_entropy(logits, targets)
        return [-total for total in losses.double().sum(1).tolist()]

    def _joined(self, inputs: Inputs, said: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits and targets of sequences of prompt and answer, padded on the right as in training."""
        shape = inputs["input_ids"].shape
        present = inputs["attention_mask"].bool()
        lengths = present.sum(1) - self._answer_start.overlap
        fillers = {"input_ids": self._tokenizer.pad_token_id}
        joined: Inputs = {}
        for name, value in inputs.items():
            if not isinstance(value, Tensor) or value.shape != shape:
                joined[name] = value
                continue
            rows = []
            for row, kept, length, answer in zip(value, present, lengths.tolist(), said, strict=True):
                own = {"input_ids": answer, "attention_mask": torch.ones_like(answer)}
                rows.append(torch.cat((row[kept][:length], own.get(name, torch.zeros_like(answer)))))
            joined[name] = pad_sequence(rows, batch_first=True, padding_value=fillers.get(name, 0))
        width = max(len(answer) for answer in said)
        places = (lengths - 1)[:, None] + torch.arange(width, device=lengths.device)
        targets = pad_sequence(list(said), batch_first=True, padding_value=IGNORED)
        logits = self._model(**joined, use_cache=False).logits
        places = places.clamp(max=logits.shape[1] - 1)
        return logits.gather(1, places[:, :, None].expand(-1, -1, logits.shape[2])), targets
