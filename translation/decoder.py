"""Token sequences through CTranslate2: on which device, in which batches, and what if memory runs out."""

from __future__ import annotations

import ctypes
import re
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import ctranslate2

from translation.model import ModelError, read_description
from translation.shortlists import marks
from translation.tokenizer import END
from translation.translations import Decoding

MAX_BATCH_TOKENS = {"cpu": 4096, "cuda": 16384}
"""Padded source tokens of a batch, by device, where nothing else is asked for.

On 2 cores larger ones than 4,096 gain nothing. A GPU has thousands of lanes to fill in every step of a
decoder that makes one token a step; where its memory does not hold 16,384, the decoder halves it.
"""

LEAST_WIDTH = 16
"""Tokens that a sentence counts at least in a batch.

Every step makes a score for each hypothesis and each entry of the vocabulary, in about three copies: 11 GB
for 1,024 sentences of 4 tokens with a beam of 4 and NLLB's vocabulary, but 3 GB for 256, which are about as
fast.
"""

CUBLAS = "libcublas.so.12"
"""What CTranslate2's Linux wheel opens by name, and `pip install nvidia-cublas-cu12` brings."""

_OUT_OF_MEMORY = re.compile(
    r"out of memory|failed to allocate|bad_alloc|CUBLAS_STATUS_ALLOC_FAILED|cannot allocate memory",
    re.IGNORECASE,
)

_ON_CUDA = {
    "int8": ("int8_float16", "int8_bfloat16", "int8_float32"),
    "float16": ("float16", "bfloat16", "float32"),
    "bfloat16": ("bfloat16", "float16", "float32"),
    "float32": ("bfloat16", "float16", "float32"),
}
"""How weights are stored -> what a GPU computes in, best first: 8 bits stay, the rest takes 16."""


AT_ONCE = 4
"""Batches side by side on a CPU by default: each needs memory for the scores of all its words."""


@dataclass(frozen=True)
class Threads:
    """How the work is laid over a machine."""

    inter: int = 1
    """Batches at the same time; on each of several GPUs."""
    intra: int = 0
    """Threads of one batch, on a CPU; 0 lets CTranslate2 decide."""
    max_batch_tokens: int = 0
    """Padded source tokens of a batch, where a sentence counts `LEAST_WIDTH` at least; 0 means
    `MAX_BATCH_TOKENS` of the device."""

    def __post_init__(self) -> None:
        if self.inter < 1 or self.intra < 0 or self.max_batch_tokens < 0:
            raise ValueError(f"{self}: batches at once must be at least 1, the other numbers at least 0")

    def __str__(self) -> str:
        """As `translation.tuning.parse_threads` reads it."""
        return f"{self.inter}x{self.intra}x{self.max_batch_tokens}"


@dataclass(frozen=True)
class Decoded:
    """One hypothesis."""

    tokens: tuple[str, ...]
    """Without the language code and the end mark."""
    log_probability: float
    """Of all tokens after the language code, the end mark among them; natural logarithm."""
    ended: bool
    """`</s>` came within the limit."""


