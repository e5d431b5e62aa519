from __future__ import annotations

from typing import Any

import pytest

from translation.class_names import ClassNamesError, babel_labels, class_index


def test_classes_are_in_order_and_their_words_as_people_write_them() -> None:
    found = class_index({"1": ["n01484850", "great_white_shark"], "0": ["n01440764", "tench"]}, "index.json")
    assert list(found.items()) == [("0", ("n01440764", "tench")), ("1", ("n01484850", "great white shark"))]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], r"^index\.json is '\[\]'; must be an object"),
        ({"0": "tench"}, "class '0' is 'tench'; must be as"),
        ({"1": ["n01440764", "tench"]}, "has no class '0'"),
        ({"0": ["n01440764", "tench"], "1": ["n01440764", "fish"]}, "n01440764 stands there for 2 classes"),
    ],
)
def test_another_index_is_told(content: Any, told: str) -> None:
    with pytest.raises(ClassNamesError, match=told):
        class_index(content, "index.json")


def test_labels_keep_the_points_that_yiddish_writes() -> None:
    pointed = "קאַץ"
    found = babel_labels({"YI": [[0], [pointed]], "HE": [[0], [pointed]]}, "labels.json", 1)
    assert found == {"YI": [("0", pointed)], "HE": [("0", "קאץ")]}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"DE": [[0, 1], ["Schleie"]]}, "'DE' has 2 class indices and 1 labels; must be a label for each"),
        ({"DE": [[-1], ["Schleie"]]}, "'DE' has the class index '-1'; must be a whole number from 0 to 1"),
        ({"DE": [[0], [5]]}, "'DE', class 0: '5' is no text"),
        ({}, "has no language"),
    ],
)
def test_other_labels_are_told(content: Any, told: str) -> None:
    with pytest.raises(ClassNamesError, match=told):
        babel_labels(content, "labels.json", 2)
