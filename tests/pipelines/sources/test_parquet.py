"""Parquet rows become examples; wrong columns are a wrong recipe, null cells are rejects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.examples import Text
from pipelines.images import content_id, image_bytes
from pipelines.recipe import SettingsError, load_recipe
from pipelines.sources import SourceError, pieces, read_piece
from pipelines.sources.parquet import LEAST_CAPTIONS
from tests.pipelines.sources.conftest import MakeRecipe, examples, read_all, rejects

CAPTION = {"format": "parquet", "path": "part-*.parquet", "tasks": ["caption"]}
HF_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(path: Path, row_group_size: int = 2, **columns: Any) -> None:
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)


def test_the_layout_of_hugging_face(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    cells = [
        {"bytes": b"one", "path": "image.png"},
        {"bytes": b"two", "path": "COCO_train2014_000000000042.jpg"},
        {"bytes": b"one", "path": ""},
        {"bytes": None, "path": "sub/there.png"},
        {"bytes": None, "path": None},
        None,
    ]
    captions = [f"Caption {row}." for row in range(6)]
    write(tmp_path / "part-0.parquet", image=pa.array(cells, HF_IMAGE), caption=captions)
    recipe = make_recipe(**CAPTION, images="images")
    assert len(pieces(recipe)) == 3
    records = read_all(recipe)
    found = examples(records)
    assert [one.source_id for one in records] == [f"part-0@{row}" for row in range(6)]
    assert [one.target for one in found] == [Text(caption) for caption in captions[:4]]
    assert [one.image_id for one in found] == [content_id(b"one"), "42", content_id(b"one"), "sub/there"]
    assert [image_bytes(str(one.image)) for one in found[:3]] == [b"one", b"two", b"one"]
    assert found[3].image == f"{tmp_path}/images/./sub/there.png"
    assert [one.reason for one in rejects(records)] == [
        "source: part-0.parquet row 4: column 'image' holds no picture: no bytes and null as path",
        "source: part-0.parquet row 5: column 'image' is null",
    ]


def test_pictures_in_cells_cannot_be_referred_to(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path / "part-0.parquet", image=pa.array([b"one"]), caption=["A."])
    make_recipe(**CAPTION)
    recipe = load_recipe(tmp_path / "recipe.yaml", ["images=reference"])
    with pytest.raises(SettingsError, match="the pictures of `s` are no files that a path could name; take"):
        pieces(recipe)
    write(tmp_path / "part-0.parquet", image=["a.png"], caption=["A."])
    make_recipe(**CAPTION, images="images")
    assert pieces(load_recipe(tmp_path / "recipe.yaml", ["images=reference"]))


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_plain_bytes_and_an_image_id_column(
    tmp_path: Path, make_recipe: MakeRecipe, kind: pa.DataType
) -> None:
    for part, start in enumerate((0, 3)):
        rows = range(start, start + 3)
        write(
            tmp_path / f"part-{part}.parquet",
            picture=pa.array([f"bytes {row}".encode() for row in rows], kind),
            number=list(rows),
            text=pa.array([f"Caption {row}." for row in rows]).dictionary_encode(),
        )
    columns = {"image": "picture", "caption": "text", "id": "number", "image_id": "number"}
    found = examples(read_all(make_recipe(**CAPTION, columns=columns)))
    assert [(one.source_id, one.image_id) for one in found] == [(str(row), str(row)) for row in range(6)]
    assert [image_bytes(str(one.image)) for one in found] == [f"bytes {row}".encode() for row in range(6)]


def test_whole_numbers_that_are_stored_as_doubles_are_ids(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    images = ["a.png"] * 4
    ids = pa.array([7.0, None, 8.5, 9.0])
    write(tmp_path / "part-0.parquet", image=images, caption=["A."] * 4, n=ids, m=pa.array([1.0, 2, 3, 4]))
    columns = {"id": "n", "image_id": "m"}
    records = read_all(make_recipe(**CAPTION, images="images", columns=columns))
    assert [(one.source_id, one.image_id) for one in examples(records)] == [("7", "1"), ("9", "4")]
    missing, part = [one.reason for one in rejects(records)]
    assert missing.endswith("row 1: column 'n' is null")
    assert part.endswith("row 2: column 'n' is a number, an id must be text or a whole number")


def test_paths_lie_in_the_images_folder(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path / "part-0.parquet", image=["a/dog.png", "../../x.png", "", None], caption=["A."] * 4)
    records = read_all(make_recipe(**CAPTION, images="images"))
    (found,) = examples(records)
    assert (found.image, found.image_id) == (f"{tmp_path}/images/./a/dog.png", "a/dog")
    assert [one.reason.split(": ", 2)[2] for one in rejects(records)] == [
        "image: '../../x.png' leads out of the images folder",
        "image: empty path",
        "column 'image' is null",
    ]


def test_questions_and_conversations(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A dog."}]
    write(
        tmp_path / "part-0.parquet",
        image=["a.png"],
        question=["What?"],
        answer=[["cat", "dog", "dog"]],
        conversations=[turns],
    )
    (vqa,) = examples(read_all(make_recipe(**{**CAPTION, "tasks": ["vqa"]})))
    assert (vqa.prompt, vqa.target) == (Text("What?"), Text("dog"))
    (talk,) = examples(read_all(make_recipe(**{**CAPTION, "tasks": ["instruct"], "prompt": "keep"})))
    assert (talk.prompt, talk.target, talk.source_id) == (Text("What?", False), Text("A dog."), "part-0@0#0")


def test_captions_of_small_row_groups_are_matched_together(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    rows = LEAST_CAPTIONS + 20
    words = ["red boat", "two horses", "yellow noodles", "old tower", "small kitten"]
    write(
        tmp_path / "part-0.parquet",
        row_group_size=10,
        image=[f"{row}.png" for row in range(rows)],
        caption=[f"a {words[row % 5]} near number {row}" for row in range(rows)],
    )
    alone, together = ({**CAPTION, "images": "images", "tasks": [one]} for one in ("caption", "matching"))
    assert len(pieces(make_recipe(**alone))) == rows // 10
    assert [(one.start, one.end) for one in pieces(make_recipe(**together))] == [
        (0, LEAST_CAPTIONS // 10),
        (LEAST_CAPTIONS // 10, rows // 10),
    ]


def test_lists_of_one_picture_and_sequences_of_turns(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    one = {"bytes": b"one", "path": None}
    pairs = pa.list_(pa.struct([("user", pa.string()), ("assistant", pa.string())]))
    sequence = pa.struct([("from", pa.list_(pa.string())), ("value", pa.list_(pa.string()))])
    write(
        tmp_path / "part-0.parquet",
        images=pa.array([[one], [one, one], [], None], pa.list_(HF_IMAGE)),
        paths=[["a.png"], ["a.png", "b.png"], [], None],
        texts=pa.array([[{"user": "What?", "assistant": "A dog."}]] * 4, pairs),
        turns=pa.array([{"from": ["human", "gpt"], "value": ["<image>\nWhat?", "A dog."]}] * 4, sequence),
    )
    for image in ("images", "paths"):
        for talk in ("texts", "turns"):
            columns = {"image": image, "conversation": talk}
            records = read_all(make_recipe(**{**CAPTION, "tasks": ["instruct"], "columns": columns}))
            found, *without = examples(records)
            assert (found.prompt, found.target) == (Text("What?"), Text("A dog."))
            assert found.source_id == "part-0@0#0"
            if image == "images":
                assert image_bytes(str(found.image)) == b"one"
            several, *marked = [record.reason.split(": ", 2)[2] for record in rejects(records)]
            assert several == "2 pictures, a record has one"
            # What asks for no picture needs none.
            needs = talk == "turns"
            assert marked == [f"`<image>` in the text, but column '{image}' is empty"] * (2 * needs)
            assert [one.image for one in without] == [None] * (2 - 2 * needs)


def test_bad_cells_are_rejected_alone(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    captions = [b"Good.", None, b"", b"caf\xe9", b"a\0b", b"x" * 100_000, b"Good."]
    binary = pa.array(captions, pa.binary())
    broken = pa.StringArray.from_buffers(
        len(binary), *binary.buffers()[1:3], binary.buffers()[0], binary.null_count
    )
    write(tmp_path / "part-0.parquet", image=[f"{row}.png" for row in range(7)], caption=broken)
    records = read_all(make_recipe(**CAPTION))
    assert [one.source_id for one in examples(records)] == ["part-0@0", "part-0@6"]
    assert [one.reason.removeprefix("source: part-0.parquet ") for one in rejects(records)] == [
        "row 1: column 'caption' is null",
        "row 2: caption 'caption' is empty",
        "row 3: no UTF-8 at byte 3 (0xe9) of column 'caption'",
        "row 4: caption 'caption' holds NUL at character 1",
        "row 5: text of 100,000 characters, at most 20,000 (caption 'caption')",
    ]


def test_row_groups_decide_nothing(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    columns: dict[str, Any] = {
        "image": [f"{row}.png" for row in range(150)],
        "caption": [f"Caption {row}." if row % 7 else None for row in range(150)],
    }
    read = []
    for size in (1, 40, 150):
        write(tmp_path / "part-0.parquet", size, **columns)
        read.append(read_all(make_recipe(**CAPTION)))
    assert read[0] == read[1] == read[2]
    assert len(read[0]) == 150


@pytest.mark.parametrize(
    ("columns", "key", "words"),
    [
        ({"caption": "text"}, "caption", "part-0.parquet has no column `text`; it has image, caption, n"),
        ({"id": "key"}, "id", "has no column `key`"),
        ({"image": "picture"}, "image", "has no column `picture`"),
        ({"caption": "n"}, "caption", "column `n` of part-0.parquet is int64, captions are strings"),
        ({"image": "n"}, "image", "is int64, pictures are binary, struct"),
        ({"image_id": "f"}, "image_id", "is bool, ids are strings or whole numbers"),
    ],
)
def test_wrong_columns_are_a_wrong_recipe(
    tmp_path: Path, make_recipe: MakeRecipe, columns: dict[str, str], key: str, words: str
) -> None:
    write(tmp_path / "part-0.parquet", image=["a.png"], caption=["A."], n=[1], f=[True])
    with pytest.raises(SettingsError) as caught:
        pieces(make_recipe(**CAPTION, columns=columns))
    assert words in str(caught.value)
    assert caught.value.key == f"sources.0.columns.{key}"
    assert caught.value.value == f'"{columns[key]}"'


def test_a_default_column_that_is_missing_is_a_wrong_recipe(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path / "part-0.parquet", image=["a.png"], text=["A."])
    with pytest.raises(SettingsError, match="has no column `caption`; it has image, text"):
        pieces(make_recipe(**CAPTION))


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1" + bytes(100)])
def test_a_file_that_is_no_parquet_is_a_wrong_recipe(
    tmp_path: Path, make_recipe: MakeRecipe, content: bytes
) -> None:
    (tmp_path / "part-0.parquet").write_bytes(content)
    with pytest.raises(SettingsError, match=r"part-0.parquet is no readable Parquet file"):
        pieces(make_recipe(**CAPTION))


def test_a_damaged_page_stops_the_run(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    path = tmp_path / "part-0.parquet"
    captions = [f"Caption {row}." for row in range(4)]
    table = pa.table({"image": ["a.png"] * 4, "caption": captions})
    pq.write_table(table, path, row_group_size=2, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    offset = pq.ParquetFile(path).metadata.row_group(1).column(1).data_page_offset
    data[offset : offset + 60] = bytes([0xFF] * 60)
    path.write_bytes(data)
    recipe = make_recipe(**CAPTION)
    first, second = pieces(recipe)
    assert len(list(read_piece(recipe, first))) == 2
    with pytest.raises(
        SourceError, match=r"part-0.parquet: damaged at or after row 2: .*; write the file anew"
    ):
        list(read_piece(recipe, second))


def cells(number: int, path: str = "COCO_train2014_{:012}.jpg") -> pa.Array:
    made = [{"bytes": f"bytes {row}".encode(), "path": path.format(row + 1)} for row in range(number)]
    return pa.array(made, HF_IMAGE)


@pytest.mark.parametrize("columns", [{}, {"image_id": "key"}])
def test_bytes_are_not_read_where_another_column_or_the_path_tells_the_id(
    tmp_path: Path, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, columns: dict[str, str]
) -> None:
    keys = [f"key {row}" for row in range(5)]
    write(tmp_path / "part-0.parquet", image=cells(5), caption=["A dog."] * 5, key=keys)
    monkeypatch.setattr("pipelines.sources.parquet.content_id", lambda data: pytest.fail("bytes were read"))
    found = examples(read_all(make_recipe(**CAPTION, columns=columns)))
    assert [one.image_id for one in found] == (keys if columns else ["1", "2", "3", "4", "5"])
    assert [image_bytes(str(one.image)) for one in found] == [f"bytes {row}".encode() for row in range(5)]


def test_statistics_that_are_missing_change_nothing(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    read = []
    for statistics in (True, False):
        table = pa.table({"image": cells(5), "caption": ["A dog."] * 5})
        pq.write_table(table, tmp_path / "part-0.parquet", write_statistics=statistics)
        read.append(read_all(make_recipe(**CAPTION)))
    assert read[0] == read[1]
    assert len(examples(read[0])) == 5


def test_cells_without_bytes_go_by_their_path_whatever_the_ids_are(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    mixed = [
        {"bytes": b"one", "path": "a.png"},
        {"bytes": None, "path": "b.png"},
        {"bytes": b"", "path": "c.png"},
    ]
    image = pa.array([*mixed, None], HF_IMAGE)
    write(tmp_path / "part-0.parquet", 4, image=image, caption=["A dog."] * 4, key=["k0", "k1", "k2", "k3"])
    records = read_all(make_recipe(**CAPTION, images="images", columns={"image_id": "key"}))
    found = examples(records)
    assert [one.image_id for one in found] == ["k0", "k1", "k2"]
    assert [str(one.image).rpartition("/")[2] for one in found[1:]] == ["b.png", "c.png"]
    assert image_bytes(str(found[0].image)) == b"one"
    assert [one.reason for one in rejects(records)] == [
        "source: part-0.parquet row 3: column 'image' is null"
    ]


def test_reasons_in_a_column_or_a_list(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    rows: dict[str, Any] = {"image": ["a.png", "b.png"], "question": ["Why?", "Why?"], "answer": ["so", "so"]}
    write(tmp_path / "part-0.parquet", **rows, rationale=["It is.", None])
    records = read_all(make_recipe(**{**CAPTION, "tasks": ["reason"]}))
    assert {one.task for one in examples(records)} == {"reason"}
    assert [one.reason for one in rejects(records)] == [
        "source: part-0.parquet row 1: column 'rationale' is null"
    ]
    write(tmp_path / "part-0.parquet", **rows, why=[["It is.", "It was."], ["It is."]])
    named = {"rationale": "why"}
    records = read_all(make_recipe(**{**CAPTION, "tasks": ["reason", "vqg"]}, columns=named))
    assert not rejects(records)
    assert sum(one.task == "vqg" for one in examples(records)) == 2


def test_texts_without_pictures(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path / "part-0.parquet", body=["One sentence. Another one.", ""], image=cells(2))
    records = read_all(make_recipe(**{**CAPTION, "tasks": ["text"]}, columns={"text": "body"}))
    (found,) = examples(records)
    assert (found.image, found.target.text) == (None, "Another one.")
    assert "text 'body' is empty" in rejects(records)[0].reason


def test_pictures_by_url(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    urls = ["https://example.org/a.jpg", "ftp://example.org/a.jpg", None]
    write(tmp_path / "part-0.parquet", 3, link=urls, caption=["A dog."] * 3)
    path = tmp_path / "recipe.yaml"
    columns = {"url": "link"}
    keys = {
        "name": "s",
        "format": "parquet",
        "path": "part-0.parquet",
        "tasks": ["caption"],
        "columns": columns,
    }
    path.write_text(yaml.safe_dump({"name": "r", "download": {"cache": "cache"}, "sources": [keys]}))
    records = read_all(load_recipe(path))
    (found,) = examples(records)
    assert str(found.image).endswith("#url=https%3A%2F%2Fexample.org%2Fa.jpg")
    assert len(rejects(records)) == 2


def test_a_path_that_cannot_be_decoded_is_none(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    odd = pa.array([b"caf\xe9.jpg", b"a.jpg"], pa.binary())
    paths = pa.StringArray.from_buffers(2, *odd.buffers()[1:3])
    image = pa.StructArray.from_arrays([pa.array([b"one", b"two"]), paths], names=["bytes", "path"])
    write(tmp_path / "part-0.parquet", image=image, caption=["A dog."] * 2)
    found = examples(read_all(make_recipe(**CAPTION)))
    assert [one.image_id for one in found] == [content_id(b"one"), content_id(b"two")]
