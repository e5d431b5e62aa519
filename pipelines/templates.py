"""The prompts that examples get: one table (`templates.yaml`), one deterministic choice per example."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml

from translation.languages import ENGLISH, Language

TABLE = "templates.yaml"
TARGET_LANGUAGE = "target"
"""`prompt_language` of a template without words of its own: the prompt is wholly in the target's language."""

_ENGLISH, _TRANSLATED = "english", "translated"
_LANGUAGE, _QUESTION = "{language}", "{question}"


@dataclass(frozen=True)
class Template:
    """One wording of a prompt."""

    id: str
    task: str
    text: str
    """`{language}` and `{question}` get replaced; other braces stand for themselves."""
    prompt_language: str
    """NLLB code of its words, or `TARGET_LANGUAGE`."""

    def fill(self, language: Language, question: str | None) -> str:
        """The prompt for a target in `language`; whatever the question holds stays as it is.

        Raises:
            ValueError: the template asks for a question and there is none.
        """
        if _QUESTION not in self.text:
            return self.text.replace(_LANGUAGE, language.name)
        if question is None:
            raise ValueError(
                f"template {self.id!r} of task {self.task!r} needs a question, the example has none"
            )
        # The question goes in last: one that holds "{language}" keeps it.
        return question.join(part.replace(_LANGUAGE, language.name) for part in self.text.split(_QUESTION))


def tasks() -> tuple[str, ...]:
    """The tasks that have templates."""
    return tuple(dict.fromkeys(task for task, _ in _table()))


def templates(task: str, prompt_translated: bool) -> tuple[Template, ...]:
    """The templates of a task, for a prompt in English or one translated into the target's language.

    Raises:
        ValueError: the task has no templates.
    """
    found = _table().get((task, prompt_translated), ())
    if not found:
        raise ValueError(f"no prompt template for task {task!r}; {TABLE} has {', '.join(tasks())}")
    return found


def choose(task: str, prompt_translated: bool, seed: int, example_id: str) -> Template:
    """The template of one example: a function of seed, task and id alone, uniform over the task's templates.

    Raises:
        ValueError: the task has no templates.
    """
    options = templates(task, prompt_translated)
    digest = hashlib.sha256(f"{seed}\x1ftemplate\x1f{task}\x1f{example_id}".encode()).digest()
    return options[int.from_bytes(digest[:8], "big") % len(options)]


@cache
def _table() -> Mapping[tuple[str, bool], tuple[Template, ...]]:
    """(task, prompt translated?) -> templates, read once from the package."""
    text = files("pipelines").joinpath(TABLE).read_text(encoding="utf-8")
    content: dict[str, dict[str, list[dict[str, Any]]]] = yaml.safe_load(text)
    table: dict[tuple[str, bool], tuple[Template, ...]] = {}
    for task, kinds in content.items():
        english = _parse(task, kinds[_ENGLISH])
        table[task, False] = english
        # A caption's prompt is the template alone: there is nothing to translate.
        table[task, True] = _parse(task, kinds[_TRANSLATED]) if _TRANSLATED in kinds else english
    return MappingProxyType(table)


def _parse(task: str, entries: list[dict[str, Any]]) -> tuple[Template, ...]:
    parsed = tuple(Template(entry["id"], task, entry["text"], entry["prompt_language"]) for entry in entries)
    for template in parsed:
        if template.prompt_language not in (ENGLISH, TARGET_LANGUAGE):
            raise ValueError(
                f"{TABLE}: template {template.id!r}: prompt_language {template.prompt_language!r} is neither "
                f"{ENGLISH} nor {TARGET_LANGUAGE}"
            )
    return parsed
