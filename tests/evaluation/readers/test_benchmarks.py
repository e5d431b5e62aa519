"""Each benchmark's official layout, with its two pictures, its ten answers, its classes, and its faults."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest

from evaluation.questions import Questions, questions_of
from evaluation.readers.records import DataError
from evaluation.tasks import read_task
from tests.evaluation.official import png, put_json, put_lines, put_picture


def ask(root: Path, name: str, *overrides: str) -> Questions:
    return questions_of(read_task(name, [f"root={root}", *overrides]))


def problems(found: Questions) -> dict[str, tuple[str, ...]]:
    return {one.kind: one.examples for one in found.problems if one.kind != "other count"}


# --- MaRVL and NLVR2 ------------------------------------------------------------------------------


def marvl(root: Path, name: str, **changes: Any) -> None:
    values = {"concept": "80-Tükenmez_kalem", "language": "tr", "caption": "İki kalem var."}
    values |= {"left_img": "80-1.jpg", "right_img": "80-2.jpg", "id": "tr-0", "label": True}
    put_lines(root / f"marvl/zero_shot/annotations/marvl-{name}.jsonl", [{**values, **changes}])


@pytest.mark.parametrize("layout", ["tr/images/{concept}/", "tr/{concept}/", "{concept}/"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("inside", ["", "{concept}/"])
def test_marvl_has_two_pictures_wherever_they_lie(
    tmp_path: Path, layout: str, form: str, inside: str
) -> None:
    concept = "80-Tükenmez_kalem"
    names = {key: f"{inside.format(concept=concept)}80-{number}.jpg"
             for number, key in enumerate(("left_img", "right_img"), start=1)}  # fmt: skip
    marvl(tmp_path, "tr", **names)
    for number in (1, 2):
        path = unicodedata.normalize(form, layout.format(concept=concept))
        put_picture(tmp_path / "marvl/images" / f"{path}80-{number}.jpg", number)
    (question,) = ask(tmp_path, "marvl", "languages=[tr]").items
    assert [picture.read() for picture in question.pictures] == [png(1), png(2)]
    assert question.expected.references == ("yes",)
    assert question.expected.choices == ("yes", "no")
    assert question.key == ("tur_Latn", "tr-0")
    assert question.request.language == "eng_Latn"
    assert "İki kalem var. Answer yes or no in English." in question.request.prompt


def test_nlvr2_names_its_pictures_by_the_pair(tmp_path: Path) -> None:
    lines = [
        {"identifier": "test1-0-1-0", "sentence": "There are dogs.", "label": "True"},
        {"identifier": "test1-0-1", "sentence": "There are cats.", "label": "False"},
        {"identifier": "test1-2-0-3", "sentence": "There are cats.", "label": "Perhaps"},
    ]
    put_lines(tmp_path / "nlvr2/data/test1.json", lines)
    for number in (0, 1):
        put_picture(tmp_path / f"nlvr2/images/test1/test1-0-1-img{number}.png", number)
    found = ask(tmp_path, "nlvr2")
    (question,) = found.items
    assert [picture.read() for picture in question.pictures] == [png(0), png(1)]
    assert question.expected.unit == "test1-0"
    assert problems(found) == {
        "broken record": (
            "data/test1.json, line 2: the id 'test1-0-1' is not as `dev-850-0-0`",
            "en test1-2-0-3: the label 'Perhaps' is none of True, False, true, false",
        )
    }


# --- VQAv2 ----------------------------------------------------------------------------------------


def vqav2(root: Path, questions: object, annotations: object) -> Path:
    put_json(root / "vqav2/v2_OpenEnded_mscoco_val2014_questions.json", questions)
    put_json(root / "vqav2/v2_mscoco_val2014_annotations.json", annotations)
    put_picture(root / "coco/val2014/COCO_val2014_000000000042.jpg", 42)
    return root


def test_vqav2_joins_questions_and_ten_answers_in_any_order(tmp_path: Path) -> None:
    questions = [{"question_id": 420 + n, "image_id": 42, "question": f"What is # {n}?"} for n in range(3)]
    answers = [{"answer": "dog", "answer_id": n} for n in range(10)]
    annotations = [{"question_id": 420 + n, "answers": answers} for n in (1, 0)]
    annotations.append({"question_id": 422, "answers": "dog"})
    questions.append({"question_id": 423, "image_id": 42, "question": "Where is its answer?"})
    found = ask(vqav2(tmp_path, {"questions": questions}, {"annotations": annotations}), "vqav2")
    assert [one.expected.id for one in found.items] == ["420", "421"]
    assert found.items[0].expected.references == ("dog",) * 10
    assert found.items[0].pictures[0].read() == png(42)
    assert found.items[0].expected.unit == "42"
    assert found.items[0].request.prompt == "Question: What is # 0? Short answer in English:"
    assert problems(found) == {
        "broken record": (
            "v2_OpenEnded_mscoco_val2014_questions.json: questions[2]: `answers` is 'dog', a list of objects "
            "wanted",
        ),
        "no gold answer": ("en 423: not in v2_mscoco_val2014_annotations.json",),
    }


@pytest.mark.parametrize("files", [([], {"annotations": []}), ({"questions": []}, {"annotation": []})])
def test_another_file_than_vqav2s_is_an_error(tmp_path: Path, files: tuple[Any, Any]) -> None:
    with pytest.raises(DataError, match=r"has no list `(questions|annotations)`; is it VQAv2's"):
        ask(vqav2(tmp_path, *files), "vqav2")


# --- MaXM and XM3600 ------------------------------------------------------------------------------


def test_maxm_takes_all_accepted_answers(tmp_path: Path) -> None:
    pair = {
        "question_id": "q1",
        "question": "מה זה?",
        "answers": ["כלב"],
        "processed_answers": ["כלב", "כלב קטן"],
    }
    images = [
        {"image_id": "i1", "image_url": "u", "qa_pairs": [pair, {"question_id": "q2"}]},
        {"image_id": "i2"},
    ]
    put_json(tmp_path / "maxm/maxm_v1_iw.json", {"dataset": "maxm_v1", "annotations": images})
    put_picture(tmp_path / "maxm/images/i1.jpg", 1)
    found = ask(tmp_path, "maxm", "languages=[iw]")
    (question,) = found.items
    assert question.key == ("heb_Hebr", "q1")
    assert question.expected.references == ("כלב", "כלב קטן")
    assert question.expected.published == ("כלב", "כלב קטן")
    assert question.request.prompt.endswith("Short answer in Hebrew:")
    assert problems(found) == {
        "broken record": (
            "maxm_v1_iw.json: annotations[0]: `question` is None, a text wanted",
            "maxm_v1_iw.json: annotations[1]: `qa_pairs` is None, a list wanted",
        )
    }


def test_published_maxm_looks_at_processed_answers(tmp_path: Path) -> None:
    pair = {"question_id": "q", "question": "Was?", "answers": ["ein Hund"], "processed_answers": ["Hund"]}
    images = [{"image_id": "i", "qa_pairs": [pair, {**pair, "question_id": "r", "processed_answers": []}]}]
    put_json(tmp_path / "maxm/maxm_v1_en.json", {"annotations": images})
    put_picture(tmp_path / "maxm/images/i.jpg", 1)
    both, one = (question.expected for question in ask(tmp_path, "maxm", "languages=[en]").items)
    assert (both.references, both.published) == (("ein Hund", "Hund"), ("Hund",))
    assert (one.references, one.published) == (("ein Hund",), ())


def test_a_blank_answer_of_vqav2_is_one_of_ten(tmp_path: Path) -> None:
    questions = [{"question_id": 1, "image_id": 42, "question": "What?"}]
    answers = [{"answer": "" if n == 3 else "dog"} for n in range(10)]
    annotations = [{"question_id": 1, "answers": answers}]
    found = ask(vqav2(tmp_path, {"questions": questions}, {"annotations": annotations}), "vqav2")
    assert sorted(found.items[0].expected.references) == ["", *["dog"] * 9]


def test_a_blank_caption_beside_others_is_left_out_and_counted(tmp_path: Path) -> None:
    lines = [{"image/key": "k", "de": {"caption": ["ein Hund", " "]}, "fr": {"caption": [""]}}]
    put_lines(tmp_path / "xm3600/captions.jsonl", lines)
    put_picture(tmp_path / "xm3600/images/k.jpg", 1)
    found = ask(tmp_path, "xm3600", "languages=[de, fr]", "expected={}")
    assert [one.expected.references for one in found.items] == [("ein Hund",)]
    assert problems(found)["blank answer"] == ("de k: 1 of them",)
    assert problems(found)["language without items"] == ("fr",)
    assert len(problems(found)["broken record"]) == 1


def test_another_file_than_maxms_is_an_error(tmp_path: Path) -> None:
    put_json(tmp_path / "maxm/maxm_v1_en.json", [1])
    put_picture(tmp_path / "maxm/images/i1.jpg", 1)
    with pytest.raises(DataError, match="has no list `annotations`; is it an official file of MaXM"):
        ask(tmp_path, "maxm", "languages=[en]")


def test_broken_lines_of_xm3600_are_counted_by_language(tmp_path: Path) -> None:
    lines = [
        {"image/key": "k", "de": {"caption": []}, "fr": {"caption": ["un chien"]}, "it": ["cane"]},
        {"image/locale": "de"},
        [1],
    ]
    put_lines(tmp_path / "xm3600/captions.jsonl", lines)
    put_picture(tmp_path / "xm3600/images/k.jpg", 1)
    found = ask(tmp_path, "xm3600", "languages=[de, fr, it]")
    assert found.counts == {"fra_Latn": 1}
    assert problems(found)["broken record"] == (
        "xm3600/captions.jsonl, line 1, de: `caption` is [], a text or a list of texts wanted",
        "xm3600/captions.jsonl, line 1, it: `it` is ['cane'], an object wanted",
        "xm3600/captions.jsonl, line 2: `image/key` is None, a text or a number wanted",
        "xm3600/captions.jsonl, line 3: is [1], an object wanted",
    )


# --- Captions by language, and POPE ---------------------------------------------------------------


def test_captions_by_language_are_aligned_with_the_pictures(tmp_path: Path) -> None:
    put_picture(tmp_path / "coco/val2014/a.jpg", 1)
    (tmp_path / "flickr30k/flickr30k-images").mkdir(parents=True)
    captions = {"de": [["ein Hund"], ["eine Katze"]], "jp": [["犬"], [""]]}
    put_json(tmp_path / "xtd.json", {"images": ["a.jpg", "b.jpg"], "captions": captions})
    overrides = ["format=captions", "files=xtd.json", "fields={}", "codes.jp=jpn_Jpan", "languages=[de, jp]"]
    overrides.append('pictures.names=["{image}"]')
    found = ask(tmp_path, "xflickrco", *overrides, "expected={}")
    assert found.counts == {"deu_Latn": 2, "jpn_Jpan": 1}
    assert problems(found) == {
        "broken record": ("xtd.json: jp[1]: `captions` is [''], a text or a list of texts wanted",)
    }
    put_json(tmp_path / "xtd.json", {"images": ["a.jpg"], "captions": captions})
    with pytest.raises(DataError, match="2 captions in 'de', 1 pictures"):
        ask(tmp_path, "xflickrco", *overrides, "expected={}")


def test_pope_is_three_files_of_yes_and_no(tmp_path: Path) -> None:
    for kind in ("random", "popular", "adversarial"):
        lines = [{"question_id": n, "image": "a.jpg", "text": "Is there a dog?", "label": label}
                 for n, label in enumerate(("yes", "no"))]  # fmt: skip
        put_lines(tmp_path / f"pope/coco_pope_{kind}.json", lines)
    put_picture(tmp_path / "coco/val2014/a.jpg", 1)
    found = ask(tmp_path, "pope", "expected={en: 6}")
    assert len(found.items) == 6
    assert found.items[0].key == ("eng_Latn", "coco_pope_adversarial/0")
    assert found.problems == ()
    assert len(ask(tmp_path, "pope", "files=pope/coco_pope_random.json").items) == 2


# --- Babel-ImageNet -------------------------------------------------------------------------------

SYNSETS = [f"n0000000{number}" for number in range(6)]
LABELS = {
    "DE": [[0, 1, 2, 3, 5], ["Schleie", "Hahn", "Dogge", "hahn", "Katze"]],
    "FR": [[1, 2], ["coq", "dogue"]],
    "XX": [[1], ["?"]],
}


def babel(root: Path) -> Path:
    put_json(root / "babel_imagenet/babel_imagenet-298.json", LABELS)
    put_json(root / "imagenet/imagenet_class_index.json", {str(n): [s, "x"] for n, s in enumerate(SYNSETS)})
    for number in range(5):
        for name in ("b", "a"):
            put_picture(root / f"imagenet/val/{SYNSETS[number]}/{name}.JPEG", number)
    return root


def test_a_class_is_named_in_the_languages_that_have_a_label(tmp_path: Path) -> None:
    found = ask(babel(tmp_path), "babel-imagenet", "languages=[DE, FR]")
    assert [one.key for one in found.items] == [
        *(("deu_Latn", f"{SYNSETS[number]}/a") for number in (0, 1, 2, 3)),
        *(("fra_Latn", f"{SYNSETS[number]}/a") for number in (1, 2)),
    ]
    first = found.items[0]
    assert first.expected.references == ("Schleie",)
    assert first.pictures[0].read() == png(0)
    assert first.request.prompt == "What does the image show? Give only its name, in German."
    both = ask(tmp_path, "babel-imagenet", "languages=[DE, FR]", "per_class=50")
    assert both.counts == {"deu_Latn": 8, "fra_Latn": 4}


def test_labels_are_those_that_training_has(tmp_path: Path) -> None:
    labels = {
        "PL": [[0, 1, 2], ["lin (ryba)", "kogut\u200e", "[[dog]]"]],
        "ZH": [[0, 1], ["鲫鱼", "鴕鳥"]],
        "EN": [[0, 3], ["Tinca tinca", "hen"]],
        "YI": [[0], ["קאַץ"]],
    }
    index = {str(number): [synset, f"thing_{number}"] for number, synset in enumerate(SYNSETS)}
    put_json(babel(tmp_path) / "babel_imagenet/babel_imagenet-298.json", labels)
    put_json(tmp_path / "imagenet/imagenet_class_index.json", index)
    found = ask(tmp_path, "babel-imagenet", "languages=[PL, ZH, EN, YI]")
    assert {one.key: one.expected.references for one in found.items} == {
        ("pol_Latn", f"{SYNSETS[0]}/a"): ("lin",),
        ("pol_Latn", f"{SYNSETS[1]}/a"): ("kogut",),
        ("zho_Hans", f"{SYNSETS[0]}/a"): ("鲫鱼",),
        ("eng_Latn", f"{SYNSETS[0]}/a"): ("thing 0",),
        ("eng_Latn", f"{SYNSETS[3]}/a"): ("thing 3",),
        # Yiddish writes the points that others leave to dictionaries.
        ("ydd_Hebr", f"{SYNSETS[0]}/a"): (unicodedata.normalize("NFC", "קאַץ"),),
    }
    assert len(problems(found)["broken record"]) == 2


def test_choices_are_other_labels_of_the_language_and_always_the_same(tmp_path: Path) -> None:
    overrides = ["languages=[DE, FR]", "drawn_choices=3"]
    found = ask(babel(tmp_path), "babel-imagenet-choice", *overrides)
    again = ask(tmp_path, "babel-imagenet-choice", *overrides)
    assert [one.expected for one in found.items] == [one.expected for one in again.items]
    for one in found.items:
        assert one.expected.references[0] in one.expected.choices
        assert len({choice.casefold() for choice in one.expected.choices}) == len(one.expected.choices)
    sizes = {one.expected.language: len(one.expected.choices) for one in found.items}
    assert sizes == {"deu_Latn": 3, "fra_Latn": 2}
    assert len({one.expected.choices.index(one.expected.references[0]) for one in found.items}) > 1


def test_a_single_label_is_no_choice(tmp_path: Path) -> None:
    labels = {"DE": [[0, 1], ["Hahn", "hahn"]], "FR": LABELS["FR"]}
    put_json(babel(tmp_path) / "babel_imagenet/babel_imagenet-298.json", labels)
    found = ask(tmp_path, "babel-imagenet-choice", "languages=[DE, FR]")
    assert found.counts == {"fra_Latn": 2}
    assert len(problems(found)["broken record"]) == 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"DE": [[0, 1], ["Schleie"]]}, "'DE' has 2 class indices and 1 labels"),
        ({"DE": [[99], ["Schleie"]]}, "'DE' has the class index '99'; must be"),
        ({"DE": [[-1], ["Schleie"]]}, "'DE' has the class index '-1'; must be"),
        (["DE"], "must be an object, as"),
    ],
)
def test_other_labels_are_an_error(tmp_path: Path, labels: object, message: str) -> None:
    put_json(babel(tmp_path) / "babel_imagenet/babel_imagenet-298.json", labels)
    with pytest.raises(DataError, match=message):
        ask(tmp_path, "babel-imagenet", "languages=[DE]")


def test_pictures_without_folders_of_classes_are_an_error(tmp_path: Path) -> None:
    put_picture(babel(tmp_path) / "flat/a.JPEG", 1)
    with pytest.raises(DataError, match=r"pictures\.path has no folder of a class, such as n00000000"):
        ask(tmp_path, "babel-imagenet", "languages=[DE]", "pictures.path=[flat]")


def test_an_index_of_other_classes_is_an_error(tmp_path: Path) -> None:
    put_json(babel(tmp_path) / "imagenet/imagenet_class_index.json", {"0": "tench"})
    with pytest.raises(DataError, match="class '0' is 'tench'; must be as"):
        ask(tmp_path, "babel-imagenet", "languages=[DE]")
