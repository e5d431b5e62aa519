"""Trains the language identifier that ships: samples short and long texts, fits fastText, and quantises it.

    python -m scripts.identifier.train --corpus build/identifier/corpus.tsv --output build/identifier

Needs `pip install fasttext-numpy2` (or fasttext-community), which train; the package itself only predicts. Do
that in an environment of its own: both have the files of `fasttext-predict`, which are gone with them when
they are uninstalled (`pip install --force-reinstall fasttext-predict` brings them back).
With one thread the same corpus and seed give the same file. Writes `train.txt`, `identifier.ftz` and
`identifier.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from translation.identification import normalised
from translation.languages import languages

WORD_LISTS = "tesseract"

SOURCE_WEIGHTS = {"udhr": 3.0, "tatoeba": 4.0, "kreyolib": 3.0, "cldr-names": 2.0, "firefox": 1.5}
"""Running text and the names of things count for more than labels of buttons; others have 1."""


ARTICLES = {
    "afr_Latn": "'n die", "als_Latn": "një", "amh_Ethi": "አንድ", "azj_Latn": "bir", "ben_Beng": "একটি",
    "bul_Cyrl": "един една едно", "cat_Latn": "un una el la", "ceb_Latn": "usa ka", "cym_Latn": "y yr",
    "dan_Latn": "en et", "deu_Latn": "ein eine der die das", "ell_Grek": "ένα ένας μια ο η το",
    "eng_Latn": "a an the", "epo_Latn": "la", "fao_Latn": "ein eitt", "fra_Latn": "un une le la des",
    "gla_Latn": "an am a'", "gle_Latn": "an na", "glg_Latn": "un unha o a", "guj_Gujr": "એક",
    "hat_Latn": "yon", "hin_Deva": "एक", "hun_Latn": "egy a az", "hye_Armn": "մի",
    "ind_Latn": "sebuah seekor seorang", "ita_Latn": "un una il la", "kan_Knda": "ಒಂದು",
    "ltz_Latn": "en eng de den", "mal_Mlym": "ഒരു", "mar_Deva": "एक", "mlt_Latn": "il-",
    "mri_Latn": "he te", "nld_Latn": "een de het", "nno_Latn": "ein ei eit", "nob_Latn": "en et ei",
    "npi_Deva": "एउटा", "oci_Latn": "un una lo la", "pan_Guru": "ਇੱਕ", "pes_Arab": "یک",
    "plt_Latn": "ny", "por_Latn": "um uma o a", "ron_Latn": "un o", "smo_Latn": "o le se",
    "spa_Latn": "un una el la", "swe_Latn": "en ett", "tam_Taml": "ஒரு", "tel_Telu": "ఒక",
    "tgl_Latn": "isang ang", "tur_Latn": "bir", "urd_Arab": "ایک", "uzn_Latn": "bir", "vie_Latn": "một",
    "ydd_Hebr": "אַ אן די", "zsm_Latn": "sebuah seekor seorang",
}  # fmt: skip
"""Words that captions begin with and bare names lack (“a duck”, “en and”); put before short names at random,
so they are not always the right gender."""

APOSTROPHES = "'’‘ʻʼ`"
"""People write any of them, or none, where Samoan or Uzbek spelling wants one."""

HOMOGLYPHS = str.maketrans("аеорсхј", "aeopcxj")
"""Cyrillic letters that texts have in Latin instead, by keyboard or by converter; common in Serbian."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the model besides the corpus."""

    examples: int = 25_000
    """Lines of each default language."""
    neighbour_examples: int = 5_000
    """Lines of any other label at most; fewer where it has little text, so that it takes less."""
    dim: int = 16
    minn: int = 1
    """Single characters are words in Chinese."""
    maxn: int = 4
    bucket: int = 500_000
    min_count: int = 10
    epoch: int = 10
    lr: float = 0.5
    cutoff: int = 0
    """Features kept when quantising, 0 for all. Pruned models look every n-gram up in a hash map first: they
    answer less than half as many texts a second (18,000 against 43,000)."""
    seed: int = 1
    threads: int = 1


def spaced(label: str) -> bool:
    """Whether texts of a label have spaces between words."""
    language = languages().get(label)
    return language.spaced if language else True


def cut(text: str, generator: random.Random, by_words: bool) -> str:
    """A window of a text: short names whole, of longer texts 1-6 words, 6-15 words, or up to 40.

    Texts without spaces are cut by characters: 4-20, 20-60, or up to 160.
    """
    pieces: Sequence[str] = text.split() if by_words else text
    joint = " " if by_words else ""
    low, middle, high = ((1, 6), (6, 15), 40) if by_words else ((4, 20), (20, 60), 160)
    if len(pieces) <= low[1] // 2:
        return text
    kind = generator.random()
    if kind < 0.3 or len(pieces) <= low[1]:
        size = len(pieces)
    elif kind < 0.65:
        size = generator.randint(*low)
    else:
        size = generator.randint(*middle)
    size = min(size, high)
    if size >= len(pieces):
        return text
    start = generator.randint(0, len(pieces) - size)
    return joint.join(pieces[start : start + size])


