"""Measures the filters: speed, human translations that they reject, and planted faults that they find.

Reads `ntrex.parquet` (nllb_code, line, text), `cldr_emoji_names.parquet` and `tatoeba.parquet` (nllb_code,
english, text or name) from a folder. Thresholds were fitted on NTREX lines 1-1000 and the even CLDR names
(`--part fit`); what is reported comes from NTREX lines 1001-1997, the odd CLDR names, and Tatoeba. The last
line of output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from translation.filters import Policy, TextPair, score_pairs, verdict
from translation.identification import OFFLINE, Identifier, load_identifier
from translation.languages import ENGLISH, languages

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TABLES = {"ntrex": "text", "cldr_emoji_names": "name", "tatoeba": "text"}
LANGUAGE_RULES = ("script", "copy", "english", "lid", "confusable")


@dataclass(frozen=True)
class Reference:
    """A human translation. `kind` is `sentence` (NTREX), `name` (CLDR) or `caption` (Tatoeba)."""

    kind: str
    pair: TextPair


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=DATA, help="folder of the Parquet files (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer texts: under 50 s on 2 cores")
    parser.add_argument("--part", choices=("fit", "report"), default="report")
    parser.add_argument("--identification", default=OFFLINE, help="cld, a fastText file, or a hub name")
    arguments = parser.parse_args()
    missing = [name for name in TABLES if not (arguments.data / f"{name}.parquet").is_file()]
    if missing:
        print(
            f"no {missing[0]}.parquet in {arguments.data}; give its folder with --data",
            file=sys.stderr,
        )
        return 2
    identifier = load_identifier(arguments.identification)
    references = list(_references(arguments.data, arguments.part == "fit", 8 if arguments.quick else 1))
    print(f"{len(references)} human translations, {identifier.name}")
    figures: dict[str, Any] = {"captions_per_second_per_core": _speed(references, identifier)}
    figures["false_rejection"] = _false_rejection(references, identifier)
    figures["detection"] = {
        fault: _detection(fault, references, identifier, arguments.quick) for fault in FAULTS
    }
    print(json.dumps(figures))
    return 0


def _references(folder: Path, fit: bool, stride: int) -> Iterator[Reference]:
    rows = pq.read_table(folder / "ntrex.parquet").to_pylist()
    english = {int(row["line"]): row["text"] for row in rows if row["nllb_code"] == ENGLISH}
    step = 2 if fit else stride
    for row in rows:
        line = int(row["line"])
        if row["nllb_code"] != ENGLISH and (line <= 1000) == fit and line % (5 * step) == 1:
            yield Reference("sentence", TextPair(english[line], row["text"], row["nllb_code"]))
    for kind, name, column in (("name", "cldr_emoji_names", "name"), ("caption", "tatoeba", "text")):
        if fit and kind == "caption":
            continue
        table = pq.read_table(folder / f"{name}.parquet").to_pylist()
        for index, row in enumerate(table):
            if row["nllb_code"] == ENGLISH or row["nllb_code"] not in languages():
                continue
            if index % (2 * stride) == (0 if fit else 1):
                yield Reference(kind, TextPair(row["english"], row[column], row["nllb_code"]))


def _speed(references: Sequence[Reference], identifier: Identifier) -> float:
    """Tatoeba's short sentences stand for captions."""
    pairs = [reference.pair for reference in references if reference.kind == "caption"] or [
        reference.pair for reference in references
    ]
    pairs = (pairs * (1 + 4000 // len(pairs)))[:20_000]
    score_pairs(pairs[:200], identifier)
    start = time.process_time()
    score_pairs(pairs, identifier)
    return round(len(pairs) / (time.process_time() - start), 1)


def _rejections(pairs: Sequence[TextPair], identifier: Identifier) -> list[str | None]:
    """Per pair the name of the rule that rejects it, None if it is accepted."""
    policy = Policy()
    verdicts = (verdict(scores, policy) for scores in score_pairs(pairs, identifier))
    return [None if made.reason is None else made.reason.partition(":")[0] for made in verdicts]


def _false_rejection(references: Sequence[Reference], identifier: Identifier) -> dict[str, Any]:
    """Share of human translations that the default policy rejects: of all and per kind of text."""
    rules = _rejections([reference.pair for reference in references], identifier)
    by_kind: dict[str, list[bool]] = defaultdict(list)
    by_language: dict[str, list[bool]] = defaultdict(list)
    by_rule: dict[str, Counter[str]] = defaultdict(Counter)
    for reference, rule in zip(references, rules, strict=True):
        by_kind[reference.kind].append(rule is not None)
        by_language[f"{reference.kind} {reference.pair.language}"].append(rule is not None)
        if rule is not None:
            by_rule[reference.kind][rule] += 1
    for kind, rejected in by_kind.items():
        shares = {rule: round(count / len(rejected), 4) for rule, count in by_rule[kind].most_common()}
        print(f"{kind}: {len(rejected)} texts, {_mean(rejected)} rejected; by rule {shares}")
        worst = sorted(
            ((_mean(rejected), name) for name, rejected in by_language.items() if name.startswith(kind)),
            reverse=True,
        )
        print("  worst: " + ", ".join(f"{name.split()[1]} {share}" for share, name in worst[:12]))
    kinds = {kind: _mean(rejected) for kind, rejected in by_kind.items()}
    everything = [value for rejected in by_kind.values() for value in rejected]
    return {"all": _mean(everything), **kinds}


def _other_language(pair: TextPair, pools: dict[str, list[str]], draw: random.Random) -> TextPair | None:
    """The text becomes one in another language of the same script, not a sibling."""
    language = languages()[pair.language]
    near = [
        code
        for code in pools
        if code not in (pair.language, *language.confusable) and languages()[code].scripts == language.scripts
    ]
    return replace(pair, target=draw.choice(pools[draw.choice(near)])) if near else None


def _sibling(pair: TextPair, pools: dict[str, list[str]], draw: random.Random) -> TextPair | None:
    near = [code for code in languages()[pair.language].confusable if code in pools]
    return replace(pair, target=draw.choice(pools[draw.choice(near)])) if near else None


def _english(pair: TextPair, pools: dict[str, list[str]], draw: random.Random) -> TextPair:
    """English, and not a copy."""
    return replace(pair, target=draw.choice(pools[ENGLISH]))


def _copy(pair: TextPair, pools: dict[str, list[str]], draw: random.Random) -> TextPair:
    return replace(pair, target=pair.source)


def _loop(pair: TextPair, pools: dict[str, list[str]], draw: random.Random) -> TextPair:
    """The end of the text comes six times over: its last one to four words, at most 40 characters."""
    words = pair.target.split()
    tail = " ".join(words[-draw.randint(1, 4) :])[-40:]
    return replace(pair, target=pair.target + (" " + tail) * 6)


def _half(pair: TextPair, pools: dict[str, list[str]], draw: random.Random) -> TextPair | None:
    """The last two thirds are lost."""
    return replace(pair, target=pair.target[: len(pair.target) // 3]) if len(pair.source) > 60 else None


Planter = Callable[[TextPair, dict[str, list[str]], random.Random], TextPair | None]

FAULTS: dict[str, tuple[Planter, tuple[str, ...] | None]] = {
    "other_language": (_other_language, LANGUAGE_RULES),
    "sibling": (_sibling, LANGUAGE_RULES),
    "english": (_english, LANGUAGE_RULES),
    "copy": (_copy, LANGUAGE_RULES),
    "loop": (_loop, ("repetition",)),
    "two_thirds_lost": (_half, ("length_ratio", "sentences")),
}
"""How a fault is planted and the rules that count as finding it."""


def _detection(
    fault: str, references: Sequence[Reference], identifier: Identifier, quick: bool
) -> dict[str, float]:
    """Share of planted faults that are rejected by a rule for them, per kind of text."""
    plant, wanted = FAULTS[fault]
    shares: dict[str, float] = {}
    for kind in dict.fromkeys(reference.kind for reference in references):
        draw = random.Random(17)
        pairs = [reference.pair for reference in references if reference.kind == kind]
        pools: dict[str, list[str]] = defaultdict(list)
        for pair in pairs:
            pools[pair.language].append(pair.target)
        pools[ENGLISH] = sorted({pair.source for pair in pairs})
        sample = draw.sample(pairs, min(len(pairs), 2000 if quick else 20_000))
        planted = [made for pair in sample if (made := plant(pair, pools, draw)) is not None]
        if planted:
            found = [rule in (wanted or ()) for rule in _rejections(planted, identifier)]
            shares[kind] = _mean(found)
    print(f"{fault}: " + ", ".join(f"{kind} {share}" for kind, share in shares.items()))
    return shares


def _mean(values: Sequence[bool]) -> float:
    return round(sum(values) / len(values), 4)


if __name__ == "__main__":
    sys.exit(main())
