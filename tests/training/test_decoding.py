from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.training.conftest import MakeMix, jpeg
from training.decoding import Decoded, Decoder, Decoding, Job, LoaderError
from training.loader import Loader, LoaderSettings, MixWeight
from training.order import OrderSettings
from training.pictures import BadPicture, PictureSettings

SMALL = PictureSettings(height=8, width=8)


def test_bad_pictures_are_left_out_and_named() -> None:
    pictures = [jpeg(0), b"nothing", jpeg(1), BadPicture("missing", "no file a.jpg")]
    decoded = Decoder(SMALL)[Job(5, pictures)]
    assert decoded.index == 5
    assert decoded.pixels.shape == (2, 8, 8, 3)
    assert {number: reason for number, (reason, _) in decoded.bad.items()} == {
        1: "unknown format",
        3: "missing",
    }


def test_reasons_come_back_from_workers() -> None:
    decoding = Decoding(SMALL, lambda: [Job(0, [BadPicture("missing", "no file a.jpg")])], 1, 2, False)
    assert [decoded.bad for decoded in decoding] == [{0: ("missing", "no file a.jpg")}]
    decoding.close()


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("good", [0, 1, 10])
def test_an_error_in_the_jobs_ends_the_loop_and_the_workers(workers: int, good: int) -> None:
    """Also the first ones, which torch pulls before its iterator exists, that would end its workers."""

    def jobs() -> Any:
        for index in range(good):
            yield Job(index, [jpeg(index)])
        raise OSError("the file is cut")

    decoding = Decoding(SMALL, jobs, workers, 2, False)
    iterator = iter(decoding)
    assert [next(iterator).index for _ in range(good)] == list(range(good))
    with pytest.raises(OSError, match="the file is cut"):
        next(iterator)
    decoding.close()
    assert multiprocessing.active_children() == []


def test_pixels_are_what_torch_pins() -> None:
    from torch.utils.data._utils.pin_memory import pin_memory

    class Pinned:
        def pin_memory(self) -> str:
            return "pinned"

    assert pin_memory(Decoded(3, Pinned(), {})) == Decoded(3, "pinned", {})  # type: ignore[arg-type]


def test_jobs_are_pulled_only_some_ahead() -> None:
    pulled = 0

    def jobs() -> Any:
        nonlocal pulled
        for index in range(50):
            pulled += 1
            yield Job(index, [jpeg(index)])

    decoding = Decoding(SMALL, jobs, 2, 3, False)
    iterator = iter(decoding)
    for index in range(10):
        assert next(iterator).index == index
        assert pulled <= index + 1 + 2 * 3
    decoding.close()


def test_a_killed_worker_is_one_clear_error(make_mix: MakeMix, tokenizer: Any) -> None:
    folder: Path = make_mix({"deu_Latn": 200})
    settings = LoaderSettings((MixWeight(str(folder)),), OrderSettings(batch_size=2), pictures=SMALL)
    # torch tells it wherever this process is when it hears of it: also outside of `next`, also while closing.
    with pytest.raises((LoaderError, RuntimeError), match=r"worker .*(died|killed by signal)"):
        kill_a_worker_and_go_on(settings, tokenizer)


def kill_a_worker_and_go_on(settings: LoaderSettings, tokenizer: Any) -> None:
    before = {process.pid for process in multiprocessing.active_children()}
    with Loader(settings, tokenizer, workers=2) as loader:
        batches = iter(loader)
        next(batches)
        victim = next(child for child in multiprocessing.active_children() if child.pid not in before)
        assert victim.pid
        os.kill(victim.pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            next(batches)


def test_workers_end_with_the_loader(make_mix: MakeMix, tokenizer: Any) -> None:
    settings = LoaderSettings(
        (MixWeight(str(make_mix({"deu_Latn": 20}))),), OrderSettings(batch_size=2), pictures=SMALL
    )
    before = {process.pid for process in multiprocessing.active_children()}
    loader = Loader(settings, tokenizer, workers=2)
    next(iter(loader))
    assert len({process.pid for process in multiprocessing.active_children()} - before) == 2
    loader.close()
    assert {process.pid for process in multiprocessing.active_children()} <= before
