"""The whole flow of `translate-mix run` as one Beam graph."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import apache_beam as beam

from pipelines.assignment import Assignment
from pipelines.bounds_table import table_digest
from pipelines.card import dataset_card
from pipelines.engines import EngineOptions
from pipelines.filesystem import join, write_text
from pipelines.images import SHARED
from pipelines.judging import Judging
from pipelines.manifest import (
    AnswerTable,
    Manifest,
    Signature,
    check_files_stand,
    check_nothing_lost,
    counts_of,
    write_manifest,
)
from pipelines.mix_files import ImageFile, ShardFile
from pipelines.preview import preview_rows
from pipelines.reading import (
    LEFT_OUT,
    LIKENESSES,
    READ,
    REJECTS,
    UNREAD,
    CheckImages,
    ReadPieces,
    RejectDuplicates,
    RejectRepeated,
    UnifyImages,
)
from pipelines.recipe import Recipe
from pipelines.rows import MakeRows, Provenance, rejected_rows, unread_rows
from pipelines.shared_images import RENAMED, ShareImages
from pipelines.sink import QUESTIONS, REASONS, WriteMix
from pipelines.sources import Piece
from pipelines.translating import ENTRIES, TranslateTexts
from pipelines.uses import GatherUses, TextBuckets, TextKey
from translation.answers import Entry, Given, format_answers
from translation.languages import ENGLISH
from translation.mix_folder import ANSWERS, CARD, THRESHOLDS


@dataclass(frozen=True)
class MixPlan:
    """A recipe with everything resolved that workers need; picklable."""

    recipe: Recipe
    directory: str
    pieces: tuple[Piece, ...]
    assignment: Assignment
    buckets: int
    """How many buckets examples and rows are spread over."""
    text_buckets: TextBuckets
    engine: EngineOptions
    judging: Judging
    given: Mapping[TextKey, Given]
    """Answers of the table that the recipe names."""
    supported: frozenset[str]
    """NLLB codes that the model was trained on."""
    signature: Signature
    provenance: Provenance
    licences: Mapping[str, str]
    """Of the model and the sources, for the card."""
    progress_directory: str | None
    thresholds_table: str | None = None
    """Text of the table of bounds that the recipe names."""


def translate_mix(pipeline: beam.Pipeline, plan: MixPlan) -> None:
    """Sources -> examples -> distinct texts -> translations -> rows with a verdict -> Parquet, manifest.

    What flows are blocks of examples, texts and rows (`pipelines.blocks`), keyed by buckets: of ids, of
    pictures, of ids again, of texts, and of the shards of the mix.
    """
    recipe, buckets = plan.recipe, plan.buckets
    read = (
        pipeline
        | "Pieces" >> beam.Create(plan.pieces)
        | "Spread pieces" >> beam.Reshuffle()
        | "Read"
        >> beam.ParDo(ReadPieces(recipe, plan.assignment, buckets, plan.progress_directory)).with_outputs(
            UNREAD, LEFT_OUT, READ, main="examples"
        )
    )
    unique = (
        read.examples
        | "Group by id" >> beam.GroupByKey()
        | "Reject duplicates" >> beam.ParDo(RejectDuplicates(buckets)).with_outputs(REJECTS, main="examples")
    )
    checked = (
        unique.examples
        | "Group by picture" >> beam.GroupByKey()
        | "Check images"
        >> beam.ParDo(
            CheckImages(recipe.max_image_pixels, recipe.deduplicate, buckets, plan.progress_directory)
        ).with_outputs(REJECTS, LIKENESSES, main="examples")
    )
    kept = (
        {"examples": checked.examples, LIKENESSES: checked[LIKENESSES]}
        | "Unify images" >> UnifyImages(recipe.deduplicate, buckets)
        | "Group by content" >> beam.GroupByKey()
        | "Reject repetitions"
        >> beam.ParDo(RejectRepeated(recipe.deduplicate, buckets)).with_outputs(REJECTS, main="examples")
    )
    translated = (
        kept.examples
        | "Texts" >> beam.ParDo(GatherUses(plan.supported, plan.text_buckets, recipe.answers.context))
        | "Group by text" >> beam.GroupByKey()
        | "Translate"
        >> beam.ParDo(
            TranslateTexts(
                plan.engine,
                plan.judging,
                recipe.round_trip,
                plan.given,
                buckets,
                plan.progress_directory,
            )
        ).with_outputs(ENTRIES, main="translations")
    )
    rows = (
        {"examples": kept.examples, "translations": translated.translations}
        | "Join rows" >> beam.CoGroupByKey()
        | "Make rows"
        >> beam.ParDo(
            MakeRows(
                recipe.model,
                plan.supported | {ENGLISH},
                plan.assignment,
                recipe.templates.translated,
                plan.provenance,
                plan.progress_directory,
            )
        )
    )
    rejects = (
        (unique[REJECTS], checked[REJECTS], kept[REJECTS])
        | "All rejects" >> beam.Flatten()
        | "Rejected rows" >> beam.Map(rejected_rows, plan.assignment)
    )
    unread = read[UNREAD] | "Group unread" >> beam.GroupByKey() | "Unread rows" >> beam.Map(unread_rows)
    everything = (rows, rejects, unread) | "All rows" >> beam.Flatten()
    shared: dict[str, beam.PCollection] = {}
    if recipe.images == SHARED:
        shared = everything | "Share images" >> ShareImages(plan.directory, recipe.shard_megabytes, buckets)
    written = everything | "Write" >> WriteMix(
        plan.directory, recipe.images, recipe.shard_megabytes, shared.get(RENAMED), plan.progress_directory
    )
    (
        pipeline
        | "Once" >> beam.Create([None])
        | "Manifest"
        >> beam.FlatMap(
            _write_card_and_manifest,
            plan,
            beam.pvalue.AsSingleton(read[READ] | "Count read" >> beam.CombineGlobally(sum)),
            beam.pvalue.AsDict(read[LEFT_OUT] | "Count left out" >> beam.CombinePerKey(sum)),
            beam.pvalue.AsList(written[REASONS]),
            beam.pvalue.AsList(written[QUESTIONS]),
            beam.pvalue.AsList(written["files"]),
            beam.pvalue.AsList(shared["files"]) if shared else (),
            beam.pvalue.AsList(translated[ENTRIES]),
        )
    )


def _write_answers(directory: str, entries: Sequence[Entry]) -> AnswerTable | None:
    """Writes `answers.tsv`, if there is an answer in it."""
    if not entries:
        return None
    text = format_answers(entries)
    write_text(join(directory, ANSWERS), text, within=directory)
    failed = sum(not entry.accepted for entry in entries)
    return AnswerTable(len(entries), failed, hashlib.sha256(text.encode()).hexdigest())


def _write_card_and_manifest(
    _: None,
    plan: MixPlan,
    read: int,
    left_out: Mapping[str, int],
    reasons: Iterable[tuple[tuple[str, str | None], int]],
    questions: Iterable[tuple[tuple[str, str | None], int]],
    files: Iterable[ShardFile],
    images: Iterable[ImageFile],
    entries: Iterable[Entry],
) -> Iterator[None]:
    manifest = Manifest(
        signature=plan.signature,
        recipe=plan.recipe.model_dump(mode="json"),
        licences=plan.licences,
        read=read,
        left_out=dict(sorted(left_out.items())),
        counts=counts_of(reasons),
        questions=counts_of(questions),
        files=tuple(sorted(files, key=lambda file: file.path)),
        images=tuple(sorted(images, key=lambda file: file.path)),
        answers=_write_answers(plan.directory, list(entries)),
        thresholds=table_digest(plan.thresholds_table),
    )
    if plan.thresholds_table is not None:
        write_text(join(plan.directory, THRESHOLDS), plan.thresholds_table, within=plan.directory)
    check_nothing_lost(manifest)
    check_files_stand(plan.directory, manifest)
    shown = preview_rows(manifest.files, lambda file: join(plan.directory, *file.path.split("/")))
    card = dataset_card(manifest, plan.recipe, plan.licences, shown)
    write_text(join(plan.directory, CARD), card, within=plan.directory)
    write_manifest(plan.directory, manifest)
    yield from ()
