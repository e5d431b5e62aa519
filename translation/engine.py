"""The translation engine: sentences through an NLLB model on CTranslate2, put back together exactly.

`Engine.translate` takes texts of any length and mix of languages. Each text is cut into sentences
(`translation.segments`); every distinct sentence is translated once, in batches of like lengths
(`translation.decoder`); separators and placeholders return unchanged. A language with a vocabulary shortlist
(`translation.shortlists`) uses it. What comes back cut off, empty, in a loop or with `<unk>` is tried again.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType, TracebackType

from translation import segments
from translation.decoder import Decoder, Threads
from translation.filters.pairs import Batch, TextPair
from translation.filters.repetition import repetition
from translation.languages import languages
from translation.model import SENTENCEPIECE, ModelDescription, ModelError, read_description
from translation.shortlists import ShortlistReport, read_shortlists
from translation.tokenizer import END, Tokenizer, has_text
from translation.translations import Decoding, Request, Translation

BATCH_TEXTS: Mapping[str, int] = MappingProxyType({"cpu": 512, "cuda": 2048})
"""Texts to hand to an engine in one call, by device: about a minute of NLLB-600M on two cores, seconds of a
GPU; enough to sort by length within, and on a GPU to fill the batches of the decoder."""

LOOP = 0.5
"""`repetition` from which on a sentence is tried again (four times in a row); filters reject it from 0.55."""
MENDED = 0.3
"""`repetition` below which a second try is good: not thrice in a row. The filters would pass a loop that is
only cut short."""

WIDER = 2
"""Times as many hypotheses as at first are followed in a second try, at least `LEAST_BEAM`."""
LEAST_BEAM = 4
NO_REPEAT = 3
"""Tokens of the shortest run that must not come twice in a second try."""


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
    def broken(self) -> bool:
        """Cut off in the output, empty, or with `<unk>`."""
        return not self.ended or self.unknown or not self.text

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
        threads: Threads | None = None,
        shortlist: bool = True,
        check: bool = True,
    ) -> None:
        """Loads the model.

        Args:
            directory: as `translate-mix model add` writes it.
            device: `cpu`, `cuda` or `auto`.
            threads: how the work is laid over the machine.
            shortlist: use the vocabulary shortlists, where the model has any and the device can.
            check: compare every file with its digest first.

        Raises:
            ModelError: the directory is no model, or a file of it is damaged.
        """
        self.description: ModelDescription = read_description(directory, check)
        self.decoding = decoding or Decoding()
        self.languages = frozenset(self.description.languages)
        for limit in ("max_input_tokens", "max_output_tokens"):
            # The language code, </s>, and on the target side one token that tells a cut from an end.
            if getattr(self.decoding, limit) + 3 > self.description.positions:
                raise ModelError(
                    f"{limit} is {getattr(self.decoding, limit)}, but model {self.description.name} has "
                    f"{self.description.positions} positions; at most {self.description.positions - 3}"
                )
        try:
            self._tokenizer = Tokenizer(directory / SENTENCEPIECE)
        except ValueError as error:
            raise ModelError(str(error)) from error
        self._decoder = Decoder(directory, device=device, threads=threads)
        self.device: str = self._decoder.device
        """`cpu` or `cuda`."""
        self.devices: int = self._decoder.devices
        """See `Decoder.devices`."""
        self.compute_type: str = self._decoder.compute_type
        """See `Decoder.compute_type`."""
        report = None
        if shortlist and self._decoder.restricts:
            report = read_shortlists(directory, self.description)
        self.shortlisted: frozenset[str] = report.languages if report else frozenset()
        """Languages into which a shortlist is used."""
        self.shortlist_digest: str = self.description.shortlist_digest if report else ""
        """Names the shortlists that are used; empty without any."""
        self._tries: Counter[str] = Counter()
        self._lock = threading.Lock()
        if report:
            self._check_shortlists(directory, report)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the weights. The engine cannot be used afterwards."""
        self._decoder.close()

    @property
    def tries(self) -> Counter[str]:
        """Since it was opened: `sentences` decoded, how many of them were tried again with the
        `whole_vocabulary` and with a `wider_beam`, and how many were `mended` by that."""
        with self._lock:
            return self._tries.copy()

    def supports(self, code: str) -> bool:
        """Was the model trained on this language?"""
        return code in self.languages

    def translate(
        self, requests: Sequence[Request], *, whole: bool = False, full: bool = False
    ) -> list[Translation]:
        """Translates each request; equal requests are translated once.

        Args:
            whole: take each text as one sentence, so that the model sees all of it at once.
            full: use the whole vocabulary, whatever shortlists there are.

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
        known = self._translate_sentences(wanted, full)
        broken = self._piecewise(known, full)
        return [
            _assemble(parts, request, known, broken) for request, parts in zip(requests, split, strict=True)
        ]

    def tokens(self, requests: Sequence[Request]) -> list[list[str]]:
        """The model's output pieces for each request taken as one sentence, to compare with other engines."""
        known = self._translate_sentences(set(requests), full=False)
        return [list(known[request].pieces) for request in requests]

    def _piecewise(self, known: dict[Request, _Hypothesis], full: bool) -> dict[Request, list[Request | str]]:
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
        known.update(self._translate_sentences(pieces - known.keys(), full))
        return broken

    def _translate_sentences(self, requests: Collection[Request], full: bool) -> dict[Request, _Hypothesis]:
        """Each distinct sentence once, and again where that may help."""
        ordered = sorted(requests, key=lambda request: (request.text, request.source, request.target))
        listed = [request for request in ordered if request.target in self.shortlisted and not full]
        rest = [request for request in ordered if request.target not in self.shortlisted or full]
        known = self._decode(listed, self.decoding, restricted=True)
        known.update(self._decode(rest, self.decoding))
        counts = Counter(sentences=len(ordered))
        tries = self.decoding.second_tries
        faulty = _faulty(known) if tries else []
        before = len(faulty)
        if tries:
            again = [request for request in faulty if request.target in self.shortlisted and not full]
            counts["whole_vocabulary"] = len(again)
            good = _good(self._decode(again, self.decoding))
            known.update(good)
            faulty = [request for request in faulty if request not in good]
        # Those that had a shortlist have used up one try.
        again = [request for request in faulty if tries > (request.target in self.shortlisted and not full)]
        counts["wider_beam"] = len(again)
        good = _good(self._decode(again, _wider(self.decoding), known_only=True))
        known.update(good)
        counts["mended"] = before - len(faulty) + len(good)
        with self._lock:
            self._tries += counts
        return known

    def _decode(
        self,
        requests: Sequence[Request],
        decoding: Decoding,
        *,
        restricted: bool = False,
        known_only: bool = False,
    ) -> dict[Request, _Hypothesis]:
        """Each sentence. Those over the input limit are cut here and flagged."""
        limit = decoding.max_input_tokens
        tokens = self._tokenizer.encode([request.text for request in requests])
        decoded = self._decoder.decode(
            [
                [request.source, *pieces[:limit], END]
                for request, pieces in zip(requests, tokens, strict=True)
            ],
            [request.target for request in requests],
            decoding,
            restricted=restricted,
            known_only=known_only,
        )
        return {
            request: _Hypothesis(
                text=self._tokenizer.decode(one.tokens).strip(),
                pieces=one.tokens,
                log_probability=one.log_probability,
                ended=one.ended,
                cut_off=len(pieces) > limit or not one.ended,
                unknown=not all(map(has_text, one.tokens)),
            )
            for request, pieces, one in zip(requests, tokens, decoded, strict=True)
        }

    def _check_shortlists(self, directory: Path, report: ShortlistReport) -> None:
        """Sees that this CTranslate2 finds a list by its marks, which is nowhere promised."""
        for shortlist in report.lists:
            if shortlist.tokens:
                found = self._decoder.entries(shortlist.language)
                if found != report.always + shortlist.tokens:
                    raise ModelError(
                        f"{directory}: CTranslate2 {version('ctranslate2')} leaves {found:,} entries of the "
                        f"vocabulary where the shortlist of {shortlist.language} has {shortlist.tokens:,}; "
                        "switch the shortlists off, or install another version"
                    )
                return


def _wider(decoding: Decoding) -> Decoding:
    """How a sentence is decoded that came out wrong: more hypotheses, and no run of tokens twice."""
    return replace(
        decoding,
        beam_size=max(LEAST_BEAM, WIDER * decoding.beam_size),
        no_repeat_ngram_size=decoding.no_repeat_ngram_size or NO_REPEAT,
    )


def _faulty(known: Mapping[Request, _Hypothesis], bound: float = LOOP) -> list[Request]:
    """The sentences whose hypothesis is broken, or repeats itself from `bound` on."""
    loops = repetition(
        Batch([TextPair(request.text, one.text, request.target) for request, one in known.items()])
    )
    return [
        request
        for (request, one), loop in zip(known.items(), loops, strict=True)
        if one.broken or loop >= bound
    ]


def _good(known: Mapping[Request, _Hypothesis]) -> dict[Request, _Hypothesis]:
    """The hypotheses that nothing is wrong with."""
    faulty = set(_faulty(known, MENDED))
    return {request: one for request, one in known.items() if request not in faulty}


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
