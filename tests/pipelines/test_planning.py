"""The plan of real sources is what readers, tasks and the assignment make of them one by one."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import tallying
from pipelines.examples import Example, LeftOut, Reject
from pipelines.hashing import hash_of
from pipelines.planning import Plan, plan_mix
from pipelines.reading import AssignedExample
from pipelines.recipe import Recipe, load_recipe
from pipelines.sources import Piece, pieces, read_piece
from translation.languages import ENGLISH, default_languages
from translation.mix_folder import VALIDATION

CODES = [language.nllb for language in default_languages() if not language.english]
FEW = {"english_share": 0.4, "codes": CODES[:6]}
SUBJECTS = ("dog", "cat", "bus", "zebra", "pizza", "kite", "boat", "laptop", "bench", "horse")
SCENES = ("on a beach", "in the snow", "near a fence", "under a bridge", "at night", "beside a tree")

Lines = Sequence[dict[str, Any] | str]


def captions(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Pictures with two captions each, of which some are equal texts."""
    pairs = list(product(SUBJECTS, SCENES))
    return [
        {
            "id": f"c{number}",
            "image": f"{number:012}.jpg",
            "caption": [
                f"a {pairs[number % 60][0]} {pairs[number * 7 % 60][1]}",
                f"the {number % 13} {pairs[number % 60][0]}s",
            ],
        }
        for number in range(first, first + count)
    ]


def questions(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "image": f"COCO_train2014_{number // 3:012}.jpg",
            "question": f"what is the {SUBJECTS[number % 7]} doing?",
            "answer": random.Random(number).choice(["yes", "no", "red", "running away"]),
        }
        for number in range(count)
    ]


def written(count: int) -> list[str]:
    return [
        f"The first sentence is number {number}. Then comes {number % 5}. It ends." for number in range(count)
    ]


def jsonl(
    name: str, lines: Lines, tasks: Sequence[str], folder: Path, files: int = 1, **keys: Any
) -> dict[str, Any]:
    """A source of JSON lines, written into the folder."""
    for file in range(files):
        text = [line if isinstance(line, str) else json.dumps(line) for line in lines[file::files]]
        (folder / f"{name}-{file}.jsonl").write_text("\n".join(text) + "\n", encoding="utf-8")
    return {"name": name, "format": "jsonl", "path": f"{name}-*.jsonl", "tasks": list(tasks), **keys}


def texts(name: str, lines: Sequence[str], folder: Path, **keys: Any) -> dict[str, Any]:
    (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"name": name, "format": "text", "path": f"{name}.txt", **keys}


def recipe_of(folder: Path, *sources: dict[str, Any], **keys: Any) -> Recipe:
    values = {"name": "r", "languages": FEW, "sources": list(sources), **keys}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_recipe(path)


@dataclass
class Truth:
    """What one gets example by example."""

    rows: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Source -> language -> rows."""
    texts: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    english: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Source -> what would be translated if no example stayed English or was left out."""
    rejects: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    unnamed: Counter[str] = field(default_factory=Counter)
    pictures: set[str] = field(default_factory=set)
    sides: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @property
    def held_out(self) -> int:
        return sum(sides == {VALIDATION} for sides in self.sides.values())


def one_by_one(recipe: Recipe, plan: Plan, parts: Sequence[Piece] | None = None) -> Truth:
    truth, assignment = Truth(), plan.assignment
    for piece in pieces(recipe) if parts is None else parts:
        for record in read_piece(recipe, piece):
            name = recipe.sources[piece.source].name
            if isinstance(record, LeftOut):
                truth.left_out[name] += record.records
                continue
            if isinstance(record, Reject):
                truth.rejects[name] += 1
                continue
            if record.language is None:
                both = (record.prompt, record.target)
                truth.english[name] |= {text.text for text in both if text is not None and text.translate}
            if not assignment.keeps(record):
                truth.left_out[name] += 1
            else:
                languages = assignment.languages(record)
                truth.unnamed[name] += not languages
                truth.sides[record.image_id or record.id].add(assignment.split(record))
                if record.image_id is not None:
                    truth.pictures.add(record.image_id)
                for language in languages:
                    assigned = AssignedExample(record, language)
                    truth.rows[name][assigned.target_language] += 1
                    truth.texts[name] |= {(language, text.text) for _, text in assigned.texts_to_translate()}
    return truth


