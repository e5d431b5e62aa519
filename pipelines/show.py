"""Rows of a mix in the terminal: source, translation, back-translation, scores, verdict.

Reads only the row groups and columns it prints; images are never touched, so large mixes show at once.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.filesystem import join, open_binary
from pipelines.manifest import Manifest, read_manifest
from pipelines.mix_files import ShardFile
from pipelines.reasons import short_reasons, text_reason
from pipelines.report.tallies import DamagedMix
from pipelines.summary import LanguageCounts, by_text, counted, language_name
from translation.console import printable
from translation.filters.verdicts import parse_reason
from translation.languages import ENGLISH, UnknownLanguage, resolve
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


@dataclass(frozen=True)
class _Shelf:
    """Rows of one verdict and language, and the files that they stand in."""

    files: Sequence[ShardFile]
    rows: int
    reasons: Mapping[str, int]
    """Short reason -> rows; of rejected ones."""
    places: Sequence[int] | None = None
    """Of the rows, counted through the files; None where these hold nothing else."""

    def positions(self, chosen: Sequence[int]) -> list[int]:
        """Where in the files the rows of these numbers stand."""
        return list(chosen) if self.places is None else [self.places[number] for number in chosen]


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
    prints the same rows. Rows of a language are those with a target in it, and those with an English target
    and a question in it.

    Args:
        reason: only rejected rows with this short reason (`lid`, `image`, ...).

    Raises:
        ValueError: no finished mix, an unknown language or reason, or one without such rows.
        DamagedMix: a file of it is missing or damaged.
    """
    manifest = read_manifest(str(directory))
    kind = "rejected" if rejected else "accepted"
    shelves = _by_language(manifest, rejected)
    if not shelves:
        raise ValueError(f"{directory}: holds no {kind} rows{_hint(manifest, rejected, None)}")
    if language is not None:
        asked = _present(manifest.questions, rejected)
        # Its own code first: a later version may have made the mix, with a language that this one lacks.
        code = language if language in shelves.keys() | asked else _code(language)
        if code not in shelves.keys() | asked:
            raise ValueError(
                f"{directory}: no {kind} rows of {language_name(code)} ({code})"
                f"{_hint(manifest, rejected, code)}; {_there(code, sorted(shelves.keys() | asked))}"
            )
        english = shelves.get(ENGLISH)
        shelves = {code: shelves[code]} if code in shelves else {}
        if code in asked and english is not None:
            shelves[f"{code} (questions)"] = _questions(str(directory), english, manifest, code, rejected)
    if rejected:
        shown, in_all, found = _show_rejected(str(directory), manifest, shelves, reason, count, console)
    else:
        rows = {name: shelf.rows for name, shelf in shelves.items()}
        shown, in_all, found = 0, sum(rows.values()), len(rows)
        for name, chosen in spread(rows, count).items():
            shelf = shelves[name]
            for row in _read(str(directory), shelf.files, shelf.positions(chosen)):
                _print(row, console)
                shown += 1
    what = f"{in_all:,} {kind} rows" + (f" ({reason})" if reason else "")
    where = f"of {language_name(code)}" if language is not None else f"in {counted(found, 'language')}"
    console.print(Text(f"{shown:,} of {what} {where}"))


def _by_language(manifest: Manifest, rejected: bool) -> dict[str, _Shelf]:
    """NLLB code of the target -> rows."""
    files: dict[str, list[ShardFile]] = {}
    for file in sorted(manifest.files, key=lambda file: file.path):
        if file.accepted != rejected and file.rows:
            files.setdefault(file.language, []).append(file)
    reasons = {one.language: one.reasons for one in manifest.counts}
    return {
        code: _Shelf(found, sum(file.rows for file in found), reasons.get(code, {}))
        for code, found in files.items()
    }


def _questions(directory: str, english: _Shelf, manifest: Manifest, code: str, rejected: bool) -> _Shelf:
    """The rows of English that have a question in a language."""
    (counts,) = (one for one in manifest.questions if one.language == code)
    places = [
        place
        for place, asked in enumerate(_column(directory, english.files, "question_language"))
        if asked == code
    ]
    rows = counts.rejected if rejected else counts.accepted
    if len(places) != rows:
        raise ValueError(
            f"{directory}: {len(places):,} rows of {ENGLISH} have a question in {code}, not {rows:,} as the "
            "manifest says; `translate-mix verify` says what is wrong"
        )
    return _Shelf(english.files, rows, counts.reasons, places)


