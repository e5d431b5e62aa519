"""The console script `translate-mix`: parses the command line, calls, prints. Nothing else happens here."""

from __future__ import annotations

import argparse
import json
import logging
import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, NoReturn

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
from translation.identification import OFFLINE
from translation.model import SMALL

DEVICES = ("auto", "cpu", "cuda")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    main = CommandParser(
        prog="translate-mix",
        description="English image-text data into a filtered, documented mix in 95 languages.",
    )
    main.add_argument("--version", action="version", version=f"translate-mix {version('translate-mix')}")
    commands = main.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=CommandParser
    )

    run = commands.add_parser("run", help="build a mix from a recipe; without one, the sample that ships")
    run.add_argument("recipe", nargs="?", metavar="RECIPE.yaml")
    run.add_argument(
        "--output", required=True, type=_filled, metavar="DIR", help="where the mix goes (local or gs://...)"
    )
    run.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe"
    )
    run.add_argument(
        "--overwrite", action="store_true", help="remove the finished mix in DIR, and make it anew"
    )
    _device_options(run)
    run.add_argument("--quiet", action="store_true", help="no progress, only the summary")
    run.epilog = "Other options go to Apache Beam: --runner, --project, --direct_num_workers 2, ..."
    run.set_defaults(call=_run)

    plan = commands.add_parser("plan", help="what a recipe will give and take; translates nothing")
    plan.add_argument("recipe", nargs="?", metavar="RECIPE.yaml", help="default: the sample")
    plan.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe"
    )
    plan.add_argument("--json", action="store_true", help="one object with all sources and languages")
    plan.add_argument(
        "--rate", type=_above_zero, metavar="TOKENS", help="per second; default: the model is timed here"
    )
    plan.add_argument("--device", choices=DEVICES, default="auto", help="that the model is timed on")
    plan.add_argument("--price", type=_above_zero, metavar="PRICE", help="of an hour, for the cost")
    plan.add_argument("--workers", type=positive, metavar="N", help="processes that read (one a core)")
    plan.add_argument("--quiet", action="store_true", help="no progress")
    plan.set_defaults(call=_plan)

    show = commands.add_parser("show", help="rows of a mix in the terminal")
    show.add_argument("directory", type=_filled, metavar="DIR")
    show.add_argument("--language", metavar="CODE", help="only this language (deu_Latn, de, ...)")
    show.add_argument("--rejected", action="store_true", help="rejected rows and why")
    show.add_argument("--reason", metavar="RULE", help="only rows that this rule rejected (lid, copy, ...)")
    show.add_argument("-n", type=positive, default=10, dest="count", metavar="N", help="how many rows (10)")
    show.set_defaults(call=_show)

    report = commands.add_parser("report", help="a page to look at: languages, scores, rejections, samples")
    report.add_argument("directory", type=_filled, metavar="DIR")
    report.add_argument(
        "--samples", type=positive, default=6, metavar="N", help="rows of each language and verdict (6)"
    )
    report.add_argument("--output", type=_filled, metavar="FILE", help="default: DIR/report.html")
    report.add_argument("--quiet", action="store_true", help="no progress")
    report.set_defaults(call=_report)

    refilter = commands.add_parser("refilter", help="new verdicts from stored scores, nothing is translated")
    refilter.add_argument("directory", type=_filled, metavar="DIR")
    refilter.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="filters.lid.min=0.6, thresholds=FILE"
    )
    refilter.add_argument("--dry-run", action="store_true", help="only say what would change")
    refilter.add_argument("--quiet", action="store_true", help="no progress, only the summary")
    refilter.set_defaults(call=_refilter)

    verify = commands.add_parser("verify", help="check every file of a mix against its manifest")
    verify.add_argument("directory", type=_filled, metavar="DIR")
    verify.add_argument("--quiet", action="store_true", help="no progress, only what is wrong")
    verify.set_defaults(call=_verify)

    push = commands.add_parser("push", help="upload a finished mix to the Hugging Face hub")
    push.add_argument("directory", type=_filled, metavar="DIR")
    push.add_argument("repository", type=_filled, metavar="hub/name", help="made where there is none")
    push.add_argument("--public", action="store_true", help="a new repository is one (default: private)")
    push.add_argument("--revision", metavar="BRANCH", help="made where there is none (default: main)")
    push.add_argument("--message", metavar="TEXT", help="of the commit")
    push.add_argument("--with-memory", action="store_true", help="the translation memory too")
    push.add_argument("--quiet", action="store_true", help="no progress, only the URL")
    push.set_defaults(call=_push)

    translate = commands.add_parser("translate", help="translate English text given on the command line")
    translate.add_argument("text", nargs="+", metavar="TEXT")
    translate.add_argument("--to", required=True, metavar="CODES", help="deu_Latn,swh_Latn,...")
    _model_options(translate)
    _device_options(translate)
    translate.add_argument(
        "--beam-size", type=positive, default=4, metavar="N", help="hypotheses followed (4)"
    )
    translate.add_argument("--json", action="store_true", help="one JSON object a line")
    translate.set_defaults(call=_translate)

    score = commands.add_parser(
        "score", help="filter scores and verdict for a TSV of source, target, nllb_code"
    )
    score.add_argument("pairs", type=_filled, metavar="PAIRS.tsv", help="header line; - reads standard input")
    _model_options(score)
    _filter_options(score)
    score.add_argument("--thresholds", type=_filled, metavar="FILE", help="a table that calibrate wrote")
    score.set_defaults(call=_score)

    calibrate = commands.add_parser(
        "calibrate", help="fit thresholds on reference translations (another detector, model, kind of text)"
    )
    calibrate.add_argument(
        "pairs", type=_filled, metavar="PAIRS.tsv", help="source, target, nllb_code; - reads stdin"
    )
    calibrate.add_argument(
        "--output",
        type=_filled,
        default="thresholds.tsv",
        metavar="FILE",
        help="where they go (thresholds.tsv)",
    )
    _model_options(calibrate)
    _filter_options(calibrate)
    calibrate.set_defaults(call=_calibrate)

    evaluate = commands.add_parser(
        "evaluate", help="measure models, mixes or other translations on reference translations"
    )
    evaluate.add_argument(
        "references",
        type=_local,
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
        type=_local,
        metavar="FILE.tsv",
        help="made elsewhere",
    )
    evaluate.add_argument(
        "--languages", default="", metavar="CODES", help="only these: deu_Latn,swh_Latn,..."
    )
    evaluate.add_argument("--lines", type=_line_range, metavar="1001-1997", help="only these of the set")
    evaluate.add_argument("--output", type=_local, metavar="FILE.json", help="and .md, .html, translations")
    evaluate.add_argument(
        "--beam-size", type=positive, default=4, metavar="N", help="hypotheses followed (4)"
    )
    _device_options(evaluate)
    evaluate.add_argument(
        "--identification", default=OFFLINE, metavar="LID", help="shipped, cld, a fastText file or hub name"
    )
    evaluate.add_argument("--quality", metavar="JUDGE", help="labse, metricx, comet_kiwi:DIR: another column")
    evaluate.add_argument("--pieces", type=_local, metavar="FILE", help="SentencePiece model for spBLEU")
    evaluate.add_argument(
        "--resamples", type=positive, default=1000, metavar="N", help="for intervals (1000)"
    )
    evaluate.add_argument("--quiet", action="store_true", help="no progress, only the table")
    evaluate.set_defaults(call=_evaluate)

    model = commands.add_parser("model", help="add, shortlist: convert an NLLB model, make it faster")
    model_commands = model.add_subparsers(
        dest="model_command", required=True, metavar="COMMAND", parser_class=CommandParser
    )
    add = model_commands.add_parser("add", help="Hugging Face directory or hub name -> CTranslate2 directory")
    add.add_argument(
        "model", metavar="MODEL", help="facebook/nllb-200-distilled-600M, -1.3B, a directory, ..."
    )
    add.add_argument(
        "--quantization", default="int8", metavar="TYPE", help="int8, int8_float16, float16, float32, ..."
    )
    add.add_argument("--output", type=_local, metavar="DIR", help="default: models/NAME-QUANTIZATION")
    add.set_defaults(call=_model_add)
    lists = model_commands.add_parser(
        "shortlist", help="which part of the vocabulary each language needs: twice as fast on a CPU"
    )
    lists.add_argument("directory", type=_local, metavar="DIR", help="of the converted model")
    lists.add_argument(
        "--texts",
        type=_local,
        nargs="+",
        default=[],
        metavar="PATH",
        help="deu_Latn.txt, TSV or Parquet with languages and texts, folders of them, a mix or its memory",
    )
    lists.add_argument(
        "--sample",
        type=_local,
        metavar="FILE",
        help="English texts to compare with; default: those of --texts",
    )
    lists.add_argument("--threads", type=_threads, metavar="N", help="as `run` has it")
    lists.set_defaults(call=_model_shortlist)

    memory = commands.add_parser(
        "memory", help="stats, compact, export, import: the translation memory of a mix"
    )
    memory_commands = memory.add_subparsers(
        dest="memory_command", required=True, metavar="COMMAND", parser_class=CommandParser
    )
    stats = memory_commands.add_parser("stats", help="what it holds, by model and language pair")
    stats.add_argument("directory", type=_filled, metavar="DIR", help="of the mix")
    stats.add_argument("--json", action="store_true", help="one object")
    stats.set_defaults(call=_memory_stats)
    compacted = memory_commands.add_parser("compact", help="few large files, no repetitions, no damaged ones")
    compacted.add_argument("directory", type=_filled, metavar="DIR", help="of the mix")
    compacted.set_defaults(call=_memory_compact)
    exported = memory_commands.add_parser("export", help="translations out of English as TMX or TSV")
    exported.add_argument("directory", type=_filled, metavar="DIR", help="of the mix")
    exported.add_argument("file", type=_filled, metavar="FILE", help="name.tmx or name.tsv")
    exported.set_defaults(call=_memory_export)
    imported = memory_commands.add_parser(
        "import", help="translations out of English that runs on the mix prefer to the model's"
    )
    imported.add_argument("directory", type=_filled, metavar="DIR", help="of the mix, or a new one")
    imported.add_argument("file", type=_filled, metavar="FILE", help="name.tmx or name.tsv")
    imported.set_defaults(call=_memory_import)

    table = commands.add_parser("languages", help="the table of languages")
    table.add_argument("--json", action="store_true", help="a list of objects")
    table.add_argument("--all", action="store_true", help="all of NLLB's, not only the default 96")
    table.set_defaults(call=_languages)
    return main


