"""What the console scripts share: exit codes, a parser that says what is wrong in one line, a console."""

from __future__ import annotations

import argparse
import errno
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from rich.console import Console

DONE, FAILED, WRONG = 0, 1, 2
"""Exit codes: done; the run failed or found something wrong; command line or configuration is wrong."""
INTERRUPTED = 130


def printable(text: str) -> str:
    """The text without characters that steer a terminal, or turn what stands beside them: `\\x1b`, `\\u202e`.

    Line breaks stay, and so do joiners and marks of direction, which are letters' own business.
    """
    return _STEERING.sub(lambda found: ascii(found[0])[1:-1], text)


_STEERING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class CommandParser(argparse.ArgumentParser):
    """Says what is wrong in one line, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{printable(f'{self.prog}: {message}')} (see {self.prog} --help)\n")


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
    print(printable(f"{program}: {message}"), file=sys.stderr)


@contextmanager
def _ended_as_interrupted() -> Iterator[list[int]]:
    """Signals that ask the process to end interrupt it as Ctrl-C does; their numbers, as they come.

    Those that somebody ignores or handles stay as they are: `nohup` lets a run outlive its terminal.
    """
    came: list[int] = []
    process = os.getpid()

    def interrupt(number: int, frame: object) -> None:
        if os.getpid() != process:
            # A child that was forked has this handler too, and is to end as it would without.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        came.append(number)
        raise KeyboardInterrupt

    names = ("SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        # Python lets no other set handlers.
        numbers = []
    taken = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield came
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _print_anything() -> None:
    """Letters that the terminal's encoding lacks are printed as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def exit_with(program: str, call: Callable[[], int], interrupted: str = "interrupted") -> NoReturn:
    """Ends the process with a command's exit code; a ValueError that it raises is a wrong command line."""
    _print_anything()
    with _ended_as_interrupted() as signals:
        code = _exit_code(program, call, interrupted)
    # As shells have it for processes that a signal ended.
    sys.exit(128 + signals[0] if code == INTERRUPTED and signals else code)


def _exit_code(program: str, call: Callable[[], int], interrupted: str) -> int:
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
            return FAILED
        if error.errno != errno.ENOSPC:
            raise
        # Of what is printed.
        complain(program, error.strerror)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    except ValueError as error:
        complain(program, error)
        code = WRONG
    return code
