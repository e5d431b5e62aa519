"""Asks a model all questions of a task and keeps what it says, so that a run that was killed goes on.

Beside `FILE.json` stands `FILE.parts/` while a run lasts: `run.json` says what is asked of what, and each
process appends its predictions to a file of its own. All parts together become `FILE.predictions.jsonl`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import orjson

from evaluation.questions import Question
from training.asking import Answerer, BadPrompt, Generation, Request
from training.pictures import BadPicture
from translation.disk import sync_folder

AT_ONCE = 64
"""Questions between two writes to disk: what a kill can lose. The model cuts them into batches of its own."""

PATIENCE = 3600.0
"""Seconds without a new prediction of any process after which the first stops waiting for the others."""

_POLL = 1.0

Progress = Callable[[int, int], None]
"""Called with the questions that are answered, and all."""


class GenerationError(RuntimeError):
    """The predictions cannot be made, or not go on; the message says why and what to do."""


@dataclass(frozen=True)
class Run:
    """What is asked of what: predictions of one run are never mixed with those of another."""

    task: str
    task_digest: str
    data_digest: str
    checkpoint_digest: str
    answer_by: str
    generation: Generation

    def settings(self) -> dict[str, Any]:
        """How the answers are found, for result files."""
        if self.answer_by != "generation":
            return {"answer_by": self.answer_by}
        return {"answer_by": self.answer_by, **asdict(self.generation)}


@dataclass(frozen=True)
class Process:
    """Which of the processes that share the work this one is."""

    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise ValueError(f"rank {self.rank} of {self.world} processes; ranks are 0 to {self.world - 1}")


ALONE = Process()


def process_from_environment(environment: Mapping[str, str] = os.environ) -> Process:
    """The process as `torchrun` starts it, by `RANK` and `WORLD_SIZE`; alone without them.

    Raises:
        GenerationError: they are no numbers that fit.
    """
    rank, world = environment.get("RANK", "0"), environment.get("WORLD_SIZE", "1")
    try:
        return Process(int(rank), int(world))
    except ValueError as error:
        raise GenerationError(f"RANK={rank} WORLD_SIZE={world}: {error}") from error


def parts_folder(output: Path) -> Path:
    """Where the predictions for `FILE.json` grow."""
    return output.with_name(output.name.removesuffix(".json") + ".parts")


def predictions_path(output: Path) -> Path:
    """Where the predictions for `FILE.json` stand in the end."""
    return output.with_name(output.name.removesuffix(".json") + ".predictions.jsonl")


def generate(
    answerer: Answerer,
    questions: Sequence[Question],
    run: Run,
    output: Path,
    *,
    process: Process = ALONE,
    progress: Progress = lambda done, total: None,
    at_once: int = AT_ONCE,
    patience: float = PATIENCE,
) -> Path | None:
    """Asks all questions, or those of this process, and returns the file of all predictions.

    Questions go to the model from long to short, so that a lack of memory shows at once. A question
    whose picture is missing or broken is not asked; its line says why.

    Args:
        at_once: questions between two writes; the same number gives the same batches on a rerun.
        patience: see `PATIENCE`.

    Returns:
        The file, in the order of the questions; None from any process but the first, which waits for all.

    Raises:
        GenerationError: predictions of another run are there, another process of this rank is at work, the
            disk fails, or the other processes have stopped.
    """
    folder = parts_folder(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _agree(folder, run, process)
        with _own_part(folder, process) as part:
            known = set(_answered(folder))
            _ask(answerer, questions, run, part, known, process, progress, at_once)
        if process.rank:
            return None
        found = _wait(folder, questions, progress, patience)
        return _merged(folder, questions, found, predictions_path(output))
    except OSError as error:
        raise GenerationError(f"{error.filename or folder}: {error.strerror or error}") from error


def remove_parts(output: Path) -> None:
    """Removes what a finished run needs no more."""
    shutil.rmtree(parts_folder(output), ignore_errors=True)


def _agree(folder: Path, run: Run, process: Process) -> None:
    """Writes what is asked, or compares it with what was asked before.

    Raises:
        GenerationError: it differs, or the file is broken.
    """
    path, ours = folder / "run.json", asdict(run)
    # In this order, since another process may just be writing the one and then the other.
    begun = next(folder.glob("part-*.jsonl"), None) is not None
    if not path.exists():
        if begun:
            raise GenerationError(f"{path} is missing, and with it what was asked; remove {folder}")
        partial = folder / f"run.json.{process.rank}.{os.getpid()}.partial"
        partial.write_text(json.dumps(ours, indent=1) + "\n", encoding="utf-8")
        # Processes that start together write the same; the last one wins.
        partial.replace(path)
    try:
        theirs = json.loads(path.read_text(encoding="utf-8"))
        different = [key for key in ours if theirs[key] != ours[key]]
    except (ValueError, KeyError, TypeError) as error:
        raise GenerationError(f"{path} is damaged; remove {folder} to start anew") from error
    if different:
        key = different[0]
        raise GenerationError(
            f"{folder} holds predictions with another {key.replace('_', ' ')} ({theirs[key]}, now "
            f"{ours[key]}); go on with that one, name another --output, or remove the folder"
        )


@contextmanager
def _own_part(folder: Path, process: Process) -> Iterator[IO[bytes]]:
    """The file that this process appends to, without a line that a kill left unfinished."""
    path = folder / f"part-{process.rank:05d}-of-{process.world:05d}.jsonl"
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise GenerationError(f"{path}: another process writes to it; does this run twice?") from error
        file.seek(0)
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)
        sync_folder(folder)
        yield file


def _answered(folder: Path) -> Iterator[tuple[str, str]]:
    """Language and id of all whole lines of all parts."""
    for path in folder.glob("part-*.jsonl"):
        yield from (key for key, _ in _lines(path))


def _lines(path: Path) -> Iterator[tuple[tuple[str, str], bytes]]:
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            return  # another process is just writing it
        try:
            record = orjson.loads(line)
            yield (record["language"], record["id"]), line
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise GenerationError(
                f"{path}, line {number} is damaged; remove the line, or the file"
            ) from error


def _ask(
    answerer: Answerer,
    questions: Sequence[Question],
    run: Run,
    part: IO[bytes],
    known: set[tuple[str, str]],
    process: Process,
    progress: Progress,
    at_once: int,
) -> None:
    ordered = sorted(questions, key=lambda one: (-len(one.pictures), -len(one.request.prompt), one.key))
    # Cut before the answered ones are taken out, so that a rerun has the same batches.
    chunks = [ordered[start : start + at_once] for start in range(0, len(ordered), at_once)]
    own = chunks[process.rank :: process.world]
    left = [chunk for chunk in ([one for one in chunk if one.key not in known] for chunk in own) if chunk]
    total = sum(map(len, own))
    done = total - sum(map(len, left))
    progress(done, total)
    with ThreadPoolExecutor(1) as reading:
        # Pictures of the next questions are read while the model answers these.
        ahead = reading.submit(_read, left[0]) if left else None
        for number, chunk in enumerate(left):
            assert ahead is not None
            requests = ahead.result()
            ahead = reading.submit(_read, left[number + 1]) if number + 1 < len(left) else None
            part.write(b"".join(_answers(answerer, chunk, requests, run)))
            part.flush()
            os.fsync(part.fileno())
            done += len(chunk)
            progress(done, total)


def _read(chunk: Sequence[Question]) -> list[Request | BadPicture]:
    """The requests with their pictures, or why there is none."""
    return [_with_pictures(question) for question in chunk]


def _with_pictures(question: Question) -> Request | BadPicture:
    try:
        return replace(question.request, pictures=tuple(picture.read() for picture in question.pictures))
    except BadPicture as error:
        return error


def _answers(
    answerer: Answerer, chunk: Sequence[Question], requests: Sequence[Request | BadPicture], run: Run
) -> Iterator[bytes]:
    """A line for each question, in order."""
    good = [place for place, request in enumerate(requests) if isinstance(request, Request)]
    asked = [request for request in requests if isinstance(request, Request)]
    extra: dict[int, dict[str, Any]] = {}
    if asked and run.answer_by == "generation":
        found = answerer.answers(asked, run.generation)
        for place, answer in zip(good, found, strict=True):
            extra[place] = {"prediction": answer} if isinstance(answer, str) else _unanswered(answer)
    elif asked:
        choices = [chunk[place].expected.choices for place in good]
        for place, own, scores in zip(good, choices, answerer.choice_scores(asked, choices), strict=True):
            if not isinstance(scores, list):
                extra[place] = _unanswered(scores)
                continue
            of_text = run.answer_by == "likelihood"
            values = [one.total if of_text else one.mean for one in scores]
            best = max(range(len(own)), key=values.__getitem__)
            extra[place] = {"prediction": own[best], "likelihoods": values}
    for place, (question, request) in enumerate(zip(chunk, requests, strict=True)):
        if isinstance(request, BadPicture):
            extra[place] = _unanswered(request)
        line = {"id": question.expected.id, "language": question.expected.language, **extra[place]}
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _unanswered(error: BadPicture | BadPrompt) -> dict[str, Any]:
    of = "picture" if isinstance(error, BadPicture) else "prompt"
    return {"prediction": None, "unanswered": f"{of}: {error.reason}: {error.detail}"}


def _wait(
    folder: Path, questions: Sequence[Question], progress: Progress, patience: float
) -> dict[tuple[str, str], bytes]:
    """All lines, once the other processes have written theirs."""
    found: dict[tuple[str, str], bytes] = {}
    since = time.monotonic()
    while True:
        before = len(found)
        for path in sorted(folder.glob("part-*.jsonl")):
            for key, line in _lines(path):
                found.setdefault(key, line)
        missing = sum(question.key not in found for question in questions)
        if not missing:
            return found
        if len(found) > before:
            since = time.monotonic()
        if time.monotonic() - since > patience:
            raise GenerationError(
                f"{folder}: {missing:,} of {len(questions):,} predictions are missing and none came for "
                f"{patience:,.0f} s; start the other processes again, or all anew to go on"
            )
        progress(len(questions) - missing, len(questions))
        time.sleep(_POLL)


def _merged(
    folder: Path, questions: Sequence[Question], found: Mapping[tuple[str, str], bytes], path: Path
) -> Path:
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.writelines(found[question.key] for question in questions)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(folder.parent)
    return path


def library_versions() -> dict[str, str]:
    """Versions of the libraries that decide on what a model says."""
    found = {}
    for name in ("torch", "transformers", "peft", "bitsandbytes"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