def _show_rejected(
    directory: str,
    manifest: Manifest,
    shelves: Mapping[str, _Shelf],
    reason: str | None,
    count: int,
    console: Console,
) -> tuple[int, int, int]:
    """Prints a table of the rules, then rows of each; how many rows, of how many, on how many shelves."""
    rules: dict[str, int] = {}
    for shelf in shelves.values():
        for rule, rows in shelf.reasons.items():
            rules[rule] = rules.get(rule, 0) + rows
    if reason is not None:
        if reason not in rules:
            raise ValueError(f"{directory}: no rows rejected for {reason!r}; {_there(reason, list(rules))}")
        rules = {reason: rules[reason]}
    asked = [name.split()[0] for name, shelf in shelves.items() if shelf.places is not None]
    console.print(_rules_table(rules, {asked[0]: rules} if asked else _places_of_rules(manifest, shelves)))
    shown = 0
    reasons: dict[str, list[str]] = {}
    # Every rule once before any twice, the commonest first.
    ordered = sorted(rules, key=lambda rule: (-rules[rule], rule))[:count]
    for rule, quota in _quotas({rule: rules[rule] for rule in ordered}, count).items():
        console.print(Text(f"{rule}: {counted(rules[rule], 'row')}", style="bold red"))
        console.print()
        with_rule = {name: shelf.reasons[rule] for name, shelf in shelves.items() if rule in shelf.reasons}
        for name, chosen in spread(with_rule, quota).items():
            shelf = shelves[name]
            if name not in reasons:
                reasons[name] = _short_reasons(directory, shelf)
            places = [place for place, found in enumerate(reasons[name]) if found == rule]
            if len(places) != with_rule[name]:
                raise ValueError(
                    f"{directory}: {len(places):,} rows of {name} were rejected for {rule}, not "
                    f"{with_rule[name]:,} as the manifest says; `translate-mix verify` says what is wrong"
                )
            for row in _read(directory, shelf.files, shelf.positions([places[index] for index in chosen])):
                _print(row, console)
                shown += 1
    found = sum(bool(rules.keys() & shelf.reasons.keys()) for shelf in shelves.values())
    return shown, sum(rules.values()), found


def _places_of_rules(manifest: Manifest, shelves: Mapping[str, _Shelf]) -> Mapping[str, Mapping[str, int]]:
    """NLLB code -> rule -> rows on the shelves; those with English answers under that of their question."""
    chosen = [one for one in manifest.counts if one.language in shelves]
    return by_text(chosen, manifest.questions if ENGLISH in shelves else ())


def _rules_table(rules: Mapping[str, int], places: Mapping[str, Mapping[str, int]]) -> Table:
    """Rule, rows, and the language with most of them."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    table.add_column("rule", overflow="fold")
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("most in", overflow="fold")
    for rule in sorted(rules, key=lambda rule: (-rules[rule], rule)):
        most = max(places, key=lambda code: (places[code].get(rule, 0), code))
        where = f"{language_name(most)} ({most}) {places[most][rule]:,}"
        table.add_row(Text(printable(rule)), f"{rules[rule]:,}", Text(where))
    return table


def _short_reasons(directory: str, shelf: _Shelf) -> list[str]:
    """The short reason of every row, in order."""
    found = short_reasons(pa.array(_column(directory, shelf.files, "reason"), pa.string())).to_pylist()
    return [found[place] for place in shelf.positions(range(shelf.rows))]


def _column(directory: str, files: Sequence[ShardFile], name: str) -> list[str | None]:
    """Of all rows of the files, in order."""
    found: list[str | None] = []
    for file in files:
        with _parquet(join(directory, *file.path.split("/"))) as parquet:
            found += parquet.read(columns=[name]).column(name).to_pylist()
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


def _present(questions: Sequence[LanguageCounts], rejected: bool) -> set[str]:
    """Languages of questions that have such rows."""
    return {one.language for one in questions if (one.rejected if rejected else one.accepted)}


def _hint(manifest: Manifest, accepted: bool, code: str | None) -> str:
    """Says that the other half (`accepted` or not) has rows, if it has some."""
    there = _by_language(manifest, not accepted).keys() | _present(manifest.questions, not accepted)
    if not there or (code is not None and code not in there):
        return ""
    return (
        ", only accepted ones (leave out --rejected)"
        if accepted
        else ", only rejected ones (give --rejected)"
    )


def _there(wanted: str, names: Sequence[str]) -> str:
    """The names most like the one asked for, or how many there are."""
    shown = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5) or sorted(names)[:3]
    more = len(names) - len(shown)
    return f"there are {', '.join(shown)}" + (f" and {more} more" if more else "")


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