def _model_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model", default=SMALL, metavar="MODEL", help="small (ships), or a converted model's directory"
    )


def _device_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", choices=DEVICES, default="auto", help="GPUs if they work")
    command.add_argument(
        "--threads",
        type=_threads,
        metavar="N",
        help="auto (measure), 4, 2x4 (batches at once), 2x4x4096 (tokens of a batch)",
    )


def _threads(text: str) -> str:
    from translation.tuning import parse_threads

    try:
        parse_threads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _filter_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--round-trip", choices=("none", "short", "all"), default="none", help="translate back with the model"
    )
    command.add_argument(
        "--identification", default=OFFLINE, metavar="LID", help="shipped, cld, a fastText file or hub name"
    )


def _filled(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def _local(text: str) -> Path:
    from pipelines.inputs import is_url

    if is_url(text):
        # A path would lose one of its slashes, and be a folder of this machine.
        raise argparse.ArgumentTypeError(f"{text}: must lie on this machine; copy it")
    return Path(text)


def _line_range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if not (first.isdigit() and (last or first).isdigit() and 1 <= int(first) <= int(last or first)):
        raise argparse.ArgumentTypeError(f"{text!r} is no range of lines such as 1001-1997")
    return int(first), int(last or first)


def _above_zero(text: str) -> float:
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        number = 0.0
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point; ends the process with an exit code."""
    # Beam warns at import about extras that are not installed.
    logging.basicConfig(level=logging.ERROR)
    given = list(sys.argv[1:] if arguments is None else arguments)

    def call() -> int:
        beam: list[str] = []
        own = given
        if given[:1] == ["run"] and not {"-h", "--help"} & set(given):
            from pipelines.options import split_arguments

            beam, own = split_arguments(given)
        parsed = parser().parse_args(own)
        parsed.beam = beam
        return int(parsed.call(parsed))

    goes_on = given[:1] in (["run"], ["refilter"], ["push"])
    exit_with(
        "translate-mix",
        call,
        "interrupted; the same command goes on from here" if goes_on else "interrupted",
    )


_complain = partial(complain, "translate-mix")


def _told(error: Exception) -> int:
    """Tells an error; its exit code. A model that is not there was named wrongly."""
    from translation.model import NoSuchModel

    _complain(error)
    return WRONG if isinstance(error, NoSuchModel) else FAILED


def _run(parsed: argparse.Namespace) -> int:
    from pipelines.examples import TRUNCATED
    from pipelines.filesystem import OutputError, join, set_filesystem_options
    from pipelines.options import beam_options
    from pipelines.recipe import SettingsError, load_recipe, sample_recipe
    from pipelines.run import RunFailed, run_mix
    from pipelines.staging import StagingError
    from pipelines.summary import answers_line, left_out_line, render_summary
    from translation.mix_folder import ANSWERS, MANIFEST
    from translation.model import ModelError

    console = TerminalConsole()
    try:
        # Before the recipe, which may be far away itself.
        set_filesystem_options(beam_options(parsed.beam))
        recipe = load_recipe(parsed.recipe or sample_recipe(), parsed.set)
        manifest = run_mix(
            recipe,
            parsed.output,
            parsed.beam,
            console,
            overwrite=parsed.overwrite,
            quiet=parsed.quiet,
            device=parsed.device,
            threads=parsed.threads or "",
        )
    except (RunFailed, ModelError, OutputError, StagingError) as error:
        _complain(error)
        return FAILED
    except (SettingsError, ValueError) as error:
        _complain(error)
        return WRONG
    if manifest is None:
        console.print(f"submitted; {join(parsed.output, MANIFEST)} will be its last file", soft_wrap=True)
        return DONE
    render_summary(manifest.counts, parsed.output, console)
    if manifest.left_out:
        console.print(left_out_line(manifest.left_out), soft_wrap=True)
    if manifest.answers:
        path = join(parsed.output, ANSWERS)
        line = answers_line(manifest.answers.entries, manifest.answers.failed, path)
        console.print(line, soft_wrap=True)
    if any(TRUNCATED in count.reasons for count in manifest.counts):
        _complain(
            "a source breaks off, so an unknown number of its records is missing; `translate-mix show "
            "--rejected --reason truncated` names it"
        )
        return FAILED
    if not manifest.accepted:
        why = "no row was accepted; `translate-mix show --rejected` says why"
        _complain(why if any(count.read for count in manifest.counts) else "the sources hold no records")
        return FAILED
    return DONE


def _plan(parsed: argparse.Namespace) -> int:
    from concurrent.futures.process import BrokenProcessPool

    from pipelines.estimates import check_model, estimate
    from pipelines.plan_progress import ReadingProgress
    from pipelines.plan_table import plan_json, render_plan
    from pipelines.planning import plan_mix
    from pipelines.processes import READER_KILLED
    from pipelines.recipe import load_recipe, sample_recipe
    from pipelines.sources import SourceError
    from pipelines.staging import StagingError
    from translation.model import ModelError

    recipe = load_recipe(parsed.recipe or sample_recipe(), parsed.set)
    try:
        check_model(recipe)
        with ReadingProgress(Console(stderr=True, highlight=False), parsed.quiet) as progress:
            plan = plan_mix(recipe, workers=parsed.workers, told=progress.read)
            progress.step("looking at samples" if parsed.rate else "timing the model")
            estimated = estimate(recipe, plan, parsed.rate, parsed.device)
    except BrokenProcessPool:
        _complain(f"{READER_KILLED} (--workers 1 takes least)")
        return FAILED
    except (SourceError, ModelError, StagingError, OSError) as error:
        _complain(error)
        return FAILED
    if parsed.json:
        print(json.dumps(plan_json(recipe, plan, estimated, parsed.price), ensure_ascii=False))
    else:
        render_plan(recipe, plan, estimated, parsed.price, TerminalConsole())
    return DONE if plan.rows else FAILED


def _show(parsed: argparse.Namespace) -> int:
    from pipelines.report.tallies import DamagedMix
    from pipelines.show import show

    try:
        rejected = parsed.rejected or parsed.reason is not None
        console = TerminalConsole()
        show(parsed.directory, parsed.language, rejected, parsed.count, console, reason=parsed.reason)
    except DamagedMix as error:
        _complain(error)
        return FAILED
    except ValueError as error:
        _complain(error)
        return WRONG
    return DONE


def _report(parsed: argparse.Namespace) -> int:
    from pipelines.filesystem import OutputError
    from pipelines.report import DamagedMix, write_report

    console = Console(stderr=True, highlight=False)
    try:
        path = write_report(
            parsed.directory,
            samples=parsed.samples,
            output=parsed.output,
            console=console,
            quiet=parsed.quiet,
        )
    except (DamagedMix, OutputError) as error:
        _complain(error)
        return FAILED
    print(path)
    return DONE


def _refilter(parsed: argparse.Namespace) -> int:
    from pipelines.refilter import refilter, render_refiltered
    from pipelines.report import is_outdated
    from pipelines.resharding import RefilterFailed

    console = TerminalConsole()
    try:
        outcome = refilter(parsed.directory, parsed.set, console, dry_run=parsed.dry_run, quiet=parsed.quiet)
    except RefilterFailed as error:
        _complain(error)
        return FAILED
    render_refiltered(outcome, parsed.dry_run, console)
    if not parsed.dry_run and is_outdated(parsed.directory):
        again = f"translate-mix report {shlex.quote(parsed.directory)}"
        console.print(f"Its report is outdated; make it again:  {again}", soft_wrap=True, markup=False)
    return DONE if outcome.after.accepted else FAILED


def _verify(parsed: argparse.Namespace) -> int:
    from pipelines.filesystem import NoFilesystem
    from pipelines.manifest import read_manifest
    from pipelines.verify import problems
    from translation.progress import CountProgress

    try:
        manifest = read_manifest(parsed.directory)
        rows = sum(file.rows for file in manifest.all_files)
        console = Console(stderr=True, highlight=False)
        with CountProgress("verify", rows, console, parsed.quiet) as progress:
            found = list(problems(parsed.directory, progress.advance))
    except NoFilesystem:
        raise
    except ValueError as error:
        _complain(error)
        return FAILED
    for problem in found:
        print(problem)
    number = "1 problem" if len(found) == 1 else f"{len(found):,} problems"
    print(f"{parsed.directory}: {number if found else 'whole'}")
    return FAILED if found else DONE


def _push(parsed: argparse.Namespace) -> int:
    from pipelines.push import PushError, push

    try:
        url = push(
            parsed.directory,
            parsed.repository,
            private=not parsed.public,
            revision=parsed.revision,
            message=parsed.message,
            with_memory=parsed.with_memory,
            console=Console(stderr=True, highlight=False),
            quiet=parsed.quiet,
        )
    except PushError as error:
        _complain(error)
        return FAILED
    print(url)
    return DONE


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
        return _told(error)
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
        return _told(error)
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
        return _told(error)
    for line, problem in list(problems.items())[:5]:
        _complain(f"{parsed.pairs}: line {line} left out: {problem}")
    if len(problems) > 5:
        _complain(f"{parsed.pairs}: {len(problems) - 5:,} more lines left out")
    try:
        write_text(parsed.output, thresholds.text())
    except OutputError as error:
        _complain(error)
        return FAILED
    render_thresholds(thresholds, parsed.output, TerminalConsole())
    return DONE


def _evaluate(parsed: argparse.Namespace) -> int:
    from evaluation.reference_sets import read_reference_set
    from evaluation.results import ResultError
    from evaluation.systems import copied, of_mix, of_table, translated
    from evaluation.translation_report import Measuring, render
    from translation.engine import Engine
    from translation.identification import load_identifier
    from translation.languages import resolve
    from translation.model import ModelError, model_directory, read_description
    from translation.progress import CountProgress
    from translation.quality import load_quality
    from translation.translations import Decoding
    from translation.tuning import asked_threads, measure

    if parsed.output and (parsed.output.suffix != ".json" or not parsed.output.parent.is_dir()):
        raise ValueError(f"--output {parsed.output}: name a .json file in a folder that is there")
    codes = {resolve(code).nllb for code in parsed.languages.split(",") if code.strip()}
    references = read_reference_set(parsed.references, codes, parsed.lines)
    models = parsed.model or ([] if parsed.mix or parsed.translations else [SMALL])
    named = [*parsed.mix, *map(str, parsed.translations), *models]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise ValueError(f"{twice[0]} is named twice")
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
        asked = asked_threads(parsed.threads, parsed.device)
    except ModelError as error:
        return _told(error)
    outputs = [of_mix(directory, references.texts) for directory in parsed.mix]
    outputs += [of_table(path, references.texts) for path in parsed.translations]
    told, decoding = Console(stderr=True, highlight=False), Decoding(beam_size=parsed.beam_size)
    try:
        for name, directory in directories.items():
            threads = asked or measure(directory, decoding, device=parsed.device).threads
            total, text = len(references.texts), f"translate with {name}"
            with (
                Engine(directory, decoding, device=parsed.device, threads=threads) as engine,
                CountProgress(text, total, told, parsed.quiet, unit="texts") as progress,
            ):
                outputs.append(translated(name, engine, references.texts, progress.advance))
            if parsed.output:
                # Hours of work, which a mistake in the next model must not lose.
                measuring.keep(parsed.output, outputs[-1])
        for output in (*outputs, copied(references.texts)):
            total, text = measuring.steps(output), f"measure {output.system}"
            with CountProgress(text, total, told, parsed.quiet, unit="scores") as progress:
                measuring.add(output, progress.advance)
        measured = measuring.measured()
        render(measured, TerminalConsole())
        if parsed.output:
            measuring.write(parsed.output, measured)
            print(f"{parsed.output}: written, with .md, .html and the translations beside it")
    except (ModelError, ResultError) as error:
        return _told(error)
    return DONE


def _model_add(parsed: argparse.Namespace) -> int:
    from translation.convert import QUANTIZATIONS, add_model
    from translation.model import ModelError

    if parsed.quantization not in QUANTIZATIONS:
        _complain(f"--quantization {parsed.quantization}: one of {', '.join(QUANTIZATIONS)}")
        return WRONG
    if not parsed.model.strip():
        raise ValueError("model add: name a Hugging Face directory or a hub name")
    name = parsed.model.rstrip("/").split("/")[-1]
    output = parsed.output or Path("models", f"{name}-{parsed.quantization}")
    try:
        description = add_model(parsed.model, output, parsed.quantization)
    except ModelError as error:
        return _told(error)
    print(
        f"{output}: {description.name}, {description.quantization}, "
        f"{len(description.languages)} languages, digest {description.digest}"
    )
    print(f"licence: {description.licence}")
    print(f"use it: `model: {output}` in a recipe, or --set model={output}")
    return DONE


ENGLISH_SAMPLE = 400
"""English texts of `--texts` that the lists are tried on."""


def _model_shortlist(parsed: argparse.Namespace) -> int:
    from pipelines.shortlist_table import render_shortlists
    from translation.languages import ENGLISH
    from translation.model import ModelError
    from translation.shortlist_building import build_shortlists
    from translation.shortlist_texts import read_texts
    from translation.tuning import asked_threads

    texts = read_texts(parsed.texts)
    if parsed.sample:
        try:
            sample = parsed.sample.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"--sample {parsed.sample}: cannot be read: {error}") from error
    else:
        sample = list(dict.fromkeys(texts.get(ENGLISH, [])))[:ENGLISH_SAMPLE]
    try:
        report = build_shortlists(
            parsed.directory,
            texts,
            sample,
            threads=asked_threads(parsed.threads, "auto"),
            progress=lambda line: print(line, file=sys.stderr),
        )
    except ModelError as error:
        return _told(error)
    render_shortlists(report, TerminalConsole())
    return DONE


def _memory_stats(parsed: argparse.Namespace) -> int:
    from pipelines.remembered import memory_stats, render_memory
    from translation.memory_segments import MemoryFolderError

    try:
        stats = memory_stats(parsed.directory)
    except MemoryFolderError as error:
        _complain(error)
        return FAILED
    if parsed.json:
        groups = [asdict(group) | {"entries": entries} for group, entries in stats.groups.items()]
        print(json.dumps(asdict(replace(stats, groups={})) | {"groups": groups}, ensure_ascii=False))
    else:
        render_memory(stats, TerminalConsole())
    if stats.damaged:
        _complain(
            f"{stats.damaged} damaged files were set aside; a run translates what they held again, and "
            "`translate-mix memory compact` deletes them"
        )
        return FAILED
    return DONE


def _memory_compact(parsed: argparse.Namespace) -> int:
    from pipelines.filesystem import OutputError
    from pipelines.remembered import compact_memory
    from translation.memory_segments import MemoryFolderError

    try:
        done = compact_memory(parsed.directory)
    except (MemoryFolderError, OutputError) as error:
        _complain(error)
        return FAILED
    print(
        f"{done.before:,} segments became {done.after:,}; {done.dropped:,} repeated entries and "
        f"{done.damaged:,} damaged files are gone"
    )
    if done.kept_apart:
        print(f"{done.kept_apart:,} segments of an unfinished run stay as they are until it is finished")
    return DONE


def _memory_export(parsed: argparse.Namespace) -> int:
    from pipelines.filesystem import OutputError
    from pipelines.remembered import export_memory
    from translation.memory_segments import MemoryFolderError

    try:
        done = export_memory(parsed.directory, parsed.file)
    except (MemoryFolderError, OutputError) as error:
        _complain(error)
        return FAILED
    print(f"{parsed.file}: {done.pairs:,} translations")
    if done.broken:
        _complain(f"{done.broken:,} that were cut off, empty or unknown to the model are left out")
    if done.unfit:
        _complain(f"{done.unfit:,} with control characters are left out, which XML cannot hold; .tsv can")
    return DONE


def _memory_import(parsed: argparse.Namespace) -> int:
    from pipelines.exchange import DamagedExchange
    from pipelines.filesystem import OutputError
    from pipelines.remembered import import_memory
    from pipelines.summary import counted
    from translation.memory_segments import MemoryFolderError

    try:
        done = import_memory(parsed.directory, parsed.file)
    except (DamagedExchange, MemoryFolderError, OutputError) as error:
        _complain(error)
        return FAILED
    for one in done.shown:
        _complain(f"{one.place} left out: {one.why}")
    if done.left_out > len(done.shown):
        _complain(f"{parsed.file}: {done.left_out - len(done.shown):,} more left out")
    print(f"{parsed.directory}: {counted(done.pairs, 'translation')} imported; the next run on it uses them")
    return DONE if done.pairs else FAILED


def _shortened(codes: Sequence[str]) -> str:
    """The first two; `--json` has all."""
    more = f" +{len(codes) - 2}" if len(codes) > 2 else ""
    return " ".join(codes[:2]) + more


def _languages(parsed: argparse.Namespace) -> int:
    from rich.table import Table

    from translation.languages import languages

    chosen = [language for language in languages().values() if parsed.all or language.default]
    if parsed.json:
        print(json.dumps([asdict(language) for language in chosen], ensure_ascii=False, indent=1))
        return DONE
    table = Table("NLLB", "BCP-47", "mC4", "name", "script", "mC4 %", "confusable with", box=None)
    for language in chosen:
        share = "" if language.mc4_share is None else f"{language.mc4_share:.4f}"
        table.add_row(
            language.nllb,
            language.bcp47,
            language.mc4 or "",
            language.name,
            " ".join(language.scripts),
            share,
            _shortened(language.confusable),
        )
    TerminalConsole().print(table)
    return DONE


if __name__ == "__main__":
    main()
