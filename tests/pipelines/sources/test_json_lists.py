"""Records of big JSON files: what `json` reads, in any layout and block size, and all but the broken ones."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterable
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources import json_lists
from pipelines.sources.json_lines import Broken, Columns, Together
from pipelines.sources.json_lists import Item, NoSuchList, Passed, first_item, items, items_together

SHARED = Path(__file__).parents[3].parent / "shared/data/source"

COLUMNS = ("id", "image_id")
"""That records read together are asked for."""
BLOCKS = [1, 2, 3, 7, 16, 63, 64, 65, 1_000, 1_000_000]

_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.text('\\"{}[],: ', max_size=8)
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
_layouts = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, 0, 2, "\t"]),
        "ensure_ascii": st.booleans(),
        "separators": st.sampled_from([None, (",", ":"), (" , ", " : ")]),
    }
)


def read(text: bytes, path: str | None = None, block: int = 1_000_000) -> list[Item]:
    return list(items(io.BytesIO(text), path, block=block))


def good(found: list[Item]) -> list[object]:
    return [value for _, _, value in found if not isinstance(value, Broken)]


def broken(found: list[Item]) -> list[Broken]:
    return [value for _, _, value in found if isinstance(value, Broken)]


def record(number: int) -> dict[str, Any]:
    """As in VQAv2: with a list of objects inside, and text full of what borders are made of."""
    return {
        "id": number,
        "question": f'Is "{number}" a [number], a {{name}}, or \\ é?',
        "answers": [{"answer": "no, never", "answer_id": 1}, {"answer": "yes}", "answer_id": 2}],
        "image_id": number + 100_000,
    }


def plain(number: int) -> dict[str, Any]:
    """As in COCO: without brackets inside, but a few in texts."""
    said = {3: "a {name}", 4: "{", 5: "}, {", 6: "a] \\"}.get(number % 9, "a dog")
    return {"id": number, "caption": said, "image_id": number + 100_000}


@given(st.lists(_values, max_size=8), _layouts, st.sampled_from(BLOCKS))
@settings(max_examples=100, deadline=None)
def test_a_list_is_what_json_reads(values: list[object], layout: dict[str, Any], block: int) -> None:
    text = json.dumps(values, **layout).encode()
    found = read(text, block=block)
    assert [value for _, _, value in found] == json.loads(text)
    assert all(key is None for _, key, _ in found)
    for position, _, value in found:
        assert json.JSONDecoder().raw_decode(text[position:].decode())[0] == value


@given(st.dictionaries(st.text(max_size=8), _values, max_size=8), _layouts, st.sampled_from(BLOCKS))
@settings(max_examples=100, deadline=None)
def test_an_object_is_what_json_reads(values: dict[str, object], layout: dict[str, Any], block: int) -> None:
    text = json.dumps(values, **layout).encode()
    found = read(text, block=block)
    assert [(key, value) for _, key, value in found] == list(json.loads(text).items())
    for position, key, _ in found:
        assert json.JSONDecoder().raw_decode(text[position:].decode())[0] == key


@given(
    st.dictionaries(st.text(max_size=4), _values, max_size=4),
    st.lists(_values, max_size=4) | st.dictionaries(st.text(max_size=4), _values, max_size=4),
    _layouts,
    st.sampled_from(BLOCKS),
)
@settings(max_examples=50, deadline=None)
def test_a_member_among_others(
    others: dict[str, object], wanted: Any, layout: dict[str, Any], block: int
) -> None:
    others.pop("annotations", None)
    for content in ({**others, "annotations": wanted}, {"annotations": wanted, **others}):
        found = read(json.dumps(content, **layout).encode(), "annotations", block)
        if isinstance(wanted, list):
            assert [value for _, _, value in found] == wanted
        else:
            assert {key: value for _, key, value in found} == wanted


@given(st.binary(max_size=60), st.sampled_from(BLOCKS))
@settings(max_examples=100, deadline=None)
def test_any_bytes_end_in_items(text: bytes, block: int) -> None:
    for start in (b"[", b'[{"a":1},', b'{"a":', b'{"b":[', b'{"a":{"b":1},'):
        assert all(position <= len(start + text) for position, _, _ in read(start + text, block=block))


def apart(items: Iterable[Item | Together]) -> list[Item]:
    """As `read`, of records that were read together where they can be."""
    found: list[Item] = []
    for one in items:
        if not isinstance(one, Together):
            found.append(one)
            continue
        records = [one.record(at) for at in range(len(one.positions))]
        assert one.columns == [[record.get(name) for record in records] for name in COLUMNS]
        found.extend(zip(one.positions, repeat(None), records, strict=False))
    return found


_plain = st.integers(0, 10**6).map(plain)


@given(
    st.lists(st.integers(0, 10**6).map(record) | _values, max_size=6)
    | st.lists(_plain, max_size=20)
    | st.lists(_plain | _values, max_size=20),
    _layouts,
    st.lists(st.tuples(st.integers(0, 2_000), st.sampled_from([b"", b'"', b"{", b"]", b"\xff"])), max_size=2),
    st.sampled_from(BLOCKS),
)
@settings(max_examples=200, deadline=None)
def test_records_read_together_are_those_read_alone(
    values: list[object], layout: dict[str, Any], faults: list[tuple[int, bytes]], block: int
) -> None:
    text = json.dumps(values, **layout).encode()
    for place, fault in faults:
        text = text[: 1 + place] + fault + text[2 + place :]
    found = items_together(io.BytesIO(text), Columns(COLUMNS), block=block)
    assert repr(apart(found)) == repr(read(text, block=block))


def test_what_stands_behind_a_list_of_plain_records_is_looked_at() -> None:
    text = b'{"a": [{"id": 1}, {"id": 2}], "b": [{"id": 3}, {"id": 4}]}'
    for block in BLOCKS:
        found = items_together(io.BytesIO(text), Columns(COLUMNS), "a", block=block)
        assert [value for _, _, value in apart(found)] == [{"id": 1}, {"id": 2}]
        (wrong,) = broken(read(text[:28] + b"x" + text[28:], "a", block))
        assert "text behind the list" in wrong.reason


def test_ordinary_records_are_read_together() -> None:
    (found,) = items_together(io.BytesIO(json.dumps([record(7), record(8)]).encode()), Columns(("id",)))
    assert isinstance(found, Together)
    assert found.columns == [[7, 8]]


MALFORMED = [
    (b"{'id': 1}", "no JSON: Expecting property name enclosed in double quotes at character 1 of the record"),
    (b'{"id": 1 "image_id": 2}', "no JSON: Expecting ',' delimiter at character 9"),
    (b'{"id": 1, "question": "caf\xe9"}', "no UTF-8 at byte "),
    (b'{"id": NaN}', "no JSON: unexpected character"),
    (b'{"id": "\\ud83d"}', "no JSON: no low surrogate in string"),
    (b'{"id": ' + b"9" * 5_000 + b"}", "no usable JSON: Exceeds the limit"),
    (b'{"id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "no usable JSON: nested too deeply"),
    (b'{"id": 1, "answers": [}', "no JSON: "),
    (b'{"id": 1]}', "no JSON: "),
    (b'{"id": 1}}', "no JSON: Extra data"),
    (b'"id": 1}', "no JSON: "),
    (b"x", "no JSON: Expecting value at character 0"),
    (b"", "no value before a comma or a closing bracket"),
    (b'{"id": "tab\tand\nline"}', "no JSON: Invalid control character"),
    (b'{"id": 1, }', "no JSON: "),
]


@pytest.mark.parametrize("block", [1_000, 1_000_000])
@pytest.mark.parametrize("separator", [b", ", b",\n", b" ,\r\n  "])
@pytest.mark.parametrize(
    ("text", "reason"), MALFORMED, ids=[text[:20].decode("latin-1") for text, _ in MALFORMED]
)
def test_a_malformed_record_is_reported_alone(text: bytes, reason: str, separator: bytes, block: int) -> None:
    records = [json.dumps(record(number)).encode() for number in range(6)]
    records[3] = text
    whole = b'{"info": 1, "questions": [' + separator.join(records) + b"]}"
    found = read(whole, "questions", block)
    assert good(found) == [record(number) for number in (0, 1, 2, 4, 5)]
    position, key, value = found[3]
    assert isinstance(value, Broken)
    assert value.reason.startswith(reason)
    assert not value.truncated
    assert value.raw == text[:8_000].decode(errors="replace")
    assert key is None
    if text:
        assert position == whole.index(separator + text) + len(separator)
    else:
        assert whole[position:].startswith(b",")


def member(number: int) -> str:
    return f'"k{number}": '


LAYOUTS = {
    "compact": ("[", "]", "", ", ", None, None),
    "lines": ("[\n", "\n]\n", "", ",\n", None, None),
    "indented": ("[\n", "\n]", "  ", ",\n", 2, None),
    "members": ("{", "}", "", ", ", None, None),
    "member lines": ("{\n", "\n}", "", ",\n", None, None),
    "inside": (
        '{"info": {}, "questions": [',
        '], "images": [{"url": 1}, {"url": 2}]}',
        "",
        ", ",
        None,
        "questions",
    ),
    "object inside": ('{"questions": {', '}, "images": [{"url": 1}]}', "", ", ", None, "questions"),
}


@pytest.mark.parametrize("block", [5, 700, 1_000_000])
@pytest.mark.parametrize(
    ("cut", "put"),
    [
        ('"question"', '"question'),
        ('"question"', 'question"'),
        ('"question":', '"question": "'),
        ("?", '?"'),
        ('"yes}"', '"yes}'),
        ('"yes}"', "yes}"),
        ('"answer_id": 2', '"answer_id": 2}'),
        ('"answer_id": 2', '"answer_id": 2]'),
        ('"answer_id": 2', '"answer_id": 2}}}'),
        ('"answer_id": 2', '"answer_id": 2]]]'),
        ('"answer_id": 2', '"answer_id": [2'),
        ('"answer_id": 2', '"answer_id": {2'),
        ('"answers": [', '"answers": '),
        ('"answers": [', '"answers": {'),
        ('"image_id"', '\x00{[{"'),
    ],
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_reading_goes_on_behind_a_record_whose_ends_do_not_match(
    layout: str, cut: str, put: str, block: int
) -> None:
    before, after, indent, separator, spaces, path = LAYOUTS[layout]
    texts = []
    for number in range(40):
        text = json.dumps(record(number), indent=spaces, ensure_ascii=False)
        if number == 20:
            assert cut in text
            text = text.replace(cut, put, 1)
        key = member(number) if before.rstrip().endswith("{") else ""
        texts.append("\n".join(indent + line for line in (key + text).split("\n")))
    whole = (before + separator.join(texts) + after).encode()
    found = read(whole, path, block)
    wanted = [record(number) for number in range(40) if number != 20]
    assert [value for value in good(found) if value in wanted] == wanted
    at = whole.index(separator.encode() + texts[20].encode()) + len((separator + indent).encode())
    reports = [(position, value) for position, _, value in found if isinstance(value, Broken)]
    assert reports[0][0] == at
    # One for the record, and one where a bracket of it closes the list.
    assert len(reports) <= 3
    assert not any(value.truncated for _, value in reports)
    # Parts of the broken record may come as records of their own, but never of others.
    end = whole.index(texts[21].encode())
    assert all(at < position < end for position, _, value in found if value not in wanted and position != at)


def test_a_record_without_its_last_brace_takes_no_other_with_it() -> None:
    texts = [json.dumps(record(number)) for number in range(40)]
    texts[20] = texts[20][:-1]
    found = read(f"[{', '.join(texts)}]".encode(), block=700)
    assert good(found) == [record(number) for number in range(40) if number != 20]
    assert [value.reason for value in broken(found)] == [
        f"no JSON: Expecting ',' delimiter at character {len(texts[20])} of the record"
    ]


def test_a_missing_comma_costs_nothing() -> None:
    texts = [json.dumps(record(number)) for number in range(9)]
    text = "[" + ", ".join(texts[:5]) + " " + ", ".join(texts[5:]) + "]"
    assert good(read(text.encode())) == [record(number) for number in range(9)]


@pytest.mark.parametrize("block", [1, 300, 1_000_000])
def test_the_first_record_may_be_the_broken_one(block: int) -> None:
    texts = [json.dumps(record(number)) for number in range(9)]
    texts[0] = texts[0].replace('"question"', '"question')
    found = read(f"[{', '.join(texts)}]".encode(), block=block)
    assert good(found) == [record(number) for number in range(1, 9)]
    assert len(broken(found)) == 1


@pytest.mark.parametrize("block", [64, 1_000_000])
def test_what_looks_like_the_start_of_a_record_is_none_inside_a_whole_one(block: int) -> None:
    long = {"id": 1, "parts": [{"id": number} for number in range(500)]}
    records = [{"id": 0, "parts": []}, long, {"id": 2, "parts": []}]
    assert good(read(json.dumps(records).encode(), block=block)) == records


@pytest.mark.parametrize("path", [None, "questions"])
@pytest.mark.parametrize("block", [50, 1_000_000])
def test_a_file_that_ends_early_gives_all_whole_records(path: str | None, block: int) -> None:
    before = '{"questions": [' if path else "["
    texts = [json.dumps(record(number)) for number in range(4)]
    whole = (before + ", ".join(texts) + "]").encode()
    ends = [len((before + ", ".join(texts[: number + 1])).encode()) for number in range(4)]
    for length in range(len(before), len(whole) if path is None else len(whole) + 1):
        found = read(whole[:length], path, block)
        assert good(found) == [record(number) for number, end in enumerate(ends) if end <= length]
        (last,) = broken(found)
        assert last.truncated
        assert last is found[-1][2]
        assert last.reason.startswith("no JSON, nothing after this position could be read: the file ends ")
        assert found[-1][0] <= length


def test_text_behind_the_list_is_reported() -> None:
    found = read(b'[{"a": 1}] x')
    assert good(found) == [{"a": 1}]
    assert found[1][0] == 11
    assert broken(found)[0].truncated
    assert good(read(b'[{"a": 1}]\n[{"a": 2}]\n')) == [{"a": 1}, {"a": 2}]
    assert len(broken(read(b'[{"a": 1}]\n[{"a": 2}]\n'))) == 1


def test_other_lists_are_no_records_of_this_one() -> None:
    text = b'{"a": [{"id": 1}, {"id": nonsense}], "b": [{"id": 3}]}'
    assert good(read(text, "a")) == [{"id": 1}]
    assert good(read(text, "b")) == [{"id": 3}]


def test_a_list_behind_a_broken_one_is_found_by_its_name() -> None:
    text = b'{"images": [{"id": "1}, {"id": 2}], "annotations": [{"id": 3}, {"id": 4}]}'
    assert good(read(text, "annotations")) == [{"id": 3}, {"id": 4}]
    (first, *_) = broken(read(text, "images"))
    assert first.reason.startswith("no JSON: ")


def test_a_byte_order_mark_and_white_space() -> None:
    assert read(b'\xef\xbb\xbf \n[ {"a": 1} ,' + b" " * 200 + b'{"a": 2}\n]\n') == [
        (7, None, {"a": 1}),
        (217, None, {"a": 2}),
    ]


def test_equal_keys() -> None:
    assert read(b'{"a": {"x": 1, "x": 2}, "a": {"x": 3}}') == [(1, "a", {"x": 2}), (24, "a", {"x": 3})]


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        (b"", None, "the file is empty"),
        (b" \n", None, "the file is empty"),
        (b"\x1f\x8b\x08", None, "neither a list nor an object: starts with '0x1f' at byte 0"),
        (b"no json", "a", "starts with 'n' at byte 0"),
        (b"\xff\xfe[", None, "starts with '0xff' at byte 0"),
        (b"[]", "a", "no list `a`: the file is one list itself"),
        (b'{"b": {"a": []}, "\\u0063": 1}', "a", "no list `a`; there: b, c"),
        (b"{}", "a", "no list `a`; there: nothing"),
        (b'{"a": 3}', "a", "`a` at byte 6 is neither a list nor an object"),
        (b'{"b": [', "a", "no list `a`, and the file is no JSON from byte 7 on"),
    ],
)
def test_no_such_list(text: bytes, path: str | None, words: str) -> None:
    with pytest.raises(NoSuchList) as caught:
        read(text, path)
    assert words in str(caught.value)


def test_an_empty_list_is_no_fault() -> None:
    for block in BLOCKS:
        assert read(b"[ ]", block=block) == read(b" {\n} ", block=block) == []
        assert read(b'{"a": [], "b": {"a": [1]}}', "a", block) == []


def test_a_huge_record_is_skipped_without_being_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lists, "MAX_RECORD", 1_000_000)
    records = [
        record(0),
        {"id": 1, "question": "x" * 20_000_000},
        record(2),
        {"id": 3, "question": "x" * 1_000_001},
    ]
    text = io.BytesIO(json.dumps(records).encode())
    size = len(json.dumps(records[1]))
    tracemalloc.start()
    found = list(items(text, block=100_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert good(found) == [records[0], records[2]]
    assert [value.reason for value in broken(found)] == [
        f"record of {size:,} bytes, at most 1,000,000",
        f"record of {len(json.dumps(records[3])):,} bytes, at most 1,000,000",
    ]
    assert found[1][0] == len(json.dumps(records[:1])) + 1
    assert peak < 5_000_000


def test_memory_does_not_grow_with_the_file() -> None:
    text = io.BytesIO(json.dumps([record(number) for number in range(60_000)]).encode())
    tracemalloc.start()
    assert sum(1 for _ in items(text, block=50_000)) == 60_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(text.getvalue()) > 10_000_000
    assert peak < 2_000_000


def test_a_list_without_any_comma_is_read_in_time() -> None:
    text = b"[" + b"\n".join(json.dumps(record(number)).encode() for number in range(3_000)) + b"]"
    assert good(read(text)) == [record(number) for number in range(3_000)]


def test_a_broken_member_behind_another_is_reported_too() -> None:
    found = read(b'{"a": {"x": 1}, "b": {"x": 2]], "c": {"x": no}, "d": {"x": 4}}')
    assert [key for _, key, value in found if isinstance(value, Broken)] == ["b", "c"]
    assert good(found) == [{"x": 1}, {"x": 4}]


def test_the_first_record(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"info": {"id": 1}, "images": [{"id": 2}, {"id": 3}], "annotations": []}')
    assert first_item(path, "images") == (31, None, {"id": 2})
    assert first_item(path, "annotations") is None
    assert first_item(path) == (1, "info", {"id": 1})
    with pytest.raises(NoSuchList, match="there: info, images, annotations"):
        first_item(path, "questions")


@pytest.mark.skipif(not SHARED.is_dir(), reason="real data excerpts are not there")
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("coco/annotations/captions_val2014.json", "annotations"),
        ("coco/annotations/captions_val2014.json", "images"),
        ("coco/dataset_coco.json", "images"),
        ("flickr8k/dataset_flickr8k.json", "images"),
        ("vqav2/v2_mscoco_val2014_annotations.json", "annotations"),
        ("vqav2/v2_OpenEnded_mscoco_val2014_questions.json", "questions"),
        ("gqa/testdev_balanced_questions.json", None),
        ("gqa/iglue_testdev.json", None),
        ("llava/detail_23k.json", None),
        ("aokvqa/aokvqa_v1p0_train.json", None),
    ],
)
def test_real_excerpts(name: str, path: str | None) -> None:
    content = json.loads((SHARED / name).read_bytes())
    content = content if path is None else content[path]
    with open(SHARED / name, "rb") as file:
        found = list(items(file, path))
    if isinstance(content, dict):
        assert [(key, value) for _, key, value in found] == list(content.items())
    else:
        assert [value for _, _, value in found] == content


_LISTS = st.lists(
    st.lists(
        st.sampled_from(['{"id": 1}', '{"id": 2, "a": [{}]}', '{"id"', "}", "]", "[", "7", '"', "{", "NaN"]),
        max_size=4,
    ),
    min_size=2,
    max_size=4,
)


@given(
    lists=_LISTS,
    keys=st.lists(st.sampled_from("abc"), min_size=4, max_size=4),
    behind=st.sampled_from(["", ",", "x", "}", ", {"]),
    block=st.integers(1, 80),
)
@settings(max_examples=1_000)
def test_what_was_passed_over_before_changes_nothing(
    lists: list[list[str]], keys: list[str], behind: str, block: int
) -> None:
    said = ", ".join(f'"{key}": [{", ".join(one)}]' for key, one in zip(keys, lists, strict=False))
    file = io.BytesIO(f'{{"info": {{"c": [1]}}, {said}{behind}}}'.encode())
    passed: Passed = {}
    for key in ("a", "b", "c", "a"):
        assert _read_of(file, key, block, passed) == _read_of(file, key, block, {})


def _read_of(file: io.BytesIO, key: str, block: int, passed: Passed) -> object:
    try:
        found = list(items_together(file, Columns(COLUMNS), key, block=block, passed=passed))
    except NoSuchList as error:
        return str(error)
    return [one if not isinstance(one, Together) else (one.positions, one.columns) for one in found]


def test_a_list_is_not_looked_through_again_for_the_next_one() -> None:
    file = _Counted(b'{"info": {}, "a": [' + b", ".join([b'{"id": 1}'] * 99_999) + b'], "b": [{"id": 2}]}')
    passed: Passed = {}
    assert len(list(items_together(file, Columns(COLUMNS), "a", passed=passed))) > 1
    file.was_read = 0
    (found,) = items_together(file, Columns(COLUMNS), "b", passed=passed)
    assert isinstance(found, Together)
    assert file.was_read < 300_000


class _Counted(io.BytesIO):
    was_read = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.was_read += len(data)
        return data
