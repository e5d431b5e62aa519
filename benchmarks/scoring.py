"""Speed of scoring: a predictions file of XM3600's size, and CIDEr-D against pycocoevalcap.

Writes a file of 3,600 pictures in 36 languages (with --quick an eighth of the pictures) with two references
each and 261,375 in all, of made-up words in the scripts of the languages; reads and scores it as `realign
evaluate` does, with intervals: CIDEr-D alone (`captions_per_second`, references counted, `peak_mib`) and all
caption metrics (`all_captions_per_second`). `vs_pycocoevalcap` compares CIDEr-D alone on the words of a few
languages, in processor time, and `difference` is the largest between its scores and ours. The last line of
standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import random
import resource
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from evaluation.cider import cider_scores
from evaluation.predictions import Predictions, read_predictions
from evaluation.results import Provenance, evaluate
from evaluation.tokens import tokenise
from translation.languages import languages, resolve

# XM3600's; Quechua is Ayacucho's here, for the registry does not know Cusco's.
CODES = """
ar bn cs da de el en es fa fi fil fr he hi hr hu id it ja ko mi nl no pl pt quy ro ru sv sw te th tr uk vi zh
"""
LANGUAGES = tuple(resolve(code).nllb for code in CODES.split())
PICTURES, QUICK_PICTURES, CAPTIONS = 3600, 450, 261_375
WORDS, LENGTH = 8000, (5, 14)

CAPTION_METRICS = ("cider", "rouge_l", "bleu", "chrf++", "fidelity")

COMPARED, QUICK_COMPARED = ("eng_Latn", "deu_Latn", "zho_Hans", "tha_Thai"), ("eng_Latn", "zho_Hans")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="an eighth of the pictures")
    quick = options.parse_args().quick
    pictures = QUICK_PICTURES if quick else PICTURES
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "predictions.jsonl")
        captions = write(path, pictures)
        reading = Spent.on(lambda: read_predictions(path))
        predictions = read_predictions(path)
    print(f"{captions:,} references and {len(predictions.items):,} predictions in {len(LANGUAGES)} languages")
    cider = reading + _scored(predictions, ("cider",))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"reading {reading}, with CIDEr-D and intervals {cider}, peak {peak:,.0f} MiB")
    everything = reading + _scored(predictions, CAPTION_METRICS)
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"reading and {', '.join(CAPTION_METRICS)} {everything}, peak {whole:,.0f} MiB")
    figures = {
        "captions_per_second": round(captions / cider.wall),
        "captions_per_cpu_second": round(captions / cider.cpu),
        "peak_mib": round(peak),
        "all_captions_per_second": round(captions / everything.wall),
        "all_captions_per_cpu_second": round(captions / everything.cpu),
        "all_peak_mib": round(whole),
        **_against_pycocoevalcap(predictions, QUICK_COMPARED if quick else COMPARED),
    }
    print(json.dumps(figures))
    return 0


@dataclass(frozen=True)
class Spent:
    """Seconds: on a machine that others use too, those of the processor say more."""

    wall: float
    cpu: float

    @classmethod
    def on(cls, work: Callable[[], object]) -> Spent:
        wall, cpu = time.monotonic(), time.process_time()
        work()
        return cls(time.monotonic() - wall, time.process_time() - cpu)

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.wall + other.wall, self.cpu + other.cpu)

    def __str__(self) -> str:
        return f"{self.wall:.1f} s ({self.cpu:.1f} s of processor time)"


def _scored(predictions: Predictions, metrics: Sequence[str]) -> Spent:
    return Spent.on(lambda: evaluate(predictions, metrics, Provenance("synthetic")))


def _against_pycocoevalcap(predictions: Predictions, codes: Sequence[str]) -> dict[str, float | None]:
    """How many times as fast as `Cider.compute_score` on the same words; None where it is not installed."""
    if importlib.util.find_spec("pycocoevalcap") is None:
        print("pycocoevalcap is not installed: pip install pycocoevalcap")
        return {"vs_pycocoevalcap": None, "difference": None}
    from pycocoevalcap.cider.cider import Cider

    ours = theirs = Spent(0, 0)
    difference = 0.0
    for code in codes:
        items = [item for item in predictions.items if item.expected.language == code]
        hypotheses = tokenise([item.prediction for item in items], code)
        references = [tokenise(item.expected.references, code) for item in items]
        res = {place: [" ".join(words)] for place, words in enumerate(hypotheses)}
        gts = {place: [" ".join(words) for words in own] for place, own in enumerate(references)}
        ours += Spent.on(partial(cider_scores, hypotheses, references))
        theirs += Spent.on(partial(Cider().compute_score, gts, res))
        _, other = Cider().compute_score(gts, res)
        difference = max(difference, float(np.abs(cider_scores(hypotheses, references) - other).max()))
    print(f"CIDEr-D of {len(codes)} languages: {ours}, pycocoevalcap {theirs}")
    return {"vs_pycocoevalcap": round(theirs.cpu / ours.cpu, 1), "difference": difference}


def write(path: Path, pictures: int) -> int:
    """Writes a predictions file; returns how many references it holds."""
    draw = random.Random(17)
    # Two references each, and a third for the first few.
    third = CAPTIONS * pictures // PICTURES - 2 * pictures * len(LANGUAGES)
    captions = 0
    with path.open("w", encoding="utf-8") as file:
        for code in LANGUAGES:
            words = vocabulary(code)
            weights = list(itertools.accumulate(1 / (rank + 2) for rank in range(len(words))))
            space = " " if languages()[code].spaced else ""
            for picture in range(pictures):
                # Captions of one picture share words, as people's do.
                topic = draw.choices(words, cum_weights=weights, k=12) + words[:20]
                count = 3 if third > 0 else 2
                texts = [space.join(draw.choices(topic, k=draw.randint(*LENGTH))) for _ in range(count + 1)]
                captions, third = captions + count, third - 1
                line = {"id": str(picture), "language": code, "prediction": texts[0], "references": texts[1:]}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return captions


def vocabulary(code: str) -> list[str]:
    """Made-up words of 1 to 9 letters in the script of a language (NLLB code); of 1 to 3 in Han and Kana."""
    draw = random.Random(code)
    longest = 3 if "Han" in languages()[code].scripts else 9
    letters = alphabet(languages()[code].scripts)
    return ["".join(draw.choices(letters, k=draw.randint(1, longest))) for _ in range(WORDS)]


@cache
def alphabet(scripts: tuple[str, ...]) -> str:
    """Lower-case letters and vowel signs of Unicode scripts, by name; at most 3,000 of them."""
    names = tuple({"Han": "CJK UNIFIED IDEOGRAPH"}.get(script, script.upper()) + " " for script in scripts)
    letters = (chr(code) for code in range(0x61, 0xD7A4))
    found = [
        letter
        for letter in letters
        if unicodedata.name(letter, "").startswith(tuple(name.rstrip() for name in names))
        and unicodedata.category(letter) in ("Ll", "Lo", "Mc", "Mn")
    ]
    return "".join(found[:3000])


if __name__ == "__main__":
    sys.exit(main())
