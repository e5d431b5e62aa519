"""The console script `realign`: parses the command line, calls, prints. Nothing else happens here."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console

from translation.console import (
    DONE,
    FAILED,
    WRONG,
    CommandParser,
    TerminalConsole,
    complain,
    exit_with,
    positive,
)
from translation.progress import CountProgress

if TYPE_CHECKING:
    from evaluation.run import Evaluated
    from training.asking import Answerer
    from training.picture_files import Said

QUANTIZATIONS = ("int8", "nf4")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    main = CommandParser(
        prog="realign",
        description="Re-aligns a vision encoder to a multilingual LLM, and measures what came out.",
    )
    main.add_argument("--version", action="version", version=f"realign {version('translate-mix')}")
    commands = main.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=CommandParser
    )

    train = commands.add_parser("train", help="train on a mix; goes on where it stopped")
    train.add_argument(
        "configuration", metavar="CONFIG.yaml", help="a file, or the name of one that ships: mblip-mt0-xl"
    )
    _set_option(train)
    train.add_argument("--quiet", action="store_true", help="no progress, only the outcome")
    train.set_defaults(call=_train)

    caption = commands.add_parser("caption", help="say what is in pictures, in a language")
    caption.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="a checkpoint, a run's directory, a hub name"
    )
    caption.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    _answer_options(caption)
    caption.set_defaults(call=_caption)

    ask = commands.add_parser("ask", help="answer a question about a picture, in a language")
    ask.add_argument("checkpoint", metavar="CHECKPOINT")
    ask.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    ask.add_argument("question", metavar="QUESTION")
    _answer_options(ask)
    ask.set_defaults(call=_ask)

    merge = commands.add_parser("merge", help="put a checkpoint's adapter into its LLM, for a next stage")
    merge.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    merge.add_argument("--output", required=True, type=Path, metavar="DIR", help="of the new checkpoint")
    merge.set_defaults(call=_merge)

    evaluate = commands.add_parser("evaluate", help="ask a model all questions of a benchmark, and score it")
    evaluate.usage = "%(prog)s [CHECKPOINT] TASK.yaml --output FILE.json [options]"
    evaluate.add_argument(
        "names",
        nargs="+",
        metavar="[CHECKPOINT] TASK.yaml",
        help="the model, left out with --predictions; the task: a file, or the name of one that ships: xgqa",
    )
    evaluate.add_argument(
        "--output", required=True, type=Path, metavar="FILE.json", help="also .md, .html and predictions"
    )
    _set_option(evaluate)
    evaluate.add_argument(
        "--predictions", type=Path, metavar="FILE.jsonl", help="score these again, without a model"
    )
    evaluate.add_argument("--overwrite", action="store_true", help="replace another run's result")
    _device_options(evaluate)
    evaluate.add_argument("--quiet", action="store_true", help="no progress, only the result")
    evaluate.set_defaults(call=_evaluate)

    compare = commands.add_parser("compare", help="two results side by side, with a paired test")
    compare.add_argument("first", type=Path, metavar="A.json")
    compare.add_argument("second", type=Path, metavar="B.json")
    compare.add_argument("--output", type=Path, metavar="FILE", help="also FILE.md and FILE.html")
    compare.set_defaults(call=_compare)
    return main


def _set_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key")


def _device_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: auto)")
    command.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the weights")
    command.add_argument(
        "--quantization",
        choices=QUANTIZATIONS,
        help="of the LLM's weights (default: none, as precise as asked)",
    )


def _answer_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--language",
        default="eng_Latn",
        metavar="CODE",
        help="of the answer: deu_Latn, sw (default: English)",
    )
    command.add_argument("--beams", type=positive, default=5, metavar="N", help="1 is greedy (default: 5)")
    command.add_argument("--max-new-tokens", type=positive, metavar="N", help="default: the paper's")
    _device_options(command)
    command.add_argument("--json", action="store_true", help="one object a line")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point; ends the process with an exit code."""
    # Weights come from disk or the hub; notices of the libraries would stand between our lines.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    given = list(sys.argv[1:] if arguments is None else arguments)

    def call() -> int:
        commands = parser()
        parsed, more = commands.parse_known_args(given)
        if parsed.call is _evaluate and not any(name.startswith("-") for name in more):
            # Options may stand between the names; argparse gives what comes after them apart.
            parsed.names += more
        elif more:
            commands.error(f"unrecognized arguments: {' '.join(more)}")
        try:
            return int(parsed.call(parsed))
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in _OWN:
                raise
            _complain(f"{error}; `pip install 'translate-mix[train]'` brings what it needs")
            return FAILED

    goes_on = given[:1] in (["train"], ["evaluate"])
    exit_with(
        "realign", call, "interrupted; the same command goes on from here" if goes_on else "interrupted"
    )


