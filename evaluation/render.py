"""Results for people: Markdown and HTML tables, and bars by language with their intervals."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape

from evaluation.bars import Bar, bars
from evaluation.compare import OVERALL, Comparison, Difference
from evaluation.intervals import LEVEL, Interval
from evaluation.predictions import described
from evaluation.results import Result
from evaluation.scores import MACRO, Estimate, Scores
from translation.languages import languages

_GROUPS: Mapping[str, str] = {
    "high": "mean, high-resource",
    "middle": "mean, middle",
    "low": "mean, low-resource",
    "none": "mean, outside mC4",
    MACRO: "mean without English",
    OVERALL: "all items",
}
"""How rows that are no languages are named."""

_SIGNIFICANT = 0.05
_NOTHING = "–"

Table = list[list[str]]
"""Rows of cells, the header first."""


def markdown(result: Result) -> str:
    """A result as Markdown: numbers by language with intervals, problems, signatures."""
    return as_markdown(_title(result), _table(result), _problems(result), _facts(result))


def text(result: Result) -> str:
    """The same for a terminal: columns in line, nothing escaped."""
    return as_text(_title(result), _table(result), _problems(result), _facts(result))


def html(result: Result) -> str:
    """A result as one self-contained HTML page: the table, and a plot of each metric by language."""
    plots = []
    for one in result.metrics:
        lines = [Bar(row_name(name), at.value, at.low, at.high) for name, at in rows_of(one).items()]
        plots.append((one.name, bars(lines, f"{one.name} by language")))
    return as_html(_title(result), _table(result), plots, _problems(result), _facts(result))


def svg(result: Result) -> str:
    """The first metric of a result by language, as an SVG file of its own."""
    one = result.metrics[0]
    lines = [Bar(row_name(name), at.value, at.low, at.high) for name, at in rows_of(one).items()]
    plot = bars(lines, f"{_title(result)}, {one.name} by language")
    # Outside of a page nothing says what the plot looks like.
    return plot.replace("</title>", f"</title><style>{_COLOURS}{_PLOT}</style>", 1)


def comparison_markdown(comparison: Comparison) -> str:
    """Two results side by side as Markdown: both values, the difference with its interval, and p."""
    title, table = _versus(comparison), _differences(comparison)
    return as_markdown(title, table, _cautions(comparison), _comparison_facts(comparison))


def comparison_text(comparison: Comparison) -> str:
    """The same for a terminal."""
    title, table = _versus(comparison), _differences(comparison)
    return as_text(title, table, _cautions(comparison), _comparison_facts(comparison))


def comparison_html(comparison: Comparison) -> str:
    """Two results side by side as one self-contained HTML page, with a plot of the differences."""
    plots = []
    for one in comparison.metrics:
        shown = {**one.languages, **one.groups}
        lines = [Bar(row_name(name), at.difference, *_ends(at.interval)) for name, at in shown.items()]
        plots.append((one.name, bars(lines, f"{one.name}: second minus first")))
    title, table = _versus(comparison), _differences(comparison)
    return as_html(title, table, plots, _cautions(comparison), _comparison_facts(comparison))


def _table(result: Result) -> Table:
    table = [["", "items", *(one.name for one in result.metrics)]]
    columns = [rows_of(one) for one in result.metrics]
    for name in columns[0] if columns else ():
        found = [column[name] for column in columns]
        table.append([row_name(name), f"{found[0].items:,}", *map(shown, found)])
    return table


def rows_of(scores: Scores) -> dict[str, Estimate]:
    """All numbers of a metric by language or group, in the order of the table."""
    return {**scores.languages, **scores.tiers, MACRO: scores.macro, OVERALL: scores.overall}


def _differences(comparison: Comparison) -> Table:
    table = [["", "items", "", "first", "second", "difference", "p"]]
    for metric in comparison.metrics:
        for name, found in (*metric.languages.items(), *metric.groups.items()):
            mark = " *" if found.p is not None and found.p < _SIGNIFICANT else ""
            cells = (_number(found.first), _number(found.second), _difference(found))
            p = _probability(found.p) + mark
            table.append([row_name(name), f"{found.items:,}", metric.name, *cells, p])
    return table


def row_name(name: str) -> str:
    """How a language (NLLB code) or a group of languages is named in a table."""
    if name in _GROUPS:
        return _GROUPS[name]
    known = languages().get(name)
    return f"{known.name} ({name})" if known else name


def shown(estimate: Estimate) -> str:
    """A number with its interval as a cell."""
    if estimate.value is None:
        return _NOTHING
    if estimate.low is None or estimate.high is None:
        return _number(estimate.value)
    return f"{_number(estimate.value)} ({_number(estimate.low)} to {_number(estimate.high)})"


def _difference(found: Difference) -> str:
    if found.difference is None:
        return _NOTHING
    low, high = _ends(found.interval)
    if low is None or high is None:
        return f"{found.difference:+.1f}"
    return f"{found.difference:+.1f} ({low:+.1f} to {high:+.1f})"


def _ends(found: Interval | None) -> tuple[float | None, float | None]:
    return (None, None) if found is None else (found.low, found.high)


def _number(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.1f}"


def _probability(p: float | None) -> str:
    if p is None:
        return _NOTHING
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _title(result: Result) -> str:
    known = result.provenance
    return f"{known.task}: {known.checkpoint}" if known.checkpoint else known.task


def _versus(comparison: Comparison) -> str:
    first, second = (one.provenance.checkpoint or "unnamed" for one in (comparison.first, comparison.second))
    return f"{comparison.first.provenance.task}: {first} (first) and {second} (second)"


def _problems(result: Result) -> list[str]:
    return [f"{result.items:,} items scored, of {result.lines:,} lines", *map(described, result.problems)]


def _cautions(comparison: Comparison) -> list[str]:
    found = [f"{comparison.items:,} items that both results have"]
    for count, where in ((comparison.only_first, "first"), (comparison.only_second, "second")):
        if count:
            found.append(f"{count:,} items that only the {where} has; left out")
    for result, where in ((comparison.first, "first"), (comparison.second, "second")):
        found += [f"{where}: {described(problem)}" for problem in result.problems]
    return [*found, *comparison.warnings]


def _facts(result: Result) -> list[str]:
    """What reproduces the numbers."""
    known = result.provenance
    lines = [f"{one.name}: {one.signature}" for one in result.metrics]
    drawing = f"{result.resamples} resamples, seed {result.seed}"
    lines.append(f"intervals: {LEVEL:.0%} percentile bootstrap over units, {drawing}")
    digests = {
        "task": known.task_digest,
        "data": known.data_digest,
        "asked": known.asked_digest,
        "checkpoint": known.checkpoint_digest,
        "predictions": result.predictions_digest,
        "references": result.references_digest,
    }
    lines += [f"{name} sha256: {digest or 'not known'}" for name, digest in digests.items()]
    settings = "not known" if known.generation is None else json.dumps(known.generation, ensure_ascii=False)
    lines.append(f"generation: {settings}")
    if known.generated_with:
        libraries = ", ".join(f"{name} {version}" for name, version in known.generated_with.items())
        lines.append(f"generated with: {libraries}")
    lines.append("versions: " + ", ".join(f"{name} {version}" for name, version in result.versions.items()))
    return lines


def _comparison_facts(comparison: Comparison) -> list[str]:
    return [
        *(f"{one.name}: {one.signature}" for one in comparison.metrics),
        "p: approximate randomisation over units, two-sided, of languages adjusted for their number (Holm),"
        f" {comparison.randomisations} times; * below {_SIGNIFICANT}",
        f"intervals: {LEVEL:.0%} percentile, paired bootstrap over units, {comparison.resamples} resamples",
        f"seed {comparison.seed}",
    ]


def as_markdown(title: str, table: Table, notes: Sequence[str], facts: Sequence[str]) -> str:
    """A document of a table, of notes, and of facts that reproduce the numbers."""
    align = ["---", *("---:" for _ in table[0][1:])]
    lines = [f"| {' | '.join(row)} |" for row in (table[0], align, *table[1:])]
    parts = [f"# {_inline(title)}", "\n".join(lines)]
    parts.append("\n".join(f"- {_inline(note)}" for note in notes))
    parts.append("\n".join(f"- `{fact}`" for fact in facts))
    return "\n\n".join(parts) + "\n"


def as_text(title: str, table: Table, notes: Sequence[str], facts: Sequence[str]) -> str:
    """The same for a terminal: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join((row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:]))).rstrip() for row in table
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n\n".join((title, "\n".join(lines), "\n".join(notes), "\n".join(facts))) + "\n"


