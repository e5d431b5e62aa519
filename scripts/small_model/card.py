"""Measures the small model with the engine that users run, and writes its card.

    python scripts/small_model/card.py --pairs build/small/pairs.jsonl --model translation/models/small \\
        --log build/small/train.log --output translation/models/small/README.md

Translates names in both directions and back, trained on and held out, and compares them with CLDR's. The last
line of standard output is one JSON object of the figures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import struct
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import sentencepiece
from sacrebleu.metrics.chrf import CHRF

from translation.engine import Engine
from translation.filters.round_trip import EXACT, agreement, is_short
from translation.languages import ENGLISH, default_languages, languages
from translation.model import DESCRIPTION, SENTENCEPIECE, WEIGHTS, ModelDescription
from translation.shortlists import ShortlistReport, read_shortlists
from translation.translations import Decoding, Request

SAMPLE = 200
"""Trained names of a language that are measured: about a minute in all on 2 cores."""
DECODING = Decoding(beam_size=4, max_output_tokens=128)
"""The longest name has a third of these tokens; a hypothesis that goes on for ever costs less."""
WEAK = 300
"""A language with fewer trained names than this is marked as weak."""
CURVE_POINTS = 10

EXAMPLE_NAMES = (
    "dog", "watermelon", "red heart", "castle", "fire engine", "bicycle", "red apple", "spider",
)  # fmt: skip
"""Chosen before any model was trained to the end; the last two are held out."""
EXAMPLE_LANGUAGES = ("deu_Latn", "spa_Latn", "arb_Arab", "hin_Deva", "jpn_Jpan", "swh_Latn")
SENTENCES = (
    ("The children are playing football in the park.", "deu_Latn", "Die Kinder spielen im Park Fußball."),
    (
        "How much does the train to Berlin cost tomorrow?",
        "spa_Latn",
        "¿Cuánto cuesta el tren a Berlín mañana?",
    ),
    ("Please close the door quietly.", "jpn_Jpan", "静かにドアを閉めてください。"),
)
"""Outside of what the model knows: source, target language, a human translation."""


@dataclass(frozen=True)
class Pair:
    """An English name and CLDR's name in another language, `code` (NLLB)."""

    english: str
    code: str
    name: str
    trained: bool


@dataclass(frozen=True)
class Score:
    """One direction of one language: corpus chrF (0..100), that of the untranslated source, share right."""

    names: int
    chrf: float
    copy_chrf: float
    exact: float
    """Share (0..1) of outputs that equal the reference, character for character."""


@dataclass(frozen=True)
class LanguageFigures:
    """What was measured for one language; None where it has no held-out name."""

    trained_pairs: int
    held_out_pairs: int
    trained_from_english: Score
    trained_into_english: Score
    held_out_from_english: Score | None
    held_out_into_english: Score | None
    round_trip: float | None
    """Share (0..1) of measured trained names that come back from the language as the same words; None where
    all of them are too long to be held to that."""


SCORES = ("trained_from_english", "trained_into_english", "held_out_from_english", "held_out_into_english")


@dataclass(frozen=True)
class Weights:
    """The shape of the network, as the converted file has it."""

    parameters: int
    vocabulary: int
    width: int
    feed_forward: int
    encoder_layers: int
    decoder_layers: int


@dataclass(frozen=True)
class Training:
    """What the log says. `reports`: its lines, one a step, of the runs that led to the final weights."""

    device: str
    parameters: int
    hours: float
    reports: tuple[Mapping[str, float], ...]


def read_pairs(path: Path) -> list[Pair]:
    """The pairs that `names.py` wrote.

    Raises:
        ValueError: a line is not such a pair, or the file has none to train on.
    """
    pairs = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                trained = {"train": True, "held_out": False}[row["split"]]
                pairs.append(Pair(row["english"], row["nllb_code"], row["name"], trained))
            except (ValueError, KeyError, TypeError) as error:
                message = f"{path}:{number}: not a pair ({error!r}); write it again with names.py"
                raise ValueError(message) from error
    if not any(pair.trained for pair in pairs):
        raise ValueError(f"{path}: no pair of the split 'train'; write it again with names.py")
    return pairs


