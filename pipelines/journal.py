"""New files of a mix all at once: they are staged, a journal lists what is to be done, then it is done.

Before the journal stands the mix is the old one. From then on it is finished by carrying the journal out,
again if need be: every step may be repeated. Until then nobody may read the mix.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.filesystem import (
    OutputError,
    exists,
    file_size,
    is_local,
    join,
    move,
    read_text,
    remove,
    write_text,
)
from translation.mix_folder import JOURNAL, STAGED, WORK


@dataclass(frozen=True)
class Move:
    """A staged file that goes to its place, over what stands there."""

    path: str
    """Relative to the mix."""
    size: int


@dataclass(frozen=True)
class Journal:
    """What is left to do once every new file is staged, in order; the last move comes after the removals."""

    moves: tuple[Move, ...]
    removals: tuple[str, ...]
    """Relative to the mix."""


def staged(directory: str, path: str) -> str:
    """Where the new file waits whose place in the mix is `path`."""
    return join(directory, WORK, STAGED, *path.split("/"))


def is_interrupted(directory: str) -> bool:
    """Whether a journal stands there, so that some files may be new and others old."""
    return exists(staged(directory, JOURNAL))


def check_not_interrupted(directory: str) -> None:
    """Raises ValueError, which says what to do, if `is_interrupted`."""
    if is_interrupted(directory):
        raise ValueError(
            f"{directory}: a refilter was interrupted while it replaced files; "
            f"`translate-mix refilter {shlex.quote(directory)}` finishes it"
        )


def write_journal(directory: str, moves: Sequence[Move], removals: Sequence[str]) -> None:
    """The point of no return; every move must be staged."""
    journal = Journal(tuple(moves), tuple(removals))
    write_text(staged(directory, JOURNAL), json.dumps(asdict(journal), indent=1, ensure_ascii=False) + "\n")


def carry_out(directory: str) -> None:
    """Does what the journal says and takes it away; may be repeated after an interruption at any step.

    Raises:
        OutputError: the journal is damaged, a staged file is lost, or the directory cannot be written to.
    """
    journal = _read(directory)
    *moves, last = journal.moves
    for one in moves:
        _move(directory, one)
    for path in journal.removals:
        _remove(directory, path)
    _move(directory, last)
    discard(directory)


def discard(directory: str) -> None:
    """Takes away what is staged, the journal first."""
    remove(staged(directory, JOURNAL))
    remove(join(directory, WORK, STAGED))


def _read(directory: str) -> Journal:
    path = staged(directory, JOURNAL)
    try:
        content = json.loads(read_text(path))
        return Journal(tuple(Move(**one) for one in content["moves"]), tuple(content["removals"]))
    except (ValueError, TypeError, KeyError) as error:
        raise OutputError(f"{path}: damaged ({error}); make the mix again with `run --overwrite`") from error


def _move(directory: str, one: Move) -> None:
    source, path = staged(directory, one.path), join(directory, *one.path.split("/"))
    if exists(source):
        move(source, path)
    # Else it went there before the interruption.
    elif not exists(path) or file_size(path) != one.size:
        raise OutputError(f"{path}: its new content is lost; make the mix again with `run --overwrite`")


def _remove(directory: str, path: str) -> None:
    """A file of the mix, and the folders that hold nothing else."""
    remove(join(directory, *path.split("/")))
    if is_local(directory):
        for folder in list(Path(path).parents)[:-1]:
            full = Path(directory) / folder
            if full.is_dir() and not any(full.iterdir()):
                full.rmdir()