def checked(recipe: Recipe, **keys: Any) -> Plan:
    """The plan, after it was compared with the truth in everything that it says."""
    plan = plan_mix(recipe, **keys)
    truth = one_by_one(recipe, plan)
    for source in plan.sources:
        assert source.rows == truth.rows[source.name]
        assert source.texts == Counter(language for language, _ in truth.texts[source.name])
        assert source.rejects == truth.rejects[source.name]
        assert source.left_out == truth.left_out[source.name]
        assert source.unnamed == truth.unnamed[source.name]
        characters = Counter[str]()
        for language, text in truth.texts[source.name]:
            characters[language] += len(text)
        assert source.characters == characters
        assert set(source.sampled_texts) == truth.english[source.name]
    assert plan.rows == sum(truth.rows.values(), Counter())
    assert plan.texts == Counter(language for language, _ in set().union(*truth.texts.values()))
    assert plan.pictures == len(truth.pictures)
    assert all(len(sides) == 1 for sides in truth.sides.values())
    assert plan.held_out == truth.held_out
    return plan


def within_one(plan: Plan, recipe: Recipe) -> bool:
    rows = sum(plan.rows.values())
    shares = recipe.languages.policy().shares()
    return all(abs(plan.rows.get(code, 0) - share * rows) < 1 + 1e-6 for code, share in shares.items())


def test_the_plan_is_what_examples_get_one_by_one(tmp_path: Path) -> None:
    recipe = recipe_of(
        tmp_path,
        jsonl("coco", captions(150), ["caption", "matching"], tmp_path, files=3),
        jsonl("vqa", questions(200), ["vqa", "vqg"], tmp_path),
        texts("wiki", written(50), tmp_path),
    )
    plan = checked(recipe)
    assert sum(plan.rows.values()) == 150 * 2 * 2 + 200 * 2 + 50
    assert within_one(plan, recipe)
    assert list(plan.rows) == [ENGLISH, *sorted(CODES[:6])]


def test_answers_that_stay_english_count_as_english(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, jsonl("vqa", questions(200), ["vqa"], tmp_path, english_answers=1))
    plan = checked(recipe)
    assert plan.rows == {ENGLISH: 200}
    assert len(plan.texts) > 3, "the questions are translated"
    assert plan.questions.keys() == plan.texts.keys()
    assert sum(plan.questions.values()) < 200, "some questions are English"
    assert all(plan.questions[code] >= plan.texts[code] for code in plan.texts)
    assert plan.sources[0].questions == plan.questions


@pytest.mark.parametrize("own", [{}, {"english_answers": 1, "prompt": "keep"}])
def test_questions_count_apart_only_where_answer_and_question_differ(
    own: dict[str, Any], tmp_path: Path
) -> None:
    recipe = recipe_of(
        tmp_path,
        jsonl("coco", captions(50), ["caption", "matching"], tmp_path),
        jsonl("vqa", questions(60), ["vqa", "vqg"], tmp_path, **own),
    )
    assert checked(recipe).questions == {}


@pytest.mark.parametrize(
    ("languages", "own"),
    [
        ({"per_example": 3, "english_share": 0.2}, {}),
        ({"unit": "image"}, {}),
        ({"unit": "image", "per_example": 2}, {}),
        ({"weights": {CODES[0]: 5.0, CODES[1]: 1.0, CODES[9]: 0.0}}, {}),
        ({"floor": 0.05, "weights": "proportional", "alpha": 0.5}, {}),
        ({"english_share": 0.0}, {}),
        ({"english_share": 1.0}, {}),
        ({}, {"languages": {"english_share": 0.9}}),
        ({}, {"languages": {"codes": CODES[4:12], "english_share": 0.1, "per_example": 2}}),
        ({}, {"languages": {"unit": "image"}}),
        ({"unit": "image"}, {"languages": {"unit": "example"}}),
        ({}, {"max_rows": 37}),
        ({"per_example": 2}, {"max_rows": 37}),
        ({}, {"phrases": {"seen": 4, "keep": 3}}),
        ({}, {"phrases": {"seen": 4, "keep": 3}, "max_rows": 20}),
        ({}, {"phrases": {"seen": 10_000, "keep": 1}}),
    ],
)
def test_every_option_is_planned_as_it_is_applied(
    languages: dict[str, Any], own: dict[str, Any], tmp_path: Path
) -> None:
    common = FEW if "weights" not in languages else {}
    if languages.get("weights") == "proportional":
        common = {"codes": CODES[:6]}
    recipe = recipe_of(
        tmp_path,
        jsonl("coco", captions(100), ["caption", "matching"], tmp_path, **own),
        jsonl("vqa", questions(90), ["vqa", "vqg"], tmp_path),
        languages={**common, **languages},
    )
    checked(recipe)


