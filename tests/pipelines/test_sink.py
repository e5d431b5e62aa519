"""How rows are cut, ordered and spread over shards, which a refilter has to do in the same way."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.images import EMBED
from pipelines.reasons import keep_pictures
from pipelines.rows import STORED, pack_rows
from pipelines.sink import (
    ORDER,
    SLOTS,
    WriteMix,
    check_table,
    cuts_for,
    ordered_groups,
    row_groups,
    sizes_of_slots,
    slot_of,
    write_tables,
)
from translation.filters import NO_SCORES
from translation.row import row_schema

RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"

MEBIBYTE = 2**20


def rows_of(number: int, **columns: Any) -> pa.Table:
    """Rows with such columns; a function gives each row its own value."""
    fixed = {"dataset": "d", "task": "caption", "language": "deu_Latn", "verdict": "accept"}
    given = {"id": lambda index: f"{index:06d}"} | columns
    return pa.Table.from_pylist(
        [
            dict.fromkeys(row_schema().names)
            | fixed
            | {name: value(index) if callable(value) else value for name, value in given.items()}
            for index in range(number)
        ],
        schema=row_schema(),
    )


def test_row_groups_are_bounded_in_rows_and_bytes() -> None:
    assert [len(group) for group in row_groups((index, 0) for index in range(2500))] == [1000, 1000, 500]
    pictures = ((index, 30 * MEBIBYTE) for index in range(5))
    assert [len(group) for group in row_groups(pictures)] == [2, 2, 1]
    assert list(row_groups([(0, 80 * MEBIBYTE)])) == [[0]]
    assert list(row_groups([])) == []


def test_long_texts_count_in_row_groups() -> None:
    for name in ("target", "source_target", "reason"):
        rows = rows_of(3, **{name: "x" * (30 * MEBIBYTE)})
        groups = [len(group) for group, _ in ordered_groups(rows, np.zeros(3, np.int64))]
        assert groups == [2, 1]


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


def test_rows_of_one_image_stand_in_one_shard_whatever_block_they_come_in(tmp_path: Path) -> None:
    images, of_each = 60, 15
    blocks = [
        pack_rows(
            [
                dict.fromkeys(STORED.names)
                | {"id": f"d/{image}-{place}/deu_Latn", "dataset": "d", "task": "caption", "image_size": 0}
                | {"image_id": str(image) if image else None, "split": "train", "source_target": "a cat"}
                | {"language": "deu_Latn", "verdict": "accept"}
                for image in range(images)
            ]
        )
        for place in range(of_each)
    ]
    with beam.Pipeline(RUNNER) as pipeline:
        pipeline | beam.Create(blocks) | WriteMix(str(tmp_path), EMBED, shard_megabytes=1)
    shards = [pq.read_table(path) for path in sorted((tmp_path / "data" / "deu_Latn").iterdir())]
    assert len(shards) > 2
    assert sum(map(len, shards)) == images * of_each
    found = [set(shard.column("image_id").drop_null().to_pylist()) for shard in shards]
    assert sum(map(len, found)) == images - 1
    # Rows without an image are spread by their ids.
    assert sum(shard.column("image_id").null_count > 0 for shard in shards) > 1


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
    table = rows_of(6)
    whole, parts = io.BytesIO(), io.BytesIO()
    write_tables(whole, [table.slice(0, 4), table.slice(4)])
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1, 3)])
    write_tables(parts, [chunked.combine_chunks(), table.slice(4)])
    assert whole.getvalue() == parts.getvalue()
    metadata = pq.read_metadata(whole)
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [4, 2]


def test_a_row_more_leaves_most_pages_as_they_are() -> None:
    draw = random.Random(4)
    texts = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz ", k=4000)) for _ in range(900)]
    before, after = io.BytesIO(), io.BytesIO()
    write_tables(before, [rows_of(len(texts), target=lambda index: texts[index])])
    write_tables(after, [rows_of(len(texts) + 1, target=lambda index: texts[index - 1] if index else "a")])
    old, new = before.getvalue(), after.getvalue()
    parts = [old[start : start + 1000] for start in range(0, len(old), 1000)]
    # A store that keeps like parts once (Xet) has to keep few of the new ones.
    assert sum(part in new for part in parts) > 0.7 * len(parts)


@pytest.mark.parametrize(
    ("schema", "rows", "message"),
    [
        (row_schema(), 3, "2 rows arrived, 3 were written"),
        (row_schema(decoded=False), 2, "other columns arrived than were written"),
        (row_schema().remove(0), 2, "other columns arrived than were written"),
        (
            row_schema().set(0, pa.field("id", pa.large_string(), nullable=False)),
            2,
            "other columns arrived than were written",
        ),
    ],
    ids=["rows", "metadata", "a column less", "another type"],
)
def test_what_arrives_is_as_many_rows_of_the_same_columns(schema: pa.Schema, rows: int, message: str) -> None:
    file = io.BytesIO()
    write_tables(file, [rows_of(2)])
    check_table(file, 2, row_schema())
    with pytest.raises(ValueError, match=message):
        check_table(file, rows, schema)
