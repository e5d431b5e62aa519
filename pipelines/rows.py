"""Second half of the graph: examples and translated texts -> rows with a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from pipelines import templates
from pipelines.examples import Reject, Text
from pipelines.reading import AssignedExample, RejectedExample
from pipelines.translating import TextKey, TranslatedText
from translation.filters import NO_SCORES, SCORES, Policy, Scores, is_short
from translation.languages import ENGLISH, languages
from translation.row import ACCEPT, ENGINE_FIELDS, PROMPT_PREFIX, REJECT, UNDETERMINED

PROMPT, TARGET = "prompt", "target"
"""Which text of an example a translation is for."""

Row = dict[str, Any]
"""A row of `translation.row.ROW_FIELDS`, without the bytes of its image, which the sink adds."""


@dataclass(frozen=True)
class Provenance:
    """What made the translations of a run."""

    engine: str
    model: str
    model_digest: str
    decoding: str
    identification: str
    code_version: str

    def as_row(self, translated: bool) -> dict[str, str | None]:
        """The struct of a row; one that holds no translation names neither engine nor model."""
        told = ENGINE_FIELDS if translated else ("code_version",)
        return {name: getattr(self, name) if name in told else None for name in ENGINE_FIELDS}


def texts_to_translate(
    assigned: AssignedExample, supported: frozenset[str]
) -> Iterator[tuple[TextKey, tuple[str, str]]]:
    """((target, text), (row id, `prompt` or `target`)) of every text that needs the model, but answers."""
    if assigned.language == ENGLISH or assigned.language not in supported:
        return
    for slot, text in ((PROMPT, assigned.example.prompt), (TARGET, assigned.example.target)):
        if text is not None and text.translate and not (slot == TARGET and _is_answer(assigned)):
            yield (assigned.language, text.text), (assigned.id, slot)


def answers_to_translate(
    assigned: AssignedExample, supported: frozenset[str]
) -> Iterator[tuple[TextKey, tuple[str, str | None]]]:
    """((target, answer), (row id, question)) of a short answer, which goes through the answer table."""
    if assigned.language != ENGLISH and assigned.language in supported and _is_answer(assigned):
        question = _text(assigned.example.prompt)
        yield (assigned.language, assigned.example.target.text), (assigned.id, question)


def _is_answer(assigned: AssignedExample) -> bool:
    example = assigned.example
    return example.task == "vqa" and example.target.translate and is_short(example.target.text)


class SpreadTranslations(beam.DoFn):
    """A text with all its uses and its one translation -> (row id, (slot, translation)) for each use."""

    def process(
        self, element: tuple[TextKey, dict[str, Iterable[Any]]]
    ) -> Iterator[tuple[str, tuple[str, TranslatedText]]]:
        key, joined = element
        found = list(joined["translations"])
        if len(found) != 1:
            raise RuntimeError(f"{len(found)} translations of {key!r}, where there must be one")
        for row_id, slot in joined["uses"]:
            yield row_id, (slot, found[0])


class MakeRow(beam.DoFn):
    """An example with its translations -> a `Row` with verdict and reason."""

    def __init__(self, seed: int, model: str, supported: frozenset[str]) -> None:
        self._seed, self._model, self._supported = seed, model, supported

    def process(
        self, element: tuple[str, dict[str, Iterable[Any]]], provenance: Provenance
    ) -> Iterator[tuple[Row, int]]:
        """Yields the row and the size of its image in bytes."""
        (assigned,) = element[1]["examples"]
        translated: dict[str, TranslatedText] = dict(element[1]["translations"])
        row = _row_of(assigned, self._seed)
        by_model = any(text.by_model for text in translated.values())
        row["provenance"] = provenance.as_row(translated=by_model)
        if assigned.language not in self._supported:
            name = languages()[assigned.language].name
            row["reason"] = f"language: the model {self._model!r} was not trained on {name}"
        else:
            self._fill(row, assigned, translated)
        yield row, assigned.image_size

    def _fill(self, row: Row, assigned: AssignedExample, translated: dict[str, TranslatedText]) -> None:
        example, language = assigned.example, languages()[assigned.language]
        question = example.prompt.text if example.prompt else None
        in_target_language = PROMPT in translated
        template = templates.choose(example.task, in_target_language, self._seed, example.id)
        row["template"] = template.id
        row["source_prompt"] = template.fill(language, question)
        row["prompt"] = row["source_prompt"]
        row["prompt_language"] = template.prompt_language
        if in_target_language:
            row["prompt"] = template.fill(language, translated[PROMPT].translation.text)
            row["prompt_language"] = assigned.language
        target = translated.get(TARGET)
        row["target"] = target.translation.text if target else example.target.text
        row["back_translation"] = target.back_translation if target else None
        prompt = translated.get(PROMPT)
        row["scores"] = row_scores(target.scores if target else None, prompt.scores if prompt else None)
        row["reason"] = row_reason(
            target.verdict.reason if target else None, prompt.verdict.reason if prompt else None
        )
        row["verdict"] = REJECT if row["reason"] else ACCEPT


def row_scores(target: Scores | None, prompt: Scores | None) -> Scores:
    """The `scores` struct of a row from those of its translated texts; None where one was not translated."""
    if prompt is None:
        return target or NO_SCORES
    return {**(target or NO_SCORES), **{PROMPT_PREFIX + name: prompt[name] for name in SCORES}}


def row_reason(target: str | None, prompt: str | None) -> str | None:
    """Why a row is rejected, from what is wrong with its texts; None if nothing is."""
    return f"{prompt} (in the prompt)" if prompt and not target else target


FILTER_RULES = frozenset(name for name, _ in Policy().rules())
"""What a reason starts with if a filter gave it."""

JUDGED = ("words", PROMPT_PREFIX + "words")
"""Scores that every text has that the filters looked at; a row with neither has nothing translated."""


def is_judged(row: Row) -> bool:
    """Whether the filters decide on the row, so that other bounds may change its verdict."""
    scored = any(row["scores"].get(name) is not None for name in JUDGED)
    return scored and (row["reason"] is None or short_reason(row["reason"]) in FILTER_RULES)


def short_reason(reason: str) -> str:
    """The rule that a reason names, or what else was wrong: `lid`, `image`, `duplicate`, ..."""
    return reason.split(":", 1)[0]


def keeps_picture(row: Row) -> bool:
    """Whether a mix that embeds its pictures holds that of the row.

    Rows that filters rejected keep theirs in `rejected/`, so that `translate-mix refilter` can accept them.
    """
    return row["verdict"] == ACCEPT or is_judged(row)


def _row_of(assigned: AssignedExample, seed: int) -> Row:
    """The columns that need no translation, as a reject until something else is known."""
    example = assigned.example
    return {
        "id": assigned.id,
        "dataset": example.dataset,
        "task": example.task,
        "template": None,
        "image": {"bytes": None, "path": example.image},
        "image_id": example.image_id,
        "prompt_language": None,
        "language": assigned.language,
        "prompt": None,
        "target": None,
        "source_prompt": _text(example.prompt),
        "source_target": example.target.text,
        "back_translation": None,
        "scores": NO_SCORES,
        "verdict": REJECT,
        "reason": None,
        "provenance": None,
    }


def _text(text: Text | None) -> str | None:
    return text.text if text else None


def row_of_rejected_example(rejected: RejectedExample, seed: int) -> tuple[Row, int]:
    """A duplicate or an example without a usable image."""
    row = _row_of(rejected.assigned, seed)
    row["reason"] = rejected.reason
    row["image"] = {"bytes": None, "path": rejected.assigned.example.image}
    return row, 0


def row_of_reject(reject: Reject) -> tuple[Row, int]:
    """A record that never became an example; the raw record stands in `source_target`."""
    row: Row = {
        "id": f"{reject.dataset}/{reject.source_id}/{reject.task}/{UNDETERMINED}",
        "dataset": reject.dataset,
        "task": reject.task,
        "template": None,
        "image": None,
        "image_id": reject.image_id,
        "prompt_language": None,
        "language": UNDETERMINED,
        "prompt": None,
        "target": None,
        "source_prompt": None,
        "source_target": reject.record,
        "back_translation": None,
        "scores": NO_SCORES,
        "verdict": REJECT,
        "reason": reject.reason,
        "provenance": None,
    }
    return row, 0
