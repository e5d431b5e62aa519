"""What a rerun with nothing new costs: `run` on 100,000 texts (with --quick 3,000), then `run --overwrite`.

Both runs are whole ones in this process, from reading to the manifest; the small model translates greedily.
It is so fast that most of the first run is not translation (`translation_share`), so `share` says little of a
real model. `share_at_rate` puts translating at --rate texts a second in place of the small model's time, by
default NLLB-600M's on two cores. The last line of standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from pipelines.recipe import load_recipe
from pipelines.run import run_mix
from translation.engine import Engine
from translation.memory import Memory
from translation.translations import Request, Translation

ROWS, QUICK_ROWS = 100_000, 3_000
RATE = 14.4
"""Texts a second of NLLB-600M in int8 on two cores, greedy, with shortlists (docs/performance.md)."""

LANGUAGES = ["deu_Latn", "fra_Latn", "jpn_Jpan", "rus_Cyrl", "hin_Deva"]
THINGS = [
    "apple",
    "dog",
    "house",
    "tree",
    "car",
    "cat",
    "bicycle",
    "chair",
    "banana",
    "bird",
    "boat",
    "clock",
]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} rows")
    options.add_argument("--rows", type=int, help=f"default {ROWS:,}")
    options.add_argument(
        "--rate", type=float, default=RATE, help="texts a second of the model to compare with"
    )
    parsed = options.parse_args()
    rows = parsed.rows or (QUICK_ROWS if parsed.quick else ROWS)
    spent = {"translation": 0.0, "lookup": 0.0, "texts": 0.0, "lookups": 0.0}
    with tempfile.TemporaryDirectory() as folder, timed(spent):
        recipe = make_recipe(Path(folder), rows)
        mix = str(Path(folder, "mix"))
        first = run(recipe, mix)
        translation, texts = spent["translation"], spent["texts"]
        manifest = Path(mix, "manifest.json").read_bytes()
        spent.update(dict.fromkeys(spent, 0.0))
        rerun = run(recipe, mix, overwrite=True)
        if spent["texts"] or Path(mix, "manifest.json").read_bytes() != manifest:
            raise SystemExit(f"{spent['texts']:,.0f} texts were translated again, or the mix is another one")
    lookups = spent["lookups"] / spent["lookup"]
    at_rate = first - translation + texts / parsed.rate
    print(
        f"{rows:,} rows: first run {first:.1f} s, {translation:.1f} s of it the model's; rerun {rerun:.1f} s"
    )
    print(f"the memory: {spent['lookup']:.2f} s for {spent['lookups']:,.0f} lookups, {lookups:,.0f} a second")
    print(f"at {parsed.rate:g} texts a second the first run would take {at_rate:,.0f} s")
    figures = {
        "rows": rows,
        "first_s": round(first, 2),
        "rerun_s": round(rerun, 2),
        "share": round(rerun / first, 4),
        "translation_share": round(translation / first, 4),
        "share_at_rate": round(rerun / at_rate, 4),
        "lookups_per_second": round(lookups),
    }
    print(json.dumps(figures))
    return 0


def run(recipe: Path, mix: str, *, overwrite: bool = False) -> float:
    """Seconds of one run."""
    began = time.monotonic()
    console = Console(file=io.StringIO())
    run_mix(load_recipe(recipe, []), mix, [], console, overwrite=overwrite, quiet=True)
    return time.monotonic() - began


@contextlib.contextmanager
def timed(spent: dict[str, float]) -> Iterator[None]:
    """Counts texts and seconds of the engine and the memory; a local run's worker is this process."""
    translate, find = Engine.translate, Memory.find

    def timed_translate(
        self: Engine, requests: Sequence[Request], *, whole: bool = False, full: bool = False
    ) -> list[Translation]:
        with clock(spent, "translation"):
            made = translate(self, requests, whole=whole, full=full)
        spent["texts"] += len(requests)
        return made

    def timed_find(self: Memory, keys: Sequence[bytes], call: bytes) -> list[Translation | None]:
        with clock(spent, "lookup"):
            found = find(self, keys, call)
        spent["lookups"] += len(keys)
        return found

    patched: list[tuple[Any, str, Callable[..., Any]]] = [
        (Engine, "translate", timed_translate),
        (Memory, "find", timed_find),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in patched]
    for owner, name, function in patched:
        setattr(owner, name, function)
    try:
        yield
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)


@contextlib.contextmanager
def clock(spent: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    spent[name] += time.monotonic() - began


def make_recipe(folder: Path, rows: int) -> Path:
    """So many distinct texts of a few words, in five languages, without pictures."""
    draw = random.Random(17)
    texts = [f"{draw.choice(THINGS)} and {draw.choice(THINGS)} {number}" for number in range(rows)]
    lines = [json.dumps({"id": str(number), "text": text}) for number, text in enumerate(texts)]
    (folder / "texts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = {
        "name": "resume",
        "model": "small",
        "translation": {"beam_size": 1},
        "languages": {"english_share": 0.0, "codes": LANGUAGES},
        "round_trip": "none",
        "sources": [{"name": "texts", "format": "jsonl", "path": "texts.jsonl", "tasks": ["text"]}],
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
