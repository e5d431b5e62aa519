"""What all scripts need that make tables from CLDR (Unicode-3.0): its npm packages, locales and tables."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from scripts import packages
from translation.languages import Language

VERSION = "48.2.0"
"""Of all packages."""

LOCALES = {"nob_Latn": "no", "zho_Hans": "zh", "kmr_Latn": "ku"}
"""Where CLDR's locale is not the registry's BCP-47 tag."""


def parsed_options(description: str | None, table: str) -> argparse.Namespace:
    """`--cache` and `--output` of a script that makes a table of `translation/`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, default=Path("build/cldr"), help="folder of the npm packages")
    parser.add_argument("--output", type=Path, default=Path("translation") / table)
    return parser.parse_args()


def fetch(package: str, folder: Path) -> Path:
    """The unpacked npm package, downloaded once."""
    return packages.fetch(f"npm:{package}@{VERSION}", folder)


def locale(language: Language) -> str:
    """CLDR's name of a language."""
    return LOCALES.get(language.nllb, language.bcp47)


def tsv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with a header line; nothing is quoted."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
    writer.writerows((columns, *rows))
    return out.getvalue()


def write(path: Path, table: str) -> None:
    """Writes a table and says how large it is."""
    path.write_text(table, encoding="utf-8")
    print(f"{path}: {len(table.encode()):,} bytes, {table.count(chr(10)) - 1:,} rows")
