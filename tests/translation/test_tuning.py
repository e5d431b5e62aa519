"""What `--threads` may say, and which candidate a measurement takes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from translation import tuning
from translation.decoder import MAX_BATCH_TOKENS, Decoded, Threads
from translation.model import SMALL, ModelError, model_directory
from translation.translations import Decoding
from translation.tuning import asked_threads, measure, parse_threads

DIRECTORY = model_directory(SMALL)


@pytest.mark.parametrize(
    ("text", "threads"),
    [
        ("auto", None),
        ("4", Threads(1, 4)),
        ("0", Threads(1, 0)),
        ("2x4", Threads(2, 4)),
        ("2x4x4096", Threads(2, 4, 4096)),
    ],
)
def test_threads_are_batches_at_once_threads_of_each_and_tokens(text: str, threads: Threads | None) -> None:
    assert parse_threads(text) == threads


@pytest.mark.parametrize("text", ["", "x", "2x", "2x4x", "1x2x3x4", "-1", "2 x 4", "2*4", "four", "²", "1.5"])
def test_other_words_are_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be auto, 4 \(threads of one batch\), 2x4 .* or 2x4x4096"):
        parse_threads(text)


def test_numbers_in_the_wrong_place_are_an_error() -> None:
    with pytest.raises(ValueError, match="2 batches at once with 4096 threads each; must be at most 1024"):
        parse_threads("2x4096")
    with pytest.raises(ValueError, match="must be at least 1"):
        parse_threads("0x4")


def test_what_is_printed_can_be_given_by_hand() -> None:
    assert parse_threads(str(Threads(2, 4, 4096))) == Threads(2, 4, 4096)
    assert parse_threads(str(Threads())) == Threads()


def test_a_real_measurement_takes_one_of_what_it_measured() -> None:
    measured = measure(DIRECTORY, Decoding(beam_size=1), device="cpu", cores=2, seconds=2.0)
    assert {(rate.threads.inter, rate.threads.intra) for rate in measured.rates} == {(1, 2), (2, 1)}
    assert all(rate.tokens_per_second > 0 for rate in measured.rates)
    assert (measured.threads.inter, measured.threads.intra) in {(1, 2), (2, 1)}
    assert measured.threads.max_batch_tokens in tuning.BOUNDS["cpu"]
    assert measured.device == "cpu"
    assert f"threads {measured.threads} on cpu" in str(measured)


def test_with_one_core_and_a_given_size_there_is_nothing_to_choose() -> None:
    measured = measure(
        DIRECTORY, Decoding(beam_size=1), device="cpu", cores=1, max_batch_tokens=500, seconds=1.0
    )
    assert measured.threads == Threads(1, 1, 500)
    assert measured.rates == ()
    assert "nothing to choose" in str(measured)


def test_a_directory_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a model description"):
        measure(tmp_path, Decoding(), device="cpu")


class Clock:
    """Time that passes when a decoder says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


Speed = Callable[[Threads, int], float]
"""Tokens a second, by threads and padded tokens of a batch."""


class TimedDecoder:
    """A decoder on a machine of a known speed; how long it takes is all that matters here."""

    def __init__(
        self, clock: Clock, speed: Speed, device: str, opened: list[Threads], threads: Threads
    ) -> None:
        self._clock, self._speed, self.device = clock, speed, device
        self.devices = 1
        bound = threads.max_batch_tokens or MAX_BATCH_TOKENS[device]
        self.threads = Threads(threads.inter, threads.intra, bound)
        opened.append(self.threads)

    def decode(
        self,
        sources: Sequence[Sequence[str]],
        targets: Sequence[str],
        decoding: Decoding,
        *,
        restricted: bool,
        max_batch_tokens: int,
    ) -> list[Decoded]:
        decoded = [Decoded(("▁a",) * decoding.max_output_tokens, -1.0, False) for _ in sources]
        tokens = len(sources) * decoding.max_output_tokens
        self._clock.now += tokens / self._speed(self.threads, max_batch_tokens)
        return decoded

    def close(self) -> None:
        pass


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Threads]]:
    """Makes the measurement run on a machine of this speed; gives the list of decoders that it opens."""

    def make(speed: Speed, device: str = "cpu", memory: int = sys.maxsize) -> list[Threads]:
        clock, opened = Clock(), []
        monkeypatch.setattr(tuning.time, "perf_counter", clock)
        monkeypatch.setattr(tuning.time, "monotonic", clock)
        monkeypatch.setattr(tuning, "available_memory", lambda: memory)
        monkeypatch.setattr(
            tuning,
            "Decoder",
            lambda directory, *, device, threads: TimedDecoder(clock, speed, device_here, opened, threads),
        )
        device_here = device
        return opened

    return make


