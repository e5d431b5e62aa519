"""Prompts: English templates name the language, the choice is deterministic, slots stay as they are."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from translation.filters.pairs import Batch, TextPair
from translation.filters.script import script_share
from translation.identification import SHIPPED, load_identifier
from translation.languages import ENGLISH, default_languages, languages
from translation.templates import (
    OWN_TRANSLATION,
    SENTENCES,
    TARGET_LANGUAGE,
    Family,
    Template,
    TemplateError,
    Wording,
    choose,
    families,
    family,
    parse,
    source_of,
    target_wording,
)
from translation.templates import (
    template as template_of,
)

GERMAN = languages()["deu_Latn"]
ALL = tuple(families().values())
ENGLISH_ONES = [template for one in ALL for template in one.english]
WORDLESS = [template for one in ALL for template in one.wordless]
TRANSLATED = [template for one in ALL for options in one.translated.values() for template in options]
EVERY = [*ENGLISH_ONES, *WORDLESS, *TRANSLATED]
WORDINGS = [wording for one in ALL for wording in one.targets]
ENTRIES: list[Template | Wording] = [*EVERY, *WORDINGS]

PAPER = (
    "caption",
    "vqa",
    "vqg",
    "instruct",
    "matching",
    "classify",
    "classify_yes_no",
    "reason",
    "explain",
)
"""Families of the tasks that mBLIP trains on."""

FIRST = {
    "caption-describe": "Describe the image in {language}.",
    "caption-caption": "Give a caption for the image in {language}.",
    "caption-short": "Give a short description of the image in {language}.",
    "caption-write": "Write a caption in {language} for this image.",
    "caption-shows": "In {language}, say what the image shows.",
    "caption-question": "What does the image show? Answer in {language}.",
    "caption-label": "Image caption in {language}:",
    "vqa-question-short": "Question: {question} Short answer in {language}:",
    "vqa-short": "{question} Short answer in {language}:",
    "vqa-answer-in": "{question} Answer in {language}.",
    "vqa-brief": "{question} Reply briefly, in {language}.",
    "vqa-few-words": "Look at the image and answer in a few words of {language}: {question}",
    "vqa-image-question": "Here is a question about the image. {question} The answer in {language} is:",
    "vqa-language-first": "Use {language} for a short answer. {question}",
    "instruct-answer-in": "{question} Answer in {language}.",
    "instruct-reply-in": "{question} Please reply in {language}.",
    "instruct-language-first": "Reply in {language}. {question}",
    "instruct-plain": "{question}",
}
"""Ids and texts of the first mixes: rows name them, so they never change."""


def slot_of(template: Template) -> str | None:
    return None if template.slot is None else "A SLOT."


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("caption", 6),
        ("vqa", 6),
        ("vqg", 5),
        ("instruct", 3),
        ("matching", 12),
        ("classify", 11),
        ("classify_yes_no", 8),
        ("reason", 5),
        ("explain", 5),
        ("statement", 5),
        ("entailment", 5),
        ("text", 5),
    ],
)
def test_a_family_has_at_least_as_many_english_wordings_as_the_paper(name: str, least: int) -> None:
    assert len({template.text for template in family(name).english}) >= least


def test_the_tasks_of_the_paper_have_at_least_68_english_templates() -> None:
    assert sum(len(family(name).english) for name in PAPER) >= 68


@pytest.mark.parametrize("template", ENGLISH_ONES, ids=lambda template: template.id)
def test_an_english_template_names_each_of_the_96_languages_once(template: Template) -> None:
    assert template.prompt_language == ENGLISH
    assert template.text.count("{language}") == 1
    for language in default_languages():
        assert template.fill(language, slot_of(template)).count(language.name) == 1


@pytest.mark.parametrize("template", ENGLISH_ONES, ids=lambda template: template.id)
def test_no_article_stands_before_the_name_of_a_language_or_before_a_slot(template: Template) -> None:
    """`a English`, `an Dutch`, `a orange`: no article fits all."""
    assert not regex.search(r"\ban? \"?\{", template.text, regex.IGNORECASE)


@pytest.mark.parametrize("template", WORDLESS, ids=lambda template: template.id)
def test_a_wordless_template_is_its_slot(template: Template) -> None:
    assert template.prompt_language == TARGET_LANGUAGE
    assert template.fill(GERMAN, "Was ist {das}") == "Was ist {das}"


def test_ids_are_unique_and_begin_with_the_family() -> None:
    ids = [entry.id for entry in ENTRIES]
    assert len(ids) == len(set(ids))
    assert all(entry.id.startswith(f"{entry.family}-") for entry in ENTRIES)


def test_the_ids_of_the_first_mixes_keep_their_texts() -> None:
    assert {template.id: template.text for template in EVERY if template.id in FIRST} == FIRST


def test_no_two_templates_of_a_family_say_the_same() -> None:
    texts = [(template.family, template.prompt_language, template.text) for template in EVERY]
    assert len(texts) == len(set(texts))


def test_only_what_stood_in_the_paper_or_was_written_here_is_there() -> None:
    assert {template.origin for template in EVERY} == {"paper", "own", OWN_TRANSLATION}
    assert all((one.origin == OWN_TRANSLATION) == (one in TRANSLATED) for one in EVERY)


def test_english_is_named_like_any_language() -> None:
    english = languages()[ENGLISH]
    assert {
        choose("caption", ENGLISH, None, 1, str(number), 1.0).prompt_language for number in range(50)
    } == {ENGLISH}
    assert all("English" in template.fill(english, None) for template in family("caption").english)


@pytest.mark.parametrize("template", TRANSLATED, ids=lambda template: template.id)
def test_a_translated_template_does_not_name_a_language_and_has_an_english_source(
    template: Template,
) -> None:
    assert "{language}" not in template.text
    source = source_of(template)
    assert source.prompt_language == ENGLISH
    assert source in family(template.family).english
    assert template.id == f"{source.id}-{template.prompt_language}"


def test_a_template_with_english_words_or_none_is_its_own_source() -> None:
    assert all(source_of(template) is template for template in (*ENGLISH_ONES, *WORDLESS))


def test_captions_are_asked_for_in_at_least_forty_languages_by_at_most_five_wordings() -> None:
    translated = family("caption").translated
    assert len(translated) >= 40
    assert all(1 <= len(options) <= 5 for options in translated.values())
    assert set(translated) < {language.nllb for language in default_languages()}


def test_translated_templates_are_in_the_script_of_their_language() -> None:
    pairs = [
        TextPair("-", regex.sub(r"\{\w+\}", "", template.text), template.prompt_language)
        for template in TRANSLATED
    ]
    shares = script_share(Batch(pairs))
    assert {pair.target: share for pair, share in zip(pairs, shares, strict=True) if share != 1} == {}


def test_the_translated_templates_of_a_language_are_identified_as_it() -> None:
    """All at once: of two or three words alone, siblings such as Swedish and Danish share too many."""
    texts: dict[str, list[str]] = {}
    for template in TRANSLATED:
        texts.setdefault(template.prompt_language, []).append(regex.sub(r"\{\w+\}", "", template.text))
    found = load_identifier(SHIPPED).identify([" ".join(lines) for lines in texts.values()])
    best = {code: next(iter(candidates)) for code, candidates in zip(texts, found, strict=True)}
    assert {
        code: other
        for code, other in best.items()
        if code != other and other not in languages()[code].confusable
    } == {}


def test_translated_templates_name_the_answers_that_the_table_of_answers_has() -> None:
    lines = files("translation").joinpath("yes_no.tsv").read_text(encoding="utf-8").splitlines()
    words = {code: (yes, no) for code, yes, no, *_ in (line.split("\t") for line in lines)}
    asking = [template for template in TRANSLATED if family(template.family).answers]
    assert asking
    for template in asking:
        for word in words[template.prompt_language]:
            # Hungarian has `igennel`, Arabic writes "with" as one with its word.
            assert word in template.text.casefold(), template.id


SLOTS = ["Is # 5 {red}?", "100 % {language}?", "{question}.", "{caption}{", "}{!", "\\1 %s {0}.", 'a "b".']


@pytest.mark.parametrize("slot", SLOTS)
@pytest.mark.parametrize("template", [one for one in EVERY if one.slot], ids=lambda one: one.id)
def test_whatever_a_slot_holds_survives(template: Template, slot: str) -> None:
    filled = template.fill(GERMAN, "A SLOT.")
    if '"' in slot:
        filled = filled.replace('"A SLOT."', "“A SLOT.”")
    assert template.fill(GERMAN, slot) == filled.replace("A SLOT.", slot)


@given(st.text(), st.sampled_from([one for one in EVERY if one.slot]))
def test_any_slot_survives(slot: str, template: Template) -> None:
    before, after = template.text.replace("{language}", GERMAN.name).split(f"{{{template.slot}}}")
    if '"' in slot and before.endswith('"'):
        before, after = f"{before[:-1]}“", f"”{after[1:]}"
    filled = template.fill(GERMAN, slot)
    assert slot in filled
    position = filled.index(slot, len(before.rstrip()))
    assert filled[:position].split() == before.split()
    assert filled[position + len(slot) :].split() == after.split()


def test_a_question_without_a_mark_does_not_run_into_the_words_that_follow() -> None:
    (template,) = [one for one in family("vqa").english if one.id == "vqa-question-short"]
    assert template.fill(GERMAN, "Why?") == "Question: Why? Short answer in German:"
    assert template.fill(GERMAN, "What is this") == "Question: What is this\nShort answer in German:"
    assert template.fill(GERMAN, "นี่คืออะไร") == "Question: นี่คืออะไร\nShort answer in German:"
    (brief,) = [one for one in family("vqa").translated["tha_Thai"] if one.id == "vqa-brief-tha_Thai"]
    assert brief.fill(languages()["tha_Thai"], "นี่คืออะไร") == "นี่คืออะไร\nตอบสั้น ๆ"


def test_code_tables_and_lists_stand_apart() -> None:
    before, after = (
        next(one for one in family("instruct").english if one.id == f"instruct-{name}")
        for name in ("language-first", "answer-in")
    )
    for slot in ("Explain:\n```\nx = 1\n```", "| 1 |\n|---|\n| 2 |", "Sort:\n- b\n- a."):
        assert before.fill(GERMAN, slot) == f"Reply in German.\n\n{slot}"
        assert after.fill(GERMAN, slot) == f"{slot}\n\nAnswer in German."
    for slot in ("`x = 1`", "Say this:", "2 +", "😀"):
        assert after.fill(GERMAN, slot) == f"{slot}\nAnswer in German."
    for slot in ('Who says "no"?', "(Why?)", "什么？", "ស្អី។", "Τι;"):
        assert after.fill(GERMAN, slot) == f"{slot} Answer in German."


@pytest.mark.parametrize("template", [one for one in EVERY if one.slot in SENTENCES], ids=lambda one: one.id)
def test_a_sentence_is_quoted_or_stands_apart(template: Template) -> None:
    filled = template.fill(GERMAN, "SLOT")
    assert regex.search(r"(?:^|[\n:：?？؟.] ?)SLOT(?:\n|$)|[\"„“”«「] ?SLOT ?[\"”“»」]", filled)


def test_the_name_is_the_registrys() -> None:
    template = family("vqa").english[0]
    assert template.fill(languages()["pes_Arab"], "Why?") == (
        f"Question: Why? Short answer in {languages()['pes_Arab'].name}:"
    )


def test_a_missing_slot_is_an_error_that_names_the_template() -> None:
    with pytest.raises(ValueError, match=r"instruct-plain.*instruct.*question"):
        family("instruct").wordless[0].fill(GERMAN, None)


def test_an_unknown_family_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'captions'.*caption, vqa, vqa_full, vqg, instruct"):
        choose("captions", "deu_Latn", None, 17, "a/1/caption")


def test_a_slot_language_must_be_given_exactly_where_there_is_a_slot() -> None:
    with pytest.raises(ValueError, match="'vqa' has the slot 'question'"):
        choose("vqa", "deu_Latn", None, 17, "a")
    with pytest.raises(ValueError, match="'caption' has no slot"):
        choose("caption", "deu_Latn", ENGLISH, 17, "a")
    with pytest.raises(ValueError, match="a slot in fra_Latn for a target in deu_Latn"):
        choose("vqa", "deu_Latn", "fra_Latn", 17, "a")


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_0_to_1_is_an_error(share: float) -> None:
    with pytest.raises(ValueError, match=r"0\.\.1"):
        choose("caption", "deu_Latn", None, 17, "a", share)


def chosen(
    name: str, language: str, slot_language: str | None, share: float = 0.5, number: int = 4000
) -> list[Template]:
    return [choose(name, language, slot_language, 17, f"coco/{at}/{name}", share) for at in range(number)]


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_the_choice_depends_on_seed_and_id_alone(one: Family) -> None:
    slot_language = "deu_Latn" if one.slot else None

    def choices(seed: int) -> list[Template]:
        return [choose(one.name, "deu_Latn", slot_language, seed, f"a/{at}/x") for at in range(60)]

    assert choices(17) == choices(17)
    assert choices(17) != choices(18) or one.own_share == 1


def test_the_choice_is_the_recorded_one() -> None:
    """Another way of choosing would change every mix."""
    ids = [choose("caption", "deu_Latn", None, 17, f"a/{number}/caption").id for number in range(6)]
    assert ids == [
        "caption-label-deu_Latn",
        "caption-question",
        "caption-caption",
        "caption-describe-deu_Latn",
        "caption-caption",
        "caption-label-deu_Latn",
    ]


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_the_choice_among_english_templates_is_even(one: Family) -> None:
    counts = Counter(
        template.id for template in chosen(one.name, "deu_Latn", ENGLISH if one.slot else None, 0)
    )
    assert set(counts) == {template.id for template in one.english}
    assert min(counts.values()) > 0.75 * 4000 / len(counts)
    assert max(counts.values()) < 1.25 * 4000 / len(counts)


def test_the_choice_among_translated_templates_is_even_and_independent_of_the_share() -> None:
    templates = chosen("caption", "deu_Latn", None, 0.3, 8000)
    counts = Counter(one.id for one in templates if one.prompt_language == "deu_Latn")
    assert len(counts) == 5
    assert min(counts.values()) > 0.8 * counts.total() / 5
    rest = Counter(one.id for one in templates if one.prompt_language == ENGLISH)
    assert len(rest) == len(family("caption").english)
    assert min(rest.values()) > 0.8 * rest.total() / len(rest)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_the_share_of_translated_templates_is_the_asked_one(share: float) -> None:
    for name, slot_language in (("caption", None), ("vqa", "deu_Latn"), ("text", "deu_Latn")):
        templates = chosen(name, "deu_Latn", slot_language, share)
        found = sum(template.prompt_language != ENGLISH for template in templates) / len(templates)
        assert abs(found - share) < 0.03
        assert share not in (0, 1) or found == share


def test_a_language_without_translated_templates_gets_english_ones() -> None:
    assert "sot_Latn" not in family("caption").translated
    assert {one.prompt_language for one in chosen("caption", "sot_Latn", None, 1.0)} == {ENGLISH}


@pytest.mark.parametrize("one", [one for one in ALL if one.slot], ids=lambda one: one.name)
def test_a_slot_in_english_gets_no_template_in_another_language(one: Family) -> None:
    for language in one.translated or ("deu_Latn",):
        assert {made.prompt_language for made in chosen(one.name, language, ENGLISH, 1.0, 50)} == {ENGLISH}


def test_a_translated_instruction_stands_alone_whatever_the_share() -> None:
    for share in (0.0, 0.5, 1.0):
        assert {one.id for one in chosen("instruct", "deu_Latn", "deu_Latn", share, 200)} == {
            "instruct-plain"
        }
    assert {one.id for one in chosen("instruct", "deu_Latn", ENGLISH, 1.0, 200)} == {
        template.id for template in family("instruct").english
    }


def test_an_instruction_of_an_english_row_names_english() -> None:
    assert "instruct-plain" not in {one.id for one in chosen("instruct", ENGLISH, ENGLISH, 1.0, 200)}


@pytest.mark.parametrize("wording", WORDINGS, ids=lambda wording: wording.id)
def test_a_target_holds_the_rationale_and_then_the_answer(wording: Wording) -> None:
    target = wording.fill("He is {wet}.", "{answer}")
    assert target.startswith("He is {wet}. ")
    assert target.endswith("{answer}.")
    assert target == wording.fill(" He is {wet}", "{answer}. ")


@pytest.mark.parametrize(
    ("rationale", "sentence"),
    [
        ("Wet", "Wet."),
        ("Wet!", "Wet!"),
        ('He says "no."', 'He says "no."'),
        ("Wet, ", "Wet."),
        ("A (b)", "A (b)."),
    ],
)
def test_a_rationale_ends_like_a_sentence(rationale: str, sentence: str) -> None:
    (wording,) = [one for one in WORDINGS if one.id == "reason-so"]
    assert wording.fill(rationale, "surfing") == f"{sentence} So the answer is surfing."


def test_the_wordings_of_targets_are_chosen_evenly_and_by_seed_and_id_alone() -> None:
    ids = [target_wording("reason", 17, f"aokvqa/{at}/reason").id for at in range(3000)]
    assert ids == [target_wording("reason", 17, f"aokvqa/{at}/reason").id for at in range(3000)]
    counts = Counter(ids)
    assert len(counts) == len(family("reason").targets) >= 5
    assert min(counts.values()) > 0.8 * 3000 / len(counts)


def test_the_wording_of_a_target_does_not_follow_from_its_prompt() -> None:
    pairs = {
        (
            choose("reason", ENGLISH, ENGLISH, 17, f"a/{at}/reason").id,
            target_wording("reason", 17, f"a/{at}/reason").id,
        )
        for at in range(1000)
    }
    assert len(pairs) == len(family("reason").english) * len(family("reason").targets)


def test_a_family_without_wordings_of_targets_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"'caption' has no wordings of targets; reason has"):
        target_wording("caption", 17, "a")


TABLE = """
vqa:
  slot: question
  english:
    - {id: vqa-short, text: "{question} In {language}:", origin: own}
  wordless:
    - {id: vqa-plain, text: "{question}", origin: own}
  translated:
    deu_Latn:
      vqa-short: "{question} Antwort:"
