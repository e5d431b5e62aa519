"""SNLI-VE and XVNLI: JSON lines of hypotheses about Flickr30k's pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Literal

from pipelines.examples import Reject
from pipelines.recipe import Recipe
from pipelines.recipe_sources import SnliVeSource
from pipelines.records import Entailed, Place, Record
from pipelines.sources.lines import json_line_pieces, json_objects, opened, rejected
from pipelines.sources.pictures import PictureStore, picture_store
from pipelines.sources.pieces import Piece
from pipelines.sources.records import Unusable
from pipelines.sources.values import BadRecord, cell, clean_text, identifier, kind, shown

_LABELS: Mapping[str, Literal["yes", "maybe", "no"]] = MappingProxyType(
    {"entailment": "yes", "neutral": "maybe", "contradiction": "no"}
)
_UNDECIDED = "-"
"""Gold label of the pairs that the annotators did not agree on."""

_PICTURE_KEYS = ("Flickr30K_ID", "Flickr30kID", "Flikr30kID")
"""As SNLI-VE, copies of it, and XVNLI spell it."""


def pieces(recipe: Recipe, index: int, source: SnliVeSource) -> list[Piece]:
    """Byte ranges of the files. Raises `SettingsError` as `json_line_pieces`."""
    return json_line_pieces(recipe, index)


def read(recipe: Recipe, source: SnliVeSource, piece: Piece) -> Iterator[Record | Reject]:
    """One record per pair; those that the annotators did not agree on go by the first of their labels."""
    store = picture_store(recipe.source_path(source.images))
    with opened(piece) as file:
        for place, value in json_objects(source, piece, file):
            if isinstance(value, Reject):
                yield value
                continue
            try:
                yield _entailed(store, place, value)
            except Unusable as error:
                yield rejected(source, place, value, "pairID", error)


def _entailed(store: PictureStore, place: Place, value: dict[str, object]) -> Entailed:
    source_id = identifier(cell(value, "pairID"), "pairID")
    hypothesis = clean_text(cell(value, "sentence2"), "`sentence2`")
    label = _label(value)
    key = next((key for key in _PICTURE_KEYS if key in value), None)
    if key is None:
        raise BadRecord(f"no picture: none of the columns {', '.join(_PICTURE_KEYS)}")
    number = identifier(cell(value, key), key)
    return Entailed(place, source_id, store.picture(f"{number.removesuffix('.jpg')}.jpg"), hypothesis, label)


def _label(value: dict[str, object]) -> Literal["yes", "maybe", "no"]:
    label, key = value.get("gold_label"), "gold_label"
    if label is None or label == _UNDECIDED:
        votes = value.get("annotator_labels")
        if not votes:
            raise BadRecord(f"`gold_label` is {shown(label)}, and there are no `annotator_labels`")
        if not isinstance(votes, list):
            raise BadRecord(f"`annotator_labels` is {kind(votes)}, must be a list")
        label, key = votes[0], "annotator_labels"
    found = _LABELS.get(label) if isinstance(label, str) else None
    if found is None:
        raise BadRecord(f"`{key}` is {shown(label)}, must be {', '.join(_LABELS)}")
    return found
