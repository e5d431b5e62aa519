"""Builds a model's vocabulary shortlists from texts, and measures what they change.

A language's list has the pieces of texts in it, every single character of its scripts with digits and
punctuation, the pieces that are most frequent in its scripts, and all pieces of a script that few languages
share. Half of a sample of English texts, translated with the whole vocabulary, adds what the model itself
uses; with the other half the translations with and without the list are compared.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from sacrebleu.metrics.chrf import CHRF

from translation.decoder import Threads
from translation.disk import rename, sync_tree
from translation.engine import Engine
from translation.languages import ENGLISH, languages
from translation.model import (
    DESCRIPTION,
    LISTS,
    SENTENCEPIECE,
    WEIGHTS,
    ModelDescription,
    ModelError,
    check_files,
    read_description,
    write_description,
)
from translation.model_weights import order_vocabulary
from translation.piece_scripts import PieceScripts
from translation.shortlists import (
    SHORTLISTS,
    VOCABULARY,
    VOCABULARY_MAP,
    Shortlist,
    ShortlistReport,
    in_front,
    is_ordered,
    read_lists,
    read_shortlists,
    read_vocabulary,
    write_shortlists,
)
from translation.tokenizer import Tokenizer
from translation.translations import Decoding, Request

LEAST_AGREEMENT = 0.98
"""Share of a sample's translations that must be the same with a list, else the language gets none."""

LEAST_TEXTS = 200
"""Texts that a list needs, unless the language shares its scripts with few others."""

LEAST_SAMPLE = 40
"""English texts to compare with; half of them only add to the lists."""

MOST_FROM_TEXTS = 20_000
"""Pieces of texts, the most frequent ones. With lists of 22,000 entries a model of NLLB-600M's shape was 2.1
times as fast on 2 CPU cores (beam 4)."""

FREQUENT = 2_000
"""Pieces of a language's scripts that come first in the vocabulary, which BPE orders by frequency."""

FEW_LANGUAGES = 3
"""Of a script that is shared by so few, a language gets all pieces."""

_TEXTS_AT_ONCE = 4096

Progress = Callable[[str], None]


