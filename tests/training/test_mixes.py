from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.training.conftest import MakeMix, Row, jpeg, row_of, rows_of, write_mix, write_shard
from training.mixes import COLUMNS, Mix, MixError
from translation.row import row_schema

SHARD = "data/deu_Latn/train-00000-of-00001.parquet"


def test_row_groups_come_from_the_footers(make_mix: MakeMix) -> None:
    mix = Mix(str(make_mix({"eng_Latn": 25, "deu_Latn": 10}, group_rows=10)))
    found = [(group.file.split("/")[1], group.index, group.rows, group.language) for group in mix.groups]
    assert found == [
        ("deu_Latn", 0, 10, "deu_Latn"),
        ("eng_Latn", 0, 10, "eng_Latn"),
        ("eng_Latn", 1, 10, "eng_Latn"),
        ("eng_Latn", 2, 5, "eng_Latn"),
    ]
    assert mix.rows == 35
    assert mix.read(mix.groups[3], ["id"]).column("id").to_pylist()[0] == "tiny/20/caption/eng_Latn"


def test_splits_are_apart(make_mix: MakeMix) -> None:
    folder = make_mix({"deu_Latn": 12})
    write_mix(folder, rows_of({"deu_Latn": 3}), split="validation")
    assert Mix(str(folder)).rows == 12
    assert Mix(str(folder), "validation").rows == 3


def test_rejected_rows_and_files_beside_the_mix_are_not_read(make_mix: MakeMix) -> None:
    folder = make_mix({"deu_Latn": 12})
    write_shard(folder / "rejected/deu_Latn/rejected-00000-of-00001.parquet", [row_of(1, "deu_Latn")])
    write_shard(folder / "data/deu_Latn/train-00000-of-00007.parquet", [row_of(1, "deu_Latn")])
    assert Mix(str(folder)).rows == 12


def test_files_of_another_split_beside_the_mix_are_not_read(make_mix: MakeMix) -> None:
    folder = make_mix({"deu_Latn": 12})
    write_shard(folder / "data/deu_Latn/validation-00000-of-00001.parquet", [row_of(1, "deu_Latn")])
    with pytest.raises(MixError, match="no rows of the split"):
        Mix(str(folder), "validation")


def test_a_mix_elsewhere_is_read_through_fsspec(make_mix: MakeMix) -> None:
    fsspec = pytest.importorskip("fsspec")
    folder = make_mix({"deu_Latn": 12})
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/bucket/mix", recursive=True)
    mix = Mix("memory://bucket/mix")
    local = Mix(str(folder))
    assert mix.rows == 12
    assert mix.digest == local.digest
    assert mix.read(mix.groups[0], COLUMNS).equals(local.read(local.groups[0], COLUMNS))


def test_a_file_url_is_a_directory(make_mix: MakeMix) -> None:
    folder = make_mix({"deu_Latn": 12})
    assert Mix(folder.as_uri()).rows == 12
    spaced = folder.rename(folder.parent / "a mix")
    assert Mix(f"file://{spaced}").rows == 12
    assert Mix(spaced.as_uri()).rows == 12


def test_the_digest_tells_other_data(make_mix: MakeMix) -> None:
    one, other = make_mix({"deu_Latn": 12}), make_mix({"deu_Latn": 13})
    copy = shutil.copytree(one, one.parent / "copy")
    assert Mix(str(one)).digest == Mix(str(copy)).digest != Mix(str(other)).digest


def test_no_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(MixError, match="nowhere: no such directory"):
        Mix(str(tmp_path / "nowhere"))


def test_an_unfinished_run_is_refused(make_mix: MakeMix) -> None:
    """Even where the card of the mix that it replaces is still there."""
    folder = make_mix({"deu_Latn": 12})
    (folder / "manifest.json").unlink()
    with pytest.raises(MixError, match=r"no manifest\.json, so this is no finished mix; `translate-mix run`"):
        Mix(str(folder))


def test_an_empty_mix_is_refused(tmp_path: Path) -> None:
    write_mix(tmp_path, {})
    with pytest.raises(MixError, match="the mix is empty, no row was accepted"):
        Mix(str(tmp_path))


def test_a_mix_with_empty_shards_alone_is_refused(make_mix: MakeMix) -> None:
    with pytest.raises(MixError, match="the mix is empty"):
        Mix(str(make_mix({"deu_Latn": 0})))


