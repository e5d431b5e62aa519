"""Measures a small model with the engine that users run: every figure of its card.

    python -m scripts.small_model.measure MODEL --data build/small-model/data/pairs.parquet \\
        --references DIR --output build/small-model/measured

Held-out CLDR names, interface strings and sentences, the captions of the Tux Paint stamps (a Debian package,
GPL-2: read here and kept nowhere) and NTREX lines 1001-1997 (`ntrex.parquet` of
`scripts/reference_tables.py`, in `--references`), in both directions, against copying the source; and whether
trained names come back. No text is judged whose English was trained on. Writes `OUTPUT.json` and `OUTPUT.md`;
the last line of standard output is the JSON's means.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

import pyarrow.parquet as pq
from sacrebleu.metrics.chrf import CHRF

from evaluation.references import REPORT, ntrex
from scripts.miniature import stamps
from scripts.small_model.cleaning import key_of
from scripts.small_model.data import HELD_OUT, TRAIN
from translation.decoder import Threads
from translation.engine import Engine
from translation.filters.round_trip import EXACT, agreement, is_short
from translation.languages import ENGLISH, languages
from translation.translations import Decoding, Request

SAMPLE = 100
"""Texts of a language and a set: about twenty minutes in all on 2 cores."""
DECODING = Decoding(beam_size=4, max_output_tokens=128)
EXAMPLES = (
    "dog", "red heart", "fire engine", "bicycle", "spider", "a red apple", "two men", "a black cat",
    "A dog runs on the beach.", "The children are playing football in the park.",
    "a woman with a blue umbrella", "bread, cheese and wine",
)  # fmt: skip
"""Chosen before the model was trained, and shown with whatever it makes of them."""
EXAMPLE_LANGUAGES = ("deu_Latn", "spa_Latn", "arb_Arab", "hin_Deva", "jpn_Jpan", "swh_Latn")
SHOWN = 2
"""Held-out texts of each of these languages and of each set that are shown, the first by a hash."""
FEW = 20
"""A language with fewer texts of a set has no figure there."""

NAMES, INTERFACE, TATOEBA, TUX, NTREX, TRAINED = (
    "names", "interface", "tatoeba", "tux", "ntrex", "trained_names",
)  # fmt: skip
SETS = {
    NAMES: "held-out CLDR names",
    INTERFACE: "held-out interface strings",
    TATOEBA: "held-out Tatoeba sentences",
    TUX: "Tux Paint captions",
    NTREX: "NTREX lines 1001-1997",
    TRAINED: "trained CLDR names",
}
"""Sets in the order of the tables."""


@dataclass(frozen=True)
class Pair:
    """A text and a human translation of it into `code` (NLLB)."""

    english: str
    code: str
    text: str


@dataclass(frozen=True)
class Score:
    """One direction of one language and set: corpus chrF (0..100), that of the untranslated source."""

    texts: int
    chrf: float
    copy_chrf: float
    exact: float
    """Share (0..1) of outputs that equal the reference, character for character."""


@dataclass(frozen=True)
class Figures:
    """What was measured for one language and one set."""

    from_english: Score
    into_english: Score
    round_trip: float | None = None
    """Share (0..1) of trained names that come back as the same words; None for other sets, and where all
    names are too long to be held to that."""


def read_data(path: Path) -> tuple[dict[str, list[Pair]], frozenset[str]]:
    """The sets that `pairs.parquet` has, and the keys of all English texts that were trained on.

    Raises:
        ValueError: a row that no split has, or nothing to train on.
    """
    table = pq.read_table(path).to_pydict()
    sets: dict[str, list[Pair]] = {NAMES: [], INTERFACE: [], TATOEBA: [], TRAINED: []}
    trained = set()
    columns = (table[name] for name in ("source", "target", "nllb_code", "origin", "kind", "split"))
    for source, target, code, origin, kind, split in zip(*columns, strict=True):
        if split == TRAIN:
            trained.add(key_of(source))
        name = {"cldr-names": NAMES, "tatoeba": TATOEBA}.get(origin, INTERFACE if kind == "interface" else "")
        if split == TRAIN:
            name = TRAINED if name == NAMES else ""
        if name:
            sets[name].append(Pair(source, code, target))
    if not trained:
        raise ValueError(f"{path}: no pair of the split {TRAIN!r}; write it again with data.py")
    return sets, frozenset(trained)


def read_stamps(packages: Path) -> list[Pair]:
    """The captions of the Tux Paint stamps."""
    return [
        Pair(picture.english, code, text)
        for picture in stamps.read(packages)
        for code, texts in picture.captions.items()
        for text in texts[:1]
    ]


def read_ntrex(folder: Path) -> list[Pair]:
    """NTREX lines 1001-1997, those that were translated."""
    return [Pair(one.pair.source, one.pair.language, one.pair.target) for one in ntrex(folder, REPORT)]


def unseen(pairs: Iterable[Pair], trained: frozenset[str]) -> list[Pair]:
    """Pairs whose English was not trained on, in any case and with any full stop."""
    return [pair for pair in pairs if key_of(pair.english) not in trained]


def sample_of(pairs: Iterable[Pair], size: int) -> dict[str, list[Pair]]:
    """Of each language `size` pairs (0: all), by a hash; languages with fewer than `FEW` are left out."""
    by_code: dict[str, list[Pair]] = defaultdict(list)
    for pair in dict.fromkeys(pairs):
        by_code[pair.code].append(pair)
    return {
        code: sorted(group, key=_place)[: size or len(group)]
        for code, group in sorted(by_code.items())
        if len(group) >= FEW
    }


def _place(pair: Pair) -> bytes:
    return hashlib.sha256(f"{pair.code}/{pair.english}/{pair.text}".encode()).digest()


def score(sources: Sequence[str], hypotheses: Sequence[str], theirs: Sequence[str]) -> Score:
    """sacrebleu's corpus chrF of the hypotheses, and of the sources taken as hypotheses."""
    metric = CHRF()
    right = [hypothesis == reference for hypothesis, reference in zip(hypotheses, theirs, strict=True)]
    return Score(
        texts=len(theirs),
        chrf=round(metric.corpus_score(hypotheses, [theirs]).score, 2),
        copy_chrf=round(metric.corpus_score(sources, [theirs]).score, 2),
        exact=round(fmean(right), 4),
    )


