"""The whole flow of `translate-mix run` as one Beam graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import apache_beam as beam

from pipelines.assignment import LanguagePolicy
from pipelines.card import dataset_card
from pipelines.filesystem import join, write_text
from pipelines.manifest import Manifest, Signature, check_nothing_lost, merge_counts, write_manifest
from pipelines.reading import (
    REJECTS,
    AssignedExample,
    AssignLanguage,
    CheckImages,
    ReadPiece,
    RejectDuplicates,
)
from pipelines.recipe import Recipe
from pipelines.rows import (
    MakeRow,
    Provenance,
    SpreadTranslations,
    row_of_reject,
    row_of_rejected_example,
    texts_to_translate,
)
from pipelines.sink import ShardFile, WriteMix
from pipelines.sources import Piece
from pipelines.translating import EngineOptions, ScoreTexts, TextKey, TranslatedText, TranslateTexts
from translation.filters import Thresholds
from translation.languages import ENGLISH


@dataclass(frozen=True)
class MixPlan:
    """A recipe with everything resolved that workers need; picklable."""

    recipe: Recipe
    directory: str
    pieces: tuple[Piece, ...]
    policy: LanguagePolicy
    engine: EngineOptions
    identification: str
    """`cld`, a fastText file or a hub name."""
    thresholds: Thresholds
    supported: frozenset[str]
    """NLLB codes that the model was trained on."""
    signature: Signature
    provenance: Provenance
    licences: Mapping[str, str]
    """Of the model and the sources, for the card."""
    progress_directory: str | None


def translate_mix(pipeline: beam.Pipeline, plan: MixPlan) -> None:
    """Sources -> examples -> distinct texts -> translations -> rows with a verdict -> Parquet, manifest."""
    recipe = plan.recipe
    read = (
        pipeline
        | "Pieces" >> beam.Create(plan.pieces)
        | "Spread pieces" >> beam.Reshuffle()
        | "Read" >> beam.ParDo(ReadPiece(recipe)).with_outputs(REJECTS, main="examples")
    )
    unique = (
        read.examples
        | "Assign language"
        >> beam.ParDo(AssignLanguage(plan.policy, recipe.seed)).with_output_types(tuple[str, AssignedExample])
        | "Group by id" >> beam.GroupByKey()
        | "Reject duplicates" >> beam.ParDo(RejectDuplicates()).with_outputs(REJECTS, main="examples")
    )
    checked = (
        unique.examples
        | "Group by image" >> beam.GroupByKey()
        | "Check images"
        >> beam.ParDo(CheckImages(recipe.max_image_pixels)).with_outputs(REJECTS, main="examples")
    )

    uses = checked.examples | "Texts" >> beam.FlatMap(texts_to_translate, plan.supported).with_output_types(
        tuple[TextKey, tuple[str, str]]
    )
    texts = uses | "Keys" >> beam.Keys().with_output_types(TextKey)
    translations = texts | "Translate" >> TranslateTexts(
        plan.engine,
        recipe.round_trip,
        ScoreTexts(plan.identification, recipe.filters, plan.thresholds),
        plan.progress_directory,
    )
    of_rows = (
        {"uses": uses, "translations": translations}
        | "Join texts" >> beam.CoGroupByKey()
        | "Spread translations"
        >> beam.ParDo(SpreadTranslations()).with_output_types(tuple[str, tuple[str, TranslatedText]])
    )
    examples = checked.examples | "By row id" >> beam.Map(
        lambda example: (example.id, example)
    ).with_output_types(tuple[str, AssignedExample])
    rows = (
        {"examples": examples, "translations": of_rows}
        | "Join rows" >> beam.CoGroupByKey()
        | "Make rows"
        >> beam.ParDo(MakeRow(recipe.seed, recipe.model, plan.supported | {ENGLISH}), plan.provenance)
    )
    rejects = (
        read.rejects | "Unreadable records" >> beam.Map(row_of_reject),
        unique.rejects | "Duplicates" >> beam.Map(row_of_rejected_example, recipe.seed),
        checked.rejects | "Bad images" >> beam.Map(row_of_rejected_example, recipe.seed),
    )
    judged = (rows, *rejects) | "All rows" >> beam.Flatten()

    files = judged | "Write" >> WriteMix(
        plan.directory,
        recipe.seed,
        recipe.validation,
        embed=recipe.images == "embed",
        shard_megabytes=recipe.shard_megabytes,
    )
    _finish(pipeline, plan, read, judged, files)


def _finish(
    pipeline: beam.Pipeline,
    plan: MixPlan,
    read: beam.pvalue.DoOutputsTuple,
    judged: beam.PCollection,
    files: beam.PCollection,
) -> None:
    """Counts what was read apart from what was judged and written, then the card and the manifest."""
    counted = (
        (read.examples, read.rejects)
        | "All that was read" >> beam.Flatten()
        | "Count read" >> beam.combiners.Count.Globally()
    )
    reasons = (
        judged
        | "Reasons" >> beam.Map(lambda element: ((element[0]["language"], element[0]["reason"]), 1))
        | "Short reasons" >> beam.Map(_short_reason)
        | "Count reasons" >> beam.CombinePerKey(sum)
    )
    (
        pipeline
        | "Once" >> beam.Create([None])
        | "Manifest"
        >> beam.FlatMap(
            _write_card_and_manifest,
            plan,
            beam.pvalue.AsSingleton(counted),
            beam.pvalue.AsList(reasons),
            beam.pvalue.AsList(files),
        )
    )


def _short_reason(element: tuple[tuple[str, str | None], int]) -> tuple[tuple[str, str | None], int]:
    (language, reason), number = element
    return (language, None if reason is None else reason.split(":", 1)[0]), number


def _write_card_and_manifest(
    _: None,
    plan: MixPlan,
    read: int,
    reasons: Iterable[tuple[tuple[str, str | None], int]],
    files: Iterable[ShardFile],
) -> Iterator[None]:
    by_language: dict[str, list[tuple[str | None, int]]] = {}
    for (language, reason), number in reasons:
        by_language.setdefault(language, []).append((reason, number))
    manifest = Manifest(
        signature=plan.signature,
        recipe=plan.recipe.model_dump(mode="json"),
        read=read,
        counts=tuple(
            merge_counts(language, sum(number for _, number in found), found)
            for language, found in sorted(by_language.items())
        ),
        files=tuple(sorted(files, key=lambda file: file.path)),
    )
    check_nothing_lost(manifest)
    write_text(join(plan.directory, "README.md"), dataset_card(manifest, plan.recipe.name, plan.licences))
    write_manifest(plan.directory, manifest)
    yield from ()
