"""The safetensors files of a checkpoint, on disk or on the hub: found, checked, and read tensor by tensor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken")
"""Everything of a repository but its weights: configurations and tokenizers."""


ADAPTER_WEIGHTS = "adapter/*.safetensors"
"""Of checkpoints that keep an adapter beside the weights of their model."""


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or of another model; the message says which file, what to do."""


class OtherKind(CheckpointError):
    """A model of another kind than is wanted."""


def located(source: str | Path, revision: str | None = None) -> Path:
    """The directory of a model: `source` itself, or what of a hub repository is no weights, downloaded.

    Raises:
        CheckpointError: there is no such directory and no such repository.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise CheckpointError(f"{source}: a file, where the directory of a model is wanted")
    return Path(_downloaded(str(source), revision, SMALL_FILES))


def with_weights(
    source: str | Path, revision: str | None = None, wanted: Callable[[str], bool] = lambda name: True
) -> WeightFiles:
    """The weights of a model; of a hub repository, the files with tensors of wanted names are downloaded.

    Raises:
        CheckpointError: see `located` and `WeightFiles`.
    """
    folder = located(source, revision)
    if Path(source).expanduser().is_dir():
        return WeightFiles(folder)
    index = folder / INDEX
    names = {SINGLE}
    if index.is_file():
        names = {file for tensor, file in _weight_map(index).items() if wanted(tensor)}
    patterns = (*SMALL_FILES, ADAPTER_WEIGHTS, *sorted(names))
    folder = Path(_downloaded(str(source), revision, patterns))
    if not (folder / INDEX).is_file() and not (folder / SINGLE).is_file():
        raise CheckpointError(f"{source}: {_no_weights(_hub_files(str(source), revision))}")
    return WeightFiles(folder)


def _hub_files(name: str, revision: str | None) -> list[str]:
    """The files of a repository; none where the hub cannot be asked."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return sorted(HfApi().list_repo_files(name, revision=revision))
    except (HfHubHTTPError, OSError):
        return []


def _downloaded(name: str, revision: str | None, patterns: Iterable[str]) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return str(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except HFValidationError as error:
        raise CheckpointError(f"{name}: no such directory, and no name of a hub repository") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{name}: no such directory, and it cannot be had from the hub: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def quietly() -> Iterator[None]:
    """Without transformers' bars and tables while it loads: what matters of them is an error here."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def read_json(path: Path) -> dict[str, Any]:
    """An object from a file of a checkpoint.

    Raises:
        CheckpointError: it is missing, or holds no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: missing; the checkpoint is incomplete, so take another one"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: damaged: {error}; copy it again") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: damaged: holds no object; copy it again")
    return values


def _weight_map(index: Path) -> Mapping[str, str]:
    found = read_json(index).get("weight_map")
    if not isinstance(found, dict) or not all(isinstance(file, str) for file in found.values()):
        raise CheckpointError(f"{index}: damaged: has no `weight_map`; copy it again")
    return found


class WeightFiles:
    """The tensors of a checkpoint's directory; nothing is read before it is asked for."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            CheckpointError: there are no safetensors files.
        """
        self.folder = folder
        if not (folder / INDEX).is_file() and not (folder / SINGLE).is_file():
            found = sorted(path.name for path in folder.glob("*"))
            raise CheckpointError(f"{folder}: {_no_weights(found)}")

    @cached_property
    def files(self) -> Mapping[str, str]:
        """Name of each tensor -> its file; raises `CheckpointError` where the index is damaged."""
        index = self.folder / INDEX
        if index.is_file():
            return _weight_map(index)
        return dict.fromkeys(self._stored(SINGLE), SINGLE)

    def check(self, wanted: Callable[[str], bool] = lambda name: True) -> None:
        """Opens every file, so that a damaged one is told before an hour of loading.

        Args:
            wanted: names of the tensors that are needed; files without any may be missing.

        Raises:
            CheckpointError: a file is missing or cut short, or lacks what the index says it holds.
        """
        for file in sorted({file for name, file in self.files.items() if wanted(name)}):
            stored = set(self._stored(file))
            lacking = [name for name, place in self.files.items() if place == file and name not in stored]
            if lacking:
                raise CheckpointError(
                    f"{self.folder / file}: has no tensor {lacking[0]!r}, which {INDEX} says it holds; they "
                    "are of different checkpoints, so copy both again"
                )

    def read(self, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
        """The tensors of wanted names; no others are read from disk.

        Raises:
            CheckpointError: see `check`.
        """
        self.check(wanted)
        found: dict[str, Tensor] = {}
        for file in sorted(set(self.files.values())):
            names = [name for name, place in self.files.items() if place == file and wanted(name)]
            if names:
                with self._open(file) as opened:
                    found |= {name: opened.get_tensor(name) for name in names}
        return found

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor, without reading it."""
        with self._open(self.files[name]) as opened:
            return tuple(opened.get_slice(name).get_shape())

    def _stored(self, file: str) -> Iterator[str]:
        with self._open(file) as opened:
            yield from opened.keys()

    def _open(self, file: str) -> Any:
        path = self.folder / file
        try:
            return safe_open(path, framework="pt")
        except FileNotFoundError as error:
            raise CheckpointError(
                f"{path}: missing; the checkpoint is incomplete, so copy it again"
            ) from error
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: damaged or cut short: {error}; copy it again") from error


def pretrained(
    auto: Any,
    folder: Path,
    config: Any,
    dtype: torch.dtype,
    *,
    needed: Callable[[str], bool] = lambda name: True,
    **options: Any,
) -> Any:
    """A model of transformers with the weights of a directory.

    Args:
        auto: the class whose `from_pretrained` makes it.
        needed: whether a weight of that name may not be missing.
        options: further ones of `from_pretrained`.

    Raises:
        CheckpointError: a weight is missing or of another shape.
    """
    with quietly():
        model, report = auto.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **options,
        )
    check_report(report, folder, needed)
    return model


def check_report(
    report: Mapping[str, Any], folder: Path, needed: Callable[[str], bool] = lambda name: True
) -> None:
    """Raises `CheckpointError` for weights that transformers did not find, or could not use.

    Args:
        report: transformers' `output_loading_info`.
        needed: whether a weight of that name may not be missing.
    """
    for name, stored, expected in sorted(report["mismatched_keys"]):
        raise CheckpointError(
            f"{folder}: {name} is {tuple(stored)}, where config.json makes it {tuple(expected)}; the weights "
            "are not of this configuration"
        )
    missing = sorted(name for name in report["missing_keys"] if needed(name))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(f"{folder}: no weights for {missing[0]}{more}; the checkpoint is incomplete")


def _no_weights(names: Sequence[str]) -> str:
    pickled = [name for name in names if PurePosixPath(name).suffix in (".bin", ".pt", ".pth", ".ckpt")]
    if not pickled:
        return f"neither {SINGLE} nor {INDEX} is there; this is no checkpoint, or an incomplete one"
    return (
        f"weights only as {pickled[0]}, a format that can run code when it is opened; convert it where you "
        "trust it (`from_pretrained`, then `save_pretrained`), or take a revision with safetensors: many "
        "repositories have one under their pull requests (`refs/pr/1`)"
    )
