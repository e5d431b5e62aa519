"""How rows are cut, ordered and spread over shards, which a refilter has to do in the same way."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.rows import keeps_picture
from pipelines.sink import ORDER, row_groups, shard_of, shards_for, write_tables
from translation.filters import NO_SCORES
from translation.row import row_schema

MEBIBYTE = 2**20


def test_row_groups_are_bounded_in_rows_and_bytes() -> None:
    assert [len(group) for group in row_groups((index, 0) for index in range(2500))] == [1000, 1000, 500]
    pictures = ((index, 30 * MEBIBYTE) for index in range(5))
    assert [len(group) for group in row_groups(pictures)] == [2, 2, 1]
    assert list(row_groups([(0, 80 * MEBIBYTE)])) == [[0]]
    assert list(row_groups([])) == []


def test_a_part_has_a_shard_for_each_full_size_and_the_rest() -> None:
    assert shards_for(0, 100) == 1
    assert shards_for(100, 100) == 1
    assert shards_for(101, 100) == 2
    assert {shard_of(f"image {index}", 3) for index in range(50)} == {0, 1, 2}


@pytest.mark.parametrize(
    ("verdict", "reason", "scores", "kept"),
    [
        ("accept", None, {}, True),
        ("accept", None, {"words": 3.0}, True),
        ("reject", "lid: 0.1 for the language against others, at least 0.5 wanted", {"words": 3.0}, True),
        ("reject", "lid: 0.1 for it, at least 0.5 wanted (in the prompt)", {"prompt_words": 3.0}, True),
        ("reject", "image: missing: no file 'x.png' in the images folder", {}, False),
        ("reject", "duplicate: another example with the same content", {}, False),
        ("reject", "language: the model 'small' was not trained on Cebuano", {}, False),
        # The prompt may be right or wrong; the target has another fault.
        ("reject", "answers: not accepted in the answer table", {"prompt_words": 3.0}, False),
    ],
)
def test_pictures_are_kept_where_filters_alone_decide(
    verdict: str, reason: str | None, scores: dict[str, float], kept: bool
) -> None:
    assert keeps_picture({"verdict": verdict, "reason": reason, "scores": NO_SCORES | scores}) is kept


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@given(st.lists(st.tuples(TEXT, st.none() | TEXT, st.none() | TEXT), max_size=30))
def test_arrow_sorts_rows_as_python_does(rows: list[tuple[str, str | None, str | None]]) -> None:
    table = pa.table(
        {
            name: pc.fill_null(pa.array([row[index] for row in rows], pa.string()), "")
            for index, name in enumerate(ORDER)
        }
    )
    order = pc.sort_indices(table, [(name, "ascending") for name in ORDER]).to_pylist()
    assert order == sorted(range(len(rows)), key=lambda index: [text or "" for text in rows[index]])


def test_each_table_is_a_row_group_whatever_its_chunks() -> None:
    rows: list[dict[str, Any]] = [
        dict.fromkeys(row_schema().names)
        | {"id": str(index), "dataset": "d", "task": "caption", "language": "deu_Latn", "verdict": "accept"}
        for index in range(6)
    ]
    table = pa.Table.from_pylist(rows, schema=row_schema())
    whole, parts = io.BytesIO(), io.BytesIO()
    write_tables(whole, [table.slice(0, 4), table.slice(4)])
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1, 3)])
    write_tables(parts, [chunked.combine_chunks(), table.slice(4)])
    assert whole.getvalue() == parts.getvalue()
    metadata = pq.read_metadata(whole)
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [4, 2]
