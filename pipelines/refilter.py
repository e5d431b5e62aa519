"""`translate-mix refilter`: new verdicts from stored scores, and the mix that a run would make with them.

Nothing is translated and no source is read. Rows that the filters did not decide on keep their verdict.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines import journal
from pipelines.bounds_table import bounds_in, kept_table, named_table, table_digest
from pipelines.card import dataset_card
from pipelines.filesystem import (
    OutputError,
    exists,
    failed_write,
    file_size,
    is_local,
    join,
    read_text,
    remove,
    write_text,
)
from pipelines.manifest import (
    Manifest,
    check_nothing_lost,
    counts_of,
    is_finished,
    manifest_text,
    merge_counts,
    read_manifest,
)
from pipelines.mix_files import ShardFile
from pipelines.ownership import locked
from pipelines.preview import preview_rows
from pipelines.reading import PROMPT, TARGET
from pipelines.reasons import are_judged, short_reasons
from pipelines.recipe import Recipe, SettingsError, checked_recipe
from pipelines.resharding import JudgedFile, Layout, RefilterFailed, opened, stage_language
from pipelines.rows import row_reason
from pipelines.sink import questions_of
from pipelines.summary import LanguageCounts, language_name, total
from pipelines.uses import SLOT_OF_ANSWER
from translation import templates
from translation.answers import unescaped
from translation.filters import Policy, ScoreTable, Thresholds, verdicts
from translation.filters.thresholds import ThresholdsError
from translation.languages import ENGLISH, languages
from translation.mix_folder import ANSWERS, CARD, MANIFEST, THRESHOLDS, WORK
from translation.progress import CountProgress
from translation.row import PROMPT_PREFIX
from translation.settings_file import override_values

LANGUAGES_SHOWN = 10


@dataclass(frozen=True)
class Refiltered:
    """What a refilter changed, or would change."""

    before: Manifest
    after: Manifest
    """Of a dry run only the counts are those to come."""
    judged: int
    """Rows that filters decide on."""
    deciding: float
    """Seconds for scores to verdicts and counts."""
    writing: float
    """Seconds for new files, until the mix was whole."""
    written: tuple[ShardFile, ...]
    """Files that were not there, or held other rows."""


def refilter(
    directory: str,
    overrides: Sequence[str],
    console: Console,
    *,
    dry_run: bool = False,
    quiet: bool = False,
) -> Refiltered:
    """Decides again on every row of a finished mix and puts it where it belongs then.

    The mix is the same, byte for byte, as one that was run with those filters. If it is interrupted, the mix
    is the old one, or another call finishes it.

    Args:
        overrides: `filters.RULE.SIDE=VALUE` or `thresholds=FILE`, as `--set` takes them; on top of the recipe
            in the manifest.

    Raises:
        ValueError: no finished mix, another process works on it, or (`SettingsError`) a wrong override.
        RefilterFailed: a file of the mix cannot be read or written.
    """
    if dry_run:
        return _refilter(directory, overrides, console, True, quiet)
    if not is_finished(directory) and not journal.is_interrupted(directory):
        read_manifest(directory)  # Says what is wrong.
    with _alone(directory):
        if journal.is_interrupted(directory):
            journal.carry_out(directory)
            if not quiet:
                console.print("An earlier refilter had been interrupted; it is finished now.")
        journal.discard(directory)
        return _refilter(directory, overrides, console, False, quiet)


@contextmanager
def _alone(directory: str) -> Iterator[None]:
    """The mix to ourselves; the working directory goes in the end, unless a journal stands in it."""
    try:
        if not is_local(directory):
            yield
            return
        with locked(Path(directory)):
            try:
                yield
            finally:
                if not journal.is_interrupted(directory):
                    remove(join(directory, WORK))
    except OutputError as error:
        raise RefilterFailed(str(error)) from error
    except OSError as error:
        raise RefilterFailed(str(failed_write(error, directory))) from error


def _refilter(
    directory: str, overrides: Sequence[str], console: Console, dry_run: bool, quiet: bool
) -> Refiltered:
    before = read_manifest(directory)
    recipe = _recipe(before, directory, overrides)
    # The scores are those of the identifier that the run had.
    named = any(override.partition("=")[0].strip() == "thresholds" for override in overrides)
    table = _table_of(recipe, None if named else kept_table(directory, before))
    thresholds = _bounds(recipe, table).for_identification(before.signature.identification)
    if recipe.thresholds is not None and not named and thresholds.digest != before.signature.thresholds:
        remedy = (
            f"{recipe.thresholds_file} has other bounds than when the mix was made; name the table of then, "
            "or this one on purpose, with `--set thresholds=FILE`"
        )
        raise recipe.error(("thresholds",), remedy)
    layout = Layout(recipe.images, recipe.shard_megabytes * 2**20)
    by_language: dict[str, list[ShardFile]] = {}
    for file in before.files:
        by_language.setdefault(file.language, []).append(file)
    files: list[ShardFile] = []
    counts: list[LanguageCounts] = []
    questions = Counter[tuple[str, str | None]]()
    answers = Answers({}, {})
    judged, deciding, writing = 0, 0.0, 0.0
    with CountProgress("refilter", before.read, console, quiet) as progress:
        for language, of_language in sorted(by_language.items()):
            began = time.monotonic()
            made = []
            for file in of_language:
                one = judge(directory, file, recipe.filters, thresholds, before.answers is not None)
                made.append(one.file)
                judged += one.decided
                answers.add(one.answers)
                questions += one.questions
            counts.append(_counts(language, made))
            decided = time.monotonic()
            deciding += decided - began
            files += of_language if dry_run else stage_language(directory, made, layout)
            writing += time.monotonic() - decided
            progress.advance(sum(file.rows for file in of_language))
    after = replace(
        before,
        signature=replace(before.signature, recipe=recipe.digest[:16], thresholds=thresholds.digest),
        recipe=recipe.model_dump(mode="json"),
        counts=tuple(counts),
        questions=counts_of(questions.items()),
        files=tuple(sorted(files, key=lambda file: file.path)),
        thresholds=table_digest(table),
    )
    if not dry_run and after != before:
        began = time.monotonic()
        check_nothing_lost(after)
        after = _replace(directory, before, after, recipe, answers, table)
        writing += time.monotonic() - began
    written = tuple(file for file in after.files if file not in before.files)
    return Refiltered(before, after, judged, deciding, writing, written)


def _recipe(manifest: Manifest, directory: str, overrides: Sequence[str]) -> Recipe:
    """The recipe of the manifest with the overrides.

    Raises:
        SettingsError: a key that cannot change without translating again, a wrong one, or a wrong value.
    """
    for override in overrides:
        name = override.partition("=")[0].strip()
        if name != "thresholds" and not name.startswith("filters."):
            remedy = (
                "only `filters.RULE.min`, `filters.RULE.max` and `thresholds` can change without translating "
                "again; for anything else make a new mix with `translate-mix run`"
            )
            raise SettingsError("--set", None, name, None, remedy)
    written = override_values(manifest.recipe, join(directory, MANIFEST), overrides)
    # Not its files: a mix can be judged again without its sources.
    return checked_recipe(written)


def _table_of(recipe: Recipe, kept: str | None) -> str | None:
    """The table that the mix keeps, or else the one that the recipe names, from the working directory."""
    try:
        return named_table(recipe) if kept is None else kept
    except ThresholdsError as error:
        raise _no_table(recipe, error) from error


def _bounds(recipe: Recipe, table: str | None) -> Thresholds:
    try:
        return bounds_in(table, recipe.thresholds_file)
    except ThresholdsError as error:
        raise _no_table(recipe, error) from error


def _no_table(recipe: Recipe, error: ThresholdsError) -> SettingsError:
    remedy = (
        f"{error}; name a table that `translate-mix calibrate` wrote with `--set thresholds=FILE`, "
        "or take the one that ships with `--set thresholds=null`"
    )
    return recipe.error(("thresholds",), remedy)


@dataclass
class Answers:
    """Which translations of English answers are accepted now."""

    in_targets: dict[tuple[str, str], bool]
    """By NLLB code and answer."""
    in_prompts: dict[str, dict[tuple[str, str], bool]]
    """By template, and in it by NLLB code and the English prompt: rows hold the answer nowhere else."""

    def add(self, more: Answers) -> None:
        """Those of further rows too."""
        self.in_targets.update(more.in_targets)
        for name, found in more.in_prompts.items():
            self.in_prompts.setdefault(name, {}).update(found)

    def of_entry(self, code: str, answer: str) -> bool | None:
        """Whether an answer is accepted in a language; None if no row has its translation with scores."""
        found = self.in_targets.get((code, answer))
        if found is not None or code not in languages():
            return found
        for name, in_prompts in sorted(self.in_prompts.items()):
            prompt = templates.template(name).fill(languages()[code], answer)
            found = in_prompts.get((code, prompt))
            if found is not None:
                return found
        return None


@dataclass(frozen=True)
class Judged:
    """What filters decide on the rows of a file."""

    file: JudgedFile
    decided: int
    """Rows that they decide on; the others keep their reason."""
    answers: Answers
    questions: Counter[tuple[str, str | None]]
    """(Language of the question of an English row, short reason) -> rows; see `Manifest.questions`."""


def judge(
    directory: str, file: ShardFile, policy: Policy, thresholds: Thresholds, with_answers: bool = False
) -> Judged:
    """New reasons for the rows of a file, from their scores.

    Raises:
        RefilterFailed: the file cannot be read.
    """
    wanted = ["words", *(name for name, _ in policy.rules())]
    scores = [f"scores.{prefix}{name}" for prefix in ("", PROMPT_PREFIX) for name in wanted]
    with opened(directory, file) as parquet:
        table = parquet.read(columns=["reason", "language", "question_language", *scores])
        old = table.column("reason").combine_chunks()
        columns = _columns(table)
        decided = are_judged(old, columns)
        if not decided.any():
            unchanged = JudgedFile(file, old, np.zeros(file.rows, np.bool_))
            return Judged(unchanged, 0, Answers({}, {}), _questions(table, old))
        spoken = asked = (file.language,) * file.rows
        if file.language == ENGLISH:
            # The answer may have stayed English, and the question not.
            asked = tuple(code or ENGLISH for code in table.column("question_language").to_pylist())
        target = _reasons(columns, "", spoken, policy, thresholds)
        prompt = _reasons(columns, PROMPT_PREFIX, asked, policy, thresholds)
        answers = (
            _answers(parquet, file.language, columns, target, prompt) if with_answers else Answers({}, {})
        )
    merged = pa.array(list(map(row_reason, target, prompt)), pa.string())
    new = pc.if_else(pa.array(decided), merged, old)
    same = pc.or_kleene(pc.equal(old, new), pc.and_(old.is_null(), new.is_null()))
    changed: NDArray[np.bool_] = ~pc.fill_null(same, False).to_numpy(zero_copy_only=False)
    return Judged(JudgedFile(file, new, changed), int(decided.sum()), answers, _questions(table, new))


def _questions(rows: pa.Table, reasons: pa.Array) -> Counter[tuple[str, str | None]]:
    """As in `Judged`."""
    short = short_reasons(reasons).to_pylist()
    pairs = zip(questions_of(rows), short, strict=True)
    return Counter((code, reason) for code, reason in pairs if code is not None)


def _answers(
    parquet: pq.ParquetFile,
    language: str,
    columns: Mapping[str, NDArray[np.float32]],
    target: Sequence[str | None],
    prompt: Sequence[str | None],
) -> Answers:
    """Those that were translated; what a person checked has no scores, and is not among them."""
    in_targets: dict[tuple[str, str], bool] = {}
    in_prompts: dict[str, dict[tuple[str, str], bool]] = {}
    for row in _distinct(parquet, TARGET, ["source_target"], columns.get("words"), target):
        in_targets[language, row["source_target"]] = row["accepted_min"]
    words = columns.get(f"{PROMPT_PREFIX}words")
    for row in _distinct(parquet, PROMPT, ["template", "source_prompt"], words, prompt):
        name = _english_template(row["template"])
        if name is not None:
            in_prompts.setdefault(name, {})[language, row["source_prompt"]] = row["accepted_min"]
    return Answers(in_targets, in_prompts)


def _distinct(
    parquet: pq.ParquetFile,
    slot: str,
    texts: list[str],
    words: NDArray[np.float32] | None,
    reasons: Sequence[str | None],
) -> list[dict[str, Any]]:
    """The texts of rows whose answer stands in the slot and has scores, and whether it is accepted."""
    if words is None:
        return []
    tasks = pa.array(task for task, place in SLOT_OF_ANSWER.items() if place == slot)
    table = parquet.read(columns=["task", *texts])
    accepted = pa.array([reason is None for reason in reasons])
    scored = pc.and_(pc.is_in(table.column("task"), tasks), pa.array(~np.isnan(words)))
    found = table.append_column("accepted", accepted).filter(scored).group_by(texts)
    rows: list[dict[str, Any]] = found.aggregate([("accepted", "min")]).to_pylist()
    return rows


@cache
def _english_template(name: str | None) -> str | None:
    """The template of the English prompt; None where another version had one that this lacks."""
    try:
        return None if name is None else templates.source_of(templates.template(name)).id
    except ValueError:
        return None


def _columns(table: pa.Table) -> dict[str, NDArray[np.float32]]:
    """The scores by name, NaN for null, without those that no row has."""
    scores = table.column("scores").combine_chunks()
    found = {}
    for field in scores.type:
        values = pc.struct_field(scores, field.name)
        if values.null_count < len(values):
            found[field.name] = values.to_numpy(zero_copy_only=False)
    return found


def _reasons(
    columns: Mapping[str, NDArray[np.float32]],
    prefix: str,
    codes: tuple[str, ...],
    policy: Policy,
    thresholds: Thresholds,
) -> list[str | None]:
    """Why the target of each row, or with the prefix the prompt, is rejected; None if it is not.

    Args:
        codes: NLLB codes of each row's target or prompt.
    """
    here = {
        name.removeprefix(prefix): values
        for name, values in columns.items()
        if name.startswith(PROMPT_PREFIX) == bool(prefix)
    }
    if "words" not in here:
        return [None] * len(codes)
    table = ScoreTable(codes, here)
    return [verdict.reason for verdict in verdicts(table, policy, thresholds)]


def _counts(language: str, judged: Sequence[JudgedFile]) -> LanguageCounts:
    reasons: list[tuple[str | None, int]] = []
    for one in judged:
        counted = pc.value_counts(short_reasons(one.reasons))
        reasons += zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    return merge_counts(language, sum(one.file.rows for one in judged), reasons)


def _replace(
    directory: str,
    before: Manifest,
    after: Manifest,
    recipe: Recipe,
    answers: Answers,
    bounds: str | None,
) -> Manifest:
    """Puts what was staged in place, with tables, card and manifest, and returns the latter."""
    others = [CARD, MANIFEST]
    kept_bounds = kept_table(directory, before)
    removed = [THRESHOLDS] if bounds is None and kept_bounds is not None else []
    if bounds is not None and bounds != kept_bounds:
        write_text(journal.staged(directory, THRESHOLDS), bounds)
        others.insert(0, THRESHOLDS)
    found = _answer_table(directory, before, answers)
    if found is not None and after.answers is not None:
        table, failed = found
        digest = hashlib.sha256(table.encode()).hexdigest()
        after = replace(after, answers=replace(after.answers, failed=failed, sha256=digest))
        if after.answers != before.answers:
            write_text(journal.staged(directory, ANSWERS), table)
            others.insert(0, ANSWERS)
    unchanged = frozenset(before.files)

    def place(file: ShardFile) -> str:
        """Where a file of the new mix stands until the journal is carried out."""
        return (
            join(directory, *file.path.split("/"))
            if file in unchanged
            else journal.staged(directory, file.path)
        )

    write_text(
        journal.staged(directory, CARD),
        dataset_card(after, recipe, after.licences, preview_rows(after.files, place)),
    )
    write_text(journal.staged(directory, MANIFEST), manifest_text(after))
    new = [file.path for file in after.files if file not in before.files]
    kept = {file.path for file in after.files}
    journal.write_journal(
        directory,
        [journal.Move(path, file_size(journal.staged(directory, path))) for path in (*new, *others)],
        [*removed, *(file.path for file in before.files if file.path not in kept)],
    )
    journal.carry_out(directory)
    return after


def _answer_table(directory: str, manifest: Manifest, answers: Answers) -> tuple[str, int] | None:
    """`answers.tsv` with the new verdicts, and how many it does not accept.

    None where there is none, or where somebody has changed it, whose work it is then.
    """
    path = join(directory, ANSWERS)
    if manifest.answers is None or not exists(path):
        return None
    text = read_text(path)
    if hashlib.sha256(text.encode()).hexdigest() != manifest.answers.sha256:
        return None
    header, *lines = (line.split("\t") for line in text.removesuffix("\n").split("\n"))
    code, answer, accepted = (header.index(name) for name in ("nllb_code", "answer", "accepted"))
    for line in lines:
        now = answers.of_entry(line[code], unescaped(line[answer]))
        if now is not None:
            line[accepted] = str(int(now))
    failed = sum(line[accepted] == "0" for line in lines)
    return "".join("\t".join(line) + "\n" for line in (header, *lines)), failed


def render_refiltered(outcome: Refiltered, dry_run: bool, console: Console) -> None:
    """Prints what changed: in all, per rule, for the languages that changed most, and how long it took."""
    before, after = outcome.before, outcome.after
    would = "would be accepted" if dry_run else "accepted"
    console.print(
        Text(f"{after.accepted:,} of {after.read:,} rows {would}, {_change(before.accepted, after.accepted)}")
    )
    if before.counts != after.counts:
        console.print(_rules(before, after), _languages(before, after), sep="\n")
    rate = after.read / max(outcome.deciding, 1e-3)
    console.print(
        Text(
            f"Decided on {outcome.judged:,} of {outcome.after.read:,} rows (the others have no translation, "
            f"or another fault) in {outcome.deciding:,.1f} s, {rate:,.0f} rows read a second."
        )
    )
    if dry_run:
        console.print("Nothing was written.")
    elif after == before:
        console.print("Nothing to change.")
    else:
        size = sum(file.size for file in outcome.written) / 1e6
        console.print(
            Text(
                f"Wrote {len(outcome.written):,} of {len(after.files):,} files, {size:,.1f} MB, in "
                f"{outcome.writing:,.1f} s; the others have not changed."
            )
        )


def _change(before: int, after: int) -> str:
    return f"{before:,} before ({after - before:+,})" if after != before else "as before"


def _rules(before: Manifest, after: Manifest) -> Table:
    """Rows that each rule rejects."""
    old, new = total(before.counts).reasons, total(after.counts).reasons
    table = _table("rejected for")
    for rule in sorted({*old, *new}, key=lambda rule: (-max(old.get(rule, 0), new.get(rule, 0)), rule)):
        _add(table, (rule,), old.get(rule, 0), new.get(rule, 0))
    return table


def _languages(before: Manifest, after: Manifest) -> Table:
    """Accepted rows of the languages where most changed."""
    old = {count.language: count.accepted for count in before.counts}
    new = {count.language: count.accepted for count in after.counts}
    ordered = sorted(new, key=lambda code: (-abs(new[code] - old.get(code, 0)), code))
    table = _table("accepted in", "")
    for code in ordered[:LANGUAGES_SHOWN]:
        if new[code] != old.get(code, 0):
            _add(table, (code, language_name(code)), old.get(code, 0), new[code])
    others = sum(new[code] != old.get(code, 0) for code in ordered[LANGUAGES_SHOWN:])
    if others:
        table.add_row(Text(f"and {others} more languages"))
    return table


def _table(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for name in names:
        table.add_column(name, overflow="fold")
    for name in ("before", "after", "change"):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _add(table: Table, cells: Sequence[str], before: int, after: int) -> None:
    change = f"{after - before:+,}" if after != before else ""
    table.add_row(*map(Text, cells), f"{before:,}", f"{after:,}", change)
