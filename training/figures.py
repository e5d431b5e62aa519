"""The figures of a run: one JSON object a line in `metrics.jsonl`, and the same to TensorBoard and others."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from training.configuration import LogSection
from translation.disk import write_whole

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"


class FiguresError(RuntimeError):
    """Figures cannot be kept as configured; the message says what to install or change."""

    def __init__(self, key: str, remedy: str) -> None:
        """
        Args:
            key: under `log`.
        """
        super().__init__(f"log.{key}: {remedy}")
        self.key, self.remedy = key, remedy


class Tracker(Protocol):
    """Something that figures go to besides the file."""

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Numbers by name."""

    def close(self) -> None:
        """Writes what is left."""


class Figures:
    """Writes figures; what a run wrote after the step that it goes on from is taken out first."""

    def __init__(self, directory: Path, settings: LogSection, name: str, step: int, options: Any) -> None:
        """
        Args:
            name: of the run.
            step: that the run goes on from, 0 at its beginning.
            options: of the run, shown by trackers.

        Raises:
            FiguresError: a package that the settings need is not installed.
        """
        self.path = directory / METRICS
        _keep(self.path, step)
        self._file = self.path.open("a", encoding="utf-8")
        self._trackers = list(_trackers(directory, settings, name, step, options))

    def write(self, step: int, kind: str, figures: Mapping[str, Any]) -> None:
        """A line of figures at a step; numbers, or mappings of names to numbers."""
        line = {"step": step, "kind": kind, **figures}
        self._file.write(json.dumps(_finite(line), ensure_ascii=False) + "\n")
        self._file.flush()
        numbers = {f"{kind}/{key}": value for key, value in _numbers(figures)}
        for tracker in self._trackers:
            tracker.log(numbers, step)

    def sync(self) -> None:
        """What was written outlasts a power failure."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> Figures:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        for tracker in self._trackers:
            tracker.close()


def read_figures(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's figures; damaged ones are left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _keep(path: Path, step: int) -> None:
    """Takes out lines of later steps, and one that was cut off."""
    if not path.exists():
        return
    lines = [line for line in read_figures(path) if line["step"] <= step]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_whole(path, text.encode())


def _finite(value: Any) -> Any:
    """JSON has no infinite or undefined numbers; they become null."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _numbers(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}/")
        elif isinstance(value, int | float):
            yield f"{prefix}{key}", float(value)


def _trackers(directory: Path, settings: LogSection, name: str, step: int, options: Any) -> Iterator[Tracker]:
    if settings.tensorboard:
        yield _TensorBoard(directory / TENSORBOARD, step)
    for package, project in (("wandb", settings.wandb), ("trackio", settings.trackio)):
        if project is not None:
            yield _Run(package, project, name, options)


def _package(name: str, key: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise FiguresError(
            key,
            f"the package for it cannot be imported ({error}); "
            f"`pip install {'tensorboard' if package == 'torch' else package}`, or switch it off",
        ) from error


class _TensorBoard:
    def __init__(self, directory: Path, step: int) -> None:
        writer = _package("torch.utils.tensorboard", "tensorboard").SummaryWriter
        self._writer = writer(str(directory), purge_step=step + 1)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Run:
    """A run of Weights & Biases, or of trackio, which has the same calls."""

    def __init__(self, package: str, project: str, name: str, options: Any) -> None:
        self._package = _package(package, package)
        # With a name of its own, a run that goes on is not another one there.
        digest = hashlib.sha256(f"{name} {options}".encode()).hexdigest()
        own = {"id": digest[:16]} if package == "wandb" else {}
        self._package.init(project=project, name=name, config=options, resume="allow", **own)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._package.log(dict(figures), step=step)

    def close(self) -> None:
        self._package.finish()
