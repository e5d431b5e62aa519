"""What came out of a run, counted per language, and the table of it that ends every run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.examples import TRUNCATED
from pipelines.inputs import is_url
from translation.filters.thresholds import ANY, LENGTHS, Threshold, Thresholds
from translation.languages import ENGLISH, languages
from translation.mix_folder import DATA, TRAIN
from translation.row import UNDETERMINED

UNREAD = "(unreadable)"
"""Stands for a language's name where a record could not be read far enough to be given one."""


def counted(number: int, noun: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


@dataclass(frozen=True)
class LanguageCounts:
    """Rows of one language; `asdict` of it is what `manifest.json` holds."""

    language: str
    """NLLB code, or `und` for records that could not be read."""
    read: int
    accepted: int
    rejected: int
    reasons: dict[str, int]
    """Short name of the rule that rejected -> rows."""

    @property
    def commonest_reason(self) -> str | None:
        """Of two equally common the first in the alphabet; None where nothing was rejected."""
        return min(self.reasons, key=lambda reason: (-self.reasons[reason], reason), default=None)


def language_name(code: str) -> str:
    """The registry's name of an NLLB code, or the code if this version lacks it; a phrase for `und`."""
    if code == UNDETERMINED:
        return UNREAD
    return languages()[code].name if code in languages() else code


def total(counts: Sequence[LanguageCounts]) -> LanguageCounts:
    """The sum over languages; its `language` is empty."""
    reasons: dict[str, int] = {}
    for count in counts:
        for reason, number in count.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + number
    return LanguageCounts(
        language="",
        read=sum(count.read for count in counts),
        accepted=sum(count.accepted for count in counts),
        rejected=sum(count.rejected for count in counts),
        reasons=reasons,
    )


def by_text(
    counts: Sequence[LanguageCounts], questions: Sequence[LanguageCounts]
) -> dict[str, dict[str, int]]:
    """NLLB code -> rule -> rows that it rejected, of rows with English answers under that of their question.

    Args:
        questions: such rows by the language of their question; `counts` has them as English.
    """
    found = {count.language: dict(count.reasons) for count in counts}
    for count in questions:
        asked = found.setdefault(count.language, {})
        for rule, number in count.reasons.items():
            asked[rule] = asked.get(rule, 0) + number
            found[ENGLISH][rule] -= number
    return found


def check_counts(counts: Sequence[LanguageCounts]) -> None:
    """Is every row that was read either accepted or rejected, the latter with a reason?

    Raises:
        ValueError: names the first language whose numbers do not add up, or that is there twice.
    """
    seen: set[str] = set()
    for count in counts:
        if count.language in seen:
            raise ValueError(f"{count.language}: counted twice")
        seen.add(count.language)
        if count.read != count.accepted + count.rejected:
            raise ValueError(
                f"{count.language}: {count.read:,} rows read, but {count.accepted:,} accepted and "
                f"{count.rejected:,} rejected: rows were lost or counted twice"
            )
        if sum(count.reasons.values()) != count.rejected:
            raise ValueError(
                f"{count.language}: {count.rejected:,} rows rejected, but reasons for "
                f"{sum(count.reasons.values()):,}"
            )


def render_summary(
    counts: Sequence[LanguageCounts],
    directory: str | PurePath,
    console: Console,
    questions: Sequence[LanguageCounts] = (),
) -> None:
    """Prints languages x read / accepted / rejected / commonest reason, the check, and what to do next.

    Args:
        questions: of the English rows those with a question in another language, by that; a second table.

    Raises:
        ValueError: read = accepted + rejected does not hold.
    """
    check_counts(counts)
    check_counts(questions)
    ordered = sorted(counts, key=lambda count: (count.language == UNDETERMINED, count.language))
    everything = total(counts)
    console.print(_table(ordered, everything), _check_line(everything), _coverage(ordered), sep="\n")
    if questions:
        asked = sorted(questions, key=lambda count: count.language)
        console.print(_of_questions(total(asked)), _table(asked, total(asked)), _coverage(asked), sep="\n")
    for line in _next(ordered, directory):
        # Commands to copy: a line end in the middle would break them.
        console.print(Text(line), soft_wrap=True)


def answers_line(entries: int, failed: int, path: str) -> Text:
    """Where the answer table is, and how much of it wants a look."""
    return Text(
        f"Short answers to review: {path}\n"
        f"({entries:,} entries, {failed:,} not accepted; the recipe takes it back as answers.file)"
    )


def left_out_line(left_out: Mapping[str, int]) -> str:
    """What the recipe has no room for or does not ask for, by source."""
    of_sources = ", ".join(f"{name} {number:,}" for name, number in sorted(left_out.items()))
    keys = "max_rows, phrases, where or skip_answers"
    return f"Left out by {keys}, and not among the rows that were read: {of_sources}."


def _table(ordered: Sequence[LanguageCounts], everything: LanguageCounts) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False, padding=(0, 1), collapse_padding=True
    )
    table.add_column("code", footer="total", no_wrap=True)
    table.add_column(
        "language", footer=counted(_languages_in(ordered), "language"), overflow="ellipsis", no_wrap=True
    )
    for name, number in (
        ("read", everything.read),
        ("accepted", everything.accepted),
        ("rejected", everything.rejected),
    ):
        table.add_column(name, footer=f"{number:,}", justify="right", no_wrap=True)
    table.add_column("commonest reason", footer=_reason(everything), overflow="fold")
    for count in ordered:
        table.add_row(
            count.language,
            Text(language_name(count.language)),
            f"{count.read:,}",
            f"{count.accepted:,}",
            f"{count.rejected:,}",
            _reason(count),
            style="" if count.accepted else "red",
        )
    return table


