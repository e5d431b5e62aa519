"""Samples of WebDataset shards become records; a sample that lacks something is told alone."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pipelines.examples import Text
from pipelines.images import image_bytes
from pipelines.recipe import SettingsError
from pipelines.records import Asked, Captioned, Talk
from pipelines.sources import SourceError, pieces, read_piece, read_records
from tests.pipelines.sources.conftest import MakeRecipe, examples, read_all, rejects

SHARDS = {"format": "webdataset", "path": "shards/*.tar", "tasks": ["caption"]}

Files = list[tuple[str, bytes]]


def write(path: Path, files: Files) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def img2dataset(key: str, caption: str, **more: Any) -> Files:
    """A sample as img2dataset 1.x writes it."""
    meta = {
        "caption": caption,
        "url": f"https://example.org/{key}.jpg",
        "key": key,
        "status": "success",
        "error_message": None,
        "width": 256,
        "height": 256,
        "original_width": 640,
        "original_height": 480,
        "exif": "{}",
        "sha256": "0" * 64,
    }
    return [
        (f"{key}.jpg", f"picture {key}".encode()),
        (f"{key}.json", json.dumps(meta | more).encode()),
        (f"{key}.txt", caption.encode()),
    ]


def test_shards_of_img2dataset(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(
        tmp_path / "shards/00000.tar",
        img2dataset("000000000", "A dog.") + img2dataset("000000001", "Ein Café."),
    )
    write(tmp_path / "shards/00001.tar", img2dataset("000010000", "A cat.\n"))
    recipe = make_recipe(**SHARDS)
    assert [piece.stem for piece in pieces(recipe)] == ["00000", "00001"]
    found = examples(read_all(recipe))
    assert [(one.source_id, one.target) for one in found] == [
        ("00000/000000000", Text("A dog.")),
        ("00000/000000001", Text("Ein Café.")),
        ("00001/000010000", Text("A cat.")),
    ]
    assert [image_bytes(str(one.image)) for one in found] == [
        b"picture 000000000",
        b"picture 000000001",
        b"picture 000010000",
    ]
    assert [one.image_id for one in found] == [f"s/{one.source_id}" for one in found]


def test_urls_go_nowhere(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    good = img2dataset("000000000", "A dog.", other="A dog.")
    bad = img2dataset("000000001", "", other=7)
    write(tmp_path / "shards/0.tar", good + bad)
    for caption in ("txt", "json:other"):
        records = read_all(make_recipe(**SHARDS, caption=caption))
        assert len(examples(records)) == len(rejects(records)) == 1
        assert "example.org" not in repr(records)


def test_captions_from_json_and_lists_of_them(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    files = img2dataset("a", "alt text", synthetic="A dog runs.") + img2dataset(
        "b", "x", synthetic=["One.", "", "Two."]
    )
    write(tmp_path / "shards/0.tar", files)
    records = read_all(make_recipe(**SHARDS, caption="json:synthetic"))
    assert [(one.source_id, one.target.text) for one in examples(records)] == [
        ("0/a", "A dog runs."),
        ("0/b#0", "One."),
        ("0/b#2", "Two."),
    ]
    (rejected,) = rejects(records)
    assert (rejected.source_id, rejected.image_id) == ("0/b#1", "s/0/b")
    assert rejected.reason == "source: shards/0.tar byte 3072: caption 'json:synthetic' item 1 is empty"


def test_questions_and_conversations(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A dog."}]
    asked = {"question": "What is it?", "answer": ["dog", "cat", "dog"], "conversations": turns}
    write(tmp_path / "shards/0.tar", [*img2dataset("a", "x", **asked), ("a.q.txt", b"Who?")])

    def read(**keys: Any) -> list[Any]:
        recipe = make_recipe(**{**SHARDS, **keys})
        return [one for piece in pieces(recipe) for one in read_records(recipe, piece)]

    (record,) = read(tasks=["vqa", "vqg"])
    assert isinstance(record, Asked)
    assert (record.source_id, record.question, record.answer) == ("0/a", "What is it?", "dog")
    (record,) = read(tasks=["vqa"], question="q.txt")
    assert record.question == "Who?"
    (record,) = read(tasks=["instruct"])
    assert isinstance(record, Talk)
    assert record.turns == (("0/a#0", "What?", "A dog."),)
    both = read(tasks=["caption", "vqa", "matching", "instruct"])
    assert [type(one) for one in both] == [Captioned, Asked, Talk]


@pytest.mark.parametrize("extension", ["jpg", "JPG", "jpeg", "png", "webp"])
def test_pictures_by_extension_in_any_case(tmp_path: Path, make_recipe: MakeRecipe, extension: str) -> None:
    write(
        tmp_path / "shards/0.tar",
        [("a.TXT", b"A dog."), (f"a.{extension}", b"picture"), ("a.seg.png", b"mask")],
    )
    (found,) = examples(read_all(make_recipe(**SHARDS, caption=".txt")))
    assert image_bytes(str(found.image)) == b"picture"


def test_texts_of_two_json_files(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    files = [("a.jpg", b"x"), ("a.json", b'{"q": "What?"}'), ("a.meta.json", b'{"a": "A dog."}')]
    write(tmp_path / "shards/0.tar", files)
    places = {"question": "json:q", "answer": "meta.json:a"}
    (found,) = examples(read_all(make_recipe(**{**SHARDS, "tasks": ["vqa"]}, **places)))
    assert (found.prompt and found.prompt.text, found.target.text) == ("What?", "A dog.")


def test_a_mask_beside_the_picture_is_none(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path / "shards/0.tar", [("a.png", b"mask"), ("a.jpg", b"picture"), ("a.txt", b"A dog.")])
    (found,) = examples(read_all(make_recipe(**SHARDS)))
    assert image_bytes(str(found.image)) == b"picture"


BAD: list[tuple[Files, str, str]] = [
    ([("b.txt", b"A.")], "txt", "no picture in sample 'b'; files: txt"),
    ([("b.jpg", b"x")], "txt", "no `.txt` in sample 'b'; files: jpg"),
    ([("b.jpg", b"x"), ("b.txt", b"  ")], "txt", "caption 'txt' is empty"),
    ([("b.jpg", b"x"), ("b.txt", b"caf\xe9")], "txt", "no UTF-8 at byte 4611 (0xe9)"),
    (
        [("b.jpg", b"x"), ("b.txt", b"x" * 30_000)],
        "txt",
        "text of 30,000 characters, at most 20,000 (caption 'txt')",
    ),
    ([("b.jpg", b"x"), ("b.txt", b"x" * 1_000_001)], "txt", "`.txt` has 1,000,001 bytes, at most 1,000,000"),
    ([("b.jpg", b"x"), ("b.txt", b"A."), ("b.txt", b"B.")], "txt", "sample 'b': 'txt' stands twice"),
    (
        [("b.jpg", b"x"), ("b.json", b"{")],
        "json:k",
        "no JSON: Expecting property name enclosed in double quotes",
    ),
    ([("b.jpg", b"x"), ("b.json", b"[1]")], "json:k", "`.json` is a list, must be an object"),
    ([("b.jpg", b"x"), ("b.json", b'{"l": 1, "m": 2}')], "json:k", "no key 'k' in `.json`; there: 'l, m'"),
    ([("b.jpg", b"x"), ("b.json", b'{"k": null}')], "json:k", "column 'json:k' is null"),
    ([("b.jpg", b"x"), ("b.json", b'{"k": 3}')], "json:k", "caption 'json:k' is a number, must be text"),
    ([("b\x01.jpg", b"x"), ("b\x01.txt", b"A.")], "txt", "an id has 1 to 200 printable characters"),
]


@pytest.mark.parametrize(("files", "caption", "words"), BAD, ids=[words for _, _, words in BAD])
def test_a_bad_sample_is_told_alone(
    tmp_path: Path, make_recipe: MakeRecipe, files: Files, caption: str, words: str
) -> None:
    first = [("a.jpg", b"x"), ("a.txt", b"A."), ("a.json", b'{"k": "A."}')]
    last = [("c.jpg", b"x"), ("c.txt", b"C."), ("c.json", b'{"k": "C."}')]
    write(tmp_path / "shards/0.tar", first + files + last)
    recipe = make_recipe(**SHARDS, caption=caption)
    records = read_all(recipe)
    assert [one.target.text for one in examples(records)] == ["A.", "C."]
    (rejected,) = rejects(records)
    assert rejected.reason.startswith("source: shards/0.tar byte 3072: ")
    assert words in rejected.reason


def test_a_shard_that_breaks_off_is_told_after_what_is_whole(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    path = tmp_path / "shards/0.tar"
    write(path, img2dataset("a", "A dog.") + img2dataset("b", "A cat."))
    recipe = make_recipe(**SHARDS)
    (piece,) = pieces(recipe)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"A cat.", data.index(b"b.txt")) + 2])
    records = list(read_piece(recipe, piece))
    assert [one.source_id for one in examples(records)] == ["0/a"]
    (rejected,) = rejects(records)
    assert rejected.reason.startswith("truncated: shards/0.tar byte 0: 0.tar is truncated at byte ")
    assert "the sample 'b' right before may not be whole" in rejected.reason


def test_files_that_are_no_shards_are_a_wrong_recipe(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    path = tmp_path / "shards/0.tar"

    def refused() -> str:
        with pytest.raises(SettingsError) as caught:
            pieces(make_recipe(**SHARDS))
        assert caught.value.key == "sources.0.path"
        return str(caught.value)

    write(path, [("readme", b"x")])
    assert "shards/0.tar has no samples; files of one must be named alike" in refused()
    path.write_bytes(b"\x1f\x8b" + bytes(600))
    assert "0.tar is compressed with gzip" in refused()
    path.write_bytes(b"no tar" * 200)
    assert "0.tar is no tar, or damaged" in refused() or "0.tar is damaged" in refused()


def test_shards_of_one_name_in_two_folders_have_ids_of_their_own(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    for folder in ("a", "b"):
        write(tmp_path / folder / "0.tar", img2dataset("000", f"From {folder}."))
    found = examples(read_all(make_recipe(**{**SHARDS, "path": "[ab]/0.tar"})))
    assert [one.source_id for one in found] == ["a.0/000", "b.0/000"]


def test_a_shard_that_is_gone_stops_the_run(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path / "shards/0.tar", img2dataset("a", "A dog."))
    recipe = make_recipe(**SHARDS)
    (piece,) = pieces(recipe)
    (tmp_path / "shards/0.tar").unlink()
    with pytest.raises(SourceError, match=r"0.tar: cannot be read on: No such file"):
        list(read_piece(recipe, piece))
