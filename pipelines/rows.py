"""Second half of the graph: examples and translated texts -> rows with a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import apache_beam as beam

from pipelines import templates
from pipelines.assignment import Assignment
from pipelines.examples import Reject, Text
from pipelines.reading import PROMPT, TARGET, AssignedExample, RejectedExample
from pipelines.translating import TextKey, TranslatedText
from translation.filters import NO_SCORES, SCORES, Policy, Scores, is_short
from translation.languages import languages
from translation.row import ACCEPT, ENGINE_FIELDS, PROMPT_PREFIX, REJECT, ROW_FIELDS, UNDETERMINED

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
    for slot, text in assigned.texts_to_translate() if assigned.language in supported else ():
        if not _is_answer(assigned, slot, text):
            yield (assigned.language, text.text), (assigned.id, slot)


def answers_to_translate(
    assigned: AssignedExample, supported: frozenset[str]
) -> Iterator[tuple[TextKey, tuple[tuple[str, str], str | None]]]:
    """((target, answer), ((row id, slot), question)) of an answer that goes through the answer table."""
    for slot, text in assigned.texts_to_translate() if assigned.language in supported else ():
        if _is_answer(assigned, slot, text):
            asked = assigned.example.task == "vqa"
            question = _text(assigned.example.prompt) if asked else None
            yield (assigned.language, text.text), ((assigned.id, slot), question)


_SLOT_OF_ANSWER = MappingProxyType(
    {
        "vqa": TARGET,
        "vqg": PROMPT,
        "matching": TARGET,
        "classify_yes_no": TARGET,
        "statement": TARGET,
        "entailment": TARGET,
    }
)
"""Task -> where its answer stands."""


def _is_answer(assigned: AssignedExample, slot: str, text: Text) -> bool:
    return _SLOT_OF_ANSWER.get(assigned.example.task) == slot and is_short(text.text)


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

    def __init__(
        self, model: str, supported: frozenset[str], assignment: Assignment, translated: float
    ) -> None:
        """`translated`: share of the prompts that take a wording of the target's language, if it has one."""
        self._model, self._supported = model, supported
        self._assignment, self._translated = assignment, translated

    def process(
        self, element: tuple[str, dict[str, Iterable[Any]]], provenance: Provenance
    ) -> Iterator[tuple[Row, int]]:
        """Yields the row and the size of its image in bytes."""
        (assigned,) = element[1]["examples"]
        translated: dict[str, TranslatedText] = dict(element[1]["translations"])
        row = _row_of(assigned, self._assignment)
        by_model = any(text.by_model for text in translated.values())
        row["provenance"] = provenance.as_row(translated=by_model)
        if assigned.language not in self._supported and any(assigned.texts_to_translate()):
            name = languages()[assigned.language].name
            row["reason"] = f"language: the model {self._model!r} was not trained on {name}"
        else:
            self._fill(row, assigned, translated)
        yield row, assigned.image_size

    def _fill(self, row: Row, assigned: AssignedExample, translated: dict[str, TranslatedText]) -> None:
        example, slot_language = assigned.example, assigned.prompt_language
        language = languages()[assigned.target_language]
        english = example.prompt.text if example.prompt else None
        template = templates.choose(
            example.family or example.task,
            language.nllb,
            slot_language,
            self._assignment.seed,
            example.id,
            self._translated,
        )
        row["template"] = template.id
        row["source_prompt"] = templates.source_of(template).fill(language, english)
        prompt, target = translated.get(PROMPT), translated.get(TARGET)
        row["prompt"] = template.fill(language, _in_language(example.prompt, prompt))
        row["prompt_language"] = (
            slot_language
            if template.prompt_language == templates.TARGET_LANGUAGE
            else template.prompt_language
        )
        row["target"] = _in_language(example.target, target)
        row["back_translation"] = target.back_translation if target else None
        row["scores"] = row_scores(target.scores if target else None, prompt.scores if prompt else None)
        row["reason"] = row_reason(
            target.verdict.reason if target else None, prompt.verdict.reason if prompt else None
        )
        row["verdict"] = REJECT if row["reason"] else ACCEPT


def _in_language(text: Text | None, translated: TranslatedText | None) -> str | None:
    """What stands in the row: the translation, the label that was given, or the text as it is."""
    if text is None:
        return None
    return translated.translation.text if translated else text.given or text.text


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


def _row_of(assigned: AssignedExample, assignment: Assignment) -> Row:
    """The columns that need no translation, as a reject until something else is known."""
    example = assigned.example
    return {
        "id": assigned.id,
        "dataset": example.dataset,
        "task": example.task,
        "template": None,
        "image": {"bytes": None, "path": example.image},
        "second_image": example.second_image and {"bytes": None, "path": example.second_image},
        "image_id": example.image_id,
        "split": assignment.split(example),
        "prompt_language": None,
        "question_language": assigned.prompt_language,
        "language": assigned.target_language,
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


def key_of(image_id: str | None, row_id: str) -> str:
    """What decides on the split and shard of a row: rows of one image stay together."""
    return image_id or row_id


def _text(text: Text | None) -> str | None:
    return text.text if text else None


def row_of_rejected_example(rejected: RejectedExample, assignment: Assignment) -> tuple[Row, int]:
    """A duplicate or an example without a usable image."""
    row = _row_of(rejected.assigned, assignment)
    row["reason"] = rejected.reason
    if rejected.copy:
        # Ids are unique in a mix, its rejected rows included.
        row["id"] += f"~{rejected.copy}"
    return row, 0


def row_of_reject(reject: Reject) -> tuple[Row, int]:
    """A record that never became an example; the raw record stands in `source_target`."""
    row: Row = dict.fromkeys(field.name for field in ROW_FIELDS)
    row |= {
        "id": f"{reject.dataset}/{reject.source_id}/{reject.task}/{UNDETERMINED}",
        "dataset": reject.dataset,
        "task": reject.task,
        "image_id": reject.image_id,
        "language": UNDETERMINED,
        "source_target": reject.record,
        "scores": NO_SCORES,
        "verdict": REJECT,
        "reason": reject.reason,
    }
    return row, 0
