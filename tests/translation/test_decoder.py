"""Batches, order, devices and lack of memory, on a real CTranslate2 model."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import ctranslate2
import pytest

from tests.gpu_machine import GpuMachine
from translation import decoder as decoder_module
from translation.decoder import (
    CUBLAS,
    LEAST_WIDTH,
    MAX_BATCH_TOKENS,
    Decoded,
    Decoder,
    Threads,
    cut_batches,
    out_of_memory,
)
from translation.model import SMALL, ModelError, model_directory
from translation.tokenizer import END, Tokenizer
from translation.translations import Decoding

TEXTS = [
    "a red apple",
    "the black cat sleeps under the old tree",
    "two dogs run on the beach",
    "a bicycle, a bus and a train",
    "tree",
    "Is this a cat or a dog?",
]
TARGETS = ["deu_Latn", "fra_Latn", "hin_Deva"]
DECODING = Decoding(beam_size=2, max_output_tokens=20)


@pytest.fixture(scope="module")
def sentences(converted: Path) -> tuple[list[list[str]], list[str]]:
    """Sources and targets: every text into every language, texts first."""
    tokens = Tokenizer(converted / "sentencepiece.bpe.model").encode(TEXTS)
    sources = [["eng_Latn", *pieces, END] for pieces in tokens for _ in TARGETS]
    return sources, TARGETS * len(TEXTS)


@pytest.fixture
def opened() -> Iterator[Callable[..., Decoder]]:
    """Opens decoders, and closes them after the test."""
    decoders: list[Decoder] = []

    def open_decoder(directory: Path, threads: Threads | None = None, **options: Any) -> Decoder:
        options = {"device": "cpu"} | options
        decoders.append(Decoder(directory, threads=threads or Threads(1, 1), **options))
        return decoders[-1]

    yield open_decoder
    for decoder in decoders:
        decoder.close()


class Recorder:
    """A real translator that notes every batch, and raises `error` where `fails` says so."""

    batches: list[tuple[list[list[str]], list[str]]]

    def __init__(
        self, real: Any, fails: Callable[[int, int], bool] = lambda rows, width: False, error: Any = None
    ) -> None:
        self._real, self._fails, self._error, self.batches = real, fails, error, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def translate_batch(self, sources: list[list[str]], **options: Any) -> Any:
        self.batches.append((sources, [prefix[0] for prefix in options["target_prefix"]]))
        if self._fails(len(sources), max(map(len, sources))):
            return [FailedResult(self._error)] * len(sources)
        return self._real.translate_batch(sources, **options)

    @property
    def padded(self) -> list[int]:
        return [len(sources) * max(map(len, sources)) for sources, _ in self.batches]


class FailedResult:
    """What CTranslate2 hands out for a batch that failed in its thread."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def result(self) -> Any:
        raise self._error


def record(
    decoder: Decoder, fails: Callable[[int, int], bool] = lambda rows, width: False, error: Any = None
) -> Recorder:
    recorder = Recorder(decoder._translator, fails, error)
    decoder._translator = recorder
    return recorder


def one_by_one(decoder: Decoder, sources: Sequence[Sequence[str]], targets: Sequence[str]) -> list[Decoded]:
    return [
        decoder.decode([source], [target], DECODING)[0]
        for source, target in zip(sources, targets, strict=True)
    ]


def same(decoded: Sequence[Decoded], expected: Sequence[Decoded]) -> None:
    assert [one.tokens for one in decoded] == [one.tokens for one in expected]
    assert [one.ended for one in decoded] == [one.ended for one in expected]
    for one, other in zip(decoded, expected, strict=True):
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-3)


@pytest.mark.parametrize("threads", [Threads(1, 1), Threads(1, 1, 30), Threads(2, 1, 40), Threads(3, 1, 1)])
def test_results_come_in_the_order_given(
    converted: Path, sentences: Any, opened: Callable[..., Decoder], threads: Threads
) -> None:
    sources, targets = sentences
    decoder = opened(converted, threads)
    same(decoder.decode(sources, targets, DECODING), one_by_one(decoder, sources, targets))
    assert decoder.decode([], [], DECODING) == []


