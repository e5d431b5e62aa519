"""The whole flow of `translate-mix run` as one Beam graph."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import apache_beam as beam

from pipelines.assignment import Assignment
from pipelines.card import dataset_card
from pipelines.filesystem import join, write_text
from pipelines.manifest import (
    ANSWERS_FILE,
    AnswerTable,
    Manifest,
    Signature,
    check_nothing_lost,
    merge_counts,
    write_manifest,
)
from pipelines.reading import (
    LEFT_OUT,
    REJECTS,
    AssignedExample,
    AssignLanguages,
    CheckImages,
    ReadPiece,
    RejectDuplicates,
    RejectRepeated,
    UnifyImages,
)
from pipelines.recipe import Recipe
from pipelines.rows import (
    MakeRow,
    Provenance,
    SpreadTranslations,
    answers_to_translate,
    row_of_reject,
    row_of_rejected_example,
    texts_to_translate,
)
from pipelines.sink import ShardFile, WriteMix
from pipelines.sources import Piece
from pipelines.translating import (
    ANSWERS,
    TEXTS,
    EngineOptions,
    ScoreTexts,
    TextKey,
    TranslatedText,
    TranslateTexts,
)
from translation.answers import Entry, Given, format_answers
from translation.filters import Thresholds
from translation.languages import ENGLISH


@dataclass(frozen=True)
class MixPlan:
    """A recipe with everything resolved that workers need; picklable."""

    recipe: Recipe
    directory: str
    pieces: tuple[Piece, ...]
    assignment: Assignment
    engine: EngineOptions
    identification: str
    """`cld`, a fastText file or a hub name."""
    quality: tuple[str, ...]
    """Specs of trained judges, with their places as they are found from anywhere."""
    thresholds: Thresholds
    given: Mapping[TextKey, Given]
    """Answers of the table that the recipe names."""
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
        | "Read"
        >> beam.ParDo(ReadPiece(recipe, plan.assignment)).with_outputs(REJECTS, LEFT_OUT, main="examples")
    )
    assigned = read.examples | "Assign languages" >> beam.ParDo(
        AssignLanguages(recipe, plan.assignment)
    ).with_outputs(REJECTS, main="examples")
    unread = (read.rejects, assigned.rejects) | "All unreadable records" >> beam.Flatten()
    unique = (
        assigned.examples
        | "Group by id" >> beam.GroupByKey()
        | "Reject duplicates" >> beam.ParDo(RejectDuplicates()).with_outputs(REJECTS, main="examples")
    )
    seen = (
        unique.examples
        | "Group by image" >> beam.GroupByKey()
        | "Check images"
        >> beam.ParDo(CheckImages(recipe.max_image_pixels, recipe.deduplicate)).with_outputs(
            REJECTS, main="examples"
        )
    )
    one_id_each = seen.examples | "Unify images" >> UnifyImages(recipe.deduplicate)
    checked = one_id_each | "Reject repetitions" >> RejectRepeated(recipe.deduplicate.rows)

    answers = checked.examples | "Answers" >> beam.FlatMap(
        answers_to_translate, plan.supported
    ).with_output_types(tuple[TextKey, tuple[tuple[str, str], str | None]])
    uses = checked.examples | "Texts" >> beam.FlatMap(texts_to_translate, plan.supported).with_output_types(
        tuple[TextKey, tuple[str, str]]
    )
    asked = {
        TEXTS: uses | "Keys" >> beam.Keys().with_output_types(TextKey),
        ANSWERS: answers
        | "Questions"
        >> beam.MapTuple(lambda key, use: (key, use[1])).with_output_types(tuple[TextKey, str | None]),
    }
    translated = asked | "Translate" >> TranslateTexts(
        plan.engine,
        recipe.round_trip,
        ScoreTexts(plan.identification, plan.quality, recipe.filters, plan.thresholds),
        plan.progress_directory,
        plan.given,
        recipe.answers.context,
    )
    of_texts = (
        {"uses": uses, "translations": translated[TEXTS]}
        | "Join texts" >> beam.CoGroupByKey()
        | "Spread translations"
        >> beam.ParDo(SpreadTranslations()).with_output_types(tuple[str, tuple[str, TranslatedText]])
    )
    slots = answers | "Answer slots" >> beam.MapTuple(lambda key, use: (key, use[0])).with_output_types(
        tuple[TextKey, tuple[str, str]]
    )
    of_answers = (
        {"uses": slots, "translations": translated[ANSWERS]}
        | "Join answers" >> beam.CoGroupByKey()
        | "Spread answers"
        >> beam.ParDo(SpreadTranslations()).with_output_types(tuple[str, tuple[str, TranslatedText]])
    )
    of_rows = (of_texts, of_answers) | "All translations" >> beam.Flatten()
    examples = checked.examples | "By row id" >> beam.Map(
        lambda example: (example.id, example)
    ).with_output_types(tuple[str, AssignedExample])
    rows = (
        {"examples": examples, "translations": of_rows}
        | "Join rows" >> beam.CoGroupByKey()
        | "Make rows"
        >> beam.ParDo(
            MakeRow(
                recipe.model,
                plan.supported | {ENGLISH},
                plan.assignment,
                recipe.templates.translated,
            ),
            plan.provenance,
        )
    )
    rejects = (
        unread | "Unreadable records" >> beam.Map(row_of_reject),
        unique.rejects | "Duplicates" >> beam.Map(row_of_rejected_example, plan.assignment),
        seen.rejects | "Bad images" >> beam.Map(row_of_rejected_example, plan.assignment),
        checked.rejects | "Repetitions" >> beam.Map(row_of_rejected_example, plan.assignment),
    )
    judged = (rows, *rejects) | "All rows" >> beam.Flatten()

    files = judged | "Write" >> WriteMix(
        plan.directory,
        embed=recipe.images == "embed",
        shard_megabytes=recipe.shard_megabytes,
    )
    entries = translated[ANSWERS] | "Answer entries" >> beam.MapTuple(lambda _, text: text.answer)
    _finish(pipeline, plan, read[LEFT_OUT], assigned.examples, unread, judged, files, entries)


def _finish(
    pipeline: beam.Pipeline,
    plan: MixPlan,
    left_out: beam.PCollection,
    assigned: beam.PCollection,
    unread: beam.PCollection,
    judged: beam.PCollection,
    files: beam.PCollection,
    entries: beam.PCollection,
) -> None:
    """Counts what was read apart from what was judged and written, then answers, card and manifest."""
    counted = (
        (assigned | "Assigned" >> beam.Values(), unread)
        | "All that was read" >> beam.Flatten()
        | "Count read" >> beam.combiners.Count.Globally()
    )
    not_wanted = left_out | "Count left out" >> beam.combiners.Count.PerElement()
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
            beam.pvalue.AsDict(not_wanted),
            beam.pvalue.AsList(reasons),
            beam.pvalue.AsList(files),
            beam.pvalue.AsList(entries),
        )
    )


def _short_reason(element: tuple[tuple[str, str | None], int]) -> tuple[tuple[str, str | None], int]:
    (language, reason), number = element
    return (language, None if reason is None else reason.split(":", 1)[0]), number


def _write_answers(directory: str, entries: Sequence[Entry]) -> AnswerTable | None:
    """Writes `answers.tsv`, if there is an answer in it."""
    if not entries:
        return None
    text = format_answers(entries)
    write_text(join(directory, ANSWERS_FILE), text)
    failed = sum(not entry.accepted for entry in entries)
    return AnswerTable(len(entries), failed, hashlib.sha256(text.encode()).hexdigest())


def _write_card_and_manifest(
    _: None,
    plan: MixPlan,
    read: int,
    left_out: Mapping[str, int],
    reasons: Iterable[tuple[tuple[str, str | None], int]],
    files: Iterable[ShardFile],
    entries: Iterable[Entry],
) -> Iterator[None]:
    by_language: dict[str, list[tuple[str | None, int]]] = {}
    for (language, reason), number in reasons:
        by_language.setdefault(language, []).append((reason, number))
    manifest = Manifest(
        signature=plan.signature,
        recipe=plan.recipe.model_dump(mode="json"),
        licences=plan.licences,
        read=read,
        left_out=dict(sorted(left_out.items())),
        counts=tuple(
            merge_counts(language, sum(number for _, number in found), found)
            for language, found in sorted(by_language.items())
        ),
        files=tuple(sorted(files, key=lambda file: file.path)),
        answers=_write_answers(plan.directory, list(entries)),
    )
    check_nothing_lost(manifest)
    write_text(join(plan.directory, "README.md"), dataset_card(manifest, plan.recipe.name, plan.licences))
    write_manifest(plan.directory, manifest)
    yield from ()