class Decoder:
    """A CTranslate2 model, ready to decode. Threads may share one; close it after use."""

    def __init__(
        self,
        directory: Path,
        *,
        device: str = "auto",
        compute_type: str | None = None,
        threads: Threads | None = None,
    ) -> None:
        """Loads the model.

        Args:
            directory: as `translate-mix model add` writes it; its digests are not checked here.
            device: `cpu`, `cuda`, or `auto`: GPUs where they work, with a warning where one is there but
                does not work. All GPUs that `CUDA_VISIBLE_DEVICES` leaves are used, batch by batch.
            compute_type: a name of CTranslate2; without one 8-bit weights stay, and a GPU computes in
                16 bits where it can.

        Raises:
            ModelError: the directory is no model, or the device cannot run it.
        """
        self._directory = directory
        threads = threads or Threads()
        quantization = read_description(directory, check=False).quantization
        self._translator, self.device = _load(directory, quantization, device, compute_type, threads)
        self.devices: int = ctranslate2.get_cuda_device_count() if self.device == "cuda" else 1
        """GPUs that decode side by side, each with its own copy of the weights; 1 on a CPU."""
        self.restricts: bool = self.device == "cpu"
        """Can it use shortlists? On a GPU CTranslate2 (4.8.5) fills lists up to a multiple of 8 entries, and
        uses the biases of that for a next list that needs no filling (`Dense::select_weights`)."""
        self.compute_type: str = self._translator.compute_type
        """What CTranslate2 computes in; results differ from one to another in their last digits."""
        self.threads = replace(
            threads, max_batch_tokens=threads.max_batch_tokens or MAX_BATCH_TOKENS[self.device]
        )
        self._held_tokens: int | None = None
        """Padded tokens that memory held or should hold, after it ran out."""
        self._lock = threading.Lock()

    def close(self) -> None:
        """Frees the weights. The decoder cannot be used afterwards."""
        self._translator.unload_model()

    def decode(
        self,
        sources: Sequence[Sequence[str]],
        targets: Sequence[str],
        decoding: Decoding,
        *,
        restricted: bool = False,
        known_only: bool = False,
        max_batch_tokens: int = 0,
    ) -> list[Decoded]:
        """The best hypothesis of each source, in the order given.

        Where memory runs out, the batch is cut in halves, and later batches stay as small.

        Args:
            sources: whole sequences: language code first, `</s>` last, cut to the model's limit already.
            targets: language code to begin each hypothesis with.
            restricted: use the model's vocabulary shortlists, where the device can; each of `targets` must
                have one. CTranslate2 lets a batch use the entries of all its sources, so a batch then holds
                one target.
            known_only: never `<unk>`.
            max_batch_tokens: another bound for this call than `threads` has; 0 for the same.

        Raises:
            ModelError: memory does not suffice for a single sentence.
        """
        restricted = restricted and self.restricts
        bound = max_batch_tokens or self.threads.max_batch_tokens
        waiting = deque(
            cut_batches(sources, targets, min(bound, self._held_tokens or bound), one_target=restricted)
        )
        # As many again as run: while one is turned into Python objects the next is there to be run.
        full = 2 * self.threads.inter * self.devices
        at_once = full
        running: deque[tuple[list[int], bool, list[Any]]] = deque()
        decoded: dict[int, Decoded] = {}
        while waiting or running:
            if waiting and len(running) < at_once:
                batch = waiting.popleft()
                first, *rest = _parts(batch, sources, self._held_tokens)
                waiting.extendleft(reversed(rest))
                alone = at_once == 1
                results = self._submit(first, sources, targets, decoding, restricted, known_only)
                running.append((first, alone, results))
                continue
            batch, alone, results = running.popleft()
            try:
                outcomes = [result.result() for result in results]
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                if len(batch) > 1:
                    self._hold(_padded(batch, sources) // 2)
                elif alone:
                    raise ModelError(
                        f"{self._directory}: memory ({self.device}) does not suffice for one sentence of "
                        f"{len(sources[batch[0]])} tokens with beam_size {decoding.beam_size}: {error}; free "
                        "some, take a smaller beam or model, or fewer batches at once (--threads)"
                    ) from error
                # What runs beside it takes memory too: let it finish, then try alone.
                at_once = 1
                waiting.appendleft(batch)
                continue
            if alone:
                at_once = full
            for index, outcome in zip(batch, outcomes, strict=True):
                decoded[index] = _decoded(outcome, decoding)
        return [decoded[index] for index in range(len(sources))]

    def entries(self, target: str) -> int:
        """How many entries of the vocabulary the shortlist of a language leaves to an empty source."""
        (result,) = self._translator.translate_batch(
            [[END, *marks(target)]],
            use_vmap=True,
            max_input_length=1,
            beam_size=1,
            max_decoding_length=1,
            return_logits_vocab=True,
        )
        return int(result.logits[0][0].shape[-1])

    def _submit(
        self,
        batch: Sequence[int],
        sources: Sequence[Sequence[str]],
        targets: Sequence[str],
        decoding: Decoding,
        restricted: bool,
        known_only: bool,
    ) -> list[Any]:
        """Hands a batch (longest first) to CTranslate2, which decodes it in a thread of its own."""
        tokens = [list(sources[index]) for index in batch]
        longest = len(tokens[0])
        if restricted:
            tokens[0] += marks(targets[batch[0]])
        results: list[Any] = self._translator.translate_batch(
            tokens,
            target_prefix=[[targets[index]] for index in batch],
            asynchronous=True,
            use_vmap=restricted,
            beam_size=decoding.beam_size,
            patience=decoding.patience,
            length_penalty=decoding.length_penalty,
            repetition_penalty=decoding.repetition_penalty,
            no_repeat_ngram_size=decoding.no_repeat_ngram_size,
            disable_unk=known_only,
            # Leaves out the marks and nothing else.
            max_input_length=longest if restricted else 0,
            # The prefix, and one more than allowed, so that a hypothesis that fills the limit is told from
            # one that ends there.
            max_decoding_length=decoding.max_output_tokens + 2,
            return_scores=True,
        )
        return results

    def _hold(self, tokens: int) -> None:
        """Later batches shall have no more padded tokens than these."""
        with self._lock:
            self._held_tokens = max(1, min(tokens, self._held_tokens or tokens))


def cut_batches(
    sources: Sequence[Sequence[str]],
    targets: Sequence[str],
    max_batch_tokens: int,
    *,
    one_target: bool = False,
) -> list[list[int]]:
    """Indices of batches whose padded size stays within the bound (a longer sentence is a batch alone).

    Longest first, so that like lengths share a batch and the last batches are short ones. Depends on
    nothing but what is given, not even on its order: the last digits of a score depend on the batch.
    """

    def key(index: int) -> tuple[int, str, Sequence[str]]:
        return -len(sources[index]), targets[index], sources[index]

    order = sorted(range(len(sources)), key=key)
    if not one_target:
        return _cut(order, sources, max_batch_tokens)
    order.sort(key=lambda index: targets[index])
    batches = [
        batch
        for _, group in groupby(order, key=lambda index: targets[index])
        for batch in _cut(list(group), sources, max_batch_tokens)
    ]
    return sorted(batches, key=lambda batch: key(batch[0]))


def _cut(order: Sequence[int], sources: Sequence[Sequence[str]], tokens: int) -> list[list[int]]:
    """Runs of `order` (longest first)."""
    batches = []
    start = 0
    while start < len(order):
        size = max(1, tokens // _width(sources[order[start]]))
        batches.append(list(order[start : start + size]))
        start += size
    return batches


def _parts(batch: list[int], sources: Sequence[Sequence[str]], tokens: int | None) -> list[list[int]]:
    """The batch, or what to make of it if memory does not hold it."""
    if tokens is None or _padded(batch, sources) <= tokens:
        return [batch]
    return _cut(batch, sources, tokens)


def _padded(batch: Sequence[int], sources: Sequence[Sequence[str]]) -> int:
    return len(batch) * _width(sources[batch[0]])


def _width(source: Sequence[str]) -> int:
    return max(len(source), LEAST_WIDTH)


def _decoded(outcome: Any, decoding: Decoding) -> Decoded:
    output = outcome.hypotheses[0][1:]
    ended = len(output) <= decoding.max_output_tokens
    # CTranslate2 divided the sum by (tokens, with the prefix) to the power of the length penalty.
    normaliser = (len(output) + ended + 1) ** decoding.length_penalty
    return Decoded(tuple(output), outcome.scores[0] * normaliser, ended)


def out_of_memory(error: BaseException) -> bool:
    """Does CTranslate2, CUDA, cuBLAS, MKL or C++ say that memory ran out?"""
    return isinstance(error, MemoryError) or bool(_OUT_OF_MEMORY.search(str(error)))


def _load(
    directory: Path, quantization: str, device: str, compute_type: str | None, threads: Threads
) -> tuple[Any, str]:
    """The translator, and the device that it is on."""
    if device not in ("auto", "cpu", "cuda"):
        raise ModelError(f"device {device!r}: must be auto, cpu or cuda")

    def translator(where: str, computes: str, devices: int = 1) -> Any:
        return ctranslate2.Translator(
            str(directory),
            device=where,
            device_index=list(range(devices)),
            compute_type=computes,
            inter_threads=threads.inter,
            intra_threads=threads.intra,
        )

    if _tries_cuda(device):
        try:
            _open_cublas()
            devices = max(1, ctranslate2.get_cuda_device_count())
            on_gpu = translator("cuda", compute_type or _compute_type_on_cuda(quantization), devices)
            # cuBLAS and the kernels are looked up at first use, so that only a use tells whether they work.
            on_gpu.translate_batch([[END]] * devices, beam_size=1, max_decoding_length=1, max_batch_size=1)
            return on_gpu, "cuda"
        except (RuntimeError, ValueError, IndexError) as error:
            reason = f"{directory}: CTranslate2 cannot run the model on the GPU: {error}"
            if CUBLAS in str(error):
                reason += "; `pip install nvidia-cublas-cu12` brings that library"
            if device == "cuda":
                raise ModelError(f"{reason}; without a GPU: --device cpu") from error
            warnings.warn(f"{reason}; going on with the CPU", RuntimeWarning, stacklevel=3)
    try:
        return translator("cpu", compute_type or "default"), "cpu"
    except (RuntimeError, ValueError, IndexError) as error:
        raise ModelError(f"{directory}: CTranslate2 cannot load the model: {error}") from error


def usual_threads(device: str, cores: int) -> Threads:
    """How so many cores are used unless somebody says otherwise.

    On a CPU batches lie side by side as long as there is room for what they need: the threads of one batch
    meet after every step, and on virtual cores wait for each other most of the time.

    Args:
        device: `cpu`, `cuda`, or `auto`.
    """
    if _tries_cuda(device):
        return Threads(intra=cores)
    at_once = min(cores, AT_ONCE)
    return Threads(at_once, cores // at_once)


def _tries_cuda(device: str) -> bool:
    return device == "cuda" or (device == "auto" and ctranslate2.get_cuda_device_count() > 0)


def usual_compute_type(quantization: str) -> str:
    """What GPUs of this decade compute in, for weights that are stored so; see `Decoder.compute_type`."""
    return next(_preferred_on_cuda(quantization), "default")


def _compute_type_on_cuda(quantization: str) -> str:
    supported = ctranslate2.get_supported_compute_types("cuda")
    return next((name for name in _preferred_on_cuda(quantization) if name in supported), "default")


def _preferred_on_cuda(quantization: str) -> Iterator[str]:
    return iter(_ON_CUDA.get("int8" if quantization.startswith("int8") else quantization, ()))


def _open_cublas() -> None:
    """Opens cuBLAS where pip put it, if the system has none: CTranslate2 then finds it by its name."""
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL(CUBLAS)
        return
    except OSError:
        package = find_spec("nvidia")
    for folder in package.submodule_search_locations or () if package else ():
        for library in sorted(Path(folder).glob(f"*/lib/{CUBLAS}")):
            # cuBLAS looks for cublasLt by name too. One that does not open is told by CTranslate2's error.
            for name in (CUBLAS.replace("cublas", "cublasLt"), CUBLAS):
                _open_library(library.with_name(name))


def _open_library(path: Path) -> bool:
    try:
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True
