"""`translate-mix run`: resolves a recipe into a plan, runs the graph, and says what came out."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import sys
import tempfile
import time
import traceback
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import ctranslate2
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from rich.console import Console

from pipelines.blocks import buckets_for
from pipelines.bounds_table import bounds_in, named_table
from pipelines.downloading import DownloadSettings, allow_downloads
from pipelines.engines import EngineOptions, computed_by, cores_per_worker, workers_here
from pipelines.filesystem import (
    OutputError,
    is_local,
    join,
    make_directory,
    remove,
    remove_matching,
    set_filesystem_options,
)
from pipelines.job_names import JobRefused, check_not_running, name_job
from pipelines.jobs import run_graph
from pipelines.journal import discard
from pipelines.judging import Judging, local_spec
from pipelines.likeness import MissingLibraryError, check_library
from pipelines.manifest import Manifest, Signature, is_finished, is_of_something_else, read_manifest
from pipelines.options import (
    beam_options,
    check_runner_options,
    has_accelerators,
    is_local_runner,
    workers_elsewhere,
)
from pipelines.ownership import locked
from pipelines.plan_progress import ReadingProgress
from pipelines.plan_table import fruitless, not_held_out, plan_line
from pipelines.planning import Plan, plan_mix
from pipelines.processes import READER_KILLED
from pipelines.progress import Finished, ProgressDisplay
from pipelines.recipe import Download, Recipe
from pipelines.recipe_values import places_of
from pipelines.rows import Provenance
from pipelines.sources import Piece, SourceError, pieces
from pipelines.staging import staged
from pipelines.summary import counted
from pipelines.translate_mix import MixPlan, translate_mix
from pipelines.uses import TextBuckets
from translation.answers import read_answers
from translation.decoder import Threads, usual_compute_type
from translation.disk import PARTIAL
from translation.engine import Engine
from translation.identification import load_identifier
from translation.languages import ENGLISH
from translation.memory import Memory, Origin, begin, finish, with_shortlists
from translation.memory_compaction import compact
from translation.memory_segments import MemoryFolderError, SegmentFolder
from translation.mix_folder import (
    ANSWERS,
    CARD,
    DATA,
    ERROR_LOG,
    IMAGES,
    LOCK,
    MANIFEST,
    MEMORY,
    PROGRESS,
    REJECTED,
    REPORT,
    SHARD,
    THRESHOLDS,
    WORK,
    WORKERS_LOG,
)
from translation.model import SMALL, ModelDescription, read_description
from translation.quality import load_quality
from translation.tuning import asked_threads, measure, parse_threads

DISTRIBUTION = "translate-mix"
LOOSE_SEGMENTS = 64
"""Segments of single batches that a finished run leaves; with more of them they are merged."""
TRIES = 3
"""Of a run that loses workers: what kills them once, such as a lack of memory, may do so again."""
LOST_WORKER = "Channel closed prematurely."
"""What Beam's runners say of it."""


class RunFailed(RuntimeError):
    """The run stopped; the message is the cause in one line."""


