"""A corpus of malformed records in formats of lines: each is one reject, and no neighbour is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.examples import Reject
from pipelines.records import Asked, Captioned, Entailed, Record, Stated, Talk, Written
from pipelines.sources import pieces, read_records
from tests.pipelines.sources.conftest import MakeRecipe


@dataclass(frozen=True)
class Format:
    """A format, a header of its files, and how its good records look."""

    source: dict[str, Any]
    file: str
    good: Callable[[str], str]
    """The record with a mark in its text."""
    header: str = ""
    unit: str = "byte"


def json_of(**record: Any) -> str:
    return json.dumps(record, ensure_ascii=False)


FORMATS = {
    "captions": Format(
        {"format": "jsonl", "path": "x.jsonl", "tasks": ["caption"]},
        "x.jsonl",
        lambda mark: json_of(id=f"id{mark}", image="a.jpg", caption=f"Good {mark}."),
    ),
    "questions": Format(
        {"format": "jsonl", "path": "x.jsonl", "tasks": ["vqa", "vqg"]},
        "x.jsonl",
        lambda mark: json_of(image="a.jpg", question=f"Good {mark}?", answer=["yes", "no", "yes"]),
    ),
    "conversations": Format(
        {"format": "jsonl", "path": "x.jsonl", "tasks": ["instruct"]},
        "x.jsonl",
        lambda mark: json_of(
            image="a.jpg",
            conversations=[
                {"from": "human", "value": f"<image>\nGood {mark}?"},
                {"from": "gpt", "value": "Yes."},
            ],
        ),
    ),
    "csv": Format(
        {"format": "csv", "path": "x.csv", "tasks": ["caption"]},
        "x.csv",
        lambda mark: f'a.jpg,"Good, {mark}."',
        header="image,caption\n",
        unit="line",
    ),
    "tsv": Format(
        {"format": "csv", "path": "x.tsv", "tasks": ["caption"]},
        "x.tsv",
        lambda mark: f"a.jpg\tGood, {mark}.",
        header="image\tcaption\n",
        unit="line",
    ),
    "nlvr2": Format(
        {"format": "nlvr2", "path": "dev.json", "images": "images"},
        "dev.json",
        lambda mark: json_of(identifier=f"dev-{mark}-0-0", sentence=f"Good {mark}.", label="True"),
    ),
    "marvl": Format(
        {"format": "nlvr2", "path": "m.jsonl", "images": "images"},
        "m.jsonl",
        lambda mark: json_of(
            id=f"tr-{mark}",
            language="tr",
            concept="1-a",
            caption=f"Good {mark}.",
            left_img="1-1.jpg",
            right_img="1-2.jpg",
            label=True,
        ),
    ),
    "snli_ve": Format(
        {"format": "snli_ve", "path": "x.jsonl", "images": "images"},
        "x.jsonl",
        lambda mark: json_of(
            pairID=f"{mark}.jpg#2r1c", Flickr30K_ID=mark, gold_label="neutral", sentence2=f"Good {mark}."
        ),
    ),
    "token": Format(
        {"format": "flickr30k", "annotations": "x.token", "images": "images"},
        "x.token",
        lambda mark: f"{mark}.jpg#0\tGood {mark} .",
    ),
    "kaggle": Format(
        {"format": "flickr30k", "annotations": "results.csv", "images": "images"},
        "results.csv",
        lambda mark: f"{mark}.jpg| 0| Good {mark} .",
        header="image_name| comment_number| comment\n",
    ),
    "iglue": Format(
        {"format": "flickr30k", "annotations": "x.jsonl", "images": "images"},
        "x.jsonl",
        lambda mark: json_of(sentences=[f"Good {mark}."], id=mark, img_path=f"{mark}.jpg"),
    ),
    "entities": Format(
        {"format": "flickr30k", "annotations": "S/*.txt", "images": "images"},
        "S/123.txt",
        lambda mark: f"[/EN#{mark}/people Good {mark}] .",
    ),
    "text": Format(
        {"format": "text", "path": "x.{language}", "tasks": ["text"]}, "x.de", lambda mark: f"Good {mark}."
    ),
}

TURN = '{"image": "a.jpg", "conversations": [%s]}'

CORPUS: list[tuple[str, str | bytes, str]] = [
    ("captions", '{"id": 1, "image": "a.jpg", "caption": "A."', "no JSON"),
    ("captions", '{"id": 1, "image": "a.jpg", "caption": "A."} {"id": 2}', "no JSON: Extra data"),
    ("captions", "{'image': 'a.jpg'}", "no JSON"),
    ("captions", '{"image": "a.jpg", "caption": "A\tB"}', "no JSON: Invalid control character"),
    ("captions", b'{"image": "a.jpg", "caption": "\xff\xfe"}', "no UTF-8"),
    ("captions", b'{"image": "a.jpg", "caption": "\xed\xa0\x80"}', "no UTF-8"),
    ("captions", '"A dog."', "is text, must be an object"),
    ("captions", '[{"image": "a.jpg", "caption": "A."}]', "is a list, must be an object"),
    ("captions", "{}", "no column 'caption'; there: 'none'"),
    ("captions", '{"image": "a.jpg", "caption": {"en": "A."}}', "caption 'caption' is an object"),
    ("captions", '{"image": "a.jpg", "caption": NaN}', "caption 'caption' is a number"),
    ("captions", '{"image": "a.jpg", "caption": "\\u0000"}', "caption 'caption' is empty"),
    ("captions", '{"image": "a.jpg", "caption": ["A\\udc00"]}', "half of a surrogate pair"),
    ("captions", '{"image": "", "caption": "A."}', "image: empty path"),
    ("captions", '{"image": "a/../../b.jpg", "caption": "A."}', "image: 'a/../../b.jpg' leads out"),
    ("captions", '{"image": "a\\u0000.jpg", "caption": "A."}', "image: path holds NUL"),
    ("captions", '{"id": "", "image": "a.jpg", "caption": "A."}', "an id has 1 to 200"),
    ("captions", '{"id": 1.5, "image": "a.jpg", "caption": "A."}', "an id must be text or a whole number"),
    ("captions", json_of(image="a.jpg", caption="x" * 20_001), "text of 20,001 characters, at most 20,000"),
    ("captions", '{"a":' * 60_000 + "1" + "}" * 60_000, "no usable JSON: nested too deeply"),
    ("questions", '{"image": "a.jpg", "question": "Q?", "answer": ["yes", 3.5]}', "item 1 is a number"),
    ("questions", '{"image": "a.jpg", "question": ["Q?"], "answer": "a"}', "question 'question' is a list"),
    ("questions", '{"image": "a.jpg", "question": "<image>\\n", "answer": "a"}', "empty but for `<image>`"),
    (
        "questions",
        '{"image": ["a.jpg", "b.jpg"], "question": "Q?", "answer": "a"}',
        "2 pictures, a record has one",
    ),
    ("conversations", TURN % '{"from": "human", "value": "Q?"}', "conversation without an answer"),
    ("conversations", TURN % '{"from": "gpt", "value": "A."}', "turn 0 is by 'gpt'"),
    (
        "conversations",
        TURN % '{"from": "human", "value": "Q"}, {"from": "gpt"}',
        "turn 1 is null, must be text",
    ),
    ("conversations", TURN % '{"from": "human"}, {"from": "gpt", "value": "A."}', "turn 0 is null"),
    ("conversations", TURN % '["human", "Q?"]', "turn 0 is a list, must be a mapping"),
    ("csv", "a.jpg", "1 columns, but the header has 2"),
    ("csv", "a.jpg,A., B.", "3 columns, but the header has 2"),
    ("csv", 'a.jpg,"A."B', "no CSV: ',' expected after"),
    ("csv", 'a.jpg,"never closed', "no CSV"),
    ("csv", "a.jpg,", "caption 'caption' is empty"),
    ("csv", "a.jpg,A\0B", "holds NUL"),
    ("csv", b"a.jpg,caf\xe9", "no UTF-8"),
    ("tsv", "a.jpg,A.", "1 columns, but the header has 2"),
    ("tsv", "\tA.", "column 'image' is null"),
    (
        "nlvr2",
        json_of(identifier="dev-1-0", sentence="A.", label="True"),
        "must be of the form `dev-850-0-0`",
    ),
    ("nlvr2", json_of(identifier="dev-1-0-0", sentence="A.", label="Maybe"), "must be True or False"),
    ("nlvr2", json_of(identifier="dev-1-0-0", label="True"), "no column 'sentence'"),
    ("nlvr2", json_of(sentence="A.", label="True"), "no column 'identifier'"),
    (
        "marvl",
        json_of(id="a", language="tr", concept="1-a", caption="A.", left_img="1.jpg", label=True),
        "no column 'right_img'",
    ),
    (
        "marvl",
        json_of(id="a", language="tr", caption="A.", left_img="/1.jpg", right_img="2.jpg", label=True),
        "image: '/1.jpg' is absolute",
    ),
    (
        "marvl",
        json_of(id="a", language="xx", caption="A.", left_img="1.jpg", right_img="2.jpg", label=True),
        "`language` is 'xx'",
    ),
    ("snli_ve", json_of(pairID="a", Flickr30K_ID="1", gold_label="-", sentence2="A."), "`gold_label` is '-'"),
    ("snli_ve", json_of(pairID="a", Flickr30K_ID="1", gold_label="no", sentence2="A."), "must be entailment"),
    ("snli_ve", json_of(pairID="a", gold_label="neutral", sentence2="A."), "no picture"),
    ("token", "7.jpg\tA dog .", "is not of the form"),
    ("token", "7.jpg#0\t", "caption 0 is empty"),
    ("token", "1.jpg#0\tAgain .", "stands there twice"),
    ("kaggle", "2199200615.jpg| 4   A dog runs across the grass .", "is not of the form"),
    ("kaggle", "A dog runs across the grass .", "is not of the form"),
    ("iglue", '{"sentences": {}, "id": "7", "img_path": "7.jpg"}', "`sentences` is an object"),
    ("iglue", '{"sentences": [7], "id": "7", "img_path": "7.jpg"}', "caption 0 of `sentences` is a number"),
    ("iglue", '{"sentences": ["A."], "id": "7", "img_path": ["7.jpg"]}', "`img_path` is a list"),
    ("entities", "[/EN#7/people A dog .", "has a mark `[/EN#`"),
    ("text", "\u200b\u200b", "the text is empty"),
    ("text", b"\x80abc", "no UTF-8"),
    ("text", "a\0b", "holds NUL"),
]


def texts_of(record: Record) -> list[str]:
    """What a record says, whatever its kind."""
    match record:
        case Captioned():
            return [text for _, text in record.captions]
        case Asked():
            return [record.question]
        case Talk():
            return [asked for _, asked, _ in record.turns]
        case Stated():
            return [record.statement]
        case Entailed():
            return [record.hypothesis]
        case Written():
            return [record.text]
    raise AssertionError(record)


@pytest.mark.parametrize(
    ("name", "bad", "words"), CORPUS, ids=[f"{name}-{number}" for number, (name, _, _) in enumerate(CORPUS)]
)
@pytest.mark.parametrize("last", [False, True], ids=["inside", "last"])
def test_a_malformed_record_is_one_reject(
    tmp_path: Path, make_recipe: MakeRecipe, name: str, bad: str | bytes, words: str, last: bool
) -> None:
    kind = FORMATS[name]
    before = (kind.header + "".join(f"{kind.good(mark)}\n" for mark in ("1", "2"))).encode()
    behind = b"" if last else "".join(f"\n{kind.good(mark)}" for mark in ("3", "4")).encode()
    if words == "stands there twice":
        before = f"{kind.good('2')}\n{kind.good('1')}\n".encode()
    (tmp_path / kind.file).parent.mkdir(exist_ok=True)
    (tmp_path / kind.file).write_bytes(before + (bad if isinstance(bad, bytes) else bad.encode()) + behind)
    recipe = make_recipe(**kind.source)
    found = [one for piece in pieces(recipe) for one in read_records(recipe, piece)]
    rejects = [one for one in found if isinstance(one, Reject)]
    assert len(rejects) == 1
    (reject,) = rejects
    position = len(before) if kind.unit == "byte" else before.count(b"\n") + 1
    assert reject.reason.startswith(f"source: {kind.file} {kind.unit} {position}: ")
    assert words in reject.reason
    assert reject.dataset == "s"
    assert reject.task == recipe.sources[0].tasks[0]
    assert len(reject.record) <= 2_000
    texts = [text for one in found if not isinstance(one, Reject) for text in texts_of(one)]
    assert len(texts) == (2 if last else 4)
    assert all(text.startswith("Good") for text in texts)


def test_the_corpus_is_large_and_every_format_has_its_share() -> None:
    assert len(CORPUS) >= 50
    assert {name for name, _, _ in CORPUS} == set(FORMATS)
