"""The console script `translate-mix`: parses the command line and calls the command that it names."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from pipelines.commands import language_table, measuring, memories, mixes, models, texts
from pipelines.commands.options import PROGRAM
from translation.console import CommandParser, exit_with


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    main = CommandParser(
        prog=PROGRAM,
        description="English image-text data into a filtered, documented mix in 95 languages.",
    )
    main.add_argument("--version", action="version", version=f"{PROGRAM} {version(PROGRAM)}")
    commands = main.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=CommandParser
    )
    # In the order of `--help`.
    for group in (mixes, texts, measuring, models, memories, language_table):
        group.add(commands)
    return main


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point; ends the process with an exit code."""
    # Beam warns at import about extras that are not installed.
    logging.basicConfig(level=logging.ERROR)
    given = list(sys.argv[1:] if arguments is None else arguments)

    def call() -> int:
        beam: list[str] = []
        own = given
        if given[:1] == ["run"] and not {"-h", "--help"} & set(given):
            from pipelines.options import split_arguments

            beam, own = split_arguments(given)
        parsed = parser().parse_args(own)
        parsed.beam = beam
        return int(parsed.call(parsed))

    goes_on = given[:1] in (["run"], ["refilter"], ["push"])
    exit_with(
        PROGRAM,
        call,
        "interrupted; the same command goes on from here" if goes_on else "interrupted",
    )


if __name__ == "__main__":
    main()
