"""Captions of picture files, and answers to questions about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.adapters import Quantization
from training.answerers import load_answerer
from training.asking import BadPrompt, Generation, Request
from training.configuration import Precision
from training.pictures import BadPicture, PictureSettings, decode
from translation import templates
from translation.languages import ENGLISH, languages, resolve

CAPTION_TEMPLATE = "caption-describe"
QUESTION_TEMPLATE = "vqa-question-short"
"""The paper's own wordings, which every mix is trained with."""

ANSWER = Generation(max_new_tokens=10, length_penalty=-1.0)
"""As mBLIP answers questions (Geigle et al. 2024, arXiv:2307.06930)."""


class PictureFileError(ValueError):
    """A file that is no picture; the message names it."""


@dataclass(frozen=True)
class Said:
    """What a model says about pictures."""

    images: tuple[Path, ...]
    language: str
    """NLLB code that was asked for."""
    prompt: str
    text: str
    cut: bool = False
    """Whether the prompt is longer than the model's limit, and was cut."""


def caption(
    checkpoint: str,
    images: Sequence[Path],
    language: str,
    *,
    template: str = CAPTION_TEMPLATE,
    settings: Generation | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    quantization: Quantization | None = None,
) -> list[Said]:
    """A caption of each picture in a language, by any code or name that the registry knows.

    Args:
        template: id of a prompt template without a slot.
        settings: default: mBLIP's, 5 beams and at most 50 tokens.
        device, precision, quantization: as of `load_answerer`.

    Raises:
        UnknownLanguage: the registry has no such language.
        PictureFileError: a file is missing or no picture; raised before the model is loaded.
        ValueError: there is no such template, or it needs a text.
        AdapterError: bitsandbytes, which quantization needs, is not there.
        CheckpointError, DeviceError, RunError, TokenizerError, OutOfMemory: of `load_answerer`, `answers`.
    """
    request = _request(template, language, None, ENGLISH)
    pictures = [_picture(path) for path in images]
    requests = [
        Request(request.prompt, request.prompt_language, request.language, (data,)) for data in pictures
    ]
    answerer = load_answerer(checkpoint, device, precision, quantization=quantization)
    outcomes = answerer.answers(requests, settings or Generation())
    return [
        Said((path,), one.language, one.prompt, _text(outcome, str(path)))
        for path, one, outcome in zip(images, requests, outcomes, strict=True)
    ]


def ask(
    checkpoint: str,
    images: Sequence[Path],
    question: str,
    language: str,
    *,
    question_language: str = ENGLISH,
    template: str = QUESTION_TEMPLATE,
    settings: Generation = ANSWER,
    device: str = "auto",
    precision: Precision = "auto",
    quantization: Quantization | None = None,
) -> Said:
    """The answer to one question about pictures, seen together, in a language.

    Args:
        images: one or several, in order.
        question_language: of the question; only models whose tokenizer marks languages look at it.
        template: id of a prompt template with a slot for a question.
        settings: default: mBLIP's, 5 beams, at most 10 tokens, rather short.

    Raises:
        See `caption`.
    """
    if not question.strip():
        raise ValueError("the question is empty")
    request = _request(template, language, question.strip(), question_language)
    pictures = tuple(_picture(path) for path in images)
    request = Request(request.prompt, request.prompt_language, request.language, pictures)
    answerer = load_answerer(checkpoint, device, precision, quantization=quantization)
    (outcome,) = answerer.answers([request], settings)
    text = _text(outcome, ", ".join(map(str, images)))
    (cut,) = answerer.cut_prompts([request])
    return Said(tuple(images), request.language, request.prompt, text, cut)


def _request(template: str, language: str, slot: str | None, slot_language: str) -> Request:
    """The prompt as a row of a mix has it, yet without pictures."""
    target, asked = resolve(language), resolve(slot_language)
    chosen = templates.template(template)
    if slot is None and chosen.slot is not None:
        raise ValueError(f"template {template!r} needs a {chosen.slot}; take one without")
    if slot is not None and chosen.slot is None:
        raise ValueError(f"template {template!r} has no place for a question; take one of the family vqa")
    words = {templates.TARGET_LANGUAGE: target.nllb}.get(chosen.prompt_language, chosen.prompt_language)
    if words in languages() and words not in (ENGLISH, target.nllb):
        raise ValueError(f"template {template!r} asks for {words}, not for {target.nllb}")
    # A prompt with English words and a question in another language counts as English, as in a mix.
    own = asked.nllb if chosen.prompt_language == templates.TARGET_LANGUAGE else words
    return Request(chosen.fill(target, slot), own, target.nllb)


def _picture(path: Path) -> bytes:
    """A file's bytes, of which a picture can be decoded."""
    try:
        data = path.read_bytes()
        decode(data, PictureSettings())
    except OSError as error:
        raise PictureFileError(f"{path}: {error.strerror or error}") from error
    except BadPicture as error:
        raise PictureFileError(f"{path}: {error.reason}: {error.detail}") from error
    return data


def _text(outcome: str | BadPicture | BadPrompt, name: str) -> str:
    if isinstance(outcome, BadPicture):
        raise PictureFileError(f"{name}: {outcome.reason}: {outcome.detail}")
    if isinstance(outcome, BadPrompt):
        raise ValueError(f"{outcome.reason}: {outcome.detail}")
    return outcome
