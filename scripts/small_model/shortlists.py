"""Gives the small model its vocabulary shortlists.

    python scripts/small_model/shortlists.py --pairs build/small/pairs.jsonl --model translation/models/small

A list comes from CLDR's names that the model was taught in a language, and from what the model itself, with
its whole vocabulary, makes of the English ones. The last line of standard output is one JSON object: per
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

from scripts.small_model.card import Pair, read_pairs
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
FREQUENT = 2_000
"""Of 8,204 entries. With 500 and without what the model makes of all names, 1.1 % of them changed."""
MEASURED = 120
"""Taught names of a language whose translations are compared; of the held-out ones all are."""


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
    requests += [Request(pair.name, pair.code, ENGLISH) for pair in pairs[::20]]
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
    references = [[pair.name for pair in pairs]]
    return Agreement(
        len(pairs),
        round(fmean(one == other for one, other in zip(full, short, strict=True)), 4),
        round(CHRF().corpus_score(full, references).score, 2),
        round(CHRF().corpus_score(short, references).score, 2),
        round((between - began) / (ended - between), 2),
    )


def measured(engine: Engine, pairs: Sequence[Pair]) -> dict[str, dict[str, dict[str, float]]]:
    """By language, of those that have a list, and kind of names."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for code in sorted(engine.shortlisted - {ENGLISH}):
        own = sorted((pair for pair in pairs if pair.code == code), key=lambda pair: _place(pair.english))
        kinds = {
            "taught": [pair for pair in own if pair.trained][-MEASURED:],
            "held_out": [pair for pair in own if not pair.trained],
        }
        found[code] = {kind: vars(agreement(engine, some)) for kind, some in kinds.items() if some}
        print(code, json.dumps(found[code]), file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pairs", type=Path, required=True, help="as names.py writes them")
    parser.add_argument("--model", type=Path, required=True, help="directory of the model; changed in place")
    parser.add_argument("--threads", type=int, default=1, help="batches at the same time")
    parsed = parser.parse_args()
    pairs = read_pairs(parsed.pairs)
    taught = [pair for pair in pairs if pair.trained]
    threads = Threads(inter=parsed.threads, intra=1)
    with Engine(parsed.model, GREEDY, threads=threads, shortlist=False) as engine:
        texts = own_translations(engine, taught)
    for pair in taught:
        texts[pair.code].append(pair.name)
        texts[ENGLISH].append(pair.english)
    build_shortlists(
        parsed.model,
        texts,
        sorted({pair.english for pair in taught}, key=_place)[:SAMPLE],
        decoding=DECODING,
        threads=threads,
        frequent=FREQUENT,
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )
    with Engine(parsed.model, DECODING, threads=threads) as engine:
        found = measured(engine, pairs)
    means = {
        f"{kind}_{figure}": round(fmean(one[kind][figure] for one in found.values() if kind in one), 4)
        for kind in ("taught", "held_out")
        for figure in ("same", "chrf_full", "chrf_shortlist", "speed")
    }
    print(json.dumps(means | {"languages": found}))


if __name__ == "__main__":
    main()