def run_mix(
    recipe: Recipe,
    output: str,
    beam_arguments: Sequence[str],
    console: Console,
    *,
    overwrite: bool = False,
    quiet: bool = False,
    device: str = "auto",
    threads: str = "",
) -> Manifest | None:
    """Builds the mix in `output` and returns its manifest; None if options of Beam only submit the job.

    Args:
        device: `cpu`, `cuda` or `auto`.
        threads: of a worker process, as `translation.tuning.parse_threads` reads it; without it its share
            of the cores. A run that goes on keeps the size of the batches that it began with.

    Raises:
        ValueError: `output` holds a finished mix and `overwrite` is not given, a job of that name is running
            on Dataflow, or the model is unusable (`translation.model.ModelError`).
        SettingsError: a source has another layout than the recipe says.
        RunFailed: anything that stops a run once it has begun.
    """
    options = beam_options(beam_arguments)
    set_filesystem_options(options)
    cores = cores_per_worker(options)
    wanted = asked_threads(threads, device, cores)
    if wanted is None and workers_elsewhere(options):
        raise ValueError("--threads auto measures this machine, and the workers are others; give numbers")
    # Before the sources are read, which may take minutes; the runner's own look may ask the cloud.
    if workers_elsewhere(options) and is_local(output):
        raise ValueError(f"{output}: {_out_of_reach(options)}; --output gs://BUCKET/mix")
    name_job(options, output)
    check_runner_options(options)
    _check_output(output, overwrite)
    _check_tables(recipe, output)
    if recipe.deduplicate.images == "near" and not workers_elsewhere(options):
        try:
            check_library()
        except MissingLibraryError as error:
            raise recipe.error(("deduplicate", "images"), str(error)) from error
    plan, planned = make_plan(recipe, output, device, options, console, quiet)
    if recipe.download is not None:
        _allow_downloads(recipe, recipe.download)
    if not quiet:
        _print_configuration(recipe, plan, workers_elsewhere(options), console)
        console.print(plan_line(planned))
    for line in (*fruitless(planned), *not_held_out(recipe, planned)):
        console.print(f"warning: {line}", style="yellow", soft_wrap=True, markup=False)
    started = time.monotonic()
    with _owned(output, overwrite, options), _logs(output) as logs:
        try:
            plan = _with_memory(plan, wanted, cores, console, quiet)
            # Not before: what stops the run until here leaves the mix that is there.
            if is_local(output):
                with _write_failures(output):
                    _clear(output)
            ended, done = _run_to_the_end(plan, planned, options, logs / WORKERS_LOG, console, quiet)
            if not ended:
                return None
            _close_memory(plan.engine.memory, console)
        except RunFailed:
            raise
        except Exception as error:
            text = "".join(traceback.format_exception(error))
            if _INTERRUPTED.search(text):
                raise KeyboardInterrupt from error
            log = Path(output) if is_local(output) else logs
            raise RunFailed(_explain(text, log / ERROR_LOG)) from error
    if not quiet:
        remembered = f"; {done.remembered:,} of {done.texts:,} texts came from the memory" if done else ""
        console.print(f"done in {time.monotonic() - started:,.1f} s{remembered}")
    return read_manifest(output)


def _run_to_the_end(
    plan: MixPlan, planned: Plan, options: PipelineOptions, log: Path, console: Console, quiet: bool
) -> tuple[bool, Finished | None]:
    """Runs the graph, again if a worker was killed; what `run_graph` says, and how far it came, if known.

    Beam's own runners end with the first worker that they lose. What it had translated stands in the memory.

    Args:
        log: for what workers print.
    """
    build = partial(translate_mix, plan=plan)
    for left in reversed(range(TRIES)):
        try:
            if not is_local(plan.directory):
                with _workers_output_in(log):
                    return run_graph(options, build, console, quiet), None
            progress = Path(plan.directory, WORK, PROGRESS)
            display = ProgressDisplay(progress, planned, plan.text_buckets, console, quiet)
            with display, _workers_output_in(log):
                ended = run_graph(options, build, console, quiet)
            return ended, display.finished
        except Exception as error:
            if not left or LOST_WORKER not in "".join(traceback.format_exception(error)):
                raise
            console.print("[yellow]a worker process was killed; going on with what the memory holds[/]")
            _clear(plan.directory)
    raise AssertionError("the last try returns or raises")


def _allow_downloads(recipe: Recipe, download: Download) -> None:
    settings = DownloadSettings(
        user_agent=download.user_agent,
        per_host_delay_s=download.per_host_delay,
        timeout_s=download.timeout,
        retries=download.retries,
        allow_private_addresses=download.private_addresses,
    )
    try:
        allow_downloads(Path(recipe.path(download.cache)), settings)
    except OSError as error:
        raise recipe.error(
            ("download", "cache"), f"cannot be written to: {error.strerror or error}"
        ) from error


