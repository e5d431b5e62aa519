"""Classes are named, and asked for; a wrong class is never a right one under another name."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.examples import Example
from pipelines.names import NameTable
from pipelines.recipe_sources import ImagenetSource
from pipelines.records import Classified, Picture, Place
from pipelines.tasks import examples_of

ENGLISH, GERMAN, FRENCH = "eng_Latn", "deu_Latn", "fra_Latn"
TABLE = NameTable(
    {
        "0": {ENGLISH: "tench", GERMAN: "Schleie", FRENCH: "tanche"},
        "1": {ENGLISH: "crane", GERMAN: "Kranich", FRENCH: "grue"},
        "2": {ENGLISH: "crane", GERMAN: "Kran", FRENCH: "grue"},
        "3": {ENGLISH: "laptop", GERMAN: "Notebook"},
        "4": {ENGLISH: "notebook", GERMAN: "notebook"},
        "5": {ENGLISH: "maillot"},
    },
    others={"3": {"FI:kannettava"}, "5": {"FI:Kannettava"}},
)


def source(**keys: object) -> ImagenetSource:
    values = {"format": "imagenet", "name": "s", "images": "i", "classes": "c", "labels": "l"}
    return ImagenetSource.model_validate(values | keys)


def record(number: int, name: str) -> Classified:
    place = Place("n01440764", "file", number, "f")
    return Classified(place, f"n01440764_{number}", Picture(f"/p/{number}.JPEG", f"n01440764_{number}"), name)


def made(source: ImagenetSource, *records: Classified, table: NameTable = TABLE) -> list[Example]:
    return [one for one in examples_of(source, records, 17, table) if isinstance(one, Example)]


def test_a_picture_is_named_by_its_class() -> None:
    (example,) = made(source(tasks=("classify",)), record(18, "0"))
    assert (example.id, example.image, example.image_id) == (
        "s/n01440764_18/classify",
        "/p/18.JPEG",
        "n01440764_18",
    )
    assert example.prompt is None
    assert (example.target.text, example.target.name, example.target.translate) == ("tench", "0", False)


def test_the_languages_of_an_example_are_those_of_the_name_that_it_shows() -> None:
    examples = made(source(), *(record(number, "0") for number in range(200)))
    for example in examples:
        shown = example.target if example.task == "classify" else example.prompt
        assert shown is not None
        assert example.name == shown.name
        assert shown.text == TABLE.label(str(shown.name), ENGLISH)
        assert example.stratum == f"s/{example.task}/{shown.name}"
    assert {example.name for example in examples if example.task == "classify_yes_no"} == set(TABLE.keys())


@pytest.mark.parametrize("name", TABLE.keys())
def test_a_wrong_class_shares_no_label_with_the_right_one_in_any_language(name: str) -> None:
    examples = made(source(tasks=("classify_yes_no",)), *(record(number, name) for number in range(300)))
    for example in examples:
        assert example.prompt is not None
        other = str(example.prompt.name)
        assert example.target.text == ("yes" if other == name else "no")
        if other != name:
            shared = {code for code in (ENGLISH, GERMAN, FRENCH) if TABLE.label(name, code) is not None}
            for code in shared:
                label = TABLE.label(other, code)
                assert label is None or label.casefold() != str(TABLE.label(name, code)).casefold()
            assert {name, other} != {"3", "5"}, "alike in Finnish, which no label is used of"


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_share_of_wrong_classes_is_the_recipes(share: float) -> None:
    records = [record(number, "0") for number in range(2_000)]
    examples = made(source(tasks=("classify_yes_no",), negatives=share), *records)
    wrong = sum(example.target.text == "no" for example in examples) / len(examples)
    assert wrong == pytest.approx(share, abs=0.04 if 0 < share < 1 else 0)


def test_wrong_classes_are_spread_over_all_others() -> None:
    records = [record(number, "0") for number in range(5_000)]
    examples = made(source(tasks=("classify_yes_no",), negatives=1.0), *records)
    shown = Counter(str(example.prompt and example.prompt.name) for example in examples)
    assert set(shown) == {"1", "2", "3", "4", "5"}
    assert max(shown.values()) / min(shown.values()) < 1.2


def test_where_all_classes_are_alike_the_right_one_is_shown() -> None:
    table = NameTable({"0": {ENGLISH: "crane"}, "1": {ENGLISH: "Crane"}})
    (example,) = made(source(tasks=("classify_yes_no",), negatives=1.0), record(0, "0"), table=table)
    assert example.prompt is not None
    assert (example.prompt.name, example.target.text) == ("0", "yes")


@given(
    st.lists(
        st.dictionaries(st.sampled_from([GERMAN, FRENCH]), st.sampled_from("aAbBcd"), max_size=2),
        min_size=2,
        max_size=8,
    )
)
def test_no_table_of_names_makes_a_wrong_class_that_is_alike(labels: list[dict[str, str]]) -> None:
    table = NameTable({str(number): {ENGLISH: f"class {number}", **own} for number, own in enumerate(labels)})
    examples = made(
        source(tasks=("classify_yes_no",), negatives=1.0),
        *(record(number, str(number)) for number in range(len(labels))),
        table=table,
    )
    for number, example in enumerate(examples):
        other = int(str(example.prompt and example.prompt.name))
        if example.target.text == "no":
            assert other != number
            assert not any(
                labels[number][code].casefold() == labels[other][code].casefold()
                for code in labels[number].keys() & labels[other].keys()
            )
        else:
            assert other == number
            assert all(table.alike(str(number), str(key)) for key in range(len(labels)))


def test_the_same_seed_gives_the_same_classes() -> None:
    records = [record(number, "0") for number in range(50)]
    assert made(source(), *records) == made(source(), *records)
    other = [one for one in examples_of(source(), records, 18, TABLE) if isinstance(one, Example)]
    assert made(source(), *records) != other
