"""Measures `translate-mix plan` on synthetic data of the size and shape of mBLIP's mix.

    python benchmarks/plan.py [--quick] [--rows N] [--workers N] [--keep DIR]

Half of the rows are web captions, a quarter captions of pictures with five each (captions and matching), a
quarter questions (answering and asking). The last line of output is one JSON object: `seconds` and `peak_mib`
(of all processes together) of planning; and what the same files cost in as many processes without it:
`examples_seconds` for readers and tasks, `records_seconds` for readers alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import orjson
import yaml
from memory import resident_mib

from pipelines.planning import plan_mix
from pipelines.recipe import load_recipe
from pipelines.sources import Piece, pieces, read_piece, read_records
from pipelines.tasks.matching import empty_words, groups_alike

ROWS, QUICK_ROWS = 5_000_000, 200_000
CHUNK = 50_000
"""Records made at a time."""
SUBJECTS = 4_000
"""Words of the vocabulary that no list holds; a Zipf law decides how often each stands."""
ANSWERS = 3_000
"""Distinct answers, as frequent as VQAv2's."""
POLL_SECONDS = 0.5


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} rows: under 50 s on 2 cores")
    parser.add_argument("--rows", type=int, default=None, help=f"default: {ROWS:,}")
    parser.add_argument("--workers", type=int, default=2, help="processes that read (default: %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the data goes and stays")
    parser.add_argument("--worker", choices=("plan", "examples", "records"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return _work(arguments.worker, arguments.keep / "recipe.yaml", arguments.workers)
    rows = arguments.rows or (QUICK_ROWS if arguments.quick else ROWS)
    with tempfile.TemporaryDirectory() as made:
        folder: Path = arguments.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "recipe.yaml").exists():
            write_data(folder, rows)
        figures = {"rows": 0, **_measured(folder, "plan", arguments.workers)}
        figures["rows_per_second"] = round(figures["rows"] / figures["seconds"])
        for part, name in (("examples", "examples_seconds"), ("records", "records_seconds")):
            measured = _measured(folder, part, arguments.workers)
            figures |= {name: measured["seconds"], name.replace("sec", "cpu_sec"): measured["cpu_seconds"]}
    print(json.dumps(figures))
    return 0


def write_data(folder: Path, rows: int) -> None:
    """Three sources in JSON lines, and their recipe."""
    generator = np.random.default_rng(17)
    vocabulary = _vocabulary(generator)
    web, coco, asked = rows // 2, rows // 8, rows // 8
    _write(folder, "web", 4, _captions(generator, vocabulary, web, 1))
    _write(folder, "coco", 2, _captions(generator, vocabulary, coco, 5))
    _write(folder, "vqa", 2, _questions(generator, vocabulary, asked))
    (folder / "images").mkdir(exist_ok=True)
    common = {"format": "jsonl", "images": "images"}
    recipe = {
        "name": "benchmark",
        "sources": [
            {"name": "web", "path": "web-*.jsonl", "tasks": ["caption"], **common},
            {"name": "coco", "path": "coco-*.jsonl", "tasks": ["caption", "matching"], **common},
            {"name": "vqa", "path": "vqa-*.jsonl", "tasks": ["vqa", "vqg"], **common},
        ],
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")


def _write(folder: Path, name: str, files: int, records: Iterator[dict[str, object]]) -> None:
    opened = [(folder / f"{name}-{number}.jsonl").open("wb") for number in range(files)]
    for number, record in enumerate(records):
        opened[number // CHUNK % files].write(orjson.dumps(record) + b"\n")
    for file in opened:
        file.close()


def _vocabulary(generator: np.random.Generator) -> list[str]:
    """Words of captions by frequency: those of no content among the most frequent ones."""
    syllables = [
        "ba",
        "cor",
        "den",
        "fi",
        "gra",
        "hel",
        "jo",
        "ka",
        "lim",
        "mon",
        "ne",
        "pi",
        "ro",
        "sta",
        "tu",
    ]
    made = {"".join(generator.choice(syllables, 3)) for _ in range(3 * SUBJECTS)}
    named = sorted(groups_alike())
    generator.shuffle(named)
    return [*sorted(empty_words())[:30], *named, *sorted(made)[:SUBJECTS]]


def _texts(generator: np.random.Generator, vocabulary: list[str], count: int, words: int) -> Iterator[str]:
    share = 1 / (np.arange(len(vocabulary)) + 5.0)
    edges = np.cumsum(share / share.sum())
    for start in range(0, count, CHUNK):
        drawn = edges.searchsorted(generator.random((min(CHUNK, count - start), words)))
        for row in np.minimum(drawn, len(vocabulary) - 1).tolist():
            yield " ".join([vocabulary[place] for place in row])


def _captions(
    generator: np.random.Generator, vocabulary: list[str], count: int, of_picture: int
) -> Iterator[dict[str, object]]:
    """`count` captions, so many of each picture."""
    held: list[str] = []
    for number, text in enumerate(_texts(generator, vocabulary, count, 10)):
        held.append(text)
        if len(held) == of_picture:
            picture = number // of_picture
            yield {
                "id": f"{picture:07}",
                "image": f"{picture % 1000:03}/{picture:012}.jpg",
                "caption": held if of_picture > 1 else held[0],
            }
            held = []


def _questions(
    generator: np.random.Generator, vocabulary: list[str], count: int
) -> Iterator[dict[str, object]]:
    answers = generator.zipf(1.3, count) % ANSWERS
    for number, (text, answer) in enumerate(
        zip(_texts(generator, vocabulary, count, 6), answers.tolist(), strict=True)
    ):
        picture = number // 5
        yield {
            "id": f"{number:07}",
            "image": f"{picture % 1000:03}/{picture:012}.jpg",
            "question": f"what {text}?",
            "answer": vocabulary[answer],
        }


def _measured(folder: Path, part: str, workers: int) -> dict[str, float]:
    """Seconds, rows and peak memory of all processes of one part, run on its own."""
    command = [sys.executable, __file__, "--worker", part, "--keep", str(folder), "--workers", str(workers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, resident_mib(process.pid))
        time.sleep(POLL_SECONDS)
    assert process.stdout is not None
    if process.returncode:
        raise SystemExit(f"{part}: failed")
    return {**json.loads(process.stdout.read()), "peak_mib": round(peak)}


def _work(part: str, recipe_file: Path, workers: int) -> int:
    recipe = load_recipe(recipe_file)
    started = time.perf_counter()
    if part == "plan":
        rows = sum(plan_mix(recipe, workers=workers).rows.values())
    else:
        parts = sorted(pieces(recipe), key=lambda piece: piece.start - piece.end)
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            rows = sum(pool.map(_READERS[part], [recipe_file] * len(parts), parts))
    taken = time.perf_counter() - started
    processor = sum(os.times()[:4])
    print(json.dumps({"rows": rows, "seconds": round(taken, 1), "cpu_seconds": round(processor, 1)}))
    return 0


def _examples(recipe_file: Path, piece: Piece) -> int:
    return sum(1 for _ in read_piece(load_recipe(recipe_file), piece))


def _records(recipe_file: Path, piece: Piece) -> int:
    return sum(1 for _ in read_records(load_recipe(recipe_file), piece))


_READERS = {"examples": _examples, "records": _records}


if __name__ == "__main__":
    sys.exit(main())