def test_a_mix_without_validation_says_why(make_mix: MakeMix) -> None:
    with pytest.raises(MixError, match="no rows of the split 'validation'; it was made with `validation: 0`"):
        Mix(str(make_mix({"deu_Latn": 3})), "validation")


def test_a_missing_shard_is_named(make_mix: MakeMix) -> None:
    folder = make_mix({"deu_Latn": 12}, shards=3)
    (folder / "data/deu_Latn/train-00001-of-00003.parquet").unlink()
    with pytest.raises(MixError, match=r"train-00001-of-00003\.parquet: the file is missing, 1 of 3 are"):
        Mix(str(folder))


@pytest.mark.parametrize("size", [0, 100, 3000])
def test_a_broken_shard_is_named(make_mix: MakeMix, size: int) -> None:
    folder = make_mix({"deu_Latn": 12})
    path = folder / SHARD
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(MixError, match=f"{SHARD}: not readable as Parquet") as raised:
        Mix(str(folder))
    assert "\n" not in str(raised.value)


def test_damage_behind_a_good_footer_is_told_when_it_is_read(make_mix: MakeMix) -> None:
    folder = make_mix({"deu_Latn": 12})
    path = folder / SHARD
    data = bytearray(path.read_bytes())
    data[4:300] = bytes(296)
    path.write_bytes(data)
    mix = Mix(str(folder))
    with pytest.raises(MixError, match=f"{SHARD}: not readable as Parquet"):
        mix.read(mix.groups[0], COLUMNS)


@pytest.mark.parametrize("column", ["id", "task", "language", "prompt", "target", "image"])
def test_a_missing_column_is_named(make_mix: MakeMix, column: str) -> None:
    folder = make_mix({"deu_Latn": 12})
    pq.write_table(pq.read_table(folder / SHARD).drop_columns([column]), folder / SHARD)
    with pytest.raises(MixError, match=f"{SHARD}: no column '{column}'"):
        Mix(str(folder))


def test_mixes_of_one_picture_are_read(make_mix: MakeMix) -> None:
    folder = make_mix({"deu_Latn": 12})
    pq.write_table(pq.read_table(folder / SHARD).drop_columns(["second_image"]), folder / SHARD)
    mix = Mix(str(folder))
    assert "second_image" not in mix.read(mix.groups[0], COLUMNS).column_names


def test_a_column_of_another_type_is_named(make_mix: MakeMix) -> None:
    folder = make_mix({"deu_Latn": 12})
    table = pq.read_table(folder / SHARD)
    table = table.set_column(table.column_names.index("target"), "target", pa.array(range(12)))
    pq.write_table(table, folder / SHARD)
    with pytest.raises(MixError, match="column 'target' is int64, it must be string"):
        Mix(str(folder))


def test_long_offsets_and_further_columns_are_no_fault(make_mix: MakeMix) -> None:
    folder = make_mix({"deu_Latn": 12})
    schema = row_schema()
    wide = schema.set(schema.get_field_index("target"), pa.field("target", pa.large_string()))
    table = pq.read_table(folder / SHARD).cast(wide).append_column("mine", pa.array(range(12)))
    pq.write_table(table, folder / SHARD)
    assert Mix(str(folder)).rows == 12


def test_other_rows_than_the_manifest_says_are_told(make_mix: MakeMix) -> None:
    folder = make_mix({"deu_Latn": 12})
    write_shard(folder / SHARD, [row_of(1, "deu_Latn")])
    with pytest.raises(MixError, match=r"holds 1 rows, 12 stand in manifest\.json; `translate-mix verify`"):
        Mix(str(folder))


@pytest.mark.parametrize("text", ["{", '{"files": 3}', '{"files": [{}]}', "[]", json.dumps({})])
def test_a_damaged_manifest_is_told(make_mix: MakeMix, text: str) -> None:
    folder = make_mix({"deu_Latn": 12})
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(MixError, match=r"manifest\.json: damaged"):
        Mix(str(folder))


def test_an_unknown_scheme_is_told() -> None:
    with pytest.raises(MixError, match="nowhere://mix: cannot be opened"):
        Mix("nowhere://mix")


