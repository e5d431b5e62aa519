"""The middle of the graph: buckets of texts -> batches -> translations with scores -> buckets of rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import NamedTuple

import apache_beam as beam
import msgspec
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from pipelines import progress
from pipelines.blocks import HELD, Packer, at_the_end, bucket_of, tagged
from pipelines.engines import EngineOptions, HeldEngine
from pipelines.judging import Judge, JudgedText, Judging
from pipelines.uses import USES, TextKey, Use
from translation.answers import Entry, Given, WantedAnswer, contexts, translate_answers
from translation.engine import BATCH_TEXTS
from translation.filters import TextPair, goes_back
from translation.languages import ENGLISH
from translation.memory import Recalled
from translation.translations import Request, Translation

ENTRIES = "entries"
"""Output: lines of the answer table."""


class Delivery(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Translations on their way to the rows of a bucket."""

    texts: list[JudgedText]
    uses: list[tuple[str, str, int]]
    """(row id, `PROMPT` or `TARGET`, index into `texts`)."""


DELIVERIES = Packer(Delivery)


class _Deliveries:
    """Translations of many buckets of texts, gathered for each bucket of rows."""

    def __init__(self, buckets: int) -> None:
        self._buckets = buckets
        self._held: dict[int, tuple[dict[JudgedText, int], list[tuple[str, str, int]]]] = {}
        self._count = 0

    def add(self, use: Use, text: JudgedText) -> None:
        texts, uses = self._held.setdefault(bucket_of(use.row, self._buckets), ({}, []))
        uses.append((use.row, use.slot, texts.setdefault(text, len(texts))))
        self._count += 1

    @property
    def full(self) -> bool:
        return self._count >= HELD

    def drain(self) -> Iterator[tuple[int, bytes]]:
        held, self._held, self._count = self._held, {}, 0
        for bucket, (texts, uses) in held.items():
            yield bucket, DELIVERIES.pack([Delivery(list(texts), uses)])


def delivered(blocks: Iterable[bytes]) -> dict[str, dict[str, JudgedText]]:
    """Row id -> its translations by slot."""
    found: dict[str, dict[str, JudgedText]] = {}
    for delivery in DELIVERIES.unpack_all(blocks):
        for row, slot, index in delivery.uses:
            slots = found.setdefault(row, {})
            if slot in slots:
                raise RuntimeError(f"two translations for the {slot} of {row}, where there must be one")
            slots[slot] = delivery.texts[index]
    return found


@dataclass(frozen=True)
class _Translated:
    """What the model returned for one batch; aligned."""

    work: Sequence[TextKey] | Sequence[WantedAnswer]
    pairs: list[TextPair]
    entries: list[Entry]
    """Lines of the answer table; empty for a batch of texts."""
    remembered: int
    """Of the texts: those that the memory knew."""


class _Scored(NamedTuple):
    """A batch with its verdicts; aligned."""

    texts: list[JudgedText]
    entries: list[Entry]
    """Empty for a batch of texts."""
    worth: list[bool]
    """Whether to keep it, see `Judge.judge`."""


