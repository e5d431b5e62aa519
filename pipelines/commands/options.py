"""What several commands share: options, the types of their values, and how errors are told."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TypeAlias

from translation import console
from translation.console import FAILED, WRONG, CommandParser
from translation.identification import OFFLINE
from translation.model import SMALL, NoSuchModel

PROGRAM = "translate-mix"

DEVICES = ("auto", "cpu", "cuda")

Commands: TypeAlias = "argparse._SubParsersAction[CommandParser]"
"""What commands are added to."""

complain = partial(console.complain, PROGRAM)
"""One message on standard error."""


def tell(error: Exception) -> int:
    """One message; its exit code. A model that is not there was named wrongly."""
    complain(error)
    return WRONG if isinstance(error, NoSuchModel) else FAILED


def add_model_option(command: argparse.ArgumentParser) -> None:
    """`--model`."""
    command.add_argument(
        "--model", default=SMALL, metavar="MODEL", help="small (ships), or a converted model's directory"
    )


def add_device_options(command: argparse.ArgumentParser) -> None:
    """`--device` and `--threads`: where a model computes."""
    command.add_argument("--device", choices=DEVICES, default="auto", help="GPUs if they work")
    command.add_argument(
        "--threads",
        type=threads,
        metavar="N",
        help="auto (measure), 4, 2x4 (batches at once), 2x4x4096 (tokens of a batch)",
    )


def threads(text: str) -> str:
    """What `translation.tuning.parse_threads` takes; for argparse's `type`, as those below."""
    from translation.tuning import parse_threads

    try:
        parse_threads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def add_filter_options(command: argparse.ArgumentParser) -> None:
    """`--round-trip` and `--identification`: what is asked about pairs."""
    command.add_argument(
        "--round-trip", choices=("none", "short", "all"), default="none", help="translate back with the model"
    )
    command.add_argument(
        "--identification", default=OFFLINE, metavar="LID", help="shipped, cld, a fastText file or hub name"
    )


def filled(text: str) -> str:
    """Any text but blanks."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def local(text: str) -> Path:
    """A path of this machine, no URL."""
    from pipelines.inputs import is_url

    if is_url(text):
        # A path would lose one of its slashes, and be a folder of this machine.
        raise argparse.ArgumentTypeError(f"{text}: must lie on this machine; copy it")
    return Path(text)
