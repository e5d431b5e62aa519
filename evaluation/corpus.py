"""BLEU, chrF++ and spBLEU of a corpus, from the sentence statistics that sacrebleu counts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path

import numpy as np
import sentencepiece
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from evaluation import values
from evaluation.items import Item, by_answer, by_language
from evaluation.measures import Measure
from evaluation.signature import reference_count, signature
from evaluation.values import CHRF_CHARACTERS, CHRF_WORDS, WIDTHS, Floats
from translation.languages import languages


class PiecesError(ValueError):
    """The SentencePiece model of spBLEU cannot be had; the message says where it belongs."""


def bleu(items: Sequence[Item]) -> list[Measure]:
    """Corpus BLEU by sacrebleu: tokenizer `13a`, `zh` for Chinese, `char` where no spaces part words."""
    statistics = np.zeros((len(items), WIDTHS[values.BLEU]))
    used = set()
    for language, places in by_answer(items):
        tokenizer = _bleu_tokenizer(language)
        used.add(tokenizer)
        statistics[places] = _statistics(BLEU(tokenize=tokenizer, force=True), items, places)
    return [_bleu_measure("bleu", statistics, items, "+".join(sorted(used)))]


def spbleu(items: Sequence[Item], pieces: Path | None = None) -> list[Measure]:
    """Corpus BLEU of SentencePiece tokens, FLORES-200's by default (Goyal et al. 2022, arXiv:2106.03193).

    Args:
        pieces: another SentencePiece model.

    Raises:
        PiecesError: the model cannot be read, or not be fetched.
    """
    if pieces is None:
        try:
            scorer, name = BLEU(tokenize="flores200", force=True), "flores200"
        except OSError as error:
            raise PiecesError(
                f"spBLEU: sacrebleu cannot fetch FLORES-200's SentencePiece model ({error}); put it at "
                "~/.sacrebleu/models/flores200sacrebleuspm, or name another model"
            ) from error
    else:
        scorer, name = BLEU(tokenize="none", force=True), f"spm-{_digest(pieces)}"
        items = _in_pieces(items, pieces)
    statistics = np.zeros((len(items), WIDTHS[values.BLEU]))
    for places in by_language(items).values():
        statistics[places] = _statistics(scorer, items, places)
    return [_bleu_measure("spbleu", statistics, items, name)]


def chrf(items: Sequence[Item]) -> list[Measure]:
    """Corpus chrF++ by sacrebleu; of several references the one that is nearest."""
    statistics = np.zeros((len(items), WIDTHS[values.CHRF]))
    for places in by_language(items).values():
        statistics[places] = _statistics(CHRF(word_order=CHRF_WORDS), items, places)
    line = signature(
        "chrf++", refs=reference_count(items), case="mixed", eff="yes", nc=CHRF_CHARACTERS, nw=CHRF_WORDS,
        space="no", sacrebleu=_version(),
    )  # fmt: skip
    return [Measure("chrf++", statistics, values.CHRF, line)]


def _bleu_tokenizer(language: str) -> str:
    if language.startswith("zho_"):
        return "zh"
    return "13a" if languages()[language].spaced else "char"


def _bleu_measure(name: str, statistics: Floats, items: Sequence[Item], tokenizer: str) -> Measure:
    line = signature(
        name, refs=reference_count(items), case="mixed", eff="no", tok=tokenizer, smooth="exp",
        sacrebleu=_version(),
    )  # fmt: skip
    return Measure(name, statistics, values.BLEU, line)


def _statistics(scorer: BLEU | CHRF, items: Sequence[Item], places: NDArray[np.intp]) -> Floats:
    chosen = [items[place] for place in places]
    # sacrebleu wants the first references of all, then the second ones; None where there is none.
    streams = list(zip_longest(*(item.expected.references for item in chosen)))
    # What sacrebleu's own significance tests resample.
    rows = scorer._extract_corpus_statistics([item.prediction for item in chosen], streams)
    return np.array(rows, np.float64)


def _in_pieces(items: Sequence[Item], path: Path) -> list[Item]:
    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise PiecesError(f"spBLEU: {path} is no SentencePiece model ({error})") from error

    def cut(text: str) -> str:
        return " ".join(processor.encode(text, out_type=str))

    return [
        replace(
            item,
            prediction=cut(item.prediction),
            expected=replace(item.expected, references=tuple(map(cut, item.expected.references))),
        )
        for item in items
    ]


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    except OSError as error:
        raise PiecesError(f"spBLEU: cannot read the SentencePiece model {path} ({error})") from error


def _version() -> str:
    return version("sacrebleu")
