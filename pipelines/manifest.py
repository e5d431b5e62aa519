"""`manifest.json`: what a finished mix holds, written last; without it a directory is an unfinished run."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipelines.filesystem import (
    OutputError,
    cause_of,
    exists,
    file_size,
    is_local,
    join,
    read_text,
    write_text,
)
from pipelines.journal import check_not_interrupted
from pipelines.mix_files import ImageFile, ShardFile
from pipelines.summary import LanguageCounts
from translation.mix_folder import MANIFEST

FORMAT = 1
"""Of `manifest.json`; a version that changes it so that this one would misread it counts up."""


@dataclass(frozen=True)
class Signature:
    """Everything that decides what comes out of a run, apart from the content of the sources."""

    version: str
    """Of translate-mix."""
    recipe: str
    """Digest of the recipe."""
    seed: int
    model: str
    model_digest: str
    engine: str
    decoding: str
    identification: str
    identification_digest: str
    thresholds: str
    """Digest of the calibrated bounds."""
    quality: str = ""
    """Names of the trained judges; empty without."""
    answers: str = ""
    """Digest of the answer table that the recipe names; empty if it names none."""

    def __str__(self) -> str:
        """One line, in the manner of sacrebleu's."""
        quality = f"|quality:{self.quality}" if self.quality else ""
        answers = f"|answers:{self.answers}" if self.answers else ""
        return (
            f"translate-mix:{self.version}|recipe:{self.recipe}|seed:{self.seed}"
            f"|model:{self.model}@{self.model_digest}|engine:{self.engine}"
            f"|lid:{self.identification}@{self.identification_digest}|thresholds:{self.thresholds}{quality}{answers}"
        )


