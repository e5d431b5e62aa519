"""The middle of the graph: distinct texts and answers -> batches -> translations with their scores.

Texts are put into batches by a hash of their content, not by arrival: a batch holds the same texts
whatever the number of workers, so the output does too, and a batch that runs twice gives the same bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.utils.shared import Shared

from pipelines import progress
from translation.answers import Entry, Given, WantedAnswer, contexts, translate_answers
from translation.engine import Engine
from translation.filters import (
    NO_SCORES,
    Policy,
    Scores,
    TextPair,
    Thresholds,
    Verdict,
    is_short,
    score_pairs,
    verdicts,
)
from translation.identification import Identifier, load_identifier
from translation.languages import ENGLISH
from translation.memory import Memory, Origin, RememberingEngine
from translation.quality import QualityModel, load_quality
from translation.translations import Decoding, Request, Translation

TextKey = tuple[str, str]
"""(NLLB code of the target, English text): what is translated once, however many rows use it."""

Work = TextKey | WantedAnswer
"""What a batch holds, all of one kind."""

TEXTS, ANSWERS = "texts", "answers"
"""Names of the inputs and outputs of `TranslateTexts`."""

BATCH_TEXTS = 512
"""Texts of one batch: about a minute of NLLB-600M on two cores, enough to sort by length within."""


@dataclass(frozen=True)
class TranslatedText:
    """A text, its translation, the way back, the scores of both, and what the policy says of them."""

    key: TextKey
    translation: Translation
    back_translation: str | None
    scores: Scores
    verdict: Verdict
    answer: Entry | None = None
    """Of an answer: its line in the answer table."""

    @property
    def by_model(self) -> bool:
        """Whether the model made it, and not the user or the shipped table."""
        return self.answer is None or self.answer.how in ("alone", "context")


@dataclass(frozen=True)
class TranslatedBatch:
    """What the model returned for one batch, before scoring; aligned lists."""

    keys: tuple[TextKey, ...]
    translations: tuple[Translation, ...]
    back_translations: tuple[str | None, ...]
    answers: tuple[Entry, ...] = ()
    """Their lines in the answer table, if the batch is one of answers."""


class GatherContexts(beam.CombineFn):
    """The questions of an answer -> how many there are, and the few that serve as its contexts."""

    def create_accumulator(self) -> tuple[int, tuple[str, ...]]:
        return 0, ()

    def add_input(
        self, gathered: tuple[int, tuple[str, ...]], question: str | None
    ) -> tuple[int, tuple[str, ...]]:
        uses, kept = gathered
        return uses + 1, kept if question is None else contexts((*kept, question))

    def merge_accumulators(self, parts: Iterable[tuple[int, tuple[str, ...]]]) -> tuple[int, tuple[str, ...]]:
        parts = list(parts)
        return sum(uses for uses, _ in parts), contexts(one for _, kept in parts for one in kept)

    def extract_output(self, gathered: tuple[int, tuple[str, ...]]) -> tuple[int, tuple[str, ...]]:
        return gathered


def _wanted(
    gathered: tuple[TextKey, tuple[int, tuple[str, ...]]], given: Mapping[TextKey, Given], in_context: bool
) -> WantedAnswer:
    key, (uses, kept) = gathered
    return WantedAnswer(*key, uses, kept if in_context else (), given.get(key))


class TextsToBatches(beam.PTransform):
    """Distinct pieces of work -> tuples of at most `BATCH_TEXTS` of one kind."""

    def __init__(self, progress_directory: str | None) -> None:
        super().__init__()
        self._progress = progress_directory

    def expand(self, keys: beam.PCollection) -> beam.PCollection:
        count = keys | "Count texts" >> beam.combiners.Count.Globally()
        if self._progress is not None:
            _ = count | "Show total" >> beam.Map(progress.record_total, self._progress)
        return (
            keys
            | "Bucket by content" >> beam.Map(_with_bucket, beam.pvalue.AsSingleton(count))
            | "Group buckets" >> beam.GroupByKey()
            | "Cut batches" >> beam.FlatMap(_cut)
            | "Spread batches" >> beam.Reshuffle()
        )


def _key(work: Work) -> TextKey:
    return (work.nllb_code, work.answer) if isinstance(work, WantedAnswer) else work


def _with_bucket(work: Work, count: int) -> tuple[int, Work]:
    buckets = max(1, -(-count // (4 * BATCH_TEXTS)))
    digest = hashlib.blake2b("\x1f".join(_key(work)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % buckets, work


def _cut(bucket: tuple[int, Iterable[Work]]) -> Iterator[tuple[Work, ...]]:
    """Longest first, so that texts of like length share a batch."""
    held = sorted(bucket[1], key=lambda work: (-len(_key(work)[1]), _key(work)))
    answers = [work for work in held if isinstance(work, WantedAnswer)]
    texts = [work for work in held if not isinstance(work, WantedAnswer)]
    for kind in (texts, answers):
        for start in range(0, len(kind), BATCH_TEXTS):
            yield tuple(kind[start : start + BATCH_TEXTS])


@dataclass(frozen=True)
class EngineOptions:
    """Everything a worker needs to make its engine; picklable."""

    directory: str
    decoding: Decoding
    device: str
    intra_threads: int
    memory: str
    """Folder of the translation memory; `translation.memory.begin` was called on it."""
    origin: Origin
    """What finds the translations of this engine there."""


class NllbModelHandler(ModelHandler[Any, Any, Any]):
    """RunInference on whole batches: there and, as far as the recipe asks for it, back.

    Both directions run here, so that one process holds one copy of the model.
    """

    def __init__(self, options: EngineOptions, round_trip: str, progress_directory: str | None) -> None:
        """`round_trip`: `none`, `short` or `all` (see `translation.filters.is_short`)."""
        super().__init__()
        self._options, self._round_trip, self._progress = options, round_trip, progress_directory

    def load_model(self) -> RememberingEngine:
        options = self._options
        memory = Memory(options.memory)
        # The digest was checked when the run started; 3 GB a worker would cost time again.
        engine = Engine(
            Path(options.directory),
            options.decoding,
            device=options.device,
            intra_threads=options.intra_threads,
            check=False,
        )
        return RememberingEngine(engine, memory, options.origin)

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Elements are batches already."""
        return {"min_batch_size": 1, "max_batch_size": 1}

    def run_inference(
        self,
        batch: Sequence[tuple[Work, ...]],
        model: RememberingEngine,
        inference_args: Mapping[str, Any] | None = None,
    ) -> Iterator[TranslatedBatch]:
        for works in batch:
            answers = [work for work in works if isinstance(work, WantedAnswer)]
            if answers:
                translated, remembered = self._answers(answers, model)
            else:
                translated, remembered = self._texts(tuple(_key(work) for work in works), model)
            yield translated
            progress.record(self._progress, len(works), remembered)

    def _texts(self, keys: tuple[TextKey, ...], model: RememberingEngine) -> tuple[TranslatedBatch, int]:
        """The batch, and how many of its texts the memory knew."""
        recalled = model.recall([Request(text, ENGLISH, target) for target, text in keys])
        there = recalled.translations
        back: list[str | None] = [None] * len(keys)
        asked = [
            index
            for index, (_, text) in enumerate(keys)
            if there[index].text and (self._round_trip == "all" or self._short(text))
        ]
        requests = [Request(there[index].text, keys[index][0], ENGLISH) for index in asked]
        for index, translation in zip(asked, model.translate(requests), strict=True):
            back[index] = translation.text
        return TranslatedBatch(keys, tuple(there), tuple(back)), recalled.known

    def _answers(
        self, wanted: Sequence[WantedAnswer], model: RememberingEngine
    ) -> tuple[TranslatedBatch, int]:
        """The batch, and how many of its answers the memory knew, without their contexts."""
        known = 0

        def translate(requests: Sequence[Request], whole: bool) -> list[Translation]:
            nonlocal known
            recalled = model.recall(requests, whole=whole)
            known += 0 if whole else recalled.known
            return recalled.translations

        answered = translate_answers(wanted, translate, round_trip=self._round_trip != "none")
        batch = TranslatedBatch(
            tuple(_key(one) for one in wanted),
            tuple(one.translation or _untouched(one.entry.translation) for one in answered),
            tuple(one.entry.back_translation for one in answered),
            tuple(one.entry for one in answered),
        )
        return batch, known

    def _short(self, text: str) -> bool:
        return self._round_trip == "short" and is_short(text)

    def get_num_bytes(self, batch: Sequence[tuple[Work, ...]]) -> int:
        return sum(len(_key(work)[1].encode()) for works in batch for work in works)

    def get_metrics_namespace(self) -> str:
        return "translate_mix"


