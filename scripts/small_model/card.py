"""Writes the small model's card from what was measured and from its training; it measures nothing itself.

    python -m scripts.small_model.card --measured build/small-model/measured.json \\
        --run build/small-model/run --model MODEL --output MODEL/README.md

`--measured` is what `measure.py` wrote about this very model, `--run` the folder of `train.py`.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece

from scripts.small_model.measure import SETS, SHOWN, TRAINED
from translation.languages import default_languages, languages
from translation.model import DESCRIPTION, SENTENCEPIECE, WEIGHTS, ModelDescription, read_description
from translation.model_weights import variables
from translation.shortlists import ShortlistReport, read_shortlists

CURVE_POINTS = 12
WEAK = 3000
"""A language with fewer trained pairs than this is marked as weak."""


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
    """What the run's folder says."""

    settings: Mapping[str, Any]
    reports: tuple[Mapping[str, float], ...]
    """Lines of `metrics.jsonl`."""


@dataclass(frozen=True)
class Facts:
    """Everything that the card says."""

    description: ModelDescription
    files: Mapping[str, int]
    """Name -> bytes."""
    weights: Weights
    pieces: int
    """Of the SentencePiece model."""
    training: Training
    measured: Mapping[str, Any]
    shortlists: ShortlistReport | None


def read_training(folder: Path) -> Training:
    """The settings and reports of a run.

    Raises:
        ValueError: a file is missing or damaged, or there is no report with held-out chrF.
    """
    try:
        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        reports = tuple(json.loads(line) for line in lines)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{folder}: not the folder of a training ({error}); give train.py's --output"
        ) from error
    if not any("chrf_held_out" in report for report in reports):
        raise ValueError(f"{folder / 'metrics.jsonl'}: no report has chrf_held_out; train on")
    return Training(settings, reports)


def read_measured(path: Path) -> Mapping[str, Any]:
    """What `measure.py` wrote.

    Raises:
        ValueError: another file.
    """
    try:
        measured: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        missing = {"digest", "means", "figures", "examples", "data", "pairs"} - measured.keys()
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{path}: not what measure.py writes ({error})") from error
    if missing:
        raise ValueError(f"{path}: has no {', '.join(sorted(missing))}; write it again with measure.py")
    return measured


def read_weights(path: Path) -> Weights:
    """The sizes of a `model.bin` of CTranslate2.

    Raises:
        ValueError: another version, or no NLLB-format model.
    """
    shapes = {one.name: one.shape for one in variables(path)}
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


def read_facts(model: Path, run: Path, measured: Path) -> Facts:
    """All that the card says.

    Raises:
        ValueError: a part is damaged, or they are not of the same model.
    """
    description = read_description(model)
    figures = read_measured(measured)
    if figures["digest"] != description.digest:
        raise ValueError(
            f"{measured} is of a model with the digest {figures['digest']}, {model} has "
            f"{description.digest}; "
            "measure this one"
        )
    training, weights = read_training(run), read_weights(model / WEIGHTS)
    if training.settings.get("parameters") != weights.parameters:
        raise ValueError(
            f"{run} trained {training.settings.get('parameters')} parameters, {model / WEIGHTS} has "
            f"{weights.parameters}; give the run of this model"
        )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model / SENTENCEPIECE)).get_piece_size()
    files = {name: (model / name).stat().st_size for name in sorted([*description.files, DESCRIPTION])}
    return Facts(description, files, weights, pieces, training, figures, read_shortlists(model, description))


def curve(reports: Sequence[Mapping[str, float]], points: int = CURVE_POINTS) -> list[Mapping[str, float]]:
    """Of the reports with held-out chrF `points` evenly spread ones, and the last."""
    judged = [report for report in reports if "chrf_held_out" in report]
    size = math.ceil(len(judged) / points)
    picked = judged[size - 1 :: size]
    return picked if picked and picked[-1] is judged[-1] else [*picked, judged[-1]]