@dataclass(frozen=True)
class AnswerTable:
    """`answers.tsv` of a mix."""

    entries: int
    failed: int
    """Entries that no filter or person accepts."""
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`."""

    signature: Signature
    recipe: Mapping[str, Any]
    """The whole configuration, defaults filled in."""
    read: int
    """Examples and unreadable records that the sources yielded."""
    counts: tuple[LanguageCounts, ...]
    files: tuple[ShardFile, ...]
    answers: AnswerTable | None = None
    """None if no short answer was translated."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Source -> examples that the recipe leaves out (`max_rows`, `phrases`), and records (`where`,
    `skip_answers`); not among those read."""
    licences: Mapping[str, str] = field(default_factory=dict)
    """What it was made with and from (`model small`, `source coco`) -> its licence."""
    thresholds: str = ""
    """SHA-256 of `thresholds.tsv`; empty if the recipe names no table, or an earlier version kept none."""
    images: tuple[ImageFile, ...] = ()
    """Files of pictures that the rows only name; none unless the recipe has `images: shared`."""
    questions: tuple[LanguageCounts, ...] = ()
    """Of the English rows those with a question in another language (`english_answers`), by that language; an
    earlier version counted none."""

    @property
    def all_files(self) -> tuple[ShardFile | ImageFile, ...]:
        """Of rows, then of pictures."""
        return (*self.files, *self.images)

    @property
    def accepted(self) -> int:
        return sum(count.accepted for count in self.counts)

    @property
    def rejected(self) -> int:
        return sum(count.rejected for count in self.counts)


class LostRows(RuntimeError):
    """Rows that were read and do not stand in the files, or the reverse: a defect, never to be hidden."""


def check_nothing_lost(manifest: Manifest) -> None:
    """read = accepted + rejected, in total, per language, and in the files.

    Raises:
        LostRows: the numbers differ.
    """
    written = sum(file.rows for file in manifest.files)
    counted = manifest.accepted + manifest.rejected
    if not manifest.read == counted == written:
        raise LostRows(
            f"{manifest.read:,} examples were read, {counted:,} judged ({manifest.accepted:,} accepted, "
            f"{manifest.rejected:,} rejected) and {written:,} written; the mix was not finished"
        )
    for count in manifest.counts:
        files = [file for file in manifest.files if file.language == count.language]
        accepted = sum(file.rows for file in files if file.accepted)
        rejected = sum(file.rows for file in files if not file.accepted)
        if (count.read, count.accepted, count.rejected) != (accepted + rejected, accepted, rejected):
            raise LostRows(
                f"{count.language}: {count.read:,} read, {count.accepted:,} accepted and {count.rejected:,} "
                f"rejected, but the files hold {accepted:,} and {rejected:,}; the mix was not finished"
            )


def manifest_text(manifest: Manifest) -> str:
    """The content of `manifest.json`."""
    content = {"format": FORMAT, "signature_line": str(manifest.signature)} | asdict(manifest)
    content["checksum"] = _checksum(content)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _checksum(content: Mapping[str, Any]) -> str:
    """Of everything in a manifest, however it is laid out, but the checksum itself."""
    rest = {key: value for key, value in content.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def check_files_stand(directory: str, manifest: Manifest) -> None:
    """Every file that the manifest names stands there with the size that it was written with.

    Raises:
        OutputError: one is gone or has changed: somebody else was at work there.
    """
    for file in manifest.all_files:
        path = join(directory, *file.path.split("/"))
        found: int | None = None
        try:
            found = file_size(path)
        except FileNotFoundError:
            # Told below.
            pass
        except OSError as error:
            raise OutputError(f"cannot read {path}: {cause_of(error)}") from error
        if found != file.size:
            now = "is gone" if found is None else f"has {found:,} bytes instead of {file.size:,}"
            raise OutputError(
                f"{path} {now} since it was written: something else works in {directory}; give the same "
                "command again"
            )


def write_manifest(directory: str, manifest: Manifest) -> None:
    """Writes `manifest.json` in one step, into a directory that must be there: its files are."""
    write_text(join(directory, MANIFEST), manifest_text(manifest), within=directory)


def is_finished(directory: str) -> bool:
    """Whether a manifest stands there.

    Raises:
        ValueError: no file of this machine can have such a name.
        OutputError: a remote store refuses to say, or does not answer; no permission.
    """
    path = join(directory, MANIFEST)
    try:
        return Path(path).is_file() if is_local(path) else exists(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ValueError(f"{directory}: {error.strerror}") from error
        raise OutputError(f"cannot read {path}: {cause_of(error)}") from error


def is_of_something_else(directory: str) -> bool:
    """Whether the file that has a manifest's name is whole, and none: web pages have `manifest.json` too."""
    try:
        content = json.loads(read_text(join(directory, MANIFEST)))
    except (OSError, ValueError):
        # What is damaged, or cannot be read, may be one.
        return False
    return not isinstance(content, dict) or not content.keys() >= _ALWAYS


_ALWAYS = frozenset({"format", "signature", "files"})
"""Keys of every manifest."""


def read_manifest(directory: str) -> Manifest:
    """The manifest of a finished mix.

    Raises:
        ValueError: there is none (an unfinished run), it is damaged or of a later version, or a refilter was
            interrupted.
    """
    path = join(directory, MANIFEST)
    # A store of objects has no folders.
    if is_local(directory) and not exists(directory):
        raise ValueError(f"{directory}: no such directory")
    try:
        finished = exists(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {cause_of(error)}") from error
    check_not_interrupted(directory)
    if not finished:
        raise ValueError(
            f"{directory}: no {MANIFEST}, so this is no finished mix; `translate-mix run` into the same "
            "directory finishes it"
        )
    content = _content(path)
    try:
        manifest = _adapter().validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        raise ValueError(_damaged(path, [_in_words(dict(one)) for one in error.errors()])) from error
    outside = [file.path for file in manifest.all_files if not _stands_inside(file.path)]
    if outside:
        raise ValueError(_damaged(path, [f"{name!r} is no path inside the mix" for name in outside]))
    return manifest


def is_as_written(directory: str) -> bool:
    """Whether `manifest.json` still has the content whose checksum it holds; also where it holds none.

    Raises:
        ValueError: it cannot be read.
    """
    content = _content(join(directory, MANIFEST))
    return "checksum" not in content or content["checksum"] == _checksum(content)


def _content(path: str) -> dict[str, Any]:
    """What stands there, if it is of this version or an earlier one."""
    try:
        content = json.loads(read_text(path))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {cause_of(error)}") from error
    except ValueError as error:
        raise ValueError(_damaged(path, [str(error)])) from error
    if not isinstance(content, dict) or type(content.get("format")) is not int:
        raise ValueError(_damaged(path, ["it has no `format`, a whole number"]))
    if content["format"] > FORMAT:
        raise ValueError(
            f"{path}: a later version of translate-mix wrote it (format {content['format']}, this one knows "
            f"{FORMAT}); read the mix with that version or a later one"
        )
    return content


@cache
def _adapter() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


def _in_words(error: Mapping[str, Any]) -> str:
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "missing":
        return f"{place} is missing"
    return f"{place} is {str(error['input'])[:40]!r}: {error['msg'].lower()}"


def _stands_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts


def _damaged(path: str, problems: list[str]) -> str:
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    return f"{path}: damaged ({'; '.join(problems[:5])}{more}); run with --overwrite to make the mix again"


def counts_of(reasons: Iterable[tuple[tuple[str, str | None], int]]) -> tuple[LanguageCounts, ...]:
    """A line for each language, in the order of their codes.

    Args:
        reasons: (language, short reason, or None for accepted) and how many rows have both.
    """
    by_language: dict[str, list[tuple[str | None, int]]] = {}
    for (language, reason), number in reasons:
        by_language.setdefault(language, []).append((reason, number))
    return tuple(
        merge_counts(language, sum(number for _, number in found), found)
        for language, found in sorted(by_language.items())
    )


def merge_counts(language: str, read: int, reasons: Iterable[tuple[str | None, int]]) -> LanguageCounts:
    """One language's line from how often each reason occurred (None: accepted)."""
    count = LanguageCounts(language, read, 0, 0, {})
    for reason, number in reasons:
        if reason is None:
            count = replace(count, accepted=count.accepted + number)
        else:
            merged = dict(count.reasons)
            merged[reason] = merged.get(reason, 0) + number
            count = replace(count, rejected=count.rejected + number, reasons=merged)
    return replace(count, reasons=dict(sorted(count.reasons.items(), key=lambda item: (-item[1], item[0]))))