def make_plan(
    recipe: Recipe, output: str, device: str, options: PipelineOptions, console: Console, quiet: bool
) -> tuple[MixPlan, Plan]:
    """Resolves the model and the identifier, checks that they can be used, and plans the mix.

    Raises:
        RunFailed: a source cannot be read on.
        StagingError: something that lies on a remote filesystem cannot be fetched.
        translation.model.ModelError: the model is missing or damaged.
        SettingsError: a source has another layout than the recipe says, or workers cannot read it.
    """
    parts = tuple(pieces(recipe))
    elsewhere = workers_elsewhere(options)
    if elsewhere:
        _check_within_reach(recipe, options)
        if device == "auto":
            device = "cuda" if has_accelerators(options) else "cpu"
    decoding = recipe.translation
    decoding_json = json.dumps(asdict(decoding), sort_keys=True)
    engine = EngineOptions(
        directory=SMALL if recipe.model == SMALL else str(recipe.model_directory),
        decoding=decoding,
        device=device,
        threads=Threads(),
        memory=join(output, MEMORY),
        origin=Origin("", "", ""),
        shortlist=recipe.shortlists,
        computed="",
    )
    directory = engine.model_directory
    description = read_description(directory)
    # A model that CTranslate2 refuses shall stop the run here, not in a worker.
    here = "cpu" if elsewhere else device
    with Engine(directory, decoding, device=here, shortlist=recipe.shortlists, check=False) as opened:
        lists, computed = opened.shortlist_digest, computed_by(opened)
    if elsewhere and device == "cuda":
        computed, lists = f"cuda-{usual_compute_type(description.quantization)}", ""
    engine = replace(engine, computed=computed)
    name = f"ctranslate2-{ctranslate2.__version__}{f'+{computed}' if engine.on_gpu else ''}"
    origin = Origin(name, description.digest, decoding_json)
    engine_name = with_shortlists(origin, lists).engine
    several = not is_local_runner(options) or workers_here(options) != 1
    shared_as = f"translate-mix-{uuid.uuid4().hex}" if several and (elsewhere or engine.on_gpu) else ""
    engine = replace(engine, origin=origin, shared_as=shared_as)
    identification = str(recipe.identification_file or recipe.identification)
    identifier = load_identifier(local_spec(identification))
    table = named_table(recipe)
    thresholds = bounds_in(table, recipe.thresholds_file).for_identification(identifier.name)
    answers = None if recipe.answers_file is None else staged(recipe.answers_file)
    code_version = version(DISTRIBUTION)
    signature = Signature(
        version=code_version,
        recipe=recipe.digest[:16],
        seed=recipe.seed,
        model=description.name,
        model_digest=description.digest,
        engine=engine_name,
        decoding=decoding_json,
        identification=identifier.name,
        identification_digest=identifier.digest[:16],
        thresholds=thresholds.digest,
        quality="+".join(load_quality(local_spec(spec)).name for spec in recipe.quality_specs),
        answers=hashlib.sha256(answers.read_bytes()).hexdigest()[:16] if answers else "",
    )
    provenance = Provenance(
        engine=engine_name,
        model=description.name,
        model_digest=description.digest,
        decoding=decoding_json,
        identification=identifier.name,
        code_version=code_version,
    )
    planned = _planned(recipe, parts, console, quiet)
    plan = MixPlan(
        recipe=recipe,
        directory=output,
        assignment=planned.assignment,
        pieces=parts,
        buckets=buckets_for(
            sum(planned.rows.values()) + sum(source.rejects + source.unnamed for source in planned.sources)
        ),
        text_buckets=TextBuckets.of(planned.texts),
        engine=engine,
        judging=Judging(identification, recipe.quality_specs, recipe.filters, thresholds),
        given=read_answers(answers) if answers else {},
        supported=frozenset(description.languages),
        signature=signature,
        provenance=provenance,
        licences=_licences(recipe, description),
        progress_directory=str(Path(output, WORK, PROGRESS)) if is_local(output) else None,
        thresholds_table=table,
    )
    return plan, planned


def _check_within_reach(recipe: Recipe, options: PipelineOptions) -> None:
    """Refuses what workers on other machines, or in containers, cannot see.

    Raises:
        SettingsError: a source, its pictures, an identifier or a judge is on this machine.
    """
    for index, source in enumerate(recipe.sources):
        for key in places_of(type(source)):
            written = getattr(source, key)
            place = None if written is None else recipe.source_path(written)
            if place is not None and is_local(place):
                raise recipe.error(
                    ("sources", index, key),
                    f"{place} {_out_of_reach(options)}; copy the data to a bucket: --set root=gs://BUCKET/data",
                )
    if recipe.identification_file is not None and is_local(str(recipe.identification_file)):
        raise recipe.error(
            ("identification",),
            f"{recipe.identification_file} {_out_of_reach(options)}; copy it to a bucket",
        )
    for index, spec in enumerate(recipe.quality_specs):
        judge = spec.partition(":")[2]
        if Path(judge).is_absolute():
            raise recipe.error(("quality", index), f"{judge} {_out_of_reach(options)}; copy it to a bucket")


