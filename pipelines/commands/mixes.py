"""Commands about whole mixes: `run`, `plan`, `show`, `report`, `refilter`, `verify`, `push`."""

from __future__ import annotations

import argparse
import json
import math
import shlex

from rich.console import Console

from pipelines.commands.options import DEVICES, Commands, add_device_options, complain, filled
from translation.console import DONE, FAILED, WRONG, TerminalConsole, positive

_RECIPE = "a file, or the name of one that ships (gqa: its paths start at the working directory);"


def add(commands: Commands) -> None:
    """Adds the group to the command line."""
    run = commands.add_parser("run", help="build a mix from a recipe; without one, the sample that ships")
    run.add_argument("recipe", nargs="?", metavar="RECIPE.yaml", help=f"{_RECIPE} default: the sample")
    run.add_argument(
        "--output", required=True, type=filled, metavar="DIR", help="where the mix goes (local or gs://...)"
    )
    run.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe"
    )
    run.add_argument(
        "--overwrite", action="store_true", help="remove the finished mix in DIR, and make it anew"
    )
    add_device_options(run)
    run.add_argument("--quiet", action="store_true", help="no progress, only the summary")
    run.epilog = "Other options go to Apache Beam: --runner, --project, --direct_num_workers 2, ..."
    run.set_defaults(call=_run)

    plan = commands.add_parser("plan", help="what a recipe will give and take; translates nothing")
    plan.add_argument("recipe", nargs="?", metavar="RECIPE.yaml", help=f"{_RECIPE} default: the sample")
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
    show.add_argument("directory", type=filled, metavar="DIR")
    show.add_argument("--language", metavar="CODE", help="only this language (deu_Latn, de, ...)")
    show.add_argument("--rejected", action="store_true", help="rejected rows and why")
    show.add_argument("--reason", metavar="RULE", help="only rows that this rule rejected (lid, copy, ...)")
    show.add_argument("-n", type=positive, default=10, dest="count", metavar="N", help="how many rows (10)")
    show.set_defaults(call=_show)

    report = commands.add_parser("report", help="a page to look at: languages, scores, rejections, samples")
    report.add_argument("directory", type=filled, metavar="DIR")
    report.add_argument(
        "--samples", type=positive, default=6, metavar="N", help="rows of each language and verdict (6)"
    )
    report.add_argument("--output", type=filled, metavar="FILE", help="default: DIR/report.html")
    report.add_argument("--quiet", action="store_true", help="no progress")
    report.set_defaults(call=_report)

    refilter = commands.add_parser("refilter", help="new verdicts from stored scores, nothing is translated")
    refilter.add_argument("directory", type=filled, metavar="DIR")
    refilter.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="filters.lid.min=0.6, thresholds=FILE"
    )
    refilter.add_argument("--dry-run", action="store_true", help="only say what would change")
    refilter.add_argument("--quiet", action="store_true", help="no progress, only the summary")
    refilter.set_defaults(call=_refilter)

    verify = commands.add_parser("verify", help="check every file of a mix against its manifest")
    verify.add_argument("directory", type=filled, metavar="DIR")
    verify.add_argument("--quiet", action="store_true", help="no progress, only what is wrong")
    verify.set_defaults(call=_verify)

    push = commands.add_parser("push", help="upload a finished mix to the Hugging Face hub")
    push.add_argument("directory", type=filled, metavar="DIR")
    push.add_argument("repository", type=filled, metavar="hub/name", help="made where there is none")
    push.add_argument("--public", action="store_true", help="a new repository is one (default: private)")
    push.add_argument("--revision", metavar="BRANCH", help="made where there is none (default: main)")
    push.add_argument("--message", metavar="TEXT", help="of the commit")
    push.add_argument("--with-memory", action="store_true", help="the translation memory too")
    push.add_argument("--quiet", action="store_true", help="no progress, only the URL")
    push.set_defaults(call=_push)


def _above_zero(text: str) -> float:
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        number = 0.0
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


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
        complain(error)
        return FAILED
    except (SettingsError, ValueError) as error:
        complain(error)
        return WRONG
    if manifest is None:
        console.print(f"submitted; {join(parsed.output, MANIFEST)} will be its last file", soft_wrap=True)
        return DONE
    render_summary(manifest.counts, parsed.output, console, manifest.questions)
    if manifest.left_out:
        console.print(left_out_line(manifest.left_out), soft_wrap=True)
    if manifest.answers:
        path = join(parsed.output, ANSWERS)
        line = answers_line(manifest.answers.entries, manifest.answers.failed, path)
        console.print(line, soft_wrap=True)
    if any(TRUNCATED in count.reasons for count in manifest.counts):
        complain(
            "a source breaks off, so an unknown number of its records is missing; `translate-mix show "
            "--rejected --reason truncated` names it"
        )
        return FAILED
    if not manifest.accepted:
        why = "no row was accepted; `translate-mix show --rejected` says why"
        complain(why if any(count.read for count in manifest.counts) else "the sources hold no records")
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
        complain(f"{READER_KILLED} (--workers 1 takes least)")
        return FAILED
    except (SourceError, ModelError, StagingError, OSError) as error:
        complain(error)
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
        complain(error)
        return FAILED
    except ValueError as error:
        complain(error)
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
        complain(error)
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
        complain(error)
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
        complain(error)
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
        complain(error)
        return FAILED
    print(url)
    return DONE
