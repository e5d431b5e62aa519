"""JSON lines become examples; every malformed line becomes a reject that names file and byte."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipelines.examples import Example, Reject, Text
from pipelines.images import BadImage, image_bytes
from pipelines.recipe import Recipe, SettingsError, load_recipe
from pipelines.records import Asked, Written
from pipelines.sources import SourceError, lines, pieces, read_piece, read_records
from tests.pipelines.sources.conftest import MakeRecipe, examples, read_all, rejects

SHARED = Path(__file__).parents[3].parent / "shared/data/source"

VQA = {"format": "jsonl", "path": "x.jsonl", "images": "images", "tasks": ["vqa"]}
CAPTION = {"format": "jsonl", "path": "x.jsonl", "images": "images", "tasks": ["caption"]}
INSTRUCT = {"format": "jsonl", "path": "x.jsonl", "images": "images", "tasks": ["instruct"]}

# The record that LLaVA's conversation_58k.json starts with, in one line.
LLAVA = {
    "id": "000000033471",
    "image": "000000033471.jpg",
    "conversations": [
        {"from": "human", "value": "What are the colors of the bus in the image?\n<image>"},
        {"from": "gpt", "value": "The bus in the image is white and red."},
        {"from": "human", "value": "What feature can be seen on the back of the bus?"},
        {"from": "gpt", "value": "The back of the bus features an advertisement."},
    ],
}


def talk(*turns: tuple[str, str], image: str = '"image": "a.png", ') -> bytes:
    conversation = [{"from": role, "value": text} for role, text in turns]
    return f'{{{image}"conversations": {json.dumps(conversation)}}}'.encode()


def write(folder: Path, *records: Any) -> None:
    (folder / "x.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))


def test_questions_and_answers(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path, {"id": 7, "image": "a/dog.png", "question": " What is it? ", "answer": "dog"})
    assert read_all(make_recipe(**VQA, prompt="keep")) == [
        Example(
            "s",
            "7",
            "vqa",
            f"{tmp_path}/images/./a/dog.png",
            "a/dog",
            Text("What is it?", False),
            Text("dog"),
        )
    ]


def test_the_most_common_answer_counts(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    vqav2 = [
        {"answer": answer, "answer_id": index} for index, answer in enumerate(["down", "table", "table "])
    ]
    record = {"image": "a.png", "question": "Where?"}
    write(
        tmp_path,
        {**record, "answer": ["no", "yes", "yes"]},
        {**record, "answer": ["b", "a"]},
        {**record, "answer": vqav2},
    )
    assert [one.target.text for one in examples(read_all(make_recipe(**VQA)))] == ["yes", "b", "table"]


def test_a_blank_answer_takes_no_other_away(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    answers = ["", "dog", None, "dog", "cat"]
    write(tmp_path, {"id": 7.0, "image": "a.png", "question": "What?", "answer": answers})
    (one,) = examples(read_all(make_recipe(**VQA)))
    assert (one.source_id, one.target) == ("7", Text("dog"))
    write(tmp_path, {"image": "a.png", "question": "What?", "answer": ["", None]})
    (reject,) = rejects(read_all(make_recipe(**VQA)))
    assert "item 0 is empty" in reject.reason


def test_conversations_make_one_example_a_turn(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    write(tmp_path, LLAVA, {"id": "t", "conversations": chat})
    first, second, text = examples(read_all(make_recipe(**INSTRUCT)))
    assert (first.source_id, second.source_id, text.source_id) == ("000000033471#0", "000000033471#1", "t#0")
    assert first.prompt == Text("What are the colors of the bus in the image?")
    assert first.target == Text("The bus in the image is white and red.")
    assert first.image_id == second.image_id == "33471"
    assert (text.image, text.image_id) == (None, None)


@pytest.mark.parametrize("asked", ["<image>\nWhat?", "What?\n<image>", "<image>What?", " <image>\n What?"])
def test_the_image_mark_leaves_no_trace(tmp_path: Path, make_recipe: MakeRecipe, asked: str) -> None:
    turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": "This."}]
    write(tmp_path, {"image": "a.png", "conversations": turns})
    (found,) = examples(read_all(make_recipe(**INSTRUCT)))
    assert found.prompt == Text("What?")


def test_instructions_in_two_columns(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    record = {"id": "1", "image": "a.jpg", "instruction": "Say it.", "output": "It.", "type": "conv"}
    write(tmp_path, record)
    columns = {"question": "instruction", "answer": "output"}
    (found,) = examples(read_all(make_recipe(**INSTRUCT, columns=columns)))
    assert (found.task, found.prompt, found.target) == ("instruct", Text("Say it."), Text("It."))


def test_a_list_of_captions_makes_several_examples(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path, {"id": "9", "img_path": "9.jpg", "sentences": ["A dog.", "", "A cat."]})
    records = read_all(make_recipe(**CAPTION, columns={"caption": "sentences", "image": "img_path"}))
    assert sorted((one.source_id, one.image_id) for one in records) == [
        ("9#0", "9"),
        ("9#1", "9"),
        ("9#2", "9"),
    ]
    (bad,) = rejects(records)
    assert bad.reason == "source: x.jsonl byte 0: caption 'sentences' item 1 is empty"
    assert all(one.prompt is None for one in examples(records))


def test_images_lie_beside_the_file_by_default(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path, {"image": "a.png", "caption": "A dog."})
    (found,) = examples(read_all(make_recipe(format="jsonl", path="x.jsonl", tasks=["caption"])))
    assert found.image == f"{tmp_path}/./a.png"


def test_an_image_id_column(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(
        tmp_path, {"image": "a.png", "key": 12, "caption": "A dog."}, {"image": "a.png", "caption": "A dog."}
    )
    good, bad = read_all(make_recipe(**CAPTION, columns={"image_id": "key"}))
    assert good.image_id == "12"
    assert "no column 'key'; there: 'image, caption'" in rejects([bad])[0].reason


MALFORMED: list[tuple[dict[str, Any], bytes, str]] = [
    (
        VQA,
        b'{"id": "1", "image": "a.png", "question": "Q?"',
        "no JSON: Expecting ',' delimiter at character 46",
    ),
    (VQA, b"{'id': 1}", "no JSON: Expecting property name enclosed in double quotes at character 1"),
    (VQA, b'["id", "1"]', "is a list, must be an object"),
    (VQA, b"null", "is null, must be an object"),
    (
        VQA,
        b'{"id": "1", "image": "a.png", "question": "Q?"}',
        "no column 'answer'; there: 'id, image, question'",
    ),
    (VQA, b'{"image": "a.png", "question": "Q?", "answer": null}', "column 'answer' is null"),
    (
        VQA,
        b'{"image": "a.png", "question": "Q?", "answer": 3.5}',
        "answer 'answer' is a number, must be text",
    ),
    (VQA, b'{"image": "a.png", "question": "Q?", "answer": []}', "answer 'answer' is an empty list"),
    (
        VQA,
        b'{"image": "a.png", "question": "Q?", "answer": ["a", 1.5]}',
        "answer 'answer' item 1 is a number",
    ),
    (VQA, b'{"image": "a.png", "question": " \\u200b", "answer": "a"}', "question 'question' is empty"),
    (VQA, b'{"image": "a.png", "question": "<image>", "answer": "a"}', "empty but for `<image>`"),
    (VQA, b'{"question": "Q?", "answer": "a"}', "no column 'image'"),
    (CAPTION, b'{"image": "a.png", "caption": ""}', "caption 'caption' is empty"),
    (CAPTION, b'{"image": "a.png", "caption": []}', "caption 'caption' is an empty list"),
    (CAPTION, b'{"image": "a.png", "caption": "a\\u0000b"}', "holds NUL at character 1"),
    (
        CAPTION,
        b'{"image": "a.png", "caption": "a\\ud83d"}',
        "half of a surrogate pair, U+D83D, at character 1",
    ),
    (CAPTION, b'{"image": "a.png", "caption": "caf\xe9"}', "(0xe9)"),
    (
        CAPTION,
        b'{"image": "a.png", "caption": "%s"}' % (b"word " * 20_000),
        "text of 100,000 characters, at most 20,000",
    ),
    (CAPTION, b'{"id": true, "image": "a.png", "caption": "A."}', "column 'id' is a boolean"),
    (
        CAPTION,
        b'{"id": "a\\nb", "image": "a.png", "caption": "A."}',
        "an id has 1 to 200 printable characters",
    ),
    (CAPTION, b'{"image": {"bytes": null}, "caption": "A."}', "column 'image' is null, must be the path"),
    (CAPTION, b'{"image": {"bytes": "x"}, "caption": "A."}', "column 'image' is an object, must be the path"),
    (CAPTION, b'{"image": "../../etc/passwd", "caption": "A."}', "image: '../../etc/passwd' leads out"),
    (CAPTION, b'{"image": "/etc/passwd", "caption": "A."}', "image: '/etc/passwd' is absolute"),
    (CAPTION, b'{"image": "http://x/a.jpg", "caption": "A."}', "is a URL"),
    (CAPTION, b'{"image": "\\ud83d.png", "caption": "A."}', "holds half of a surrogate pair"),
    (CAPTION, b'{"id": 123456789012345678901, "image": "a.png", "caption": "A."}', "more than 64 bits"),
    (CAPTION, b"[" * 100_000, "nested too deeply"),
    (CAPTION, b'{"id": ' + b"9" * 5_000 + b"}", "no usable JSON: Exceeds the limit"),
    (INSTRUCT, b'{"image": "a.png", "conversations": "hi"}', "must be a list of turns"),
    (INSTRUCT, b'{"image": "a.png", "conversations": []}', "conversation 'conversations' is empty"),
    (INSTRUCT, b'{"image": "a.png", "conversations": ["hi"]}', "turn 0 is text, must be a mapping"),
    (
        INSTRUCT,
        b'{"image": "a.png", "conversations": [{"text": "hi"}]}',
        "turn 0 has neither `from` nor `role`",
    ),
    (INSTRUCT, talk(("human", "hi")), "conversation without an answer"),
    (INSTRUCT, talk(("gpt", "a"), ("human", "b")), "turn 0 is by 'gpt', must be by human or user"),
    (INSTRUCT, talk(("human", "a"), ("human", "b")), "turn 1 is by 'human', must be by gpt or assistant"),
    (INSTRUCT, talk(("human", "<image> a"), ("gpt", "b"), image=""), "`<image>` in the text, but no column"),
    (INSTRUCT, talk(("human", "<image><image> a"), ("gpt", "b")), "2 marks `<image>`"),
]


REASON = {"format": "jsonl", "path": "x.jsonl", "images": "images", "tasks": ["reason"]}
TEXT = {"format": "jsonl", "path": "x.jsonl", "tasks": ["text"]}


def test_questions_may_have_rationales(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    record = {"image": "a.png", "question": "Q?", "answer": "a"}
    write(
        tmp_path,
        {**record, "id": 1, "rationale": "One."},
        {**record, "id": 2, "rationale": ["One.", " Two. ", "One."]},
        {**record, "id": 3, "rationale": []},
        {**record, "id": 4},
    )
    recipe = make_recipe(**REASON)
    one, two, *bad = [one for piece in pieces(recipe) for one in read_records(recipe, piece)]
    assert isinstance(one, Asked)
    assert isinstance(two, Asked)
    assert (one.rationales, two.rationales) == (("One.",), ("One.", "Two."))
    assert [(one.source_id, one.reason.split(": ", 2)[2]) for one in bad if isinstance(one, Reject)] == [
        ("3", "rationale 'rationale' is an empty list"),
        ("4", "no column 'rationale'; there: 'image, question, answer, id'"),
    ]


def test_texts_need_no_picture(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path, {"id": 1, "text": " Once. "}, {"id": 2, "text": ["Once."]})
    recipe = make_recipe(**TEXT)
    good, bad = [one for piece in pieces(recipe) for one in read_records(recipe, piece)]
    assert isinstance(good, Written)
    assert (good.source_id, good.text, good.language) == ("1", "Once.", None)
    assert isinstance(bad, Reject)
    assert bad.reason == "source: x.jsonl byte 29: text 'text' is a list, must be text"


def url_recipe(folder: Path, **source: Any) -> Recipe:
    values = {"name": "r", "download": {"cache": "kept"}, "sources": [{"name": "s", **source}]}
    (folder / "recipe.yaml").write_text(json.dumps(values))
    return load_recipe(folder / "recipe.yaml")


def test_pictures_by_url(tmp_path: Path) -> None:
    lines_of = [
        '{"link": "https://e.org/a b.jpg#top", "image": "b.png", "caption": "A."}',
        '{"link": "ftp://e.org/a.jpg", "caption": "A."}',
        '{"link": "https://e.org/\\ud83d.jpg", "caption": "A."}',
        '{"link": {"url": "https://e.org/a.jpg"}, "caption": "A."}',
        '{"image": "b.png", "caption": "A."}',
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(lines_of))
    columns = {"url": "link"}
    recipe = url_recipe(tmp_path, format="jsonl", path="x.jsonl", tasks=["caption"], columns=columns)
    (good,) = examples(records := read_all(recipe))
    assert good.image == f"{tmp_path}/kept#url=https%3A%2F%2Fe.org%2Fa%20b.jpg"
    assert good.image_id == hashlib.sha256(b"https://e.org/a b.jpg").hexdigest()[:32]
    with pytest.raises(BadImage, match="downloading was not asked for"):
        image_bytes(good.image)
    not_http, surrogate, a_list, missing = [one.reason for one in rejects(records)]
    assert "image: 'ftp://e.org/a.jpg' is not of http or https" in not_http
    assert "image: " in surrogate
    assert "column 'link' is null, must be the URL of a picture" in a_list
    assert "no column 'link'; there: 'image, caption'" in missing


def test_a_conversation_whose_url_is_named_needs_it(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A."}]
    write(tmp_path, {"link": "https://e.org/a.jpg", "conversations": turns}, {"conversations": turns})
    columns = {"url": "link"}
    recipe = url_recipe(tmp_path, format="jsonl", path="x.jsonl", tasks=["instruct"], columns=columns)
    good, bad = read_all(recipe)
    assert good.image_id is not None
    assert "no column 'link'" in rejects([bad])[0].reason


def test_archives_of_pictures(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("top/a.png", b"png")
    write(tmp_path, {"image": "a.png", "caption": "A."}, {"image": "b.png", "caption": "B."})
    good, bad = read_all(make_recipe(**{**CAPTION, "images": "all.zip"}))
    assert isinstance(good, Example)
    assert good.image == f"{tmp_path}/all.zip#member=top%2Fa.png"
    assert "byte 36: image: missing: no member 'b.png' in all.zip" in rejects([bad])[0].reason


def test_an_archive_of_another_kind_is_a_wrong_recipe(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "all.rar").write_bytes(b"Rar!")
    write(tmp_path, {"image": "a.png", "caption": "A."})
    with pytest.raises(SettingsError, match=r"no \.zip or uncompressed \.tar") as caught:
        pieces(make_recipe(**{**CAPTION, "images": "all.rar"}))
    assert caught.value.key == "sources.0.images"


def test_a_damaged_archive_stops_the_run(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "all.zip").write_bytes(b"no zip")
    write(tmp_path, {"image": "a.png", "caption": "A."})
    with pytest.raises(SourceError, match=r"all\.zip"):
        read_all(make_recipe(**{**CAPTION, "images": "all.zip"}))


@pytest.mark.parametrize(
    ("source", "line", "words"), MALFORMED, ids=[words[:40] for _, _, words in MALFORMED]
)
def test_a_malformed_line_is_rejected_alone(
    tmp_path: Path, make_recipe: MakeRecipe, source: dict[str, Any], line: bytes, words: str
) -> None:
    good = {
        "image": "b.png",
        "caption": "Good.",
        "question": "Q?",
        "answer": "Good.",
        "conversations": [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "Good."}],
    }
    good_line = json.dumps(good).encode()
    # Blank lines are no records.
    before = good_line + b"\n\n \n"
    (tmp_path / "x.jsonl").write_bytes(before + line + b"\r\n\n" + good_line)
    found, bad, last = read_all(make_recipe(**source))
    (reject,) = rejects([bad])
    assert reject.reason.startswith(f"source: x.jsonl byte {len(before)}: ")
    assert words in reject.reason
    assert (reject.dataset, reject.task) == ("s", source["tasks"][0])
    assert len(reject.reason) < 400
    assert len(reject.record) <= 2_000
    reject.record.encode()
    assert [one.target for one in examples([found, last])] == [Text("Good."), Text("Good.")]


def test_a_question_without_answer_at_the_end_loses_no_other_turn(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    turns = [*LLAVA["conversations"], {"from": "human", "value": "And?"}]
    turns[1] = {"from": "gpt", "value": ""}
    write(tmp_path, {**LLAVA, "conversations": turns})
    records = read_all(make_recipe(**INSTRUCT))
    assert [one.source_id for one in examples(records)] == ["000000033471#1"]
    assert {one.source_id: one.reason.split(": ")[-1] for one in rejects(records)} == {
        "000000033471#0": "turn 1 is empty",
        "000000033471#2": "turn 4 has no answer",
    }


def test_a_named_id_column_is_required(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path, {"image": "a.png", "caption": "A."})
    (by_position,) = read_all(make_recipe(**CAPTION))
    assert by_position.source_id == "x@0"
    (reject,) = rejects(read_all(make_recipe(**CAPTION, columns={"id": "key"})))
    assert "no column 'key'" in reject.reason
    assert reject.source_id == "x@0"


def test_a_huge_line_is_skipped_without_being_held(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    with open(tmp_path / "x.jsonl", "wb") as file:
        file.write(b'{"caption": "')
        for _ in range(60):
            file.write(b"x" * 1024 * 1024)
        file.write(b'"}\n{"id": "after", "image": "a.png", "caption": "A."}\n')
    recipe = make_recipe(**CAPTION)
    tracemalloc.start()
    records = read_all(recipe)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [one.source_id for one in records] == ["x@0", "after"]
    assert "byte 0: line of 62,914,576 bytes, at most 10,485,760" in rejects(records)[0].reason
    assert peak < 40 * 1024 * 1024


@pytest.mark.parametrize("piece_bytes", [1, 7, 64, 1_000, 1_000_000])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_the_pieces_decide_nothing(
    tmp_path: Path, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, piece_bytes: int, ending: str
) -> None:
    written = [
        json.dumps({"image": f"{n}.png", "caption": "é" * n}, ensure_ascii=False) if n % 5 else "broken" * n
        for n in range(30)
    ]
    (tmp_path / "x.jsonl").write_bytes(b"\xef\xbb\xbf" + ending.join(written).encode())
    recipe = make_recipe(**CAPTION)
    whole = read_all(recipe)
    assert len(whole) == len([line for line in written if line])
    assert whole[0].source_id == "x@" + str(3 + len(ending))
    monkeypatch.setattr(lines, "PIECE_BYTES", piece_bytes)
    assert len(pieces(recipe)) > 1 or piece_bytes == 1_000_000
    assert read_all(recipe) == whole
    content = (tmp_path / "x.jsonl").read_bytes()
    for record in whole:
        offset = int(record.source_id.removeprefix("x@"))
        assert content[offset:].startswith((b'{"image"', b"broken"))


def test_pieces_are_values_that_travel(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path, {"image": "a.png", "caption": "A."})
    recipe, (piece,) = pickle.loads(pickle.dumps((made := make_recipe(**CAPTION), pieces(made))))
    assert len(list(read_piece(recipe, piece))) == 1


def test_ids_differ_between_the_files_of_a_glob(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.jsonl").write_text('{"image": "a.png", "caption": "A."}\nno\n')
    recipe = make_recipe(**{**CAPTION, "path": "*/x.jsonl"})
    assert [one.source_id for one in read_all(recipe)] == ["a.x@0", "a.x@36", "b.x@0", "b.x@36"]
    assert rejects(read_all(recipe))[0].reason.startswith("source: a/x.jsonl byte 36: ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\n [\n{", "is one JSON list"),
        (b"\x1f\x8b\x08\x00", "is compressed"),
        ('{"image": "a.png"}'.encode("utf-16"), "is UTF-16, must be UTF-8"),
    ],
)
def test_a_file_of_another_kind_is_a_wrong_recipe(
    tmp_path: Path, make_recipe: MakeRecipe, content: bytes, words: str
) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(SettingsError, match=words) as caught:
        pieces(make_recipe(**CAPTION))
    assert caught.value.key == "sources.0.path"
    assert caught.value.line is not None


def test_equal_names_before_the_suffix_make_no_equal_ids(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    for suffix in ("de", "fr"):
        (tmp_path / f"x.{suffix}").write_text('{"image": "a.png", "caption": "A."}\n')
    records = read_all(make_recipe(**{**CAPTION, "path": "x.*"}))
    assert [one.source_id for one in records] == ["x.de@0", "x.fr@0"]


def test_an_empty_file_has_no_records(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"")
    assert read_all(make_recipe(**CAPTION)) == []


@pytest.mark.skipif(not SHARED.is_dir(), reason="real data excerpts are not there")
def test_real_excerpts(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    gpt4 = SHARED / "llava/coco2014_val_gpt4_qa_30x3.jsonl"
    columns = {"question": "instruction", "answer": "output"}
    records = read_all(make_recipe(**{**INSTRUCT, "path": str(gpt4)}, columns=columns))
    assert len(examples(records)) == len(records) == 90
    assert examples(records)[0].image_id == "525439"
    flickr = SHARED / "flickr30k/iglue/annotations/valid_ann.jsonl"
    columns = {"caption": "sentences", "image": "img_path"}
    records = read_all(make_recipe(**{**CAPTION, "path": str(flickr)}, columns=columns))
    assert len(examples(records)) == len(records) == 1000


def test_made_up_ids_of_files_of_like_names_differ(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "x").mkdir()
    for name in ("x.a.jsonl", "x/a.jsonl", "y.jsonl"):
        (tmp_path / name).write_text('{"image": "a.png", "caption": "A."}\n')
    records = read_all(make_recipe(**{**CAPTION, "path": "**/*.jsonl"}))
    ids = [one.source_id for one in records]
    assert len(set(ids)) == 3
    assert "y.jsonl@0" in ids


def test_a_file_whose_name_is_no_utf_8_is_read(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    with open(os.fsencode(tmp_path) + b"/donn\xe9es.jsonl", "wb") as file:
        file.write(b'{"image": "a.png", "caption": "A."}\n{}\n')
    good, bad = read_all(make_recipe(**{**CAPTION, "path": "*.jsonl"}))
    assert good.source_id == "donn\\udce9es@0"
    assert isinstance(bad, Reject)
    bad.reason.encode()


def test_signs_of_web_pages_are_signs_again_but_not_in_what_may_be_about_them(
    tmp_path: Path, make_recipe: MakeRecipe
) -> None:
    write(
        tmp_path,
        {"image": "a.png", "caption": "Red &amp; white, &quot;AT&amp;T&quot; &amp;copy; 5 < 7; a&b;"},
    )
    (example,) = examples(read_all(make_recipe(**CAPTION)))
    assert example.target.text == 'Red & white, "AT&T" © 5 < 7; a&b;'
    turns = [{"role": "user", "content": "What is &amp;?"}, {"role": "assistant", "content": "&lt;b&gt;"}]
    write(tmp_path, {"image": "a.png", "conversations": turns})
    (example,) = examples(read_all(make_recipe(**INSTRUCT)))
    assert example.prompt
    assert (example.prompt.text, example.target.text) == ("What is &amp;?", "&lt;b&gt;")


def test_pictures_as_datasets_writes_them_to_json(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path, {"image": {"bytes": None, "path": "b/a.png"}, "caption": "A dog."})
    (example,) = examples(read_all(make_recipe(**CAPTION)))
    assert example.image_id == "b/a"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("A dog\r\nruns\tfast.", "A dog runs fast."),
        ("\ufeffA \x07dog\u2028runs.\x7f", "A dog runs."),
        ("Caf&eacute; &amp;rsquo;s &#233;&#xe9; &nope; R&B;", "Café ’s éé &nope; R&B;"),
        ("😀", "😀"),
        ("5", "5"),
    ],
)
def test_a_caption_is_one_line_of_signs(
    tmp_path: Path, make_recipe: MakeRecipe, written: str, read: str
) -> None:
    write(tmp_path, {"image": "a.png", "caption": written})
    (found,) = examples(read_all(make_recipe(**CAPTION)))
    assert found.target.text == read


def test_punctuation_alone_is_no_caption(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path, {"image": "a.png", "caption": "..."}, {"image": "a.png", "caption": ["- —", "A."]})
    records = read_all(make_recipe(**CAPTION))
    assert [one.target.text for one in examples(records)] == ["A."]
    assert ["without a letter" in one.reason for one in rejects(records)] == [True, True]


def test_answers_that_are_numbers_or_lists_written_as_text(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    answers = [3, "['ride', 'walk', 'ride']", '["a \\"b\\""]', "[sic]", "['broken", [2, 2, "two"]]
    write(tmp_path, *({"image": "a.png", "question": "Q?", "answer": one} for one in answers))
    found = examples(read_all(make_recipe(**VQA)))
    assert [one.target.text for one in found] == ["3", "ride", 'a "b"', "[sic]", "['broken", "2"]
    write(tmp_path, {"image": "a.png", "question": "Q?", "answer": 1, "choices": ["a", "b"]})
    (bad,) = rejects(read_all(make_recipe(**VQA)))
    assert "is the number of one of the `choices`" in bad.reason


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{\n "data": [\n', "is one JSON object; `format: json` reads it"),
        (b'{"version": 1, "data": [{"question": "Q?"}, {"question": "R?"}]}', "one JSON object of 'data'"),
        (b'{"1": {"question": "Q?", "answer": 2}, "2": {"question": "Q?"}}\n', "one JSON object of '1', '2'"),
    ],
)
def test_one_object_with_all_records_is_a_wrong_recipe(
    tmp_path: Path, make_recipe: MakeRecipe, content: bytes, words: str
) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(SettingsError, match=words):
        pieces(make_recipe(**VQA))


def test_texts_in_a_language_stay_in_it(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write(tmp_path, {"text": "Berlin ist groß. Die Stadt hat viele Einwohner."})
    source = {"format": "jsonl", "path": "*.jsonl", "tasks": ["text"]}
    (found,) = examples(read_all(make_recipe(**source, language="de")))
    assert (found.language, found.target.translate) == ("deu_Latn", False)
    (found,) = examples(read_all(make_recipe(**source, language="en")))
    assert (found.language, found.target.translate) == (None, True)
    with pytest.raises(SettingsError, match="only `tasks: \\[text\\]` stay in their language"):
        make_recipe(**{**CAPTION, "language": "de"})


ODD_LINES = [
    {"id": 1, "image": "a.jpg", "caption": "A dog."},
    {"image": "a.jpg", "caption": "No id."},
    {"id": "b", "image": "b/c.jpg", "caption": "  Two  dogs &amp; a\ncat "},
    {"id": 2.0, "image": "café.jpg", "caption": "Café."},
    {"id": [], "image": "a.jpg", "caption": "A list as id."},
    {"id": 3, "image": "../a.jpg", "caption": "Outside."},
    {"id": 4, "image": {"path": "d.jpg"}, "caption": "A path inside."},
    {"id": 5, "image": ["e.jpg"], "caption": ["One.", "", "Two."]},
    {"id": 6, "caption": "No picture."},
    {"id": 7, "image": "a.jpg", "caption": "..."},
    {"id": 8, "image": "a.jpg", "caption": "x" * 20_001},
    {"id": 2**70, "image": "a.jpg", "caption": "A great number."},
    {"id": 9, "image": "a.jpg"},
]


@pytest.mark.parametrize("further", [{}, {"columns": {"id": "id"}}, {"columns": {"image_id": "id"}}])
@pytest.mark.parametrize("tasks", [["caption"], ["text"]])
def test_records_of_every_kind_are_read_together_as_alone(
    tmp_path: Path, make_recipe: MakeRecipe, tasks: list[str], further: dict[str, Any]
) -> None:
    written = [{**record, "text": record.get("caption")} for record in ODD_LINES]
    written += [{"id": f"n{number}", "image": f"n{number}.jpg", "caption": "A cat."} for number in range(20)]
    write(tmp_path, *written)
    source = {**CAPTION, "tasks": tasks, **further}
    if tasks == ["text"]:
        del source["images"]
        source["columns"] = {"id": "id"} if further else {}
    recipe = make_recipe(**source)
    path = tmp_path / "x.jsonl"
    lines = path.read_text().splitlines()
    # Lines that end in white space are read one by one.
    path.write_text("".join(f"{line} \n" for line in lines))
    alone = [record for piece in pieces(recipe) for record in read_records(recipe, piece)]
    path.write_text("".join(f"{{ {line[1:]}\n" for line in lines))
    together = [record for piece in pieces(recipe) for record in read_records(recipe, piece)]
    assert len(together) >= len(lines)
    assert together == alone
