"""Prompts: every template names the language, the choice is deterministic, questions stay as they are."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.templates import TARGET_LANGUAGE, Template, choose, tasks, templates
from translation.languages import ENGLISH, languages

GERMAN = languages()["deu_Latn"]
EVERY = [
    template for task in tasks() for translated in (False, True) for template in templates(task, translated)
]


@pytest.mark.parametrize("task", ["caption", "vqa"])
@pytest.mark.parametrize("translated", [False, True])
def test_captions_and_questions_have_at_least_six_wordings(task: str, translated: bool) -> None:
    assert len({template.text for template in templates(task, translated)}) >= 6


@pytest.mark.parametrize("template", EVERY, ids=lambda template: template.id)
def test_every_template_with_words_of_its_own_names_the_language(template: Template) -> None:
    if template.prompt_language == TARGET_LANGUAGE:
        assert template.text == "{question}"
    else:
        assert template.prompt_language == ENGLISH
        assert template.text.count("{language}") == 1


def test_ids_name_one_text_each() -> None:
    assert len({template.id for template in EVERY}) == len(
        {(template.id, template.text) for template in EVERY}
    )
    assert all(template.id.startswith(f"{template.task}-") for template in EVERY)


def test_only_templates_with_a_question_serve_tasks_that_have_one() -> None:
    for template in EVERY:
        assert ("{question}" in template.text) == (template.task != "caption")


def test_english_is_named_like_any_language() -> None:
    english = languages()[ENGLISH]
    for template in templates("caption", prompt_translated=False):
        assert "English" in template.fill(english, None)


def test_the_name_is_the_registrys() -> None:
    template = templates("vqa", prompt_translated=False)[0]
    assert template.fill(languages()["pes_Arab"], "Why?") == (
        f"Question: Why? Short answer in {languages()['pes_Arab'].name}:"
    )


def test_a_translated_instruction_stands_alone() -> None:
    (template,) = templates("instruct", prompt_translated=True)
    assert template.fill(GERMAN, "Was ist das?") == "Was ist das?"


@pytest.mark.parametrize(
    "question", ["Is # 5 {red}?", "100 % {language}?", "{question}", "{", "}{", "\\1 %s {0}"]
)
@pytest.mark.parametrize(
    "template", [one for one in EVERY if "{question}" in one.text], ids=lambda one: one.id
)
def test_whatever_a_question_holds_survives(template: Template, question: str) -> None:
    frame = template.fill(GERMAN, "QUESTION")
    assert template.fill(GERMAN, question) == frame.replace("QUESTION", question)
    assert question in template.fill(GERMAN, question)


@given(st.text(), st.sampled_from(EVERY))
def test_any_question_survives(question: str, template: Template) -> None:
    filled = template.fill(GERMAN, question)
    assert question in filled or template.task == "caption"
    assert filled.replace(question, "", 1).count("{language}") <= question.count("{language}")


def test_a_missing_question_is_an_error_that_names_the_template() -> None:
    with pytest.raises(ValueError, match=r"instruct-plain.*instruct"):
        templates("instruct", prompt_translated=True)[0].fill(GERMAN, None)


def test_an_unknown_task_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'captions'.*caption, vqa, instruct"):
        templates("captions", prompt_translated=False)


def test_the_choice_depends_on_seed_and_id_alone() -> None:
    first = [choose("vqa", False, 17, f"a/{number}/vqa") for number in range(50)]
    assert first == [choose("vqa", False, 17, f"a/{number}/vqa") for number in range(50)]
    assert first != [choose("vqa", False, 18, f"a/{number}/vqa") for number in range(50)]


def test_the_choice_is_the_recorded_one() -> None:
    """Another way of choosing would change every mix."""
    chosen = [choose("caption", False, 17, f"a/{number}/caption").id for number in range(4)]
    assert chosen == ["caption-caption", "caption-shows", "caption-write", "caption-write"]


def test_the_choice_is_even() -> None:
    counts = Counter(choose("caption", False, 17, f"coco/{number}/caption").id for number in range(7000))
    assert len(counts) == len(templates("caption", False))
    assert min(counts.values()) > 0.8 * 7000 / len(counts)
