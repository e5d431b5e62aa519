"""Blocks of whole lines: where they are cut decides nothing, and a huge line is not held."""

from __future__ import annotations

import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources import line_blocks
from pipelines.sources.line_blocks import BOM, Block, blocks

_TEXTS = st.lists(st.sampled_from([b"a", b" b c ", b"\n", b"\r\n", b"\xc3\xa9", b"\xff", b"\t"])).map(
    b"".join
)


def lines_of(text: bytes, start: int, end: int, block: int) -> list[tuple[int, bytes, int]]:
    return [line for found in blocks(io.BytesIO(text), start, end, block) for line in found.lines()]


@given(text=_TEXTS, mark=st.booleans(), cut=st.integers(0, 50), block=st.integers(1, 60))
def test_every_line_is_in_one_block(text: bytes, mark: bool, cut: int, block: int) -> None:
    whole = BOM * mark + text
    found = lines_of(whole, 0, cut, block) + lines_of(whole, cut, len(whole), block)
    assert [content for _, content, _ in found] == [
        line.strip() for line in text.split(b"\n") if line.strip()
    ]
    for offset, content, size in found:
        assert whole[offset : offset + size] == content


@given(text=_TEXTS)
def test_starts_are_those_of_all_lines(text: bytes) -> None:
    lines = text.split(b"\n")[: None if not text.endswith(b"\n") and text else -1]
    starts = Block(7, text).starts().tolist()
    assert [text[start:].partition(b"\n")[0] for start in starts] == lines


def test_a_block_that_is_no_text_is_not_decoded() -> None:
    assert Block(0, "é\n".encode()).decoded() == "é\n"
    assert Block(0, b"\xe9\n").decoded() is None
    assert Block(0, b"a\n", long=b"b", rest=9).decoded() is None


@pytest.mark.parametrize("block", [1_000, 1024 * 1024])
def test_a_huge_line_is_not_held(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(line_blocks, "MAX_LINE", 100_000)
    text = b"One.\n  " + b"x" * 30_000_000 + b" \nTwo.\n"
    tracemalloc.start()
    first, (offset, head, size), last = lines_of(text, 0, len(text), block)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (first, last) == ((0, b"One.", 4), (len(text) - 5, b"Two.", 4))
    assert (offset, head[:3]) == (7, b"xxx")
    assert size >= 30_000_000
    assert peak < 5_000_000