def _inline(text: str) -> str:
    """Text as Markdown that shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", " ".join(text.split()))


_COLOURS = "\n:root { --bar: #4a78b5; --line: #8888; }"

_PLOT = """
svg.bars { max-width: 46rem; font-size: 12px; fill: currentColor; }
svg.bars rect { fill: var(--bar); }
svg.bars .tick { stroke: var(--line); stroke-width: .5; }
svg.bars .zero, svg.bars .interval { stroke: currentColor; fill: none; }
svg.bars text.tick { stroke: none; text-anchor: middle; }
svg.bars .name { text-anchor: end; }
"""

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; }
.facts { font-family: ui-monospace, monospace; font-size: 12px; overflow-wrap: anywhere; }
"""


def as_html(
    title: str,
    table: Table,
    plots: Sequence[tuple[str, str]],
    notes: Sequence[str],
    facts: Sequence[str],
) -> str:
    """The same as one self-contained HTML page, with plots as (heading, SVG)."""
    header = "".join(f"<th>{escape(cell)}</th>" for cell in table[0])
    rows = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in table[1:])
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_COLOURS}{_STYLE}{_PLOT}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            _listed(notes),
            f'<div class="wide"><table><thead><tr>{header}</tr></thead><tbody>',
            *(f"<tr>{row}</tr>" for row in rows),
            "</tbody></table></div>",
            *(f"<h2>{escape(name)}</h2>\n{plot}" for name, plot in plots),
            f'<h2>What reproduces this</h2><div class="facts">{_listed(facts)}</div>',
            "</body></html>\n",
        )
    )


def _listed(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