def read_log(path: Path) -> Training:
    """The log of `train.py`, with all its restarts: what a restart repeated counts once, its time always.

    Raises:
        ValueError: a report is damaged, or there is none.
    """
    device, parameters = "", 0
    runs: list[list[dict[str, float]]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if found := re.fullmatch(r"[\d,]+ examples, ([\d,]+) parameters, (\w+)", line):
            parameters, device = int(found[1].replace(",", "")), found[2]
            runs.append([])
        elif line.startswith('{"step"'):
            try:
                report = json.loads(line)
                if not {"step", "epoch", "loss", "seconds"} <= report.keys():
                    raise ValueError("no step, epoch, loss or seconds")
            except ValueError as error:
                raise ValueError(f"{path}:{number}: not a report of train.py ({error})") from error
            if not runs:
                message = f"{path}:{number}: a report before the line '... examples, ... parameters, ...'"
                raise ValueError(f"{message}; give the whole standard output of train.py")
            runs[-1].append(report)
    kept: dict[float, dict[str, float]] = {}
    for run in filter(None, runs):
        kept = {step: report for step, report in kept.items() if step < run[0]["step"]}
        kept.update((report["step"], report) for report in run)
    if not kept:
        raise ValueError(f"{path}: no report of a step; give the standard output of train.py")
    seconds = sum(run[-1]["seconds"] for run in runs if run)
    return Training(device, parameters, seconds / 3600, tuple(kept.values()))


def read_weights(path: Path) -> Weights:
    """The shapes in CTranslate2's `model.bin` (version 6): a count, then name, dimensions, type, bytes each.

    Raises:
        ValueError: another version, or no NLLB-format model.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    with path.open("rb") as file:

        def number(kind: str) -> int:
            return int(struct.unpack(kind, file.read(struct.calcsize(kind)))[0])

        def string() -> str:
            return file.read(number("<H")).rstrip(b"\0").decode()

        if (version := number("<I")) != 6:
            raise ValueError(
                f"{path}: CTranslate2 wrote version {version} of its format; this reads version 6"
            )
        string()  # name of the specification
        number("<I")  # its revision
        for _ in range(number("<I")):
            name = string()
            shapes[name] = tuple(number("<I") for _ in range(number("<B")))
            number("<B")
            file.seek(number("<I"), 1)
    try:
        vocabulary, width = shapes["decoder/embeddings/weight"]
        feed_forward = shapes["encoder/layer_0/ffn/linear_0/weight"][0]
    except KeyError as error:
        raise ValueError(f"{path}: no {error.args[0]}; not an NLLB-format model") from error
    # Scalars are options, scales belong to the quantisation, and NLLB's positions are computed, not learnt.
    learnt = [
        shape
        for name, shape in shapes.items()
        if shape and not name.endswith("_scale") and "position_encodings" not in name
    ]
    return Weights(
        parameters=sum(math.prod(shape) for shape in learnt),
        vocabulary=vocabulary,
        width=width,
        feed_forward=feed_forward,
        encoder_layers=_layers(shapes, "encoder"),
        decoder_layers=_layers(shapes, "decoder"),
    )


def _layers(names: Iterable[str], side: str) -> int:
    return len({found[0] for name in names if (found := re.match(rf"{side}/layer_\d+/", name))})


def chosen(pairs: Sequence[Pair], sample: int) -> list[Pair]:
    """Of each language `sample` trained pairs (0: all), by a hash, and every held-out one."""
    by_language = defaultdict(list)
    for pair in pairs:
        if pair.trained:
            by_language[pair.code].append(pair)
    trained = [
        pair for group in by_language.values() for pair in sorted(group, key=_hash)[: sample or len(group)]
    ]
    return trained + [pair for pair in pairs if not pair.trained]


def _hash(pair: Pair) -> str:
    return hashlib.sha256(f"{pair.code}/{pair.english}".encode()).hexdigest()


def score(sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """sacrebleu's corpus chrF of the hypotheses, and of the sources taken as hypotheses."""
    metric = CHRF()
    right = [hypothesis == reference for hypothesis, reference in zip(hypotheses, references, strict=True)]
    return Score(
        names=len(references),
        chrf=metric.corpus_score(hypotheses, [references]).score,
        copy_chrf=metric.corpus_score(sources, [references]).score,
        exact=fmean(right),
    )


def signature() -> str:
    """sacrebleu's description of the metric, which reproduces it."""
    metric = CHRF()
    metric.corpus_score(["a"], [["a"]])
    return str(metric.get_signature())


def check_pairs(pairs: Sequence[Pair], engine: Engine) -> None:
    """Raises ValueError where the pairs cannot be those that the model was trained on."""
    trained, known = {pair.code for pair in pairs if pair.trained}, engine.languages - {ENGLISH}
    differing = (trained ^ known) | ({pair.code for pair in pairs} - trained)
    if differing:
        raise ValueError(
            f"the model knows {len(known)} languages, the pairs train {len(trained)}; they differ in "
            f"{', '.join(sorted(differing))}; give the pairs that the model was trained on"
        )


def measure(engine: Engine, pairs: Sequence[Pair], sample: int) -> dict[str, LanguageFigures]:
    """The figures of each language of the pairs, by NLLB code; each has trained pairs.

    Args:
        sample: trained names a language to measure; 0: all.
    """
    measured = chosen(pairs, sample)
    found = sorted({pair.code for pair in measured})
    print(f"{len(measured):,} pairs in {len(found)} languages: from English", file=sys.stderr, flush=True)
    out = _translate(engine, [Request(pair.english, ENGLISH, pair.code) for pair in measured])
    print("into English", file=sys.stderr, flush=True)
    into = _translate(engine, [Request(pair.name, pair.code, ENGLISH) for pair in measured])
    print("and back", file=sys.stderr, flush=True)
    trained = [(pair, text) for pair, text in zip(measured, out, strict=True) if pair.trained]
    back = _translate(engine, [Request(text, pair.code, ENGLISH) for pair, text in trained])

    rows: dict[tuple[str, bool], list[tuple[Pair, str, str]]] = defaultdict(list)
    for pair, hypothesis, english in zip(measured, out, into, strict=True):
        rows[pair.code, pair.trained].append((pair, hypothesis, english))
    returned = defaultdict(list)
    for (pair, text), again in zip(trained, back, strict=True):
        returned[pair.code].append(_comes_back(pair, text, again))
    counts = Counter((pair.code, pair.trained) for pair in pairs)
    figures = {}
    for code in found:
        known_names, new_names = rows[code, True], rows[code, False]
        figures[code] = LanguageFigures(
            trained_pairs=counts[code, True],
            held_out_pairs=counts[code, False],
            trained_from_english=_from_english(known_names),
            trained_into_english=_into_english(known_names),
            held_out_from_english=_from_english(new_names) if new_names else None,
            held_out_into_english=_into_english(new_names) if new_names else None,
            round_trip=_mean(returned[code]),
        )
    return figures


def _translate(engine: Engine, requests: Sequence[Request]) -> list[str]:
    return [translation.text for translation in engine.translate(requests)]


def _from_english(rows: Sequence[tuple[Pair, str, str]]) -> Score:
    pairs, hypotheses, _ = zip(*rows, strict=True)
    return score([pair.english for pair in pairs], hypotheses, [pair.name for pair in pairs])


def _into_english(rows: Sequence[tuple[Pair, str, str]]) -> Score:
    pairs, _, hypotheses = zip(*rows, strict=True)
    return score([pair.name for pair in pairs], hypotheses, [pair.english for pair in pairs])


def _comes_back(pair: Pair, text: str, again: str) -> float | None:
    """1 or 0; None for the few names that are too long for the filter to ask for the same words."""
    return float(agreement(pair.english, again) == EXACT) if is_short(pair.english) else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def averages(figures: Mapping[str, LanguageFigures]) -> dict[str, float | None]:
    """Means over languages of every score and of the round trip; None where no language has it."""
    means = {"round_trip": _mean(figure.round_trip for figure in figures.values())}
    for name in SCORES:
        scores = [value for figure in figures.values() if (value := getattr(figure, name)) is not None]
        for field in ("chrf", "copy_chrf", "exact"):
            means[f"{name}_{field}"] = _mean(getattr(value, field) for value in scores)
    return means


def missing_languages(figures: Mapping[str, LanguageFigures]) -> list[str]:
    """Codes of the default languages that the model does not know."""
    return [
        language.nllb
        for language in default_languages()
        if language.nllb != ENGLISH and language.nllb not in figures
    ]


def weak_languages(figures: Mapping[str, LanguageFigures]) -> list[str]:
    """Codes of the languages with fewer trained names than `WEAK`."""
    return [code for code, figure in figures.items() if figure.trained_pairs < WEAK]


def curve(reports: Sequence[Mapping[str, float]], points: int = CURVE_POINTS) -> list[Mapping[str, float]]:
    """Of as many equal stretches of the training the last report, one with chrF if the stretch has any."""
    size = math.ceil(len(reports) / points)
    stretches = [reports[start : start + size] for start in range(0, len(reports), size)]
    picked = [
        next((report for report in reversed(stretch) if "chrf_trained" in report), stretch[-1])
        for stretch in stretches
    ]
    return picked if picked[-1] is reports[-1] else [*picked, reports[-1]]


@dataclass(frozen=True)
class Measured:
    """Everything that the card says."""

    description: ModelDescription
    decoding: Decoding
    files: Mapping[str, int]
    """Name -> bytes."""
    weights: Weights
    pieces: int
    """Of the SentencePiece model."""
    training: Training
    train_options: str
    sample: int
    trained_names: int
    held_out_names: int
    figures: Mapping[str, LanguageFigures]
    examples: Mapping[tuple[str, str], tuple[str, str]]
    """(English name, NLLB code) -> output, reference."""
    held_out_examples: frozenset[str]
    sentences: Sequence[tuple[str, float]]
    """Output and its chrF, for each of `SENTENCES`."""
    shortlists: ShortlistReport | None


def translate_examples(engine: Engine, pairs: Sequence[Pair]) -> dict[tuple[str, str], tuple[str, str]]:
    """Output and reference of `EXAMPLE_NAMES` in `EXAMPLE_LANGUAGES`, where the pairs have them."""
    shown = [pair for pair in pairs if pair.english in EXAMPLE_NAMES and pair.code in EXAMPLE_LANGUAGES]
    outputs = _translate(engine, [Request(pair.english, ENGLISH, pair.code) for pair in shown])
    return {
        (pair.english, pair.code): (output, pair.name) for pair, output in zip(shown, outputs, strict=True)
    }


def translate_sentences(engine: Engine) -> list[tuple[str, float]]:
    """Output and sentence chrF of each of `SENTENCES`."""
    outputs = _translate(engine, [Request(source, ENGLISH, code) for source, code, _ in SENTENCES])
    metric = CHRF()
    return [
        (output, metric.sentence_score(output, [reference]).score)
        for output, (_, _, reference) in zip(outputs, SENTENCES, strict=True)
    ]


def card(measured: Measured) -> str:
    """The card, Markdown."""
    sections = (
        _head(measured),
        _what(measured),
        _quality(measured),
        _without_data(measured.figures),
        _per_language(measured.figures),
        _examples(measured),
        _outside(measured.sentences),
        _data(measured),
        _training(measured),
        _again(measured),
        "## Licence\n\nApache-2.0, as the rest of translate-mix. The names that it was trained on are under "
        "the Unicode License V3 (see `NOTICE`).",
    )
    return "\n\n".join(sections) + "\n"


def _head(measured: Measured) -> str:
    unseen = averages(measured.figures)["held_out_from_english_exact"]
    return (
        f"# The small model: a stand-in that knows {measured.trained_names} names\n\n"
        f"**Not a translation model to work with.** It was taught {measured.trained_names} names of things "
        f"(“red heart”, “fire engine”) in {len(measured.figures)} languages, and nothing else. It "
        "ships so that the sample mix, the tests and the demos of translate-mix run a model of NLLB's format "
        "without a download. **The real engine is NLLB-200**: fetch it with `translate-mix model add "
        "facebook/nllb-200-distilled-600M` (CC-BY-NC-4.0: not for commercial use) and name its directory in "
        "the recipe.\n\n"
        "Do not use it\n\n"
        f"- for sentences, or for names that it was not trained on (it translates {_percent(unseen)} of "
        "those as CLDR does);\n"
        "- to make training data for a real model, or to judge translations;\n"
        "- for anything that a person will rely on."
    )


def _what(measured: Measured) -> str:
    weights, description = measured.weights, measured.description
    total = sum(measured.files.values())
    facts = [
        [
            "format",
            "M2M100 as in NLLB-200, converted for CTranslate2; NLLB's language codes and token layout",
        ],
        ["directions", f"English to and from {len(measured.figures)} languages; not between two of them"],
        [
            "network",
            f"{weights.encoder_layers} encoder and {weights.decoder_layers} decoder layers, "
            f"width {weights.width}, feed-forward {weights.feed_forward}, shared embeddings",
        ],
        ["parameters", f"{weights.parameters:,}"],
        [
            "vocabulary",
            f"{weights.vocabulary:,} entries: {measured.pieces:,} of SentencePiece (BPE), the others are "
            "language and control codes",
        ],
        ["quantisation", description.quantization],
        ["digest", f"`{description.digest}`, also in the manifest of every mix made with it"],
        ["shortlists", _shortlists(measured.shortlists)],
        ["licence", description.licence],
    ]
    files = [[f"`{name}`", f"{size:,}"] for name, size in measured.files.items()]
    files.append(["**total, without this card**", f"**{total:,}** ({total / 1e6:.1f} MB)"])
    return f"## What it is\n\n{_table(['', ''], facts)}\n\n{_table(['file', 'bytes'], files, right=1)}"


def _shortlists(report: ShortlistReport | None) -> str:
    kept = [one for one in report.lists if one.tokens] if report else []
    if not kept:
        return "none"
    entries = fmean(one.tokens for one in kept)
    same = fmean(one.agreement for one in kept if one.agreement is not None)
    return (
        f"for {len(kept)} languages, of {entries:,.0f} entries in the mean; {_percent(same)} of the names "
        "that were compared come out as with the whole vocabulary"
    )


def _quality(measured: Measured) -> str:
    means = averages(measured.figures)
    names = {
        "trained": f"{measured.trained_names} trained names",
        "held_out": f"{measured.held_out_names} held-out names",
    }
    arrows = {"from_english": "English → X", "into_english": "X → English"}
    rows = [
        [
            names[split],
            arrow,
            _number(means[f"{split}_{direction}_chrf"]),
            _number(means[f"{split}_{direction}_copy_chrf"]),
            _percent(means[f"{split}_{direction}_exact"]),
        ]
        for split in names
        for direction, arrow in arrows.items()
    ]
    header = ["names", "direction", "chrF", "chrF of copying the source", "equal to CLDR's name"]
    sample = (
        f"at most {measured.sample} in each language, chosen by a hash of language and name"
        if measured.sample
        else "all"
    )
    decoding = measured.decoding
    return (
        f"## How good it is\n\nMeans over {len(measured.figures)} languages, against CLDR's names:\n\n"
        f"{_table(header, rows, right=3)}\n\n"
        f"Round trip: {_percent(means['round_trip'])} of the trained names come back from English → X → "
        "English as the same words (case, punctuation and articles aside: the score `round_trip_exact`, "
        "which leaves out the few names of more than three words).\n\n"
        "On trained names these figures say how well it remembers. The held-out names, which it saw in no "
        "language, say what it can do beyond that. A right translation that is not CLDR's counts as wrong."
        "\n\n"
        f"Measured with translate-mix's engine on the {measured.description.quantization} files beside this "
        f"card: beam {decoding.beam_size}, patience {decoding.patience:g}, at most "
        f"{decoding.max_output_tokens} tokens. Trained names: {sample}; held-out names: all. chrF is "
        f"sacrebleu's over all names of a language: `{signature()}`."
    )


def _without_data(figures: Mapping[str, LanguageFigures]) -> str:
    missing, weak = missing_languages(figures), weak_languages(figures)
    if missing:
        asked = len(default_languages()) - 1
        names = "\n".join(f"- {languages()[code].name} (`{code}`)" for code in missing)
        without = (
            f"For these {len(missing)} of the {asked} default languages CLDR has none of the names, so the "
            "model does not know them, and the engine refuses to translate into or from them with it:\n\n"
            f"{names}"
        )
    else:
        without = "No default language is missing."
    if weak:
        names = ", ".join(
            f"{languages()[code].name} (`{code}`: {figures[code].trained_pairs})" for code in weak
        )
        few = f"Weak, with fewer than {WEAK} trained names: {names}."
    else:
        few = f"Every other language has {WEAK} trained names or more."
    return f"## Languages without enough open data\n\n{without}\n\n{few}"


def _per_language(figures: Mapping[str, LanguageFigures]) -> str:
    header = [
        "language", "code", "trained pairs", "trained: English → X", "trained: X → English", "round trip",
        "held-out pairs", "held-out: English → X", "held-out: X → English",
    ]  # fmt: skip
    weak = weak_languages(figures)
    rows = [
        [
            languages()[code].name + (" **(weak)**" if code in weak else ""),
            f"`{code}`",
            f"{figure.trained_pairs:,}",
            _with_copy(figure.trained_from_english),
            _with_copy(figure.trained_into_english),
            _percent(figure.round_trip),
            f"{figure.held_out_pairs:,}",
            _with_copy(figure.held_out_from_english),
            _with_copy(figure.held_out_into_english),
        ]
        for code, figure in sorted(figures.items(), key=lambda item: languages()[item[0]].name)
    ]
    return (
        "## By language\n\n"
        "chrF, and in brackets that of copying the source. Held-out figures stand on few names each: a "
        "difference of ten between two languages says little.\n\n"
        f"{_table(header, rows, right=7)}"
    )


def _examples(measured: Measured) -> str:
    rows = [
        [
            english + (" (held out)" if english in measured.held_out_examples else ""),
            *(_marked(measured.examples.get((english, code))) for code in EXAMPLE_LANGUAGES),
        ]
        for english in EXAMPLE_NAMES
    ]
    right = sum(output == reference for output, reference in measured.examples.values())
    header = ["English", *(languages()[code].name for code in EXAMPLE_LANGUAGES)]
    return (
        "## Examples\n\n"
        "A fixed list, not the best ones. ✓: the output is CLDR's name. ✗: it is not, and CLDR's name "
        f"follows in brackets. Right: {right} of {len(measured.examples)}.\n\n{_table(header, rows)}"
    )


def _marked(example: tuple[str, str] | None) -> str:
    if example is None:
        return "– (not in the data)"
    output, reference = example
    return f"✓ {output}" if output == reference else f"✗ {output or '(nothing)'} ({reference})"


def _outside(sentences: Sequence[tuple[str, float]]) -> str:
    rows = [
        [source, languages()[code].name, output or "(nothing)", reference, _number(chrf)]
        for (output, chrf), (source, code, reference) in zip(sentences, SENTENCES, strict=True)
    ]
    return (
        "## Outside its domain\n\n"
        "It never saw a sentence. What it writes for one:\n\n"
        f"{_table(['English', 'into', 'output', 'a human translation', 'chrF'], rows, right=1)}"
    )


def _data(measured: Measured) -> str:
    pairs = sum(figure.trained_pairs for figure in measured.figures.values())
    return (
        "## Data\n\n"
        "- Names: Unicode CLDR annotations 48.2.0 (npm `cldr-annotations-full`, "
        "`cldr-annotations-derived-full`), the short names of emoji in English and each other language. "
        "Licence: Unicode-3.0.\n"
        "- Which emoji are animals, food, objects and places: npm `emoji-datasource-google` 16.0.0. Licence: "
        "MIT.\n\n"
        f"Trained on {pairs:,} pairs of {measured.trained_names} English names, in both directions. "
        f"{measured.held_out_names} more names, chosen by a hash, are held out in all languages. Their words "
        "may occur in trained names: “tiger face” is held out, “tiger” is not."
    )


def _training(measured: Measured) -> str:
    training = measured.training
    last = training.reports[-1]
    rows = [
        [f"{row['step']:,}", f"{row['epoch']:.1f}", f"{row['loss']:.3f}", _number(row.get("chrf_trained"))]
        for row in curve(training.reports)
    ]
    return (
        f"## Training\n\n{last['step']:,} steps, {last['epoch']:.1f} epochs, {training.hours:.1f} hours by "
        f"the clock (device: {training.device}; restarts included).\n\n"
        f"{_table(['step', 'epoch', 'loss', 'chrF'], rows, right=4)}\n\n"
        "Loss: cross-entropy of a target token in nats. It runs over a random part of the vocabulary "
        "(`--candidates`) until the learning rate falls at the end, then over all of it: values from before "
        "and after do not compare. "
        "chrF: greedy output before quantisation, 600 trained pairs of both directions in one corpus."
    )


def _again(measured: Measured) -> str:
    steps = measured.training.reports[-1]["step"]
    options = f" {measured.train_options}" if measured.train_options else ""
    return f"""## Making it again

With the extra `convert` of translate-mix, and `npm`; the last command writes this card.

```sh
python scripts/small_model/names.py --output build/small
python scripts/small_model/train.py --data build/small/pairs.jsonl --output build/small \\
    --steps {steps}{options} >> build/small/train.log
translate-mix model add build/small/hf --output translation/models/small
python scripts/small_model/shortlists.py --pairs build/small/pairs.jsonl --model translation/models/small
python scripts/small_model/card.py --pairs build/small/pairs.jsonl --model translation/models/small \\
    --log build/small/train.log --output translation/models/small/README.md --sample {measured.sample}
```"""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], right: int = 0) -> str:
    """A Markdown table whose last `right` columns are aligned to the right."""
    marks = ["---"] * (len(header) - right) + ["--:"] * right
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in (header, marks, *rows)
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _with_copy(value: Score | None) -> str:
    return "–" if value is None else f"{value.chrf:.1f} ({value.copy_chrf:.1f})"