def signature() -> str:
    """sacrebleu's description of the metric, which reproduces it."""
    metric = CHRF()
    metric.corpus_score(["a"], [["a"]])
    return str(metric.get_signature())


def measure(engine: Engine, pairs: Sequence[Pair], back: bool = False) -> Figures:
    """Both directions of one language; with `back`, whether what was written into it comes back."""
    out = _translate(engine, [Request(pair.english, ENGLISH, pair.code) for pair in pairs])
    into = _translate(engine, [Request(pair.text, pair.code, ENGLISH) for pair in pairs])
    english, texts = [pair.english for pair in pairs], [pair.text for pair in pairs]
    round_trip = None
    if back:
        again = _translate(engine, [Request(text, pairs[0].code, ENGLISH) for text in out])
        same = [
            float(agreement(name, returned) == EXACT)
            for name, returned in zip(english, again, strict=True)
            if is_short(name)
        ]
        round_trip = round(fmean(same), 4) if same else None
    return Figures(score(english, out, texts), score(texts, into, english), round_trip)


def _translate(engine: Engine, requests: Sequence[Request]) -> list[str]:
    return [translation.text for translation in engine.translate(requests)]


def measure_all(
    engine: Engine, sets: Mapping[str, Iterable[Pair]], trained: frozenset[str], sample: int
) -> dict[str, dict[str, Figures]]:
    """Figures by set and language; languages that the model does not know are left out."""
    found: dict[str, dict[str, Figures]] = {}
    for name, pairs in sets.items():
        judged = pairs if name == TRAINED else unseen(pairs, trained)
        chosen = sample_of((pair for pair in judged if pair.code in engine.languages), sample)
        found[name] = {code: measure(engine, some, name == TRAINED) for code, some in chosen.items()}
        print(f"{name}: {len(chosen)} languages", file=sys.stderr, flush=True)
    return found


@dataclass(frozen=True)
class Example:
    """An English text and what the model makes of it."""

    english: str
    code: str
    output: str
    reference: str
    """A human translation; empty where there is none."""
    origin: str
    """The set that it is from; empty for those of `EXAMPLES`."""


def examples(engine: Engine, sets: Mapping[str, Iterable[Pair]], trained: frozenset[str]) -> list[Example]:
    """What the model makes of `EXAMPLES`, and of some texts of the sets that may be shown (no GPL)."""
    codes = [code for code in EXAMPLE_LANGUAGES if code in engine.languages]
    shown = [Example(english, code, "", "", "") for english in EXAMPLES for code in codes]
    for name in (NAMES, INTERFACE, TATOEBA):
        chosen = sample_of(unseen(sets.get(name, ()), trained), SHOWN)
        shown += [
            Example(pair.english, pair.code, "", pair.text, name)
            for code in codes
            for pair in chosen.get(code, ())
        ]
    outputs = _translate(engine, [Request(one.english, ENGLISH, one.code) for one in shown])
    return [replace(one, output=output) for one, output in zip(shown, outputs, strict=True)]


def origins(path: Path) -> list[dict[str, object]]:
    """Of each origin of `pairs.parquet` its licence and how many pairs are trained on and held out."""
    table = pq.read_table(path, columns=["origin", "licence", "split"]).to_pydict()
    counts = Counter(zip(table["origin"], table["licence"], table["split"], strict=True))
    return [
        {
            "origin": origin,
            "licence": licence,
            "train": counts[origin, licence, TRAIN],
            "held_out": counts[origin, licence, HELD_OUT],
        }
        for origin, licence in sorted({(origin, licence) for origin, licence, _ in counts})
    ]


