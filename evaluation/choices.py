"""Accuracy where the answer is one of a few: multiple choice, entailment, and yes or no."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import regex

from evaluation.answers import PLAIN, plain_answer
from evaluation.items import Item
from evaluation.measures import Measure, mean
from evaluation.signature import signature
from evaluation.values import YES_NO_PARTS

PARSE = "lead-2"
"""Name of the rule by which `chosen` reads a prediction, for signatures."""

YES_NO = ("yes", "no")
"""The choices of a yes-or-no question that names none, the yes first."""

_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]")


def chosen(prediction: str, choices: Sequence[str], language: str) -> int | None:
    """Which choice a prediction in a language (NLLB code) names, by place; None if none.

    One that equals the prediction, else the longest that the prediction begins with as whole words (`Yes,
    there is`), case and outer punctuation aside, and the bold type of chat models (`**Yes**`).
    """
    said = plain_answer(prediction.replace("**", ""), language)
    if not said:
        return None
    best: tuple[int, int] | None = None
    for place, choice in enumerate(choices):
        option = plain_answer(choice, language)
        if said == option:
            return place
        whole = said.startswith(option) and not _WORD.match(said, len(option))
        if option and whole and (best is None or len(option) > best[0]):
            best = len(option), place
    return None if best is None else best[1]


def accuracy(items: Sequence[Item]) -> list[Measure]:
    """Share of items whose prediction names the gold choice, and of those that name any, in percent.

    Items without choices are right where the prediction equals a gold answer, and have no other number.

    Raises:
        ValueError: a gold answer is none of the choices.
    """
    right, named = np.zeros(len(items)), np.zeros(len(items))
    closed = np.array([bool(item.expected.choices) for item in items], np.bool_)
    for place, item in enumerate(items):
        options, language = item.expected.choices, item.expected.answer_language
        if options:
            golds = _golds(item, options)
            found = chosen(item.prediction, options, language)
            named[place] = found is not None
            right[place] = found in golds
        elif not item.empty:
            said = plain_answer(item.prediction, language)
            right[place] = any(said == plain_answer(gold, language) for gold in item.expected.references)
    line = signature("accuracy", parse=PARSE, norm=PLAIN)
    measures = [mean("accuracy", right, line)]
    if closed.any():
        measures.append(mean("accuracy.named", named, line, closed))
    return measures


def yes_no(items: Sequence[Item]) -> list[Measure]:
    """Accuracy, precision, recall and F1 of yes, and the share of yes, in percent.

    As POPE reports them (Li et al. 2023, arXiv:2305.10355), but a prediction that is neither counts as
    wrong, and as no yes. An item's choices name its yes and its no, in this order; `yes` and `no` by default.

    Raises:
        ValueError: an item has another number of choices, or its gold answer is none of them.
    """
    said, gold = [], []
    for item in items:
        options = _yes_and_no(item)
        said.append(chosen(item.prediction, options, item.expected.answer_language))
        gold.append(min(_golds(item, options)))
    return _of_yes(said, gold, "yes_no", signature("yes_no", parse=PARSE, norm=PLAIN))


_POPE_NO = frozenset({"No", "not", "no"})


def yes_no_published(items: Sequence[Item]) -> list[Measure]:
    """The same numbers by POPE's own reading of a prediction: whatever holds no `no` or `not` is a yes.

    An empty or foreign answer is a yes there, so this is for comparison with published numbers alone.

    Raises:
        ValueError: see `yes_no`.
    """
    said: list[int | None] = []
    gold = []
    for item in items:
        first = item.prediction.split(".")[0].replace(",", "")
        said.append(int(bool(_POPE_NO & set(first.split(" ")))))
        options = _yes_and_no(item)
        gold.append(min(_golds(item, options)))
    return _of_yes(said, gold, "yes_no_published", signature("yes_no_published", parse="pope"))


def _golds(item: Item, options: Sequence[str]) -> set[int]:
    """Places of the gold answers among the choices."""
    language = item.expected.answer_language
    plain = [plain_answer(option, language) for option in options]
    found = set()
    for gold in item.expected.references:
        if plain_answer(gold, language) not in plain:
            raise ValueError(
                f"{item.expected.language} {item.expected.id!r}: the gold answer {gold!r} is none of the "
                f"choices {', '.join(map(repr, options))}; mend the task's answers or choices"
            )
        found.add(plain.index(plain_answer(gold, language)))
    return found


def _yes_and_no(item: Item) -> tuple[str, ...]:
    options = item.expected.choices or YES_NO
    if len(options) != 2:
        raise ValueError(
            f"{item.expected.language} {item.expected.id!r}: {len(options)} choices, two wanted: yes, no"
        )
    return options


def _of_yes(said: Sequence[int | None], gold: Sequence[int], name: str, line: str) -> list[Measure]:
    yes = np.array([place == 0 for place in said], np.bool_)
    no = np.array([place == 1 for place in said], np.bool_)
    positive = np.array([place == 0 for place in gold], np.bool_)
    parts = (yes & positive, yes & ~positive, no & ~positive, positive, np.ones(len(gold), np.bool_))
    table = np.stack(parts, axis=-1).astype(np.float64)
    return [Measure(name + part, table, "yes_no" + part, line) for part in YES_NO_PARTS]