def figures_json(measured: Measured) -> dict[str, Any]:
    """The figures as one JSON object; chrF 0..100, shares 0..1."""
    last = measured.training.reports[-1]
    return {
        "model_digest": measured.description.digest,
        "chrf_signature": signature(),
        "beam_size": measured.decoding.beam_size,
        "bytes": sum(measured.files.values()),
        "parameters": measured.weights.parameters,
        "steps": last["step"],
        "epochs": last["epoch"],
        "hours": round(measured.training.hours, 2),
        "sample": measured.sample,
        "trained_names": measured.trained_names,
        "held_out_names": measured.held_out_names,
        "mean": averages(measured.figures),
        "missing": missing_languages(measured.figures),
        "weak": weak_languages(measured.figures),
        "languages": {code: asdict(figure) for code, figure in measured.figures.items()},
    }


def measure_all(pairs: Sequence[Pair], model: Path, log: Path, sample: int, train_options: str) -> Measured:
    """Reads the log and the weights, then runs the model.

    Raises:
        ValueError: one of them is damaged, or they do not belong together.
    """
    training = read_log(log)
    with Engine(model, DECODING) as engine:
        weights = read_weights(model / WEIGHTS)
        if training.parameters != weights.parameters:
            raise ValueError(
                f"{log} is of a model of {training.parameters:,} parameters, {model / WEIGHTS} has "
                f"{weights.parameters:,}; give the log of this model's training"
            )
        check_pairs(pairs, engine)
        return Measured(
            description=engine.description,
            decoding=engine.decoding,
            files={
                name: (model / name).stat().st_size
                for name in sorted([*engine.description.files, DESCRIPTION])
            },
            weights=weights,
            pieces=sentencepiece.SentencePieceProcessor(
                model_file=str(model / SENTENCEPIECE)
            ).get_piece_size(),
            training=training,
            train_options=train_options,
            sample=sample,
            trained_names=len({pair.english for pair in pairs if pair.trained}),
            held_out_names=len({pair.english for pair in pairs if not pair.trained}),
            figures=measure(engine, pairs, sample),
            examples=translate_examples(engine, pairs),
            held_out_examples=frozenset(pair.english for pair in pairs if not pair.trained),
            sentences=translate_sentences(engine),
            shortlists=read_shortlists(model, engine.description),
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=Path, required=True, help="pairs.jsonl of names.py")
    parser.add_argument("--model", type=Path, required=True, help="directory that `model add` wrote")
    parser.add_argument("--log", type=Path, required=True, help="standard output of train.py")
    parser.add_argument("--output", type=Path, required=True, help="the card to write")
    parser.add_argument(
        "--sample", type=int, default=SAMPLE, help="trained names a language; 0: all (default: %(default)s)"
    )
    parser.add_argument(
        "--train-options", default="", help="what train.py was given beside --steps, for the card's command"
    )
    arguments = parser.parse_args()
    if arguments.sample < 0:
        parser.error(f"--sample {arguments.sample}: give a number of names, or 0 for all")
    try:
        measured = measure_all(
            read_pairs(arguments.pairs),
            arguments.model,
            arguments.log,
            arguments.sample,
            arguments.train_options,
        )
        arguments.output.write_text(card(measured), encoding="utf-8")
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(figures_json(measured), ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
