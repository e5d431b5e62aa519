"""Rows of a mix in the terminal: source, translation, back-translation, scores, verdict.

Reads only the row groups and columns it prints; images are never touched, so large mixes show at once.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.filesystem import join, open_binary
from pipelines.manifest import Manifest, read_manifest
from pipelines.reasons import short_reasons, text_reason
from pipelines.report.tallies import DamagedMix
from pipelines.sink import ShardFile
from pipelines.summary import LanguageCounts, counted, language_name, total
from translation.console import printable
from translation.filters.verdicts import parse_reason
from translation.languages import UnknownLanguage, resolve
from translation.row import ACCEPT, PROMPT_PREFIX, UNDETERMINED

COLUMNS = (
    "id",
    "task",
    "language",
    "prompt",
    "target",
    "source_prompt",
    "source_target",
    "back_translation",
    "scores",
    "verdict",
    "reason",
)
"""What gets read; the image is not among them."""
LONGEST_TEXT = 600
"""Characters of a text that are printed."""


def show(
    directory: str | PurePath,
    language: str | None,
    rejected: bool,
    count: int,
    console: Console,
    *,
    reason: str | None = None,
) -> None:
    """Prints up to `count` rows of a finished mix, accepted ones or the rejected, these by rule.

    Without a language the rows spread evenly over all of them, with one, over its rows; the same call always
    prints the same rows.

    Args:
        reason: only rejected rows with this short reason (`lid`, `image`, ...).

    Raises:
        ValueError: no finished mix, an unknown language or reason, or one without such rows.
        DamagedMix: a file of it is missing or damaged.
    """
    manifest = read_manifest(str(directory))
    files = [file for file in manifest.files if file.accepted != rejected and file.rows]
    kind = "rejected" if rejected else "accepted"
    if not files:
        raise ValueError(f"{directory}: holds no {kind} rows{_hint(manifest.files, rejected, None)}")
    by_language: dict[str, list[ShardFile]] = {}
    for file in sorted(files, key=lambda file: file.path):
        by_language.setdefault(file.language, []).append(file)
    if language is not None:
        # Its own code first: a later version may have made the mix, with a language that this one lacks.
        code = language if language in by_language else _code(language)
        if code not in by_language:
            raise ValueError(
                f"{directory}: no {kind} rows of {language_name(code)} ({code})"
                f"{_hint(manifest.files, rejected, code)}; {_present(code, by_language)}"
            )
        by_language = {code: by_language[code]}
    if rejected:
        shown, in_all = _show_rejected(str(directory), manifest, by_language, reason, count, console)
    else:
        rows = {code: sum(file.rows for file in of_language) for code, of_language in by_language.items()}
        shown, in_all = 0, sum(rows.values())
        for code, positions in spread(rows, count).items():
            for row in _read(str(directory), by_language[code], positions):
                _print(row, console)
                shown += 1
    what = f"{in_all:,} {kind} rows" + (f" ({reason})" if reason else "")
    everywhere = f"in {counted(len(by_language), 'language')}"
    where = f"of {language_name(next(iter(by_language)))}" if language else everywhere
    console.print(Text(f"{shown:,} of {what} {where}"))


def _show_rejected(
    directory: str,
    manifest: Manifest,
    by_language: dict[str, list[ShardFile]],
    reason: str | None,
    count: int,
    console: Console,
) -> tuple[int, int]:
    """Prints a table of the rules, then rows of each; returns how many rows and of how many.

    Leaves in `by_language` only the languages that have such rows.
    """
    counts = [one for one in manifest.counts if one.language in by_language and one.rejected]
    rules = total(counts).reasons
    if reason is not None:
        if reason not in rules:
            raise ValueError(f"{directory}: no rows rejected for {reason!r}; {_present(reason, rules)}")
        rules = {reason: rules[reason]}
    for code in list(by_language):
        if not any(one.language == code and rules.keys() & one.reasons.keys() for one in counts):
            del by_language[code]
    console.print(_rules_table(rules, counts))
    shown = 0
    reasons: dict[str, list[str]] = {}
    # Every rule once before any twice, the commonest first.
    ordered = sorted(rules, key=lambda rule: (-rules[rule], rule))[:count]
    for rule, quota in _quotas({rule: rules[rule] for rule in ordered}, count).items():
        console.print(Text(f"{rule}: {rules[rule]:,} rows", style="bold red"))
        console.print()
        with_rule = {one.language: one.reasons[rule] for one in counts if rule in one.reasons}
        for code, chosen in spread(with_rule, quota).items():
            if code not in reasons:
                reasons[code] = _short_reasons(directory, by_language[code])
            places = [place for place, found in enumerate(reasons[code]) if found == rule]
            if len(places) != with_rule[code]:
                raise ValueError(
                    f"{directory}: {len(places):,} rows of {code} were rejected for {rule}, not "
                    f"{with_rule[code]:,} as the manifest says; `translate-mix verify` says what is wrong"
                )
            for row in _read(directory, by_language[code], [places[index] for index in chosen]):
                _print(row, console)
                shown += 1
    return shown, sum(rules.values())


def _rules_table(rules: Mapping[str, int], counts: Sequence[LanguageCounts]) -> Table:
    """Rule, rows, and the language with most of them."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    table.add_column("rule", overflow="fold")
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("most in", overflow="fold")
    for rule in sorted(rules, key=lambda rule: (-rules[rule], rule)):
        most = max(counts, key=lambda one: (one.reasons.get(rule, 0), one.language))
        where = f"{language_name(most.language)} ({most.language}) {most.reasons[rule]:,}"
        table.add_row(Text(printable(rule)), f"{rules[rule]:,}", Text(where))
    return table


