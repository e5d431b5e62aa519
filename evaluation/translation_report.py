"""Several systems measured on one reference set: the numbers, the best system of each language, the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table as RichTable

from evaluation.bars import Bar, bars
from evaluation.corpus import PiecesError, spbleu
from evaluation.intervals import LEVEL, RESAMPLES, SEED
from evaluation.predictions import described
from evaluation.reference_sets import LAST_FITTED_LINE, NTREX, ReferenceSet
from evaluation.render import Table, as_html, as_markdown, row_name, rows_of, shown
from evaluation.results import ItemScores, Result, ResultError, write_file, write_result
from evaluation.scores import MACRO, Estimate
from evaluation.systems import COPY, Advance, Output, prediction_lines, speeds
from evaluation.tiers import TIERS
from evaluation.translations import KEPT, Best, best_by_language, measure, steps
from translation.identification import Identifier
from translation.quality.model import QualityModel

FORMAT = 1

_ALL = "all"
"""Of `texts_per_second`, beside the languages."""


@dataclass(frozen=True)
class System:
    """The numbers of one system."""

    name: str
    result: Result
    texts_per_second: Mapping[str, float]
    """By NLLB code, and of `all`; empty if it was not timed."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """The content of a file of `translate-mix evaluate`."""

    format: int
    references: str
    references_digest: str
    lines: tuple[int, int]
    """The first and the last that was measured."""
    left_out: tuple[str, ...]
    """Of the reference set."""
    systems: tuple[System, ...]
    """In the order that they were named in; the copy of the source comes last."""
    best: Mapping[str, Best]
    """By NLLB code, where two systems or more have translated into it."""
    notes: tuple[str, ...]


class Measuring:
    """Takes the outputs of systems one by one, and measures each when it comes."""

    def __init__(
        self,
        references: ReferenceSet,
        identifier: Identifier,
        *,
        pieces: Path | None = None,
        judge: QualityModel | None = None,
        resamples: int = RESAMPLES,
        seed: int = SEED,
    ) -> None:
        """
        Args:
            identifier: for fidelity and for the filters.
            pieces: a SentencePiece model for spBLEU; FLORES-200's by default, without which spBLEU is left
                out and the notes say so.
            judge: a reference-free model of `translation.quality` to ask too.

        Raises:
            PiecesError: `pieces` is no SentencePiece model.
        """
        self.references = references
        self._identifier, self._judge = identifier, judge
        self._resamples, self._seed = resamples, seed
        self._pieces, self._spbleu = pieces, True
        self._notes: list[str] = []
        try:
            spbleu((), pieces)
        except PiecesError as error:
            if pieces is not None:
                raise
            self._spbleu = False
            self._notes.append(f"left out: {error}")
        if references.layout == NTREX and references.texts[0].line <= LAST_FITTED_LINE:
            self._notes.append(
                f"the thresholds that ship were fitted on lines 1-{LAST_FITTED_LINE} of NTREX, so `{KEPT}` "
                "is no fair figure of them there"
            )
        self._systems: list[System] = []
        self._outputs: list[tuple[Output, ItemScores]] = []
        self._names: dict[str, str] = {}

    def keep(self, path: Path, output: Output) -> Path:
        """Writes what a system made as `FILE.SYSTEM.jsonl`, before it is measured.

        Raises:
            ResultError: the file cannot be written.
        """
        own = self._own(path, output.system).with_suffix(".jsonl")
        write_file(own, b"".join(prediction_lines(output)))
        return own

    def _own(self, path: Path, system: str) -> Path:
        """`FILE.SYSTEM.json`; of two names that look alike in a file's name the second gets a number."""
        if system not in self._names:
            name = _file_name(system)
            taken = name in self._names.values()
            self._names[system] = f"{name}.{len(self._names) + 1}" if taken else name
        return path.with_name(f"{path.name.removesuffix('.json')}.{self._names[system]}.json")

    def steps(self, output: Output) -> int:
        """How many texts `add` tells of, one for each time that it goes through it."""
        return len(output.texts) * steps(self._spbleu, self._judge)

    def add(self, output: Output, advance: Advance = lambda texts: None) -> None:
        """Measures what a system made.

        Raises:
            ValueError: a system of this name was measured already.
        """
        if any(system.name == output.system for system in self._systems):
            raise ValueError(f"{output.system} is named twice")
        result, items = measure(
            output,
            self.references,
            self._identifier,
            pieces=self._pieces,
            with_pieces=self._spbleu,
            judge=self._judge,
            resamples=self._resamples,
            seed=self._seed,
            advance=advance,
        )
        problems = tuple(map(described, result.problems))
        self._systems.append(System(output.system, result, speeds(output), (*output.notes, *problems)))
        self._outputs.append((output, items))

    def measured(self) -> Measured:
        """All that was found."""
        rivals = {output.system: items for output, items in self._outputs if output.system != COPY}
        lines = [text.line for text in self.references.texts]
        notes = list(self._notes)
        if len({frozenset(scores.result.metrics[0].languages) for scores in self._systems}) > 1:
            notes.append("systems have translated into different languages; their means are over their own")
        if len({scores.result.items for scores in self._systems}) > 1:
            notes.append("systems have translated different texts; `best` compares those that all have")
        return Measured(
            FORMAT,
            self.references.name,
            self.references.digest,
            (min(lines), max(lines)),
            self.references.left_out,
            tuple(self._systems),
            best_by_language(rivals, self._resamples, self._seed),
            tuple(notes),
        )

    def write(self, path: Path, measured: Measured) -> list[Path]:
        """Writes `FILE.json`, `.md` and `.html`; beside them each system's result file and translations.

        Those are `FILE.SYSTEM.json` with its items' scores, which `realign compare` takes, and
        `FILE.SYSTEM.jsonl`, which can be scored again. Returns all but the items' scores.

        Raises:
            ResultError: a file cannot be written.
        """
        stem = path.name.removesuffix(".json")
        written: list[Path] = []
        for system, (output, items) in zip(measured.systems, self._outputs, strict=True):
            own = self._own(path, system.name)
            write_result(own, system.result, items)
            written.append(own)
            written.append(self.keep(path, output))
        for suffix, text in ((".md", markdown(measured)), (".html", html(measured))):
            write_file(path.with_name(stem + suffix), text.encode())
            written.append(path.with_name(stem + suffix))
        write_file(path, msgspec.json.format(msgspec.json.encode(measured), indent=1) + b"\n")
        return [*written, path]


