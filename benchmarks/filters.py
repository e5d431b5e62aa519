"""Measures the filters: speed, human translations that they reject, and planted faults that they find.

    python benchmarks/filters.py [--data DIR] [--quick] [--tux DIR] [--write docs/filters.md]

Reads the references of `evaluation.references` that no threshold was fitted on and no identifier learnt from,
by default out of `build/references`, where `python -m scripts.reference_tables` writes their tables.
`--write` puts the tables into a document, between its marks. The last line of output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from faults import FAULTS, Pool

from evaluation.references import FIT, PARTS, REPORT, Reference, references
from translation.engine import Engine
from translation.filters import Policy, TextPair, load_thresholds, score_pairs, verdicts
from translation.filters.pairs import Batch
from translation.filters.scoring import FILTERS
from translation.filters.thresholds import LENGTHS, length_class
from translation.identification import OFFLINE, Identifier, load_identifier
from translation.languages import ENGLISH, default_languages, languages
from translation.model import SMALL, model_directory
from translation.translations import Request

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = REPOSITORY / "build" / "references"
if not DATA.is_dir() and (REPOSITORY.parent / "shared" / "data").is_dir():
    DATA = REPOSITORY.parent / "shared" / "data"  # tables that several checkouts share
CHUNK = 512
"""Texts scored at once, as in the pipeline."""
SEED = 17
LEAST = 50
"""References of a language and length whose share says something."""
START, END = "<!-- measured -->", "<!-- end -->"


@dataclass(frozen=True)
class Judge:
    """What decides: an identifier and thresholds."""

    identifier: Identifier
    policy: Policy
    thresholds: Any

    def rules(self, pairs: Sequence[TextPair]) -> list[str | None]:
        """Per pair the rule that rejects it, None if it is accepted."""
        found: list[str | None] = []
        for start in range(0, len(pairs), CHUNK):
            table = score_pairs(pairs[start : start + CHUNK], self.identifier)
            made = verdicts(table, self.policy, self.thresholds)
            found += [one.reason and one.reason.partition(":")[0] for one in made]
        return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the tables (default: %(default)s)")
    parser.add_argument("--tux", type=Path, metavar="DIR", help="folder of the Tux Paint stamps")
    parser.add_argument("--quick", action="store_true", help="fewer texts: under 50 s on 2 cores")
    parser.add_argument("--part", choices=(FIT, REPORT), default=REPORT)
    parser.add_argument("--identification", default=OFFLINE, help="a spec as in recipes")
    parser.add_argument("--thresholds", type=Path, metavar="FILE")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="put the tables into this document")
    arguments = parser.parse_args()
    try:
        found = list(references(arguments.data, arguments.part, arguments.tux))
    except FileNotFoundError as error:
        print(f"{error}; or give another folder with --data", file=sys.stderr)
        return 2
    judge = Judge(load_identifier(arguments.identification), Policy(), load_thresholds(arguments.thresholds))
    if arguments.quick:
        found = found[::8]
    stamps = [one for one in found if one.origin == "tux"]
    found = [one for one in found if one.origin != "tux"]
    by_length = _by_length(found)
    document = [
        f"{len(found):,} references, identification {judge.identifier.name},"
        f" thresholds {judge.thresholds.digest}."
    ]
    speed, speed_table = _speed(by_length["caption"], judge)
    rejection, rejection_tables = _false_rejection(by_length, stamps, judge)
    detection, detection_table = _detection(by_length, found, judge, 1500 if arguments.quick else 20_000)
    swapped, swapped_text = _swapped_answers(arguments.data, judge, 600 if arguments.quick else 4000)
    detection["answer_swapped"] = {"answer": swapped["found"]}
    for part in (rejection_tables, detection_table, [swapped_text], speed_table):
        document += ["", *part]
    print("\n".join(document))
    if arguments.write:
        _write(arguments.write, document)
    figures = {**speed, "false_rejection": rejection, "detection": detection, "answers_round_trip": swapped}
    print(json.dumps(figures))
    return 0


def _by_length(found: Iterable[Reference]) -> dict[str, list[Reference]]:
    parts: dict[str, list[Reference]] = {length: [] for length in LENGTHS}
    found = list(found)
    words = Batch([one.pair for one in found]).words
    for one, index in zip(found, length_class(words), strict=True):
        parts[LENGTHS[index]].append(one)
    return parts


def _speed(captions: Sequence[Reference], judge: Judge) -> tuple[dict[str, Any], list[str]]:
    pairs = [one.pair for one in captions if one.origin == "tatoeba"]
    pairs = (pairs * (1 + 8000 // len(pairs)))[:20_000]
    chunks = [pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK)]

    def seconds(work: Callable[[Sequence[TextPair]], object]) -> float:
        """Of CPU time, the best of three."""
        taken = []
        for _ in range(3):
            start = time.process_time()
            for chunk in chunks:
                work(chunk)
            taken.append(time.process_time() - start)
        return min(taken)

    def everything(chunk: Sequence[TextPair]) -> object:
        return verdicts(score_pairs(chunk, judge.identifier), judge.policy, judge.thresholds)

    whole = seconds(everything)
    rate = len(pairs) / whole
    shares = {}
    for name, work in FILTERS.items():
        batches = iter([Batch(chunk) for _ in range(3) for chunk in chunks])
        shares[name] = (
            seconds(lambda chunk, work=work, batches=batches: work(next(batches), judge.identifier)) / whole
        )
    texts = [[pair.target for pair in chunk] for chunk in chunks]
    bare = getattr(judge.identifier, "bare", None)
    figures: dict[str, Any] = {"captions_per_second_per_core": round(rate)}
    if bare is not None:
        ours = min(_time(judge.identifier.identify, texts) for _ in range(3))
        theirs = min(_time(bare, texts) for _ in range(3))
        figures["lid_vs_fasttext"] = round(theirs / ours, 3)
    table = [
        f"All filters but round trip and trained judges: {rate:,.0f} captions a second per core"
        f" ({sum(len(pair.target) for pair in pairs) / len(pairs):.0f} characters each).",
        "",
        "| filter | share of the time |",
        "|---|---|",
        *(f"| {name} | {share:.0%} |" for name, share in sorted(shares.items(), key=lambda item: -item[1])),
    ]
    return figures, table


def _time(work: Callable[[list[str]], object], chunks: Sequence[list[str]]) -> float:
    start = time.process_time()
    for chunk in chunks:
        work(chunk)
    return time.process_time() - start


def _rejected(name: str, pairs: Sequence[TextPair], rules: Sequence[str | None]) -> tuple[float, str]:
    """The share of good translations that are rejected, and their line of the table."""
    by_rule = Counter(rule for rule in rules if rule)
    share = by_rule.total() / len(pairs)
    told = ", ".join(f"{rule} {count / len(pairs):.2%}" for rule, count in by_rule.most_common(6))
    languages = len({one.language for one in pairs})
    return round(share, 5), f"| {name} | {len(pairs):,} | {languages} | {share:.2%} | {told} |"


def _false_rejection(
    by_length: dict[str, list[Reference]], stamps: Sequence[Reference], judge: Judge
) -> tuple[dict[str, Any], list[str]]:
    """Shares of human translations that are rejected: of all, by length, by language."""
    shares: dict[str, dict[str, tuple[float, int]]] = {}
    figures: dict[str, Any] = {}
    rows = []
    total = Counter[str]()
    for length, found in by_length.items():
        rules = judge.rules([one.pair for one in found])
        counts: dict[str, list[bool]] = defaultdict(list)
        for one, rule in zip(found, rules, strict=True):
            counts[one.pair.language].append(rule is not None)
        shares[length] = {code: (_mean(values), len(values)) for code, values in counts.items()}
        total.update(texts=len(found), rejected=sum(rule is not None for rule in rules))
        figures[length], row = _rejected(length, [one.pair for one in found], rules)
        rows.append(row)
    figures = {"all": round(total["rejected"] / total["texts"], 5), **figures}
    uncased = [
        replace(one.pair, source=one.pair.source.lower())
        for length in ("answer", "caption")
        for one in by_length[length]
        if one.pair.source != one.pair.source.lower()
    ]
    for figure, name, pairs in (
        ("english_in_lower_case", "(answers and captions, their English in lower case)", uncased),
        ("tux", "(Tux Paint, free)", [one.pair for one in stamps]),
    ):
        if pairs:
            figures[figure], row = _rejected(name, pairs, judge.rules(pairs))
            rows.append(row)
    worst = max(
        (share, code, length)
        for length, by in shares.items()
        for code, (share, texts) in by.items()
        if texts >= LEAST
    )
    figures["worst"] = {"language": worst[1], "length": worst[2], "share": worst[0]}
    codes = [language.nllb for language in default_languages() if not language.english]
    table = [
        "### Human translations that are rejected",
        "",
        "| length | references | languages | rejected | by rule |",
        "|---|---|---|---|---|",
        *rows,
        f"| all | {total['texts']:,} | | {figures['all']:.2%} | |",
        "",
        f"Worst language: {languages()[worst[1]].name} ({worst[2]}), {worst[0]:.1%}. In brackets: number of"
        f" references; a dash: fewer than {LEAST}.",
        "",
        "| language | answers | captions | sentences |",
        "|---|---|---|---|",
        *(
            f"| {languages()[code].name} (`{code}`) | "
            + " | ".join(_cell(shares[length].get(code)) for length in LENGTHS)
            + " |"
            for code in codes
        ),
    ]
    without = {
        length: [code for code in codes if shares[length].get(code, (0.0, 0))[1] < LEAST]
        for length in LENGTHS
    }
    table += [
        "",
        *(
            f"Without enough {length} references: {', '.join(missing) or 'none'}."
            for length, missing in without.items()
        ),
    ]
    return figures, table


def _cell(share: tuple[float, int] | None) -> str:
    return "–" if share is None or share[1] < LEAST else f"{share[0]:.1%} ({share[1]})"


def _detection(
    by_length: dict[str, list[Reference]], found: Sequence[Reference], judge: Judge, most: int
) -> tuple[dict[str, Any], list[str]]:
    """Shares of planted faults that are rejected, by whatever rule."""
    by_text: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for one in found:
        by_text[one.origin, one.number][one.pair.language] = one.pair.target
    figures: dict[str, Any] = {}
    rows = []
    for fault, (told, plant) in FAULTS.items():
        cells = []
        rules: Counter[str] = Counter()
        for length, own in by_length.items():
            by_language: dict[str, list[Reference]] = defaultdict(list)
            for one in own:
                by_language[one.pair.language].append(one)
            pool = Pool(by_text, by_language)
            draw = random.Random(f"{SEED} {fault} {length}")
            sample = list(_evenly(by_language, most, draw))
            planted = [made for one in sample if (made := plant(one, pool, draw)) is not None]
            if len(planted) < LEAST:
                cells.append("–")
                continue
            broken = judge.rules(planted)
            rules.update(rule for rule in broken if rule)
            share = _mean([rule is not None for rule in broken])
            figures.setdefault(fault, {})[length] = share
            cells.append(f"{share:.2%} ({len(planted):,})")
        most_by = ", ".join(rule for rule, _ in rules.most_common(3))
        rows.append(f"| {told} | {' | '.join(cells)} | {most_by} |")
    table = [
        "### Planted faults that are rejected",
        "",
        "| fault | in answers | in captions | in sentences | mostly by |",
        "|---|---|---|---|---|",
        *rows,
    ]
    return figures, table


def _evenly(by_language: dict[str, list[Reference]], most: int, draw: random.Random) -> Iterator[Reference]:
    """About the same number of every language, `most` in all."""
    quota = max(1, most // len(by_language))
    for code in sorted(by_language):
        own = by_language[code]
        yield from draw.sample(own, min(len(own), quota))


def _swapped_answers(data: Path, judge: Judge, most: int) -> tuple[dict[str, Any], str]:
    """Round trips of names that the small model knows: of the human translation, and of another name's.

    No threshold is fitted here, so the names may be of any part.
    """
    engine = Engine(model_directory(SMALL), device="cpu")
    captions = json.loads(files("pipelines").joinpath("sample", "captions.json").read_text(encoding="utf-8"))
    names = {annotation["caption"].casefold() for annotation in captions["annotations"]}
    known = [
        one
        for part in PARTS
        for one in references(data, part)
        if one.origin == "cldr" and one.pair.source.casefold() in names and engine.supports(one.pair.language)
    ]
    draw = random.Random(SEED)
    chosen = draw.sample(known, min(most, len(known)))
    by_language: dict[str, list[Reference]] = defaultdict(list)
    for one in known:
        by_language[one.pair.language].append(one)
    swapped = []
    for one in chosen:
        other = draw.choice(by_language[one.pair.language]).pair
        if other.source != one.pair.source and other.target != one.pair.target:
            swapped.append(TextPair(one.pair.source, other.target, one.pair.language))
    shares = {}
    for name, pairs in (("rejected", [one.pair for one in chosen]), ("found", swapped)):
        back = engine.translate([Request(pair.target, pair.language, ENGLISH) for pair in pairs])
        judged = judge.rules(
            [TextPair(p.source, p.target, p.language, None, b.text) for p, b in zip(pairs, back, strict=True)]
        )
        shares[name] = _mean([rule == "round_trip_exact" for rule in judged])
    text = (
        "Answers swapped for another one of the language, with a round trip through the small model, on names"
        f" that it knows: {shares['found']:.1%} of {len(swapped):,} found, while {shares['rejected']:.1%} of"
        " the human translations do not come back as they were."
    )
    return shares, text


def _write(path: Path, lines: Sequence[str]) -> None:
    content = path.read_text(encoding="utf-8")
    before, start, rest = content.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise SystemExit(f"{path}: no marks {START} and {END} to write between")
    path.write_text(f"{before}{START}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")


def _mean(values: Sequence[bool]) -> float:
    return round(sum(values) / len(values), 5)


if __name__ == "__main__":
    sys.exit(main())
