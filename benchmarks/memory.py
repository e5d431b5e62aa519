"""What the processes of a run hold together."""

from __future__ import annotations

from pathlib import Path


def resident_mib(process: int) -> float:
    """MiB of a process and all its descendants, pages that they share counted once each (PSS)."""
    found, total = [process], 0
    for one in found:
        try:
            # Children of every thread: Beam's runner starts its workers from one.
            for task in Path(f"/proc/{one}/task").glob("*/children"):
                found += map(int, task.read_text(encoding="ascii").split())
            lines = Path(f"/proc/{one}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended in between.
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024