def read_measured(path: Path) -> Measured:
    """The content of `FILE.json`.

    Raises:
        ResultError: it cannot be read, or is no such file.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Measured)
    except OSError as error:
        raise ResultError(f"{path}: cannot be read ({error.strerror})") from error
    except msgspec.MsgspecError as error:
        raise ResultError(f"{path}: not written by `translate-mix evaluate` ({error})") from error


def render(measured: Measured, console: Console) -> None:
    """Prints the table, one row a language and system, and what must be known of it."""
    head, *rows = _table(measured, brief=True)
    table = RichTable(box=None)
    for place, name in enumerate(head):
        # Paths of systems give way to names of languages.
        least = max(len(row[0]) for row in (head, *rows)) if place == 0 else None
        table.add_column(name, justify="left" if place < 2 else "right", no_wrap=place < 2, min_width=least)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for note in _remarks(measured):
        console.print(note, soft_wrap=True)


def markdown(measured: Measured) -> str:
    """The numbers as Markdown."""
    return as_markdown(_title(measured), _table(measured), _remarks(measured), _facts(measured))


def html(measured: Measured) -> str:
    """The numbers as one self-contained HTML page, with a plot of each system's chrF++ by language."""
    plots = []
    for system in measured.systems:
        own = rows_of(system.result.metrics[0])
        lines = [Bar(row_name(name), at.value, at.low, at.high) for name, at in own.items()]
        name = f"{system.result.metrics[0].name} of {system.name}"
        plots.append((name, bars(lines, f"{name} by language")))
    return as_html(_title(measured), _table(measured), plots, _remarks(measured), _facts(measured))


