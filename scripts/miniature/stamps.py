"""Tux Paint's stamps: photographs and drawings with captions that people wrote in many languages (GPL-2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evaluation.stamps import parsed
from scripts.miniature.pictures import Picture
from scripts.packages import fetch

PACKAGE = "debian:tuxpaint-stamps-default"
LICENCE = "GPL-2.0-or-later (Tux Paint stamps)"
LONGEST_CAPTION = 7
"""Words: longer ones teach rather than describe ("Knight. The only piece that can jump over others. …")."""

LEFT_OUT_FOLDERS = ("symbols", "town/flags", "town/roadsigns")
"""Letters, sums, notes, coins and signs: their captions say what they stand for."""


def read(cache: Path) -> Iterator[Picture]:
    """Every stamp with a caption of at most `LONGEST_CAPTION` English words, in the order of the paths."""
    root = fetch(PACKAGE, cache) / "usr/share/tuxpaint/stamps"
    for file in sorted(root.rglob("*.png")):
        path = file.relative_to(root)
        captions = file.with_suffix(".txt")
        if path.as_posix().startswith(LEFT_OUT_FOLDERS) or not captions.exists():
            continue
        english, others = parsed(captions.read_text(encoding="utf-8"))
        if english and len(english.split()) <= LONGEST_CAPTION:
            name = path.with_suffix("").as_posix().replace("/", "-")
            yield Picture(f"tuxpaint-{name}", file, english, others, "tuxpaint", LICENCE)
