"""What a mix on disk consists of, to compare two runs by."""

from __future__ import annotations

import hashlib
from pathlib import Path


def files_of(mix: Path) -> dict[str, str]:
    """Digests of all that a mix consists of but its memory."""
    return {
        path.relative_to(mix).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(mix.rglob("*"))
        if path.is_file() and "memory" not in path.relative_to(mix).parts
    }
