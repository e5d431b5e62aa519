"""What a second worker process gains: `translate-mix run` with the model that ships, on one core and on two.

    python benchmarks/workers.py [--quick] [--languages N] [--rounds N]

The sample's pictures in many languages each, three ways in turns: one worker on one core, one worker that may
use two cores, and two workers on two cores. Start-up, planning and writing are in the times. The last line of
standard output is one JSON object; `two_workers` is the rows a second of two workers on two cores over those
of one on one core, `one_worker` those of one worker on two cores over the same.
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
from translation.tuning import available_cores

LANGUAGES, QUICK_LANGUAGES = 4, 1
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
    parser.add_argument("--quick", action="store_true", help="one language an example")
    parser.add_argument("--languages", type=int, help=f"of an example; default {LANGUAGES}")
    parser.add_argument("--rounds", type=int, default=1, help="default: %(default)s; medians count")
    arguments = parser.parse_args()
    if available_cores() < 2:
        parser.error("needs two cores")
    languages = arguments.languages or (QUICK_LANGUAGES if arguments.quick else LANGUAGES)
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    rows = 0
    for _ in range(arguments.rounds):
        for name, (cores, options) in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                mix = Path(folder, "mix")
                seconds[name].append(_run(mix, languages, cores, options))
                print(f"{name}: {seconds[name][-1]:.1f} s", file=sys.stderr, flush=True)
                manifest = read_manifest(str(mix))
                # The same work three times.
                assert rows in (0, manifest.read), (rows, manifest.read)
                rows = manifest.read
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    print(
        json.dumps(
            {
                "rows": rows,
                "seconds": {name: round(taken, 1) for name, taken in medians.items()},
                "one_worker": round(medians["one_core"] / medians["one_worker"], 2),
                "two_workers": round(medians["one_core"] / medians["two_workers"], 2),
            }
        )
    )
    return 0


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
