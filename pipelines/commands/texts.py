"""Commands about texts at hand: `translate`, `score`, `calibrate`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import BinaryIO

from pipelines.commands.options import (
    Commands,
    add_device_options,
    add_filter_options,
    add_model_option,
    complain,
    filled,
    tell,
)
from translation.console import DONE, FAILED, TerminalConsole, positive
from translation.model import SMALL


def add(commands: Commands) -> None:
    """Adds the group to the command line."""
    translate = commands.add_parser("translate", help="translate English text given on the command line")
    translate.add_argument("text", nargs="+", metavar="TEXT")
    translate.add_argument("--to", required=True, metavar="CODES", help="deu_Latn,swh_Latn,...")
    add_model_option(translate)
    add_device_options(translate)
    translate.add_argument(
        "--beam-size", type=positive, default=4, metavar="N", help="hypotheses followed (4)"
    )
    translate.add_argument("--json", action="store_true", help="one JSON object a line")
    translate.set_defaults(call=_translate)

    score = commands.add_parser(
        "score", help="filter scores and verdict for a TSV of source, target, nllb_code"
    )
    score.add_argument("pairs", type=filled, metavar="PAIRS.tsv", help="header line; - reads standard input")
    add_model_option(score)
    add_filter_options(score)
    score.add_argument("--thresholds", type=filled, metavar="FILE", help="a table that calibrate wrote")
    score.set_defaults(call=_score)

    calibrate = commands.add_parser(
        "calibrate", help="fit thresholds on reference translations (another detector, model, kind of text)"
    )
    calibrate.add_argument(
        "pairs", type=filled, metavar="PAIRS.tsv", help="source, target, nllb_code; - reads stdin"
    )
    calibrate.add_argument(
        "--output",
        type=filled,
        default="thresholds.tsv",
        metavar="FILE",
        help="where they go (thresholds.tsv)",
    )
    add_model_option(calibrate)
    add_filter_options(calibrate)
    calibrate.set_defaults(call=_calibrate)


def _translate(parsed: argparse.Namespace) -> int:
    from translation.engine import Engine
    from translation.languages import ENGLISH, resolve
    from translation.model import ModelError, model_directory
    from translation.surrogates import SURROGATE
    from translation.translations import Decoding, Request
    from translation.tuning import asked_threads, measure

    targets = list(dict.fromkeys(resolve(code) for code in parsed.to.split(",") if code.strip()))
    if not targets or any(target.english for target in targets):
        raise ValueError("--to: name languages other than English, separated by commas")
    if any(SURROGATE.search(text) for text in parsed.text):
        raise ValueError("the text is not valid UTF-8")
    try:
        directory, decoding = model_directory(parsed.model), Decoding(beam_size=parsed.beam_size)
        threads = asked_threads(parsed.threads, parsed.device)
        threads = threads or measure(directory, decoding, device=parsed.device).threads
        engine = Engine(directory, decoding, device=parsed.device, threads=threads)
    except ModelError as error:
        return tell(error)
    missing = [f"{target.name} ({target.nllb})" for target in targets if not engine.supports(target.nllb)]
    if missing:
        raise ValueError(f"the model {engine.description.name!r} was not trained on {', '.join(missing)}")
    if parsed.model == SMALL:
        print(
            "translate-mix: the small model knows some 650 names; for real text give --model", file=sys.stderr
        )
    requests = [Request(text, ENGLISH, target.nllb) for text in parsed.text for target in targets]
    with engine:
        for request, translation in zip(requests, engine.translate(requests), strict=True):
            if parsed.json:
                print(json.dumps(asdict(request) | {"translation": asdict(translation)}, ensure_ascii=False))
            else:
                print(
                    f"{request.target}\t{_one_line(translation.text)}\t{translation.score:.3f}\t{_flags(translation)}"
                )
    return DONE


def _one_line(text: str) -> str:
    return text.replace("\t", " ").replace("\n", "\\n")


def _flags(translation: object) -> str:
    return ",".join(flag for flag in ("cut_off", "unknown", "empty") if getattr(translation, flag))


def _score(parsed: argparse.Namespace) -> int:
    from pipelines.scoring import score_file
    from pipelines.staging import StagingError, staged
    from translation.filters import load_thresholds
    from translation.model import ModelError

    _check_model_option(parsed)
    try:
        thresholds = load_thresholds(None if parsed.thresholds is None else staged(parsed.thresholds))
    except StagingError as error:
        raise ValueError(f"--thresholds {error}") from error
    try:
        with _opened_pairs(parsed.pairs) as data:
            results = score_file(
                data, parsed.pairs, parsed.model, parsed.round_trip, parsed.identification, thresholds
            )
            for line in results:
                print(json.dumps(line, ensure_ascii=False))
    except ModelError as error:
        return tell(error)
    return DONE


def _opened_pairs(place: str) -> BinaryIO:
    """A table of pairs, here or far away; `-` is standard input. Raises PairError."""
    from pipelines.inputs import open_input
    from translation.pair_table import PairError

    if place == "-":
        return sys.stdin.buffer
    try:
        return open_input(place)
    except OSError as error:
        raise PairError(f"{place}: {error.strerror}") from error


def _check_model_option(parsed: argparse.Namespace) -> None:
    """Refuses a model that nothing would be done with."""
    if parsed.round_trip == "none" and parsed.model != SMALL:
        raise ValueError(f"--model {parsed.model} is of no effect without --round-trip short or all")


def _calibrate(parsed: argparse.Namespace) -> int:
    from pipelines.filesystem import OutputError, write_text
    from pipelines.scoring import calibrate_file
    from pipelines.summary import render_thresholds
    from translation.model import ModelError

    _check_model_option(parsed)
    try:
        with _opened_pairs(parsed.pairs) as data:
            thresholds, problems = calibrate_file(
                data, parsed.pairs, parsed.model, parsed.round_trip, parsed.identification
            )
    except ModelError as error:
        return tell(error)
    for line, problem in list(problems.items())[:5]:
        complain(f"{parsed.pairs}: line {line} left out: {problem}")
    if len(problems) > 5:
        complain(f"{parsed.pairs}: {len(problems) - 5:,} more lines left out")
    try:
        write_text(parsed.output, thresholds.text())
    except OutputError as error:
        complain(error)
        return FAILED
    render_thresholds(thresholds, parsed.output, TerminalConsole())
    return DONE