def missing_languages(description: ModelDescription) -> list[str]:
    """Codes of the default languages that the model does not know."""
    return [one.nllb for one in default_languages() if one.nllb not in description.languages]


def weak_languages(pairs: Mapping[str, int]) -> list[str]:
    """Codes of the languages with fewer trained pairs than `WEAK`."""
    return sorted(code for code, number in pairs.items() if number < WEAK)


def card(facts: Facts) -> str:
    """The card, Markdown."""
    sections = (
        _head(facts),
        _what(facts),
        _quality(facts),
        _without_data(facts),
        _per_language(facts),
        _examples(facts),
        _data(facts),
        _training(facts),
        _again(),
        "## Licence\n\nApache-2.0, as the rest of translate-mix. The texts that it was trained on are "
        "under the "
        "licences above (see `NOTICE`).",
    )
    return "\n\n".join(sections) + "\n"


def _head(facts: Facts) -> str:
    return (
        "# The small model: short captions of ordinary words\n\n"
        f"It translates names of things and short captions between English and "
        f"{len(facts.description.languages) - 1}"
        " languages. It ships so that the sample mix, the tests and the demos of translate-mix run a model "
        "of "
        "NLLB's format without a download. **The real engine is NLLB-200**: fetch it with `translate-mix "
        "model "
        "add facebook/nllb-200-distilled-600M` (CC-BY-NC-4.0: not for commercial use) and name its "
        "directory in "
        "the recipe.\n\n"
        "Do not use it\n\n"
        "- for news, speech or any other long text: see the figures of NTREX below;\n"
        "- to make training data for a real model, or to judge translations;\n"
        "- for anything that a person will rely on."
    )


def _what(facts: Facts) -> str:
    weights, description = facts.weights, facts.description
    rows = [
        [
            "format",
            "M2M100 as in NLLB-200, converted for CTranslate2; NLLB's language codes and token layout",
        ],
        [
            "directions",
            f"English to and from {len(description.languages) - 1} languages; not between two of them",
        ],
        [
            "network",
            f"{weights.encoder_layers} encoder and {weights.decoder_layers} decoder layers, "
            f"width {weights.width}, feed-forward {weights.feed_forward}, shared embeddings",
        ],
        ["parameters", f"{weights.parameters:,}"],
        [
            "vocabulary",
            f"{weights.vocabulary:,} entries: {facts.pieces:,} of SentencePiece (BPE with bytes for rare "
            "characters), the others are language and control codes",
        ],
        ["quantisation", description.quantization],
        ["digest", f"`{description.digest}`, also in the manifest of every mix made with it"],
        ["shortlists", _shortlists(facts.shortlists)],
        ["licence", description.licence],
    ]
    files = [[f"`{name}`", f"{size:,}"] for name, size in facts.files.items()]
    total = sum(facts.files.values())
    files.append(["**total, without this card**", f"**{total:,}** ({total / 1e6:.1f} MB)"])
    return f"## What it is\n\n{_table(['', ''], rows)}\n\n{_table(['file', 'bytes'], files, right=1)}"


def _shortlists(report: ShortlistReport | None) -> str:
    kept = [one for one in report.lists if one.tokens] if report else []
    if not kept:
        return "none"
    entries = sum(one.tokens for one in kept) / len(kept)
    return f"for {len(kept)} languages, of {entries:,.0f} entries in the mean"


