"""A converted model directory: what CTranslate2 needs, the tokenizer, and `model.json` about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

DESCRIPTION = "model.json"
SENTENCEPIECE = "sentencepiece.bpe.model"
WEIGHTS = "model.bin"
LISTS = ("vmap.txt", "shortlists.json")
"""Of the vocabulary shortlists: the map that CTranslate2 reads, and what is known of it."""
SMALL = "small"
"""Name of the model that ships in the package."""


class ModelError(ValueError):
    """A model that is missing, damaged or of the wrong kind; the message says which file and what to do."""


class NoSuchModel(ModelError):
    """There is none under a name."""


@dataclass(frozen=True)
class ModelDescription:
    """The content of `model.json`."""

    name: str
    """`facebook/nllb-200-distilled-600M`, `small`."""
    licence: str
    quantization: str
    positions: int
    """Tokens that it has positions for, on either side."""
    languages: tuple[str, ...]
    """NLLB codes that it was trained on and may be asked for."""
    files: dict[str, str]
    """File name -> sha256 of everything else in the directory that the engine reads."""

    @property
    def digest(self) -> str:
        """16 hex digits that name exactly these weights and this vocabulary; shortlists have their own."""
        files = {name: digest for name, digest in self.files.items() if name not in LISTS}
        canonical = json.dumps(files, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def shortlist_digest(self) -> str:
        """16 hex digits that name exactly these vocabulary shortlists; empty where there are none."""
        return self.files[LISTS[0]][:16] if set(LISTS) <= self.files.keys() else ""


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_description(
    directory: Path, name: str, licence: str, quantization: str, positions: int, languages: Iterable[str]
) -> ModelDescription:
    """Digests the files of a freshly converted directory into its `model.json`."""
    names = sorted(path.name for path in directory.iterdir() if path.is_file())
    description = ModelDescription(
        name=name,
        licence=licence,
        quantization=quantization,
        positions=positions,
        languages=tuple(sorted(languages)),
        files={name: sha256(directory / name) for name in names if _is_engine_file(name)},
    )
    text = json.dumps(asdict(description), indent=2, ensure_ascii=False)
    (directory / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
    return description


def _is_engine_file(name: str) -> bool:
    return name != DESCRIPTION and not name.endswith(".md")


def model_directory(model: str) -> Path:
    """The directory that a recipe's `model` means: `small`, or a path.

    Raises:
        ModelError: there is no such directory, or it is a Hugging Face one that was not converted.
    """
    if model == SMALL:
        return Path(str(files("translation").joinpath("models", SMALL)))
    directory = Path(model)
    if (directory / DESCRIPTION).is_file():
        return directory
    if directory.exists():
        remedy = f"make one of it with `translate-mix model add {model}`"
        raise NoSuchModel(f"model {model!r}: not a converted model (no {DESCRIPTION}); {remedy}")
    remedy = "name the directory that `translate-mix model add` printed, or `small`"
    raise NoSuchModel(f"model {model!r}: no such directory; {remedy}")


def read_description(directory: Path, check: bool = True) -> ModelDescription:
    """`model.json`, with every file's digest checked against the disk (600 MB take about half a second).

    Raises:
        ModelError: a file is missing or was changed or cut.
    """
    path = directory / DESCRIPTION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["languages"] = tuple(content["languages"])
        description = ModelDescription(**content)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path}: not a model description: {error}") from error
    if check:
        check_files(directory, description)
    return description


def check_files(directory: Path, description: ModelDescription) -> None:
    """Compares the files of a model with their digests.

    Raises:
        ModelError: a file is missing or was changed or cut.
    """
    for name, digest in description.files.items():
        file = directory / name
        again = "shortlist" if name in LISTS else "add"
        if not file.is_file():
            raise ModelError(f"{file}: missing; make it again with `translate-mix model {again}`")
        if sha256(file) != digest:
            raise ModelError(
                f"{file}: content differs from {DESCRIPTION} (cut or changed); "
                f"make it again with `translate-mix model {again}`"
            )