def trained_pairs(path: Path) -> Counter[str]:
    """Pairs of each language that are trained on."""
    table = pq.read_table(path, columns=["nllb_code", "split"]).to_pydict()
    return Counter(
        code for code, split in zip(table["nllb_code"], table["split"], strict=True) if split == TRAIN
    )


def means(figures: Mapping[str, Mapping[str, Figures]]) -> dict[str, dict[str, float]]:
    """By set the means over its languages of every score, and how many are worse than copying."""
    made: dict[str, dict[str, float]] = {}
    for name, by_code in figures.items():
        if not by_code:
            continue
        found: dict[str, float] = {"languages": len(by_code)}
        for direction in ("from_english", "into_english"):
            scores: list[Score] = [getattr(one, direction) for one in by_code.values()]
            for field in ("chrf", "copy_chrf", "exact"):
                found[f"{direction}_{field}"] = round(fmean(getattr(one, field) for one in scores), 4)
            found[f"{direction}_worse_than_copy"] = sum(one.chrf < one.copy_chrf for one in scores)
        trips = [one.round_trip for one in by_code.values() if one.round_trip is not None]
        if trips:
            found["round_trip"] = round(fmean(trips), 4)
        made[name] = found
    return made


def markdown(result: Mapping[str, object]) -> str:
    """The means and the table by language; chrF, and in brackets that of copying the source."""
    figures: Mapping[str, Mapping[str, Figures]] = result["figures"]  # type: ignore[assignment]
    texts = result["sample"] or "all"
    lines = [
        f"# {result['model']}",
        "",
        f"chrF: `{result['signature']}`; beam {DECODING.beam_size}; at most {texts} texts of a language and "
        "set. In brackets: copying the source.",
        "",
    ]
    lines += ["| set | languages | English → X | X → English | equal | worse than copying | round trip |",
              "| --- | --: | --: | --: | --: | --: | --: |"]  # fmt: skip
    for name, mean in means(figures).items():
        trip = f"{mean['round_trip']:.1%}" if "round_trip" in mean else "–"
        worse = int(mean["from_english_worse_than_copy"] + mean["into_english_worse_than_copy"])
        lines.append(
            f"| {SETS[name]} | {mean['languages']:.0f} | {mean['from_english_chrf']:.1f} "
            f"({mean['from_english_copy_chrf']:.1f}) | {mean['into_english_chrf']:.1f} "
            f"({mean['into_english_copy_chrf']:.1f}) | {mean['from_english_exact']:.1%} | {worse} | {trip} |"
        )
    lines += ["", "| language | " + " | ".join(f"{name} → X | {name} → en" for name in figures) + " |",
              "| --- |" + " --: | --: |" * len(figures)]  # fmt: skip
    for code in sorted({code for by_code in figures.values() for code in by_code}):
        cells = []
        for by_code in figures.values():
            one = by_code.get(code)
            cells += (
                [f"{s.chrf:.1f} ({s.copy_chrf:.1f})" for s in (one.from_english, one.into_english)]
                if one
                else ["–", "–"]
            )
        lines.append(f"| {languages()[code].name} `{code}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="directory that `model add` wrote")
    parser.add_argument("--data", type=Path, required=True, help="pairs.parquet of data.py")
    parser.add_argument("--packages", type=Path, default=Path("build/packages"), help="for the stamps")
    parser.add_argument("--references", type=Path, metavar="DIR", help="has ntrex.parquet")
    parser.add_argument("--output", type=Path, required=True, help="without an ending")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="texts of a language and set; 0: all")
    parser.add_argument("--threads", type=int, default=2, help="batches at the same time")
    arguments = parser.parse_args()
    if arguments.sample < 0:
        parser.error(f"--sample {arguments.sample}: give a number of texts, or 0 for all")
    try:
        sets, trained = read_data(arguments.data)
        sets[TUX] = read_stamps(arguments.packages)
        if arguments.references:
            sets[NTREX] = read_ntrex(arguments.references)
        sets = {name: sets[name] for name in SETS if name in sets}
        left_out = {
            name: len(sets[name]) - len(unseen(sets[name], trained)) for name in sets if name != TRAINED
        }
        with Engine(arguments.model, DECODING, threads=Threads(inter=arguments.threads, intra=1)) as engine:
            figures = measure_all(engine, sets, trained, arguments.sample)
            shown = examples(engine, sets, trained)
            description = engine.description
    except (ValueError, OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    result = {
        "model": description.name,
        "digest": description.digest,
        "signature": signature(),
        "beam_size": DECODING.beam_size,
        "sample": arguments.sample,
        "left_out_as_trained": left_out,
        "data": origins(arguments.data),
        "pairs": dict(sorted(trained_pairs(arguments.data).items())),
        "examples": [asdict(one) for one in shown],
        "means": means(figures),
        "figures": figures,
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.with_suffix(".md").write_text(markdown(result), encoding="utf-8")
    result["figures"] = {
        name: {code: asdict(one) for code, one in by_code.items()} for name, by_code in figures.items()
    }
    text = json.dumps(result, ensure_ascii=False, indent=1)
    arguments.output.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    print(json.dumps(result["means"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
