"""The directory of a training run: its checkpoints, each whole or absent, and where the run stands.

configuration.json            the configuration as it was checked, and its digest
metrics.jsonl                 figures, see `training.figures`
frozen/                       weights that the run does not change, hard-linked into every checkpoint
checkpoints/step-00001000/    see `training.checkpoint`; with training_state/ to go on from
    skipped.jsonl                 the first examples that could not be used, and why
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.configuration import Configuration, MixSection, differences, digest_of
from translation.disk import rename, sync_tree, write_whole

CHECKPOINTS = "checkpoints"
FROZEN = "frozen"
TRAINING_STATE = "training_state"
STATE = "state.json"
OPTIMISER = "optimizer.safetensors"
SKIPPED = "skipped.jsonl"
CONFIGURATION = "configuration.json"

_CHECKPOINT = re.compile(r"step-(\d{8})")
_UNFINISHED = ".unfinished-"


class RunError(RuntimeError):
    """The run cannot begin or go on; the message says why and what to do."""


class OtherConfiguration(RunError):
    """The directory holds a run of another configuration; the message lists what differs."""


@dataclass
class Progress:
    """Where a run stands; what a checkpoint stores besides tensors."""

    stage: int = 0
    """Number of the stage that the run is in."""
    stage_step: int = 0
    """Steps that are done of it."""
    step: int = 0
    """Steps that are done in all."""
    finished: bool = False
    loader: dict[str, Any] | None = None
    """Of the stage's loader; None at the beginning of a stage."""
    left_out: int = 0
    """Steps that were left out for a gradient that is not finite."""
    left_out_in_a_row: int = 0
    sums: dict[str, Any] = field(default_factory=dict)
    """What the next line of figures is made of."""
    norms: list[float] = field(default_factory=list)
    """Of the gradients since the last line of figures."""
    report: dict[str, Any] | None = None
    """What loaders have handed out and left out, in all stages."""
    scaler: dict[str, float] | None = None
    """Of float16's loss scaling."""
    seconds: float = 0.0
    """Of training, over all tries."""