def _reason(count: LanguageCounts) -> Text:
    reason = count.commonest_reason
    if reason is None:
        return Text("")
    return Text(f"{reason} {count.reasons[reason]:,}")


def _languages_in(counts: Sequence[LanguageCounts]) -> int:
    return sum(count.language != UNDETERMINED for count in counts)


def _check_line(everything: LanguageCounts) -> Text:
    told = "a source breaks off" if TRUNCATED in everything.reasons else "no row was lost"
    return Text(
        f"{everything.read:,} read = {everything.accepted:,} accepted + {everything.rejected:,} rejected: "
        f"{told}."
    )


def _of_questions(everything: LanguageCounts) -> Text:
    rows = counted(everything.read, "row")
    return Text(f"\n{rows} with English answers have questions in other languages, by that of the question:")


def _coverage(ordered: Sequence[LanguageCounts]) -> Text:
    without = [
        language_name(count.language)
        for count in ordered
        if not count.accepted and count.language != UNDETERMINED
    ]
    asked = _languages_in(ordered)
    if len(without) == asked:
        return Text("No row was accepted.", style="red")
    if not without:
        return Text(
            f"All {asked} languages have accepted rows."
            if asked > 1
            else "The one language has accepted rows."
        )
    return Text(
        f"{asked - len(without)} of {asked} languages have accepted rows; "
        f"none: {', '.join(sorted(without))}.",
        style="red",
    )


def _next(ordered: Sequence[LanguageCounts], directory: str | PurePath) -> list[str]:
    """Where the mix is and how to look at it."""
    path = shlex.quote(str(directory))
    lines = ["", f"The mix: {directory}"]
    if any(count.accepted for count in ordered):
        lines.append(f"Look at it:  translate-mix show {path}")
    lines.append(f"In a browser:  translate-mix report {path}")
    if any(count.rejected for count in ordered):
        lines.append(f"What was rejected, and why:  translate-mix show {path} --rejected")
    example = _example_language(ordered)
    if example is not None:
        here = f"datasets.load_dataset({str(directory)!r}, {example!r})"
        # `datasets` takes a folder far away for one of this machine, but not files.
        files = f"{directory}/{DATA}/{example}/{TRAIN}-*.parquet"
        there = f"datasets.load_dataset('parquet', data_files={files!r})"
        lines.append(f"Load it:  {there if is_url(str(directory)) else here}")
    return lines


def _example_language(ordered: Sequence[LanguageCounts]) -> str | None:
    """The language with most accepted rows, not English where another has some."""
    accepted = [count for count in ordered if count.accepted]
    best = min(accepted, key=lambda count: (count.language == ENGLISH, -count.accepted), default=None)
    return best.language if best else None


def render_thresholds(thresholds: Thresholds, path: str, console: Console) -> None:
    """The bounds for all languages, how many languages have their own, and what they cost."""
    table = Table(box=None, pad_edge=True)
    table.add_column("rule")
    for length in LENGTHS:
        table.add_column(length, justify="right")
    table.add_column("own bounds", justify="right")
    table.add_column("rejected", justify="right")
    rules = dict.fromkeys(line.rule for line in thresholds.lines)
    for rule in rules:
        lines = [line for line in thresholds.lines if line.rule == rule]
        general = {line.length: line for line in lines if line.nllb_code == ANY}
        own = [line for line in lines if line.nllb_code != ANY]
        differing = {
            line.nllb_code
            for line in own
            if line.length not in general
            or (line.min, line.max) != (general[line.length].min, general[line.length].max)
        }
        texts = sum(line.texts for line in own)
        rejected = sum(line.rejected * line.texts for line in own) / texts if texts else None
        table.add_row(
            rule,
            *(_bounds(general.get(length)) for length in LENGTHS),
            str(len(differing)),
            "-" if rejected is None else f"{rejected:.2%}",
        )
    console.print(table)
    console.print(
        f"Fitted for identification {thresholds.identification}; written to {path}.", soft_wrap=True
    )
    # From wherever it is named: paths of a recipe start at its folder.
    place = path if is_url(path) else os.path.abspath(path)
    console.print(f"Use it:  translate-mix run RECIPE --set thresholds={shlex.quote(place)}", soft_wrap=True)


def _bounds(line: Threshold | None) -> str:
    if line is None:
        return "-"
    least = "" if line.min is None else f"{line.min:.3g}"
    return least if line.max is None else f"{least}..{line.max:.3g}"
