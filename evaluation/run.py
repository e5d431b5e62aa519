"""From a task to its result files, with a model or from stored predictions; and two results compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from evaluation.compare import Comparison, compare
from evaluation.intervals import RESAMPLES
from evaluation.items import Item
from evaluation.metrics import metrics_of
from evaluation.pictures import AbsentPicture
from evaluation.predictions import Predictions, read_predictions
from evaluation.questions import Question, Questions, questions_of
from evaluation.readers.records import digest_of
from evaluation.render import comparison_html, comparison_markdown, html, markdown, svg
from evaluation.results import (
    Provenance,
    Result,
    ResultError,
    evaluate,
    items_path,
    read_result,
    write_file,
    write_result,
)
from evaluation.tasks import TaskFile

if TYPE_CHECKING:
    from evaluation.generation import Process, Progress, Run
    from training.asking import Answerer


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation wrote."""

    result: Result
    files: tuple[Path, ...]
    """The result first, then what stands beside it."""


def evaluate_task(
    load: Callable[[], Answerer],
    task: TaskFile,
    output: Path,
    *,
    checkpoint: str | None = None,
    process: Process | None = None,
    progress: Progress = lambda done, total: None,
    overwrite: bool = False,
    resamples: int = RESAMPLES,
) -> Evaluated | None:
    """Asks a model all of a task's questions and scores what it says.

    Writes `FILE.json`, `.items.parquet`, `.md`, `.html` and `.svg`, and the predictions in
    `FILE.predictions.jsonl`. A run that was stopped goes on; a finished one is scored again, and asked again
    only where pictures failed that are there now.

    Args:
        load: gives the model; called when all that can be wrong without it has been looked at.
        checkpoint: what results call the model.
        process: this process where several share the work; alone by default.
        overwrite: replace a result, or predictions, of another run.

    Returns:
        None from any process but the first.

    Raises:
        SettingsError: the task is wrong.
        DataError: its files are.
        GenerationError: the predictions cannot be made, or belong to another run.
        ResultError: the output is there already, of another run, or cannot be written.
        SegmenterError, PiecesError: a metric lacks what it needs.
        ValueError: a metric does not fit the items.
    """
    from evaluation.generation import (
        ALONE,
        Run,
        generate,
        is_under_way,
        library_versions,
        predictions_path,
        remove_parts,
        search_settings,
    )

    process = process or ALONE
    _check_output(output)
    if overwrite and process.world > 1:
        raise ResultError(f"{output}: several processes cannot overwrite a result; remove it first")
    questions = questions_of(task)
    path = predictions_path(output)
    search = task.task.generation.settings()
    if not overwrite:
        _check_same(output, task.name, questions, search_settings(task.task.answer_by, search))
    _try_metrics(task, questions)
    answerer = load()
    run = Run(
        task.name,
        questions.digest,
        questions.asked_digest,
        answerer.digest,
        task.task.answer_by,
        search,
        dict(answerer.computed_with),
        library_versions(),
    )
    if overwrite:
        for old in (output, path):
            old.unlink(missing_ok=True)
        # Else the same command, after it was stopped, would throw away what it has asked.
        if not is_under_way(output, run):
            remove_parts(output)
    finished = _finished(output, path, questions, run)
    if finished is None:
        made = generate(answerer, questions.items, run, output, process=process, progress=progress)
        if made is None:
            return None
        versions: Mapping[str, str] = run.versions
    elif process.rank:
        return None
    else:
        versions = finished.generated_with or {}
    provenance = Provenance(
        task.name,
        task.digest,
        questions.digest,
        questions.asked_digest,
        checkpoint,
        run.checkpoint_digest,
        run.settings(),
        dict(versions),
    )
    evaluated = _scored(task, questions, path, output, provenance, resamples)
    remove_parts(output)
    return evaluated


def rescore(
    predictions: Path,
    task: TaskFile,
    output: Path,
    *,
    checkpoint: str | None = None,
    strict: bool = False,
    overwrite: bool = False,
    resamples: int = RESAMPLES,
) -> Evaluated:
    """Scores predictions that are there already, without a model.

    What the result of the same predictions beside them says of the model is kept. No pictures are looked for.

    Args:
        strict: any problem of the predictions but an empty one, or a cut prompt, is an error.
        overwrite: replace a result of other predictions, or of another task.

    Raises:
        SettingsError: the task is wrong.
        DataError: its files are.
        PredictionsError: the predictions cannot be scored.
        ResultError: the output is there already, of other predictions, or cannot be written.
    """
    _check_output(output)
    if output.exists() and not overwrite:
        there = read_result(output)
        if (there.predictions_digest, there.provenance.task) != (digest_of(predictions), task.name):
            raise ResultError(
                f"{output}: holds a result of other predictions (task {there.provenance.task}); name another "
                "--output, or overwrite it"
            )
    questions = questions_of(task, pictures=False)
    known = _known(predictions)
    provenance = Provenance(
        task.name,
        task.digest,
        questions.digest,
        known.asked_digest,
        checkpoint or known.checkpoint,
        known.checkpoint_digest,
        known.generation,
        known.generated_with,
    )
    return _scored(task, questions, predictions, output, provenance, resamples, made=False, strict=strict)


