"""Which rows are shown: the same ones each time, of every kind, read from few row groups."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.manifest import read_manifest
from pipelines.report.samples import GROUPS, find_shared, read_samples
from tests.pipelines.report.small_mix import picture, rejected, row, write_mix


def samples(mix: Path, count: int, accepted: bool = True) -> list[dict[str, Any]]:
    files = [file for file in read_manifest(str(mix)).files if file.accepted == accepted]
    return [dict(one.row) for one in read_samples(str(mix), files, count)]


def test_rows_are_chosen_by_their_ids_not_by_their_order(tmp_path: Path) -> None:
    rows = [row("deu_Latn", index) for index in range(40)]
    first = samples(write_mix(tmp_path / "first", rows, group=100), 5)
    second = samples(write_mix(tmp_path / "second", rows[::-1], group=100), 5)
    assert [one["id"] for one in first] == [one["id"] for one in second]
    assert sorted(one["id"] for one in first) != [one["id"] for one in rows[:5]], "not just the first ones"


def test_every_task_comes_once_before_any_twice(tmp_path: Path) -> None:
    rows = [row("deu_Latn", index) for index in range(50)]
    rows += [row("deu_Latn", 100, task="vqa"), row("deu_Latn", 101, task="text")]
    found = Counter(one["task"] for one in samples(write_mix(tmp_path / "mix", rows), 6))
    assert found == {"caption": 4, "vqa": 1, "text": 1}


def test_every_reason_comes_once_before_any_twice(tmp_path: Path) -> None:
    rows = [rejected("deu_Latn", index) for index in range(30)]
    rows += [
        rejected("deu_Latn", 100 + index, reason="copy: 1 of it, at most 0.5 wanted") for index in range(2)
    ]
    found = Counter(
        one["reason"][:3] for one in samples(write_mix(tmp_path / "mix", rows), 4, accepted=False)
    )
    assert found == {"lid": 2, "cop": 2}


@pytest.mark.parametrize("count", [1, 3, 7, 50])
def test_at_most_so_many_and_all_if_there_are_fewer(tmp_path: Path, count: int) -> None:
    found = samples(
        write_mix(tmp_path / "mix", [row("deu_Latn", index) for index in range(7)], group=2), count
    )
    assert len({one["id"] for one in found}) == min(count, 7)


def test_rows_keep_their_own_texts_and_pictures(tmp_path: Path) -> None:
    colours = ["red", "green", "blue", "black", "white"]
    rows = [
        row("deu_Latn", index, target=colour, image={"bytes": picture(colour), "path": colour})
        for index, colour in enumerate(colours)
    ]
    mix = write_mix(tmp_path / "mix", rows, group=2)
    for one in read_samples(str(mix), read_manifest(str(mix)).files, 4):
        (shown,) = one.pictures
        assert (shown["path"], shown["bytes"]) == (one.row["target"], picture(one.row["target"]))


def test_a_large_part_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mix = write_mix(tmp_path / "mix", [row("deu_Latn", index) for index in range(400)], group=20)
    asked: set[int] = set()
    read = pq.ParquetFile.read_row_group

    def read_row_group(self: pq.ParquetFile, group: int, *args: Any, **options: Any) -> Any:
        asked.add(group)
        return read(self, group, *args, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", read_row_group)
    assert len(samples(mix, 3)) == 3
    assert len(asked) == GROUPS


def test_shared_pictures_are_found_by_name(tmp_path: Path) -> None:
    colours = ["red", "green", "blue", "black", "white"]
    rows = [
        row("deu_Latn", index, image={"bytes": picture(colour), "path": "x"}, image_id=colour)
        for index, colour in enumerate(colours)
    ]
    mix = write_mix(tmp_path / "mix", rows, images="shared")
    paths = [file.path for file in read_manifest(str(mix)).images]
    found = dict(find_shared(str(mix), paths, frozenset({"red", "white", "purple"})))
    assert found == {"red": picture("red"), "white": picture("white")}


def test_rows_of_an_earlier_version_lack_columns(tmp_path: Path) -> None:
    mix = write_mix(tmp_path / "mix", [row("deu_Latn", index) for index in range(3)])
    path = mix / read_manifest(str(mix)).files[0].path
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["question_language", "second_image", "prompt_language"]), path)
    (first, *_) = samples(mix, 3)
    assert first["question_language"] is None
    assert first["target"]
