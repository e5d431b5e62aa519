"""An assignment: what is kept, which languages an example gets, and on which side its picture stands."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest
from msgspec.structs import replace

from pipelines.allocation import Stratum, UnknownStratum, allocate
from pipelines.assignment import (
    LANGUAGE,
    PHRASE,
    SAMPLE,
    SPLIT,
    Assignment,
    caption_key,
    split_key,
    stratum_of,
    unit_key,
)
from pipelines.examples import Example, Text
from pipelines.hashing import hash_of, hashes_of
from translation.mix_folder import TRAIN, VALIDATION

SEED = 17
SHARES = {"eng_Latn": 0.4, "deu_Latn": 0.4, "swh_Latn": 0.2}
KEYS = [f"s/{number}/caption" for number in range(100)]


def example(number: int = 0, task: str = "caption", picture: str | None = "p", **keys: object) -> Example:
    values: dict[str, object] = {"prompt": None, "target": Text("a cat")} | keys
    return Example("s", str(number), task, picture and f"/{picture}.jpg", picture, **values)  # type: ignore[arg-type]


def assignment(**keys: object) -> Assignment:
    captions = Stratum("s/caption", hashes_of(SEED, LANGUAGE, KEYS), SHARES)
    pictures = Stratum("pictures", hashes_of(SEED, LANGUAGE, [f"p{number}" for number in range(100)]), SHARES)
    values: dict[str, object] = {
        "seed": SEED,
        "allocation": allocate(SEED, [captions, pictures]),
        "by_image": {},
        "by_phrase": {},
        "limits": {},
        "validation": np.empty(0, dtype=np.uint64),
    }
    return Assignment(**(values | keys))  # type: ignore[arg-type]


def test_the_examples_of_the_plan_get_its_languages_in_its_counts() -> None:
    planned = assignment()
    got = Counter(code for number in range(100) for code in planned.languages(example(number)))
    assert got == {"eng_Latn": 40, "deu_Latn": 40, "swh_Latn": 20}
    assert planned.codes == ("eng_Latn", "deu_Latn", "swh_Latn")


def test_a_text_that_stays_in_its_language_has_that_alone_and_needs_no_plan() -> None:
    text = example(task="text", picture=None, language="yor_Latn")
    assert assignment().languages(text) == ("yor_Latn",)


def test_an_example_of_a_kind_that_was_not_planned_is_an_error() -> None:
    with pytest.raises(UnknownStratum, match="'s/vqa'"):
        assignment().languages(example(task="vqa"))


def test_all_examples_of_a_picture_get_the_same_languages_where_pictures_get_them() -> None:
    planned = assignment(by_image={"s": "pictures"})
    for number in range(100):
        of_picture = {
            planned.languages(example(index, task, f"p{number}"))
            for index, task in enumerate(("caption", "vqa", "matching"))
        }
        assert len(of_picture) == 1
    got = Counter(planned.languages(example(picture=f"p{number}")) for number in range(100))
    assert got == {("eng_Latn",): 40, ("deu_Latn",): 40, ("swh_Latn",): 20}


def test_what_has_no_picture_or_is_made_of_names_is_in_no_stratum_of_pictures() -> None:
    text, named = example(task="text", picture=None), example(target=Text("hen", False, name="8"))
    assert stratum_of(text, "pictures") == "s/text"
    assert unit_key(text, by_image=True) == text.id
    assert stratum_of(named, "pictures") == "s/caption/8"
    assert stratum_of(example(), "pictures") == "pictures"
    assert stratum_of(example(), None) == "s/caption"


def test_what_lies_beyond_the_limit_of_its_task_is_not_kept() -> None:
    samples = sorted(hash_of(SEED, SAMPLE, key) for key in KEYS)
    planned = assignment(limits={"s/caption": samples[30]})
    assert sum(planned.keeps(example(number)) for number in range(100)) == 30
    assert all(planned.keeps(example(number, "vqa")) for number in range(100))
    assert all(assignment().keeps(example(number)) for number in range(100))


def test_a_caption_that_no_phrase_keeps_is_left_out_of_all_tasks() -> None:
    kept = np.array([hash_of(SEED, PHRASE, caption_key(example(3)))], dtype=np.uint64)
    planned = assignment(by_phrase={"s": kept})
    for task in ("caption", "matching"):
        assert [number for number in range(100) if planned.keeps(example(number, task))] == [3]
    nothing = assignment(by_phrase={"s": np.empty(0, dtype=np.uint64)})
    assert not nothing.keeps(example(3))


def test_a_picture_is_on_one_side_for_all_sources_and_a_text_by_its_id() -> None:
    text = example(5, "text", picture=None)
    held_out = [hash_of(SEED, SPLIT, "p"), hash_of(SEED, SPLIT, text.id)]
    planned = assignment(validation=np.sort(np.array(held_out, dtype=np.uint64)))
    assert {planned.split(example(number, task)) for number in range(9) for task in ("vqa", "vqg")} == {
        VALIDATION
    }
    assert planned.split(text) == VALIDATION
    assert planned.split(example(6, "text", picture=None)) == TRAIN
    assert planned.split(example(picture="q")) == TRAIN
    assert split_key(text) == text.id


def test_a_copy_in_another_process_decides_alike() -> None:
    samples = sorted(hash_of(SEED, SAMPLE, key) for key in KEYS)
    planned = assignment(
        limits={"s/caption": samples[50]},
        by_phrase={"s": np.sort(hashes_of(SEED, PHRASE, [f"s/{number}" for number in range(70)]))},
        validation=np.sort(hashes_of(SEED, SPLIT, ["p1", "p2"])),
    )
    copy = pickle.loads(pickle.dumps(planned))
    for number in range(100):
        one = example(number, picture=f"p{number % 5}")
        assert copy.keeps(one) == planned.keeps(one)
        assert copy.languages(one) == planned.languages(one)
        assert copy.split(one) == planned.split(one)


def test_turns_of_a_conversation_without_a_picture_stand_on_one_side() -> None:
    turn = replace(example(0, "instruct", picture=None), conversation="a#talk")
    assert {split_key(replace(turn, source_id=f"a#talk#{number}")) for number in range(3)} == {
        "s/a#talk/instruct"
    }
    assert len({split_key(example(number, "text", picture=None)) for number in range(3)}) == 3