"""


def test_a_table_that_keeps_its_rules_is_read() -> None:
    table = parse(TABLE)
    assert [template.id for template in table["vqa"].in_language("deu_Latn", "deu_Latn")] == [
        "vqa-plain",
        "vqa-short-deu_Latn",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("In {language}", "In {langauge}", r"'vqa-short' has \{language\} 0 times"),
        ("In {language}", "In {language} {language}", r"\{language\} 2 times"),
        ("In {language}", "In {language} {answer}", r"\{answer\} means nothing there"),
        ("In {language}", "In {language} {", "a brace that belongs to no placeholder"),
        ('"{question} In', '"In', r"'vqa-short' has \{question\} 0 times"),
        ("{question} Antwort", "Antwort", r"'vqa-short-deu_Latn' has \{question\} 0 times"),
        ("{question} Antwort", "{question} {language}", r"\{language\} means nothing there"),
        ('"{question}"', '"Q: {question}"', "'vqa-plain' is wordless, but has words"),
        ("deu_Latn", "deu_Lain", r"unknown language 'deu_Lain'; did you mean deu_Latn"),
        ("deu_Latn", "de", "'de' is no NLLB code, it is deu_Latn"),
        ("deu_Latn", "eng_Latn", "eng_Latn belongs under `english`"),
        ("      vqa-short:", "      vqa-long:", "deu_Latn: 'vqa-long' is no English template"),
        ("vqa-plain", "vqa-short", "id 'vqa-short' is there twice"),
        ("id: vqa-plain", "id: plain", "the id must be vqa-words"),
        ("origin: own", "origin: papers", "origin 'papers' is none of paper, own"),
        (", origin: own", "", "origin is None, it must be a text"),
        ("slot: question", "slot: quest", "unknown slot 'quest'; known are .*question"),
        ("slot: question", "slot: question\n  own_share: 2", "own_share is 2"),
        ("slot: question", "slot: question\n  answers: [no]", "answers holds False, not a text"),
        ("slot: question", "slot: question\n  answers: ['yes']", "does not say that 'yes' is an answer"),
        ("  english:", "  english: []\n  target:", "unknown key 'target'; known are .*targets"),
        ("  wordless:", "  english:", "line 6: 'english' is there twice"),
        ("vqa:\n", "vqa: 3\nvqg:\n", "family 'vqa' holds 3"),
    ],
)
def test_a_table_that_breaks_a_rule_is_an_error_that_says_where(old: str, new: str, message: str) -> None:
    assert old in TABLE
    with pytest.raises(TemplateError, match=message) as raised:
        parse(TABLE.replace(old, new))
    assert "templates.yaml" in str(raised.value)


def test_a_template_is_found_by_its_id() -> None:
    assert template_of("caption-describe").text == "Describe the image in {language}."
    assert template_of("caption-describe-deu_Latn").prompt_language == "deu_Latn"
    with pytest.raises(
        ValueError, match="no prompt template 'caption-descrbe'; did you mean caption-describe"
    ):
        template_of("caption-descrbe")
