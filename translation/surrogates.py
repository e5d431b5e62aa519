"""Halves of surrogate pairs, which Python's strings may hold and UTF-8 has no place for."""

from __future__ import annotations

import re

SURROGATE = re.compile("[\ud800-\udfff]")
"""One such half."""


def without_halves(text: str) -> str:
    """The text with its halves as `\\udcff`, so that it can be written; names of files may hold some."""
    return text.encode(errors="backslashreplace").decode()
