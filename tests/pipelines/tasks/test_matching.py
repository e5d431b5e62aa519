"""Matching: half of the captions are another picture's, share its words, and cannot be true of it."""

from __future__ import annotations

from collections import Counter

import pytest

from pipelines.examples import Example
from pipelines.recipe_sources import CocoSource
from pipelines.records import Captioned, Picture, Place
from pipelines.tasks import examples_of
from pipelines.tasks.matching import content_words, contradicts

SUBJECTS = (
    "dog",
    "cat",
    "man",
    "woman",
    "train",
    "bus",
    "giraffe",
    "pizza",
    "laptop",
    "kite",
    "zebra",
    "boat",
)
SCENES = ("on a beach", "in the snow", "near a fence", "under a bridge", "at night", "beside a tree")
COLOURS = ("red", "blue", "old", "tiny", "wooden", "striped")


def source(**keys: object) -> CocoSource:
    values = {
        "name": "coco",
        "format": "coco",
        "annotations": "a",
        "images": "b",
        "tasks": ("matching",),
    } | keys
    return CocoSource.model_validate(values)


def captioned(number: int, *texts: str) -> Captioned:
    captions = tuple((f"{number}-{index}", text) for index, text in enumerate(texts))
    return Captioned(Place("f", "image", number, "f"), Picture(f"/p/{number}", str(number)), captions)


def many() -> list[Captioned]:
    """Pictures with three captions each, as much of what they show as those tell."""
    scenes = [f"{colour} {subject} {scene}" for subject in SUBJECTS for scene in SCENES for colour in COLOURS]
    return [
        captioned(number, f"a {text}", f"there is one {text}", f"this {text} again")
        for number, text in enumerate(scenes)
    ]


def own_captions() -> dict[str, str]:
    return {caption_id: text for one in many() for caption_id, text in one.captions}


def made(records: list[Captioned], seed: int = 17, **keys: object) -> list[Example]:
    found = list(examples_of(source(**keys), records, seed))
    assert all(isinstance(one, Example) for one in found)
    return [one for one in found if isinstance(one, Example)]


def test_every_caption_gives_one_example_of_its_own_picture() -> None:
    examples = made(many())
    assert [example.source_id for example in examples] == [id_ for one in many() for id_, _ in one.captions]
    assert all(example.image_id == example.source_id.split("-")[0] for example in examples)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_share_of_negatives_is_the_recipes(share: float) -> None:
    answers = Counter(example.target.text for example in made(many(), negatives=share))
    assert abs(answers["no"] / len(own_captions()) - share) < 0.08
    assert answers.total() == len(own_captions())


def test_a_positive_shows_the_own_caption_and_a_negative_that_of_another_picture() -> None:
    own = own_captions()
    for example in made(many()):
        assert example.prompt is not None
        assert (example.prompt.text == own[example.source_id]) == (example.target.text == "yes")


def test_most_negatives_share_a_word_with_the_caption() -> None:
    own = own_captions()
    negatives = [example for example in made(many()) if example.target.text == "no"]
    shared = [
        example
        for example in negatives
        if example.prompt and content_words(example.prompt.text) & content_words(own[example.source_id])
    ]
    assert len(shared) > 0.9 * len(negatives)


def test_no_negative_is_a_true_caption_of_the_picture() -> None:
    """Each picture has five captions, as COCO's, of which pairs of pictures share some word for word."""
    five = [
        captioned(number, *(f"{start} a {subject} {scene}" for start in ("", "there is", "we see", "look,")))
        for number, (subject, scene) in enumerate((a, b) for a in SUBJECTS for b in SCENES for _ in range(2))
    ]
    true = {one.picture.image_id: [text for _, text in one.captions] for one in five}
    for example in made(five, negatives=1.0):
        if example.target.text == "no":
            assert example.prompt is not None
            assert example.image_id is not None
            assert example.prompt.text not in true[example.image_id]
            said = set[str]().union(*(content_words(text) for text in true[example.image_id]))
            assert contradicts(content_words(example.prompt.text), said)


def test_a_picture_that_only_true_captions_surround_gets_a_positive() -> None:
    twins = [captioned(number, "a dog on a beach") for number in range(10)]
    assert {example.target.text for example in made(twins, negatives=1.0)} == {"yes"}


@pytest.mark.parametrize(
    ("caption", "said"),
    [
        ("a woman riding a bike", "a person on a bicycle"),
        ("two dogs play", "a dog plays with another dog"),
        ("a man sits on a couch", "someone sitting on the sofa"),
        ("a dog", "a brown dog on the grass"),
        ("a picture of the", "a cat"),
    ],
)
def test_a_caption_in_other_words_does_not_contradict(caption: str, said: str) -> None:
    assert not contradicts(content_words(caption), set(content_words(said)))


@pytest.mark.parametrize(
    ("caption", "said"),
    [
        ("a cat on the grass", "a dog on a sofa"),
        ("a plate of broccoli", "a plate of spaghetti next to a fork"),
        ("a giraffe eating leaves", "a zebra drinking water"),
    ],
)
def test_a_caption_of_something_else_contradicts(caption: str, said: str) -> None:
    assert contradicts(content_words(caption), set(content_words(said)))


def test_the_seed_alone_decides() -> None:
    assert made(many()) == made(many())
    assert made(many()) != made(many(), seed=18)


def test_examples_of_a_window_come_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.tasks.matching.WINDOW", 50)
    assert len(made(many())) == len(own_captions())


def test_a_picture_is_never_shown_with_the_same_negative_twice() -> None:
    shown = Counter(
        (example.image_id, example.prompt and example.prompt.text)
        for example in made(many(), negatives=1.0)
        if example.target.text == "no"
    )
    assert max(shown.values()) == 1


def test_a_negative_shares_no_word_with_the_only_caption_of_a_picture() -> None:
    alone = [captioned(int(one.picture.image_id), one.captions[0][1]) for one in many()]
    own = {one.captions[0][0]: one.captions[0][1] for one in alone}
    answers = Counter(example.target.text for example in made(alone))
    assert min(answers["yes"], answers["no"]) > 0.4 * len(alone)
    for example in made(alone):
        assert example.prompt is not None
        if example.target.text == "no":
            assert not content_words(example.prompt.text) & content_words(own[example.source_id])
