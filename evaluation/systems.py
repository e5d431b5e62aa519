"""What systems made of reference texts: a model now, a finished mix or a table earlier, or nobody."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evaluation.reference_sets import ReferenceText, known_sources
from training.mixes import Mix
from translation.engine import Engine
from translation.languages import ENGLISH
from translation.mix_folder import DATA, MANIFEST, REJECTED
from translation.pair_table import pair_rows, text_pair
from translation.row import ACCEPT
from translation.translations import Request, Translation

AT_ONCE = 512
"""Texts that an engine is given together; progress is told after each such portion."""

COPY = "copy of the source"

Advance = Callable[[int], object]
"""Is told how many more texts are done."""


class SystemOutputError(ValueError):
    """Translations that cannot be measured; the message names the file and what is wrong."""


@dataclass(frozen=True)
class Output:
    """What a system made of reference texts."""

    system: str
    """Its name in tables: the model, file or folder as it was given."""
    digest: str | None
    """Of the model, or SHA-256 of the file that the translations stand in."""
    settings: Mapping[str, object]
    """How it decoded, as far as that is known."""
    texts: tuple[ReferenceText, ...]
    """Those that it has translated."""
    translations: tuple[Translation, ...]
    """Aligned with `texts`."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By NLLB code, how long it took; empty if it was not timed."""
    kept: tuple[bool, ...] | None = None
    """Aligned with `texts`: the verdicts of a mix; None where the default filters are to judge."""
    notes: tuple[str, ...] = ()
    """What was left out."""


def translated(
    system: str, engine: Engine, texts: Sequence[ReferenceText], advance: Advance = lambda texts: None
) -> Output:
    """What an engine makes of the texts; languages that its model was not trained on are noted."""
    known = [text for text in texts if engine.supports(text.language)]
    unknown = {text.language: None for text in texts if not engine.supports(text.language)}
    translations: list[Translation] = []
    seconds: dict[str, float] = {}
    if known:
        # What the first call allocates is no part of the speed.
        engine.translate([Request(known[0].source, ENGLISH, known[0].language)])
    for language, group in groupby(known, key=lambda text: text.language):
        own = list(group)
        for start in range(0, len(own), AT_ONCE):
            requests = [Request(text.source, ENGLISH, language) for text in own[start : start + AT_ONCE]]
            began = time.perf_counter()
            translations += engine.translate(requests)
            seconds[language] = seconds.get(language, 0.0) + time.perf_counter() - began
            advance(len(requests))
    notes = (f"not trained on {', '.join(unknown)}",) if unknown else ()
    settings = asdict(engine.decoding) | {
        "device": engine.device,
        "compute_type": engine.compute_type,
        "quantization": engine.description.quantization,
        "model": engine.description.name,
        "shortlists": engine.shortlist_digest or None,
    }
    digest = engine.description.digest
    return Output(system, digest, settings, tuple(known), tuple(translations), seconds, notes=notes)


def copied(texts: Sequence[ReferenceText]) -> Output:
    """The sources, as if they were translations."""
    return Output(COPY, None, {}, tuple(texts), tuple(map(_as_it_is, (text.source for text in texts))))