def test_a_limit_and_phrases_leave_out_exactly_what_they_say(tmp_path: Path) -> None:
    limited = jsonl("a", captions(60), ["caption", "matching"], tmp_path, max_rows=50)
    plan = checked(recipe_of(tmp_path, limited))
    assert sum(plan.sources[0].rows.values()) == 2 * 50
    assert plan.sources[0].left_out == 2 * (120 - 50)
    roomy = jsonl("a", captions(60), ["caption", "matching"], tmp_path, max_rows=120)
    plan = checked(recipe_of(tmp_path, roomy))
    assert plan.sources[0].left_out == 0
    assert plan.assignment.limits == {}


def test_records_that_are_not_asked_for_are_left_out(tmp_path: Path) -> None:
    asked = jsonl("a", questions(90), ["vqa", "vqg"], tmp_path, files=2, where={"answer": ["yes", "no"]})
    recipe = recipe_of(tmp_path, asked)
    plan = checked(recipe)
    left_out = sum(one["answer"] not in ("yes", "no") for one in questions(90))
    assert plan.sources[0].left_out == left_out > 0
    assert sum(plan.rows.values()) == 2 * (90 - left_out)


def test_all_tasks_of_a_picture_get_its_languages_across_sources(tmp_path: Path) -> None:
    recipe = recipe_of(
        tmp_path,
        jsonl("coco", captions(60), ["caption", "matching"], tmp_path),
        jsonl("vqa", questions(180), ["vqa", "vqg"], tmp_path),
        languages={**FEW, "unit": "image", "per_example": 2},
    )
    plan = checked(recipe)
    got = defaultdict(set)
    for piece in pieces(recipe):
        for record in read_piece(recipe, piece):
            assert isinstance(record, Example)
            got[record.image_id].add(plan.assignment.languages(record))
    assert len(got) == 60
    assert all(len(languages) == 1 for languages in got.values())
    of_pictures = Counter(code for (languages,) in got.values() for code in languages)
    for code, share in recipe.languages.policy().shares().items():
        assert abs(of_pictures[code] - share * 120) < 1


def test_texts_in_a_language_of_their_own_stay_in_it(tmp_path: Path) -> None:
    recipe = recipe_of(
        tmp_path,
        texts(
            "wiki",
            [f"Satz {number}. Noch einer." for number in range(30)],
            tmp_path,
            language="de",
            max_rows=20,
        ),
        texts("books", written(40), tmp_path),
    )
    plan = checked(recipe)
    assert plan.sources[0].rows == {"deu_Latn": 20}
    assert plan.sources[0].texts == {}
    assert plan.pictures == 0
    assert sum(plan.sources[1].rows.values()) == 40


def test_a_language_that_only_texts_have_is_counted(tmp_path: Path) -> None:
    alone = recipe_of(tmp_path, texts("wiki", ["Et kort. Og et til."] * 3, tmp_path, language="dan_Latn"))
    assert checked(alone).rows == {"dan_Latn": 3}


def test_duplicate_ids_get_the_same_languages_and_are_all_counted(tmp_path: Path) -> None:
    twice = [*captions(40), *captions(10)]
    recipe = recipe_of(tmp_path, jsonl("coco", twice, ["caption"], tmp_path, max_rows=70))
    plan = checked(recipe)
    assert sum(plan.rows.values()) + plan.sources[0].left_out == 100


def test_records_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    lines: list[dict[str, Any] | str] = [
        *captions(20),
        "{broken",
        {"id": "x", "image": "a.jpg"},
        {"id": "y", "image": "../a.jpg", "caption": "b"},
    ]
    plan = checked(recipe_of(tmp_path, jsonl("coco", lines, ["caption"], tmp_path)))
    assert plan.sources[0].rejects == 3