class TranslateTexts(beam.DoFn):
    """(bucket of texts, blocks of `Use`s) -> (bucket of rows, block of `Delivery`s), and `ENTRIES`.

    Each distinct text is translated once, and back as far as the recipe asks for it. Both directions run
    here, so that a process holds one model.
    """

    def __init__(
        self,
        options: EngineOptions,
        judging: Judging,
        round_trip: str,
        given: Mapping[TextKey, Given],
        buckets: int,
        progress_directory: str | None,
    ) -> None:
        """The work of a process, whatever its texts.

        Args:
            round_trip: `none`, `short` or `all` (see `translation.filters.goes_back`).
            given: answers that need no translation.
            buckets: of rows.
        """
        self._options, self._judging, self._round_trip = options, judging, round_trip
        self._given, self._buckets, self._progress = given, buckets, progress_directory
        self._engines, self._judges = Shared(), Shared()
        self._texts = Metrics.counter("translate_mix", "texts")
        self._remembered = Metrics.counter("translate_mix", "texts_remembered")
        self._kept = Metrics.counter("translate_mix", "texts_kept")
        self._lengths = Metrics.distribution("translate_mix", "characters_of_text")
        self._again = Metrics.counter("translate_mix", "tried_with_whole_vocabulary")
        self._mended = Metrics.counter("translate_mix", "mended_with_whole_vocabulary")

    def setup(self) -> None:
        # Threads of one process share both; they live as long as one of them holds them.
        self._judge: Judge = self._judges.acquire(lambda: Judge(self._judging))
        self._held = HeldEngine(self._options, self._engines)
        self._model = self._held.engine
        self._texts_at_once = BATCH_TEXTS["cuda" if self._options.on_gpu else "cpu"]
        # Each device decodes one while the next is cut into tokens and the last is judged.
        self._in_flight = self._model.devices() + 1

    def teardown(self) -> None:
        self._held.release()

    def start_bundle(self) -> None:
        progress.enter(self._progress, progress.TRANSLATING)
        self._deliveries = _Deliveries(self._buckets)

    def process(self, element: tuple[int, Iterable[bytes]]) -> Iterator[object]:
        texts, answers = self._wanted(element[1])
        entries: list[Entry] = []
        for batch in self._batches(texts, answers):
            judged, of_batch = self._judged(batch)
            self._count(batch, judged)
            entries += of_batch
            of_kind = answers if of_batch else texts
            for pair, text in zip(batch.pairs, judged, strict=True):
                for use in of_kind[pair.language, pair.source]:
                    self._deliveries.add(use, text)
            if self._deliveries.full:
                yield from self._deliveries.drain()
        progress.record(self._progress, progress.BUCKETS, element[0])
        yield from tagged(entries, ENTRIES)

    def _count(self, batch: _Translated, judged: Sequence[JudgedText]) -> None:
        """Tells the runner and the terminal of a finished batch."""
        kept = sum(text.reason is None for text in judged)
        progress.record(self._progress, progress.BATCHES, len(judged), batch.remembered, kept)
        self._texts.inc(len(judged))
        self._remembered.inc(batch.remembered)
        self._kept.inc(kept)
        for pair in batch.pairs:
            self._lengths.update(len(pair.source))

    def finish_bundle(self) -> Iterator[object]:
        yield from at_the_end(self._deliveries.drain())

    def _wanted(self, blocks: Iterable[bytes]) -> tuple[dict[TextKey, list[Use]], dict[TextKey, list[Use]]]:
        """The uses of each distinct text, and of each distinct answer."""
        texts: dict[TextKey, list[Use]] = {}
        answers: dict[TextKey, list[Use]] = {}
        for use in USES.unpack_all(blocks):
            (answers if use.is_answer else texts).setdefault(use.key, []).append(use)
        return texts, answers

    def _batches(
        self, texts: Mapping[TextKey, Sequence[Use]], answers: Mapping[TextKey, Sequence[Use]]
    ) -> Iterator[_Translated]:
        """The translations of a bucket, batch by batch, while the next ones are being translated."""
        pool = ThreadPoolExecutor(self._in_flight, "translate")
        try:
            begun: deque[Future[_Translated]] = deque()
            work = chain(
                (partial(self._translate, keys) for keys in _cut(texts, self._texts_at_once)),
                (
                    partial(self._translate_answers, [self._answer(key, answers[key]) for key in keys])
                    for keys in _cut(answers, self._texts_at_once)
                ),
            )
            for call in work:
                begun.append(pool.submit(call))
                if len(begun) > self._in_flight:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _judged(self, batch: _Translated) -> tuple[list[JudgedText], list[Entry]]:
        """A batch with its scores, and its lines of the answer table.

        What a shortlist led to and is not worth keeping is tried again with the whole vocabulary.
        """
        judged, entries, worth = self._scored(batch)
        again = [
            index
            for index, (pair, text) in enumerate(zip(batch.pairs, judged, strict=True))
            if not worth[index] and text.by_model and self._may_gain(pair)
        ]
        if again:
            second = self._scored(self._tried_again([batch.work[index] for index in again]))
            self._again.inc(len(again))
            for place, index in enumerate(again):
                if second.worth[place]:
                    self._mended.inc()
                    judged[index] = second.texts[place]
                    if entries:
                        entries[index] = second.entries[place]
        return judged, entries

    def _may_gain(self, pair: TextPair) -> bool:
        """Whether the whole vocabulary was not tried yet, as the engine does with what it sees is broken."""
        made = pair.translation
        tried = made is not None and (made.cut_off or made.unknown or made.empty)
        return self._model.is_shortlisted(pair.language) and not tried

    def _scored(self, batch: _Translated) -> _Scored:
        judged, worth = self._judge.judge(batch.pairs)
        if not batch.entries:
            return _Scored(judged, [], worth)
        judged = [_as_answer(text, entry) for text, entry in zip(judged, batch.entries, strict=True)]
        entries = [
            replace(entry, accepted=text.reason is None)
            for text, entry in zip(judged, batch.entries, strict=True)
        ]
        return _Scored(judged, entries, worth)

    def _tried_again(self, work: Sequence[TextKey | WantedAnswer]) -> _Translated:
        answers = [one for one in work if isinstance(one, WantedAnswer)]
        if answers:
            return self._translate_answers(answers, again=True)
        return self._translate([one for one in work if not isinstance(one, WantedAnswer)], again=True)

    def _translate(self, keys: Sequence[TextKey], again: bool = False) -> _Translated:
        """There and back; `again`: with the whole vocabulary."""
        recalled = self._model.recall([Request(text, ENGLISH, code) for code, text in keys], full=again)
        there = recalled.translations
        back: list[str | None] = [None] * len(keys)
        asked = [
            index
            for index, (_, text) in enumerate(keys)
            if there[index].text and goes_back(text, self._round_trip)
        ]
        requests = [Request(there[index].text, keys[index][0], ENGLISH) for index in asked]
        for index, translation in zip(asked, self._model.translate(requests, full=again), strict=True):
            back[index] = translation.text
        pairs = [
            TextPair(text, made.text, code, made, returned)
            for (code, text), made, returned in zip(keys, there, back, strict=True)
        ]
        return _Translated(keys, pairs, [], recalled.known)

    def _answer(self, key: TextKey, uses: Sequence[Use]) -> WantedAnswer:
        questions = (use.question for use in uses if use.question is not None)
        return WantedAnswer(*key, len(uses), contexts(questions), self._given.get(key))

    def _translate_answers(self, wanted: Sequence[WantedAnswer], again: bool = False) -> _Translated:
        """As `_translate`, of answers."""
        known = 0

        def translate(requests: Sequence[Request], whole: bool) -> list[Translation]:
            nonlocal known
            recalled: Recalled = self._model.recall(requests, whole=whole, full=again)
            # Without their contexts.
            known += 0 if whole else recalled.known
            return recalled.translations

        # A person's translation needs no proof.
        asked = [one for one in wanted if one.given is None]
        imported = self._model.given([Request(one.answer, ENGLISH, one.nllb_code) for one in asked])
        people = {one: made.text for one, made in zip(asked, imported, strict=True) if made is not None}
        known += len(people)
        wanted = [replace(one, given=Given(people[one], True)) if one in people else one for one in wanted]
        answered = translate_answers(wanted, translate, round_trip=self._round_trip != "none")
        pairs = []
        for one in answered:
            entry, made = one.entry, one.translation or _untouched(one.entry.translation)
            pairs.append(TextPair(entry.answer, made.text, entry.nllb_code, made, entry.back_translation))
        return _Translated(wanted, pairs, [one.entry for one in answered], known)


def _cut(wanted: Iterable[TextKey], texts: int) -> Iterator[list[TextKey]]:
    """Batches of so many texts, longest first, so that texts of like length share one."""
    held = sorted(wanted, key=lambda key: (-len(key[1]), key))
    for start in range(0, len(held), texts):
        yield held[start : start + texts]


def _untouched(text: str) -> Translation:
    """A translation that no engine made."""
    return Translation(text, 0.0, cut_off=False, unknown=False, empty=False)


NOT_ACCEPTED = "answers: `accepted` is 0 in the answer table that the recipe names"


def _as_answer(text: JudgedText, entry: Entry) -> JudgedText:
    """An answer; what a person checked has no scores that could speak against it."""
    if entry.how in ("given", "checked"):
        reason = None if entry.accepted else NOT_ACCEPTED
        return JudgedText(text.text, text.back_translation, reason, b"", by_model=False)
    return text