def _quality(facts: Facts) -> str:
    rows = []
    for name, title in SETS.items():
        mean = facts.measured["means"].get(name)
        if mean:
            worse = int(mean["from_english_worse_than_copy"] + mean["into_english_worse_than_copy"])
            rows.append(
                [
                    title,
                    f"{mean['languages']:.0f}",
                    f"{mean['from_english_chrf']:.1f} ({mean['from_english_copy_chrf']:.1f})",
                    f"{mean['into_english_chrf']:.1f} ({mean['into_english_copy_chrf']:.1f})",
                    _percent(mean["from_english_exact"]),
                    str(worse),
                ]
            )
    header = [
        "texts",
        "languages",
        "English → X",
        "X → English",
        "equal to the reference",
        "worse than copying",
    ]
    measured = facts.measured
    trip = measured["means"].get(TRAINED, {}).get("round_trip")
    sample = (
        f"at most {measured['sample']} texts of a language and set, by a hash"
        if measured["sample"]
        else "all"
    )
    return (
        "## How good it is\n\nMeans over languages of chrF, and in brackets that of copying the source; "
        "the last "
        f"column counts directions of languages.\n\n{_table(header, rows, right=5)}\n\n"
        f"Round trip: {_percent(trip)} of the trained names come back from English → X → English as the same "
        "words (case, punctuation and articles aside; names of more than three words are left out).\n\n"
        "No English text of the sets but the last was trained on, in any language and however it is spelt. A "
        "right translation that is not the reference's counts as wrong. Tux Paint's captions are read from "
        "the "
        "Debian package when measuring (GPL-2), neither learnt nor kept.\n\n"
        f"Measured with translate-mix's engine on the {facts.description.quantization} files beside this "
        "card: "
        f"beam {measured['beam_size']}, {sample}; `{measured['signature']}`."
    )


def _without_data(facts: Facts) -> str:
    missing, weak = missing_languages(facts.description), weak_languages(facts.measured["pairs"])
    without = "No default language is missing."
    if missing:
        names = "\n".join(f"- {languages()[code].name} (`{code}`)" for code in missing)
        without = (
            f"For these {len(missing)} of the {len(default_languages()) - 1} default languages there are "
            "too few "
            "texts, so the model does not know them, and the engine refuses to translate into or from them "
            "with "
            f"it:\n\n{names}"
        )
    few = f"Every other language has {WEAK:,} trained pairs or more."
    if weak:
        names = ", ".join(
            f"{languages()[code].name} (`{code}`: {facts.measured['pairs'][code]:,})" for code in weak
        )
        few = f"Weak, with fewer than {WEAK:,} trained pairs: {names}."
    return f"## Languages without enough open data\n\n{without}\n\n{few}"


def _per_language(facts: Facts) -> str:
    figures, pairs = facts.measured["figures"], facts.measured["pairs"]
    sets = [name for name in SETS if figures.get(name)]
    header = ["language", "code", "trained pairs"]
    header += [f"{name}: {arrow}" for name in sets for arrow in ("en → X", "X → en")] + ["round trip"]
    weak = weak_languages(pairs)
    rows = []
    for code in sorted(pairs, key=lambda code: languages()[code].name):
        cells = [
            languages()[code].name + (" **(weak)**" if code in weak else ""),
            f"`{code}`",
            f"{pairs[code]:,}",
        ]
        for name in sets:
            one = figures[name].get(code)
            cells += [_with_copy(one and one["from_english"]), _with_copy(one and one["into_english"])]
        rows.append([*cells, _percent(figures.get(TRAINED, {}).get(code, {}).get("round_trip"))])
    return (
        "## By language\n\nchrF, and in brackets that of copying the source; a dash where there are fewer "
        "than "
        f"twenty texts.\n\n{_table(header, rows, right=len(header) - 2)}"
    )


def _examples(facts: Facts) -> str:
    shown = facts.measured["examples"]
    codes = list(dict.fromkeys(one["code"] for one in shown))
    by_english: dict[str, dict[str, str]] = {}
    for one in shown:
        if not one["origin"]:
            by_english.setdefault(one["english"], {})[one["code"]] = one["output"] or "(nothing)"
    header = ["English", *(languages()[code].name for code in codes)]
    fixed = [[english, *(row.get(code, "–") for code in codes)] for english, row in by_english.items()]
    held_out = [
        [one["english"], languages()[one["code"]].name, one["output"] or "(nothing)", one["reference"]]
        for one in shown
        if one["origin"]
    ]
    return (
        f"## Examples\n\nA list that was fixed before the training, not the best "
        f"ones:\n\n{_table(header, fixed)}"
        f"\n\nHeld-out texts, {SHOWN} of each of these languages and each of three sets, chosen by a "
        "hash:\n\n"
        f"{_table(['English', 'into', 'output', 'a human translation'], held_out)}"
    )


