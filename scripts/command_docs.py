"""Writes docs/commands.md from the code: every command of both console scripts with its options.

python -m scripts.command_docs            # writes the file
python -m scripts.command_docs --check    # exit 1 if it would change
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from evaluation.cli import parser as realign
from pipelines.cli import parser as translate_mix

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"

_HEAD = """# Commands

Every command with its options, made from the code by `python -m scripts.command_docs`; do not edit.
`--help` says the same in the terminal. Exit codes: 0 done; 1 the run failed or found something wrong; 2 the
command line, recipe or configuration is wrong, in one message; 130 interrupted. Keys for `--set` are in
[recipes.md](recipes.md), [training.md](training.md) and [evaluation.md](evaluation.md).
"""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true", help="change nothing")
    if arguments.parse_args().check:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page()
        return 0 if current else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for script in (translate_mix(), realign()):
        parts.append(f"## `{script.prog}`\n\n{script.description}\n")
        parts += (_section(command, summary) for command, summary in _commands(script))
    return "\n".join(parts)


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """The commands of a parser, those of groups such as `model` one by one, and what each does."""
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, command in action.choices.items():
            inner = list(_commands(command))
            yield from inner or [(command, summaries[name])]


def _section(command: argparse.ArgumentParser, summary: str) -> str:
    usage = command.prog + "".join(
        f" {_named(action)}" if action.required or not action.option_strings else ""
        for action in command._actions
    )
    lines = [f"### `{usage}`", "", f"{summary[:1].upper()}{summary[1:]}.", ""]
    rows = [_row(action) for action in command._actions if action.dest != "help"]
    if rows:
        lines += ["| argument | |", "|---|---|", *rows, ""]
    if command.epilog:
        lines += [command.epilog, ""]
    return "\n".join(lines)


def _row(action: argparse.Action) -> str:
    text = action.help or ""
    named, text = (part.replace("|", "\\|") for part in (_named(action), text.replace("%%", "%")))
    return f"| `{named}` | {text} |"


def _named(action: argparse.Action) -> str:
    """`--output DIR`, `TEXT ...`."""
    value = action.metavar or ("|".join(action.choices) if action.choices else action.dest.upper())
    if isinstance(value, tuple):
        value = " ".join(value)
    if action.nargs == "?" and not action.option_strings:
        value = f"[{value}]"
    elif action.nargs in ("+", "*"):
        value += " ..."
    if not action.option_strings:
        return value
    name = action.option_strings[-1]
    return name if action.nargs == 0 else f"{name} {value}"


if __name__ == "__main__":
    sys.exit(main())
