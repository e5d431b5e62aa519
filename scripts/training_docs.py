"""Writes the second half of docs/training.md from the code: every key of a configuration.

python -m scripts.training_docs            # writes it
python -m scripts.training_docs --check    # exit 1 if it would change
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from scripts.recipe_docs import keys_of, shown_default, type_in_words
from training.configuration import (
    CheckpointSection,
    Configuration,
    DataSection,
    LogSection,
    Lora,
    MixSection,
    ModelSection,
    QFormer,
    Stage,
    TextSection,
    ValidationSection,
)

PAGE = Path(__file__).parent.parent / "docs" / "training.md"
MARK = "<!-- The rest is made by `python -m scripts.training_docs`; do not edit. -->\n"

SECTIONS = {
    "The configuration": Configuration,
    "`model`": ModelSection,
    "`model.lora`": Lora,
    "`model.qformer`": QFormer,
    "`data`": DataSection,
    "an item of `data.mixes`": MixSection,
    "`texts`": TextSection,
    "an item of `stages`": Stage,
    "`checkpoints`": CheckpointSection,
    "`validation`": ValidationSection,
    "`log`": LogSection,
}


def tables() -> str:
    """A table for each section."""
    parts = []
    for title, section in SECTIONS.items():
        lines = [f"### {title[0].upper()}{title[1:]}", "", "| key | type | default | |", "|---|---|---|---|"]
        for key in keys_of(section):
            inner = any(isinstance(one, type) and issubclass(one, BaseModel) for one in _types(key.hint))
            kind = "see below" if inner else type_in_words(key.hint)
            cells = (f"`{key.name}`", kind, shown_default(key), key.text)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("\n".join([*lines, ""]))
    return "\n".join(parts)


def _types(hint: object) -> list[object]:
    return [hint, *(inner for one in get_args(hint) for inner in _types(one))]


def page(present: str) -> str:
    """The page with its second half made anew."""
    return present.partition(MARK)[0] + MARK + "\n" + tables()


def main() -> int:
    """Writes the page, or says whether it is the one that is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only say whether the page would change")
    present = PAGE.read_text(encoding="utf-8")
    if parser.parse_args().check:
        if present != page(present):
            print(
                f"{PAGE.name} is not what the code says; run python -m scripts.training_docs", file=sys.stderr
            )
            return 1
        return 0
    PAGE.write_text(page(present), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
