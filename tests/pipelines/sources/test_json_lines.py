"""JSON lines: every line belongs to one range, and a broken line is reported alone."""

from __future__ import annotations

import io
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources import json_lines, line_blocks
from pipelines.sources.json_lines import Broken, Columns, Together, lines, lines_together
from pipelines.sources.line_blocks import BOM


def _allow(monkeypatch: pytest.MonkeyPatch, longest: int) -> None:
    for module in (json_lines, line_blocks):
        monkeypatch.setattr(module, "MAX_LINE", longest)


def read(text: bytes, ranges: int | None = None, block: int = 1_000_000) -> list[tuple[int, object]]:
    """All lines, in ranges of so many bytes."""
    size = ranges or max(len(text), 1)
    file = io.BytesIO(text)
    starts = range(0, len(text), size)
    return [
        line for start in starts for line in lines(file, start, min(start + size, len(text)), block=block)
    ]


_parts = st.lists(
    st.sampled_from(
        [
            b"\n",
            b"\r\n",
            b" ",
            b"\t",
            b"\x0b",
            b'{"a": 1}',
            b'{"a": "\xc3\xa9"}',
            b"[1, 2]",
            b"null",
            b"{",
            b"x",
            b"\xff",
            b'"a',
            b"NaN",
        ]
    ),
    max_size=30,
).map(b"".join)


@given(_parts, st.booleans(), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=300, deadline=None)
def test_ranges_and_blocks_decide_nothing(text: bytes, mark: bool, ranges: int, block: int) -> None:
    whole = BOM * mark + text
    wanted: list[tuple[int, object]] = []
    offset = len(BOM) * mark
    for line in text.split(b"\n"):
        content = line.strip()
        if content:
            position = offset + line.index(content)
            try:
                wanted.append((position, repr(json.loads(content.decode()))))
            except ValueError:
                wanted.append((position, Broken))
        offset += len(line) + 1
    found = read(whole, ranges, block)
    assert [(at, Broken if isinstance(value, Broken) else repr(value)) for at, value in found] == wanted
    assert list(map(repr, found)) == list(map(repr, read(whole)))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": "1"', "no JSON: Expecting ',' delimiter at character 10 of the line"),
        (
            b"{'id': 1}",
            "no JSON: Expecting property name enclosed in double quotes at character 1 of the line",
        ),
        (b'{"id": 1} {"id": 2}', "no JSON: Extra data at character 10 of the line"),
        (b'{"caption": "caf\xe9"}', "no UTF-8 at byte 37 (0xe9)"),
        (b"[" * 100_000, "no usable JSON: nested too deeply"),
        (b'{"id": ' + b"9" * 5_000 + b"}", "no usable JSON: Exceeds the limit"),
    ],
)
def test_a_malformed_line_is_reported_alone(line: bytes, reason: str) -> None:
    # Blank lines are no records.
    before, after = b'{"id": 0}\n\n \n  ', b'\r\n\n{"id": 2}'
    first, (position, value), last = read(before + b"      " + line + after)
    assert (first, last) == ((0, {"id": 0}), (len(before) + 6 + len(line) + 3, {"id": 2}))
    assert isinstance(value, Broken)
    assert value.reason.startswith(reason)
    assert value.raw == line[:8_000].decode(errors="replace")
    assert position == len(before) + 6
    assert not value.truncated


def test_what_only_python_takes_for_json_is_read_as_python_does() -> None:
    text = b'{"a": [Infinity, -Infinity, 1e400], "b": "\\ud83d", "c": ' + b"1" * 400 + b"}\n"
    assert read(text) == [(0, json.loads(text))]
    # `orjson` itself reads these, as floats.
    assert read(b"[18446744073709551615, 18446744073709551616]") == [(0, [2**64 - 1, float(2**64)])]


@pytest.mark.parametrize("block", [1000, 1024 * 1024])
def test_a_huge_line_is_skipped_without_being_held(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    _allow(monkeypatch, 100_000)
    text = b'{"a": 1}\n  {"a": "' + b"x" * 30_000_000 + b'"}\n{"a": 2}\n'
    tracemalloc.start()
    first, (position, value), last = lines(io.BytesIO(text), 0, len(text), block=block)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (first, last) == ((0, {"a": 1}), (len(text) - 9, {"a": 2}))
    assert position == 11
    assert isinstance(value, Broken)
    assert value.reason == "line of 30,000,010 bytes, at most 100,000"
    assert value.raw.startswith('{"a": "xxx')
    assert len(value.raw) == 8_000
    assert peak < 5_000_000


@pytest.mark.parametrize("block", [7, 100, 1_000])
def test_the_longest_line_is_read(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    _allow(monkeypatch, 50)
    longest = json.dumps({"a": "x" * 41}).encode()
    assert len(longest) == 50
    for ending in (b"\n", b"\r\n"):
        good, (_, bad), last = read(ending.join([longest, longest[:-2] + b'x"}', b"1"]), block=block)
        assert good == (0, json.loads(longest))
        assert isinstance(bad, Broken)
        assert last[1] == 1


def test_an_empty_range_has_no_lines() -> None:
    assert list(lines(io.BytesIO(b""), 0, 0)) == []
    assert list(lines(io.BytesIO(b'{"a": 1}\n'), 3, 8)) == []
    assert list(lines(io.BytesIO(b'{"a": 1}\n'), 0, 1)) == [(0, {"a": 1})]


_OBJECTS = st.lists(
    st.sampled_from(
        [
            *(
                b'{"a": 1, "b": "x"}',
                b'{"b": "\xc3\xa9", "c": {"d": []}}',
                b'{"a": 18446744073709551615}',
                b"{}",
            ),
            *(
                b'{"a": null, "a": 2}',
                b' {"a": 1}',
                b'{"a": 1} ',
                b'{"c": "\xff"}',
                b'{"c": "\\ud800"}',
                b'{"c": 01}',
            ),
            *(
                b'{"a": 1}{"a": 2}',
                b'{"a":',
                b'{"c": {}',
                b"{}}",
                b'{"a": [{}',
                b"{}]}",
                b"",
                b"[1]",
                b'{"c": NaN}',
            ),
        ]
    ),
    max_size=8,
)


@given(
    _OBJECTS,
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([20, 60, 9_999]),
)
@settings(max_examples=500, deadline=None)
def test_lines_read_together_are_those_read_alone(
    objects: list[bytes], border: bytes, closed: bool, mark: bool, block: int
) -> None:
    text = BOM * mark + border.join(objects) + border * closed
    found: list[tuple[int, object]] = []
    for one in lines_together(io.BytesIO(text), 0, len(text), Columns(("a", "b")), block=block):
        if isinstance(one, Together):
            records = [one.record(at) for at in range(len(one.positions))]
            found.extend(zip(one.positions, records, strict=True))
            assert one.columns == [[record.get(name) for record in records] for name in ("a", "b")]
        else:
            found.append(one)
    assert repr(found) == repr(read(text, len(text) or None))


def test_ordinary_lines_are_read_together() -> None:
    text = b'{"b": "x", "a": 1}\n{"c": [{}], "a": {"e": 2}}'
    (together,) = lines_together(io.BytesIO(text), 0, len(text), Columns(("a", "b")))
    assert isinstance(together, Together)
    assert (together.positions, together.columns) == ([0, 19], [[1, {"e": 2}], ["x", None]])
