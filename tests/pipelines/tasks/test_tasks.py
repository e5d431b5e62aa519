"""Each task makes the examples that it should of what a source says."""

from __future__ import annotations

import re

import pytest

from pipelines.examples import Example, Reject
from pipelines.recipe_sources import SOURCES, Source
from pipelines.records import Asked, Captioned, Entailed, Picture, Place, Record, Stated, Talk, Written
from pipelines.tasks import RECORDS_OF_TASKS, examples_of, texts

PLACE = Place("f.json", "byte", 3, "f")
PICTURE = Picture("/p/1.jpg", "1")
ASKED = Asked(
    PLACE, "q1", PICTURE, "What is he doing?", "surfing", ("He stands on a board.", "there are waves")
)


def source(format_: str, **keys: object) -> Source:
    files = {"annotations": "a", "questions": "q", "path": "p", "images": "i", "classes": "c", "labels": "l"}
    model = SOURCES[format_]
    values = {key: value for key, value in files.items() if key in model.model_fields} | {"format": format_}
    return model.model_validate({"name": "s"} | values | keys)  # type: ignore[return-value]


def made(source: Source, *records: Record) -> list[Example]:
    return [one for one in examples_of(source, records, 17) if isinstance(one, Example)]


def test_every_task_of_every_format_is_made_of_some_record() -> None:
    assert {task for model in SOURCES.values() for task in model.possible} == set(RECORDS_OF_TASKS)


def test_captions_have_no_text_in_their_prompt() -> None:
    captions = (("1", "A dog."), ("2", "A brown dog."))
    first, second = made(source("coco"), Captioned(PLACE, PICTURE, captions))
    assert (first.id, first.prompt, first.target.text) == ("s/1/caption", None, "A dog.")
    assert (second.id, second.image, second.image_id) == ("s/2/caption", "/p/1.jpg", "1")


def test_one_record_serves_all_tasks_of_its_source() -> None:
    answered, asked = made(source("vqav2", tasks=("vqa", "vqg")), ASKED)
    assert (answered.task, answered.prompt and answered.prompt.text, answered.target.text) == (
        "vqa",
        "What is he doing?",
        "surfing",
    )
    assert (asked.task, asked.prompt and asked.prompt.text, asked.target.text) == (
        "vqg",
        "surfing",
        "What is he doing?",
    )
    assert answered.image_id == asked.image_id == "1"


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_answers_stays_english(share: float) -> None:
    records = [Asked(PLACE, str(number), PICTURE, "Why?", "so") for number in range(1000)]
    examples = made(source("vqav2", tasks=("vqa", "vqg"), english_answers=share), *records)
    stays = [example for example in examples if not example.target.translate]
    assert abs(len(stays) / 1000 - share) < 0.05
    assert {example.task for example in stays} <= {"vqa"}
    assert all(example.prompt and example.prompt.translate for example in examples)


def test_prompts_that_are_kept_are_not_translated_but_their_targets_are() -> None:
    for example in made(source("vqav2", tasks=("vqa", "vqg"), prompt="keep"), ASKED):
        assert example.prompt
        assert not example.prompt.translate
        assert example.target.translate


def test_reasons_hold_the_rationale_and_the_answer() -> None:
    examples = made(source("aokvqa"), ASKED)
    assert [example.source_id for example in examples] == ["q1#0", "q1#0why", "q1#1", "q1#1why"]
    reasoned, why = examples[2:]
    assert reasoned.prompt
    assert reasoned.prompt.text == "What is he doing?"
    assert "There are waves" in reasoned.target.text
    assert "surfing" in reasoned.target.text
    assert why.family == "explain"
    assert why.prompt
    assert why.prompt.text == "What is he doing? Surfing."
    assert why.target.text == "There are waves."