def build_shortlists(
    directory: Path,
    texts: Mapping[str, Iterable[str]],
    sample: Iterable[str],
    *,
    decoding: Decoding | None = None,
    threads: Threads | None = None,
    least_agreement: float = LEAST_AGREEMENT,
    frequent: int = FREQUENT,
    anew: bool = False,
    progress: Progress = lambda line: None,
) -> ShortlistReport:
    """Gives a model lists for some of its languages; runs the model on the CPU.

    A list that the model has is replaced by the one that the texts make; where they make none it stays, if it
    was compared with the same decoding.

    A model whose vocabulary has another order than lists need (`shortlists.in_front`) is written anew, with
    another digest. The files change when all is measured, one after the other and `model.json` last: if it is
    killed in between, the digests tell.

    Args:
        directory: as `translate-mix model add` writes it.
        texts: by NLLB code, translations that people or the model made. English is for the way back. None are
            needed in a language with scripts of its own.
        sample: English texts like those to be translated.
        decoding: to compare with; as `Decoding` has it, if not given.
        least_agreement: share (0..1) of a language's translations that must not change, else it gets no list.
        frequent: see `FREQUENT`.
        anew: no list stays that the texts cannot make.
        progress: is told what goes on, a line a step.

    Raises:
        ModelError: not a model directory, one that cannot have lists, or one that cannot be written.
        ValueError: the sample is too small, or a language of `texts` is none of the model's.
    """
    directory = directory.resolve()
    description = _described(directory)
    sample = list(dict.fromkeys(text for text in sample if text.strip()))
    if len(sample) < LEAST_SAMPLE:
        raise ValueError(
            f"{len(sample)} different English texts to compare with; give at least {LEAST_SAMPLE}"
        )
    for code in texts:
        if code not in description.languages:
            raise ValueError(f"texts in {code}: model {description.name} was not trained on this language")
    decoding = decoding or Decoding()
    earlier = {} if anew else _earlier(directory, decoding)
    try:
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as scratch:
            made = Path(scratch)
            vocabulary = _copied(directory, description, made, progress)
            tokenizer = Tokenizer(made / SENTENCEPIECE)
            candidates = _candidates(texts, description.languages, vocabulary, tokenizer, frequent)
            lists = {code: set(one.tokens) for code, one in candidates.items() if not one.refused}
            with Engine(made, decoding, threads=threads, check=False) as engine:
                whole = _translations(engine, sorted(lists), sample, progress)
            for code, translated in whole.items():
                for pieces in tokenizer.encode([translation for _, translation in translated[::2]]):
                    lists[code].update(pieces)
            report = ShortlistReport(
                vocabulary=len(vocabulary),
                always=len(in_front(vocabulary)),
                least_agreement=least_agreement,
                decoding=decoding,
                lists=tuple(
                    Shortlist(code, 0, one.texts, 0, None, None, one.refused)
                    for code, one in sorted(candidates.items())
                ),
            )
            report = write_shortlists(made, vocabulary, lists, report)
            _describe(made, description)
            with Engine(made, decoding, threads=threads, check=False) as engine:
                compared = tuple(
                    _compared(engine, one, whole.get(one.language, [])[1::2], least_agreement, progress)
                    for one in report.lists
                )
            kept: dict[str, Iterable[str]] = {
                one.language: lists[one.language] for one in compared if one.tokens
            }
            stay = {code: one for code, one in earlier.items() if code not in kept}
            if stay:
                progress(f"the texts make no list for {', '.join(sorted(stay))}: those that are there stay")
            kept |= {code: tokens for code, (_, tokens) in stay.items()}
            compared = tuple(stay[one.language][0] if one.language in stay else one for one in compared)
            report = write_shortlists(made, vocabulary, kept, replace(report, lists=compared))
            _describe(made, description)
            sync_tree(made)
            # What says whether the others are whole comes last.
            for name in (WEIGHTS, VOCABULARY, VOCABULARY_MAP, SHORTLISTS, DESCRIPTION):
                if not (made / name).is_symlink():
                    rename(made / name, directory / name)
    except OSError as error:
        raise ModelError(f"{directory}: the lists cannot be written: {error}") from error
    return report


def _earlier(directory: Path, decoding: Decoding) -> dict[str, tuple[Shortlist, frozenset[str]]]:
    """The lists that a model has, by language; none where they are damaged, or for another decoding."""
    description = read_description(directory, check=False)
    files = {name: digest for name, digest in description.files.items() if name in LISTS}
    try:
        check_files(directory, replace(description, files=files))
        report = read_shortlists(directory, description)
        if report is None or report.decoding != decoding:
            return {}
        tokens = read_lists(directory, report.languages)
    except ModelError:
        return {}
    return {one.language: (one, tokens[one.language]) for one in report.lists if one.tokens}


def _described(directory: Path) -> ModelDescription:
    """What the model is without lists; what they are does not matter, for they are made anew."""
    description = read_description(directory, check=False)
    files = {name: digest for name, digest in description.files.items() if name not in LISTS}
    description = replace(description, files=files)
    check_files(directory, description)
    return description


def _copied(directory: Path, description: ModelDescription, made: Path, progress: Progress) -> list[str]:
    """Makes another directory of the same model, with the vocabulary (returned) in the order for lists."""
    vocabulary = read_vocabulary(directory)
    changed = set() if is_ordered(vocabulary) else {WEIGHTS, VOCABULARY}
    for name in description.files:
        if name not in changed:
            (made / name).symlink_to(directory / name)
    if changed:
        progress("writing the weights anew, in the order that lists need")
        vocabulary = order_vocabulary(directory, made)
    _describe(made, description)
    return vocabulary


def _describe(made: Path, description: ModelDescription) -> None:
    write_description(
        made,
        description.name,
        description.licence,
        description.quantization,
        description.positions,
        description.languages,
    )


