"""Held-out rows of a mix are asked with their own prompts and pictures."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.questions import Questions, questions_of
from evaluation.readers.records import DataError
from evaluation.tasks import read_task
from tests.training.conftest import jpeg, row_of, write_mix
from translation.settings_file import SettingsError


def held_out(root: Path, *overrides: str) -> Questions:
    return questions_of(read_task("mix", [f"root={root}", "files=tiny", *overrides]))


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    rows = {
        "deu_Latn": [row_of(number, "deu_Latn") for number in range(25)],
        "swh_Latn": [row_of(number, "swh_Latn", task="vqa") for number in range(25, 30)],
        "fra_Latn": [
            row_of(30, "fra_Latn", target=" "),
            row_of(31, "fra_Latn", image={"bytes": None, "path": None}, image_id=None),
            row_of(32, "fra_Latn", second_image={"bytes": jpeg(99), "path": "99.jpg"}),
        ],
    }
    write_mix(tmp_path / "tiny", rows, split="validation")
    return write_mix(tmp_path / "tiny", {"deu_Latn": [row_of(90, "deu_Latn")]}, split="train")


def test_rows_keep_their_prompts_and_pictures(mix: Path) -> None:
    found = held_out(mix.parent)
    assert found.counts == {"deu_Latn": 25, "fra_Latn": 2}
    first = found.items[0]
    row = row_of(0, "deu_Latn")
    assert first.key == ("deu_Latn", "tiny/0/caption/deu_Latn")
    assert first.request.prompt == "Describe the picture in deu_Latn."
    assert (first.request.prompt_language, first.request.language) == ("eng_Latn", "deu_Latn")
    assert first.expected.references == (row["target"],)
    assert first.expected.unit == "0"
    # In any order, and across more row groups than are kept.
    for place in (24, 0, 13, 5, 24):
        assert [one.read() for one in found.items[place].pictures] == [jpeg(place)]


def test_languages_that_are_left_out_are_not_asked(mix: Path) -> None:
    assert held_out(mix.parent, "left_out={fr: no reviewer, quz: not known}").counts == {"deu_Latn": 25}


@pytest.mark.parametrize("key", ["labels={a: b}", "ungraded=[x]", "answers=english", "pictures={path: [x]}"])
def test_what_rows_have_themselves_cannot_be_set(mix: Path, key: str) -> None:
    with pytest.raises(SettingsError, match="of no use for 'mix'"):
        held_out(mix.parent, key)


def test_rows_may_have_two_pictures_or_none(mix: Path) -> None:
    by_id = {one.expected.id: one for one in held_out(mix.parent).items}
    assert by_id["tiny/31/caption/fra_Latn"].pictures == ()
    assert [one.read() for one in by_id["tiny/32/caption/fra_Latn"].pictures] == [jpeg(32), jpeg(99)]


def test_shared_pictures_are_those_that_the_rows_name(tmp_path: Path) -> None:
    """Two sources have a `1.jpg`, and a row shows a picture of each of two other ones."""

    def row(number: int, image_id: str, first: str, second: str | None = None) -> dict[str, object]:
        cells = {"image": {"bytes": None, "path": first}, "second_image": {"bytes": None, "path": second}}
        return row_of(number, "deu_Latn", image_id=image_id, **cells)

    rows = [row(1, "1", "1"), row(2, "1", "1~abc123"), row(3, "a/1+a/2", "a/1", "a/2")]
    write_mix(tmp_path / "tiny", {"deu_Latn": rows}, split="validation")
    pictures = {name: jpeg(number) for number, name in enumerate(("1", "1~abc123", "a/1", "a/2"))}
    columns = {
        "image_id": pa.array(pictures),
        "image": pa.array([{"bytes": one, "path": None} for one in pictures.values()]),
    }
    (tmp_path / "tiny" / "images").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "tiny" / "images" / "images-00000-of-00001.parquet")
    found = held_out(tmp_path, "tasks=[]").items
    shown = {one.expected.id: [picture.read() for picture in one.pictures] for one in found}
    assert list(shown.values()) == [
        [pictures["1"]],
        [pictures["1~abc123"]],
        [pictures["a/1"], pictures["a/2"]],
    ]
    assert found[0].picture_names != found[1].picture_names


def test_a_row_without_a_target_is_counted(mix: Path) -> None:
    (problem,) = held_out(mix.parent).problems
    assert problem.kind == "broken record"
    assert problem.examples == ("tiny/30/caption/fra_Latn: it has no prompt or no target",)


def test_languages_and_tasks_are_chosen(mix: Path) -> None:
    assert held_out(mix.parent, "tasks=[vqa]").counts == {"swh_Latn": 5}
    assert held_out(mix.parent, "languages=[fr]").counts == {"fra_Latn": 2}
    assert len(held_out(mix.parent, "tasks=[]").items) == 32


def test_the_digest_is_of_the_mix(mix: Path) -> None:
    digest = held_out(mix.parent).digest
    assert held_out(mix.parent).digest == digest
    write_mix(mix, {"jpn_Jpan": [row_of(95, "jpn_Jpan")]}, split="validation")
    assert held_out(mix.parent).digest != digest


def test_a_mix_without_held_out_rows_is_an_error(tmp_path: Path) -> None:
    write_mix(tmp_path / "tiny", {"deu_Latn": [row_of(0, "deu_Latn")]})
    with pytest.raises(DataError, match="no rows of the split 'validation'"):
        held_out(tmp_path)


def test_a_mix_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"files is .*there is no"):
        held_out(tmp_path)