def compare_files(first: Path, second: Path, output: Path | None = None) -> Comparison:
    """Two results side by side; with an output also as `FILE.html` and `FILE.md`.

    Raises:
        ResultError: they cannot be read or compared, or the output cannot be written.
    """
    pages = None if output is None else _pages(output, (first, second))
    comparison = compare(first, second)
    if pages is not None:
        write_file(pages[0], comparison_markdown(comparison).encode())
        write_file(pages[1], comparison_html(comparison).encode())
    return comparison


def _pages(output: Path, results: tuple[Path, Path]) -> tuple[Path, Path]:
    """Where a comparison is written; `lr-1.0` keeps its `.0`."""
    ending = output.suffix if output.suffix in (".json", ".md", ".html") else ""
    name = output.name.removesuffix(ending)
    pages = output.with_name(f"{name}.md"), output.with_name(f"{name}.html")
    if pages[0].absolute() in {result.with_suffix(".md").absolute() for result in results}:
        raise ResultError(f"{pages[0]}: belongs to one of the results; name another --output")
    _check_folder(output.parent)
    return pages


def _check_output(output: Path) -> None:
    """Before hours of work: whether the result can be written at all."""
    if output.suffix != ".json":
        raise ResultError(f"{output}: a result file ends with .json")
    _check_folder(output.parent)


def _check_folder(folder: Path) -> None:
    """Makes it where it is not there; raises ResultError if nothing can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultError(f"{folder}: cannot be made ({error.strerror})") from error
    try:
        with NamedTemporaryFile(dir=folder, prefix="."):
            pass
    except OSError as error:
        raise ResultError(f"{folder}: cannot be written to ({error.strerror})") from error


def _try_metrics(task: TaskFile, questions: Questions) -> None:
    """Scores empty predictions, so that what a metric lacks is told before hours of work."""
    nothing = [Item(expected, "") for expected in questions.expected]
    for metric in metrics_of(task.task.metrics):
        metric(nothing)


def _check_same(
    output: Path,
    name: str,
    questions: Questions,
    settings: Mapping[str, Any],
    checkpoint_digest: str | None = None,
) -> Result | None:
    """The result that is there, if it is of a run like this; None if there is none.

    Args:
        settings: those that are known by now.
        checkpoint_digest: None where it is not known yet.

    Raises:
        ResultError: it is another run's.
    """
    if not output.exists():
        return None
    result = read_result(output)
    known = result.provenance
    theirs = known.generation or {}
    other = [
        *(["task"] if known.task != name else []),
        *(["data"] if known.data_digest != questions.digest else []),
        *(["questions"] if known.asked_digest != questions.asked_digest else []),
        *(["checkpoint"] if checkpoint_digest not in (None, known.checkpoint_digest) else []),
        *(key.replace("_", " ") for key, value in settings.items() if theirs.get(key) != value),
    ]
    if other:
        raise ResultError(
            f"{output}: holds a result of another run (other {', '.join(other)}); name another --output, or "
            "overwrite it"
        )
    return result


def _finished(output: Path, predictions: Path, questions: Questions, run: Run) -> Provenance | None:
    """What made the predictions that are there, if they are this run's; None if there is anything to ask.

    Raises:
        ResultError: they are another run's.
        GenerationError: they cannot be gone on with.
    """
    from evaluation.generation import parts_folder, take_up, to_be_asked_again

    result = _check_same(output, run.task, questions, run.settings(), run.checkpoint_digest)
    if result is None or parts_folder(output).exists() or not predictions.exists():
        return None
    known = result.provenance
    if result.predictions_digest != digest_of(predictions):
        raise ResultError(
            f"{predictions}: not what {output.name} was made from; score it by itself, or remove it"
        )
    failed = to_be_asked_again(predictions)
    if any(one.key in failed and not _absent(one) for one in questions.items):
        if known.generated_with != run.versions:
            raise ResultError(
                f"{output}: {len(failed):,} pictures failed, and the libraries are others now, so that these "
                f"questions cannot be asked as the rest was ({dict(known.generated_with or {})}); name "
                "another --output, or overwrite it"
            )
        take_up(predictions, run, output)
        return None
    return known


def _absent(question: Question) -> bool:
    return any(isinstance(picture, AbsentPicture) for picture in question.pictures)


def _known(predictions: Path) -> Provenance:
    """What the result beside predictions says of how they were made."""
    path = predictions.with_name(predictions.name.removesuffix(".predictions.jsonl") + ".json")
    nothing = Provenance("")
    if path == predictions or not path.exists():
        return nothing
    try:
        result = read_result(path)
    except ResultError:
        # It says nothing, and may be what is to be overwritten.
        return nothing
    return result.provenance if result.predictions_digest == digest_of(predictions) else nothing


def _scored(
    task: TaskFile,
    questions: Questions,
    path: Path,
    output: Path,
    provenance: Provenance,
    resamples: int,
    *,
    made: bool = True,
    strict: bool = False,
) -> Evaluated:
    """
    Args:
        made: the predictions are of this run, and not what it was given.
    """
    found = read_predictions(path, questions.expected, strict=strict)
    result, items = evaluate(
        _with_problems(found, questions), task.task.metrics, provenance, resamples=resamples
    )
    write_result(output, result, items)
    beside = {".md": markdown(result), ".html": html(result), ".svg": svg(result)}
    for suffix, text in beside.items():
        write_file(output.with_suffix(suffix), text.encode())
    written = (output, items_path(output), *(output.with_suffix(suffix) for suffix in beside))
    return Evaluated(result, (*written, path) if made else written)


def _with_problems(found: Predictions, questions: Questions) -> Predictions:
    return replace(found, problems=(*questions.problems, *found.problems))
