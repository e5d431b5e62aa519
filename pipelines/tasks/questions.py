"""Questions about a picture: answering them, asking them, and giving reasons."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipelines.examples import Example, Reject, Text
from pipelines.hashing import fraction
from pipelines.recipe_sources import GqaSource, Source
from pipelines.records import Asked
from translation import templates

EXPLAIN = "explain"
"""Family of templates: the prompt holds question and answer, the target says why."""

_MARKED = re.compile(r"[^\w\s]$")


FULL = "vqa_full"
"""Family of templates that do not ask for a short answer."""
SHORT_ANSWER_WORDS = 6
"""Of the longest answer that the others ask for."""


def vqa(source: Source, record: Asked, seed: int) -> Iterator[Example]:
    """The question as prompt, the answer as target, which stays English for `english_answers` of the rows."""
    stays = fraction(seed, "english answer", f"{source.name}/{record.source_id}") < source.english_answers
    in_full = isinstance(source, GqaSource) and source.answer == "full"
    family = FULL if in_full or len(record.answer.split()) > SHORT_ANSWER_WORDS else ""
    answer = Text(record.answer, translate=not stays)
    yield _example(source, record, "vqa", "", record.question, answer, family=family)


def vqg(source: Source, record: Asked, seed: int) -> Iterator[Example]:
    """The answer as prompt, its own question about its own picture as target."""
    # It stands within a sentence. Where it has other full stops, the last may be that of `U.S.`
    answer = record.answer.removesuffix(".") if record.answer.count(".") == 1 else record.answer
    yield _example(source, record, "vqg", "", answer or record.answer, Text(record.question))


def reason(source: Source, record: Asked, seed: int) -> Iterator[Example | Reject]:
    """For each rationale two examples: the reasons that lead to the answer, and why an answer is right."""
    if record.fault is not None:
        why = f"source: {record.place}: {record.fault}"
        yield Reject(source.name, record.source_id, "reason", why, record.question, record.picture.image_id)
    for index, rationale in enumerate(record.rationales):
        source_id = f"{record.source_id}#{index}"
        wording = templates.target_wording("reason", seed, f"{source.name}/{source_id}")
        because = _sentence(rationale)
        target = wording.fill(because, record.answer)
        yield _example(source, record, "reason", f"#{index}", record.question, Text(target))
        question = record.question if _MARKED.search(record.question) else f"{record.question}?"
        asked = f"{question} {_sentence(record.answer)}"
        yield _example(source, record, "reason", f"#{index}why", asked, Text(because), family=EXPLAIN)


def _example(
    source: Source, record: Asked, task: str, suffix: str, prompt: str, target: Text, family: str = ""
) -> Example:
    return Example(
        dataset=source.name,
        source_id=f"{record.source_id}{suffix}",
        task=task,
        image=record.picture.locator,
        image_id=record.picture.image_id,
        prompt=Text(prompt, translate=source.prompt == "translate"),
        target=target,
        family=family,
    )


def _sentence(text: str) -> str:
    """With a capital and an end mark, so that it stands beside another sentence as one of its own."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