def test_turns_are_split_or_kept() -> None:
    talk = Talk(PLACE, "t", PICTURE, (("t#0", "What is it?", "A dog."), ("t#1", "Which colour?", "Brown.")))
    first, second = made(source("llava"), talk)
    assert [one.prompt and one.prompt.text for one in (first, second)] == ["What is it?", "Which colour?"]
    alone, after = made(source("llava", turns="keep"), talk)
    assert alone.prompt
    assert alone.prompt.text == "What is it?"
    assert after.prompt
    assert after.prompt.text == "What is it?\n\nA dog.\n\nWhich colour?"
    assert after.target.text == second.target.text == "Brown."


def test_a_statement_shows_two_pictures_and_splits_by_both() -> None:
    stated = Stated(PLACE, "d-0", (PICTURE, Picture("/p/2.jpg", "2")), "Both show dogs.", holds=False)
    (example,) = made(source("nlvr2"), stated)
    assert (example.image, example.second_image, example.image_id) == ("/p/1.jpg", "/p/2.jpg", "1+2")
    assert example.target.text == "no"


def test_a_statement_in_another_language_stays_so_and_is_answered_in_it() -> None:
    pictures = (PICTURE, Picture("/p/2.jpg", "2"))
    stated = Stated(PLACE, "tr-0", pictures, "İki resimde de köpek var.", holds=True, language="tur_Latn")
    (example,) = made(source("nlvr2"), stated)
    assert (example.language, example.target.text) == ("tur_Latn", "evet")


@pytest.mark.parametrize("label", ["yes", "maybe", "no"])
def test_an_entailment_is_answered_with_its_label(label: str) -> None:
    record = Entailed(PLACE, "e", PICTURE, "A man sleeps.", label)  # type: ignore[arg-type]
    (example,) = made(source("snli_ve"), record)
    assert (example.prompt and example.prompt.text, example.target.text) == ("A man sleeps.", label)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("First one. Second one. Third one. Fourth one.", None),
        ("A single sentence without an end", None),
        ("Ein Satz. Noch ein Satz. Und ein dritter.", "deu_Latn"),
        ("猫がいます。犬もいます。鳥はいません。", "jpn_Jpan"),
        ("ฉันชอบกินข้าวผัดทุกวัน", "tha_Thai"),
        ("one two three four", None),
    ],
)
def test_a_text_is_continued_and_nothing_of_it_is_lost(text: str, language: str | None) -> None:
    (example,) = made(source("text"), Written(PLACE, "w", text, language))
    assert example.prompt
    assert example.prompt.text
    assert example.target.text
    squeezed = re.sub(r"\s", "", example.prompt.text + example.target.text)
    assert squeezed == re.sub(r"\s", "", text)
    assert (example.language, example.target.translate) == (language, language is None)
    assert example.image is None
    assert example.image_id is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("“One two three four five six.” \u200f", None),
        ("هڪ ٻه ٽي چار پنج. \u200f", "snd_Arab"),
        ("„Das ist ein ganzer Satz.“ ”", "deu_Latn"),
    ],
)
def test_the_rest_of_a_text_has_words(text: str, language: str | None) -> None:
    (example,) = made(source("text"), Written(PLACE, "w", text, language))
    assert example.prompt
    for part in (example.prompt.text, example.target.text):
        assert any(letter.isalnum() for letter in part)


@pytest.mark.parametrize(("text", "language"), [("Kurz.", "deu_Latn"), ("短", "jpn_Jpan"), ("a b c", None)])
def test_a_text_that_is_too_short_is_a_reject_and_no_word_is_cut(text: str, language: str | None) -> None:
    (reject,) = examples_of(source("text"), [Written(PLACE, "w", text, language)], 17)
    assert isinstance(reject, Reject)
    assert reject.reason.startswith("source: f.json byte 3: too short to be continued")