def _data(facts: Facts) -> str:
    rows = [
        [str(one["origin"]), str(one["licence"]), f"{one['train']:,}", f"{one['held_out']:,}"]
        for one in sorted(facts.measured["data"], key=lambda one: -one["train"])
    ]
    rows.append(
        [
            "**all**",
            "",
            *(f"{sum(one[s] for one in facts.measured['data']):,}" for s in ("train", "held_out")),
        ]
    )
    return (
        "## Data\n\nPairs of a short English text and its translation, from packages that are fetched by "
        "name "
        "(see `scripts/identifier/sources.py` for them and their versions), cleaned and checked for script "
        "and "
        f"language:\n\n{_table(['origin', 'licence', 'trained on', 'held out'], rows, right=2)}"
    )


def _training(facts: Facts) -> str:
    reports, settings = facts.training.reports, facts.training.settings
    last = reports[-1]
    rows = [
        [f"{row['step']:,}", f"{row['hours']:.1f}", f"{row['loss']:.3f}", f"{row['chrf_held_out']:.1f}"]
        for row in curve(reports)
    ]
    options = _table(["setting", "value"], [
        [f"`{name}`", f"`{value}`"] for name, value in settings.items() if not isinstance(value, dict)
    ])  # fmt: skip
    return (
        f"## Training\n\n{last['step']:,} steps in {last['hours']:.1f} hours by the clock (device: "
        f"{settings['device']}).\n\n{_table(['step', 'hours', 'loss', 'held-out chrF'], rows, right=4)}\n\n"
        "Loss: cross-entropy of a target token in nats, with smoothed labels. chrF: greedy output of the "
        "averaged "
        f"weights before quantisation, the mean over kinds of texts and both directions.\n\n{options}"
    )


def _again() -> str:
    return """## Making it again

With the extras `convert` and `dedup` of translate-mix, `npm` and Debian's `apt-get`; the last command writes
this card. `FILE` has sentences of Tatoeba, `DIR` NTREX's table (`python -m scripts.reference_tables`).

```sh
python -m scripts.small_model.data --output build/small-model/data --tatoeba FILE
python -m scripts.small_model.train --data build/small-model/data/pairs.parquet --output build/small-model/run
rm -r translation/models/small
translate-mix model add build/small-model/run/hf --output translation/models/small
python -m scripts.small_model.shortlists --data build/small-model/data/pairs.parquet \\
    --model translation/models/small
python -m scripts.small_model.measure translation/models/small --data build/small-model/data/pairs.parquet \\
    --references DIR --output build/small-model/measured
python -m scripts.small_model.card --measured build/small-model/measured.json --run build/small-model/run \\
    --model translation/models/small --output translation/models/small/README.md
```"""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], right: int = 0) -> str:
    """A Markdown table whose last `right` columns are aligned to the right."""
    marks = ["---"] * (len(header) - right) + ["--:"] * right
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in (header, marks, *rows)
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _with_copy(score: Mapping[str, float] | None) -> str:
    return f"{score['chrf']:.1f} ({score['copy_chrf']:.1f})" if score else "–"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measured", type=Path, required=True, help="JSON of measure.py")
    parser.add_argument("--run", type=Path, required=True, help="--output of train.py")
    parser.add_argument("--model", type=Path, required=True, help="directory that `model add` wrote")
    parser.add_argument("--output", type=Path, required=True, help="the card to write")
    arguments = parser.parse_args()
    try:
        text = card(read_facts(arguments.model, arguments.run, arguments.measured))
        arguments.output.write_text(text, encoding="utf-8")
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
