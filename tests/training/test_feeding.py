from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.conftest import MakeMix, jpeg, row_of
from training.epochs import Epoch, plan_epoch
from training.feeding import Feed
from training.mixes import Mix
from training.mixture import Cell
from training.order import OrderSettings
from training.stored import StoredPictures
from training.texts import TextEncoder, TextSettings

SETTINGS = OrderSettings(batch_size=2, lanes=2, window_rows=10)


def feed_of(folder: Path, tokenizer: Any, ahead: int = 3) -> tuple[Feed, Epoch]:
    mix = Mix(str(folder))
    cells = [Cell(0, number, None, group.language, group.rows) for number, group in enumerate(mix.groups)]
    plan = plan_epoch([mix], cells, np.ones(len(cells)), SETTINGS, 17, 0)
    return Feed([mix], TextEncoder(tokenizer, TextSettings()), SETTINGS, 17, ahead), plan


def test_batches_come_in_the_order_asked_for(make_mix: MakeMix, tokenizer: Any) -> None:
    feed, plan = feed_of(make_mix({"deu_Latn": 30}), tokenizer)
    indices = range(1, plan.batches, 3)
    found = list(feed.batches(plan, 0, indices))
    assert [batch.index for batch, _ in found] == [job.index for _, job in found] == list(indices)
    for batch, job in found:
        assert job.pictures == [jpeg(int(example.id.split("/")[1])) for example in batch.examples]
    feed.close()


def test_pictures_that_are_files_are_fetched_at_once(
    make_mix: MakeMix, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        row_of(number, "deu_Latn", image={"bytes": None, "path": str(tmp_path / f"{number}.jpg")})
        for number in range(30)
    ]
    for number in range(0, 30, 2):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
    feed, plan = feed_of(make_mix({"deu_Latn": rows}), tokenizer)
    together, referenced = threading.Barrier(4), StoredPictures._referenced

    def waiting(store: StoredPictures, path: str) -> bytes:
        together.wait(timeout=30)  # breaks unless four are read at the same time
        return referenced(store, path)

    monkeypatch.setattr(StoredPictures, "_referenced", waiting)
    found = [one for _, job in feed.batches(plan, 0, range(2)) for one in job.pictures]
    assert len(found) == 4
    assert all(isinstance(one, bytes) or one.reason == "missing" for one in found)
    feed.close()


def test_windows_are_read_once_and_given_back(
    make_mix: MakeMix, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed, plan = feed_of(make_mix({"deu_Latn": 60}), tokenizer)
    read, numbers = feed._window, []

    def counting(plan: Epoch, epoch: int, number: int) -> Any:
        numbers.append(number)
        return read(plan, epoch, number)

    monkeypatch.setattr(feed, "_window", counting)
    assert len(list(feed.batches(plan, 0, range(plan.batches)))) == plan.batches
    assert sorted(numbers) == list(range(len(plan.windows)))
    feed.close()
