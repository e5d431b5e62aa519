"""What the console scripts share: exit codes, a parser that says what is wrong in one line, a console."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from rich.console import Console

DONE, FAILED, WRONG = 0, 1, 2
"""Exit codes: done; the run failed or found something wrong; command line or configuration is wrong."""
INTERRUPTED = 130


class CommandParser(argparse.ArgumentParser):
    """Says what is wrong in one line, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: {message} (see {self.prog} --help)\n")


def positive(text: str) -> int:
    """The number of an option; for argparse's `type`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 up")
    return int(text)


class TerminalConsole(Console):
    """Rich's console, which leaves a broken pipe to us and does not wrap at 80 columns in a file."""

    def __init__(self) -> None:
        plain = not sys.stdout.isatty() and "COLUMNS" not in os.environ
        super().__init__(highlight=False, soft_wrap=plain, width=160 if plain else None)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def complain(program: str, message: object) -> None:
    """One message on standard error."""
    print(f"{program}: {message}", file=sys.stderr)


def exit_with(program: str, call: Callable[[], int], interrupted: str = "interrupted") -> NoReturn:
    """Ends the process with a command's exit code; a ValueError that it raises is a wrong command line."""
    try:
        code = call()
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        complain(program, interrupt.args[0] if interrupt.args else interrupted)
        code = INTERRUPTED
    except BrokenPipeError:
        # `translate-mix show DIR | head`: nobody reads on, not even what is still in the buffer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
    except OSError as error:
        if error.filename is not None:
            complain(program, f"{error.filename}: {error.strerror or error}")
            sys.exit(FAILED)
        if error.errno != errno.ENOSPC:
            raise
        # Of what is printed.
        complain(program, error.strerror)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    except ValueError as error:
        complain(program, error)
        code = WRONG
    sys.exit(code)