def of_table(path: Path, texts: Sequence[ReferenceText]) -> Output:
    """Translations of a tab-separated table (source, target, nllb_code) of the same English texts.

    Raises:
        SystemOutputError: it cannot be read, or has no translation of any of the texts.
        PairError: a column is missing.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SystemOutputError(f"{path}: cannot be read ({error.strerror})") from error
    found: dict[tuple[str, str], tuple[str, bool]] = {}
    wrong: list[str] = []
    for number, row in pair_rows(data.split(b"\n"), str(path)):
        if any(row.values()):
            try:
                pair = text_pair(row)
            except ValueError as error:
                wrong.append(f"line {number}: {error}")
                continue
            found.setdefault((pair.language, pair.source), (pair.target, True))
    output = replace(_stored(str(path), hashlib.sha256(data).hexdigest(), found, texts), kept=None)
    if not wrong:
        return output
    note = f"{len(wrong):,} lines left out ({'; '.join(wrong[:3])}{'; …' if len(wrong) > 3 else ''})"
    return replace(output, notes=(*output.notes, note))


def of_mix(location: str, texts: Sequence[ReferenceText]) -> Output:
    """Targets of a mix's rows, accepted or not, whose English is one of the texts; the mix's verdicts count.

    Raises:
        MixError: no finished mix, or one that cannot be read.
        SystemOutputError: no row's English is one of the texts.
    """
    mix = Mix(location)
    wanted = known_sources(texts)
    found: dict[tuple[str, str], tuple[str, bool]] = {}
    for language, source, target, verdict in _rows(mix, {source for _, source in wanted}):
        key = (language, source)
        # Rows of one text have one translation, unless somebody reviewed one of them.
        if key in wanted and target and (key not in found or (verdict == ACCEPT and not found[key][1])):
            found[key] = (target, verdict == ACCEPT)
    return _stored(location, _digest(mix), found, texts)


def _digest(mix: Mix) -> str | None:
    """SHA-256 of the manifest; None where a copy on the hub has none."""
    try:
        with mix.open_file(MANIFEST) as file:
            return hashlib.sha256(file.read()).hexdigest()
    except FileNotFoundError:
        return None


def _rows(mix: Mix, sources: Collection[str]) -> Iterator[tuple[str, str, str, str]]:
    """Language, English, target and verdict of the rows whose English is one of these."""
    wanted = pa.array(sorted(sources), pa.string())
    columns = ["language", "source_target", "target", "verdict"]
    for path in sorted((*mix.files_below(DATA), *mix.files_below(REJECTED))):
        try:
            with mix.open_file(path) as file:
                for batch in pq.ParquetFile(file).iter_batches(columns=columns):
                    batch = batch.filter(pc.is_in(batch.column("source_target"), value_set=wanted))
                    yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
        except (OSError, pa.ArrowException) as error:
            raise SystemOutputError(
                f"{mix.name(path)}: cannot be read ({str(error).splitlines()[0]}); `translate-mix verify` "
                "lists all that is wrong with the mix"
            ) from error


def _stored(
    system: str,
    digest: str | None,
    found: Mapping[tuple[str, str], tuple[str, bool]],
    texts: Sequence[ReferenceText],
) -> Output:
    there = [text for text in texts if (text.language, text.source) in found]
    if not there:
        raise SystemOutputError(
            f"{system}: has no translation of any of the {len(texts):,} reference texts; "
            "the English must be the same, letter by letter"
        )
    pairs = [found[text.language, text.source] for text in there]
    missing = len(texts) - len(there)
    return Output(
        system,
        digest,
        {},
        tuple(there),
        tuple(_as_it_is(target) for target, _ in pairs),
        kept=tuple(accepted for _, accepted in pairs),
        notes=(f"no translation of {missing:,} of {len(texts):,} reference texts",) if missing else (),
    )


def _as_it_is(text: str) -> Translation:
    return Translation(text, 0.0, False, False, not text.strip())


def prediction_lines(output: Output) -> Iterator[bytes]:
    """JSON lines that `evaluation.predictions` reads, with the source beside."""
    for text, translation in zip(output.texts, output.translations, strict=True):
        yield orjson.dumps(
            {
                "id": str(text.line),
                "language": text.language,
                "source": text.source,
                "prediction": translation.text,
                "references": text.references,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )


def speeds(output: Output) -> dict[str, float]:
    """Texts a second by NLLB code, and of `all`; empty if the system was not timed."""
    if not output.seconds:
        return {}
    counts: dict[str, int] = {}
    for text in output.texts:
        counts[text.language] = counts.get(text.language, 0) + 1
    found = {code: counts[code] / max(seconds, 1e-9) for code, seconds in output.seconds.items()}
    return found | {"all": len(output.texts) / max(sum(output.seconds.values()), 1e-9)}
