"""CSV and TSV become examples; a malformed record is rejected with its line, and its neighbours are read."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.examples import Example, Reject, Text
from pipelines.recipe import Recipe, SettingsError, load_recipe
from pipelines.sources import csv_lines, pieces, read_records
from pipelines.sources.pieces import Piece
from tests.pipelines.sources.conftest import MakeRecipe, Records, examples, read_all, rejects

CAPTION = {"format": "csv", "path": "x.csv", "images": "images", "tasks": ["caption"]}
VQA = {"format": "csv", "path": "x.csv", "images": "images", "tasks": ["vqa"]}
HEADER = b"id,image,caption\n"


def read(folder: Path, make_recipe: MakeRecipe, content: bytes, **source: Any) -> Records:
    source = {**CAPTION, **source}
    (folder / source["path"]).write_bytes(content)
    return read_all(make_recipe(**source))


def told(records: Records) -> list[tuple[str, str]]:
    """Id and target of the examples, id and reason without its place of the rejects."""
    return [
        (one.source_id, one.reason.split(": ", 2)[2] if isinstance(one, Reject) else one.target.text)
        for one in records
    ]


def test_columns_by_their_names(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    content = b"id,more,picture,q,a\n7,,a/dog.png, What is it? ,dog\n"
    columns = {"image": "picture", "question": "q", "answer": "a"}
    (found,) = examples(read(tmp_path, make_recipe, content, **{**VQA, "columns": columns}))
    assert (found.source_id, found.image_id, found.image) == (
        "7",
        "a/dog",
        f"{tmp_path}/images/./a/dog.png",
    )
    assert (found.prompt, found.target) == (Text("What is it?"), Text("dog"))


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_quotes_hold_commas_marks_and_line_breaks(
    tmp_path: Path, make_recipe: MakeRecipe, ending: bytes
) -> None:
    lines = [
        b"image,caption",
        b'a.png,"A ""big"", black',
        b'dog."',
        b"",
        b'"b.png","A cat."',
        b'c.png,5" tall',
    ]
    records = read(tmp_path, make_recipe, b"\xef\xbb\xbf" + ending.join(lines))
    assert told(records) == [
        ("x@2", 'A "big", black dog.'),
        ("x@5", "A cat."),
        ("x@6", '5" tall'),
    ]


def test_tabs_part_the_columns_of_a_tsv(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    content = b'caption\timage\nA dog, a "cat".\ta.png\n"A\tB"\tb.png\n'
    records = read(tmp_path, make_recipe, content, path="x.tsv")
    assert told(records) == [("x@2", 'A dog, a "cat".'), ("x@3", "A B")]


def test_an_open_quotation_mark_of_a_tsv_does_not_take_records_along(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    content = b'caption\timage\n"Stop\ta.png\nB.\tb.png\n5"\tc.png\n"D\nD."\td.png\n'
    found = told(read(tmp_path, make_recipe, content, path="x.tsv"))
    assert found == [("x@2", '"Stop'), ("x@3", "B."), ("x@4", '5"'), ("x@5", "D D.")]


def test_quotation_marks_that_quote_nothing_stay_in_a_tsv(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    content = b'caption\timage\n"Live" concert\ta.png\n"A "b" c\tb.png\n"D\td\te.png\nE.\te.png\n'
    found = told(read(tmp_path, make_recipe, content, path="x.tsv"))
    assert found[:2] == [("x@2", '"Live" concert'), ("x@3", '"A "b" c')]
    assert found[2][0] == "x@4"
    assert "no CSV" in found[2][1] or "quotation marks" in found[2][1]
    assert found[3:] == [("x@5", "E.")]


def test_a_first_line_that_names_no_columns_is_told(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    content = b"a very typical bus station\thttp://e.org/1.jpg\nA dog.\thttp://e.org/2.jpg\n"
    with pytest.raises(SettingsError, match="the first line must name the columns, is it a record"):
        read(tmp_path, make_recipe, content, path="x.tsv")


def test_a_list_of_img2dataset(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("url,caption\nhttps://e.org/a.jpg,A dog.\n,A cat.\n/a.jpg,A cow.\n")
    source = {"name": "s", "format": "csv", "path": "x.csv", "tasks": ["caption"], "columns": {"url": "url"}}
    values = {"name": "r", "download": {"cache": "kept"}, "sources": [source]}
    (tmp_path / "recipe.yaml").write_text(json.dumps(values))
    found, missing, wrong = read_all(load_recipe(tmp_path / "recipe.yaml"))
    assert isinstance(found, Example)
    assert found.image == f"{tmp_path}/kept#url=https%3A%2F%2Fe.org%2Fa.jpg"
    assert [one.reason for one in rejects([missing, wrong])] == [
        "source: x.csv line 3: column 'url' is null",
        "source: x.csv line 4: image: '/a.jpg' is not of http or https",
    ]


def test_records_of_separators_alone_are_rejects_and_empty_lines_nothing(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    records = read(tmp_path, make_recipe, b"\n" + HEADER + b"\n,,\n1,a.png,A.\n \n , \n")
    assert [(one.source_id, isinstance(one, Reject)) for one in records] == [
        ("x@4", True), ("1", False), ("x@7", True),
    ]  # fmt: skip


def test_an_empty_id_is_made_from_the_line(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    content = HEADER + b",a.png,A.\n,b.png,B.\n"
    assert told(read(tmp_path, make_recipe, content)) == [("x@2", "A."), ("x@3", "B.")]
    named = read(tmp_path, make_recipe, content, columns={"id": "id"})
    assert told(named) == [("x@2", "column 'id' is null"), ("x@3", "column 'id' is null")]


def test_texts_without_pictures(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "x.csv").write_text("text\nOnce upon a time.\n\nThe end is near.\n")
    records = read_all(make_recipe(format="csv", path="x.csv", tasks=["text"]))
    assert [one.source_id for one in examples(records)] == ["x@2", "x@4"]


BAD: list[tuple[bytes, int, str]] = [
    (b"2,b.png", 1, "2 columns, but the header has 3"),
    (b"2,b.png,B.,more", 1, "4 columns, but the header has 3"),
    (b'2,b.png,"B\nof two lines",more', 2, "4 columns, but the header has 3"),
    (b'2,b.png,"B." and more', 1, "no CSV: ',' expected after '\"'"),
    (b'2,b.png,"B.', 1, "no CSV: "),
    (b"2,b.png,B\0.", 1, "holds NUL at character 1"),
    (b"2,b.png,caf\xe9", 1, "no UTF-8 at character 11 of line 3 (0xe9)"),
    (b"2,b.png,\xed\xa0\x80", 1, "no UTF-8 at character 8 of line 3 (0xed)"),
    (b'2,b.png,"B\ncaf\xe9"', 2, "no UTF-8 at character 3 of line 4 (0xe9)"),
    (b"2,b.png,", 1, "caption 'caption' is empty"),
    (b'2,b.png,"  "', 1, "caption 'caption' is empty"),
    (b"2,,B.", 1, "column 'image' is null"),
    (b"2,../b.png,B.", 1, "image: '../b.png' leads out"),
    (b"2,b.png," + b"x" * 20_001, 1, "text of 20,001 characters"),
    (b"2,b.png," + b"x" * 300_000, 1, "more than 200,000 characters; is a quotation mark not closed?"),
    (b"2" * 201 + b",b.png,B.", 1, "an id has 1 to 200"),
]


@pytest.mark.parametrize(("bad", "size", "words"), BAD, ids=[f"{n}" for n in range(len(BAD))])
@pytest.mark.parametrize("quoted", [False, True])
def test_a_malformed_record_is_rejected_alone(
    tmp_path: Path, make_recipe: MakeRecipe, bad: bytes, size: int, words: str, quoted: bool
) -> None:
    good = b'"%d","%s.png","%s"' if quoted else b"%d,%s.png,%s"
    lines = [good % (1, b"a", b"A."), bad, good % (3, b"c", b"C."), good % (4, b"d", b"D.")]
    first, reject, *others = read(tmp_path, make_recipe, HEADER + b"\n".join(lines) + b"\n")
    assert isinstance(reject, Reject)
    assert reject.reason.startswith("source: x.csv line 3: ")
    assert words in reject.reason
    assert len(reject.record) <= 2_000
    assert told([first, *others]) == [("1", "A."), ("3", "C."), ("4", "D.")]


def test_an_open_quotation_mark_at_the_end_costs_one_record(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    many = b"".join(b"%d,a.png,A.\n" % n for n in range(30_000))
    records = read(tmp_path, make_recipe, HEADER + b'x,a.png,"A.\n' + many)
    assert len(examples(records)) == 30_000
    (reject,) = rejects(records)
    assert reject.reason.startswith("source: x.csv line 2: ")
    assert reject.record == 'x,a.png,"A.\n'


def test_nothing_is_lost_whatever_the_fields_hold(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    cell = st.text(alphabet=st.sampled_from('a,"\n\r\té \0'), max_size=8)

    @given(st.lists(st.tuples(cell, cell), max_size=8))
    @settings(max_examples=200, deadline=None)
    def check(rows: list[tuple[str, str]]) -> None:
        written = io.StringIO(newline="")
        csv.writer(written, quoting=csv.QUOTE_ALL).writerows([("one", "two"), *rows])
        content = written.getvalue().encode()
        piece = Piece(0, str(folder / "x.csv"), "x.csv", "x", 0, len(content))
        found = [row for _, row in csv_lines._rows(io.BytesIO(content), piece)]
        assert found == [["one", "two"], *map(list, rows)]

    check()


def test_lines_are_counted_on_behind_an_open_quotation_mark(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    content = b'image,caption\na.png,"A.\nb.png,B.\nc.png,"C\nC."\nd.png,D.\n'
    found = told(read(tmp_path, make_recipe, content))
    assert [source_id for source_id, _ in found] == ["x@2", "x@3", "x@4", "x@6"]
    assert [text for _, text in found][1:] == ["B.", "C C.", "D."]


def test_a_damaged_byte_costs_three_records_at_most() -> None:
    rows = [["id", "image", "caption"]]
    texts = ["one", "b,c", 'q"q', "two\nlines", "é"]
    rows += [[str(number), "a.png", texts[number % 5]] for number in range(15)]
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)
    content = written.getvalue().encode()
    piece = Piece(0, "x.csv", "x.csv", "x", 0, len(content))
    for position in range(len("id,image,caption\r\n"), len(content)):
        for put in (b"", b'"', b",", b"\n", b"\0", b"\xff"):
            damaged = content[:position] + put + content[position + 1 :]
            found = list(csv_lines._rows(io.BytesIO(damaged), piece))
            assert len([row for _, row in found if isinstance(row, list)]) >= len(rows) - 3
            lines = [line for line, _ in found]
            assert lines == sorted(set(lines))


@pytest.mark.parametrize(
    ("content", "source", "key", "words"),
    [
        (b"", {}, "path", "is empty; its first line must name the columns"),
        (b"\n\n", {}, "path", "is empty"),
        (b"\x1f\x8b\x08\x00", {}, "path", "is compressed; unpack it first"),
        ("image,caption\n".encode("utf-16"), {}, "path", "is UTF-16"),
        (b"im\xe4ge,caption\n", {}, "path", "the first line must name the columns: no UTF-8"),
        (b'"image","cap"tion\n', {}, "path", "the first line must name the columns: no CSV"),
        (b"image,text,n\n", {}, "columns.caption", "has no column `caption`; it has image, text, n"),
        (b"img,caption\n", {}, "columns.image", "has no column `image`; it has img, caption"),
        (b"image,caption\n", {"columns": {"id": "key"}}, "columns.id", "has no column `key`"),
        (b"image,caption\n", {"columns": {"image_id": "key"}}, "columns.image_id", "has no column `key`"),
        (b"image;caption\n", {}, "columns.caption", "it has image;caption; commas part the columns"),
        (b"image,caption,caption\n", {}, "columns.caption", "has 2 columns `caption`; rename all but one"),
        (b"image,conversations\n", {"tasks": ["instruct"]}, "columns", "cells hold no conversations"),
    ],
)
def test_a_table_of_another_kind_is_a_wrong_recipe(
    tmp_path: Path, make_recipe: MakeRecipe, content: bytes, source: dict[str, Any], key: str, words: str
) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    recipe: Recipe = make_recipe(**{**CAPTION, **source})
    with pytest.raises(SettingsError) as caught:
        pieces(recipe)
    assert words in str(caught.value)
    assert caught.value.key == f"sources.0.{key}"
    assert caught.value.line is not None


def test_a_table_of_the_header_alone_has_no_records(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    assert read(tmp_path, make_recipe, HEADER) == []


@pytest.mark.parametrize("border", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_records_of_every_kind_are_read_together_as_alone(
    tmp_path: Path, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, name: str, border: str
) -> None:
    odd = [["1", "a.jpg", "A dog."], ["", "b.jpg", " No id "], ["3", "", "No picture."], ["4", "c.jpg", ""]]
    odd += [[""], ["", "", ""], ["5", "é.jpg", "Café, &amp; \u2028 bar"], ["6", "d.jpg", "Two\nlines"], ["7"]]
    odd += [[" ", "e.jpg", "Space as id."], ["8", "f.jpg", 'A "quoted" word'], ["9", "g.jpg", "\udcff"]]
    usual = [[f"n{number}", f"n{number}.jpg", "A cat on a mat."] for number in range(3_000)]
    with open(tmp_path / name, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        separator = "," if name.endswith("csv") else "\t"
        rows = csv.writer(file, delimiter=separator, lineterminator=border)
        rows.writerows([["id", "image", "caption"], *usual, *odd, *usual[::-1]])
        file.write(f'"open{separator}"x.jpg{separator}A dog.{border}')
    recipe = make_recipe(format="csv", path=name, images="images", tasks=["caption"])
    together = [record for piece in pieces(recipe) for record in read_records(recipe, piece)]
    monkeypatch.setattr(csv_lines, "_good_rows", lambda *_: [])
    alone = [record for piece in pieces(recipe) for record in read_records(recipe, piece)]
    assert together == alone
    assert len(together) > 2 * len(usual)
