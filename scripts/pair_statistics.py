r"""Makes what the filters know of words: `lengths.tsv`, `shared_words.tsv`, `ordinary_words.tsv`.

    python scripts/pair_statistics.py --data DIR --annotations DIR --corpus FILE \
        --output translation/filters

How long a translation is for its English, from the `fit` part of the references (`evaluation.references`),
and which English words a language leaves as they are, from the part that is neither to fit nor to report and
from the emoji names of CLDR (npm cldr-annotations-full and cldr-annotations-derived-full 48.2.0, unpacked in
`--annotations`); and which English words are no names, from the English texts of both parts.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from evaluation.references import FIT, LEARN, part_of, references
from translation.filters import TextPair
from translation.filters.characters import Characters
from translation.filters.length import visible
from translation.languages import ENGLISH, default_languages, resolve

_WORD = re.compile(r"[^\W\d_]{2,}")

LEAST_CHARACTERS = 20
"""Of an English text whose length counts: short ones vary too much."""

COGNATE_SHARE = 0.1

INTERNATIONAL = (
    "alpaca anime bikini blog burger dvd email emoji euro golf gps hotel internet jazz jeep judo "
    "karaoke karate kimono kiwi koala laptop logo manga ninja online origami panda pizza polo pop "
    "radio rap robot rugby safari samba samurai sari selfie ski snowboard sofa sushi tablet tango "
    "taxi tofu tsunami tv video wifi yoga zebra"
)
"""Words that languages in Latin letters mostly have as English has them; kept under `*`."""

KEPT_SHARE = 0.5
"""A word is shared if at least this share of the references with it have it too."""


def lengths(pairs: Sequence[TextPair]) -> dict[str, tuple[float, int]]:
    """Per NLLB code the median of visible characters of a translation per one of English, and of how many."""
    ratios: dict[str, list[float]] = defaultdict(list)
    sources = visible(Characters([pair.source for pair in pairs]))
    targets = visible(Characters([pair.target for pair in pairs]))
    for pair, source, target in zip(pairs, sources, targets, strict=True):
        if source >= LEAST_CHARACTERS:
            ratios[pair.language].append(float(target / source))
    return {code: (median(values), len(values)) for code, values in ratios.items()}


def shared_words(pairs: Iterable[tuple[str, str, str]]) -> dict[str, list[str]]:
    """Per NLLB code the English words, lower case, that translations (code, English, text) mostly keep."""
    held: dict[str, Counter[str]] = defaultdict(Counter)
    kept: dict[str, Counter[str]] = defaultdict(Counter)
    for code, english, text in pairs:
        words = {word for word in _WORD.findall(english) if word == word.lower()}
        held[code].update(words)
        kept[code].update(words & set(_WORD.findall(text.casefold())))
    return {
        code: sorted(word for word, count in found.items() if count >= KEPT_SHARE * held[code][word])
        for code, found in kept.items()
    }


def ordinary_words(texts: Iterable[str]) -> list[str]:
    """English words that stand in lower case at least as often as with a capital amid a text."""
    small: Counter[str] = Counter()
    capital: Counter[str] = Counter()
    for text in set(texts):
        for index, word in enumerate(_WORD.findall(text)):
            if word == word.lower():
                small[word] += 1
            elif index:
                capital[word.casefold()] += 1
    return sorted(word for word, count in small.items() if count >= capital[word])


def cognates(corpus: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Per NLLB code the words that its own texts (code, text) use at least a tenth as often as English does.

    `water` in Dutch and `animal` in French do, an English name in a translation does not. Seen once proves
    nothing.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for code, text in corpus:
        counts[code].update(_WORD.findall(text.casefold()))
    english = counts.pop(ENGLISH)
    total = english.total()
    return {
        code: sorted(
            word
            for word, count in own.items()
            if count > 1 and english[word] and count * total >= COGNATE_SHARE * english[word] * own.total()
        )
        for code, own in counts.items()
    }


def _learnt(path: Path) -> Iterator[tuple[str, str]]:
    """Label and text of what the identifier learnt from, of the default languages."""
    codes = {language.nllb for language in default_languages()}
    with path.open(encoding="utf-8") as file:
        for line in file:
            label, _, split, text = line.rstrip("\n").split("\t")
            if split == "train" and label in codes:
                yield label, text


def emoji_names(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(NLLB code, English, text) of emoji names; keywords are left in English in some languages."""
    english = _annotation_files(folder, {"en"})["en"]
    locales = {path.parent.name for path in folder.rglob("annotations.json")}
    wanted = {language.nllb for language in default_languages()} - {ENGLISH}
    codes = {}
    for locale in locales:
        try:
            code = resolve(locale).nllb
        except ValueError:
            continue
        # `pt` is Brazilian there and `no` the same as `nb`; regional files only hold what differs.
        if code in wanted and ("-" not in locale or locale in ("pt-PT", "sr-Latn")):
            codes[locale] = code
    for locale, table in _annotation_files(folder, codes).items():
        for character in table.keys() & english.keys():
            name = table[character]
            if part_of(english[character]) == LEARN:
                yield codes[locale], english[character].casefold(), name