_OWN = ("translation", "pipelines", "training", "evaluation")
_complain = partial(complain, "realign")


def _train(parsed: argparse.Namespace) -> int:
    from training.configuration import load_configuration

    # First, since it takes no time: what is wrong there shows before seconds of imports.
    configuration = load_configuration(parsed.configuration, parsed.set)

    from training.decoding import is_of_worker
    from training.run_directory import SKIPPED, OtherConfiguration
    from training.train import train

    console = TerminalConsole()
    try:
        outcome = train(configuration, console, quiet=parsed.quiet)
    except OtherConfiguration as error:
        _complain(error)
        return WRONG
    except _failures() as error:
        _complain(error)
        return FAILED
    except RuntimeError as error:
        # torch may hear of it while the model computes, not while a batch is waited for.
        if not is_of_worker(error):
            raise
        _complain(f"{error}; the same command goes on from the last checkpoint")
        return FAILED
    if outcome.main:
        console.print(
            f"{outcome.progress.step:,} steps are done; the last checkpoint is {outcome.checkpoint}"
        )
        if left_out := outcome.left_out:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in left_out.most_common(5))
            console.print(
                f"{left_out.total():,} examples could not be used ({reasons}); "
                f"{configuration.run_directory / SKIPPED} has the first",
                soft_wrap=True,
            )
        if outcome.best is not None:
            console.print(f"the lowest validation loss is {outcome.best[1]:.4f}, of {outcome.best[0]}")
    return DONE


def _caption(parsed: argparse.Namespace) -> int:
    from training.asking import Generation
    from training.picture_files import caption

    settings = Generation(beams=parsed.beams, **_tokens(parsed))
    return _say(
        parsed,
        lambda: caption(
            parsed.checkpoint,
            parsed.images,
            parsed.language,
            settings=settings,
            device=parsed.device,
            precision=parsed.precision,
            quantization=parsed.quantization,
        ),
    )


def _ask(parsed: argparse.Namespace) -> int:
    from training.picture_files import ANSWER, ask

    settings = replace(ANSWER, beams=parsed.beams, **_tokens(parsed))
    return _say(
        parsed,
        lambda: [
            ask(
                parsed.checkpoint,
                parsed.images,
                parsed.question,
                parsed.language,
                settings=settings,
                device=parsed.device,
                precision=parsed.precision,
                quantization=parsed.quantization,
            )
        ],
    )


def _tokens(parsed: argparse.Namespace) -> dict[str, int]:
    return {} if parsed.max_new_tokens is None else {"max_new_tokens": parsed.max_new_tokens}


def _say(parsed: argparse.Namespace, said: Callable[[], Sequence[Said]]) -> int:
    """Prints what a model says of pictures: alone if it is one, else after the name of the file."""
    try:
        outcomes = said()
    except _failures() as error:
        _complain(error)
        return FAILED
    for one in outcomes:
        images = [str(path) for path in one.images]
        if one.cut:
            _complain("the question is longer than the model's prompts may be, and was cut")
        if parsed.json:
            values = {"images": images, "language": one.language, "prompt": one.prompt, "text": one.text}
            print(json.dumps(values | ({"cut": True} if one.cut else {}), ensure_ascii=False))
        else:
            print(one.text if len(outcomes) == 1 else f"{', '.join(images)}: {one.text}")
    return DONE


def _merge(parsed: argparse.Namespace) -> int:
    from training.checkpoint_folder import folder_of
    from training.merging import merged

    try:
        merged(folder_of(parsed.checkpoint), parsed.output)
    except _failures() as error:
        _complain(error)
        return FAILED
    print(f"{parsed.output}: without adapter; `model: {{start: {parsed.output}}}` trains on from it")
    return DONE


