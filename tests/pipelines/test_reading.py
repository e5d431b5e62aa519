"""Between sources and translation: languages, duplicates, pictures that are one, names in a language."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to
from msgspec.structs import replace
from PIL import Image, ImageDraw

from pipelines.blocks import Gathered, bucket_of
from pipelines.examples import Example, Reject, Text
from pipelines.reading import (
    EXAMPLES,
    LIKENESS,
    LIKENESSES,
    REJECTED,
    REJECTS,
    AssignedExample,
    CheckImages,
    RejectDuplicates,
    RejectedExample,
    RejectRepeated,
    UnifyImages,
    if_english,
    shown_key,
)
from pipelines.recipe import Deduplicate

RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def example(source_id: str, image_id: str | None, target: str = "A dog.", **keys: object) -> Example:
    values: dict[str, object] = {"prompt": None, "image": image_id and f"/p/{image_id}"} | keys
    return Example("s", source_id, "caption", image_id=image_id, target=Text(target), **values)  # type: ignore[arg-type]


def assigned(one: Example, language: str = "deu_Latn", likeness: str | int | None = None) -> AssignedExample:
    return AssignedExample(one, language, likeness=likeness)


def ids(parts: list[AssignedExample]) -> list[tuple[str, str | None]]:
    return sorted((part.id, part.example.image_id) for part in parts)


def picture(seed: int, *, quality: int = 90) -> bytes:
    image = Image.new("RGB", (64, 64), (seed * 37 % 256, 90, 160))
    draw = ImageDraw.Draw(image)
    draw.ellipse((seed % 20, 5, 40 + seed % 20, 50), fill=(250, seed * 11 % 256, 30))
    draw.line((0, seed * 5 % 64, 63, 63 - seed * 3 % 64), fill=(0, 0, 0), width=5)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("example_", "prompt", "target"),
    [
        (example("1", "1"), None, "deu_Latn"),
        (example("1", "1", prompt=Text("Why?")), "deu_Latn", "deu_Latn"),
        (example("1", "1", prompt=Text("Why?", translate=False)), "eng_Latn", "deu_Latn"),
        (
            Example("s", "1", "vqa", "/p", "1", Text("Why?"), Text("so", translate=False)),
            "deu_Latn",
            "eng_Latn",
        ),
        (
            Example("s", "1", "classify", "/p", "1", None, Text("dog", False, name="3", given="Hund")),
            None,
            "deu_Latn",
        ),
        (
            Example(
                "s", "1", "text", None, None, Text("Ein", False), Text("Satz", False), language="deu_Latn"
            ),
            "deu_Latn",
            "deu_Latn",
        ),
    ],
)
def test_a_row_says_which_languages_its_prompt_and_target_are_in(
    example_: Example, prompt: str | None, target: str
) -> None:
    row = assigned(example_)
    assert (row.prompt_language, row.target_language) == (prompt, target)


def test_an_id_that_comes_again_is_rejected_whichever_was_read_first() -> None:
    one, other = assigned(example("1", "1")), assigned(example("1", "1", "A cat."))
    outcomes = []
    for order in ([one, other], [other, one]):
        kept, rejected = RejectDuplicates(1).sift(order)
        assert isinstance(rejected, RejectedExample)
        assert "with other content has the id s/1/caption" in rejected.reason
        outcomes.append(kept)
    assert outcomes[0] == outcomes[1]


BUCKETS = 3


def blocks(parts: Sequence[AssignedExample]) -> list[tuple[int, bytes]]:
    """One for each example."""
    return [(index % BUCKETS, EXAMPLES.pack([part])) for index, part in enumerate(parts)]


def run_unify(parts: list[AssignedExample], how: Deduplicate, check: Callable[..., None]) -> None:
    likenesses = Gathered(LIKENESS)
    for part in parts:
        if part.likeness is not None and part.example.image_id is not None:
            likenesses.add(bucket_of(str(part.likeness), BUCKETS), (part.likeness, part.example.image_id))
    with beam.Pipeline(RUNNER) as pipeline:
        checked = {
            "examples": pipeline | "Examples" >> beam.Create(blocks(parts)),
            LIKENESSES: pipeline | "Likenesses" >> beam.Create(list(likenesses.drain())),
        }
        unified = checked | UnifyImages(how, BUCKETS) | "Unpack" >> beam.FlatMap(_unpacked)
        assert_that(unified, check)


def _unpacked(element: tuple[int, bytes]) -> list[AssignedExample]:
    return EXAMPLES.unpack(element[1])


def test_equal_pictures_under_two_ids_are_one() -> None:
    parts = [
        assigned(example("1", "b"), likeness="digest"),
        assigned(example("2", "a"), likeness="digest"),
        assigned(example("3", "c"), likeness="other"),
        assigned(example("4", None)),
    ]
    wanted = [("s/1/caption/deu_Latn", "a"), ("s/2/caption/deu_Latn", "a"), ("s/3/caption/deu_Latn", "c")]

    def check(found: list[AssignedExample]) -> None:
        assert ids(found) == sorted([*wanted, ("s/4/caption/deu_Latn", None)])

    run_unify(parts, Deduplicate(images="exact"), check)


def test_ids_that_copies_tie_together_are_one() -> None:
    # `1` stands for another picture in the second source.
    parts = [
        assigned(example("1", "5"), likeness="a"),
        assigned(example("2", "1"), likeness="a"),
        assigned(example("3", "1"), likeness="b"),
        assigned(example("4", "0"), likeness="b"),
        assigned(example("5", "00"), likeness="b"),
    ]

    def check(found: list[AssignedExample]) -> None:
        assert [image for _, image in ids(found)] == ["0"] * 5

    run_unify(parts, Deduplicate(images="exact"), check)


def test_pictures_that_are_alike_are_one_only_where_the_recipe_asks_for_it() -> None:
    parts = [
        assigned(example("1", "b"), likeness=0b1011),
        assigned(example("2", "a"), likeness=0b1010),
        assigned(example("3", "c"), likeness=2**63),
    ]

    def near(found: list[AssignedExample]) -> None:
        assert [image for _, image in ids(found)] == ["a", "a", "c"]

    def none(found: list[AssignedExample]) -> None:
        assert [image for _, image in ids(found)] == ["b", "a", "c"]

    run_unify(parts, Deduplicate(images="near", distance=2), near)
    run_unify(parts, Deduplicate(images="none"), none)


def test_a_picture_saved_again_is_near_and_not_exact(tmp_path: Path) -> None:
    for name, data in (("a", picture(3)), ("b", picture(3, quality=60)), ("c", picture(40))):
        (tmp_path / name).write_bytes(data)
    found: dict[str, list[AssignedExample]] = {}
    for how in ("exact", "near"):
        checker = CheckImages(10_000, Deduplicate(images=how), 1)  # type: ignore[arg-type]
        checker.start_bundle()
        given = [assigned(example(name, name, image=str(tmp_path / name))) for name in "abc"]
        found[how] = [one for one in checker.sift(given) if isinstance(one, AssignedExample)]
        assert [one.image_size for one in found[how]] == [(tmp_path / name).stat().st_size for name in "abc"]
    assert len({one.likeness for one in found["exact"]}) == 3

    def check(unified: list[AssignedExample]) -> None:
        assert [image for _, image in ids(unified)] == ["a", "a", "c"]

    run_unify(found["near"], Deduplicate(images="near", distance=4), check)


def test_both_pictures_of_a_statement_are_checked(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(picture(1))
    (tmp_path / "bad").write_bytes(picture(1)[:100])
    stated = example("1", "1+2", image=str(tmp_path / "good"), second_image=str(tmp_path / "bad"))
    (rejected,) = CheckImages(10_000, Deduplicate(), 1).sift([assigned(stated)])
    assert isinstance(rejected, RejectedExample)
    assert rejected.reason.startswith("image: broken or truncated")


@pytest.mark.parametrize("enabled", [True, False])
def test_the_same_said_of_the_same_picture_is_rejected(enabled: bool) -> None:
    parts = [
        assigned(example("2", "a"), "fra_Latn"),
        assigned(example("1", "a"), "deu_Latn"),
        assigned(example("1", "a"), "swh_Latn"),
        assigned(example("3", "b"), "deu_Latn"),
        assigned(example("4", "a", "A cat."), "deu_Latn"),
    ]
    rejected = ["s/2/caption/fra_Latn"] if enabled else []
    with beam.Pipeline(RUNNER) as pipeline:
        made = (
            pipeline
            | beam.Create([(0, block) for _, block in blocks(parts)])
            | beam.GroupByKey()
            | beam.ParDo(RejectRepeated(Deduplicate(rows=enabled), BUCKETS)).with_outputs(
                REJECTS, main="examples"
            )
        )
        kept = made.examples | "Ids" >> beam.FlatMap(lambda element: [one.id for one in _unpacked(element)])
        assert_that(kept, equal_to([part.id for part in parts if part.id not in rejected]), label="kept")

        def reasons(found: list[bytes]) -> None:
            told = [one for block in found for one in REJECTED.unpack(block)]
            assert [one.assigned.id for one in told] == rejected
            assert all(
                one.reason == "duplicate: s/1/caption has the same picture, prompt and target" for one in told
            )

        assert_that(made[REJECTS], reasons, label="rejected")


def test_without_a_look_at_pictures_those_of_other_places_are_others() -> None:
    one, other = (replace(example("1", "7"), source_id=name, image=f"{name}/7.png") for name in "ab")
    found = list(RejectRepeated(Deduplicate(images="none"), BUCKETS).sift([assigned(one), assigned(other)]))
    assert all(isinstance(each, AssignedExample) for each in found)


@pytest.mark.parametrize(("images", "kept"), [("exact", 2), ("near", 1), ("none", 1)])
def test_other_pictures_of_the_same_name_are_told_by_their_bytes(
    images: Literal["exact", "near", "none"], kept: int
) -> None:
    parts = [assigned(example("1", "7"), likeness="a"), assigned(example("2", "7"), likeness="b")]
    found = list(RejectRepeated(Deduplicate(images=images), BUCKETS).sift(parts))
    assert sum(isinstance(one, AssignedExample) for one in found) == kept


def test_examples_come_to_the_bucket_of_what_they_show_and_then_of_their_id() -> None:
    text = assigned(example("1", None))
    same = assigned(example("2", None))
    repeated = RejectRepeated(Deduplicate(), BUCKETS)
    assert shown_key(text) == shown_key(same) == "A dog."
    assert shown_key(assigned(example("1", "9"))) == "9"
    assert repeated.key(text) == text.id


def test_what_is_surely_not_english_is_no_example() -> None:
    german = "Ein Hund läuft am Strand entlang."
    bad = if_english(example("1", "1", german))
    assert isinstance(bad, Reject)
    assert bad.reason == f"foreign: the target is not English but German (deu_Latn): {german!r}"
    assert (bad.id, bad.image_id, bad.record) == ("s/1/caption", "1", german)
    asked = if_english(example("1", "1", "A dog.", prompt=Text("Was macht der Hund auf dem Bild hier?")))
    assert isinstance(asked, Reject)
    assert "the prompt is not English" in asked.reason
    text = if_english(Example("s", "1", "text", None, None, Text("Ein"), Text(german)))
    assert isinstance(text, Reject)
    assert text.reason.endswith("name their `language` in the recipe")
    for one in (
        example("1", "1"),
        Example("s", "1", "text", None, None, Text("Ein"), Text(german), language="deu_Latn"),
        Example("s", "1", "classify", "/p", "1", None, Text("собака и кошка дома", False, name="3")),
    ):
        assert if_english(one) is one
