"""Second half of the graph: examples and translated texts -> rows with a verdict, packed as Arrow batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from pipelines import progress
from pipelines.assignment import Assignment
from pipelines.blocks import compressed, decompressed
from pipelines.examples import Reject, Text
from pipelines.judging import JudgedText
from pipelines.reading import EXAMPLES, PROMPT, REJECTED, TARGET, UNREADABLE, AssignedExample
from pipelines.translating import delivered
from translation import templates
from translation.filters import SCORES
from translation.filters.verdicts import parse_reason
from translation.languages import languages
from translation.row import (
    ACCEPT,
    ENGINE_FIELDS,
    IMAGE_COLUMNS,
    REJECT,
    ROW_FIELDS,
    ROW_SCORES,
    UNDETERMINED,
)
from translation.templates import Template

Row = dict[str, Any]
"""A row in the making: the columns of `row_schema`, but of pictures the locators, and `image_size`; `scores`
are those of target and prompt as bytes, and `provenance` is whether the model made something of it."""

STORED = pa.schema(
    [
        pa.field(field.name, pa.string(), field.nullable) if field.name in IMAGE_COLUMNS else field
        for field in ROW_FIELDS
    ]
    + [pa.field("picture_ids", pa.list_(pa.string())), pa.field("image_size", pa.int64(), nullable=False)]
)
"""Of rows on their way to the sink: pictures are where they were, and only their ids and size travel."""


@dataclass(frozen=True)
class Provenance:
    """What made the translations of a run."""

    engine: str
    model: str
    model_digest: str
    decoding: str
    identification: str
    code_version: str

    def as_row(self, translated: bool) -> dict[str, str | None]:
        """The struct of a row; one that holds no translation names neither engine nor model."""
        told = ENGINE_FIELDS if translated else ("code_version",)
        return {name: getattr(self, name) if name in told else None for name in ENGINE_FIELDS}


class MakeRows(beam.DoFn):
    """(bucket, its examples and translations) -> a block of rows with verdict and reason."""

    def __init__(
        self,
        model: str,
        supported: frozenset[str],
        assignment: Assignment,
        translated: float,
        provenance: Provenance,
        progress_directory: str | None,
    ) -> None:
        """`translated`: share of the prompts that take a wording of the target's language, if it has one."""
        self._model, self._supported = model, supported
        self._assignment, self._translated = assignment, translated
        self._provenance, self._progress = provenance, progress_directory

    def start_bundle(self) -> None:
        progress.enter(self._progress, progress.WRITING)

    def process(self, element: tuple[int, Mapping[str, Iterable[bytes]]]) -> Iterator[bytes]:
        """Yields one block."""
        joined = element[1]
        translated = delivered(joined["translations"])
        rows = [
            self._row(assigned, translated.pop(assigned.id, {}))
            for assigned in EXAMPLES.unpack_all(joined["examples"])
        ]
        if translated:
            raise RuntimeError(f"translations for a row that there is not: {next(iter(translated))}")
        yield pack_rows(rows, self._provenance)

    def _row(self, assigned: AssignedExample, translated: Mapping[str, JudgedText]) -> Row:
        row = _row_of(assigned, self._assignment)
        row["provenance"] = any(text.by_model for text in translated.values())
        if assigned.language not in self._supported and any(assigned.texts_to_translate()):
            name = languages()[assigned.language].name
            row["reason"] = f"language: the model {self._model!r} was not trained on {name}"
        else:
            self._fill(row, assigned, translated)
        return row

    def _fill(self, row: Row, assigned: AssignedExample, translated: Mapping[str, JudgedText]) -> None:
        example, slot_language = assigned.example, assigned.prompt_language
        language = languages()[assigned.target_language]
        english = example.prompt.text if example.prompt else None
        template = templates.choose(
            example.family or example.task,
            language.nllb,
            slot_language,
            self._assignment.seed,
            example.id,
            self._translated,
        )
        row["template"] = template.id
        row["source_prompt"] = _source_of(template).fill(language, english)
        prompt, target = translated.get(PROMPT), translated.get(TARGET)
        row["prompt"] = template.fill(language, _in_language(example.prompt, prompt))
        row["prompt_language"] = (
            slot_language
            if template.prompt_language == templates.TARGET_LANGUAGE
            else template.prompt_language
        )
        row["target"] = _in_language(example.target, target)
        row["back_translation"] = target.back_translation if target else None
        row["scores"] = _scores(target) + _scores(prompt)
        row["reason"] = row_reason(target.reason if target else None, prompt.reason if prompt else None)
        row["verdict"] = REJECT if row["reason"] else ACCEPT


@cache
def _source_of(template: Template) -> Template:
    return templates.source_of(template)