def _evaluate(parsed: argparse.Namespace) -> int:
    from evaluation.render import text
    from evaluation.run import evaluate_task, rescore
    from evaluation.tasks import read_task

    *checkpoints, name = parsed.names
    if len(checkpoints) != (parsed.predictions is None):
        raise ValueError(
            f"evaluate: {' '.join(parsed.names)}: a CHECKPOINT and a TASK wanted, or a TASK and --predictions"
        )
    if parsed.predictions is not None:
        _refuse_model_options(parsed)
    task = read_task(name, parsed.set)
    console = TerminalConsole()
    failures = _failures if parsed.predictions is None else _failures_of_scoring
    try:
        if parsed.predictions is not None:
            evaluated: Evaluated | None = rescore(
                parsed.predictions, task, parsed.output, overwrite=parsed.overwrite
            )
        else:
            from evaluation.generation import process_from_environment

            (checkpoint,) = checkpoints
            process = process_from_environment()

            def load() -> Answerer:
                from training.answerers import load_answerer

                device = _own_device(parsed.device)
                return load_answerer(checkpoint, device, parsed.precision, quantization=parsed.quantization)

            with _Asking(task.name, parsed.quiet or process.rank > 0) as bar:
                evaluated = evaluate_task(
                    load,
                    task,
                    parsed.output,
                    checkpoint=checkpoint,
                    process=process,
                    progress=bar.told,
                    overwrite=parsed.overwrite,
                )
    except failures() as error:
        _complain(error)
        return FAILED
    if evaluated is not None:
        console.print(text(evaluated.result), markup=False, soft_wrap=True)
        console.print("written: " + ", ".join(str(path) for path in evaluated.files))
    return DONE


def _refuse_model_options(parsed: argparse.Namespace) -> None:
    """Stored predictions are scored without a model."""
    for option, default in (("device", "auto"), ("precision", "auto"), ("quantization", None)):
        if getattr(parsed, option) != default:
            raise ValueError(f"evaluate: --{option} is of no effect with --predictions; leave it out")


def _own_device(wanted: str) -> str:
    """Of several processes on a machine (`torchrun`), each has a GPU of its own."""
    rank = os.environ.get("LOCAL_RANK")
    if rank is None or wanted not in ("auto", "cuda"):
        return wanted
    import torch

    return f"cuda:{rank}" if torch.cuda.is_available() else wanted


class _Asking:
    """Progress of questions; how many there are is known only when the first are answered."""

    def __init__(self, name: str, quiet: bool) -> None:
        self._name, self._quiet = name, quiet
        self._progress: CountProgress | None = None
        self._done = 0

    def told(self, done: int, total: int) -> None:
        """So many of all questions are answered."""
        if self._progress is None:
            console = Console(stderr=True, highlight=False)
            self._progress = CountProgress(self._name, total, console, self._quiet, "questions", done)
            self._progress.__enter__()
        else:
            self._progress.advance(done - self._done)
        self._done = done

    def __enter__(self) -> _Asking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.__exit__(kind, error, trace)


def _failures() -> tuple[type[Exception], ...]:
    """What ends a command with one message and exit code 1; other errors are mistakes of ours, or code 2."""
    from evaluation.generation import GenerationError
    from training.assembly import PartError
    from training.decoding import LoaderError
    from training.mixes import MixError
    from training.portions import OutOfMemory
    from training.run_directory import RunError
    from training.texts import TokenizerError
    from training.weight_files import CheckpointError

    of_models = (
        *(RunError, MixError, LoaderError, CheckpointError, PartError, TokenizerError),
        *(OutOfMemory, GenerationError),
    )
    return of_models + _failures_of_scoring()


def _failures_of_scoring() -> tuple[type[Exception], ...]:
    """The same of what needs no model, and so no torch."""
    from evaluation.corpus import PiecesError
    from evaluation.predictions import PredictionsError
    from evaluation.readers.records import DataError
    from evaluation.results import ResultError
    from evaluation.tokens import SegmenterError

    return (DataError, ResultError, PredictionsError, PiecesError, SegmenterError)


def _compare(parsed: argparse.Namespace) -> int:
    from evaluation.render import comparison_text
    from evaluation.run import compare_files

    for path in (parsed.first, parsed.second):
        if not path.is_file():
            raise ValueError(f"{path}: no such file")
    try:
        comparison = compare_files(parsed.first, parsed.second, parsed.output)
    except _failures_of_scoring() as error:
        _complain(error)
        return FAILED
    TerminalConsole().print(comparison_text(comparison), markup=False, soft_wrap=True)
    return DONE


if __name__ == "__main__":
    main()
