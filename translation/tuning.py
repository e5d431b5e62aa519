"""How to lay the work over a machine: what `--threads` says, or a measurement of a few seconds.

What is best depends on the machine, the model and the beam. It also depends on how long the sentences are:
the measurement uses sentences of 4 to 24 words, captions more than anything else. For texts that are much
longer give the numbers by hand.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

from translation.decoder import LEAST_WIDTH, Decoder, Threads, usual_threads
from translation.languages import ENGLISH
from translation.machine import available_cores, available_memory
from translation.model import SENTENCEPIECE, ModelError, read_description
from translation.shortlists import read_shortlists, read_vocabulary
from translation.tokenizer import END, Tokenizer
from translation.translations import Decoding

SENTENCES = (
    "A brown dog runs along the beach with a stick in its mouth.",
    "Two children are playing with a red ball in front of a house.",
    "What color is the car?",
    "A plate of rice, vegetables and grilled fish on a wooden table.",
    "The man on the left wears a blue shirt and is talking on his phone.",
    "A small bathroom with a white sink, a mirror and a window.",
    "How many people are waiting for the train?",
    "A group of cyclists rides past an old church in the rain.",
    "In the background there are several tall buildings, and behind them the sun is setting over the "
    "mountains.",
    "A cat sleeps on a pile of books next to the computer.",
    "Describe what the woman in the picture is doing.",
    "An airplane with four engines is about to land at the airport.",
    "Is there a bench under the tree?",
    "A young woman holds a yellow umbrella while she crosses the busy street.",
    "The kitchen has a stove, a large refrigerator and a counter on which somebody has left a bowl of fresh "
    "fruit.",
    "Black and white photo of a steam train on a bridge.",
)
"""Captions, questions and instructions, of the lengths that such texts have."""

OUTPUT_TOKENS = 4
"""Each hypothesis is cut there: many sentences, as in earnest, fit into little time so, and every candidate
makes equally many tokens. The time of a step hardly depends on how many came before."""
BOUNDS = {"cpu": (1024, 2048, 4096, 8192), "cuda": (8192, 16384, 32768, 65536)}
"""Padded source tokens of a batch to try."""
WARM_UP = 8
"""Sentences decoded first, and not counted: the first ones find neither memory nor threads ready."""
MOST_SENTENCES = 16384
"""Of the sample."""
MARGIN = 1.05
"""So much faster must a candidate be to be taken before one that needs less memory, or before the usual size
of a batch: differences below are noise, and a choice by noise would be another one next time."""
HOPELESS = 0.8
"""Share of the best speed; a candidate below it is not measured a second time, nor one with more batches at
once at all."""
ROUNDS = 2
"""Of each candidate; the faster one counts, because what disturbs only slows down."""
COPIES = 3
"""Of the scores of a step, that CTranslate2 4.8 holds at once (measured: 2.4 to 3.4, NLLB-600M's shape)."""
BYTES = 4
"""Of a score."""
MOST_THREADS = 1024
"""Of a machine. More is a number in the wrong place."""


@dataclass(frozen=True)
class Rate:
    """What one candidate reached."""

    threads: Threads
    """As measured: on a slow machine with smaller batches than it would get in earnest."""
    tokens_per_second: float
    """Target tokens, on sentences cut after a few: to compare with each other, not with a real run."""


@dataclass(frozen=True)
class Measurement:
    """The outcome of `measure`."""

    threads: Threads
    """The best ones."""
    device: str
    rates: tuple[Rate, ...]
    """In the order measured."""
    seconds: float
    """That it took, with loading the model."""

    def __str__(self) -> str:
        """One line for people."""
        rates = ", ".join(f"{rate.threads}: {rate.tokens_per_second:,.0f}" for rate in self.rates)
        return (
            f"threads {self.threads} on {self.device} (batches at once x threads of each x padded tokens of "
            f"a batch; tokens/s measured in {self.seconds:.0f} s: {rates or 'nothing to choose'})"
        )


def parse_threads(text: str) -> Threads | None:
    """What `--threads` says; None for `auto`, which means `measure`.

    `4` is threads of one batch, `2x4` batches at once x threads of each, `2x4x4096` gives the padded source
    tokens of a batch too. A 0 leaves threads to CTranslate2, and tokens to what is usual on the device.

    Raises:
        ValueError: it says something else.
    """
    if text == "auto":
        return None
    numbers = text.split("x")
    if len(numbers) > 3 or not all(number.isascii() and number.isdecimal() for number in numbers):
        raise ValueError(
            f"threads {text!r}: must be auto, 4 (threads of one batch), 2x4 (batches at once x threads of "
            "each) or 2x4x4096 (and padded tokens of a batch)"
        )
    given = [int(number) for number in numbers]
    threads = Threads(*given) if len(given) > 1 else Threads(intra=given[0])
    if threads.inter * max(1, threads.intra) > MOST_THREADS:
        raise ValueError(
            f"threads {text!r}: {threads.inter} batches at once with {threads.intra} threads each; must be "
            f"at most {MOST_THREADS} together"
        )
    return threads


def asked_threads(text: str | None, device: str, cores: int | None = None) -> Threads | None:
    """What `--threads` says, or what is usual on so many cores where it is not given; see `parse_threads`.

    Args:
        cores: all that this process may use if None; 0 leaves it to the machine that will translate.
    """
    if text:
        return parse_threads(text)
    return Threads() if cores == 0 else usual_threads(device, cores or available_cores())


def measure(
    directory: Path,
    decoding: Decoding,
    *,
    device: str = "auto",
    cores: int | None = None,
    shortlist: bool = True,
    max_batch_tokens: int = 0,
    seconds: float = 20.0,
) -> Measurement:
    """Finds the best batches at once, threads of each and size of a batch by trying them on sample sentences.

    Which sizes of a batch are tried depends on the speed: where two batches of the usual size for each of
    those at once do not fit into the time, it stays. On a CPU, candidates whose scores would take more than
    half of the free memory are left out.

    Args:
        directory: a model as `translate-mix model add` writes it.
        cores: to use; all that this process may use if None.
        shortlist: with the model's vocabulary shortlists, where it has any.
        max_batch_tokens: padded tokens of a batch that are not to be chosen; 0 to choose. The size of the
            batches shows in the last digits of a score, and once in hundreds of sentences in a word, so that
            it is part of what makes a run the same again. The other two numbers change nothing.
        seconds: that it may take, about; loading the model comes on top.

    Raises:
        ModelError: the directory is no model, or the device cannot run it.
    """
    began = time.monotonic()
    trial = _trial(directory, decoding, shortlist)
    cores = cores or available_cores()
    with closing(Decoder(directory, device=device, threads=Threads(1, cores, max_batch_tokens))) as decoder:
        device, usual = decoder.device, decoder.threads.max_batch_tokens
        while not max_batch_tokens and usual > min(BOUNDS[device]) and not trial.fits(device, 1, usual):
            usual //= 2
        splits = [
            Threads(inter, intra, usual)
            for inter, intra in _splits(device, cores)
            if inter == 1 or trial.fits(device, inter, usual)
        ]
        bounds = () if max_batch_tokens else BOUNDS[device]
        if len(splits) == 1 and not bounds:
            return Measurement(splits[0], device, (), time.monotonic() - began)
        speed = trial.speed(decoder, seconds / 8)
        devices = decoder.devices
    slot = seconds / (1 + ROUNDS * (len(splits) + len(bounds)))
    # Two for each of those at once: while the last one of some runs, others wait.
    needed = 2 * splits[-1].inter * devices * usual
    if speed * slot * trial.width < needed:
        bounds = ()
        slot = seconds / (1 + ROUNDS * len(splits))
    sentences = min(MOST_SENTENCES, max(4 * splits[-1].inter * devices, int(speed * slot)))
    tried = max(1, min(usual, int(sentences * trial.width) // (2 * splits[-1].inter * devices)))

    rates: dict[Threads, float] = {}
    for split in splits:
        with closing(Decoder(directory, device=device, threads=split)) as decoder:
            trial.run(decoder, WARM_UP, tried)
            rate = trial.rate(decoder, sentences, tried, max(rates.values(), default=0.0))
        rates[replace(split, max_batch_tokens=tried)] = rate
        if rate < max(rates.values()) * HOPELESS:
            break
    best = _first_best(rates)
    if bounds and tried == usual:
        compared = {best: rates[best]}
        with closing(Decoder(directory, device=device, threads=best)) as decoder:
            trial.run(decoder, WARM_UP, usual)
            for bound in bounds:
                measurable = sentences * trial.width >= 2 * best.inter * devices * bound
                if bound != usual and measurable and trial.fits(device, best.inter, bound):
                    rate = trial.rate(decoder, sentences, bound, max(compared.values()))
                    compared[replace(best, max_batch_tokens=bound)] = rate
        rates |= compared
        best = _first_best(compared)
    else:
        best = replace(best, max_batch_tokens=usual)
    measured = tuple(Rate(threads, rate) for threads, rate in rates.items())
    return Measurement(best, device, measured, time.monotonic() - began)


@dataclass(frozen=True)
class _Trial:
    """The work that candidates are measured with."""

    tokens: tuple[tuple[str, ...], ...]
    """Of `SENTENCES`, with language code and end mark."""
    target: str
    """One alone, for a batch with a shortlist holds one; the speed does not depend on which."""
    decoding: Decoding
    restricted: bool
    entries: int
    """Of the vocabulary, or of the longest shortlist."""

    @property
    def width(self) -> float:
        """Mean tokens of a sentence, as a batch counts them."""
        return sum(max(LEAST_WIDTH, len(tokens)) for tokens in self.tokens) / len(self.tokens)

    def run(self, decoder: Decoder, sentences: int, bound: int) -> tuple[int, float]:
        """Decodes so many; how many tokens came out, in how many seconds."""
        sources = list(islice(cycle(self.tokens), sentences))
        began = time.perf_counter()
        decoded = decoder.decode(
            sources,
            [self.target] * sentences,
            self.decoding,
            restricted=self.restricted,
            max_batch_tokens=bound,
        )
        seconds = time.perf_counter() - began
        return sum(len(one.tokens) + one.ended for one in decoded), seconds

    def rate(self, decoder: Decoder, sentences: int, bound: int, best: float) -> float:
        """Tokens a second; measured again unless far below `best`."""
        found = 0.0
        for _ in range(ROUNDS):
            tokens, seconds = self.run(decoder, sentences, bound)
            found = max(found, tokens / seconds)
            if found < best * HOPELESS:
                break
        return found

    def speed(self, decoder: Decoder, seconds: float) -> float:
        """Sentences a second, from as many as take a part of the given time."""
        bound = decoder.threads.max_batch_tokens
        self.run(decoder, WARM_UP, bound)
        sentences = WARM_UP
        while True:
            _, taken = self.run(decoder, sentences, bound)
            if taken > seconds / 4 or sentences >= MOST_SENTENCES:
                return sentences / taken
            sentences *= 4

    def fits(self, device: str, inter: int, bound: int) -> bool:
        """Is there memory for the scores of such batches? A GPU tells it itself."""
        scores = inter * (bound / self.width) * self.decoding.beam_size * self.entries
        return device != "cpu" or COPIES * BYTES * scores <= available_memory() / 2


def _trial(directory: Path, decoding: Decoding, shortlist: bool) -> _Trial:
    description = read_description(directory, check=False)
    report = read_shortlists(directory, description) if shortlist else None
    longest = max(report.lists, key=lambda one: one.tokens, default=None) if report else None
    if report and longest and longest.tokens:
        target, entries, restricted = longest.language, report.always + longest.tokens, True
    else:
        target = next((code for code in description.languages if code != ENGLISH), ENGLISH)
        entries, restricted = len(read_vocabulary(directory)), False
    try:
        tokenizer = Tokenizer(directory / SENTENCEPIECE)
    except ValueError as error:
        raise ModelError(str(error)) from error
    return _Trial(
        tuple((ENGLISH, *tokens, END) for tokens in tokenizer.encode(SENTENCES)),
        target,
        replace(decoding, max_output_tokens=min(OUTPUT_TOKENS, decoding.max_output_tokens)),
        restricted,
        entries,
    )


def _splits(device: str, cores: int) -> list[tuple[int, int]]:
    """Batches at once and threads of each. A GPU has lanes enough for one; a second one fills its pauses."""
    if device == "cuda":
        return [(1, 0), (2, 0)]
    powers = [2**power for power in range(cores.bit_length()) if cores % 2**power == 0]
    return [(inter, cores // inter) for inter in sorted({*powers, cores})]


def _first_best(rates: dict[Threads, float]) -> Threads:
    """The best one; of those within `MARGIN` of each other the one that comes first."""
    best, *others = rates
    for other in others:
        if rates[other] > rates[best] * MARGIN:
            best = other
    return best
