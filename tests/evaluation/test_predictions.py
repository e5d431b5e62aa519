"""Predictions files: whatever is wrong with a line is counted and named, and never scored in silence."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.items import Expected
from evaluation.predictions import (
    BROKEN,
    DOUBLED,
    EMPTY,
    INCOMPLETE,
    MISSING,
    PROBLEMS,
    UNANSWERABLE,
    UNEXPECTED,
    UNKNOWN,
    Predictions,
    PredictionsError,
    described,
    numbered,
    read_predictions,
)

GOOD = {"id": "1", "language": "deu_Latn", "prediction": "ja", "references": ["ja"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "predictions.jsonl"


def write(path: Path, *lines: object) -> None:
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")


def problems(found: Predictions) -> dict[str, tuple[int, tuple[str, ...]]]:
    return {problem.kind: (problem.count, problem.examples) for problem in found.problems}


def test_lines_become_items(path: Path) -> None:
    more = {"id": 2, "language": "zh", "prediction": "是", "references": ["是", "对"]}
    write(path, GOOD, {**more, "image": 7, "choices": ["是", "否"], "tokens": 3})
    found = read_predictions(path)
    first, second = found.items
    assert first.expected == Expected("1", "deu_Latn", ("ja",), "1")
    assert second.expected == Expected("2", "zho_Hans", ("是", "对"), "7", ("是", "否"))
    assert second.prediction == "是"
    assert (found.lines, found.problems) == (2, ())
    assert found.digest == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("line", "kind", "named"),
    [
        ('{"id": "2", "langu', BROKEN, 'line 2: {"id": "2", "langu'),
        ("[1, 2]", BROKEN, "line 2: [1, 2]"),
        ("\x00", BROKEN, "line 2"),
        ({**GOOD, "id": None}, INCOMPLETE, "line 2: `id` is None"),
        ({**GOOD, "id": True}, INCOMPLETE, "line 2: `id` is True"),
        ({**GOOD, "id": ""}, INCOMPLETE, "line 2: `id` is ''"),
        ({**GOOD, "language": 5}, INCOMPLETE, "line 2: `language` is 5"),
        ({**GOOD, "prediction": ["a"]}, INCOMPLETE, "line 2: `prediction` is ['a']"),
        ({**GOOD, "references": "ja"}, INCOMPLETE, "line 2: `references` is 'ja', a list of texts wanted"),
        ({**GOOD, "references": None}, INCOMPLETE, "line 2: `references` is None"),
        ({**GOOD, "references": [1]}, INCOMPLETE, "line 2: `references` is [1]"),
        ({**GOOD, "choices": [1]}, INCOMPLETE, "line 2: `choices` is [1]"),
        ({**GOOD, "image": []}, INCOMPLETE, "line 2: `image` is []"),
        ({**GOOD, "id": "2", "language": "quz"}, UNKNOWN, "line 2: quz"),
        (GOOD, DOUBLED, "line 2: deu_Latn 1"),
        ({**GOOD, "language": "de", "prediction": "nein"}, DOUBLED, "line 2: deu_Latn 1"),
        ({**GOOD, "id": "2", "references": []}, UNANSWERABLE, "line 2: deu_Latn 2"),
    ],
)
def test_a_bad_line_is_counted_and_not_scored(path: Path, line: object, kind: str, named: str) -> None:
    write(path, GOOD, line)
    found = read_predictions(path)
    ((shown_kind, (count, examples)),) = problems(found).items()
    assert (shown_kind, count) == (kind, 1)
    assert examples[0].startswith(named)
    assert [item.prediction for item in found.items] == ["ja"]
    assert found.lines == 2
    with pytest.raises(PredictionsError, match=r"predictions\.jsonl: 1 line"):
        read_predictions(path, strict=True)


@pytest.mark.parametrize("prediction", [None, "absent"])
def test_a_missing_prediction_is_scored_as_empty_and_named(path: Path, prediction: object) -> None:
    line: dict[str, object] = {**GOOD, "id": "2", "prediction": prediction}
    if prediction == "absent":
        del line["prediction"]
    write(path, GOOD, line)
    found = read_predictions(path)
    assert problems(found) == {MISSING: (1, ("deu_Latn 2",))}
    assert [item.prediction for item in found.items] == ["ja", ""]
    with pytest.raises(
        PredictionsError, match=r"1 item without a prediction; scored as empty \(deu_Latn 2\)"
    ):
        read_predictions(path, strict=True)


def test_an_empty_prediction_is_scored_and_counted_and_strictly_allowed(path: Path) -> None:
    write(path, GOOD, {**GOOD, "id": "2", "prediction": " "})
    for strict in (False, True):
        found = read_predictions(path, strict=strict)
        assert problems(found) == {EMPTY: (1, ("deu_Latn 2",))}
        assert len(found.items) == 2


def test_the_task_says_what_is_expected(path: Path) -> None:
    expected = [Expected(name, "deu_Latn", ("ja",), f"p{name}") for name in "123"]
    write(
        path,
        {"id": "3", "language": "de", "prediction": "nein"},
        {"id": "1", "language": "de", "prediction": "ja", "references": ["forged"]},
        {"id": "4", "language": "de", "prediction": "ja"},
        {"id": "1", "language": "fr", "prediction": "ja"},
    )
    found = read_predictions(path, expected)
    assert [item.expected for item in found.items] == expected
    assert [item.prediction for item in found.items] == ["ja", "", "nein"]
    assert problems(found) == {
        UNEXPECTED: (2, ("line 3: deu_Latn 4", "line 4: fra_Latn 1")),
        MISSING: (1, ("deu_Latn 2",)),
    }


def test_a_file_of_another_task_is_refused(path: Path) -> None:
    write(path, {"id": "7", "language": "de", "prediction": "ein Hund"})
    with pytest.raises(PredictionsError, match=r"nothing to score in 1 lines; 1 .*line 1: deu_Latn 7"):
        read_predictions(path, [Expected("1", "deu_Latn", ("ein Hund",), "1")])


def test_a_task_with_two_items_of_one_id_or_without_references_is_an_error(path: Path) -> None:
    write(path, GOOD)
    twice = [Expected("1", "deu_Latn", ("ja",), "1"), Expected("1", "deu_Latn", ("nein",), "1")]
    with pytest.raises(ValueError, match="two items deu_Latn '1'"):
        read_predictions(path, twice)
    with pytest.raises(ValueError, match="deu_Latn '1' has no references"):
        Expected("1", "deu_Latn", (), "1")


def test_a_file_cut_short_in_a_line_keeps_the_rest(path: Path) -> None:
    write(path, GOOD, {**GOOD, "id": "2"})
    path.write_bytes(path.read_bytes()[:-20])
    found = read_predictions(path)
    assert len(found.items) == 1
    assert problems(found)[BROKEN][0] == 1


def test_a_byte_order_mark_blank_lines_and_windows_line_ends_are_no_problem(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r\n\r\n")
    found = read_predictions(path)
    assert (len(found.items), found.lines, found.problems) == (1, 1, ())


def test_examples_are_bounded_and_counts_are_not(path: Path) -> None:
    write(path, GOOD, *(["broken"] * 50))
    ((count, examples),) = problems(read_predictions(path)).values()
    assert (count, len(examples)) == (50, 10)
    (problem,) = read_predictions(path).problems
    assert described(problem).startswith("50 lines that are no JSON object; not scored (line 2: broken, ")
    assert described(problem).endswith(", …)")


@pytest.mark.parametrize("content", ["", "\n", "broken\n"])
def test_nothing_to_score_is_an_error(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PredictionsError, match=r"predictions\.jsonl: nothing to score in \d lines"):
        read_predictions(path)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(PredictionsError, match=r"predictions\.jsonl: cannot be read \(No such file"):
        read_predictions(path)


kinds = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.lists(st.text(max_size=3), max_size=2)
)
records = st.dictionaries(
    st.sampled_from(["id", "language", "prediction", "references", "image", "choices"]),
    kinds | st.just("deu_Latn"),
)


@given(st.lists(records | st.just(GOOD), max_size=6))
def test_every_line_is_an_item_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, lines: list[object]
) -> None:
    path = tmp_path_factory.mktemp("any") / "predictions.jsonl"
    write(path, {**GOOD, "id": "sure"}, *lines)
    found = read_predictions(path)
    not_scored = sum(problem.count for problem in found.problems if problem.kind not in (MISSING, EMPTY))
    assert len(found.items) + not_scored == found.lines == len(lines) + 1
    assert {problem.kind for problem in found.problems} <= set(PROBLEMS)


def test_what_could_not_be_asked_is_told_apart_from_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"id": "1", "language": "de", "prediction": null, "unanswered": "picture: missing: a.jpg"}\n'
        '{"id": "2", "language": "de", "prediction": null}\n'
    )
    expected = [Expected(name, "deu_Latn", ("x",), name) for name in "123"]
    found = read_predictions(path, expected)
    assert [item.prediction for item in found.items] == ["", "", ""]
    assert [(one.kind, one.count) for one in found.problems] == [("missing", 2), ("not asked", 1)]
    assert found.problems[1].examples == ("deu_Latn 1: picture: missing: a.jpg",)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_one_problem_is_told_as_one(kind: str) -> None:
    noun, told = PROBLEMS[kind].split()[0], numbered(1, kind)
    assert told.split()[1] in (noun.removesuffix("s"), "blank")
    assert not re.search(r" that (are|repeat) ", told)
    assert numbered(2, kind) == f"2 {PROBLEMS[kind]}"
