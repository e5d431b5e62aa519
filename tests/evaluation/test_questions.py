"""A task's official files become questions with prompts, pictures and gold answers; the rest is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evaluation.pictures import AbsentPicture
from evaluation.questions import Questions, questions_of
from evaluation.readers.records import DataError
from evaluation.tasks import read_task
from tests.evaluation.official import EXCERPTS, png, put_json, put_lines, put_picture, task_yaml, xgqa
from training.pictures import BadPicture
from translation.settings_file import SettingsError

MINE: dict[str, Any] = {
    "name": "mine",
    "format": "records",
    "files": "questions.jsonl",
    "fields": {"text": "question", "language": "language"},
    "pictures": {"path": ["images"], "names": ["{image}"]},
    "template": "vqa-question-short",
    "metrics": ["any_match"],
}


def mine(root: Path, records: list[object], **changes: Any) -> Questions:
    put_lines(root / "questions.jsonl", records)
    for number in range(3):
        put_picture(root / f"images/{number}.png", number)
    values = {key: value for key, value in {**MINE, **changes}.items() if value is not ...}
    return questions_of(read_task(task_yaml(root / "mine.yaml", **values)))


def record(number: int, **changes: Any) -> dict[str, Any]:
    values = {"id": number, "image": f"{number % 3}.png", "language": "de", "question": "Was ist das?"}
    return {**values, "answers": ["Hund", "ein Hund"], **changes}


def problems(found: Questions) -> dict[str, tuple[int, str]]:
    return {one.kind: (one.count, one.examples[0]) for one in found.problems}


def test_a_question_has_prompt_pictures_and_gold_answers(tmp_path: Path) -> None:
    (question,) = mine(tmp_path, [record(1)]).items
    assert question.request.prompt == "Question: Was ist das? Short answer in German:"
    assert (question.request.prompt_language, question.request.language) == ("eng_Latn", "deu_Latn")
    assert question.expected.references == ("Hund", "ein Hund")
    assert question.key == ("deu_Latn", "1")
    assert question.expected.unit == "1.png"
    assert [picture.read() for picture in question.pictures] == [png(1)]
    assert question.request.pictures == ()


def test_a_prompt_may_stand_in_the_task(tmp_path: Path) -> None:
    changes = {
        "template": ...,
        "prompt": "{question} ({choices}) Say it in {language}.",
        "choices": ["a", "b"],
    }
    (question,) = mine(
        tmp_path, [record(1, question="What is {x}?", answers="b")], answers="english", **changes
    ).items
    assert question.request.prompt == "What is {x}? (a, b) Say it in English."
    assert question.expected.choices == ("a", "b")
    assert question.key == ("deu_Latn", "1")


def test_a_prompt_in_the_languages_own_words(tmp_path: Path) -> None:
    found = mine(
        tmp_path, [record(1)], template="vqa-question-short-deu_Latn", languages=["de"]
    )  # fmt: skip
    (question,) = found.items
    assert question.request.prompt_language == "deu_Latn"
    assert "German" not in question.request.prompt
    assert "Was ist das?" in question.request.prompt


def test_what_cannot_be_used_is_counted_and_named(tmp_path: Path) -> None:
    found = mine(
        tmp_path,
        [
            record(1),
            record(1, question="Noch einmal?"),
            "no object",
            record(2, question="  "),
            record(3, answers=[]),
            record(4, answers=[{"a": 1}]),
            record(5, language="quz"),
            record(6, language="fr"),
            record(7, answers="unsure"),
            record(8, image=None),
            record(9, id=None),
        ],
        languages=["de", "quz"],
        codes={"quz": "quy_Latn"},
        left_out={"fr": "for a reason"},
        ungraded=["unsure"],
    )
    assert {one.expected.id for one in found.items} == {"1", "5"}
    assert problems(found) == {
        "broken record": (6, f"{tmp_path.name}/questions.jsonl, line 3: is 'no object', an object wanted"),
        "doubled record": (1, "deu_Latn 1"),
        "no gold answer": (1, "de 7"),
        "language left out": (1, "fr: for a reason"),
    }
    broken = next(one for one in found.problems if one.kind == "broken record")
    file = f"{tmp_path.name}/questions.jsonl"
    assert broken.examples[1:] == (
        f"{file}, line 4: `question` is '  ', a text wanted",
        f"{file}, line 5: `answers` is [], a text or a list of texts wanted",
        f"{file}, line 6: `answers` is [{{'a': 1}}], a text or a list of texts wanted",
        "de 8: `image` is None, a text or a number wanted",
        f"{file}, line 11: `id` is None, a text or a number wanted",
    )


def test_records_in_unknown_languages_are_counted(tmp_path: Path) -> None:
    found = mine(tmp_path, [record(1), record(2, language="xx")])
    assert problems(found) == {"unknown language of a record": (1, "questions.jsonl: xx 2")}


def test_languages_that_the_task_does_not_name_are_told(tmp_path: Path) -> None:
    found = mine(tmp_path, [record(1), record(2, language="fr"), record(3, language="fr")], languages=["de"])
    assert found.counts == {"deu_Latn": 1}
    assert problems(found) == {"language left out": (1, "fr: not among `languages`")}


def test_missing_pictures_are_told_when_they_are_read(tmp_path: Path) -> None:
    found = mine(tmp_path, [record(1), record(2, image="away.png")])
    assert found.items[1].pictures == (AbsentPicture("away.png"),)
    with pytest.raises(BadPicture, match=r"missing.*away\.png"):
        found.items[1].pictures[0].read()


def test_without_any_picture_the_task_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"none of 2 pictures is there; the first would be '1\.jpg' in \S*/images"
    ):
        mine(tmp_path, [record(1, image="1.jpg"), record(2, image="2.jpg")])


def test_pictures_are_optional(tmp_path: Path) -> None:
    assert mine(tmp_path, [record(1)], pictures=...).items[0].pictures == ()


def test_nothing_to_ask_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing to ask in its files: 1 record .* \(first: .*line 1"):
        mine(tmp_path, [{"id": 1}])


def test_languages_of_the_task_without_items_are_told(tmp_path: Path) -> None:
    found = mine(tmp_path, [record(1)], languages=["de", "fr"])
    assert problems(found) == {"language without items": (1, "fr")}


def test_files_that_a_mac_put_beside_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "._questions.jsonl").write_bytes(b"\x00\x05attributes")
    put_lines(tmp_path / "questions.jsonl", [record(1)])
    put_picture(tmp_path / "images/1.png", 1)
    task = read_task(task_yaml(tmp_path / "mine.yaml", **{**MINE, "files": "*.jsonl"}))
    assert [one.expected.id for one in questions_of(task).items] == ["1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"template": "vqa-short"},
        {"answers": "english"},
        {"pictures": {"path": ["images"], "names": ["{image}", "{image}"]}},
        {"pictures": ...},
        {"labels": {"Hund": "dog", "ein Hund": "a dog"}},
        {"choices": ["Hund", "ein Hund"], "languages": ["de"], "answers": "english"},
    ],
)
def test_the_digest_of_what_is_asked_sees_every_word(tmp_path: Path, changes: dict[str, Any]) -> None:
    plain = mine(tmp_path, [record(1), record(2)])
    assert mine(tmp_path, [record(1), record(2)]).asked_digest == plain.asked_digest
    assert mine(tmp_path, [record(1), record(2)], metrics=["fidelity"]).asked_digest == plain.asked_digest
    assert mine(tmp_path, [record(1), record(2)], **changes).asked_digest != plain.asked_digest


def test_pictures_that_come_later_are_the_same_question(tmp_path: Path) -> None:
    layouts = {"path": ["images"], "names": ["{image}"], "layouts": ["one/", ""]}
    before = mine(tmp_path, [record(1), record(2, image="late.png")], pictures=layouts)
    put_picture(tmp_path / "images/late.png", 7)
    after = mine(tmp_path, [record(1), record(2, image="late.png")], pictures=layouts)
    assert isinstance(before.items[1].pictures[0], AbsentPicture)
    assert not isinstance(after.items[1].pictures[0], AbsentPicture)
    assert before.asked_digest == after.asked_digest


def test_labels_become_answers_and_unknown_ones_are_counted(tmp_path: Path) -> None:
    found = mine(
        tmp_path,
        [record(1, answers=True), record(2, answers=False), record(3, answers="perhaps")],
        answers="english",
        labels={"true": "yes", "false": "no"},
        choices=["yes", "no"],
    )
    assert [one.expected.references for one in found.items] == [("yes",), ("no",)]
    assert problems(found) == {"broken record": (1, "de 3: the label 'perhaps' is none of true, false")}


def test_a_gold_answer_outside_of_the_choices_is_counted(tmp_path: Path) -> None:
    found = mine(tmp_path, [record(1, answers="a", own=["a", "b"]), record(2, answers="c", own=["a", "b"])],
                 fields={**MINE["fields"], "choices": "own"})  # fmt: skip
    assert [one.expected.choices for one in found.items] == [("a", "b")]
    assert problems(found)["broken record"] == (1, "de 2: the gold answer 'c' is none of the choices a, b")


def test_several_files_of_a_language_keep_their_ids_apart(tmp_path: Path) -> None:
    for name in ("hard", "easy"):
        put_lines(tmp_path / f"{name}.jsonl", [record(1)])
    put_picture(tmp_path / "images/1.png", 1)
    found = questions_of(read_task(task_yaml(tmp_path / "mine.yaml", **{**MINE, "files": "*.jsonl"})))
    assert [one.expected.id for one in found.items] == ["easy/1", "hard/1"]


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for name in ("animals/test.jsonl", "food/test.jsonl", "food/more/test.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        put_lines(tmp_path / name, [record(1)])
    put_picture(tmp_path / "images/1.png", 1)
    found = questions_of(read_task(task_yaml(tmp_path / "mine.yaml", **{**MINE, "files": "**/*.jsonl"})))
    assert [one.expected.id for one in found.items] == ["animals/test/1", "food/more/test/1", "food/test/1"]
    assert not found.problems


def test_items_without_a_gold_answer_are_left_out_in_every_format(tmp_path: Path) -> None:
    pairs = [{"question_id": str(n), "question": "Q?", "answers": [gold]} for n, gold in enumerate("-x")]
    put_json(tmp_path / "m.json", {"annotations": [{"image_id": "a", "qa_pairs": pairs}]})
    changes = {"format": "maxm", "files": "m.json", "languages": ["en"], "ungraded": ["-"]}
    values = {key: value for key, value in {**MINE, **changes}.items() if key not in ("fields", "pictures")}
    found = questions_of(read_task(task_yaml(tmp_path / "mine.yaml", **values)))
    assert [one.expected.references for one in found.items] == [("x",)]
    assert problems(found) == {"no gold answer": (1, "en 0")}


def test_another_size_than_published_is_told(tmp_path: Path) -> None:
    xgqa(tmp_path, count=3)
    task = read_task("xgqa", [f"root={tmp_path}", "languages=[en, de]"])
    found = questions_of(task)
    assert found.counts == {"deu_Latn": 3, "eng_Latn": 3}
    assert problems(found) == {"other count": (2, "deu_Latn: 3 of 9,666")}
    exact = read_task("xgqa", [f"root={tmp_path}", "languages=[en, de]", "expected={each: 3}"])
    assert questions_of(exact).problems == ()


def test_languages_without_files_are_an_error(tmp_path: Path) -> None:
    xgqa(tmp_path)
    with pytest.raises(SettingsError, match=r"there is no .*testdev_balanced_questions_bn\.json"):
        questions_of(read_task("xgqa", [f"root={tmp_path}"]))


def test_the_digest_is_of_the_files(tmp_path: Path) -> None:
    xgqa(tmp_path, count=3)
    task = read_task("xgqa", [f"root={tmp_path}", "languages=[en, de]"])
    digest = questions_of(task).digest
    put_picture(tmp_path / "gqa/images/n0.jpg", 9)
    assert questions_of(task).digest == digest
    xgqa(tmp_path, count=4)
    assert questions_of(task).digest != digest


def test_answers_of_xgqa_are_english(tmp_path: Path) -> None:
    xgqa(tmp_path, count=1)
    german = questions_of(read_task("xgqa", [f"root={tmp_path}", "languages=[de]"])).items[0]
    assert german.request.prompt == "Question: Is it de 0? Short answer in English:"
    assert (german.request.language, german.expected.language) == ("eng_Latn", "deu_Latn")
    assert german.expected.answer_language == "eng_Latn"


def test_xm3600_leaves_out_quechua_and_says_so(tmp_path: Path) -> None:
    put_lines(
        tmp_path / "xm3600/captions.jsonl",
        [
            {
                "image/key": f"k{number}",
                "image/locale": "quz",
                "de": {"caption": ["ein Hund", "Hund"], "caption/tokenized": ["ein Hund"]},
                "hr": {"caption": ["pas"]},
                "no": {"caption": ["en hund"]},
                "quz": {"caption": ["allqu"]},
            }
            for number in range(2)
        ],
    )
    put_picture(tmp_path / "xm3600/images/k0.jpg", 0)
    overrides = [f"root={tmp_path}", 'languages=[de, hr, "no"]', "expected={each: 2}"]
    found = questions_of(read_task("xm3600", overrides))
    assert found.counts == {"deu_Latn": 2, "hrv_Latn": 2, "nob_Latn": 2}
    assert problems(found)["language left out"][1].startswith("quz: the registry has no Cuzco Quechua")
    assert found.items[0].expected.references == ("ein Hund", "Hund")
    assert found.items[0].request.prompt == "Describe the image in German."


# --- Real files -----------------------------------------------------------------------------------

EVAL = EXCERPTS / "eval"
real = pytest.mark.skipif(not EVAL.is_dir(), reason="the real excerpts are not on this machine")


@real
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("xvnli", dict.fromkeys(("arb_Arab", "eng_Latn", "fra_Latn", "rus_Cyrl", "spa_Latn"), 1150)),
        (
            "marvl",
            {"ind_Latn": 1128, "swh_Latn": 1108, "tam_Taml": 1242, "tur_Latn": 1180, "zho_Hans": 1012},
        ),
        (
            "xflickrco",
            {"deu_Latn": 1999, "eng_Latn": 2000, "ind_Latn": 1999, "jpn_Jpan": 2000, "rus_Cyrl": 2000}
            | {"spa_Latn": 2000, "tur_Latn": 2000, "zho_Hans": 2000},
        ),
    ],
)
def test_whole_official_files_have_the_published_numbers(name: str, counts: dict[str, int]) -> None:
    found = questions_of(read_task(name, [f"root={EVAL}", "pictures=null"]))
    assert found.counts == counts
    assert "other count" not in problems(found)


@real
def test_the_items_without_agreement_are_counted() -> None:
    found = questions_of(read_task("xvnli", [f"root={EVAL}", "pictures=null"]))
    assert problems(found)["no gold answer"][0] == 14 * 5
    golds = {gold for one in found.items for gold in one.expected.references}
    assert golds == {"yes", "no", "maybe"}


@real
def test_two_captions_of_xflickrco_are_empty() -> None:
    found = questions_of(read_task("xflickrco", [f"root={EVAL}", "pictures=null"]))
    assert problems(found)["broken record"] == (
        2,
        "de/test.jsonl, line 1960: `sentences` is [''], a text or a list of texts wanted",
    )


@real
def test_xgqa_is_parallel_and_its_answers_are_english() -> None:
    overrides = [f"root={EVAL}", "pictures=null", "files=xgqa/few_shot/{code}/train_5.json"]
    found = questions_of(read_task("xgqa", overrides))
    assert set(found.counts.values()) == {155}
    assert len(found.counts) == 8
    by_id: dict[str, set[tuple[str, ...]]] = {}
    for one in found.items:
        by_id.setdefault(one.expected.id, set()).add(one.expected.references)
    assert {len(golds) for golds in by_id.values()} == {1}
    assert problems(found)["other count"] == (8, "ben_Beng: 155 of 9,666")


@real
def test_captions_by_language_are_read_from_one_file() -> None:
    overrides = [
        f"root={EVAL}",
        "pictures=null",
        "format=captions",
        "files=babel_imagenet/xtd.json",
        "fields={}",
    ]
    more = ["codes.jp=jpn_Jpan", "languages=[de, jp, ko]", "expected={each: 1000}"]
    found = questions_of(read_task("xflickrco", [*overrides, *more]))
    assert found.counts == {"deu_Latn": 1000, "jpn_Jpan": 1000, "kor_Hang": 1000}
    assert problems(found) == {"language left out": (8, "en: not among `languages`")}


@real
def test_vqav2_and_nlvr2_are_read_from_their_official_files(tmp_path: Path) -> None:
    source = EXCERPTS / "source"
    vqa = questions_of(read_task("vqav2", [f"root={source}", "pictures=null"]))
    assert len(vqa.items) == 100
    assert {len(one.expected.references) for one in vqa.items} == {10}
    nlvr2 = questions_of(read_task("nlvr2", [f"root={source}", "files=nlvr2/dev.json", "pictures=null"]))
    assert len(nlvr2.items) == 200
    assert nlvr2.items[0].expected.references == ("no",)
    assert nlvr2.items[0].expected.unit == "dev-850"


@real
def test_babel_imagenet_names_classes_in_96_languages(tmp_path: Path) -> None:
    put_json(tmp_path / "index.json", {str(n): [f"n{n:08d}", f"thing {n}"] for n in range(1000)})
    for number in (0, 5, 999):
        put_picture(tmp_path / f"val/n{number:08d}/a.JPEG", number)
    overrides = [f"root={EVAL}", f"classes={tmp_path}/index.json", f"pictures.path=[{tmp_path}/val]"]
    found = questions_of(read_task("babel-imagenet-choice", overrides))
    assert found.counts["eng_Latn"] == 3
    assert "zho_Hans" in found.counts
    assert len(found.counts) > 60
    german = {one.expected.id: one for one in found.items if one.expected.language == "deu_Latn"}
    expected = german["n00000000/a"].expected
    assert expected.references[0] in expected.choices
    assert len(set(expected.choices)) == 4
