from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.conftest import MakeMix, jpeg, row_of
from training.epochs import Share
from training.examples import Window, costs_of, read_window
from training.mixes import Mix
from training.mixture import Cell
from training.order import OrderSettings
from training.stored import StoredPictures
from training.texts import TextEncoder, TextSettings


@pytest.fixture
def folder(make_mix: MakeMix) -> Path:
    rows = [row_of(number, "deu_Latn", task="vqa" if number % 2 else "caption") for number in range(10)]
    rows[3]["target"] = None
    rows[4]["image"] = None
    rows[4]["image_id"] = None
    return make_mix({"deu_Latn": rows})


def window_of(folder: Path, tokenizer: Any, share: Share, decoder_only: bool = False) -> Window:
    mix = Mix(str(folder))
    encoder = TextEncoder(tokenizer, TextSettings(decoder_only=decoder_only))
    settings = OrderSettings(batch_size=3)
    return read_window([mix], [StoredPictures(mix)], [share], encoder, settings, 17, "key")


def numbers(window: Window) -> list[int]:
    return sorted(int(example.id.split("/")[1]) for batch in window.batches for example in batch)


def test_a_window_holds_the_rows_of_its_shares(folder: Path, tokenizer: Any) -> None:
    window = window_of(folder, tokenizer, Share(Cell(0, 0, None, "deu_Latn", 10), 10, 0))
    assert numbers(window) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert len(window.batches) == 4
    assert [skip.id for skips in window.skipped for skip in skips] == ["tiny/3/caption/deu_Latn"]


def test_a_share_of_a_task_holds_that_task_alone(folder: Path, tokenizer: Any) -> None:
    window = window_of(folder, tokenizer, Share(Cell(0, 0, "caption", "deu_Latn", 5), 5, 2))
    assert numbers(window) == [0, 2, 4, 6, 8]


def test_more_copies_than_rows_repeat_them(folder: Path, tokenizer: Any) -> None:
    window = window_of(folder, tokenizer, Share(Cell(0, 0, "caption", "deu_Latn", 5), 10, 2))
    assert numbers(window) == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]


def test_pictures_are_those_of_the_row(folder: Path, tokenizer: Any) -> None:
    window = window_of(folder, tokenizer, Share(Cell(0, 0, None, "deu_Latn", 10), 10, 0))
    for batch in window.batches:
        for example in batch:
            number = int(example.id.split("/")[1])
            assert [one.read() for one in example.pictures] == ([] if number == 4 else [jpeg(number)])


def test_lengths_are_padded_together_where_sequences_are_joined(folder: Path, tokenizer: Any) -> None:
    window = window_of(folder, tokenizer, Share(Cell(0, 0, None, "deu_Latn", 10), 10, 0))
    examples = [example for batch in window.batches for example in batch]
    apart, joined = costs_of(examples, 32, False), costs_of(examples, 32, True)
    assert (apart.shape, joined.shape) == ((9, 3), (9, 2))
    assert (joined[:, 1] == apart[:, 1] + apart[:, 2]).all()
    assert sorted(set(apart[:, 0].tolist())) == [0, 32]
    assert apart[0].tolist()[1:] == [len(examples[0].prompt.ids), len(examples[0].target.ids)]