def test_batches_are_the_same_whatever_the_order_and_the_threads(
    converted: Path, sentences: Any, opened: Callable[..., Decoder]
) -> None:
    sources, targets = sentences
    first, second = opened(converted, Threads(1, 1, 60)), opened(converted, Threads(3, 1, 60))
    batches, again = record(first), record(second)
    decoded = first.decode(sources, targets, DECODING)
    assert second.decode(sources[::-1], targets[::-1], DECODING) == decoded[::-1]
    assert batches.batches == again.batches
    assert len(batches.batches) > 2


def test_batches_are_longest_first_and_within_the_bound() -> None:
    sources = [["x"] * length for length in (30, 90, 40, 40, 300, 50, 30, 30)]
    batches = cut_batches(sources, ["deu_Latn"] * 8, 120)
    assert sorted(index for batch in batches for index in batch) == list(range(8))
    assert [len(sources[batch[0]]) for batch in batches] == [300, 90, 50, 40, 30]
    assert [len(batch) for batch in batches] == [1, 1, 2, 3, 1]
    assert cut_batches([], [], 120) == []


def test_a_batch_of_short_sentences_does_not_hold_more_and_more() -> None:
    batches = cut_batches([["eng_Latn", "x", END]] * 1000, ["deu_Latn"] * 1000, 4096)
    assert [len(batch) for batch in batches] == [256, 256, 256, 232]


def test_a_batch_of_one_target_where_the_vocabulary_is_restricted() -> None:
    sources = [["x"] * length for length in (3, 9, 4, 4, 5, 3)]
    targets = ["deu_Latn", "fra_Latn"] * 3
    batches = cut_batches(sources, targets, 100, one_target=True)
    assert batches == [[1, 3, 5], [4, 2, 0]]
    assert cut_batches(sources, targets, 100) == [[1, 4, 2, 3, 0, 5]]


def test_a_vocabulary_map_limits_what_comes_out(
    converted: Path, sentences: Any, opened: Callable[..., Decoder], tmp_path: Path
) -> None:
    sources, targets = sentences
    directory = tmp_path / "mapped"
    shutil.copytree(converted, directory)
    allowed = ["▁e", "in", "▁un", "▁", "a", "e", "i", "n", "o", "r", "s", "t", *TARGETS, END]
    vocabulary = set((directory / "shared_vocabulary.json").read_text(encoding="utf-8").split('"'))
    allowed = [token for token in allowed if token in vocabulary]
    (directory / "vmap.txt").write_text("\t" + " ".join(allowed) + "\n", encoding="utf-8")
    decoder = opened(directory)
    recorder = record(decoder)
    for one in decoder.decode(sources, targets, DECODING, restricted=True):
        assert set(one.tokens) <= set(allowed)
    assert all(len(set(targets)) == 1 for _, targets in recorder.batches)
    assert any(set(one.tokens) - set(allowed) for one in decoder.decode(sources, targets, DECODING))


