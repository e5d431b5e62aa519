"""The translation engine: sentences through an NLLB model on CTranslate2, put back together exactly.

`Engine.translate` takes texts of any length and mix of languages. Each text is cut into sentences
(`translation.segments`); every distinct sentence is translated once, longest first, in batches of a
bounded number of tokens; separators and placeholders return unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import ctranslate2

from translation import segments
from translation.languages import languages
from translation.model import SENTENCEPIECE, ModelDescription, ModelError, read_description
from translation.tokenizer import END, UNKNOWN, Tokenizer
from translation.translations import Decoding, Request, Translation

MAX_BATCH_TOKENS = 4096
"""Padded source tokens of one batch. On 2 cores larger ones gain nothing; on a GPU give more."""


@dataclass(frozen=True)
class _Hypothesis:
    """One translated sentence."""

    text: str
    pieces: tuple[str, ...]
    log_probability: float
    cut_off: bool
    unknown: bool

    ended: bool
    """`</s>` came within the limit."""

    @property
    def tokens(self) -> int:
        """With `</s>`, where it came."""
        return len(self.pieces) + self.ended


class Engine:
    """An NLLB-format model, ready to translate. Thread-safe as far as CTranslate2 is; close it after use."""

    def __init__(
        self,
        directory: Path,
        decoding: Decoding | None = None,
        *,
        device: str = "cpu",
        inter_threads: int = 1,
        intra_threads: int = 0,
        max_batch_tokens: int = MAX_BATCH_TOKENS,
        check: bool = True,
    ) -> None:
        """Loads the model.

        Args:
            directory: as `translate-mix model add` writes it.
            device: `cpu`, `cuda` or `auto`.
            inter_threads: batches in parallel.
            intra_threads: threads of one batch; 0 lets CTranslate2 decide.
            check: compare every file with its digest first.

        Raises:
            ModelError: the directory is no model, or a file of it is damaged.
        """
        self.description: ModelDescription = read_description(directory, check)
        self.decoding = decoding or Decoding()
        self.languages = frozenset(self.description.languages)
        self._max_batch_tokens = max_batch_tokens
        for limit in ("max_input_tokens", "max_output_tokens"):
            # The language code, </s>, and on the target side one token that tells a cut from an end.
            if getattr(self.decoding, limit) + 3 > self.description.positions:
                raise ModelError(
                    f"{limit} is {getattr(self.decoding, limit)}, but model {self.description.name} has "
                    f"{self.description.positions} positions; at most {self.description.positions - 3}"
                )
        try:
            self._tokenizer = Tokenizer(directory / SENTENCEPIECE)
            self._translator = ctranslate2.Translator(
                str(directory), device=device, inter_threads=inter_threads, intra_threads=intra_threads
            )
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{directory}: CTranslate2 cannot load the model: {error}") from error

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the weights. The engine cannot be used afterwards."""
        self._translator.unload_model()

    def supports(self, code: str) -> bool:
        """Was the model trained on this language?"""
        return code in self.languages

    def translate(self, requests: Sequence[Request], *, whole: bool = False) -> list[Translation]:
        """Translates each request; equal requests are translated once.

        Args:
            whole: take each text as one sentence, so that the model sees all of it at once.

        Raises:
            ValueError: a language that the model was not trained on.
        """
        for request in requests:
            for code in (request.source, request.target):
                if code not in self.languages:
                    raise ValueError(f"model {self.description.name} was not trained on {code}")
        split = [
            [segments.Segment(request.text, True)] if whole else segments.split(request.text, request.source)
            for request in requests
        ]
        wanted = {
            Request(segment.text, request.source, request.target)
            for request, parts in zip(requests, split, strict=True)
            for segment in parts
            if segment.translate
        }
        known = self._translate_sentences(wanted)
        broken = self._piecewise(known)
        return [
            _assemble(parts, request, known, broken) for request, parts in zip(requests, split, strict=True)
        ]

    def tokens(self, requests: Sequence[Request]) -> list[list[str]]:
        """The model's output pieces for each request taken as one sentence, to compare with other engines."""
        known = self._translate_sentences(set(requests))
        return [list(known[request].pieces) for request in requests]

    def _piecewise(self, known: dict[Request, _Hypothesis]) -> dict[Request, list[Request | str]]:
        """Sentences whose placeholders the model broke, as pieces; `known` gains the pieces' translations."""
        broken: dict[Request, list[Request | str]] = {}
        for request, hypothesis in known.items():
            expected = segments.placeholders(request.text)
            if expected and segments.placeholders(hypothesis.text) != expected:
                broken[request] = [
                    Request(piece.text, request.source, request.target) if piece.translate else piece.text
                    for piece in segments.pieces(request.text)
                ]
        pieces = {p for parts in broken.values() for p in parts if isinstance(p, Request)}
        known.update(self._translate_sentences(pieces - known.keys()))
        return broken

    def _translate_sentences(self, requests: Iterable[Request]) -> dict[Request, _Hypothesis]:
        """Each distinct sentence once; the order of work does not depend on the order of `requests`."""
        ordered = sorted(requests, key=lambda request: (request.text, request.source, request.target))
        tokens = self._tokenizer.encode([request.text for request in ordered])
        order = sorted(range(len(ordered)), key=lambda index: -len(tokens[index]))
        translated: dict[Request, _Hypothesis] = {}
        for batch in self._batches(order, tokens):
            decoded = self._decode([ordered[index] for index in batch], [tokens[index] for index in batch])
            translated.update(zip((ordered[index] for index in batch), decoded, strict=True))
        return translated

    def _batches(self, order: list[int], tokens: list[list[str]]) -> Iterator[list[int]]:
        """Runs of `order` (longest first) whose padded size stays within the budget."""
        start = 0
        while start < len(order):
            width = len(tokens[order[start]]) + 2
            size = max(1, self._max_batch_tokens // width)
            yield order[start : start + size]
            start += size

    def _decode(self, requests: list[Request], tokens: list[list[str]]) -> list[_Hypothesis]:
        """One call of CTranslate2. Sentences over the input limit are cut here and flagged."""
        limit = self.decoding.max_input_tokens
        # One more than allowed, so that a hypothesis that fills the limit is told from one that ends there.
        output_limit = self.decoding.max_output_tokens + 2
        results = self._translator.translate_batch(
            [
                [request.source, *pieces[:limit], END]
                for request, pieces in zip(requests, tokens, strict=True)
            ],
            target_prefix=[[request.target] for request in requests],
            beam_size=self.decoding.beam_size,
            length_penalty=self.decoding.length_penalty,
            repetition_penalty=self.decoding.repetition_penalty,
            no_repeat_ngram_size=self.decoding.no_repeat_ngram_size,
            max_input_length=0,
            max_decoding_length=output_limit,
            return_scores=True,
        )
        hypotheses = []
        for pieces, result in zip(tokens, results, strict=True):
            output = result.hypotheses[0][1:]
            ended = len(output) <= self.decoding.max_output_tokens
            # CTranslate2 divided the sum by (tokens, with the prefix) to the power of the length penalty.
            normaliser = (len(output) + ended + 1) ** self.decoding.length_penalty
            hypotheses.append(
                _Hypothesis(
                    text=self._tokenizer.decode(output).strip(),
                    pieces=tuple(output),
                    log_probability=result.scores[0] * normaliser,
                    ended=ended,
                    cut_off=len(pieces) > limit or not ended,
                    unknown=UNKNOWN in output,
                )
            )
        return hypotheses


def _assemble(
    parts: Sequence[segments.Segment],
    request: Request,
    known: dict[Request, _Hypothesis],
    broken: dict[Request, list[Request | str]],
) -> Translation:
    """The translation of a whole text from the translations of its sentences."""
    text: list[str] = []
    used: list[_Hypothesis] = []
    # Sentences that touch, as in Chinese, need a space between them in a language that writes one.
    gap = languages()[request.target].spaced and not languages()[request.source].spaced
    for number, segment in enumerate(parts):
        if gap and number and segment.translate and parts[number - 1].translate:
            text.append(" ")
        sentence = Request(segment.text, request.source, request.target)
        for piece in broken.get(sentence, [sentence]) if segment.translate else [segment.text]:
            if isinstance(piece, str):
                text.append(piece)
            else:
                used.append(known[piece])
                text.append(known[piece].text)
    tokens = sum(hypothesis.tokens for hypothesis in used)
    return Translation(
        text="".join(text),
        score=sum(hypothesis.log_probability for hypothesis in used) / tokens if tokens else 0.0,
        cut_off=any(hypothesis.cut_off for hypothesis in used),
        unknown=any(hypothesis.unknown for hypothesis in used),
        empty=any(not hypothesis.text for hypothesis in used),
    )
