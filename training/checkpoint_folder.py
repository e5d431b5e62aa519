"""Which directory a checkpoint's name means, and the digest of what lies there."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from training.adapters import FOLDER as ADAPTER
from training.run_directory import chosen_checkpoint
from training.weight_files import SMALL_FILES, with_weights

READ_AT_ONCE = 4

_SHA256 = re.compile("[0-9a-f]{64}")


def folder_of(checkpoint: str | Path) -> Path:
    """The directory with a checkpoint's files; what is on the hub is downloaded.

    Args:
        checkpoint: a run's directory, whose best checkpoint is taken, or the last; a checkpoint's; or a name
            on the hub.

    Raises:
        CheckpointError: there is none, or it has no weights in safetensors.
        RunError: the run has no checkpoint yet.
    """
    folder = Path(checkpoint).expanduser()
    return with_weights(chosen_checkpoint(folder) if folder.is_dir() else checkpoint).folder


def checkpoint_digest(folder: Path) -> str:
    """SHA-256 of the files that decide on answers: weights, adapter, settings, tokenizer.

    A copy has the same one, wherever it lies.
    """
    patterns = ("*.safetensors", *SMALL_FILES)
    places = (folder, folder / ADAPTER)
    found = {path for place in places for pattern in patterns for path in place.glob(pattern)}
    paths = sorted(path for path in found if path.is_file())
    with ThreadPoolExecutor(READ_AT_ONCE) as threads:
        digests = threads.map(_file_digest, paths)
        lines = [
            f"{digest}  {path.relative_to(folder).as_posix()}\n"
            for digest, path in zip(digests, paths, strict=True)
        ]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    blob = path.resolve()
    if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name):
        # The hub's cache names large files by it.
        return blob.name
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