def test_the_fastest_one_is_taken(machine: Callable[..., list[Threads]]) -> None:
    machine(lambda threads, bound: 10_000 * threads.inter**0.5 * (1.2 if bound == 2048 else 1.0))
    measured = measure(DIRECTORY, Decoding(), cores=4)
    assert measured.threads == Threads(4, 1, 2048)
    assert measured.seconds < 25
    assert [rate.threads for rate in measured.rates] == [
        Threads(1, 4, 4096),
        Threads(2, 2, 4096),
        Threads(4, 1, 4096),
        Threads(4, 1, 1024),
        Threads(4, 1, 2048),
        Threads(4, 1, 8192),
    ]


def test_what_is_hardly_faster_is_not_taken(machine: Callable[..., list[Threads]]) -> None:
    machine(lambda threads, bound: 10_000 + 100 * threads.inter + bound / 50)
    assert measure(DIRECTORY, Decoding(), cores=4).threads == Threads(1, 4, 4096)


def test_what_lies_beyond_a_hopeless_one_is_not_measured(machine: Callable[..., list[Threads]]) -> None:
    opened = machine(lambda threads, bound: 10_000 / threads.inter)
    assert measure(DIRECTORY, Decoding(), cores=16).threads == Threads(1, 16, 4096)
    assert {threads.inter for threads in opened} == {1, 2}


def test_on_a_slow_machine_the_usual_size_stays_and_the_time_is_kept(
    machine: Callable[..., list[Threads]],
) -> None:
    machine(lambda threads, bound: 50 * threads.inter**0.5)
    measured = measure(DIRECTORY, Decoding(), cores=2)
    assert measured.threads == Threads(2, 1, 4096)
    assert {rate.threads.max_batch_tokens for rate in measured.rates} < set(range(4096))
    assert measured.seconds < 25


def test_a_given_size_is_kept(machine: Callable[..., list[Threads]]) -> None:
    machine(lambda threads, bound: 10_000 * threads.inter**0.5 * (1.2 if bound == 2048 else 1.0))
    measured = measure(DIRECTORY, Decoding(), cores=2, max_batch_tokens=4096)
    assert measured.threads == Threads(2, 1, 4096)
    assert {rate.threads.max_batch_tokens for rate in measured.rates} == {4096}


def test_candidates_that_memory_does_not_hold_are_left_out(machine: Callable[..., list[Threads]]) -> None:
    # 4,096 tokens of 18 a sentence, 4 hypotheses each with 8,204 scores of 4 bytes, in 3 copies: 90 MB.
    opened = machine(lambda threads, bound: 10_000 * threads.inter, memory=500_000_000)
    assert measure(DIRECTORY, Decoding(), cores=8, shortlist=False).threads == Threads(2, 4, 4096)
    assert {threads.inter for threads in opened} == {1, 2}
    machine(lambda threads, bound: 10_000 * threads.inter, memory=100_000_000)
    assert measure(DIRECTORY, Decoding(), cores=8, shortlist=False).threads == Threads(1, 8, 2048)


def test_a_gpu_gets_larger_batches(machine: Callable[..., list[Threads]]) -> None:
    opened = machine(lambda threads, bound: 1_000_000 * bound**0.5, device="cuda", memory=1)
    assert measure(DIRECTORY, Decoding(), cores=16).threads == Threads(1, 0, 65536)
    assert {(threads.inter, threads.intra) for threads in opened[1:]} == {(1, 0), (2, 0)}


@pytest.mark.parametrize(
    ("cores", "usual"), [(1, Threads(1, 1)), (2, Threads(2, 1)), (8, Threads(4, 2)), (9, Threads(4, 2))]
)
def test_batches_lie_side_by_side_on_a_cpu_unless_somebody_says_otherwise(cores: int, usual: Threads) -> None:
    assert asked_threads(None, "cpu", cores) == usual
    assert asked_threads("", "cpu", cores) == usual
    assert asked_threads("1x4", "cpu", cores) == Threads(1, 4)
    assert asked_threads("auto", "cpu", cores) is None
    assert asked_threads(None, "cuda", cores) == Threads(1, cores)


def test_threads_of_other_machines_are_left_to_them() -> None:
    assert asked_threads(None, "auto", 0) == Threads()
    assert asked_threads("2x3", "auto", 0) == Threads(2, 3)
