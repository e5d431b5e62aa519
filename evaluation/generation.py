"""Asks a model all questions of a task and keeps what it says, so that a run that was killed goes on.

A picture that failed may be there another time, so such a question is asked again by the next run.
Beside `FILE.json` stands `FILE.parts/` while a run lasts: `run.json` says what is asked of what, and each
process appends its predictions to a file of its own. All parts together become `FILE.predictions.jsonl`.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import orjson

from evaluation.predictions import OF_MODEL, OF_PICTURE, OF_PROMPT
from evaluation.questions import Question
from training.asking import Answerer, BadPrompt, Generation, Request
from training.pictures import BadPicture
from translation.disk import sync_folder, whole_or_absent, write_whole

AT_ONCE = 64
"""Questions between two writes to disk: what a kill can lose. The model cuts them into batches of its own."""

PATIENCE = 3600.0
"""Seconds without a new prediction of any process after which the first stops waiting for the others."""

_POLL = 1.0
_TRIES, _TRY = 3, 0.1

_PARTS, _BEFORE = "part-*.jsonl", "part-before.jsonl"
"""All parts, and what a finished run had said that goes on."""

Progress = Callable[[int, int], None]
"""Called with the questions that are answered, and all."""


class GenerationError(RuntimeError):
    """The predictions cannot be made, or not go on; the message says why and what to do."""


@dataclass(frozen=True)
class Run:
    """What is asked of what: predictions of one run are never mixed with those of another."""

    task: str
    data_digest: str
    """Of the official files, see `evaluation.questions.Questions`, as the next."""
    asked_digest: str
    checkpoint_digest: str
    answer_by: str
    generation: Generation
    computed_with: Mapping[str, str] = field(default_factory=dict)
    """See `training.asking.Answerer`."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the libraries that decide on what a model says."""

    def settings(self) -> dict[str, Any]:
        """How the answers are found, for result files."""
        return {**search_settings(self.answer_by, self.generation), **self.computed_with}


def search_settings(answer_by: str, generation: Generation) -> dict[str, Any]:
    """How answers are searched for, whatever computes them."""
    if answer_by != "generation":
        return {"answer_by": answer_by}
    return {"answer_by": answer_by, **asdict(generation)}


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
    whose picture is missing or broken is not asked; its line says why, and another run asks it again.

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
            counted = _Counted(folder, len(questions), progress)
            known = {key for key, line in _all_lines(folder) if not _to_be_asked_again(line)}
            counted.tell(len(known))
            _ask(answerer, questions, run, part, known, process, counted, at_once)
        if process.rank:
            return None
        found = _wait(folder, questions, counted, patience)
        return _merged(folder, questions, found, predictions_path(output))
    except OSError as error:
        raise GenerationError(f"{error.filename or folder}: {error.strerror or error}") from error


def is_under_way(output: Path, run: Run) -> bool:
    """Whether predictions of this very run stand there, to go on from."""
    try:
        there = json.loads((parts_folder(output) / "run.json").read_bytes())
    except (OSError, ValueError):
        return False
    return bool(there == json.loads(json.dumps(asdict(run))))


def remove_parts(output: Path) -> None:
    """Removes what a finished run needs no more."""
    shutil.rmtree(parts_folder(output), ignore_errors=True)


def to_be_asked_again(predictions: Path) -> set[tuple[str, str]]:
    """Language and id of the questions of a finished run whose pictures failed.

    Raises:
        GenerationError: the file cannot be read.
    """
    try:
        return {key for key, line in _lines(predictions) if _to_be_asked_again(line)}
    except OSError as error:
        raise GenerationError(f"{predictions}: {error.strerror or error}") from error