def _out_of_reach(options: PipelineOptions) -> str:
    return f"is on this machine, and the workers of {options.view_as(StandardOptions).runner} are not"


def _planned(recipe: Recipe, parts: Sequence[Piece], console: Console, quiet: bool) -> Plan:
    try:
        with ReadingProgress(console, quiet) as progress:
            return plan_mix(recipe, parts, told=progress.read)
    except SourceError as error:
        raise RunFailed(str(error)) from error
    except BrokenProcessPool as error:
        raise RunFailed(READER_KILLED) from error


def _with_memory(
    plan: MixPlan, threads: Threads | None, cores: int, console: Console, quiet: bool
) -> MixPlan:
    """Opens the memory for the run and tells of damage; a plan that names what was imported there.

    It also has the threads: those that were asked for, or that the first try of the run measured on so many
    cores.

    Raises:
        MemoryFolderError: it cannot be read or written.
    """
    folder = plan.engine.memory
    with Memory(folder) as memory:
        given = memory.given_digest()
        damaged = memory.damaged
    if damaged:
        console.print(
            f"[yellow]{counted(len(damaged), 'file')} of the translation memory damaged and set aside "
            f"({damaged[0]}.damaged); what it held is translated again[/]",
            soft_wrap=True,
        )
    if given:
        # Imported translations make other rows, so they are a part of what the mix was made with.
        plan = _made_with(plan, f"+imported-{given}")

    def settle() -> str:
        if threads is not None:
            return str(threads)
        directory, decoding = plan.engine.model_directory, plan.engine.decoding
        measured = measure(
            directory, decoding, device=plan.engine.device, cores=cores, shortlist=plan.engine.shortlist
        )
        if not quiet:
            console.print(str(measured), soft_wrap=True)
        return str(measured.threads)

    asked = "" if threads is None or not threads.max_batch_tokens else f"/{threads.max_batch_tokens}"
    settled = parse_threads(begin(folder, _digest_of(plan) + asked, settle).settled) or Threads()
    # The size of the batches shows in the last digits of scores, the other numbers in nothing.
    used = settled if threads is None else replace(threads, max_batch_tokens=settled.max_batch_tokens)
    plan = replace(plan, engine=replace(plan.engine, threads=used))
    return _made_with(plan, f"+batches-{used.max_batch_tokens}") if used.max_batch_tokens else plan


def _made_with(plan: MixPlan, more: str) -> MixPlan:
    """The plan with more in the name of its engine, in signature and rows."""
    engine = f"{plan.signature.engine}{more}"
    return replace(
        plan,
        signature=replace(plan.signature, engine=engine),
        provenance=replace(plan.provenance, engine=engine),
    )


def _digest_of(plan: MixPlan) -> str:
    """Of all that decides on what the run makes, but for the content of files whose size has not changed."""
    content = pickle.dumps((plan.signature, plan.pieces, plan.assignment, sorted(plan.given.items())))
    return hashlib.sha256(content).hexdigest()


def _close_memory(folder: str, console: Console) -> None:
    """Ends the run in the memory; merges its segments if they have become many."""
    try:
        finish(folder)
        if sum(not segment.number for segment in SegmentFolder(folder).segments()) > LOOSE_SEGMENTS:
            compact(folder)
    except MemoryFolderError as error:
        # The mix is finished, and the memory as good as before.
        console.print(f"[yellow]the translation memory was not compacted: {error}[/]", soft_wrap=True)


def _licences(recipe: Recipe, description: ModelDescription) -> dict[str, str]:
    """Name -> licence of the model and of every source that says one."""
    licences = {f"model {description.name}": description.licence}
    for source in recipe.sources:
        licences[f"source {source.name}"] = source.licence or "not stated in the recipe"
    return licences