def _short_reasons(directory: str, files: Sequence[ShardFile]) -> list[str]:
    """The short reason of every row of a language's rejected files, in order."""
    found: list[str] = []
    for file in files:
        path = join(directory, *file.path.split("/"))
        with _parquet(path) as parquet:
            reasons = parquet.read(columns=["reason"]).column("reason")
        found += short_reasons(reasons).to_pylist()
    return found


def _quotas(rows: Mapping[str, int], count: int) -> dict[str, int]:
    """Shares of `count` as even as the numbers of rows allow."""
    quotas = dict.fromkeys(rows, 0)
    left = min(count, sum(rows.values()))
    while left:
        for name in rows:
            if left and quotas[name] < rows[name]:
                quotas[name] += 1
                left -= 1
    return quotas


def spread(rows: Mapping[str, int], count: int) -> dict[str, list[int]]:
    """Language -> positions of the rows to print: at most `count`, evenly over languages, then over rows.

    Where there are more languages than rows to print, languages at even distances are taken.
    """
    codes = sorted(rows)
    if count < len(codes):
        codes = [codes[(2 * index + 1) * len(codes) // (2 * count)] for index in range(count)]
    quotas = _quotas({code: rows[code] for code in codes}, count)
    return {code: _positions(code, rows[code], quota) for code, quota in quotas.items() if quota}


def _positions(code: str, rows: int, quota: int) -> list[int]:
    """Even distances with a start that differs by language: rows are sorted by source and task."""
    start = int.from_bytes(hashlib.sha256(code.encode()).digest()[:4], "big") / 2**32
    return [int((index + start) * rows / quota) for index in range(quota)]


def _code(language: str) -> str:
    """The NLLB code that the user means; `und` are records that could not be read."""
    if language == UNDETERMINED:
        return UNDETERMINED
    if "," in language:
        raise ValueError(f"--language {language!r}: takes one language")
    try:
        return resolve(language).nllb
    except UnknownLanguage as error:
        raise ValueError(str(error)) from error


def _hint(files: Sequence[ShardFile], accepted: bool, code: str | None) -> str:
    """Says that the other half (`accepted` or not) has rows, if it has some."""
    if not any(file.accepted == accepted and file.rows and code in (None, file.language) for file in files):
        return ""
    return (
        ", only accepted ones (leave out --rejected)"
        if accepted
        else ", only rejected ones (give --rejected)"
    )


def _present(code: str, by_language: Mapping[str, object]) -> str:
    """The languages most like the one asked for, or how to see them all."""
    near = difflib.get_close_matches(code, by_language, n=3, cutoff=0.5)
    others = ", ".join(near or sorted(by_language)[:3])
    more = len(by_language) - len(near or sorted(by_language)[:3])
    return f"there are {others}" + (f" and {more} more" if more else "")


def _read(directory: str, files: Sequence[ShardFile], positions: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The rows at ascending positions, counted through the files."""
    wanted = list(positions)
    first = 0
    for file in files:
        here = [position - first for position in wanted if first <= position < first + file.rows]
        if here:
            yield from _read_file(join(directory, *file.path.split("/")), here)
        first += file.rows


def _read_file(path: str, positions: Sequence[int]) -> Iterator[dict[str, Any]]:
    with _parquet(path) as parquet:
        first = 0
        for group in range(parquet.num_row_groups):
            rows = parquet.metadata.row_group(group).num_rows
            here = [position - first for position in positions if first <= position < first + rows]
            if here:
                yield from parquet.read_row_group(group, columns=list(COLUMNS)).take(here).to_pylist()
            first += rows


@contextmanager
def _parquet(path: str) -> Iterator[pq.ParquetFile]:
    try:
        with open_binary(path) as handle:
            yield pq.ParquetFile(handle)
    except (OSError, ValueError) as error:
        raise DamagedMix(
            f"{path}: cannot be read ({error}); `translate-mix verify` says what is wrong"
        ) from error


def _print(row: Mapping[str, Any], console: Console) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in _lines(row):
        grid.add_row(label, text)
    console.print(Text(printable(row["id"]), style="bold"), soft_wrap=True)
    console.print(grid)
    console.print()


def _lines(row: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    """Label and text of everything that the row has."""
    if row["prompt"] is not None:
        yield "prompt", _text(row["prompt"])
    if row["source_prompt"] not in (None, row["prompt"]):
        yield "from", _text(row["source_prompt"])
    if row["source_target"] is not None:
        yield "source", _text(row["source_target"])
    if row["target"] is not None:
        target = _text(row["target"])
        target.stylize("bold")
        yield "target", target
    if row["back_translation"] is not None:
        yield "back", _text(row["back_translation"])
    accepted = row["verdict"] == ACCEPT
    verdict = Text(row["verdict"], style="green" if accepted else "red")
    if row["reason"] is not None:
        verdict.append(" – ").append_text(_text(row["reason"]))
    yield "verdict", verdict
    reason, in_prompt = text_reason(row["reason"] or "")
    broken = parse_reason(reason)
    score = None if broken is None else (PROMPT_PREFIX if in_prompt else "") + broken.rule
    scores = {name: value for name, value in (row["scores"] or {}).items() if value is not None}
    if broken is not None and score in scores:
        sign = "<" if broken.side == "min" else ">"
        where = " (prompt)" if in_prompt else ""
        found = f"{broken.rule} {scores[score]:.3g} {sign} {broken.bound}{where}"
        yield "broken", Text(found, style="bold red")
    for label, of_prompt in (("scores", False), ("prompt scores", True)):
        others = [
            _shown(name, value)
            for name, value in scores.items()
            if name.startswith(PROMPT_PREFIX) == of_prompt and name != score
        ]
        if others:
            yield label, Text("  ".join(others), style="dim" if broken else "")


def _shown(name: str, value: float) -> str:
    return f"{name.removeprefix(PROMPT_PREFIX)}={value:.3g}"


def _text(text: str) -> Text:
    shown = printable(text[:LONGEST_TEXT])
    if len(text) > LONGEST_TEXT:
        shown += f" … ({len(text):,} characters)"
    return Text(shown)
