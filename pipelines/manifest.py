"""`manifest.json`: what a finished mix holds, written last; without it a directory is an unfinished run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipelines.filesystem import exists, join, read_text, write_text
from pipelines.journal import check_not_interrupted
from pipelines.sink import ShardFile
from pipelines.summary import LanguageCounts

MANIFEST = "manifest.json"
ANSWERS_FILE = "answers.tsv"
"""The table of short answers, for review; see `translation.answers`."""
FORMAT = 1


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
    """Source -> examples that the recipe leaves out (`max_rows`, `phrases`); not among those read."""
    licences: Mapping[str, str] = field(default_factory=dict)
    """What it was made with and from (`model small`, `source coco`) -> its licence."""

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
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def write_manifest(directory: str, manifest: Manifest) -> None:
    """Writes `manifest.json` in one step."""
    write_text(join(directory, MANIFEST), manifest_text(manifest))


def is_finished(directory: str) -> bool:
    return exists(join(directory, MANIFEST))


def read_manifest(directory: str) -> Manifest:
    """The manifest of a finished mix.

    Raises:
        ValueError: there is none (an unfinished run), it is damaged, or a refilter was interrupted.
    """
    path = join(directory, MANIFEST)
    if not exists(directory):
        raise ValueError(f"{directory}: no such directory")
    check_not_interrupted(directory)
    if not exists(path):
        raise ValueError(
            f"{directory}: no {MANIFEST}, so this is no finished mix; `translate-mix run` into the same "
            "directory finishes it"
        )
    try:
        content = json.loads(read_text(path))
        return Manifest(
            signature=Signature(**content["signature"]),
            recipe=content["recipe"],
            read=content["read"],
            counts=tuple(LanguageCounts(**count) for count in content["counts"]),
            files=tuple(ShardFile(**file) for file in content["files"]),
            answers=AnswerTable(**content["answers"]) if content.get("answers") else None,
            licences=content.get("licences", {}),
            left_out=content.get("left_out", {}),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: damaged ({error}); run with --overwrite to make the mix again") from error


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