def examples(
    label: str, sources: Mapping[str, Sequence[str]], number: int, generator: random.Random
) -> Iterator[str]:
    """`number` normalised training texts of a label, drawn from its sources by the square root of their
    size.
    """
    words = [word for word in sources.get(WORD_LISTS, ()) if len(word) > 1]
    names = [name for name in sources if name != WORD_LISTS]
    weights = [SOURCE_WEIGHTS.get(name, 1.0) * len(sources[name]) ** 0.5 for name in names]
    total = sum(len(text) for name in names for text in sources[name])
    by_words = spaced(label)
    articles = ARTICLES.get(label, "").split()
    # Where there is little else, word lists carry the vocabulary.
    from_words = (0.35 if total < 300_000 else 0.15) if len(words) > 500 and by_words else 0.0
    for _ in range(number):
        if generator.random() < from_words:
            text = " ".join(generator.choices(words, k=generator.randint(1, 8)))
        else:
            source = generator.choices(names, weights)[0]
            text = cut(generator.choice(sources[source]), generator, by_words)
            if articles and len(text.split()) <= 3 and generator.random() < 0.2:
                text = f"{generator.choice(articles)} {text}"
            if generator.random() < 0.3 and text[-1:].isalnum():
                text += "."
        yield normalised(respelt(text, label, generator))


def respelt(text: str, label: str, generator: random.Random) -> str:
    """A text as someone else may type it: another apostrophe or none, Latin letters among Cyrillic ones."""
    if generator.random() < 0.3 and any(mark in text for mark in APOSTROPHES):
        other = generator.choice([*APOSTROPHES, ""])
        text = "".join(other if letter in APOSTROPHES else letter for letter in text)
    if label.endswith("_Cyrl") and generator.random() < 0.04:
        text = text.translate(HOMOGLYPHS)
    return text


def amount(label: str, total: int, recipe: Recipe) -> int:
    """Training lines of a label with `total` characters of text."""
    language = languages().get(label)
    if language and language.default:
        return recipe.examples
    return min(recipe.neighbour_examples, total // 10)


def read(path: Path, split: str = "train") -> dict[str, dict[str, list[str]]]:
    """Label to source to texts of a split."""
    corpus: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    with path.open(encoding="utf-8") as file:
        for line in file:
            label, source, found, text = line.rstrip("\n").split("\t")
            if found == split:
                corpus[label][source].append(text)
    return corpus


def write_examples(corpus: Mapping[str, Mapping[str, Sequence[str]]], recipe: Recipe, path: Path) -> int:
    """Writes fastText's input, shuffled; returns its lines."""
    rows: list[str] = []
    for label in sorted(corpus):
        sources = corpus[label]
        if not any(name != WORD_LISTS for name in sources):
            continue
        generator = random.Random(zlib.crc32(f"{recipe.seed} {label}".encode()))
        total = sum(len(text) for name, texts in sources.items() if name != WORD_LISTS for text in texts)
        found = examples(label, sources, amount(label, total, recipe), generator)
        rows += [f"__label__{label} {text}\n" for text in found if text]
    random.Random(recipe.seed).shuffle(rows)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(rows)
    return len(rows)


def train(recipe: Recipe, source: Path, model: Path) -> None:
    """Fits and quantises a model on fastText's input."""
    import fasttext

    fitted = fasttext.train_supervised(
        str(source), dim=recipe.dim, minn=recipe.minn, maxn=recipe.maxn, bucket=recipe.bucket,
        minCount=recipe.min_count, epoch=recipe.epoch, lr=recipe.lr, loss="softmax", wordNgrams=1,
        thread=recipe.threads, seed=recipe.seed, verbose=1,
    )  # fmt: skip
    if recipe.cutoff:
        fitted.quantize(
            str(source), qnorm=True, retrain=True, cutoff=recipe.cutoff, thread=recipe.threads,
            epoch=max(1, recipe.epoch // 3), verbose=1,
        )  # fmt: skip
    else:
        fitted.quantize(qnorm=True, verbose=1)
    part = model.with_suffix(".part")
    fitted.save_model(str(part))
    part.replace(model)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--corpus", type=Path, default=Path("build/identifier/corpus.tsv"))
    parser.add_argument("--output", type=Path, default=Path("build/identifier"))
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    arguments = vars(parser.parse_args())
    output, corpus = arguments.pop("output"), arguments.pop("corpus")
    recipe = Recipe(**arguments)
    print(recipe, file=sys.stderr)
    output.mkdir(parents=True, exist_ok=True)
    lines = write_examples(read(corpus), recipe, output / "train.txt")
    begun = time.monotonic()
    train(recipe, output / "train.txt", output / "identifier.ftz")
    data = (output / "identifier.ftz").read_bytes()
    summary = {
        "recipe": asdict(recipe),
        "lines": lines,
        "seconds": round(time.monotonic() - begun),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    (output / "identifier.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(summary), file=sys.stderr)


if __name__ == "__main__":
    main()