def _print_configuration(recipe: Recipe, plan: MixPlan, elsewhere: bool, console: Console) -> None:
    codes = [code for code in plan.assignment.codes if code != ENGLISH]
    languages = len(codes)
    missing = [code for code in codes if code not in plan.supported]
    console.print(
        f"recipe {recipe.name} ({plan.signature.recipe}), {counted(len(recipe.sources), 'source')}, "
        f"{counted(languages, 'language')} and English"
    )
    console.print(
        f"model  {plan.signature.model} ({plan.signature.model_digest}), "
        f"identification {plan.signature.identification}"
    )
    if recipe.model == SMALL:
        console.print(
            "[yellow]The small model is a stand-in for trying things out: it knows some 650 names.\n"
            "For real data: translate-mix model add facebook/nllb-200-distilled-600M[/]",
            soft_wrap=True,
        )
    if elsewhere and recipe.model != SMALL and is_local(plan.engine.directory):
        console.print(
            f"[yellow]The workers take the model from {plan.engine.directory}: their image must have it "
            "there (docker/README.md). Or copy it to a bucket, and each machine fetches it once: "
            "--set model=gs://BUCKET/MODEL[/]",
            soft_wrap=True,
        )
    if missing:
        console.print(
            f"[yellow]{counted(len(missing), 'language')} not in this model, rows will be rejected: "
            f"{' '.join(missing)}[/]"
        )


@contextmanager
def _owned(output: str, overwrite: bool, options: PipelineOptions) -> Iterator[None]:
    """An output directory that is ours alone; one in a store is emptied of earlier shards, which also tells
    whether it can be written to.

    Raises:
        ValueError: it holds a finished mix, another run's lock, or files that no run wrote; or a job that
            may be writing there is running.
        RunFailed: it cannot be written to, or Dataflow does not say what is running.
    """
    _check_output(output, overwrite)
    directory = Path(output)
    with _write_failures(output):
        if not is_local(output):
            # Stores have no locks.
            check_not_running(options, output)
            _clear(output)
            yield
            return
        with locked(directory):
            yield
            # Within the lock: afterwards it may be another's.
            shutil.rmtree(directory / WORK, ignore_errors=True)
            (directory / ERROR_LOG).unlink(missing_ok=True)


@contextmanager
def _write_failures(output: str) -> Iterator[None]:
    """Within, what keeps a run from writing to its output is a `RunFailed`."""
    try:
        yield
    except OSError as error:
        raise RunFailed(f"cannot write to {output}: {error.strerror or error}") from error
    except (OutputError, JobRefused) as error:
        raise RunFailed(str(error)) from error


def _clear(output: str) -> None:
    """Takes away what earlier runs wrote but for the memory; raises OSError or OutputError."""
    # The manifest goes first: without it the rest is an unfinished run.
    for name in (MANIFEST, ANSWERS, THRESHOLDS, REPORT, CARD):
        remove(join(output, name))
    make_directory(output)
    # A journal would put the files of the mix that was there over the new ones.
    discard(output)
    if not is_local(output):
        remove_matching(output, (f"{DATA}/*", f"{REJECTED}/*", IMAGES), _WRITTEN)
        return
    for path in _shards_of_earlier_runs(Path(output)):
        path.unlink()
    for kind in (DATA, REJECTED):
        for language in Path(output, kind).glob("*"):
            with suppress(OSError):  # it holds something
                language.rmdir()


def _check_tables(recipe: Recipe, output: str) -> None:
    """Refuses to replace a table that the recipe names; raises `SettingsError`."""
    tables: tuple[tuple[tuple[str, ...], str | None, str], ...] = (
        (("answers", "file"), recipe.answers_file, ANSWERS),
        (("thresholds",), recipe.thresholds_file, THRESHOLDS),
    )
    for key, named, written in tables:
        replaced = join(output, written)
        same = named == replaced
        if named is not None and is_local(output) and is_local(named):
            same = os.path.realpath(named) == os.path.realpath(replaced)
        if same:
            remedy = f"the run replaces {replaced}; copy it elsewhere, and name the copy"
            raise recipe.error(key, remedy)