def take_up(predictions: Path, run: Run, output: Path) -> None:
    """Makes a finished run one that goes on: what it has said stands as a part again.

    Raises:
        GenerationError: the disk fails.
    """
    folder = parts_folder(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _agree(folder, run, ALONE)
        with whole_or_absent(folder / _BEFORE, attempt=str(os.getpid())) as before:
            shutil.copyfile(predictions, before)
    except OSError as error:
        raise GenerationError(f"{error.filename or folder}: {error.strerror or error}") from error


def _agree(folder: Path, run: Run, process: Process) -> None:
    """Writes what is asked, or compares it with what was asked before.

    Raises:
        GenerationError: it differs, or the file is broken.
    """
    path, ours = folder / "run.json", asdict(run)
    # In this order, since another process may just be writing the one and then the other.
    begun = next(folder.glob(_PARTS), None) is not None
    if not path.exists():
        if begun:
            raise GenerationError(f"{path} is missing, and with it what was asked; remove {folder}")
        # Processes that start together write the same; the last one wins.
        attempt = f"{process.rank}.{os.getpid()}"
        write_whole(path, (json.dumps(ours, indent=1) + "\n").encode(), attempt)
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
        for left in reversed(range(_TRIES)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                # Maybe the first process only looks whether anybody is at work.
                if not left:
                    raise GenerationError(
                        f"{path}: another process writes to it; does this run twice?"
                    ) from error
                time.sleep(_TRY)
        file.seek(0)
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)
        sync_folder(folder)
        yield file


def _all_lines(folder: Path) -> Iterator[tuple[tuple[str, str], bytes]]:
    """Language and id of all whole lines of all parts, with the line."""
    for path in sorted(folder.glob(_PARTS), key=lambda path: (path.name != _BEFORE, path.name)):
        yield from _lines(path)


def _to_be_asked_again(line: bytes) -> bool:
    """Whether a line says that a picture failed."""
    # Most lines are answers; only one that has the word is worth reading.
    if b'"unanswered"' not in line:
        return False
    return str(orjson.loads(line).get("unanswered")).startswith(f"{OF_PICTURE}:")


def _at_work(folder: Path) -> bool:
    """Whether a process still writes to a part."""
    for path in folder.glob(_PARTS):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


class _Counted:
    """Tells of the answered questions of all processes."""

    def __init__(self, folder: Path, total: int, progress: Progress) -> None:
        self._folder, self._total, self._progress = folder, total, progress
        self._sizes = {path: path.stat().st_size for path in folder.glob(_PARTS)}
        self._lines = 0
        self._before = 0

    def tell(self, before: int) -> None:
        """So many were answered when this process began."""
        self._before = before
        self._progress(min(before, self._total), self._total)

    def look(self) -> None:
        """Counts the lines that came since, of this process and of others."""
        for path in self._folder.glob(_PARTS):
            start = self._sizes.get(path, 0)
            with path.open("rb") as file:
                file.seek(start)
                new = file.read()
            whole = new.rfind(b"\n") + 1
            self._lines += new.count(b"\n")
            self._sizes[path] = start + whole
        self._progress(min(self._before + self._lines, self._total), self._total)


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
    counted: _Counted,
    at_once: int,
) -> None:
    ordered = sorted(questions, key=lambda one: (-len(one.pictures), -len(one.request.prompt), one.key))
    # Cut before the answered ones are taken out, so that a rerun has the same batches.
    chunks = [ordered[start : start + at_once] for start in range(0, len(ordered), at_once)]
    own = chunks[process.rank :: process.world]
    left = [chunk for chunk in ([one for one in chunk if one.key not in known] for chunk in own) if chunk]
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
            counted.look()


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
    cut: set[int] = set()
    asked = [request for request in requests if isinstance(request, Request)]
    extra: dict[int, dict[str, Any]] = {}
    if asked:
        cut = {place for place, one in zip(good, answerer.cut_prompts(asked), strict=True) if one}
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
            # Half precision overflows; a maximum over what is no number would be the first choice.
            if not all(map(math.isfinite, values)):
                extra[place] = {
                    "prediction": None,
                    "unanswered": f"{OF_MODEL}: no finite likelihood: {', '.join(map(str, values))}",
                }
                continue
            best = max(range(len(own)), key=values.__getitem__)
            extra[place] = {"prediction": own[best], "likelihoods": values}
    for place, (question, request) in enumerate(zip(chunk, requests, strict=True)):
        if isinstance(request, BadPicture):
            extra[place] = _unanswered(request)
        line = {"id": question.expected.id, "language": question.expected.language, **extra[place]}
        if place in cut and line["prediction"] is not None:
            line["cut"] = True
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _unanswered(error: BadPicture | BadPrompt) -> dict[str, Any]:
    of = OF_PICTURE if isinstance(error, BadPicture) else OF_PROMPT
    return {"prediction": None, "unanswered": f"{of}: {error.reason}: {error.detail}"}


def _wait(
    folder: Path, questions: Sequence[Question], counted: _Counted, patience: float
) -> dict[tuple[str, str], bytes]:
    """All lines, once the other processes have written theirs."""
    found: dict[tuple[str, str], bytes] = {}
    since = time.monotonic()
    lines, ended = 0, False
    while True:
        before, lines = lines, 0
        for key, line in _all_lines(folder):
            lines += 1
            if key not in found or _to_be_asked_again(found[key]):
                found[key] = line
        missing = sum(question.key not in found for question in questions)
        if not missing and (ended or not any(map(_to_be_asked_again, found.values()))):
            return found
        # Another process may be asking again what failed before; its last lines are read once more.
        ended = not missing and not _at_work(folder)
        if ended:
            continue
        if lines > before:
            since = time.monotonic()
        if time.monotonic() - since > patience and not missing:
            return found
        if time.monotonic() - since > patience:
            raise GenerationError(
                f"{folder}: {missing:,} of {len(questions):,} predictions are missing and none came for "
                f"{patience:,.0f} s; start the other processes again, or all anew to go on"
            )
        counted.look()
        time.sleep(_POLL)


def _merged(
    folder: Path, questions: Sequence[Question], found: Mapping[tuple[str, str], bytes], path: Path
) -> Path:
    write_whole(path, b"".join(found[question.key] for question in questions))
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