def _in_language(text: Text | None, translated: JudgedText | None) -> str | None:
    """What stands in the row: the translation, the label that was given, or the text as it is."""
    if text is None:
        return None
    return translated.text if translated else text.given or text.text


_NO_SCORES = np.full(len(SCORES), np.nan, np.float32).tobytes()


def _scores(text: JudgedText | None) -> bytes:
    return text.scores or _NO_SCORES if text else _NO_SCORES


def row_reason(target: str | None, prompt: str | None) -> str | None:
    """Why a row is rejected, from what is wrong with its texts; None if nothing is.

    What no filter found comes first: it holds whatever the filters' bounds.
    """
    if prompt and (not target or (parse_reason(target) and not parse_reason(prompt))):
        return f"{prompt} (in the prompt)"
    return target


def _row_of(assigned: AssignedExample, assignment: Assignment) -> Row:
    """The columns that need no translation, as a reject until something else is known."""
    example = assigned.example
    return {
        "id": assigned.id,
        "dataset": example.dataset,
        "task": example.task,
        "template": None,
        "image": example.image,
        "second_image": example.second_image,
        "image_id": example.image_id,
        "split": assignment.split(example),
        "prompt_language": None,
        "question_language": assigned.prompt_language,
        "language": assigned.target_language,
        "prompt": None,
        "target": None,
        "source_prompt": example.prompt.text if example.prompt else None,
        "source_target": example.target.text,
        "back_translation": None,
        "scores": None,
        "verdict": REJECT,
        "reason": None,
        "provenance": None,
        "picture_ids": example.picture_ids or None,
        "image_size": assigned.image_size,
    }


def rejected_rows(block: bytes, assignment: Assignment) -> bytes:
    """A block of `RejectedExample`s (duplicates, examples without a usable image) as a block of rows."""
    rows = []
    for rejected in REJECTED.unpack(block):
        row = _row_of(rejected.assigned, assignment)
        row["reason"] = rejected.reason
        if rejected.copy:
            # Ids are unique in a mix, its rejected rows included.
            row["id"] += f"~{rejected.copy}"
        rows.append(row)
    return pack_rows(rows)


def unread_rows(element: tuple[int, Iterable[bytes]]) -> bytes:
    """(bucket of ids, blocks of its `Reject`s) -> a block of rows; those of one id are numbered."""
    by_id: dict[str, list[Reject]] = {}
    for reject in UNREADABLE.unpack_all(element[1]):
        by_id.setdefault(reject.id, []).append(reject)
    return pack_rows(
        [
            _row_of_reject(reject, number)
            for alike in by_id.values()
            for number, reject in enumerate(sorted(alike, key=repr))
        ]
    )


def _row_of_reject(reject: Reject, copy: int) -> Row:
    """A record that never became an example; the raw record stands in `source_target`."""
    return dict.fromkeys(STORED.names) | {
        "id": f"{reject.id}/{UNDETERMINED}{f'~{copy}' if copy else ''}",
        "dataset": reject.dataset,
        "task": reject.task,
        "image_id": reject.image_id,
        "language": UNDETERMINED,
        "source_target": reject.record,
        "verdict": REJECT,
        "reason": reject.reason,
        "image_size": 0,
    }


def pack_rows(rows: Sequence[Row], provenance: Provenance | None = None) -> bytes:
    """A block of rows.

    Args:
        provenance: of those rows that have any.
    """
    columns = []
    for field in STORED:
        values = [row[field.name] for row in rows]
        if field.name == "scores":
            columns.append(_score_column(values))
        elif field.name == "provenance":
            columns.append(_provenance_column(values, provenance))
        else:
            columns.append(pa.array(values, field.type))
    return pack(pa.RecordBatch.from_arrays(columns, schema=STORED))


def pack(rows: pa.RecordBatch) -> bytes:
    """A block of rows with the schema `STORED`."""
    return compressed(rows.serialize())


def unpack_rows(block: bytes) -> pa.RecordBatch:
    """The rows of a block, with the schema `STORED`."""
    return pa.ipc.read_record_batch(pa.py_buffer(decompressed(block)), STORED)


def _score_column(values: Sequence[bytes | None]) -> pa.StructArray:
    nothing = _NO_SCORES * 2
    flat = np.frombuffer(b"".join(value or nothing for value in values), np.float32)
    matrix = flat.reshape(len(values), len(ROW_SCORES)).T.copy()
    return pa.StructArray.from_arrays(
        [pa.array(column, pa.float32(), from_pandas=True) for column in matrix], names=ROW_SCORES
    )


def _provenance_column(values: Sequence[bool | None], provenance: Provenance | None) -> pa.StructArray:
    known = [None, *([provenance.as_row(translated) for translated in (False, True)] if provenance else [])]
    kinds = pa.array(known, STORED.field("provenance").type)
    return kinds.take(pa.array([0 if value is None else 1 + value for value in values], pa.int8()))
