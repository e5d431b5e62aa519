"""The rows that a stage is trained and validated on."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc
from accelerate import Accelerator

from training.checkpoint import Loaded
from training.configuration import Configuration, DataSection, MixSection
from training.loader import Loader, LoaderSettings, MixWeight, ShortEpoch
from training.mixes import EmptySplit, Mix
from training.mixture import Mixture, NoSuchTask, cells_of
from training.order import OrderSettings
from translation.machine import available_cores
from translation.mix_folder import TRAIN, VALIDATION


def training_loader(
    configuration: Configuration, number: int, loaded: Loaded, accelerator: Accelerator
) -> Loader:
    """The rows of a stage, in batches of `per_device`.

    Args:
        number: of the stage.

    Raises:
        MixError, TokenizerError: see `Loader`.
    """
    stage = configuration.stages[number]
    data = stage.data or configuration.data
    together = stage.batch_size // configuration.per_device
    workers = data.workers if data.workers != "auto" else max(0, available_cores() // _local(accelerator) - 1)
    settings = LoaderSettings(
        tuple(MixWeight(mix.path, mix.times) for mix in configuration.mixes_of(data)),
        _order(configuration, data, loaded),
        TRAIN,
        configuration.seed + number,
        Mixture(data.tasks, data.alpha, data.max_times),
        loaded.texts,
        loaded.preprocessing.pictures,
        together=together,
        max_skipped=data.max_skipped,
        without=held_out_keys(configuration),
    )
    return Loader(
        settings,
        loaded.tokenizer,
        rank=accelerator.process_index,
        ranks=accelerator.num_processes,
        workers=workers,
        # A step takes all of its batches before it computes the first.
        ahead=max(2, math.ceil(together / accelerator.num_processes / max(1, workers)) + 1),
        pin_memory=accelerator.device.type == "cuda",
    )


def held_out_loader(
    configuration: Configuration, number: int, loaded: Loaded, accelerator: Accelerator
) -> Loader:
    """The held-out rows of a stage's mixes, each once; mixes and tasks that are not trained on are left out.

    Raises:
        EmptySplit: none of the mixes has any, or none of a task that is trained on.
        MixError: see `Loader`.
    """
    data = configuration.stages[number].data or configuration.data
    mixes = _with_held_out(configuration.mixes_of(data))
    present = {task for mix in mixes if data.tasks for counts in mix.task_counts() for task in counts}
    unseen = {task: 0.0 for task, times in data.tasks.items() if times == 0 and task in present}
    settings = LoaderSettings(
        tuple(MixWeight(mix.location) for mix in mixes),
        _order(configuration, data, loaded),
        VALIDATION,
        configuration.seed,
        Mixture(unseen),
        loaded.texts,
        loaded.preprocessing.pictures,
        even=False,
        # A picture that is broken is one of few here.
        max_skipped=1.0,
    )
    loader = Loader(
        settings,
        loaded.tokenizer,
        rank=accelerator.process_index,
        ranks=accelerator.num_processes,
        workers=1 if data.workers else 0,
    )
    if not loader.planned:
        loader.close()
        raise EmptySplit("all rows that are held out are of tasks that are not trained on")
    return loader


def held_out_keys(configuration: Configuration) -> pa.Array | None:
    """Split keys of all rows that any mix of any stage holds out; None where each mix alone knows its own.

    A mix holds out its pictures without knowing of others, which may train on them, and pairs of pictures
    without knowing of other pairs with one of them. Ids of pictures are what mixes are split by, so a copy of
    a picture under another id is not known as one here.

    Raises:
        MixError: a mix that cannot be read.
    """
    paths = list(dict.fromkeys(mix.path for mix in configuration.all_mixes()))
    keys: list[pa.Array] = []
    for path in paths:
        with suppress(EmptySplit):
            mix = Mix(path, VALIDATION)
            if len(paths) == 1 and not any(map(mix.shows_pairs, mix.groups)):
                return None
            keys += [chunk for group in mix.groups for chunk in mix.split_keys(group).chunks]
            keys += [mix.keys_of_pairs(group)[1] for group in mix.groups]
    return pc.unique(pa.concat_arrays(keys)) if keys else None


def check_tasks(configuration: Configuration, number: int) -> None:
    """That the rows of a stage have the tasks that it weighs; without weights nothing is read.

    Raises:
        SettingsError: a weighted task is in no mix.
        MixError: a mix cannot be read.
    """
    own = configuration.stages[number].data
    data = own or configuration.data
    if data.tasks:
        try:
            cells_of([Mix(mix.path) for mix in configuration.mixes_of(data)], Mixture(data.tasks))
        except NoSuchTask as error:
            place = ("data",) if own is None else ("stages", number, "data")
            raise configuration.error((*place, "tasks", error.task), str(error)) from error


def check_batches(
    configuration: Configuration, number: int, loaded: Loaded, accelerator: Accelerator
) -> None:
    """That an epoch of a stage has enough batches for a step.

    Raises:
        SettingsError: it has not.
    """
    with training_loader(configuration, number, loaded, accelerator) as loader:
        check_epoch(configuration, number, loader)


def check_epoch(configuration: Configuration, number: int, loader: Loader) -> None:
    """The same of a loader that is there."""
    try:
        loader.check_epoch()
    except ShortEpoch as error:
        raise configuration.error(("stages", number, "batch_size"), str(error)) from error


def mix_digests(configuration: Configuration) -> list[str]:
    """Of all mixes of all stages, in order.

    Raises:
        MixError: one cannot be trained on.
    """
    return [Mix(mix.path).digest for mix in configuration.all_mixes()]


def _with_held_out(mixes: Sequence[MixSection]) -> list[Mix]:
    found: list[Mix] = []
    for mix in mixes:
        try:
            found.append(Mix(mix.path, VALIDATION))
        except EmptySplit as error:
            empty = error
    if not found:
        raise empty
    return found


def _order(configuration: Configuration, data: DataSection, loaded: Loaded) -> OrderSettings:
    return OrderSettings(
        configuration.per_device,
        window_rows=data.window_rows,
        window_bytes=data.window_mib * 2**20,
        picture_tokens=loaded.base.visual_tokens,
    )


def _local(accelerator: Accelerator) -> int:
    """Processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", accelerator.num_processes))
