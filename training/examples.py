"""The rows of one window of the order: read, tokenised, and cut into batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.draws import Integers
from training.epochs import Share
from training.mixes import COLUMNS, Mix, MixError, shared_id
from training.mixture import rows_of
from training.order import OrderSettings, batch_count, batches_of
from training.stored import StoredPictures
from training.texts import TextEncoder, Tokens
from translation.row import IMAGE_COLUMNS


@dataclass(frozen=True)
class Skip:
    """An example that was left out."""

    id: str
    reason: str
    """A word or two to count by: `broken`, `no target`, ..."""
    detail: str


@dataclass(frozen=True)
class StoredPicture:
    """One picture, or where it is."""

    store: StoredPictures
    cell: Mapping[str, Any]
    """`bytes` and `path`."""
    shared_id: str | None

    @property
    def embedded(self) -> bool:
        """Whether its bytes are at hand."""
        return self.cell["bytes"] is not None

    def read(self) -> bytes:
        """Its bytes; raises `BadPicture`."""
        return self.store.get(self.cell, self.shared_id)


@dataclass(frozen=True)
class Example:
    """A row that can be trained on, but for its pictures, which are not decoded yet."""

    id: str
    task: str
    language: str
    prompt: Tokens
    target: Tokens
    pictures: tuple[StoredPicture, ...]


def costs_of(examples: Sequence[Example], picture_tokens: int, joined: bool) -> Integers:
    """Tokens of each example that a batch pads apart: (examples, 2 or 3).

    Args:
        picture_tokens: visual tokens of one picture.
        joined: prompt and target make one sequence.
    """
    costs = np.zeros((len(examples), 2 if joined else 3), dtype=np.int64)
    for row, example in enumerate(examples):
        prompt, target = len(example.prompt.ids), len(example.target.ids)
        texts = (prompt + target,) if joined else (prompt, target)
        costs[row] = (len(example.pictures) * picture_tokens, *texts)
    return costs


@dataclass(frozen=True)
class Window:
    """The examples of some row groups, batch by batch."""

    batches: Sequence[Sequence[Example]]
    skipped: Sequence[Sequence[Skip]]
    """Rows that have no texts to train on, spread over the batches, each to be told once."""


def read_window(
    mixes: Sequence[Mix],
    stores: Sequence[StoredPictures],
    shares: Sequence[Share],
    encoder: TextEncoder,
    settings: OrderSettings,
    seed: int,
    key: str,
) -> Window:
    """Reads the row groups that `shares` are of, one after another.

    Args:
        key: of the window in its epoch, for the order.

    Raises:
        MixError: a row group cannot be read, or holds other rows than its footer says.
    """
    entries: list[Example | Skip] = []
    groups: dict[tuple[int, int], list[Share]] = {}
    for share in shares:
        groups.setdefault((share.cell.mix, share.cell.group), []).append(share)
    for (mix, group), of_group in groups.items():
        table = mixes[mix].read(mixes[mix].groups[group], COLUMNS)
        tasks = table.column("task").to_pylist()
        name = mixes[mix].name(mixes[mix].groups[group].file)
        chosen = [row for share in of_group for row in _chosen_rows(tasks, share, seed, name)]
        entries += _examples(table, chosen, stores[mix], encoder)
    examples = [entry for entry in entries if isinstance(entry, Example)]
    skips = [entry for entry in entries if isinstance(entry, Skip)]
    # As many batches as are planned before the texts are read.
    count = batch_count(len(entries), settings.batch_size)
    costs = costs_of(examples, settings.picture_tokens, encoder.settings.decoder_only)
    batches = batches_of(costs, count, key)
    return Window(
        [[examples[place] for place in batch] for batch in batches],
        [skips[number::count] for number in range(count)],
    )


def _chosen_rows(tasks: Sequence[str], share: Share, seed: int, name: str) -> list[int]:
    """The rows of a row group that a share is of."""
    cell = share.cell
    rows = [row for row, task in enumerate(tasks) if cell.task is None or task == cell.task]
    if len(rows) != cell.rows:
        raise MixError(f"{name}: holds {len(rows):,} rows where {cell.rows:,} were; did it change meanwhile?")
    return [rows[place] for place in rows_of(cell, share.copies, share.start, seed).tolist()]


def _examples(
    table: Any, rows: Sequence[int], store: StoredPictures, encoder: TextEncoder
) -> list[Example | Skip]:
    """The rows of a row group as examples, in the order given; a row may be asked for more than once."""
    distinct = sorted(set(rows))
    texts = table.select([name for name in table.column_names if name not in IMAGE_COLUMNS])
    values = texts.take(distinct).to_pylist()
    prompts = encoder.prompts(
        [row["prompt"] or "" for row in values],
        [row["prompt_language"] or row["language"] for row in values],
    )
    targets = encoder.targets([row["target"] or "" for row in values], [row["language"] for row in values])
    columns = {name: table.column(name) for name in IMAGE_COLUMNS if name in table.column_names}
    made: dict[int, Example | Skip] = {}
    for number, row, prompt, target in zip(distinct, values, prompts, targets, strict=True):
        skip = _fault(row, prompt, target, encoder)
        if skip is None:
            assert prompt is not None
            assert target is not None
            pictures = tuple(_pictures(row, number, columns, store))
            made[number] = Example(row["id"], row["task"], row["language"], prompt, target, pictures)
        else:
            made[number] = skip
    return [made[row] for row in rows]


def _fault(
    row: Mapping[str, Any], prompt: Tokens | None, target: Tokens | None, encoder: TextEncoder
) -> Skip | None:
    """What is wrong with the texts of a row."""
    if row["prompt"] is None:
        return Skip(row["id"], "no prompt", "the column is null")
    if not (row["target"] or "").strip():
        return Skip(row["id"], "no target", "the column is null or blank")
    for name, tokens in (("prompt", prompt), ("target", target)):
        language = (name == "prompt" and row["prompt_language"]) or row["language"]
        if tokens is None and not encoder.knows(language):
            detail = f"the {name} is in {language}, which the tokenizer has no mark for"
            return Skip(row["id"], "unknown language", detail)
        if tokens is None:
            return Skip(row["id"], "special token", f"the {name} holds one: {row[name][:80]!r}")
    return None


def _pictures(
    row: Mapping[str, Any], number: int, columns: Mapping[str, Any], store: StoredPictures
) -> Iterator[StoredPicture]:
    for name, column in columns.items():
        # Copied, so that the pictures of other rows do not stay in memory.
        cell = column[number].as_py() or {"bytes": None, "path": None}
        shared = shared_id(name, cell, row.get("image_id"))
        if cell["bytes"] is not None or shared is not None:
            yield StoredPicture(store, cell, shared)