def test_split_keys_are_pictures_and_examples_without_one(make_mix: MakeMix) -> None:
    rows = [row_of(1, "deu_Latn"), row_of(2, "deu_Latn", image=None, image_id=None, task="text")]
    mix = Mix(str(make_mix({"deu_Latn": rows})))
    assert mix.split_keys(mix.groups[0]).to_pylist() == ["1", "tiny/2/caption"]


def test_rows_of_a_mix_without_ids_of_pictures_are_known_by_their_examples(make_mix: MakeMix) -> None:
    folder = make_mix({"deu_Latn": 3})
    table = pq.read_table(folder / SHARD).drop_columns(["image_id"])
    pq.write_table(table, folder / SHARD)
    mix = Mix(str(folder), without=pa.array(["tiny/1/caption"]))
    assert mix.read(mix.groups[0], ["id"]).column("id").to_pylist() == [
        "tiny/0/caption/deu_Latn",
        "tiny/2/caption/deu_Latn",
    ]


@pytest.mark.parametrize("pictures", ["embed", "reference"])
def test_rows_are_left_out_as_if_they_were_not_there(make_mix: MakeMix, pictures: str) -> None:
    rows = rows_of({"deu_Latn": 25, "swh_Latn": 3})
    if pictures == "reference":
        for row in (row for of_language in rows.values() for row in of_language):
            row["image"] = {"bytes": None, "path": f"/nowhere/{row['image_id']}.jpg"}
    folder = make_mix(rows, group_rows=10)
    whole = Mix(str(folder))
    # Two rows of the first row group, and all of the last one.
    mix = Mix(str(folder), without=pa.array(["3", "7", "25", "26", "27", "unseen"]))
    assert (mix.rows, mix.left_out, whole.left_out) == (23, 5, 0)
    assert [group.rows for group in mix.groups] == [8, 10, 5]
    assert mix.groups[0].bytes == whole.groups[0].bytes * 8 // 10
    read = [name for group in mix.groups for name in mix.read(group, ["image_id"]).column(0).to_pylist()]
    assert read == [str(number) for number in range(25) if number not in (3, 7)]
    assert [counts["caption"] for counts in mix.task_counts()] == [8, 10, 5]
    others = [
        Mix(str(folder), without=pa.array([*two, "25", "26", "27"])) for two in (["3", "7"], ["3", "8"])
    ]
    assert others[0].digest == mix.digest != others[1].digest != whole.digest


def pair(number: int, left: str, right: str) -> Row:
    shown = {"bytes": jpeg(number), "path": f"{number}.jpg"}
    return row_of(number, "deu_Latn", task="statement", image_id=f"{left}+{right}", second_image=shown)


def test_pairs_are_left_out_for_either_of_their_pictures(make_mix: MakeMix) -> None:
    rows = [pair(0, "coco/7", "coco/8"), pair(1, "coco/8", "coco/9"), row_of(2, "deu_Latn", image_id="a+b")]
    folder = make_mix({"deu_Latn": [*rows, pair(3, "c+d", "e")]})

    def left(*keys: str) -> list[str]:
        mix = Mix(str(folder), without=pa.array(keys))
        return mix.read(mix.groups[0], ["image_id"]).column(0).to_pylist()  # type: ignore[no-any-return]

    assert left("coco/7") == ["coco/8+coco/9", "a+b", "c+d+e"]
    assert left("coco/8") == ["a+b", "c+d+e"]
    # No pair, whatever its name looks like.
    assert left("a") == ["coco/7+coco/8", "coco/8+coco/9", "a+b", "c+d+e"]
    assert left("c+d") == left("e") == ["coco/7+coco/8", "coco/8+coco/9", "a+b"]


def test_a_mix_without_pairs_is_known_by_its_footers(make_mix: MakeMix) -> None:
    mix = Mix(str(make_mix({"deu_Latn": [row_of(0, "deu_Latn"), pair(1, "a", "b")]}, group_rows=1)))
    assert [mix.shows_pairs(group) for group in mix.groups] == [False, True]


def test_a_mix_of_which_nothing_is_left_is_told(make_mix: MakeMix) -> None:
    with pytest.raises(
        MixError, match=r"all of its 2 rows of the split 'train' are left out.*a smaller `validation`"
    ):
        Mix(str(make_mix({"deu_Latn": 2})), without=pa.array(["0", "1"]))