class RunDirectory:
    """One process at a time trains in a directory; the first rank of a run holds its lock."""

    def __init__(self, configuration: Configuration, mixes: Sequence[str] = (), *, main: bool = True) -> None:
        """Takes the lock, clears what an interruption left, and compares configurations.

        Args:
            mixes: digests of what is trained on.
            main: of all ranks the one that writes.

        Raises:
            OtherConfiguration: a run of another configuration stands there.
            RunError: another process trains there, or the directory cannot be written to.
        """
        self.path, self._configuration, self._main = configuration.run_directory, configuration, main
        self._identity = configuration.decisive() | {"mixes": list(mixes)}
        self._lock: IO[str] | None = None
        if main:
            try:
                (self.path / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
                self._take_lock()
                for left in (self.path / CHECKPOINTS).glob(f"{_UNFINISHED}*"):
                    shutil.rmtree(left)
            except OSError as error:
                raise RunError(f"{self.path}: cannot be written to: {error.strerror or error}") from error
        try:
            self._check_configuration()
        except RunError:
            self.close()
            raise

    def _take_lock(self) -> None:
        lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise RunError(f"{self.path}: another process trains there; wait for it or end it") from error
        self._lock = lock

    def _check_configuration(self) -> None:
        latest = self.latest()
        if latest is not None:
            state = self._state_of(latest)
            stored, first = state["configuration"], self._first_to_come(state)
            free = self._of_stages_from(first, len(stored["stages"]))
            kept = self._mixes_before(first)
            mine = _with_mixes(self._identity, len(kept))
            stored = _with_mixes(stored, len(kept))
            # `max_skipped` decides on no weights, but runs of earlier versions have it among what does.
            told = [
                line
                for line in differences(mine, stored)
                if "data.max_skipped:" not in line and not line.startswith(free)
            ]
            others = [line for line in told if not line.startswith("mixes.")]
            if others:
                lines = "\n  ".join(others)
                raise OtherConfiguration(
                    f"{self.path}: holds {latest.name} of another configuration:\n  {lines}\n"
                    "take another `output`, or the former values to go on"
                )
            if told:
                mixes = zip_longest(mine["mixes"], stored["mixes"], kept)
                paths = dict.fromkeys(mix.path for one, other, mix in mixes if one != other and mix)
                raise OtherConfiguration(
                    f"{self.path}: holds {latest.name}, and the rows of {', '.join(paths)} are others since "
                    "it began; take another `output`, or the mix as it was to go on"
                )
        if self._main:
            whole = self._configuration.model_dump(mode="json")
            text = json.dumps({"digest": self.digest, **whole}, indent=1, ensure_ascii=False)
            write_whole(self.path / CONFIGURATION, (text + "\n").encode())

    def _first_to_come(self, state: Mapping[str, Any]) -> int | None:
        """The first of the stages that have not begun, which may change; None where none may.

        So it is if other parts are trained then: a checkpoint holds what the stages to come train, too.
        """
        progress, stored = Progress(**state["progress"]), state["configuration"]["stages"]
        parts = {part for stage in stored for part in stage["learning_rates"]}
        stages = len(self._configuration.stages)
        if progress.finished or progress.stage >= stages or parts != self._configuration.trained_parts:
            return None
        return progress.stage + bool(progress.stage_step)

    def _of_stages_from(self, first: int | None, stored: int) -> tuple[str, ...]:
        """How lines of differences begin that are about these stages."""
        stages = max(stored, len(self._configuration.stages))
        return tuple(f"stages.{number}." for number in range(stages if first is None else first, stages))

    def _mixes_before(self, first: int | None) -> tuple[MixSection, ...]:
        """The mixes that are no stage's own from `first` on, which come first among all."""
        configuration = self._configuration
        begun = configuration.model_copy(update={"stages": configuration.stages[:first]})
        return begun.all_mixes()

    @property
    def digest(self) -> str:
        """Of all that decides on the weights: the configuration, and the mixes; 16 hexadecimal digits."""
        return digest_of(self._identity)

    def checkpoints(self) -> list[Path]:
        """The finished ones, in order."""
        return _finished(self.path)

    def latest(self) -> Path | None:
        """The one that training goes on from."""
        return next(iter(self.checkpoints()[::-1]), None)

    def progress_of(self, checkpoint: Path) -> Progress:
        """Where the run stood; raises RunError where its file is damaged."""
        return Progress(**self._state_of(checkpoint)["progress"])

    def checkpoint_of(self, progress: Progress) -> Path:
        """Where the checkpoint of a step lies."""
        return self.path / CHECKPOINTS / f"step-{progress.step:08}"

    def list_skipped(self, skipped: Sequence[Any]) -> None:
        """Writes the first examples that were left out, and why, to `skipped.jsonl`."""
        if skipped:
            lines = [json.dumps(asdict(one), ensure_ascii=False) for one in skipped]
            write_whole(self.path / SKIPPED, ("\n".join(lines) + "\n").encode())

    def optimiser_of(self, checkpoint: Path) -> dict[str, Tensor]:
        """The optimiser's tensors by `parameter/name`; raises RunError where their file is damaged."""
        path = checkpoint / TRAINING_STATE / OPTIMISER
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise self._damaged(path, error) from error

    def _state_of(self, checkpoint: Path) -> dict[str, Any]:
        path = checkpoint / TRAINING_STATE / STATE
        try:
            state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            Progress(**state["progress"])
            state["configuration"]["model"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(path, error) from error
        return state

    def _damaged(self, path: Path, error: Exception) -> RunError:
        folder = path.parent.parent
        return RunError(
            f"{path}: cannot be read ({type(error).__name__}: {error}); remove {folder} to go on from the "
            "checkpoint before it"
        )

    def save(
        self,
        progress: Progress,
        optimiser: Mapping[str, Tensor],
        save_weights: Callable[[Path, Path], None],
        *,
        stage: int = 0,
        best: float | None = None,
    ) -> Path:
        """Writes a checkpoint under another name, syncs and renames it, and removes those that are over.

        Args:
            save_weights: writes the model into a folder, given that and the one of frozen weights.
            stage: number of the stage that was trained; the progress of its end is the next one's.
            best: validation loss, if this checkpoint is the best one of its stage so far.

        Raises:
            RunError: the disk is full or cannot be written to; nothing that looks finished is left.
        """
        name = f"step-{progress.step:08}"
        folder, new = self.path / CHECKPOINTS, self.path / CHECKPOINTS / f"{_UNFINISHED}{name}"
        try:
            state = new / TRAINING_STATE
            state.mkdir(parents=True)
            save_weights(new, self.path / FROZEN)
            if optimiser:
                save_file(dict(optimiser), state / OPTIMISER)
            content = {"progress": asdict(progress), "stage": stage, "best": best,
                       "configuration": self._identity}  # fmt: skip
            (state / STATE).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
            # Not `whole_or_absent`: what a kill leaves must have the name that the next start looks for.
            sync_tree(new)
            target = folder / name
            if target.exists():
                # A run that was interrupted at its very end; what is there is the same.
                _remove(target)
            rename(new, target)
            self._prune()
        except OSError as error:
            shutil.rmtree(new, ignore_errors=True)
            raise RunError(
                f"{folder}: the checkpoint of step {progress.step} cannot be written: "
                f"{error.strerror or error}; make room, then the same command goes on"
            ) from error
        except SafetensorError as error:
            shutil.rmtree(new, ignore_errors=True)
            raise RunError(
                f"{folder}: the checkpoint of step {progress.step} cannot be written: {error}; make room, "
                "then the same command goes on"
            ) from error
        return target

    def best(self) -> tuple[str, float, int] | None:
        """Name, validation loss and stage of the best checkpoint of the stage that was trained last."""
        return _best(self.checkpoints())

    def _prune(self) -> None:
        best = self.best()
        for old in self.checkpoints()[: -self._configuration.checkpoints.keep]:
            if best is None or old.name != best[0]:
                _remove(old)

    def close(self) -> None:
        """Lets go of the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def chosen_checkpoint(directory: Path) -> Path:
    """The checkpoint that a path stands for: itself, or of a run's directory the best one, else the last.

    Raises:
        RunError: the run has no checkpoint yet.
    """
    folder = directory / CHECKPOINTS
    if not folder.is_dir():
        return directory
    found = _finished(directory)
    if not found:
        raise RunError(f"{directory}: the run has no checkpoint yet")
    best = _best(found)
    return folder / best[0] if best is not None else found[-1]


def _best(checkpoints: Sequence[Path]) -> tuple[str, float, int] | None:
    """Of the last one's stage, the one with the lowest validation loss; without those that cannot be read."""
    found = []
    for checkpoint in checkpoints:
        try:
            state = json.loads((checkpoint / TRAINING_STATE / STATE).read_text(encoding="utf-8"))
            loss, stage = state["best"], int(state["stage"])
            found.append((checkpoint.name, None if loss is None else float(loss), stage))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    # What was trained since is not in an earlier stage's.
    judged = [
        (name, loss, stage) for name, loss, stage in found if loss is not None and stage == found[-1][2]
    ]
    return min(judged, key=lambda one: one[1], default=None)


def _finished(directory: Path) -> list[Path]:
    """The finished checkpoints of a run, in order."""
    return sorted(
        path for path in (directory / CHECKPOINTS).glob("step-*") if _CHECKPOINT.fullmatch(path.name)
    )


def _remove(checkpoint: Path) -> None:
    """Renamed first, so that what a kill leaves of it does not look finished."""
    doomed = checkpoint.with_name(f"{_UNFINISHED}{checkpoint.name}-old")
    checkpoint.rename(doomed)
    shutil.rmtree(doomed)


def _with_mixes(identity: Mapping[str, Any], number: int) -> dict[str, Any]:
    """With the digests of the first mixes alone."""
    return {**identity, "mixes": identity.get("mixes", [])[:number]}
