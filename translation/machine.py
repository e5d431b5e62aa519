"""What this machine, or the container that the process is in, has to give."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CONTAINER = Path("/sys/fs/cgroup")
"""Where Linux tells a container what it may use (cgroup v2)."""


def available_cores() -> int:
    """Cores that this process may use; in a container no more than its share of time fills."""
    cores = len(os.sched_getaffinity(0)) if sys.platform.startswith("linux") else os.cpu_count() or 1
    try:
        # Microseconds in each period; `max` where nothing bounds it.
        time_given, period = map(int, (CONTAINER / "cpu.max").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return cores
    return min(cores, -(-time_given // period))


def available_memory() -> int:
    """Bytes that this process may still take; `sys.maxsize` where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return sys.maxsize
    try:
        # In a container; `max` where nothing bounds it.
        most, taken = (
            int((CONTAINER / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current")
        )
        lines = (CONTAINER / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return free
    # Of files that were read and may be forgotten; `MemAvailable` does not count it either.
    cached = next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
    return min(free, most - taken + cached)