@pytest.mark.parametrize(
    ("text", "language", "parts"),
    [
        # In the middle stands a vowel sign with a tone mark, which belong to the letter before.
        ("ຂ້ອຍມັກປຶ້ມນີ້ຫຼາຍທີ່ສຸດ", "lao_Laoo", ("ຂ້ອຍມັກປຶ້ມນີ້", "ຫຼາຍທີ່ສຸດ")),
        ("私は本がとても好きです。とても", "jpn_Jpan", ("私は本がとても好きです。", "とても")),
        ("か\u3099" * 7, "jpn_Jpan", ("か\u3099" * 4, "か\u3099" * 3)),
    ],
)
def test_no_letter_is_parted_from_its_marks(text: str, language: str, parts: tuple[str, str]) -> None:
    (example,) = made(source("text"), Written(PLACE, "w", text, language))
    assert example.prompt
    assert (example.prompt.text, example.target.text) == parts


def test_a_single_letter_however_long_is_too_short() -> None:
    text = "か" + "\u3099" * 20
    (reject,) = examples_of(source("text"), [Written(PLACE, "w", text, "jpn_Jpan")], 17)
    assert isinstance(reject, Reject)


def test_rationales_that_cannot_be_used_cost_no_other_task_its_row() -> None:
    record = Asked(PLACE, "q", PICTURE, "Why?", "so", (), "`rationales` is an empty list")
    answered, rejected = examples_of(source("aokvqa", tasks=("vqa", "reason")), [record], 17)
    assert isinstance(answered, Example)
    assert isinstance(rejected, Reject)
    assert rejected.reason == "source: f.json byte 3: `rationales` is an empty list"


def test_rejects_pass_through() -> None:
    reject = Reject("s", "x", "caption", "source: f byte 3: no", "raw")
    assert list(examples_of(source("coco"), [reject], 17)) == [reject]


def test_a_record_that_serves_no_task_is_a_defect() -> None:
    with pytest.raises(ValueError, match=r"none of its tasks \(caption\) is made of a Asked"):
        list(examples_of(source("coco"), [ASKED], 17))


def test_an_answer_within_a_prompt_has_no_full_stop_of_its_own() -> None:
    for answer, asked in (("A trash can.", "A trash can"), ("U.S.", "U.S."), ("5.5", "5.5"), (".", ".")):
        (found,) = made(source("vqav2", tasks=("vqg",)), Asked(PLACE, "q", PICTURE, "What?", answer))
        assert found.prompt
        assert found.prompt.text == asked


@pytest.mark.parametrize(
    ("question", "asked"),
    [("what is this", "what is this? No."), ("Why?", "Why? No."), ("Look: what!", "Look: what! No.")],
)
def test_question_and_answer_are_two_sentences(question: str, asked: str) -> None:
    record = Asked(PLACE, "q", PICTURE, question, "no", ("because",))
    _, why = made(source("aokvqa"), record)
    assert why.prompt
    assert why.prompt.text == asked


def test_a_full_answer_is_not_asked_for_as_a_short_one() -> None:
    record = Asked(PLACE, "q", PICTURE, "Is it dark?", "Yes, it is.")
    families = [made(source("gqa", answer=answer), record)[0].family for answer in ("short", "full")]
    assert families == ["", "vqa_full"]
    long = Asked(PLACE, "q", PICTURE, "Why?", "It is dark because the sun has set.")
    (found,) = made(source("vqav2"), long)
    assert found.family == "vqa_full"


@pytest.mark.parametrize("end", ["\n\n", "\n", ". ", " ", "x"])
def test_of_a_long_text_the_beginning_is_taken(end: str) -> None:
    sentence = "It goes on." if end != "x" else "y" * 10
    text = f"{sentence}{end}" * 4_000
    if end == "x":
        text = f"First of all. {text}"
    (found,) = made(source("text"), Written(PLACE, "t", text))
    assert found.prompt
    whole = f"{found.prompt.text} {found.target.text}"
    assert 10_000 < len(whole) <= texts.MOST_CHARACTERS + 1
    assert "".join(text.split()).startswith("".join(whole.split()))
