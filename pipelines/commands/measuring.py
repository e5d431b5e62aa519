"""`translate-mix evaluate`: models, mixes and other translations, measured on reference translations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pipelines.commands.options import Commands, add_device_options, local, tell
from translation.console import DONE, TerminalConsole, positive
from translation.identification import OFFLINE
from translation.model import SMALL

if TYPE_CHECKING:
    from evaluation.reference_sets import ReferenceText
    from evaluation.systems import Output
    from translation.decoder import Threads


def add(commands: Commands) -> None:
    """Adds the group to the command line."""
    evaluate = commands.add_parser(
        "evaluate", help="measure models, mixes or other translations on reference translations"
    )
    evaluate.add_argument(
        "references",
        type=local,
        metavar="REFERENCES",
        help="NTREX, FLORES, or a TSV of references",
    )
    evaluate.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="MODEL",
        help="one for each to be measured (small)",
    )
    evaluate.add_argument("--mix", action="append", default=[], metavar="DIR", help="a finished mix")
    evaluate.add_argument(
        "--translations",
        action="append",
        default=[],
        type=local,
        metavar="FILE.tsv",
        help="made elsewhere",
    )
    evaluate.add_argument(
        "--languages", default="", metavar="CODES", help="only these: deu_Latn,swh_Latn,..."
    )
    evaluate.add_argument("--lines", type=_line_range, metavar="1001-1997", help="only these of the set")
    evaluate.add_argument("--output", type=local, metavar="FILE.json", help="and .md, .html, translations")
    evaluate.add_argument(
        "--beam-size", type=positive, default=4, metavar="N", help="hypotheses followed (4)"
    )
    add_device_options(evaluate)
    evaluate.add_argument(
        "--identification", default=OFFLINE, metavar="LID", help="shipped, cld, a fastText file or hub name"
    )
    evaluate.add_argument("--quality", metavar="JUDGE", help="labse, metricx, comet_kiwi:DIR: another column")
    evaluate.add_argument("--pieces", type=local, metavar="FILE", help="SentencePiece model for spBLEU")
    evaluate.add_argument(
        "--resamples", type=positive, default=1000, metavar="N", help="for intervals (1000)"
    )
    evaluate.add_argument("--quiet", action="store_true", help="no progress, only the table")
    evaluate.set_defaults(call=_evaluate)


def _line_range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isdigit() and (last or first).isdigit() and 1 <= int(first) <= int(last or first)):
        raise argparse.ArgumentTypeError(f"{text!r} is no range of lines such as 1001-1997")
    return int(first), int(last or first)


def _evaluate(parsed: argparse.Namespace) -> int:
    from evaluation.reference_sets import read_reference_set
    from evaluation.results import ResultError
    from evaluation.systems import copied, of_mix, of_table
    from evaluation.translation_report import Measuring, render
    from translation.identification import load_identifier
    from translation.languages import resolve
    from translation.model import ModelError, model_directory, read_description
    from translation.progress import CountProgress
    from translation.quality import load_quality
    from translation.tuning import asked_threads

    if parsed.output and (parsed.output.suffix != ".json" or not parsed.output.parent.is_dir()):
        raise ValueError(f"--output {parsed.output}: name a .json file in a folder that is there")
    codes = {resolve(code).nllb for code in parsed.languages.split(",") if code.strip()}
    references = read_reference_set(parsed.references, codes, parsed.lines)
    models = _models(parsed)
    measuring = Measuring(
        references,
        load_identifier(parsed.identification),
        pieces=parsed.pieces,
        judge=load_quality(parsed.quality, parsed.device) if parsed.quality else None,
        resamples=parsed.resamples,
    )
    try:
        directories = {name: model_directory(name) for name in models}
        for directory in directories.values():
            read_description(directory)
        threads = asked_threads(parsed.threads, parsed.device)
    except ModelError as error:
        return tell(error)
    outputs = [of_mix(directory, references.texts) for directory in parsed.mix]
    outputs += [of_table(path, references.texts) for path in parsed.translations]
    console = Console(stderr=True, highlight=False)
    try:
        for name, directory in directories.items():
            outputs.append(_translated(name, directory, references.texts, threads, parsed, console))
            if parsed.output:
                # Hours of work, which a mistake in the next model must not lose.
                measuring.keep(parsed.output, outputs[-1])
        for output in (*outputs, copied(references.texts)):
            total, text = measuring.steps(output), f"measure {output.system}"
            with CountProgress(text, total, console, parsed.quiet, unit="scores") as progress:
                measuring.add(output, progress.advance)
        measured = measuring.measured()
        render(measured, TerminalConsole())
        if parsed.output:
            measuring.write(parsed.output, measured)
            print(f"{parsed.output}: written, with .md, .html and the translations beside it")
    except (ModelError, ResultError) as error:
        return tell(error)
    return DONE


def _models(parsed: argparse.Namespace) -> list[str]:
    """What is to translate; the small model if nothing else is measured. Raises ValueError for twins."""
    models: list[str] = parsed.model or ([] if parsed.mix or parsed.translations else [SMALL])
    named = [*parsed.mix, *map(str, parsed.translations), *models]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise ValueError(f"{twice[0]} is named twice")
    return models


def _translated(
    name: str,
    directory: Path,
    texts: Sequence[ReferenceText],
    threads: Threads | None,
    parsed: argparse.Namespace,
    console: Console,
) -> Output:
    """What a model makes of the texts.

    Args:
        threads: None: the fastest are measured.
    """
    from evaluation.systems import translated
    from translation.engine import Engine
    from translation.progress import CountProgress
    from translation.translations import Decoding
    from translation.tuning import measure

    decoding = Decoding(beam_size=parsed.beam_size)
    threads = threads or measure(directory, decoding, device=parsed.device).threads
    with (
        Engine(directory, decoding, device=parsed.device, threads=threads) as engine,
        CountProgress(f"translate with {name}", len(texts), console, parsed.quiet, unit="texts") as progress,
    ):
        return translated(name, engine, texts, progress.advance)
