"""From a task to its result files, with a model or from stored predictions; and two results compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.compare import compare
from evaluation.intervals import RESAMPLES
from evaluation.predictions import Predictions, read_predictions
from evaluation.questions import Questions, questions_of
from evaluation.readers.records import digest_of
from evaluation.render import comparison_html, comparison_markdown, html, markdown, svg
from evaluation.results import (
    Provenance,
    Result,
    ResultError,
    evaluate,
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
    answerer: Answerer,
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
    `FILE.predictions.jsonl`. A run that was stopped goes on; a finished one is not asked again.

    Args:
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
    """
    from evaluation.generation import (
        ALONE,
        Run,
        generate,
        library_versions,
        predictions_path,
        remove_parts,
    )

    process = process or ALONE
    _check_output(output)
    questions = questions_of(task)
    digest = answerer.digest
    run = Run(
        task.name,
        task.digest,
        questions.digest,
        digest,
        task.task.answer_by,
        task.task.generation.settings(),
    )
    path = predictions_path(output)
    if overwrite and process.world > 1:
        raise ResultError(f"{output}: several processes cannot overwrite a result; remove it first")
    if overwrite:
        for old in (output, path):
            old.unlink(missing_ok=True)
        remove_parts(output)
    finished = _finished(output, path, run)
    if finished is None:
        made = generate(answerer, questions.items, run, output, process=process, progress=progress)
        if made is None:
            return None
        versions = library_versions()
    elif process.rank:
        return None
    else:
        versions = dict(finished.generated_with or {})
    provenance = Provenance(
        task.name, task.digest, questions.digest, checkpoint, digest, run.settings(), versions
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
    resamples: int = RESAMPLES,
) -> Evaluated:
    """Scores predictions that are there already, without a model.

    What the result of the same predictions beside them says of the model is kept. No pictures are looked for.

    Args:
        strict: any problem of the predictions but an empty one is an error.

    Raises:
        SettingsError: the task is wrong.
        DataError: its files are.
        PredictionsError: the predictions cannot be scored.
        ResultError: the output cannot be written.
    """
    _check_output(output)
    questions = questions_of(task, pictures=False)
    known = _known(predictions)
    provenance = Provenance(
        task.name,
        task.digest,
        questions.digest,
        checkpoint or known.checkpoint,
        known.checkpoint_digest,
        known.generation,
        known.generated_with,
    )
    return _scored(task, questions, predictions, output, provenance, resamples, strict=strict)


def compare_files(first: Path, second: Path, output: Path | None = None) -> str:
    """Two results side by side as Markdown; with an output also as `FILE.html` and `FILE.md`.

    Raises:
        ResultError: they cannot be read or compared, or the output cannot be written.
    """
    comparison = compare(first, second)
    text = comparison_markdown(comparison)
    if output is not None:
        write_file(output.with_suffix(".md"), text.encode())
        write_file(output.with_suffix(".html"), comparison_html(comparison).encode())
    return text


def _check_output(output: Path) -> None:
    """Before hours of work: whether the result can be written at all."""
    if output.suffix != ".json":
        raise ResultError(f"{output}: a result file ends with .json")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultError(f"{output.parent}: cannot be made ({error.strerror})") from error


def _finished(output: Path, predictions: Path, run: Run) -> Provenance | None:
    """What made the predictions that are there, if they are this run's; None if there are none.

    Raises:
        ResultError: they are another run's.
    """
    if not output.exists():
        return None
    result = read_result(output)
    known = result.provenance
    ours = (run.task_digest, run.data_digest, run.checkpoint_digest, run.settings())
    theirs = (known.task_digest, known.data_digest, known.checkpoint_digest, known.generation)
    if ours != theirs:
        names = ("task", "data", "checkpoint", "generation settings")
        other = ", ".join(name for name, one, two in zip(names, ours, theirs, strict=True) if one != two)
        raise ResultError(
            f"{output}: holds a result of another run (other {other}); name another --output, or overwrite it"
        )
    if not predictions.exists():
        return None
    if result.predictions_digest != digest_of(predictions):
        raise ResultError(
            f"{predictions}: not what {output.name} was made from; score it by itself, or remove it"
        )
    return known


def _known(predictions: Path) -> Provenance:
    """What the result beside predictions says of how they were made."""
    path = predictions.with_name(predictions.name.removesuffix(".predictions.jsonl") + ".json")
    nothing = Provenance("")
    if path == predictions or not path.exists():
        return nothing
    result = read_result(path)
    return result.provenance if result.predictions_digest == digest_of(predictions) else nothing


def _scored(
    task: TaskFile,
    questions: Questions,
    path: Path,
    output: Path,
    provenance: Provenance,
    resamples: int,
    *,
    strict: bool = False,
) -> Evaluated:
    found = read_predictions(path, questions.expected, strict=strict)
    result, items = evaluate(
        _with_problems(found, questions), task.task.metrics, provenance, resamples=resamples
    )
    write_result(output, result, items)
    beside = {".md": markdown(result), ".html": html(result), ".svg": svg(result)}
    for suffix, text in beside.items():
        write_file(output.with_suffix(suffix), text.encode())
    return Evaluated(result, (output, *(output.with_suffix(suffix) for suffix in beside), path))


def _with_problems(found: Predictions, questions: Questions) -> Predictions:
    return replace(found, problems=(*questions.problems, *found.problems))


def summary(questions: Questions) -> Sequence[str]:
    """Lines that tell what is asked: items of each language, and what is not as it should be."""
    from evaluation.predictions import described

    counts = sorted(set(questions.counts.values()))
    many = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    lines = [f"{len(questions.items):,} items, {many} in each of {len(questions.counts)} languages"]
    return [*lines, *map(described, questions.problems)]