def _table(measured: Measured, brief: bool = False) -> Table:
    """Rows of languages and groups by system; `brief` leaves out tiers, and all intervals but chrF++'s."""
    metrics = list(dict.fromkeys(one.name for system in measured.systems for one in system.result.metrics))
    metrics = [name for name in metrics if name not in _FOR_FILES]
    codes = dict.fromkeys(code for system in measured.systems for code in system.result.metrics[0].languages)
    table = [["language", "system", "texts", *metrics, "texts/s"]]
    for name in (*codes, *(() if brief else TIERS), MACRO):
        there = [row for system in measured.systems if (row := _of_system(measured, system, name, brief))]
        for place, (system_name, texts, cells, speed) in enumerate(there):
            known = [cells.get(metric, "") for metric in metrics]
            table.append(["" if place else row_name(name), system_name, texts, *known, speed])
    return table


def _of_system(
    measured: Measured, system: System, name: str, brief: bool
) -> tuple[str, str, dict[str, str], str] | None:
    """System, texts, cells by metric and speed in the row of a language or group; None if it has none."""
    found = {one.name: rows_of(one).get(name) for one in system.result.metrics}
    ranked = found[_FIRST]
    if ranked is None or not ranked.items:
        return None
    cells = {metric: _cell(one, brief and metric != _FIRST) for metric, one in found.items()}
    cells[_FIRST] += _mark(measured, name, system.name)
    speed = system.texts_per_second.get(_ALL if name == MACRO else name)
    return system.name, f"{ranked.items:,}", cells, "" if speed is None else f"{speed:,.1f}"


_FOR_FILES = frozenset({"fidelity.strict", "fidelity.judged"})
"""Measures that the result files have and the table has no room for."""

_FIRST = "chrf++"
"""What systems are ranked by."""


def _cell(estimate: Estimate | None, bare: bool) -> str:
    if estimate is None:
        return ""
    return shown(replace(estimate, low=None, high=None) if bare else estimate)


def _mark(measured: Measured, language: str, system: str) -> str:
    best = measured.best.get(language)
    if best is None or best.system != system:
        return ""
    return " **" if best.low is not None and best.low > 0 else " *"


def _title(measured: Measured) -> str:
    first, last = measured.lines
    return f"Translations of {measured.references}, lines {first}-{last}"


def _remarks(measured: Measured) -> list[str]:
    found = [f"{measured.references}: {what}" for what in measured.left_out]
    found += [f"{system.name}: {note}" for system in measured.systems for note in system.notes]
    found += measured.notes
    if measured.best:
        wins: dict[str, int] = {}
        for best in measured.best.values():
            wins[best.system] = wins.get(best.system, 0) + 1
        told = ", ".join(f"{name} in {count:,}" for name, count in sorted(wins.items(), key=lambda w: -w[1]))
        found.append(
            f"highest chrF++: {told} of {len(measured.best):,} languages (*; ** where the {LEVEL:.0%} "
            "interval of the lead over the next one is above 0)"
        )
    return found


def _facts(measured: Measured) -> list[str]:
    result = measured.systems[0].result
    lines = [f"references sha256: {measured.references_digest}"]
    for system in measured.systems:
        known = system.result.provenance
        settings = "not known" if known.generation is None else msgspec.json.encode(known.generation).decode()
        lines.append(
            f"{system.name}: digest {known.checkpoint_digest or 'none'}, translations sha256 "
            f"{system.result.predictions_digest}, settings {settings}"
        )
    signatures = dict.fromkeys(
        f"{one.name}: {one.signature}" for system in measured.systems for one in system.result.metrics
    )
    lines += signatures
    drawing = f"{result.resamples} resamples, seed {result.seed}"
    lines.append(f"intervals: {LEVEL:.0%} percentile bootstrap over texts, {drawing}")
    lines.append("versions: " + ", ".join(f"{name} {version}" for name, version in result.versions.items()))
    return lines


def _file_name(system: str) -> str:
    """Of a path or a phrase, what can stand in the name of a file."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in system)
    return kept.strip("-.") or "system"