def _untouched(text: str) -> Translation:
    """A translation that no engine made."""
    return Translation(text, 0.0, cut_off=False, unknown=False, empty=False)


class ScoreTexts(beam.DoFn):
    """`TranslatedBatch` -> (key, `TranslatedText`), those of answers in the output `ANSWERS`."""

    def __init__(
        self, identification: str, quality: Sequence[str], policy: Policy, thresholds: Thresholds
    ) -> None:
        """`quality`: specs of trained judges, see `translation.quality.load_quality`."""
        self._identification, self._quality = identification, tuple(quality)
        self._policy, self._thresholds = policy, thresholds
        self._shared, self._shared_judges = Shared(), Shared()

    def setup(self) -> None:
        self._identifier: Identifier = self._shared.acquire(
            lambda: _Held(load_identifier(self._identification)), tag=self._identification
        ).value
        self._judges: tuple[QualityModel, ...] = self._shared_judges.acquire(
            lambda: _Held(tuple(map(load_quality, self._quality))), tag=self._quality
        ).value

    def process(self, batch: TranslatedBatch) -> Iterator[tuple[TextKey, TranslatedText]]:
        pairs = [
            TextPair(text, translation.text, target, translation, back)
            for (target, text), translation, back in zip(
                batch.keys, batch.translations, batch.back_translations, strict=True
            )
        ]
        scores = score_pairs(pairs, self._identifier)
        for judge in self._judges:
            scores = scores.with_column(judge.column, judge.score(pairs))
        made = verdicts(scores, self._policy, self._thresholds)
        texts = [
            TranslatedText(key, translation, back, score, verdict)
            for key, translation, back, score, verdict in zip(
                batch.keys, batch.translations, batch.back_translations, scores.rows(), made, strict=True
            )
        ]
        if not batch.answers:
            yield from ((text.key, text) for text in texts)
            return
        for text, entry in zip(texts, batch.answers, strict=True):
            yield beam.pvalue.TaggedOutput(ANSWERS, (text.key, _as_answer(text, entry)))


