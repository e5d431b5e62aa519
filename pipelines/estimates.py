"""What a planned mix will take: tokens to translate, hours at a measured rate, and disk."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.images import EMBED, REFERENCE, SHARED, BadImage, image_bytes
from pipelines.planning import Plan, SourcePlan
from pipelines.recipe import Recipe
from pipelines.staging import staged
from translation.decoder import usual_threads
from translation.engine import BATCH_TEXTS, Engine
from translation.filters import goes_back
from translation.languages import ENGLISH
from translation.machine import available_cores
from translation.model import SENTENCEPIECE, ModelDescription, read_description
from translation.tokenizer import Tokenizer
from translation.translations import Request

MEASURED_SECONDS = 10.0
"""How long the model is timed at most, as far as it can be foreseen."""

MEASURED_LANGUAGES = 4
_REQUESTS = 2048
_FIRST = 8
"""Texts of the first batch that is timed; the largest are as large as those of a run."""

ROW_BYTES = 350
"""Of a row without picture in a shard: 300 in the sample mix, whose texts are shorter than captions."""

FILE_BYTES = 30_000
"""Of a shard without any row: its schema and statistics."""

_SHARDS_PER_LANGUAGE = 3
"""Train, validation, rejected."""


@dataclass(frozen=True)
class Rate:
    """How fast texts are translated."""

    tokens_per_second: float
    """Source tokens; those of a text that is translated back count twice."""
    device: str | None = None
    """`cpu` or `cuda`, where it was measured; None where it was given."""
    threads: int = 0
    gpus: int = 0
    """Those that translated side by side."""
    languages: tuple[str, ...] = ()
    """NLLB codes that the sample was translated into."""
    texts: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class SourceEstimate:
    """About one source, from its samples."""

    tokens: Mapping[str, int]
    """NLLB code -> source tokens in the texts to be translated."""
    back: float
    """Share of the tokens whose translations are translated back."""
    pictures_sampled: int
    pictures_missing: int
    missing: str | None
    """What is wrong with the first picture that cannot be read."""
    picture_bytes: float
    """Mean size of what a row shows, over the sample; a missing picture has none."""


@dataclass(frozen=True)
class Estimate:
    """About the whole mix."""

    sources: tuple[SourceEstimate, ...]
    tokens: Mapping[str, int]
    """NLLB code -> source tokens in the distinct texts of all sources."""
    work: int
    """Tokens of the languages that the model has, with those of the way back."""
    unsupported: tuple[str, ...]
    """Languages of the plan that the model was not trained on; their rows will be rejected."""
    rate: Rate | None
    """None where there is nothing to translate."""
    text_bytes: int
    picture_bytes: int
    unknown_pictures: tuple[str, ...]
    """Sources whose pictures are yet to be downloaded, so that no size is known."""

    @property
    def hours(self) -> float:
        """Of translation alone."""
        return self.work / self.rate.tokens_per_second / 3600 if self.rate else 0.0


def check_model(recipe: Recipe) -> ModelDescription:
    """The recipe's model, whole, so that its faults are known before sources are read.

    Raises:
        translation.model.ModelError: it is missing or damaged.
    """
    return read_description(staged(recipe.model_directory))


def estimate(recipe: Recipe, plan: Plan, rate: float | None = None, device: str = "auto") -> Estimate:
    """Counts tokens and picture bytes in the plan's samples, and times the model unless a rate is given.

    Args:
        rate: tokens per second, as `Rate` counts them.
        device: `cpu`, `cuda` or `auto`: that the model is timed on.

    Raises:
        translation.model.ModelError: the model is missing or damaged.
        OSError: a disk fails.
    """
    directory = staged(recipe.model_directory)
    description = read_description(directory, check=False)
    tokenizer = Tokenizer(directory / SENTENCEPIECE)
    offline = [not source.reads_urls for source in recipe.sources]
    sources = tuple(
        _source_estimate(source, tokenizer, recipe.round_trip, opened)
        for source, opened in zip(plan.sources, offline, strict=True)
    )
    tokens, back = _of_all(plan, sources)
    supported = frozenset(description.languages)
    work = sum(tokens[code] + back[code] for code in tokens if code in supported)
    used: Rate | None = None
    if work:
        used = Rate(rate) if rate else measured(recipe, plan, description, tokenizer, device)
    rows = [sum(source.rows.values()) for source in plan.sources]
    stored = _stored_pictures(recipe.images, plan, rows)
    return Estimate(
        sources=sources,
        tokens={code: round(count) for code, count in tokens.items()},
        work=round(work),
        unsupported=tuple(code for code in plan.texts if code not in supported),
        rate=used,
        text_bytes=sum(rows) * ROW_BYTES + len(plan.rows) * _SHARDS_PER_LANGUAGE * FILE_BYTES,
        picture_bytes=round(
            sum(count * source.picture_bytes for count, source in zip(stored, sources, strict=True))
        ),
        unknown_pictures=tuple(
            source.name
            for source, opened in zip(plan.sources, offline, strict=True)
            if recipe.images != REFERENCE and not opened and source.sampled_pictures
        ),
    )


def _stored_pictures(images: str, plan: Plan, rows: Sequence[int]) -> list[float]:
    """How many pictures of each source the mix holds, those that sources share in equal parts."""
    if images == SHARED:
        shown = [source.pictures for source in plan.sources]
        return [count * plan.pictures / max(sum(shown), 1) for count in shown]
    return [float(count) if images == EMBED else 0.0 for count in rows]


def _source_estimate(plan: SourcePlan, tokenizer: Tokenizer, round_trip: str, opened: bool) -> SourceEstimate:
    counts = _token_counts(tokenizer, plan.sampled_texts)
    characters = sum(map(len, plan.sampled_texts))
    per_character = sum(counts) / characters if characters else 0.0
    back = sum(
        count for text, count in zip(plan.sampled_texts, counts, strict=True) if goes_back(text, round_trip)
    )
    sizes, missing = [], []
    for locators in plan.sampled_pictures if opened else ():
        try:
            sizes.append(sum(len(image_bytes(locator)) for locator in locators))
        except BadImage as error:
            missing.append(str(error))
    sampled = len(sizes) + len(missing)
    return SourceEstimate(
        tokens={code: round(number * per_character) for code, number in plan.characters.items()},
        back=back / sum(counts) if counts else 0.0,
        pictures_sampled=sampled,
        pictures_missing=len(missing),
        missing=min(missing, default=None),
        picture_bytes=sum(sizes) / sampled if sampled else 0.0,
    )


def _token_counts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """With the language code and the end mark, which the model reads too."""
    return [len(pieces) + 2 for pieces in tokenizer.encode(texts)]


def _of_all(plan: Plan, sources: Sequence[SourceEstimate]) -> tuple[Counter[str], Counter[str]]:
    """Per language the tokens there and those of texts that go back; what several sources say counts once."""
    tokens, back = Counter[str](), Counter[str]()
    characters = Counter[str]()
    for source, estimated in zip(plan.sources, sources, strict=True):
        characters.update(source.characters)
        tokens.update(estimated.tokens)
        back.update({code: round(count * estimated.back) for code, count in estimated.tokens.items()})
    for code, count in characters.items():
        once = plan.characters[code] / count if count else 0.0
        tokens[code], back[code] = round(tokens[code] * once), round(back[code] * once)
    return tokens, back


def measured(
    recipe: Recipe, plan: Plan, description: ModelDescription, tokenizer: Tokenizer, device: str
) -> Rate | None:
    """The rate of the recipe's model on this machine, on a sample of the plan's own texts, there and back.

    Batches grow until the next would take longer than there is time; that of the largest ones counts. None
    where the model has none of the languages.
    """
    supported = frozenset(description.languages)
    requests = _sample(plan, supported, _REQUESTS)
    if not requests:
        return None
    directory = staged(recipe.model_directory)
    threads = usual_threads(device, available_cores())
    timed: list[tuple[int, int, float]] = []
    with Engine(directory, recipe.translation, device=device, threads=threads, check=False) as engine:
        device = engine.device
        largest = BATCH_TEXTS[device] * engine.devices
        if largest > BATCH_TEXTS["cpu"]:
            requests = _sample(plan, supported, _REQUESTS // BATCH_TEXTS["cpu"] * largest)
        # The first call sets up what later ones find.
        _there_and_back(engine, requests[:2], recipe.round_trip)
        position, size = 0, _FIRST
        while position < len(requests):
            batch = requests[position : position + size]
            began = time.perf_counter()
            back = _there_and_back(engine, batch, recipe.round_trip)
            taken = time.perf_counter() - began
            counts = _token_counts(tokenizer, [request.text for request in batch])
            work = sum(count * (1 + gone) for count, gone in zip(counts, back, strict=True))
            timed.append((len(batch), work, max(taken, 1e-9)))
            position += size
            size = min(2 * size, largest)
            if sum(seconds for *_, seconds in timed) + taken * size / len(batch) > MEASURED_SECONDS:
                break
    most = max(texts for texts, *_ in timed)
    counted = [(work, seconds) for texts, work, seconds in timed if 2 * texts > most]
    return Rate(
        sum(work for work, _ in counted) / sum(seconds for _, seconds in counted),
        device=device,
        threads=threads.inter * threads.intra,
        gpus=engine.devices if device == "cuda" else 0,
        languages=tuple(sorted({request.target for request in requests[:position]})),
        texts=sum(texts for texts, *_ in timed),
        seconds=sum(seconds for *_, seconds in timed),
    )


def _there_and_back(engine: Engine, requests: Sequence[Request], round_trip: str) -> list[bool]:
    """Which of the translations were translated back."""
    translations = engine.translate(requests)
    gone = [
        bool(translation.text) and goes_back(request.text, round_trip)
        for request, translation in zip(requests, translations, strict=True)
    ]
    engine.translate(
        [
            Request(translation.text, request.target, ENGLISH)
            for request, translation, back in zip(requests, translations, gone, strict=True)
            if back
        ]
    )
    return gone


def _sample(plan: Plan, supported: frozenset[str], most: int) -> list[Request]:
    """So many texts of all sources in proportion to what each has to translate, in a few of the languages."""
    languages = _spread({code: count for code, count in plan.characters.items() if code in supported})
    whole = sum(sum(source.texts.values()) for source in plan.sources)
    requests: dict[Request, None] = {}
    for source in plan.sources:
        texts = source.sampled_texts
        wanted = round(most * sum(source.texts.values()) / whole) if whole and texts else 0
        for number in range(min(wanted, len(texts) * len(languages))):
            round_, place = divmod(number, len(texts))
            target = languages[(place + round_) % len(languages)]
            requests[Request(texts[place], ENGLISH, target)] = None
    return random.Random(0).sample(list(requests), len(requests))


def _spread(characters: Mapping[str, int]) -> list[str]:
    """Languages in the middle of equal parts of the text."""
    codes = sorted(code for code in characters if code != ENGLISH)
    if not codes:
        return []
    ends = np.cumsum([characters[code] for code in codes])
    middles = (np.arange(MEASURED_LANGUAGES) + 0.5) / MEASURED_LANGUAGES * ends[-1]
    places = np.minimum(ends.searchsorted(middles), len(codes) - 1)
    return [codes[place] for place in dict.fromkeys(places.tolist())]
