"""A training run: its model, its directory, its stages one after the other; `training.stage` has the loop."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, DistributedType, InitProcessGroupKwargs
from accelerate.utils import broadcast_object_list
from rich.console import Console
from safetensors import SafetensorError

from training import requested
from training.checkpoint import Loaded, load_trained, load_unrounded, save_description, save_frozen
from training.configuration import Configuration
from training.figures import Figures, FiguresError
from training.introduction import introduce
from training.parameters import trainable
from training.precision import Precisions, precisions_of
from training.run_directory import FROZEN, Progress, RunDirectory, RunError
from training.sharding import shard
from training.stage import Run, StageRun, micro_batches
from training.stage_data import check_batches, check_tasks, mix_digests
from training.throughput import peak_flops, picture_flops
from training.weight_files import located


@dataclass(frozen=True)
class Outcome:
    """What became of a run."""

    checkpoint: Path
    """The last one."""
    progress: Progress
    best: tuple[str, float, int] | None
    """Name of the checkpoint with the lowest validation loss, that, and the number of its stage."""
    main: bool
    """Whether this process is the first of its run."""

    @property
    def left_out(self) -> Counter[str]:
        """Reason -> examples that could not be used, in all stages."""
        return Counter((self.progress.report or {}).get("skipped", {}))


def train(configuration: Configuration, console: Console, *, quiet: bool = False) -> Outcome:
    """Trains to the end of the last stage, from the directory's last checkpoint if there is one.

    Raises:
        SettingsError: the configuration does not fit the number of processes, the model or the data, its
            parts do not go together, or a package that it needs is missing.
        RunError: the run cannot begin or go on; too many gradients in a row were not finite; or `Stopped`.
        MixError, LoaderError: data that cannot be trained on.
        CheckpointError: a model that cannot be read.
    """
    precisions = precisions_of(configuration.precision)
    # By name from here on: a run does not go on in the precision of another machine.
    configuration = configuration.model_copy(update={"precision": precisions.name})
    accelerator = _accelerator(configuration, precisions)
    main = accelerator.is_main_process
    torch.set_float32_matmul_precision("high")
    with ExitStack() as stack:
        mixes = mix_digests(configuration)
        directory = stack.enter_context(RunDirectory(configuration, mixes, main=main))
        latest, progress, best = _where(directory, accelerator)
        if latest is not None and progress.finished:
            return Outcome(latest, progress, best, main)
        for number in range(progress.stage, len(configuration.stages)):
            # What is wrong with a later stage is told before the first one takes its days.
            micro_batches(configuration, number, accelerator.num_processes)
            check_tasks(configuration, number)
        sharded = configuration.sharding == "full" and accelerator.num_processes > 1
        assembled = requested.assembled(
            configuration,
            dtype=precisions.frozen,
            # A device may have no room for more than its share.
            device="cpu" if sharded else accelerator.device,
        )
        if assembled.tokenizer is None:
            raise RunError(f"{configuration.model.llm}: has no tokenizer, so no text can be trained on")
        unlike = requested.text_encoder(assembled, configuration).unlike_template()
        if main and unlike is not None:
            console.print(f"texts: {unlike}", markup=False, soft_wrap=True)
        # In float32 from the beginning, whichever stage trains it: a checkpoint holds no less.
        trainable(assembled.model, configuration.trained_parts)
        if latest is not None:
            load_trained(assembled.model, latest)
        elif configuration.model.start is not None:
            start = configuration.place(configuration.model.start)
            folder = located(start, configuration.model.revisions.get(start))
            load_unrounded(assembled.model, folder, configuration.trained_parts)
        if configuration.gradient_checkpointing:
            assembled.base.gradient_checkpointing_enable()
        if main:
            # What of a model cannot be stored shall show before days are spent on it.
            with TemporaryDirectory() as folder_of_trial:
                save_description(assembled, Path(folder_of_trial))
        pictures = assembled.preprocessing.pictures
        size = (pictures.height, pictures.width)
        counted = peak_flops(accelerator.device) is not None and precisions.mixed != "no"
        flops = picture_flops(assembled.base, size) if counted else None
        if sharded:
            _share_out(assembled, configuration, directory, accelerator, size)
        for number in range(progress.stage + 1, len(configuration.stages)):
            data = configuration.stages[number].data or configuration.data
            prepared = requested.with_settings(assembled, configuration, data, directory.digest)
            check_batches(configuration, number, prepared, accelerator)
        figures = None
        if main:
            options = configuration.model_dump(mode="json")
            try:
                figures = Figures(
                    directory.path, configuration.log, configuration.name, progress.step, options
                )
            except FiguresError as error:
                raise configuration.error(("log", error.key), error.remedy) from error
            stack.enter_context(figures)
        stopping = stack.enter_context(_signals())
        if main and not quiet:
            introduce(
                configuration, directory.digest, assembled, progress, accelerator.num_processes, console
            )
        run = Run(
            configuration=configuration,
            accelerator=accelerator,
            precisions=precisions,
            assembled=assembled,
            picture_flops=flops,
            directory=directory,
            figures=figures,
            console=console,
            quiet=quiet,
            stopping=stopping,
        )
        for number in range(progress.stage, len(configuration.stages)):
            with StageRun(run, number, progress, latest, best) as stage:
                progress, latest, best = stage.run()
        assert latest is not None
        accelerator.end_training()
        return Outcome(latest, progress, best, main)


def _share_out(
    assembled: Loaded,
    configuration: Configuration,
    directory: RunDirectory,
    accelerator: Accelerator,
    picture: tuple[int, int],
) -> None:
    """Leaves each process its share of the model, once what is frozen of it is stored, while it is whole."""
    folder = directory.path / FROZEN
    try:
        if accelerator.is_main_process:
            save_frozen(assembled, folder, configuration.trained_parts)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{folder}: cannot be written: {error}; make room, then begin again") from error
    accelerator.wait_for_everyone()
    shard(assembled.model, accelerator.num_processes, accelerator.device, picture)


def _accelerator(configuration: Configuration, precisions: Precisions) -> Accelerator:
    """Devices and processes as the launcher gave them."""
    accelerator = Accelerator(
        mixed_precision=precisions.mixed,
        # Without saying so, processes on CPUs would not find each other.
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[
            # The first process writes gigabytes while the others wait.
            InitProcessGroupKwargs(timeout=timedelta(hours=6)),
            # Encoders have weights that nothing here uses, such as a pooler's.
            DistributedDataParallelKwargs(
                find_unused_parameters="vision" in configuration.trained_parts,
                gradient_as_bucket_view=True,
            ),
        ],
    )
    kinds = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
    if accelerator.distributed_type not in kinds:
        raise RunError(
            f"launched for {accelerator.distributed_type.value}; take `torchrun` or `accelerate launch "
            "--multi_gpu`, and `sharding: full` to share the model out among processes"
        )
    # A launcher's own accumulation would divide the loss once more.
    accelerator.gradient_accumulation_steps = 1
    return accelerator


def _where(
    directory: RunDirectory, accelerator: Accelerator
) -> tuple[Path | None, Progress, tuple[str, float, int] | None]:
    """The last checkpoint, where the run stood there, and the best one, as the first process finds them."""
    found: list[Any] = [None]
    if accelerator.is_main_process:
        latest = directory.latest()
        progress = Progress() if latest is None else directory.progress_of(latest)
        found = [(latest, progress, directory.best())]
    broadcast_object_list(found)
    return found[0]  # type: ignore[no-any-return]


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second SIGINT interrupts at once."""
    stopping = threading.Event()

    def stop(number: int, _: object) -> None:
        if stopping.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stopping.set()

    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
