"""Which pieces a language can need, by their characters."""

from __future__ import annotations

import pytest

from translation.piece_scripts import PieceScripts

VOCABULARY = [
    "<s>", "▁", "▁der", "er", "▁a", "é", "▁Straße", "▁дом", "д", "▁लाल", "ों", "।", "り", "▁りんご",
    "赤い", "赤", "▁2024", "7", "...", ".", "€", "😀", "▁A", "ა", "▁das.", "л3", "१",
]  # fmt: skip


@pytest.fixture(scope="module")
def pieces() -> PieceScripts:
    return PieceScripts(VOCABULARY)


def test_pieces_in_a_script(pieces: PieceScripts) -> None:
    assert pieces.written_in(["Latin"]) == ["<s>", "▁der", "er", "▁a", "é", "▁Straße", "▁A", "▁das."]
    assert pieces.written_in(["Cyrillic"]) == ["▁дом", "д", "л3"]


def test_marks_digits_and_signs_of_a_script_belong_to_it(pieces: PieceScripts) -> None:
    assert pieces.written_in(["Devanagari"]) == ["▁लाल", "ों", "।", "१"]


def test_a_language_may_mix_its_scripts_and_no_others(pieces: PieceScripts) -> None:
    assert pieces.written_in(["Han"]) == ["赤"]
    assert pieces.written_in(["Han", "Hiragana"]) == ["り", "▁りんご", "赤い", "赤"]


def test_pieces_with_a_letter_of_a_rare_script(pieces: PieceScripts) -> None:
    assert pieces.written_with(["Hiragana"], ["Han", "Hiragana"]) == ["り", "▁りんご", "赤い"]
    assert pieces.written_with([], ["Latin"]) == []


def test_single_characters_of_the_script_and_of_every_text(pieces: PieceScripts) -> None:
    anywhere = ["▁", "▁a", "7", ".", "€", "▁A"]
    assert set(pieces.single(["Cyrillic"])) == {*anywhere, "д", "।"}
    assert set(pieces.single(["Georgian"])) == {*anywhere, "ა", "।"}
    assert set(pieces.single(["Devanagari"])) == {*anywhere, "।", "१"}
