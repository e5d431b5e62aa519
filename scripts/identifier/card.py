"""Writes the card of the identifier that ships, from its recipe, its corpus and the benchmark's figures.

python benchmarks/identification.py --model build/identifier/identifier.ftz --tux DIR \\
    | tail -n 1 > build/identifier/figures.json
python -m scripts.identifier.card --work build/identifier --output translation/models/identifier
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.identifier.sources import SOURCES
from translation.languages import default_languages, languages

SETS = {
    "sentences": "NTREX lines 1001-1997, whole sentences",
    "nine_words": "the same, first 9 words (a third of the characters where words are not spaced)",
    "tux": "captions of Tux Paint's stamps (never trained on)",
    "names": "held-out CLDR emoji names",
    "tatoeba": "held-out Tatoeba sentences",
    "udhr": "held-out articles of the Declaration of Human Rights",
}
SYSTEMS = {
    "ours": "this model", "cld2": "CLD2", "cld3": "CLD3", "lid176": "lid.176.ftz", "py3langid": "py3langid",
    "cld2_or_cld3": "CLD2 or CLD3", "ours_or_cld2": "this or CLD2", "ours_or_cld3": "this or CLD3",
    "ours_or_cld2_or_cld3": "this, CLD2 or CLD3",
}  # fmt: skip
POOR = 150_000
"""Letters of training text under which a language is named as poor."""


def card(summary: Mapping[str, Any], figures: Mapping[str, Any], amounts: Mapping[str, int]) -> str:
    """The card as Markdown: what the model is, how to ask it, what it learnt from, how good it is."""
    return "\n\n".join(_sections(summary, figures, amounts)) + "\n"


def _sections(
    summary: Mapping[str, Any], figures: Mapping[str, Any], amounts: Mapping[str, int]
) -> Iterator[str]:
    recipe, default = summary["recipe"], default_languages()
    neighbours = sorted(set(amounts) - {language.nllb for language in default})
    yield "# The language identifier"
    yield (
        f"A quantised fastText classifier of {len(amounts)} languages: the {len(default)} of the default mix"
        f" and {len(neighbours)} neighbours that texts are mistaken for. Labels are NLLB codes"
        " (`__label__deu_Latn`);"
        " languages and scripts that NLLB does not have are named in the same way (`srp_Latn`, `bre_Latn`)."
        " Made for captions and short answers as much as for sentences."
    )
    yield _table(
        ("", ""),
        [
            ("file", f"`identifier.ftz`, {summary['bytes']:,} bytes"),
            ("sha256", f"`{summary['sha256']}`"),
            (
                "features",
                f"character n-grams of {recipe['minn']} to {recipe['maxn']} in {recipe['bucket']:,} buckets,"
                f" and words that occur {recipe['min_count']} times or more",
            ),
            ("network", f"dimension {recipe['dim']}, softmax"),
            ("licence", "Apache-2.0; licences of the training texts below"),
        ],
    )
    yield "## How to ask it"
    yield (
        "Training and prediction apply the same steps: line breaks and no-break spaces to spaces, NFC,"
        " lower case"
        " (`normalised` in `translation/identification.py`). Nothing else: punctuation and digits stay."
    )
    yield "## How good it is"
    yield (
        "Macro recall over the languages of each set: the share of texts that a system names rightly, and for"
        " `A or B` the share of texts that either does. None of these texts was trained on."
    )
    sets = [name for name in SETS if name in figures["sets"]]
    head = ("system", *(f"{name} ({figures['sets'][name]['languages']})" for name in sets))
    found = [name for name in SYSTEMS if all(name in figures["sets"][kind] for kind in sets)]
    yield _table(
        head,
        [
            (SYSTEMS[name], *(f"{figures['sets'][kind][name]['recall']:.3f}" for kind in sets))
            for name in found
        ],
    )
    yield "\n".join(f"- `{name}`: {SETS[name]}" for name in sets)
    yield (
        "False acceptance on nine words and captions: the share of other languages' texts that are called L,"
        " mean"
        " over L; siblings are the pairs that the registry calls confusable."
    )
    kinds = ("unrelated", "same_script", "siblings", "english")
    shown = [name for name in ("nine_words", "tux") if name in sets]
    yield _table(
        ("system", *(f"{name}: {kind.replace('_', ' ')}" for name in shown for kind in kinds)),
        [
            (
                SYSTEMS[name],
                *(f"{figures['sets'][kind][name][column]:.4f}" for kind in shown for column in kinds),
            )
            for name in found
        ],
    )
    speed = figures["speed"]
    yield (
        f"Texts a second on one busy core, 9 words each: {speed['ours']:,}; time over bare fastText:"
        f" {speed['ours_over_bare_fasttext_time']:.2f}; loads in {speed['load_seconds']:.2f} s."
    )
    yield "## Weak languages"
    poor = sorted((language for language in default if amounts.get(language.nllb, 0) < POOR),
                  key=lambda language: amounts.get(language.nllb, 0))  # fmt: skip
    yield (
        f"Under {POOR:,} letters of open text: "
        + ", ".join(f"{language.name} ({amounts.get(language.nllb, 0):,})" for language in poor)
        + ". What they have is mostly the Declaration and interface texts."
    )
    yield _table(
        ("language", "code", *sets),
        [
            (language.name, f"`{language.nllb}`",
             *(_share(figures["sets"][kind]["ours"]["by_language"].get(language.nllb)) for kind in sets))
            for language in default
        ],
    )  # fmt: skip
    yield "## What it learnt from"
    rows = [
        (source.name, ", ".join(f"`{name}`" for name in source.packages), source.licence)
        for source in SOURCES
    ]
    rows.append(("tatoeba", "`tatoeba.parquet` of LASER's Tatoeba test sets", "CC-BY-2.0-FR"))
    yield _table(("source", "packages", "licence"), rows)
    yield (
        "The Haitian sentences derive from data of Carnegie Mellon University (Language Technologies"
        " Institute, 2010), Tatoeba's from the contributors of tatoeba.org. NTREX and Tux Paint are only"
        " measured on."
    )
    yield "## How to make it again"
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in recipe.items())
    yield (
        "```\npython -m scripts.identifier.corpus --output build/identifier --data DIR\n"
        f"python -m scripts.identifier.train --corpus build/identifier/corpus.tsv {options}\n```"
    )
    yield (
        "With `--threads 1` the same corpus gives the same bytes; with more, fastText's threads race."
        f" Neighbours: {', '.join(f'`{label}`' for label in neighbours)}."
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def letters_by_label(corpus: Path) -> dict[str, int]:
    """Label to the characters of its training texts, word lists aside."""
    amounts: dict[str, int] = defaultdict(int)
    with corpus.open(encoding="utf-8") as file:
        for line in file:
            label, source, split, text = line.rstrip("\n").split("\t")
            if split == "train" and source != "tesseract":
                amounts[label] += len(text)
    return dict(amounts)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("build/identifier"))
    parser.add_argument("--output", type=Path, default=Path("translation/models/identifier"))
    arguments = parser.parse_args()
    summary = json.loads((arguments.work / "identifier.json").read_text(encoding="utf-8"))
    figures = json.loads((arguments.work / "figures.json").read_text(encoding="utf-8"))
    if figures["model"]["sha256"] != summary["sha256"]:
        raise SystemExit(f"{arguments.work}/figures.json is of another model: {figures['model']['sha256']}")
    labels = letters_by_label(arguments.work / "corpus.tsv")
    known = languages()
    text = card(
        summary, figures, dict(sorted(labels.items(), key=lambda item: (item[0] not in known, item[0])))
    )
    (arguments.output / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
