"""Flickr30k's captions are the same, with the same ids, in whichever layout they come."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.examples import Reject
from pipelines.recipe import Recipe, SettingsError
from pipelines.records import Captioned, Record
from pipelines.sources import flickr30k, line_blocks, lines, pieces, read_records
from tests.pipelines.sources.conftest import MakeRecipe, examples, read_all

SHARED = Path(__file__).parents[3].parent / "shared/data"

CAPTIONS = {
    "1000092795": ("Two young guys look at their hands .", "Two young , White males | near bushes ."),
    "10002456": ("Several men in hard hats .", "Workers look down #1 ."),
}

TOKEN = "".join(
    f"{image}.jpg#{number}\t{text}\n"
    for image, texts in CAPTIONS.items()
    for number, text in enumerate(texts)
)
KAGGLE = "image_name| comment_number| comment\n" + "".join(
    f"{image}.jpg| {number}| {text}\n"
    for image, texts in CAPTIONS.items()
    for number, text in enumerate(texts)
)
IGLUE = "".join(
    json.dumps({"sentences": texts, "id": image, "img_path": f"{image}.jpg"}) + "\n"
    for image, texts in CAPTIONS.items()
)
ENTITIES = {
    "1000092795": "[/EN#1/people Two young guys] look at [/EN#2/bodyparts/other their hands] .\n"
    "[/EN#1/people Two young , White males] | near [/EN#0/notvisual bushes] .\n",
    "10002456": "[/EN#3/people Several men] in [/EN#4/clothing hard hats] .\nWorkers look down #1 .\n",
}


def recipe_of(make_recipe: MakeRecipe, path: str, **source: Any) -> Recipe:
    return make_recipe(**{"format": "flickr30k", "annotations": path, "images": "images", **source})


def read(make_recipe: MakeRecipe, path: str) -> list[Record | Reject]:
    recipe = recipe_of(make_recipe, path)
    return [one for piece in pieces(recipe) for one in read_records(recipe, piece)]


def write(folder: Path, layout: str) -> str:
    """The captions in a layout; returns the glob that names them."""
    if layout == "entities":
        (folder / "Sentences").mkdir()
        for image, text in ENTITIES.items():
            (folder / f"Sentences/{image}.txt").write_text(text)
        return "Sentences/*.txt"
    content = {"token": TOKEN, "kaggle": KAGGLE, "iglue": IGLUE}[layout]
    (folder / "captions").write_text(content)
    return "captions"


LAYOUTS = ["token", "kaggle", "iglue", "entities"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_record_per_picture(tmp_path: Path, make_recipe: MakeRecipe, layout: str) -> None:
    found = read(make_recipe, write(tmp_path, layout))
    assert [(one.picture.image_id, one.captions) for one in found if isinstance(one, Captioned)] == [
        (image, tuple((f"{image}#{number}", text) for number, text in enumerate(texts)))
        for image, texts in CAPTIONS.items()
    ]
    assert len(found) == 2
    first = found[0]
    assert isinstance(first, Captioned)
    assert first.picture.locator == f"{tmp_path}/images/./1000092795.jpg"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pieces_decide_nothing(
    tmp_path: Path, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    path = write(tmp_path, layout)
    whole = read(make_recipe, path)
    monkeypatch.setattr(lines, "PIECE_BYTES", 50)
    monkeypatch.setattr(flickr30k, "PIECE_FILES", 1)
    assert len(pieces(recipe_of(make_recipe, path))) == (
        1 if layout in ("token", "kaggle") else 2 + (layout == "iglue") * 4
    )
    assert [(one.picture, one.captions) for one in read(make_recipe, path) if isinstance(one, Captioned)] == [
        (one.picture, one.captions) for one in whole if isinstance(one, Captioned)
    ]


def test_captions_make_examples(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    records = read_all(recipe_of(make_recipe, write(tmp_path, "token"), tasks=["caption", "matching"]))
    assert [one.source_id for one in examples(records) if one.task == "caption"] == [
        "1000092795#0",
        "1000092795#1",
        "10002456#0",
        "10002456#1",
    ]


def test_entities_of_many_files_are_read_together(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for number in range(60):
        (tmp_path / f"{'ab'[number % 2]}/{number}.txt").write_text("[/EN#1/people A man] .\n" * 1)
    recipe = recipe_of(make_recipe, "*/*.txt")
    assert len(pieces(recipe)) == 1
    found = [one for piece in pieces(recipe) for one in read_records(recipe, piece)]
    assert {one.picture.image_id for one in found if isinstance(one, Captioned)} == {
        str(number) for number in range(60)
    }


BAD: list[tuple[str, bytes, str]] = [
    ("token", b"1000268201.jpg\tA child .", "is not of the form `NAME.jpg#NUMBER<tab>CAPTION`"),
    ("token", b"1000268201.jpg#0 A child .", "is not of the form"),
    ("token", b"1000268201.jpg#x\tA child .", "is not of the form"),
    ("token", b"1000268201.jpg#0\t ", "caption 0 is empty"),
    ("token", b"1000268201.jpg#0\tA caf\xe9 .", "no UTF-8 at byte "),
    ("token", b"1000268201.jpg#0\tA\0 .", "holds NUL"),
    ("token", b"1000092795.jpg#0\tAgain .", "number 0 of 1000092795.jpg stands there twice"),
    ("token", b"../1.jpg#0\tA child .", "image: '../1.jpg' leads out"),
    ("token", b"1.jpg#0\t" + b"x" * 20_001, "text of 20,001 characters"),
    # Stands so in the file that Kaggle has.
    ("kaggle", b"2199200615.jpg| 4   A dog runs across the grass .", "is not of the form `NAME.jpg| NUMBER|"),
    ("kaggle", b"2199200615.jpg| 4|", "caption 4 is empty"),
    ("kaggle", b"| 4| A dog .", "is not of the form"),
    (
        "iglue",
        b'{"id": "1", "img_path": "1.jpg", "sentences": []}',
        "`sentences` is a list, must be a list with",
    ),
    ("iglue", b'{"id": "1", "img_path": "1.jpg", "sentences": "A."}', "`sentences` is text, must be a list"),
    ("iglue", b'{"id": "1", "img_path": "1.jpg"}', "no column 'sentences'; there: 'id, img_path'"),
    ("iglue", b'{"id": "1", "img_path": 1, "sentences": ["A."]}', "`img_path` is a number"),
    ("iglue", b'{"sentences": ["A."]}', "no column 'id'"),
    ("iglue", b'{"id": "1", "img_path": "/1.jpg", "sentences": ["A."]}', "image: '/1.jpg' is absolute"),
    (
        "iglue",
        b'{"id": "1", "img_path": "1.jpg", "sentences": [["A."]]}',
        "caption 0 of `sentences` is a list",
    ),
    ("iglue", b'{"id": "1", "img_path": "1.jpg", "sentences": [""]}', "caption 0 is empty"),
    ("iglue", b'{"id": "1"', "no JSON"),
    ("entities", b"[/EN#1 A man] .", "has a mark `[/EN#` that is not of the form"),
    ("entities", b"[/EN#1/people A man .", "has a mark `[/EN#` that is not of the form"),
    ("entities", b"[/EN#1/people A m\xe4n] .", "no UTF-8"),
]


@pytest.mark.parametrize(("layout", "bad", "words"), BAD, ids=[words[:40] for _, _, words in BAD])
def test_a_malformed_caption_is_rejected_alone(
    tmp_path: Path, make_recipe: MakeRecipe, layout: str, bad: bytes, words: str
) -> None:
    path = write(tmp_path, layout)
    file = tmp_path / ("Sentences/1000092795.txt" if layout == "entities" else path)
    # Before the last line of the first picture, or of IGLUE's file.
    content = file.read_bytes().splitlines(keepends=True)
    where = {"token": 1, "kaggle": 2, "iglue": 1, "entities": 1}[layout]
    position = len(b"".join(content[:where]))
    file.write_bytes(b"".join([*content[:where], bad + b"\n", *content[where:]]))
    found = read(make_recipe, path)
    (reject,) = [one for one in found if isinstance(one, Reject)]
    label = file.relative_to(tmp_path).as_posix()
    assert reject.reason.startswith(f"source: {label} byte {position}: ")
    assert words in reject.reason
    captions = [text for one in found if isinstance(one, Captioned) for _, text in one.captions]
    assert captions == [text for texts in CAPTIONS.values() for text in texts]


def test_a_bad_line_does_not_part_a_picture(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "captions").write_text("1.jpg#0\tA.\nno caption\n1.jpg#1\tB.\n2.jpg#0\tC.\n")
    found = read(make_recipe, "captions")
    assert [len(one.captions) for one in found if isinstance(one, Captioned)] == [2, 1]


def test_an_empty_file_of_entities_is_rejected_alone(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    path = write(tmp_path, "entities")
    (tmp_path / "Sentences/7.txt").write_text("")
    found = read(make_recipe, path)
    assert [one.reason for one in found if isinstance(one, Reject)] == [
        "source: Sentences/7.txt byte 0: no captions in the file"
    ]
    assert len(found) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"images": [{"sentences": []}]}', "read it with `format: coco`"),
        (b"[]", "starts with '[]'; must be `NAME.jpg#0<tab>CAPTION`"),
        (b"", "starts with ''"),
        (b"image,caption\n1.jpg,A.\n", "starts with 'image,caption"),
        (b"PK\x03\x04", "is compressed"),
    ],
)
def test_another_layout_is_a_wrong_recipe(
    tmp_path: Path, make_recipe: MakeRecipe, content: bytes, words: str
) -> None:
    (tmp_path / "captions.csv").write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        pieces(recipe_of(make_recipe, "captions.csv"))
    assert words in str(caught.value)
    assert caught.value.key == "sources.0.annotations"


def test_entities_do_not_mix_with_other_layouts(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "1.txt").write_text(ENTITIES["10002456"])
    (tmp_path / "x.txt").write_text(TOKEN)
    with pytest.raises(SettingsError, match=r"x\.txt is in another layout than the files before it"):
        pieces(recipe_of(make_recipe, "*.txt"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="real data excerpts are not there")
def test_real_excerpts(make_recipe: MakeRecipe) -> None:
    iglue = read(make_recipe, str(SHARED / "source/flickr30k/iglue/annotations/valid_ann.jsonl"))
    assert [len(one.captions) for one in iglue if isinstance(one, Captioned)] == [5] * 200
    entities = read(make_recipe, str(SHARED / "source/flickr30k/entities/Sentences/*.txt"))
    assert [len(one.captions) for one in entities if isinstance(one, Captioned)] == [5, 5]
    assert not any(
        "EN#" in text for one in entities if isinstance(one, Captioned) for _, text in one.captions
    )


_NAMES = st.sampled_from(["1.jpg", "1.jpg", "2.jpg", "3.jpg", "b c.jpg", " 4.jpg", "../5.jpg", ""])
_NUMBERS = st.sampled_from(["0", "1", "2", "2", "3", "04", "x", "1234567890"])
_WRITTEN = st.sampled_from(
    ["A dog .", " A cat . ", "Two #1 | men .", "", "!", "é\u2028 .", "a\tb", "a\r", "\ud7ff"]
)
_LINES = st.lists(
    st.tuples(_NAMES, _NUMBERS, _WRITTEN) | st.sampled_from(["", " ", "x", "\udcff"]), max_size=30
)


@pytest.mark.parametrize("layout", ["token", "kaggle"])
@given(lines=_LINES, block=st.integers(1, 400), closed=st.booleans())
@example(lines=[("1.jpg", "0", "A ."), ("2.jpg", "0", "B ."), ("3.jpg", "0", "C .")], block=400, closed=True)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_many_lines_say_is_what_each_says(
    make_recipe: MakeRecipe,
    tmp_path: Path,
    layout: str,
    lines: list[tuple[str, str, str] | str],
    block: int,
    closed: bool,
) -> None:
    start, form = {
        "token": ("0.jpg#0\tFirst .", "{}#{}\t{}"),
        "kaggle": ("image_name| comment_number| comment", "{}| {}| {}"),
    }[layout]
    content = "\n".join([start, *(one if isinstance(one, str) else form.format(*one) for one in lines)])
    (tmp_path / "captions").write_bytes((content + "\n" * closed).encode(errors="surrogateescape"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flickr30k, "blocks", partial(line_blocks.blocks, block=block))
        read_all(recipe_of(make_recipe, "captions"))
        together = read(make_recipe, "captions")
    assert together == read(make_recipe, "captions")


def test_ordinary_lines_are_read_together(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone: list[int] = []
    one_by_one = flickr30k._one_by_one

    def counted(source: Any, piece: Any, block: line_blocks.Block, token: bool) -> Any:
        alone.append(len(block.starts()))
        return one_by_one(source, piece, block, token)

    monkeypatch.setattr(flickr30k, "_one_by_one", counted)
    for layout in (TOKEN, KAGGLE):
        alone.clear()
        header = layout if layout is KAGGLE else ""
        lines = (layout.partition("\n")[2] if header else layout).splitlines(keepends=True)
        many = "".join(line.replace("1000", str(1_000 + number)) for number in range(3_000) for line in lines)
        (tmp_path / "captions").write_text(header + many)
        read(make_recipe, "captions")
        # The first block of Kaggle's table has the header.
        assert 0 < sum(alone) < 4_000
