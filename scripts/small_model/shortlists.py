"""Gives the small model its vocabulary shortlists.

    python -m scripts.small_model.shortlists --data build/small-model/data/pairs.parquet --model DIR

A list comes from the texts that the model was taught in a language, and from what the model itself, with its
whole vocabulary, makes of English names. The last line of standard output is one JSON object: per
language, and in the mean, the share of names that come out the same with the list, taught ones and held-out
ones, chrF against CLDR's names with and without it, and how much faster it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from sacrebleu.metrics.chrf import CHRF

from scripts.small_model.data import TRAIN
from scripts.small_model.examples import read_pairs
from scripts.small_model.measure import NAMES, TRAINED, Pair, read_data
from translation.decoder import Threads
from translation.engine import Engine
from translation.languages import ENGLISH
from translation.shortlist_building import build_shortlists
from translation.translations import Decoding, Request

DECODING = Decoding(max_output_tokens=128)
GREEDY = Decoding(beam_size=1, max_output_tokens=128)
"""For what the model makes of all names: the same pieces as with a beam, in a quarter of the time."""
SAMPLE = 240
"""Taught English names that the build compares with: about a minute in all on 2 cores."""
FREQUENT = 4_000
"""Of about 24,000 entries."""
TRANSLATED = 300
"""Taught names of a language that the model translates to add what it uses itself."""
MEASURED = 120
"""Names of a language, taught ones and held-out ones, whose translations are compared."""


@dataclass(frozen=True)
class Agreement:
    """What the lists change in one language, for names of one kind."""

    names: int
    same: float
    """Share (0..1) of the outputs."""
    chrf_full: float
    """Against CLDR's names, with the whole vocabulary; 0..100."""
    chrf_shortlist: float
    speed: float
    """Time without the list over time with it."""


def _place(name: str) -> bytes:
    """Puts names in an order that has nothing to do with what they mean."""
    return hashlib.sha256(name.encode()).digest()


def own_translations(engine: Engine, pairs: Sequence[Pair]) -> dict[str, list[str]]:
    """By language what the model makes of the taught names: from English, and into English."""
    requests = [Request(pair.english, ENGLISH, pair.code) for pair in pairs]
    # Into English every name of every language would take as long as all the rest.
    requests += [Request(pair.text, pair.code, ENGLISH) for pair in pairs[::20]]
    made: dict[str, list[str]] = defaultdict(list)
    for request, one in zip(requests, engine.translate(requests, full=True), strict=True):
        made[request.target].append(one.text)
    return made


def agreement(engine: Engine, pairs: Sequence[Pair]) -> Agreement:
    """Compares the translations of the English names of one language."""
    requests = [Request(pair.english, ENGLISH, pair.code) for pair in pairs]
    began = time.perf_counter()
    full = [one.text for one in engine.translate(requests, full=True)]
    between = time.perf_counter()
    short = [one.text for one in engine.translate(requests)]
    ended = time.perf_counter()
    references = [[pair.text for pair in pairs]]
    return Agreement(
        len(pairs),
        round(fmean(one == other for one, other in zip(full, short, strict=True)), 4),
        round(CHRF().corpus_score(full, references).score, 2),
        round(CHRF().corpus_score(short, references).score, 2),
        round((between - began) / (ended - between), 2),
    )


def measured(
    engine: Engine, taught: Sequence[Pair], held_out: Sequence[Pair]
) -> dict[str, dict[str, dict[str, float]]]:
    """By language, of those that have a list, and kind of names."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for code in sorted(engine.shortlisted - {ENGLISH}):
        kinds = {"taught": chosen(taught, code)[-MEASURED:], "held_out": chosen(held_out, code)[-MEASURED:]}
        found[code] = {kind: vars(agreement(engine, some)) for kind, some in kinds.items() if some}
        print(code, json.dumps(found[code]), file=sys.stderr, flush=True)
    return found


def chosen(pairs: Sequence[Pair], code: str) -> list[Pair]:
    """The pairs of a language in an order that has nothing to do with what they mean."""
    return sorted((pair for pair in pairs if pair.code == code), key=lambda pair: _place(pair.english))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help="pairs.parquet of data.py")
    parser.add_argument("--model", type=Path, required=True, help="directory of the model; changed in place")
    parser.add_argument("--threads", type=int, default=1, help="batches at the same time")
    parsed = parser.parse_args()
    sets, _ = read_data(parsed.data)
    threads = Threads(inter=parsed.threads, intra=1)
    with Engine(parsed.model, GREEDY, threads=threads, shortlist=False) as engine:
        taught, held_out = (
            [pair for pair in sets[name] if pair.code in engine.languages] for name in (TRAINED, NAMES)
        )
        known = [
            pair
            for code in sorted(engine.languages - {ENGLISH})
            for pair in chosen(taught, code)[:TRANSLATED]
        ]
        texts = own_translations(engine, known)
        everything = read_pairs(parsed.data, TRAIN)
        for code, text in zip(everything.codes, everything.targets, strict=True):
            if code in engine.languages:
                texts[code].append(text)
    texts[ENGLISH] += sorted(set(everything.sources))
    build_shortlists(
        parsed.model,
        texts,
        sorted({pair.english for pair in taught}, key=_place)[:SAMPLE],
        decoding=DECODING,
        threads=threads,
        frequent=FREQUENT,
        anew=True,
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )
    with Engine(parsed.model, DECODING, threads=threads) as engine:
        found = measured(engine, taught, held_out)
    means = {
        f"{kind}_{figure}": round(fmean(one[kind][figure] for one in found.values() if kind in one), 4)
        for kind in ("taught", "held_out")
        for figure in ("same", "chrf_full", "chrf_shortlist", "speed")
    }
    print(json.dumps(means | {"languages": found}))


if __name__ == "__main__":
    main()