def _check_output(output: str, overwrite: bool) -> None:
    """Refuses a directory that a run must not write to; raises ValueError."""
    scheme, _, rest = output.partition(":")
    if _MISSPELT_URL.match(output) and (is_local(output) or not rest.strip("/")):
        remedy = f"write {scheme}://{rest.strip('/') or 'BUCKET/mix'}, or ./{output} for that folder"
        raise ValueError(f"{output}: no URL; {remedy}")
    finished = is_finished(output)
    if finished and is_of_something_else(output):
        raise ValueError(
            f"{output}: holds files of something else ({MANIFEST} is none of a mix); name an empty directory"
        )
    if finished and not overwrite:
        raise ValueError(
            f"{output}: holds a finished mix; give --overwrite to replace it, or another --output"
        )
    directory = Path(output)
    if not is_local(output) or not directory.exists():
        return
    if not directory.is_dir():
        raise ValueError(f"{output}: is a file; --output must be a directory")
    if finished or (directory / WORK / LOCK).exists():
        return
    # A run that was killed at once leaves the first; a memory may be brought along. Of a directory that was
    # removed while a run wrote to it, the last may come back.
    found = sorted({path.name for path in directory.iterdir()} - {WORK, MEMORY, ERROR_LOG})[:3]
    if found:
        names = ", ".join(found)
        raise ValueError(f"{output}: holds files of something else ({names}); name an empty directory")


_MISSPELT_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")

_WRITTEN = re.compile(rf"{SHARD.pattern}|(.+/)?\.[^/]+{re.escape(PARTIAL)}")
"""The path in a mix of a file that only a run can have written."""


def _shards_of_earlier_runs(directory: Path) -> list[Path]:
    found = [path for kind in (DATA, REJECTED) for path in (directory / kind).glob("*/*")]
    found += (directory / IMAGES).glob("*")
    found += directory.glob(f".*{PARTIAL}")
    return [
        path
        for path in found
        if path.is_file() and _WRITTEN.fullmatch(path.relative_to(directory).as_posix())
    ]


@contextmanager
def _logs(output: str) -> Iterator[Path]:
    """A folder of this machine for logs; of an output far away it stays if the run fails, and no longer."""
    if is_local(output):
        yield Path(output, WORK)
        return
    folder = Path(tempfile.mkdtemp(prefix="translate-mix-"))
    try:
        yield folder
    except RunFailed:
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _workers_output_in(log: Path) -> Iterator[None]:
    """What Beam and its worker processes print on standard error goes to a file while a run lasts."""
    sys.stderr.flush()
    kept = os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


_INTERRUPTED = re.compile(r"^KeyboardInterrupt(?:$|: | \[while running)", re.MULTILINE)
"""The last line of a traceback, of this process or a worker; messages that only speak of it do not match."""
_OUTPUT = re.compile(
    r"^(?:\w+\.)*(?:OutputError|MemoryFolderError|JobRefused): (?P<message>.+)$", re.MULTILINE
)
"""These name the file; what they follow from need not."""
_CAUSE = re.compile(
    r"^(?:\w+\.)*(?:\w+(?:Error|Exception)|LostRows|BadImage|UnknownStratum): (?P<message>.+)$", re.MULTILINE
)


_UNFETCHED = re.compile(r"^RuntimeError: (?P<message>Unable to fetch remote prism binary .+)$", re.MULTILINE)
"""Prism's runner tries Beam's filesystems first, none of which knows the address."""

_DATAFLOW_FAILED = re.compile(r"Dataflow pipeline failed\. State: (\w+), Error:\n(?:None$)?", re.MULTILINE)
_IN_WORDS = {
    LOST_WORKER: "a worker process ended before its work did: it was killed, as the system "
    "does with those that need too much memory; the same command goes on from here",
}


def _explain(text: str, log: Path) -> str:
    """The first cause of a traceback in one line; the whole of it goes to `log`."""
    text = _DATAFLOW_FAILED.sub(r"the job ended in state \1: ", text)
    # Beam hands an exception of a worker over as the text of its traceback, innermost first.
    causes = [
        match["message"] for pattern in (_OUTPUT, _UNFETCHED, _CAUSE) for match in pattern.finditer(text)
    ]
    cause = next((cause for cause in causes if not cause.startswith("[Errno")), None)
    cause = re.sub(r" \[while running '.*", "", cause or next(iter(causes), text.strip().splitlines()[-1]))
    cause = _IN_WORDS.get(cause, cause).rstrip(": ")
    try:
        log.write_text(text, encoding="utf-8")
    except OSError:
        with suppress(OSError):
            log.unlink()
        return cause
    return f"{cause} (details in {log})"
