"""Where a judge's files lie, what they hash to, and the device they run on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translation.model import sha256

if TYPE_CHECKING:
    import torch

EXTRA = "pip install 'translate-mix[quality]'"

READ = ("*.safetensors", "*.json", "*.yaml", "*.txt", "*.model")
"""What the judges read of a repository: weights without pickle, configuration, tokenizer."""


class QualityError(ValueError):
    """A judge that cannot be loaded; the message says what was asked for and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A judge's directory."""

    directory: Path
    label: str
    """For the judge's name: the directory's own, or the hub name with its revision."""
    from_hub: bool


def checkpoint(place: str) -> Checkpoint:
    """The files at `place`, fetched where that is a hub name: a directory, or `owner/name[@revision]`.

    Raises:
        QualityError: no such directory or repository, or the hub cannot be reached.
    """
    if Path(place).is_dir():
        return Checkpoint(Path(place), Path(place).resolve().name, False)
    repository, _, revision = place.partition("@")
    if repository.count("/") != 1 or repository.startswith((".", "/")) or repository.endswith("/"):
        raise QualityError(
            f"{place}: no such directory, and not a hub name (owner/name or owner/name@revision)"
        )
    return Checkpoint(fetch(repository, revision or None), place, True)


def fetch(repository: str, revision: str | None = None, files: tuple[str, ...] = READ) -> Path:
    """The local copy of the named files of a hub repository.

    Raises:
        QualityError: the repository is missing or gated, the hub is out of reach, or the extra is missing.
    """
    with needed_for(f"fetching {repository}"):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(files)))
    except GatedRepoError as error:
        raise QualityError(
            f"{repository}: gated; accept its licence on the hub and run `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise QualityError(f"{repository}: no such model on the hub, and no such directory here") from error
    except RevisionNotFoundError as error:
        raise QualityError(f"{repository}: the hub has no revision {revision!r} of it") from error
    except (OSError, ValueError) as error:  # HTTP and offline errors are OSErrors, bad names ValueErrors
        reason = str(error).splitlines()[0]
        raise QualityError(
            f"{repository}: the hub cannot be reached, and its cache has no copy; fetch it where there is a"
            f" connection and name the directory instead: {reason}"
        ) from error


def require(directory: Path, name: str, advice: str) -> Path:
    """A file that must be there.

    Raises:
        QualityError: it is not; with the advice.
    """
    path = directory / name
    if not path.is_file():
        raise QualityError(f"{path}: missing; {advice}")
    return path


def weights(directory: Path) -> list[Path]:
    """The `safetensors` files of the directory itself, one or the shards of one.

    Raises:
        QualityError: there are none, or one is not what its name says.
    """
    from safetensors import SafetensorError, safe_open

    found = sorted(directory.glob("*.safetensors"))
    if not found:
        others = sorted(
            path.name for pattern in ("*.bin", "*.ckpt", "*.pt") for path in directory.glob(pattern)
        )
        raise QualityError(
            f"{directory}: no model.safetensors"
            + (f" ({', '.join(others)} would run code when opened)" if others else "")
            + "; convert it once with safetensors.torch.save_file, or name a revision that has it"
        )
    for path in found:
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise QualityError(f"{path}: not a safetensors file: {error}") from error
    return found


@contextmanager
def needed_for(what: str) -> Iterator[None]:
    """Around imports of packages that the extra brings.

    Raises:
        QualityError: one is missing.
    """
    try:
        yield
    except ImportError as error:
        raise QualityError(f"{what} needs {error.name}: {EXTRA}") from error


@contextmanager
def loading(problem: str) -> Iterator[None]:
    """Around what loads a model: quiet, and what the libraries raise over its files comes out as one error.

    Raises:
        QualityError: `problem`, and what the library says.
    """
    try:
        with quietly():
            yield
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise QualityError(f"{problem}: {error}") from error


def check_complete(place: str | Path, loaded: Mapping[str, Any], prefix: str = "") -> None:
    """Looks at transformers' `output_loading_info` for weights that the files did not have.

    Args:
        prefix: of their names in the files.

    Raises:
        QualityError: some are missing or of another shape.
    """
    lacking = sorted(prefix + str(key) for key in (*loaded["missing_keys"], *loaded["mismatched_keys"]))
    if lacking:
        raise QualityError(f"{place}: weights lack {', '.join(lacking[:3])} ({len(lacking)} in all)")


def judge_name(kind: str, files: Checkpoint, digest: str, dtype: torch.dtype) -> str:
    """The name for signatures: `labse-LaBSE-1f0c9a2b`, with the precision where it is not float32."""
    precision = str(dtype).removeprefix("torch.")
    return f"{kind}-{files.label}-{digest[:8]}" + ("" if precision == "float32" else f"-{precision}")


def digest(*directories: Path) -> str:
    """SHA-256 over names and contents of all that `READ` names (2 GB take a few seconds)."""
    total = hashlib.sha256()
    for directory in directories:
        files = {path for pattern in READ for path in directory.rglob(pattern) if path.is_file()}
        for path in sorted(files):
            total.update(f"{path.relative_to(directory).as_posix()} {sha256(path)}\n".encode())
    return total.hexdigest()


def torch_device(device: str) -> torch.device:
    """The device of a name; `auto` is a CUDA GPU where there is one, else the CPU.

    Raises:
        QualityError: no such device here, or torch is missing.
    """
    with needed_for("judging translations"):
        import torch
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        named = torch.device(device)
        torch.empty(1, device=named)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise QualityError(
            f"device {device!r} cannot be used ({str(error).splitlines()[0]}); try 'auto' or 'cpu'"
        ) from error
    return named


@contextmanager
def quietly() -> Iterator[None]:
    """Keeps transformers from reporting on standard error what is checked here; then as it was before."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
