"""What a second worker process gains: `translate-mix run` with the model that ships, on one core and on two.

    python benchmarks/workers.py [--quick] [--languages N] [--rounds N]

The sample's pictures in many languages each, three ways in turns: one worker on one core, one worker that may
use two cores, and two workers on two cores. Each way also makes the mix with one language each, so that
start-up, which does not grow, can be taken out. The last line of standard output is one JSON object;
`two_workers` is the time of one worker on one core over that of two workers on two cores, `one_worker` the
same of one worker on two cores; under `of_whole_runs` with all that a run does, under `without_start` for the
rows by which the larger mix is larger.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from pipelines.manifest import read_manifest
from translation.machine import available_cores

LANGUAGES, QUICK_LANGUAGES = 6, 2
"""Of each example."""
WAYS = {
    "one_core": (1, ["--threads", "1"]),
    "one_worker": (2, []),
    "two_workers": (2, ["--direct_num_workers", "2"]),
}
"""Name -> cores, options."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_LANGUAGES} languages an example")
    parser.add_argument("--languages", type=int, help=f"of an example; default {LANGUAGES}")
    parser.add_argument("--rounds", type=int, default=1, help="default: %(default)s; medians count")
    arguments = parser.parse_args()
    if available_cores() < 2:
        parser.error("needs two cores")
    languages = arguments.languages or (QUICK_LANGUAGES if arguments.quick else LANGUAGES)
    if languages < 2:
        parser.error("--languages must be 2 or more")
    seconds: dict[tuple[str, int], list[float]] = {}
    rows: dict[int, int] = {}
    for _ in range(arguments.rounds):
        for name, (cores, options) in WAYS.items():
            for size in (1, languages):
                with tempfile.TemporaryDirectory() as folder:
                    mix = Path(folder, "mix")
                    taken = _run(mix, size, cores, options)
                    read = read_manifest(str(mix)).read
                # The same work three times.
                assert rows.setdefault(size, read) == read, (rows, read)
                seconds.setdefault((name, size), []).append(taken)
                print(f"{name}, {read:,} rows: {taken:.1f} s", file=sys.stderr, flush=True)
    whole = {name: statistics.median(seconds[name, languages]) for name in WAYS}
    more = {name: whole[name] - statistics.median(seconds[name, 1]) for name in WAYS}
    print(
        json.dumps(
            {
                "rows": rows[languages],
                "seconds": {name: round(taken, 1) for name, taken in whole.items()},
                "of_whole_runs": _over_one_core(whole),
                "without_start": _over_one_core(more),
            }
        )
    )
    return 0


def _over_one_core(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(seconds["one_core"] / seconds[name], 2) for name in ("one_worker", "two_workers")}


def _run(mix: Path, languages: int, cores: int, options: list[str]) -> float:
    """Seconds."""
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    settings = [f"languages.per_example={languages}", "languages.english_share=0"]
    command = [sys.executable, "-m", "pipelines.cli", "run", "--output", str(mix), "--quiet", *options]
    for setting in settings:
        command += ["--set", setting]
    began = time.monotonic()
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, preexec_fn=partial(os.sched_setaffinity, 0, chosen)
    )
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