def imagenet(folder: Path, labels: dict[str, Any], **keys: Any) -> dict[str, Any]:
    synsets = {"0": "n01440764", "1": "n01443537", "2": "n01514859"}
    words = {"0": "tench", "1": "goldfish", "2": "hen"}
    index = {key: [synset, words[key]] for key, synset in synsets.items()}
    (folder / "classes.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    for synset in synsets.values():
        (folder / "pictures" / synset).mkdir(parents=True, exist_ok=True)
        for number in range(40):
            (folder / "pictures" / synset / f"{synset}_{number}.JPEG").write_bytes(b"x")
    return {
        "name": "imagenet",
        "format": "imagenet",
        "images": "pictures",
        "classes": "classes.json",
        "labels": "labels.json",
        **keys,
    }


def test_classes_get_only_languages_that_name_them_and_the_mix_keeps_its_shares(tmp_path: Path) -> None:
    labels = {"DE": [[0, 2], ["Schleie", "Huhn"]], "FR": [[0, 1, 2], ["tanche", "poisson rouge", "poule"]]}
    languages = {"english_share": 0.4, "codes": ["deu_Latn", "fra_Latn"]}
    source = imagenet(tmp_path, labels)
    recipe = recipe_of(tmp_path, source, languages=languages)
    plan = checked(recipe)
    assert within_one(plan, recipe)
    assert plan.sources[0].unnamed == 0
    # Names stand in a table; only "yes" and "no" are left to translate.
    assert plan.texts == {"deu_Latn": 2, "fra_Latn": 2}


def test_classes_without_a_name_in_any_language_of_the_mix_are_counted(tmp_path: Path) -> None:
    labels = {"DE": [[0], ["Schleie"]]}
    languages = {"english_share": 0.0, "codes": ["deu_Latn"]}
    recipe = recipe_of(tmp_path, imagenet(tmp_path, labels, tasks=["classify"]), languages=languages)
    plan = checked(recipe)
    assert plan.sources[0].unnamed == 80
    assert plan.rows == {"deu_Latn": 40}


def test_pictures_give_all_but_names_the_same_languages(tmp_path: Path) -> None:
    labels = {"DE": [[0, 1, 2], ["Schleie", "Goldfisch", "Huhn"]]}
    languages = {"english_share": 0.5, "codes": ["deu_Latn"], "unit": "image"}
    checked(recipe_of(tmp_path, imagenet(tmp_path, labels), languages=languages))


def primary_rows(recipe: Recipe, plan: Plan) -> dict[str, set[tuple[str, str]]]:
    """Picture -> the sources and languages that it could count for."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for piece in pieces(recipe):
        for record in read_piece(recipe, piece):
            assert isinstance(record, Example)
            for language in plan.assignment.languages(record):
                found[record.image_id or record.id].add((record.dataset, language))
    return found


def test_each_source_and_language_holds_out_its_share_of_pictures(tmp_path: Path) -> None:
    one_each = [{**line, "caption": line["caption"][0]} for line in captions(1000)]
    other = [{**line, "caption": line["caption"][0]} for line in captions(500, first=5000)]
    recipe = recipe_of(
        tmp_path,
        jsonl("a", one_each, ["caption"], tmp_path),
        jsonl("b", other, ["caption"], tmp_path),
        validation=0.1,
    )
    plan = checked(recipe)
    assert plan.held_out == 150
    # A picture of one row counts for that one.
    pictures, held = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for picture, (stratum,) in primary_rows(recipe, plan).items():
        pictures[stratum] += 1
        held[stratum] += hash_of(recipe.seed, "split", picture) in plan.assignment.validation
    for stratum, number in pictures.items():
        assert abs(held[stratum] - 0.1 * number) <= 1


def test_pictures_that_are_shown_together_stand_on_one_side(tmp_path: Path) -> None:
    """Rings of pairs, each with a picture of the next one, and captions of some."""
    pairs = [
        {
            **{"language": "en", "caption": f"Statement {number}.", "id": f"en-{number}", "label": True},
            **{
                "left_img": f"{number:012}.jpg",
                "right_img": f"{number - number % 5 + (number + 1) % 5:012}.jpg",
            },
        }
        for number in range(200)
    ]
    (tmp_path / "pairs.jsonl").write_text(
        "".join(f"{json.dumps(pair)}\n" for pair in pairs), encoding="utf-8"
    )
    statements = {"name": "pairs", "format": "nlvr2", "path": "pairs.jsonl", "images": "."}
    recipe = recipe_of(
        tmp_path, statements, jsonl("captions", captions(60), ["caption"], tmp_path), validation=0.3
    )
    plan = plan_mix(recipe)
    found = [one for piece in pieces(recipe) for one in read_piece(recipe, piece)]
    sides: dict[str, set[str]] = {}
    for example in found:
        assert isinstance(example, Example)
        for image_id in example.picture_ids or (example.image_id or "",):
            sides.setdefault(image_id, set()).add(plan.assignment.split(example))
    assert {len(side) for side in sides.values()} == {1}
    assert {side for of_one in sides.values() for side in of_one} == {"train", "validation"}


def test_a_picture_of_many_rows_counts_once_and_for_any_of_its_languages(tmp_path: Path) -> None:
    recipe = recipe_of(
        tmp_path,
        jsonl("a", captions(600), ["caption", "matching"], tmp_path),
        jsonl("b", questions(1800), ["vqa"], tmp_path),
        languages={**FEW, "english_share": 0.2, "per_example": 3},
        validation=0.25,
    )
    plan = checked(recipe)
    assert plan.pictures == 600
    assert plan.held_out == 150
    rows, held = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for picture, strata in primary_rows(recipe, plan).items():
        rows.update(strata)
        if hash_of(recipe.seed, "split", picture) in plan.assignment.validation:
            held.update(strata)
    assert all(abs(held[stratum] / number - 0.25) < 0.1 for stratum, number in rows.items())


def columns(plan: Plan) -> tuple[Any, ...]:
    """Everything that a plan says, so that two can be compared."""
    assignment = plan.assignment
    return (
        assignment.allocation,
        assignment.limits,
        {name: hashes.tolist() for name, hashes in assignment.by_phrase.items()},
        assignment.by_image,
        assignment.validation.tolist(),
        plan.sources,
        plan.rows,
        plan.texts,
        plan.characters,
        plan.pictures,
        plan.held_out,
    )


def test_neither_workers_nor_the_order_of_pieces_change_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.sources.lines.PIECE_BYTES", 4000)
    recipe = recipe_of(
        tmp_path,
        jsonl("coco", captions(300), ["caption", "matching"], tmp_path, files=2, max_rows=200),
        jsonl("web", captions(200, 900), ["caption"], tmp_path, phrases={"seen": 3, "keep": 2}),
        jsonl("vqa", questions(300), ["vqa", "vqg"], tmp_path),
    )
    parts = pieces(recipe)
    assert len(parts) > 10
    once = plan_mix(recipe, parts, workers=1)
    shuffled = random.Random(1).sample(parts, len(parts))
    assert columns(plan_mix(recipe, shuffled, workers=1)) == columns(once)
    assert columns(plan_mix(recipe, parts, workers=2)) == columns(once)


_MATCHING = """
import hashlib, json, sys
from pipelines.recipe_sources import CocoSource
from pipelines.records import Captioned, Picture, Place
from pipelines.tasks import examples_of
source = {"name": "c", "format": "coco", "annotations": "a", "images": "b", "tasks": ["matching"]}
records = [
    Captioned(Place("f", "line", 0, "f"), Picture(one["image"], one["id"]), ((one["id"], one["caption"][0]),))
    for one in json.load(sys.stdin)
]
source = CocoSource.model_validate_json(json.dumps(source))
print(hashlib.sha256(repr([one.prompt for one in examples_of(source, records, 3)]).encode()).hexdigest())
"""


def test_negatives_are_the_same_in_every_process() -> None:
    """Sets of words have another order in each, and sums of fractions depend on the order."""
    told = {
        subprocess.run(
            [sys.executable, "-c", _MATCHING],
            input=json.dumps(captions(400)),
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1
    assert len(told.pop()) == 65


def test_a_chunk_of_examples_ends_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = jsonl("coco", captions(50), ["caption", "matching"], tmp_path, max_rows=60)
    recipe = recipe_of(tmp_path, source)
    whole = plan_mix(recipe)
    monkeypatch.setattr(tallying, "_CHUNK", 7)
    assert columns(plan_mix(recipe)) == columns(whole)


def test_samples_are_the_same_ones_in_every_run_and_no_more_than_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.planning.SAMPLED_TEXTS", 20)
    monkeypatch.setattr(tallying, "SAMPLED_TEXTS", 20)
    monkeypatch.setattr(tallying, "_CHUNK", 16)
    recipe = recipe_of(tmp_path, jsonl("coco", captions(300), ["caption"], tmp_path, files=3))
    (source,) = plan_mix(recipe).sources
    assert len(set(source.sampled_texts)) == 20
    assert source.sampled_texts == plan_mix(recipe, pieces(recipe)[::-1]).sources[0].sampled_texts
    assert len(source.sampled_pictures) == len(set(source.sampled_pictures)) == 64


def test_progress_is_told_up_to_the_whole(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, jsonl("coco", captions(30), ["caption"], tmp_path, files=3))
    told: list[tuple[int, int]] = []
    plan_mix(recipe, told=lambda done, whole: told.append((done, whole)))
    whole = sum(path.stat().st_size for path in tmp_path.glob("*.jsonl"))
    assert told[-1] == (whole, whole)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize("lines", [[], ["{broken"], captions(1)])
def test_a_source_of_next_to_nothing_is_planned(lines: Lines, tmp_path: Path) -> None:
    keys: dict[str, Any]
    for keys in ({}, {"max_rows": 1}, {"phrases": {"seen": 1, "keep": 1}}):
        recipe = recipe_of(tmp_path, jsonl("coco", lines, ["caption", "matching"], tmp_path, **keys))
        plan = checked(recipe)
        assert sum(plan.rows.values()) <= 4


def test_no_sources_are_an_empty_plan(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, jsonl("coco", captions(1), ["caption"], tmp_path))
    plan = plan_mix(recipe.model_copy(update={"sources": ()}), [])
    assert plan.rows == {}
    assert plan.held_out == plan.pictures == 0


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    """A possible language policy."""
    codes = draw(st.lists(st.sampled_from(CODES), min_size=4, max_size=30, unique=True))
    per_example = draw(st.integers(1, 3))
    policy: dict[str, Any] = {
        "english_share": round(draw(st.floats(0, 1 / per_example)), 3),
        "per_example": per_example,
        "codes": codes,
    }
    kind = draw(st.sampled_from(["uniform", "proportional", "weights"]))
    rest = 1 - policy["english_share"]
    if kind == "proportional":
        policy |= {"weights": "proportional", "alpha": draw(st.floats(0, 1))}
    if kind == "weights":
        del policy["codes"]
        policy["weights"] = {code: draw(st.floats(0.1, 10)) for code in codes}
    if draw(st.booleans()):
        policy["floor"] = draw(st.floats(0, 1)) * rest / len(codes)
    # Without it one language could want more than all examples.
    policy["cap"] = min(1.0, max(1 / per_example, rest / len(codes)))
    return policy


@given(
    policy=policies(),
    seed=st.integers(0, 2**40),
    sizes=st.tuples(st.integers(1, 60), st.integers(1, 60), st.integers(0, 20)),
    limit=st.one_of(st.none(), st.integers(1, 80)),
)
@settings(deadline=None, max_examples=25)
def test_counts_per_language_match_any_policy_exactly(
    policy: dict[str, Any],
    seed: int,
    sizes: tuple[int, int, int],
    limit: int | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("policy")
    limits = {} if limit is None else {"max_rows": limit}
    recipe = recipe_of(
        folder,
        jsonl("coco", captions(sizes[0]), ["caption", "matching"], folder, **limits),
        jsonl("vqa", questions(sizes[1]), ["vqa", "vqg"], folder),
        texts("wiki", written(sizes[2]) or [""], folder),
        languages=policy,
        seed=seed,
    )
    plan = checked(recipe)
    assert within_one(plan, recipe)
    made = sum(min(limit or 10**9, 2 * sizes[0]) for _ in range(2)) + 2 * sizes[1] + sizes[2]
    assert sum(plan.rows.values()) == made * policy["per_example"]


def test_the_numbers_of_rows_do_not_wrap_for_many_languages_and_sources(tmp_path: Path) -> None:
    sources = [jsonl(f"s{number}", captions(30), ["caption"], tmp_path) for number in range(20)]
    recipe = recipe_of(tmp_path, *sources, languages={"english_share": 0.1}, validation=0.5)
    plan = checked(recipe)
    assert plan.held_out == 15
    assert len(plan.rows) == 96
    assert np.all(np.diff(plan.assignment.validation) > 0)
