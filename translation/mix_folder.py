"""The names of what a mix has on disk, for those who write it and those who read it."""

from __future__ import annotations

import re

DATA = "data"
"""Rows that were accepted: `data/deu_Latn/train-00000-of-00004.parquet`, of the split in the file's name."""
REJECTED = "rejected"
"""All other rows: `rejected/deu_Latn/rejected-00000-of-00001.parquet`."""
IMAGES = "images"
"""Pictures that rows only name, each once: `images/images-00000-of-00001.parquet`."""
FOLDERS = (DATA, REJECTED, IMAGES)
"""Where the manifest lists every file."""

TRAIN, VALIDATION = "train", "validation"
"""The splits."""

MEMORY = "memory"
"""The translation memory."""

CARD = "README.md"
"""What the mix is, for readers and for `datasets`."""
MANIFEST = "manifest.json"
"""What the mix holds; it is written last, and without it a directory is an unfinished run."""
ANSWERS = "answers.tsv"
"""The table of short answers, for review; see `translation.answers`."""
THRESHOLDS = "thresholds.tsv"
"""The table of bounds that the recipe names, as the mix was judged by it."""
REPORT = "report.html"
"""What `translate-mix report` writes; the manifest does not name it."""

WORK = ".work"
"""While something works on the mix: what is below. Gone when the mix is finished."""
LOCK = "lock"
"""In `WORK`: held by the one process that may write."""
PROGRESS = "progress"
"""In `WORK`: the folder in which workers on this machine say what they have done."""
STAGED = "refilter"
"""In `WORK`: new files at the places that they will have in the mix."""
JOURNAL = "journal.json"
"""In `STAGED`: what is to be done with these files."""
WORKERS_LOG = "workers.log"
"""In `WORK`, or where the mix is far away in a temporary folder: what workers print."""
ERROR_LOG = "run-error.txt"
"""Beside these logs, or in a mix that could not be begun: the whole of an error that is told in one line."""

_NUMBER = r"-\d{5}-of-\d{5}\.parquet"
SHARD = re.compile(
    rf"{DATA}/\w+/(?P<split>{TRAIN}|{VALIDATION}){_NUMBER}|{REJECTED}/\w+/{REJECTED}{_NUMBER}"
    rf"|{IMAGES}/{IMAGES}{_NUMBER}"
)
"""The path, relative to the mix, of a file of rows or pictures. Nothing else has such a path."""


def numbered(stem: str, shard: int, shards: int) -> str:
    """The name of a file of rows or pictures: `train-00000-of-00004.parquet`.

    Args:
        shard: from 0.
    """
    return f"{stem}-{shard:05d}-of-{shards:05d}.parquet"
