"""The engine of a worker: which model with what memory, one for a process or one for a whole machine."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.utils.multi_process_shared import MultiProcessShared
from apache_beam.utils.shared import Shared

from pipelines.options import is_local_runner
from pipelines.staging import staged
from translation.decoder import Threads, usual_threads
from translation.engine import Engine
from translation.machine import available_cores
from translation.memory import Memory, Origin, RememberingEngine
from translation.model import SMALL, ModelError, model_directory
from translation.translations import Decoding

CPU = "cpu"


@dataclass(frozen=True)
class EngineOptions:
    """Everything a worker needs to make its engine; picklable."""

    directory: str
    """Of the model: `small`, a local path, or a URL, from which each machine fetches it once."""
    decoding: Decoding
    device: str
    """`cpu`, `cuda` or `auto`."""
    threads: Threads
    """Of one engine."""
    memory: str
    """Folder of the translation memory; `translation.memory.begin` was called on it."""
    origin: Origin
    """What finds the translations of this engine there."""
    shortlist: bool
    """Use the model's vocabulary shortlists, where it has any."""
    computed: str
    """What `computed_by` says of the engine that the run was planned with."""
    shared_as: str = ""
    """A name that no other run has: the processes of a machine share one engine under it. Empty: each has
    its own, which is the faster way for small models on a CPU."""

    @property
    def on_gpu(self) -> bool:
        """Whether this translates on GPUs."""
        return self.computed != CPU

    @property
    def model_directory(self) -> Path:
        """On this machine; fetched if it is elsewhere.

        Raises:
            StagingError: it cannot be fetched.
        """
        return model_directory(SMALL) if self.directory == SMALL else staged(self.directory)

    def load(self) -> RememberingEngine:
        """The engine with its memory.

        Raises:
            ModelError: there is no model, or this machine computes otherwise than the run was planned for.
            StagingError: the model cannot be fetched.
        """
        threads = self._threads_here() if self.shared_as and not self.threads.intra else self.threads
        # The digest was checked when the run started; 3 GB a worker would cost time again.
        engine = Engine(
            self.model_directory,
            self.decoding,
            device=self.device,
            threads=threads,
            shortlist=self.shortlist,
            check=False,
        )
        if computed_by(engine) != self.computed:
            found, wanted = computed_by(engine), self.computed
            engine.close()
            raise ModelError(
                f"this worker computes on {found}, but the run was planned for {wanted}, and the mix says so "
                "of itself; plan it for what the workers have: --device"
            )
        return RememberingEngine(engine, Memory(self.memory), self.origin)

    def _threads_here(self) -> Threads:
        """All cores of this machine, whose worker processes call one engine; CTranslate2 would take four."""
        cores = available_cores()
        if self.threads.inter > 1:
            return replace(self.threads, intra=max(1, cores // self.threads.inter))
        usual = usual_threads(self.device, cores)
        return replace(self.threads, inter=usual.inter, intra=usual.intra)


def computed_by(engine: Engine) -> str:
    """`cpu`, or `cuda-int8_float16` and the like: another computation gives other last digits."""
    return f"cuda-{engine.compute_type}" if engine.device == "cuda" else CPU


class HeldEngine:
    """An engine that a worker holds: of its process, or the one that all processes of the machine call."""

    def __init__(self, options: EngineOptions, of_process: Shared) -> None:
        """
        Args:
            of_process: finds the engine that another thread of this process holds.

        Raises:
            ModelError, StagingError: see `EngineOptions.load`.
        """
        self._of_machine: MultiProcessShared[RememberingEngine] | None = None
        if options.shared_as:
            self._of_machine = MultiProcessShared(options.load, tag=options.shared_as)
            self._proxy: Any = self._of_machine.acquire()
            self.engine: RememberingEngine = self._proxy
        else:
            self.engine = of_process.acquire(options.load)

    def release(self) -> None:
        """The engine cannot be used afterwards; its memory is free when the last one lets go of it."""
        if self._of_machine is not None:
            # The process that served may be gone, and its engine with it.
            with suppress(ConnectionError, EOFError):
                self._of_machine.release(self._proxy)
            self._of_machine = None
        del self.engine


def cores_per_worker(options: PipelineOptions) -> int:
    """Cores that a worker process has, all as many; 0 where they are not those of this machine."""
    if not is_local_runner(options):
        return 0
    cores = available_cores()
    # 0 workers is Beam's word for one a core.
    return max(1, cores // (workers_here(options) or cores))


def workers_here(options: PipelineOptions) -> int:
    """Worker processes that the local runner starts; 0 stands for one a core."""
    direct = options.view_as(DirectOptions)
    return int(direct.direct_num_workers) if direct.direct_running_mode == "multi_processing" else 1
