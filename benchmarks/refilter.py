"""Speed of `translate-mix refilter`: to decide again on stored scores, and to write what changed.

Makes a mix without pictures (1,000,000 rows, with --quick 100,000) whose scores are drawn at random, and sets
tighter bounds. `vs_rewrite` compares deciding with only reading and writing all rows once, which is the least
that making the mix again would take. The last line of standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from pipelines.card import dataset_card
from pipelines.manifest import Manifest, Signature, merge_counts, write_manifest
from pipelines.mix_files import ShardFile
from pipelines.recipe import load_recipe, sample_recipe
from pipelines.refilter import refilter
from pipelines.sink import (
    ROW_BYTES,
    ROW_GROUP_ROWS,
    cuts_for,
    shard_name,
    sizes_of_slots,
    slot_of,
    write_tables,
)
from translation.filters import load_thresholds
from translation.mix_folder import DATA
from translation.row import PROMPT_PREFIX, ROW_SCORES, row_schema

LANGUAGES = ("deu_Latn", "fra_Latn", "hin_Deva", "jpn_Jpan", "rus_Cyrl", "swh_Latn", "tha_Thai", "zho_Hans")
ROWS, QUICK_ROWS = 1_000_000, 100_000

CHANGED = ("filters.lid.min=0.05", "filters.model_score.min=-1.9")
"""Each of the two takes a few rows in a hundred away."""

SCORED = {"lid": (0.0, 1.0), "model_score": (-2.0, 0.0), "length_ratio": (0.8, 1.2), "words": (4, 15)}
"""Scores that vary, from and to; others have the value of a faultless text."""
FAULTLESS = {
    "letters": 40.0, "empty": 0.0, "unknown": 0.0, "cut_off": 0.0, "script": 1.0, "copy": 0.0, "english": 0.0,
    "confusable": 1.0, "repetition": 0.0, "sentences": 1.0, "ending": 1.0, "numbers": 1.0,
}  # fmt: skip


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="a tenth of the rows")
    rows = QUICK_ROWS if options.parse_args().quick else ROWS
    with tempfile.TemporaryDirectory() as folder:
        mix = Path(folder, "mix")
        _make(mix, rows // len(LANGUAGES))
        rows = rows // len(LANGUAGES) * len(LANGUAGES)
        console = Console(file=io.StringIO())
        # Once for the imports and the file cache.
        refilter(str(mix), CHANGED, console, dry_run=True, quiet=True)
        deciding = refilter(str(mix), CHANGED, console, dry_run=True, quiet=True).deciding
        rewriting = _rewrite(mix, Path(folder, "again.parquet"))
        outcome = refilter(str(mix), CHANGED, console, quiet=True)
    lost = outcome.before.accepted - outcome.after.accepted
    print(f"{rows:,} rows, {lost:,} of which are not accepted any more")
    print(
        f"deciding {deciding:.2f} s, {rows / deciding:,.0f} rows/s; reading and writing all {rewriting:.2f} s"
    )
    print(f"writing {len(outcome.written)} of {len(outcome.after.files)} files: {outcome.writing:.2f} s")
    figures = {
        "rows_per_second": round(rows / deciding),
        "seconds_per_million": round(deciding * 1e6 / rows, 2),
        "vs_rewrite": round(rewriting / deciding, 2),
        "writing_rows_per_second": round(rows / outcome.writing),
    }
    print(json.dumps(figures))
    return 0


def _rewrite(mix: Path, path: Path) -> float:
    """Seconds to read each file and write it again as it is."""
    began = time.monotonic()
    for shard in sorted(mix.glob("*/*/*.parquet")):
        with pq.ParquetFile(shard) as parquet, path.open("wb") as file:
            groups = (parquet.read_row_group(group) for group in range(parquet.num_row_groups))
            write_tables(file, (pa.Table.from_arrays(one.columns, schema=row_schema()) for one in groups))
    return time.monotonic() - began


def _make(mix: Path, rows: int) -> None:
    """A finished mix in which every row is accepted, with a translated prompt in every second."""
    recipe = load_recipe(
        sample_recipe(), ["images=reference", "validation=0", f"filters={json.dumps(_all_pass())}"]
    )
    limit = recipe.shard_megabytes * 2**20
    files = []
    for language in LANGUAGES:
        part = (DATA, language, "train")
        ids = np.array(sorted(f"bench/{index:07d}/caption/{language}" for index in range(rows)))
        slots = np.array([slot_of(row_id) for row_id in ids])
        cuts = cuts_for(sizes_of_slots(slots, np.full(rows, ROW_BYTES)), limit)
        of_rows, shards = np.searchsorted(cuts, slots, "right"), len(cuts) + 1
        for shard in range(shards):
            name = shard_name(part, shard, shards)
            table = _table(language, ids[of_rows == shard])
            path = mix / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                write_tables(
                    file,
                    (table.slice(start, ROW_GROUP_ROWS) for start in range(0, len(table), ROW_GROUP_ROWS)),
                )
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            files.append(ShardFile(name, len(table), digest, len(data), language, "train", accepted=True))
    manifest = Manifest(
        Signature(
            "0", recipe.digest[:16], recipe.seed, "small", "0", "none", "none", "none", "0",
            load_thresholds(None).digest,
        ),
        recipe.model_dump(mode="json"),
        rows * len(LANGUAGES),
        tuple(merge_counts(language, rows, [(None, rows)]) for language in LANGUAGES),
        tuple(files),
    )  # fmt: skip
    (mix / "README.md").write_text(dataset_card(manifest, recipe, {"none": "none"}), encoding="utf-8")
    write_manifest(str(mix), manifest)


def _all_pass() -> dict[str, Any]:
    return {"lid": {"min": None}, "length_ratio": {"min": None, "max": None}, "model_score": {"min": None}}


def _table(language: str, ids: np.ndarray[Any, Any]) -> pa.Table:
    draw = np.random.default_rng(17)
    rows = len(ids)
    translated = np.arange(rows) % 2 == 1
    columns = {}
    for name in ROW_SCORES:
        score = name.removeprefix(PROMPT_PREFIX)
        if score in SCORED:
            values = draw.uniform(*SCORED[score], rows)
        else:
            values = np.full(rows, FAULTLESS.get(score, np.nan))
        missing = np.isnan(values) | (~translated if name != score else False)
        columns[name] = pa.array(values.astype(np.float32), mask=missing)
    scores = pa.StructArray.from_arrays(list(columns.values()), names=list(columns))
    text = pa.array([f"a text of some forty characters {index:07d}" for index in range(rows)])
    known = {
        "id": pa.array(ids),
        "scores": scores,
        "dataset": _all("bench", rows),
        "task": _all("caption", rows),
        "language": _all(language, rows),
        "verdict": _all("accept", rows),
        **dict.fromkeys(("prompt", "target", "source_prompt", "source_target"), text),
    }
    schema = row_schema()
    return pa.Table.from_arrays(
        [known.get(field.name, pa.nulls(rows, field.type)) for field in schema], schema=schema
    )


def _all(text: str, rows: int) -> pa.Array:
    return pa.array([text] * rows)


if __name__ == "__main__":
    sys.exit(main())