NOT_ACCEPTED = Verdict(False, "answers: not accepted in the answer table that the recipe names")


def _as_answer(text: TranslatedText, entry: Entry) -> TranslatedText:
    """An answer; what a person checked has no scores that could speak against it."""
    if entry.how in ("given", "checked"):
        verdict = Verdict(True, None) if entry.accepted else NOT_ACCEPTED
        return replace(text, scores=NO_SCORES, verdict=verdict, answer=entry)
    return replace(text, answer=replace(entry, accepted=text.verdict.accepted))


T = TypeVar("T")


@dataclass
class _Held(Generic[T]):
    """`Shared` keeps weak references, which tuples and some identifiers do not allow."""

    value: T


class TranslateTexts(beam.PTransform):
    """Texts and answers -> (key, `TranslatedText`), each distinct key once; both are translated by one model.

    Takes `TEXTS`: `TextKey`s with repetitions, and `ANSWERS`: (`TextKey`, the question or None) of every use.
    Gives two outputs of the same names.
    """

    def __init__(
        self,
        options: EngineOptions,
        round_trip: str,
        scoring: ScoreTexts,
        progress_directory: str | None,
        given: Mapping[TextKey, Given],
        in_context: bool,
    ) -> None:
        """`given`: answers that need no translation; `in_context`: answers are tried with their questions."""
        super().__init__()
        self._given, self._in_context = given, in_context
        self._handler = NllbModelHandler(options, round_trip, progress_directory)
        self._progress = progress_directory
        self._scoring = scoring

    def expand(self, asked: Mapping[str, beam.PCollection]) -> beam.pvalue.DoOutputsTuple:
        texts = asked[TEXTS] | "Distinct texts" >> beam.Distinct().with_output_types(TextKey)
        answers = (
            asked[ANSWERS]
            | "Gather contexts" >> beam.CombinePerKey(GatherContexts())
            | "Wanted answers"
            >> beam.Map(_wanted, self._given, self._in_context).with_output_types(WantedAnswer)
        )
        return (
            (texts, answers)
            | "All work" >> beam.Flatten().with_output_types(Any)
            | "Batch texts" >> TextsToBatches(self._progress)
            | "Translate there and back" >> RunInference(self._handler)
            | "Score" >> beam.ParDo(self._scoring).with_outputs(ANSWERS, main=TEXTS)
        )


def threads_per_worker(workers: int) -> int:
    """Cores of this machine over its worker processes; 0 workers is Beam's word for one a core."""
    cores = os.cpu_count() or 1
    return max(1, cores // (workers or cores))
