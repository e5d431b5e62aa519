"""`translate-mix languages`: the table of languages."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from pipelines.commands.options import Commands
from translation.console import DONE, TerminalConsole


def add(commands: Commands) -> None:
    """Adds the group to the command line."""
    table = commands.add_parser("languages", help="the table of languages")
    table.add_argument("--json", action="store_true", help="a list of objects")
    table.add_argument("--all", action="store_true", help="all of NLLB's, not only the default 96")
    table.set_defaults(call=_languages)


def _shortened(codes: Sequence[str]) -> str:
    """The first two; `--json` has all."""
    more = f" +{len(codes) - 2}" if len(codes) > 2 else ""
    return " ".join(codes[:2]) + more


def _languages(parsed: argparse.Namespace) -> int:
    from rich.table import Table

    from translation.languages import languages

    chosen = [language for language in languages().values() if parsed.all or language.default]
    if parsed.json:
        print(json.dumps([asdict(language) for language in chosen], ensure_ascii=False, indent=1))
        return DONE
    table = Table("NLLB", "BCP-47", "mC4", "name", "script", "mC4 %", "confusable with", box=None)
    for language in chosen:
        share = "" if language.mc4_share is None else f"{language.mc4_share:.4f}"
        table.add_row(
            language.nllb,
            language.bcp47,
            language.mc4 or "",
            language.name,
            " ".join(language.scripts),
            share,
            _shortened(language.confusable),
        )
    TerminalConsole().print(table)
    return DONE