@dataclass(frozen=True)
class _Candidate:
    """What a list may hold before the model adds to it."""

    tokens: frozenset[str]
    texts: int
    refused: str


def _candidates(
    texts: Mapping[str, Iterable[str]],
    trained: Iterable[str],
    vocabulary: Sequence[str],
    tokenizer: Tokenizer,
    frequent: int,
) -> dict[str, _Candidate]:
    """By language of the model what its texts and scripts give."""
    pieces = PieceScripts(vocabulary)
    counts = Counter(script for code in trained for script in languages()[code].scripts)
    rare = {script for script, number in counts.items() if number <= FEW_LANGUAGES}
    found = {}
    for code in trained:
        if code not in texts:
            found[code] = _Candidate(frozenset(), 0, "no texts given")
            continue
        number, used = _counted(texts[code], tokenizer)
        scripts = set(languages()[code].scripts)
        if number < LEAST_TEXTS and not scripts <= rare:
            found[code] = _Candidate(frozenset(), number, f"{number} texts, of {LEAST_TEXTS} that it needs")
            continue
        tokens = {
            *sorted(used, key=lambda piece: (-used[piece], piece))[:MOST_FROM_TEXTS],
            *pieces.written_in(scripts)[:frequent],
            *pieces.written_with(scripts & rare, scripts),
            *pieces.single(scripts),
        }
        found[code] = _Candidate(frozenset(tokens), number, "")
    return found


def _counted(texts: Iterable[str], tokenizer: Tokenizer) -> tuple[int, Counter[str]]:
    """How many texts there are, and how often each piece is in them."""
    number, used, left = 0, Counter[str](), iter(texts)
    while some := list(islice(left, _TEXTS_AT_ONCE)):
        number += len(some)
        for pieces in tokenizer.encode(some):
            used.update(pieces)
    return number, used


Translated = list[tuple[Request, str]]
"""Requests and what the whole vocabulary makes of them."""


def _translations(
    engine: Engine, codes: Sequence[str], sample: Sequence[str], progress: Progress
) -> dict[str, Translated]:
    """The sample in each of the languages, and from these in turn into English, if it is among them."""
    made: dict[str, Translated] = {}
    for code in codes:
        if code != ENGLISH:
            made[code] = _translated(engine, [Request(text, ENGLISH, code) for text in sample])
            progress(f"{code}: {len(sample)} texts translated with the whole vocabulary")
    if ENGLISH in codes and made:
        others = list(made.values())
        back = [others[index % len(others)][index] for index in range(len(sample))]
        made[ENGLISH] = _translated(
            engine, [Request(text, request.target, ENGLISH) for request, text in back if text.strip()]
        )
        progress(f"{ENGLISH}: {len(made[ENGLISH])} texts translated with the whole vocabulary")
    return made


def _translated(engine: Engine, requests: Sequence[Request]) -> Translated:
    translations = engine.translate(requests, full=True)
    return [(request, one.text) for request, one in zip(requests, translations, strict=True)]


def _compared(
    engine: Engine, shortlist: Shortlist, translated: Translated, least_agreement: float, progress: Progress
) -> Shortlist:
    """The list with what it changes, or without its entries if it changes too much."""
    if not shortlist.tokens:
        return shortlist
    if len(translated) < LEAST_SAMPLE // 2:
        return replace(shortlist, tokens=0, refused="no texts to compare with")
    before = [text for _, text in translated]
    after = [one.text for one in engine.translate([request for request, _ in translated])]
    agreement = sum(map(str.__eq__, before, after)) / len(before)
    difference = 0.0 if before == after else 100 - CHRF().corpus_score(after, [before]).score
    progress(
        f"{shortlist.language}: {shortlist.tokens:,} entries, {agreement:.1%} of {len(before)} texts the same"
    )
    measured = replace(
        shortlist, sample=len(before), agreement=round(agreement, 4), chrf_difference=round(difference, 2)
    )
    if agreement < least_agreement:
        return replace(
            measured, tokens=0, refused=f"{agreement:.1%} the same, of at least {least_agreement:.1%}"
        )
    return measured
