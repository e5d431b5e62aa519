"""How rows are cut, ordered and spread over shards, which a refilter has to do in the same way."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.reasons import keep_pictures
from pipelines.sink import ORDER, SLOTS, cuts_for, row_groups, sizes_of_slots, slot_of, write_tables
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
    def shards(total: int) -> int:
        return len(cuts_for(sizes_of_slots(np.arange(total) % SLOTS, np.ones(total)), 100)) + 1

    assert [shards(total) for total in (0, 1, 100, 101, 200, 201)] == [1, 1, 1, 2, 2, 3]


@given(
    st.lists(st.tuples(st.integers(0, SLOTS - 1), st.integers(1, 2000)), max_size=200),
    st.integers(1, 10_000),
)
def test_no_shard_is_larger_than_the_limit_or_a_slot_and_none_is_empty(
    rows: list[tuple[int, int]], limit: int
) -> None:
    sizes = sizes_of_slots(
        np.array([slot for slot, _ in rows], int), np.array([size for _, size in rows], int)
    )
    cuts = cuts_for(sizes, limit)
    shards = np.split(sizes, cuts)
    assert sum(map(np.sum, shards)) == sum(size for _, size in rows)
    assert all(shard.sum() <= max(limit, sizes.max()) for shard in shards)
    assert not rows or all(shard.sum() > 0 for shard in shards)


def test_shards_of_many_pictures_are_of_much_the_same_size() -> None:
    draw = np.random.default_rng(3)
    pictures = draw.uniform(0.2e6, 1.8e6, 45_000)
    slots = np.array([slot_of(f"image {index}") for index in range(len(pictures))])
    sizes = sizes_of_slots(slots, pictures)
    shards = [shard.sum() for shard in np.split(sizes, cuts_for(sizes, 450 * MEBIBYTE))]
    assert max(shards) <= 450 * MEBIBYTE
    assert min(shards) > 300 * MEBIBYTE


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
    row = {"verdict": verdict, "reason": reason, "scores": NO_SCORES | scores}
    schema = pa.schema([row_schema().field(name) for name in row])
    assert keep_pictures(pa.RecordBatch.from_pylist([row], schema=schema)).tolist() == [kept]


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