def _annotation_files(folder: Path, locales: Iterable[str]) -> dict[str, dict[str, str]]:
    """Per locale: character -> (name, keywords)."""
    paths = sorted(folder.rglob("annotations.json"))
    return {locale: annotated(path for path in paths if path.parent.name == locale) for locale in locales}


def annotated(paths: Iterable[Path]) -> dict[str, str]:
    """Character -> name, as CLDR spaces it, of files `annotations.json`; a later file's name counts."""
    names: dict[str, str] = {}
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        inner = (content.get("annotations") or content["annotationsDerived"])["annotations"]
        for character, entry in inner.items():
            if "tts" in entry:
                names[character] = entry["tts"][0]
    return names


def write_lengths(path: Path, found: Mapping[str, tuple[float, int]]) -> None:
    lines = [
        "# Visible characters of a translation per one of English: medians over so many texts of NTREX-128",
        "# lines 1-1000 (CC-BY-SA-4.0), Tatoeba (CC-BY-2.0-FR) and the Declaration of Human Rights.",
        "nllb_code\tfactor\ttexts",
        *(f"{code}\t{factor:.3f}\t{texts}" for code, (factor, texts) in sorted(found.items())),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_shared_words(path: Path, found: Mapping[str, list[str]]) -> None:
    lines = [
        "# English words that translations into a language mostly keep, from the emoji names of CLDR 48",
        "# (Unicode-3.0), Tatoeba (CC-BY-2.0-FR), the Declaration of Human Rights, and the open texts that",
        "# the identifier learnt from (see its card); single words only. `*`: any language in Latin letters.",
        f"*\t{INTERNATIONAL}",
        *(f"{code}\t{' '.join(words)}" for code, words in sorted(found.items()) if words),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_ordinary_words(path: Path, found: Iterable[str]) -> None:
    lines = [
        "# English words that are no names: those that the emoji names of CLDR 48 (Unicode-3.0), Tatoeba",
        "# (CC-BY-2.0-FR), NTREX-128 lines 1-1000 (CC-BY-SA-4.0) and the Declaration of Human Rights write",
        "# in lower case at least as often as with a capital.",
        *found,
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="tables of scripts/reference_tables.py"
    )
    parser.add_argument("--annotations", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--corpus", type=Path, required=True, metavar="FILE", help="what the identifier learnt"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    try:
        fitted, other = (list(references(arguments.data, part)) for part in (FIT, LEARN))
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    # Names of emoji are terser in some languages. The Declaration stands for those that have nothing else.
    found = [one.pair for one in fitted if one.origin != "cldr"]
    write_lengths(arguments.output / "lengths.tsv", lengths(found))
    ordinary = ordinary_words(one.pair.source for one in (*fitted, *other))
    write_ordinary_words(arguments.output / "ordinary_words.tsv", ordinary)
    learnt = ((one.pair.language, one.pair.source, one.pair.target) for one in other)
    words = shared_words([*learnt, *emoji_names(arguments.annotations)])
    for code, more in cognates(_learnt(arguments.corpus)).items():
        words[code] = sorted({*words.get(code, ()), *more})
    write_shared_words(arguments.output / "shared_words.tsv", words)
    return 0


if __name__ == "__main__":
    sys.exit(main())
