"""The middle of the graph: distinct texts -> batches -> translations with their scores.

Texts are put into batches by a hash of their content, not by arrival: a batch holds the same texts
whatever the number of workers, so the output does too, and a batch that runs twice gives the same bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.utils.shared import Shared

from pipelines import progress
from translation.engine import Engine
from translation.filters import Policy, Scores, TextPair, Thresholds, Verdict, is_short, score_pairs, verdicts
from translation.identification import Identifier, load_identifier
from translation.languages import ENGLISH
from translation.translations import Decoding, Request, Translation

TextKey = tuple[str, str]
"""(NLLB code of the target, English text): what is translated once, however many rows use it."""

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


@dataclass(frozen=True)
class TranslatedBatch:
    """What the model returned for one batch, before scoring; aligned lists."""

    keys: tuple[TextKey, ...]
    translations: tuple[Translation, ...]
    back_translations: tuple[str | None, ...]


class TextsToBatches(beam.PTransform):
    """Distinct `TextKey`s -> tuples of at most `BATCH_TEXTS` of them."""

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


def _with_bucket(key: TextKey, count: int) -> tuple[int, TextKey]:
    buckets = max(1, -(-count // (4 * BATCH_TEXTS)))
    digest = hashlib.blake2b("\x1f".join(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % buckets, key


def _cut(bucket: tuple[int, Iterable[TextKey]]) -> Iterator[tuple[TextKey, ...]]:
    """Longest first, so that texts of like length share a batch."""
    keys = sorted(bucket[1], key=lambda key: (-len(key[1]), key))
    for start in range(0, len(keys), BATCH_TEXTS):
        yield tuple(keys[start : start + BATCH_TEXTS])


@dataclass(frozen=True)
class EngineOptions:
    """Everything a worker needs to make its engine; picklable."""

    directory: str
    decoding: Decoding
    device: str
    intra_threads: int


class NllbModelHandler(ModelHandler[Any, Any, Any]):
    """RunInference on whole batches: there and, as far as the recipe asks for it, back.

    Both directions run here, so that one process holds one copy of the model.
    """

    def __init__(self, options: EngineOptions, round_trip: str, progress_directory: str | None) -> None:
        """`round_trip`: `none`, `short` or `all` (see `translation.filters.is_short`)."""
        super().__init__()
        self._options, self._round_trip, self._progress = options, round_trip, progress_directory

    def load_model(self) -> Engine:
        options = self._options
        # The digest was checked when the run started; 3 GB a worker would cost time again.
        return Engine(
            Path(options.directory),
            options.decoding,
            device=options.device,
            intra_threads=options.intra_threads,
            check=False,
        )

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """Elements are batches already."""
        return {"min_batch_size": 1, "max_batch_size": 1}

    def run_inference(
        self,
        batch: Sequence[tuple[TextKey, ...]],
        model: Engine,
        inference_args: Mapping[str, Any] | None = None,
    ) -> Iterator[TranslatedBatch]:
        for keys in batch:
            there = model.translate([Request(text, ENGLISH, target) for target, text in keys])
            back: list[str | None] = [None] * len(keys)
            asked = [
                index
                for index, (_, text) in enumerate(keys)
                if there[index].text and (self._round_trip == "all" or self._short(text))
            ]
            requests = [Request(there[index].text, keys[index][0], ENGLISH) for index in asked]
            for index, translation in zip(asked, model.translate(requests), strict=True):
                back[index] = translation.text
            progress.record(self._progress, len(keys))
            yield TranslatedBatch(keys, tuple(there), tuple(back))

    def _short(self, text: str) -> bool:
        return self._round_trip == "short" and is_short(text)

    def get_num_bytes(self, batch: Sequence[tuple[TextKey, ...]]) -> int:
        return sum(len(text.encode()) for keys in batch for _, text in keys)

    def get_metrics_namespace(self) -> str:
        return "translate_mix"


class ScoreTexts(beam.DoFn):
    """`TranslatedBatch` -> (key, `TranslatedText`)."""

    def __init__(self, identification: str, policy: Policy, thresholds: Thresholds) -> None:
        self._identification, self._policy, self._thresholds = identification, policy, thresholds
        self._shared = Shared()

    def setup(self) -> None:
        self._identifier: Identifier = self._shared.acquire(
            lambda: _Held(load_identifier(self._identification)), tag=self._identification
        ).identifier

    def process(self, batch: TranslatedBatch) -> Iterator[tuple[TextKey, TranslatedText]]:
        pairs = [
            TextPair(text, translation.text, target, translation, back)
            for (target, text), translation, back in zip(
                batch.keys, batch.translations, batch.back_translations, strict=True
            )
        ]
        scores = score_pairs(pairs, self._identifier)
        made = verdicts(scores, self._policy, self._thresholds)
        for key, translation, back, score, verdict in zip(
            batch.keys, batch.translations, batch.back_translations, scores.rows(), made, strict=True
        ):
            yield key, TranslatedText(key, translation, back, score, verdict)


@dataclass
class _Held:
    """`Shared` keeps weak references, which not every identifier allows."""

    identifier: Identifier


class TranslateTexts(beam.PTransform):
    """`TextKey`s, with repetitions -> (key, `TranslatedText`), each distinct key once."""

    def __init__(
        self,
        options: EngineOptions,
        round_trip: str,
        scoring: ScoreTexts,
        progress_directory: str | None,
    ) -> None:
        super().__init__()
        self._handler = NllbModelHandler(options, round_trip, progress_directory)
        self._progress = progress_directory
        self._scoring = scoring

    def expand(self, keys: beam.PCollection) -> beam.PCollection:
        return (
            keys
            | "Distinct texts" >> beam.Distinct().with_output_types(TextKey)
            | "Batch texts" >> TextsToBatches(self._progress)
            | "Translate there and back" >> RunInference(self._handler)
            | "Score" >> beam.ParDo(self._scoring).with_output_types(tuple[TextKey, TranslatedText])
        )


def threads_per_worker(workers: int) -> int:
    """Cores of this machine over its worker processes; 0 workers is Beam's word for one a core."""
    cores = os.cpu_count() or 1
    return max(1, cores // (workers or cores))