def test_a_decoder_is_shared_between_threads(
    converted: Path, sentences: Any, opened: Callable[..., Decoder]
) -> None:
    sources, targets = sentences
    decoder = opened(converted, Threads(2, 1, 40))
    expected = decoder.decode(sources, targets, DECODING)
    found: list[list[Decoded]] = []
    workers = [
        threading.Thread(target=lambda: found.append(decoder.decode(sources, targets, DECODING)))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [expected] * 4


OUT_OF_MEMORY = [
    RuntimeError("CUDA failed with error out of memory"),
    RuntimeError("mkl_malloc: failed to allocate memory"),
    RuntimeError("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED"),
    MemoryError("std::bad_alloc"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
@pytest.mark.parametrize("inter", [1, 2])
def test_a_batch_that_memory_does_not_hold_is_halved(
    converted: Path, sentences: Any, opened: Callable[..., Decoder], error: BaseException, inter: int
) -> None:
    sources, targets = sentences
    decoder = opened(converted, Threads(inter, 1, 100))
    expected = one_by_one(decoder, sources, targets)
    recorder = record(decoder, lambda rows, width: rows * width > 40, error)
    same(decoder.decode(sources, targets, DECODING), expected)
    # Once halved they fit; what was handed over before fails too.
    assert 1 <= sum(size > 40 for size in recorder.padded) <= 2 * inter
    # What memory held is remembered: the next call fails nowhere.
    before = len(recorder.padded)
    same(decoder.decode(sources, targets, DECODING), expected)
    assert all(size <= 40 for size in recorder.padded[before:])
    assert len(recorder.padded) > before


EXHAUSTED = """
import resource, sys
from pathlib import Path
from translation.decoder import Decoder, Threads
from translation.translations import Decoding

decoder = Decoder(Path(sys.argv[1]), device="cpu", threads=Threads(1, 1, 1_000_000))
source = ["eng_Latn", *["a", "e", "i", "n"] * 4, "</s>"]
decoding = Decoding(beam_size=4, max_output_tokens=4)
sentences = lambda rows: ([source] * rows, ["deu_Latn"] * rows)
decoder.decode(*sentences(1), decoding)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 20_000_000,) * 2)
decoded = decoder.decode(*sentences(400), decoding)
assert len(decoded) == 400 and all(one.tokens for one in decoded)
print(decoder._held_tokens)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no other system bounds the memory so")
def test_memory_that_really_runs_out_is_survived() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXHAUSTED, str(model_directory(SMALL))],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 18 * 200


def test_one_sentence_that_memory_does_not_hold_is_an_error(
    converted: Path, sentences: Any, opened: Callable[..., Decoder]
) -> None:
    sources, targets = sentences
    decoder = opened(converted, Threads(2, 1))
    longest = max(map(len, sources))
    record(decoder, lambda rows, width: width == longest, OUT_OF_MEMORY[0])
    with pytest.raises(ModelError, match=rf"for one sentence of {longest} tokens with beam_size 2: CUDA"):
        decoder.decode(sources, targets, DECODING)


def test_one_sentence_is_tried_again_when_nothing_runs_beside_it(
    converted: Path, sentences: Any, opened: Callable[..., Decoder]
) -> None:
    sources, targets = sentences
    decoder = opened(converted, Threads(2, 1, 1))
    expected = one_by_one(decoder, sources, targets)
    failures = iter([True, True])
    record(decoder, lambda rows, width: next(failures, False), OUT_OF_MEMORY[0])
    same(decoder.decode(sources, targets, DECODING), expected)


def test_any_other_error_goes_on(converted: Path, sentences: Any, opened: Callable[..., Decoder]) -> None:
    sources, targets = sentences
    decoder = opened(converted)
    record(decoder, lambda rows, width: True, RuntimeError("CUDA failed with error illegal instruction"))
    with pytest.raises(RuntimeError, match="illegal instruction"):
        decoder.decode(sources, targets, DECODING)
    assert not out_of_memory(RuntimeError("No position encodings are defined for positions >= 1024"))


def test_the_bound_is_of_the_device_where_none_is_given(
    converted: Path, opened: Callable[..., Decoder]
) -> None:
    decoder = opened(converted, Threads(2, 1))
    assert decoder.threads == Threads(2, 1, MAX_BATCH_TOKENS["cpu"])
    assert decoder.device == "cpu"
    assert decoder.compute_type == "float32"
    assert opened(converted, compute_type="int8").compute_type == "int8_float32"
    with pytest.raises(ValueError, match="0x1x0: batches at once must be at least 1"):
        Threads(0, 1)


def test_a_device_or_compute_type_that_is_not_there_is_an_error(converted: Path) -> None:
    with pytest.raises(ModelError, match="device 'gpu': must be auto, cpu or cuda"):
        Decoder(converted, device="gpu")
    with pytest.raises(ModelError, match="float16"):
        Decoder(converted, device="cpu", compute_type="float16")
    if ctranslate2.get_cuda_device_count() == 0:
        with pytest.raises(ModelError, match=r"cannot run the model on the GPU: .*--device cpu"):
            Decoder(converted, device="cuda")


def test_a_model_that_cannot_be_loaded_is_an_error(converted: Path, tmp_path: Path) -> None:
    directory = tmp_path / "cut"
    shutil.copytree(converted, directory)
    (directory / "model.bin").write_bytes((converted / "model.bin").read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot load the model"):
        Decoder(directory, device="cpu")


MISSING = "Library libcublas.so.12 is not found or cannot be loaded"


def test_a_gpu_without_its_libraries_falls_back_or_says_what_to_install(
    converted: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[..., Decoder]
) -> None:
    machine = GpuMachine(monkeypatch, error=MISSING)
    with pytest.warns(RuntimeWarning, match=r"libcublas.so.12 .*nvidia-cublas-cu12.*going on with the CPU"):
        decoder = opened(converted, device="auto")
    assert decoder.device == "cpu"
    assert decoder.decode([["eng_Latn", "▁a", END]], ["deu_Latn"], DECODING)
    assert [device for device, _ in machine.loaded] == ["cuda", "cpu"]
    with pytest.raises(ModelError, match=r"libcublas.so.12 .*pip install nvidia-cublas-cu12"):
        Decoder(converted, device="cuda")


@pytest.mark.parametrize(
    ("quantization", "supported", "chosen"),
    [
        ("int8", {"int8_float16", "int8_bfloat16", "int8_float32", "bfloat16"}, "int8_float16"),
        ("int8_float32", {"int8_bfloat16", "int8_float32", "bfloat16"}, "int8_bfloat16"),
        ("int8", {"int8_float32", "float32"}, "int8_float32"),
        ("float32", {"float16", "bfloat16", "float32"}, "bfloat16"),
        ("float32", {"float16", "float32"}, "float16"),
        ("float16", {"float16", "bfloat16", "float32"}, "float16"),
        ("int16", {"float16", "bfloat16", "float32"}, "default"),
    ],
)
def test_a_gpu_computes_in_8_or_16_bits(
    converted: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened: Callable[..., Decoder],
    tmp_path: Path,
    quantization: str,
    supported: set[str],
    chosen: str,
) -> None:
    directory = tmp_path / "model"
    shutil.copytree(converted, directory)
    description = (directory / "model.json").read_text(encoding="utf-8")
    (directory / "model.json").write_text(
        description.replace('"quantization": "float32"', f'"quantization": "{quantization}"'),
        encoding="utf-8",
    )
    machine = GpuMachine(monkeypatch, supported)
    decoder = opened(directory, device="auto")
    assert machine.loaded == [("cuda", chosen)]
    assert decoder.device == "cuda"
    assert decoder.threads.max_batch_tokens == MAX_BATCH_TOKENS["cuda"]


def test_each_gpu_has_its_copy_of_the_model_and_batches_to_do(
    converted: Path, sentences: Any, monkeypatch: pytest.MonkeyPatch, opened: Callable[..., Decoder]
) -> None:
    sources, targets = sentences
    expected = one_by_one(opened(converted), sources, targets)
    waiting = {}
    for gpus in (1, 3):
        machine = GpuMachine(monkeypatch, gpus=gpus)
        decoder = opened(converted, Threads(1, 1, 2 * LEAST_WIDTH), device="cuda")
        assert machine.indices == [list(range(gpus))]
        assert decoder.devices == gpus
        same(decoder.decode(sources, targets, DECODING), expected)
        waiting[gpus] = machine.most_waiting
        monkeypatch.undo()
    assert waiting == {1: 2, 3: 6}


def test_cublas_is_opened_where_pip_put_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "nvidia" / "cublas" / "lib"
    folder.mkdir(parents=True)
    (folder / CUBLAS).touch()
    opened: list[str] = []

    def open_library(name: str, mode: int = 0) -> None:
        opened.append(name)
        if name == CUBLAS:
            raise OSError(f"{name}: cannot open shared object file")

    package = ModuleSpec("nvidia", None, is_package=True)
    package.submodule_search_locations = [str(tmp_path / "nvidia")]
    monkeypatch.setattr(decoder_module.ctypes, "CDLL", open_library)
    monkeypatch.setattr(decoder_module, "find_spec", lambda name: package)
    decoder_module._open_cublas()
    assert opened == [CUBLAS, str(folder / "libcublasLt.so.12"), str(folder / CUBLAS)]
