"""Measures the engine against bare CTranslate2 and `transformers`: same weights, same texts, in one run.

    python benchmarks/engine.py [--quick] [--model SHAPE] [--texts N] [--runs N] [--device cuda]

SHAPE is a folder that `python -m scripts.shape_model` made: NLLB-600M's shape, random weights, a list for
German. Without it a reduced one is made: all 256,206 entries of the vocabulary, an eighth of the width, and
layers that keep the share of the work that the vocabulary takes. The small model that ships is measured too;
it alone can say what shortlists change (`shortlist_agreement`).

Sides take turns; figures are medians of texts a second, ours over theirs, by beam size. Bare CTranslate2 gets
texts that are sorted and in tokens already, with the threads and batch size that were fastest for it in a
trial; the engine gets the same settings, and the texts as they are. `transformers` gets tokens too, and its
fastest batch size; a data type in which it is far slower is tried with one batch only. A model with random
weights makes a fixed number of tokens on all sides; nothing is tried a second time. The last line of output
is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import ctranslate2
from sacrebleu.metrics.chrf import CHRF

from translation.decoder import Threads, out_of_memory
from translation.engine import Engine
from translation.languages import ENGLISH
from translation.model import SENTENCEPIECE, SMALL, ModelError, model_directory
from translation.tokenizer import END, Tokenizer
from translation.translations import Decoding, Request

TARGET = "deu_Latn"
BEAMS = (4, 1)

CAPTION_WORDS, SENTENCE_WORDS = (7, 13), (18, 26)
SENTENCE_EVERY = 5

PAUSE_SECONDS = 0.1
"""Between sides: threads of OpenMP spin on for a while after their last work."""
TOO_SLOW = 3
"""A data type that is so many times slower than another is not measured further."""

REDUCED = {"layers": 6, "width": 128, "heads": 2, "feed_forward": 12_288}
"""With 256,206 entries 0.62 of the decoder's multiplications are by the vocabulary, as in NLLB-600M."""

SIDES = {
    "ctranslate2": "CTranslate2",
    "engine_full": "engine, whole vocabulary",
    "engine": "engine",
    "float32": "transformers float32",
    "float16": "float16",
    "bfloat16": "bfloat16",
}
RATIOS = (
    ("vs_ctranslate2", "engine", ("ctranslate2",)),
    ("vs_ctranslate2_full", "engine_full", ("ctranslate2",)),
    ("vs_transformers", "engine", ("float32", "float16", "bfloat16")),
)
"""Name, ours, and theirs: the best of these."""


@dataclass(frozen=True)
class Effort:
    """Where it is measured, and how much."""

    device: str
    cores: int
    runs: int = 3
    texts: int = 128
    """For the model of NLLB's shape."""
    theirs: int = 32
    """Of these for `transformers`; 0 leaves it out."""
    output_tokens: int = 20
    """Of every hypothesis of a model with random weights; one more is made, which tells a cut from an end."""
    small: int = 4000
    """Texts for the small model."""
    compared: int = 150
    """Names and as many captions, with a shortlist and without, in each of some languages."""
    languages: int = 1000
    spread: bool = True
    """Try CTranslate2 with a batch on each core, too."""
    batch_tokens: tuple[int, ...] = (1024, 4096)
    """Padded source tokens to try with CTranslate2."""
    batch_sizes: tuple[int, ...] = (8, 16, 32)
    """Texts of a batch to try with `transformers`."""
    data_types: tuple[str, ...] = ("float32", "bfloat16")
    """Of `transformers`."""


QUICK: dict[str, Any] = {
    "texts": 8,
    "theirs": 4,
    "output_tokens": 10,
    "small": 100,
    "compared": 40,
    "languages": 6,
    "spread": False,
    "batch_tokens": (4096,),
    "batch_sizes": (4,),
    "data_types": ("float32",),
}
CUDA: dict[str, Any] = {
    "texts": 4096,
    "theirs": 1024,
    "batch_tokens": (4096, 16_384, 65_536),
    "batch_sizes": (32, 64, 128, 256, 512),
    "data_types": ("float16", "bfloat16"),
}


@dataclass(frozen=True)
class Work:
    """What all sides do."""

    texts: Sequence[str]
    decoding: Decoding
    fixed: bool
    """Every hypothesis has the full length."""

    def sources(self, tokenizer: Tokenizer) -> list[tuple[str, list[str]]]:
        """Texts and their tokens, longest first."""
        pieces = tokenizer.encode(self.texts)
        pairs = [(text, [ENGLISH, *some, END]) for text, some in zip(self.texts, pieces, strict=True)]
        return sorted(pairs, key=lambda pair: len(pair[1]), reverse=True)


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a call, and how many texts it translates."""

    texts: int
    run: Callable[[], object]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few texts and trials: under 50 s on 2 cores")
    parser.add_argument("--model", type=Path, metavar="SHAPE", help="of scripts/shape_model.py")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="(default: %(default)s)")
    for name, explained in (
        ("runs", "of each side"),
        ("texts", "for the model of NLLB's shape"),
        ("theirs", "of these for transformers; 0 leaves it out"),
    ):
        parser.add_argument(f"--{name}", type=int, help=f"{explained} (default: {getattr(Effort, name)})")
    parser.add_argument("--without", action="append", choices=("small", "shape"), default=[])
    parsed = parser.parse_args()
    if parsed.model and not ((parsed.model / "hf").is_dir() and (parsed.model / "ct2").is_dir()):
        parser.error(
            f"--model {parsed.model}: no hf and ct2 in it; make it with python -m scripts.shape_model"
        )
    if os.getloadavg()[0] > 1:
        say(f"load average {os.getloadavg()[0]:.1f}: other work spoils the measurement")
    given = {name: getattr(parsed, name) for name in ("runs", "texts", "theirs")}
    settings = (CUDA if parsed.device == "cuda" else {}) | (QUICK if parsed.quick else {})
    settings |= {name: value for name, value in given.items() if value is not None}
    effort = Effort(parsed.device, parsed.cores, **settings)
    figures: dict[str, Any] = {"device": effort.device, "cores": effort.cores, "runs": effort.runs}
    if effort.device == "cuda":
        # The engine finds the CUDA libraries that pip installed; once open, CTranslate2 finds them too.
        try:
            Engine(model_directory(SMALL), device="cuda").close()
        except ModelError as error:
            raise SystemExit(str(error)) from error
    if "shape" not in parsed.without:
        figures["model"] = parsed.model.name if parsed.model else "reduced"
        decoding = Decoding(max_output_tokens=effort.output_tokens, second_tries=0)
        with shape(parsed.model) as model:
            work = Work(make_texts(effort.texts), decoding, fixed=True)
            figures |= compared(effort, model / "ct2", work, model / "hf" if effort.theirs else None)
    if "small" not in parsed.without:
        small = model_directory(SMALL)
        work = Work(make_texts(effort.small), Decoding(second_tries=0), fixed=False)
        figures["small"] = compared(effort, small, work)
        figures |= agreement(small, effort)
    say(table(figures))
    print(json.dumps(figures))
    return 0


def table(figures: Mapping[str, Any]) -> str:
    """The figures for people, in Markdown."""
    lines = ["| model | beam | unit | " + " | ".join(SIDES.values()) + " |", "|---" * (3 + len(SIDES)) + "|"]
    for model, some in ((figures.get("model", ""), figures), ("small", figures.get("small", {}))):
        for beam, measured in some.get("beams", {}).items():
            factor = measured.get("tokens_per_text", 1)
            rates = measured["texts_per_second"]
            bare = rates["ctranslate2"]
            cells = [
                f"{rates[side] * factor:,.1f} ({rates[side] / bare:.2f})" if side in rates else "–"
                for side in SIDES
            ]
            unit = "tokens/s" if "tokens_per_text" in measured else "texts/s"
            lines.append(f"| {model} | {beam} | {unit} | {' | '.join(cells)} |")
    return "\n".join(lines)


def make_texts(number: int) -> list[str]:
    """Different captions, and a sentence now and then, of the names in the sample that ships."""
    names = sample_names()
    joints = ("next to a", "and a", "on a", "with a", "behind the", "in front of a", "under the", "near two")
    draw = random.Random(5)
    texts: dict[str, None] = {}
    while len(texts) < number:
        least, most = CAPTION_WORDS if len(texts) % SENTENCE_EVERY else SENTENCE_WORDS
        words = ["a", *draw.choice(names).split()]
        while len(words) < least:
            words += [*draw.choice(joints).split(), *draw.choice(names).split()]
        if len(words) <= most:
            texts[" ".join(words)] = None
    return list(texts)


def sample_names() -> list[str]:
    content = json.loads(files("pipelines").joinpath("sample", "captions.json").read_text(encoding="utf-8"))
    return [annotation["caption"] for annotation in content["annotations"]]


@contextmanager
def shape(model: Path | None) -> Iterator[Path]:
    """The folder of a model of NLLB's shape; a reduced one where none is given."""
    if model:
        yield model
        return
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from scripts import shape_model

    with tempfile.TemporaryDirectory() as scratch:
        vocabulary = (model_directory(SMALL) / SENTENCEPIECE).read_bytes()
        started = time.perf_counter()
        shape_model.make_model(Path(scratch), shape_model.Shape(**REDUCED), vocabulary, lists=[TARGET])
        say(f"reduced model made in {time.perf_counter() - started:.1f} s")
        yield Path(scratch)


def compared(effort: Effort, model: Path, work: Work, checkpoint: Path | None = None) -> dict[str, Any]:
    """All sides with one model: `vs_...` by beam size, and what that comes from.

    Args:
        checkpoint: the same weights for `transformers`.
    """
    reference = Reference(checkpoint, effort) if checkpoint else None
    beams: dict[str, dict[str, Any]] = {}
    for beam in BEAMS:
        decoding = replace(work.decoding, beam_size=beam)
        beams[str(beam)] = compared_with_beam(effort, model, replace(work, decoding=decoding), reference)
    figures: dict[str, Any] = {}
    for ratio, numerator, denominators in RATIOS:
        found = {}
        for key, measured in beams.items():
            rates = measured["texts_per_second"]
            best = max((rates[side] for side in denominators if side in rates), default=0.0)
            if numerator in rates and best:
                found[key] = round(rates[numerator] / best, 3)
        if found:
            figures[ratio] = found
    return figures | {"beams": beams}


def compared_with_beam(
    effort: Effort, model: Path, work: Work, reference: Reference | None
) -> dict[str, Any]:
    beam = work.decoding.beam_size
    bare, tried = fastest_threads(effort, model, work)
    requests = [Request(text, ENGLISH, TARGET) for text in work.texts]
    figures: dict[str, Any] = {"threads": str(bare.threads), "tried": {"ctranslate2": tried}}
    with Engine(model, work.decoding, device=effort.device, threads=bare.threads, check=False) as engine:
        figures["same_as_ctranslate2"] = same_texts(engine, bare, work)
        sides = {
            "ctranslate2": Side(len(requests), bare.translate),
            "engine_full": Side(len(requests), lambda: engine.translate(requests, full=True)),
        }
        if TARGET in engine.shortlisted:
            sides["engine"] = Side(len(requests), lambda: engine.translate(requests))
        slow: dict[str, float] = {}
        if reference:
            found, slow, batches = reference.sides(bare.sources, work.decoding.max_output_tokens, beam)
            sides |= found
            figures["tried"] |= batches
        rates = in_turn(sides, effort.runs) | slow
        bare.close()
    if effort.device == "cuda":
        figures["tried"]["engine"] = by_batch_tokens(effort, model, work)
    figures["texts_per_second"] = {side: round(rate, 3) for side, rate in rates.items()}
    if work.fixed:
        figures["tokens_per_text"] = work.decoding.max_output_tokens + 1
    say(f"{model.parent.name}/{model.name}, beam {beam}: {figures}")
    return figures


def by_batch_tokens(effort: Effort, model: Path, work: Work) -> dict[str, float]:
    """Texts a second of the engine with batches of several sizes."""
    requests = [Request(text, ENGLISH, TARGET) for text in work.texts]
    rates = {}
    for tokens in effort.batch_tokens:
        threads = Threads(1, 0, tokens)
        with Engine(model, work.decoding, device=effort.device, threads=threads, check=False) as engine:
            engine.translate(requests)
            started = time.perf_counter()
            engine.translate(requests)
            rates[str(threads)] = round(len(requests) / (time.perf_counter() - started), 3)
    return rates


class Bare:
    """CTranslate2 as its documentation uses it, on texts in tokens, longest first."""

    def __init__(self, effort: Effort, model: Path, work: Work, threads: Threads) -> None:
        self.threads = threads
        self.tokenizer = Tokenizer(model / SENTENCEPIECE)
        self.texts, self.sources = zip(*work.sources(self.tokenizer), strict=True)
        self.made: list[Any] = []
        """The last results."""
        self._work = work
        self._translator = ctranslate2.Translator(
            str(model),
            device=effort.device,
            compute_type="default" if effort.device == "cpu" else "auto",
            inter_threads=threads.inter,
            intra_threads=threads.intra,
        )

    def translate(self) -> None:
        decoding = self._work.decoding
        results: list[Any] = self._translator.translate_batch(
            list(self.sources),
            target_prefix=[[TARGET]] * len(self.sources),
            beam_size=decoding.beam_size,
            patience=decoding.patience,
            max_decoding_length=decoding.max_output_tokens + 2,
            max_batch_size=self.threads.max_batch_tokens,
            batch_type="tokens",
        )
        if self._work.fixed:
            lengths = {len(result.hypotheses[0]) for result in results}
            assert lengths == {decoding.max_output_tokens + 2}, f"hypotheses of {lengths} tokens"
        self.made = results

    def close(self) -> None:
        self._translator.unload_model()


def fastest_threads(effort: Effort, model: Path, work: Work) -> tuple[Bare, dict[str, float]]:
    """Bare CTranslate2 with the settings that are fastest for it, and texts a second of each."""
    layouts = [(1, 0)]
    if effort.device == "cpu":
        layouts = [(1, effort.cores)]
        if effort.spread and effort.cores > 1:
            layouts.append((effort.cores, 1))
    rates: dict[str, float] = {}
    best: Bare | None = None
    for inter, intra in layouts:
        for tokens in effort.batch_tokens:
            bare = Bare(effort, model, work, Threads(inter, intra, tokens))
            started = time.perf_counter()
            try:
                bare.translate()
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                say(f"CTranslate2 has no memory for {bare.threads}: {error}")
                bare.close()
                continue
            rates[str(bare.threads)] = round(len(work.texts) / (time.perf_counter() - started), 3)
            if best is None or rates[str(bare.threads)] > rates[str(best.threads)]:
                best, bare = bare, best or bare
            if bare is not best:
                bare.close()
    if best is None:
        raise SystemExit(f"{model}: CTranslate2 has no memory for any of the batches tried")
    return best, rates


def same_texts(engine: Engine, bare: Bare, work: Work) -> float:
    """Share of the texts that the engine, without its shortlist, and bare CTranslate2 translate alike."""
    translations = engine.translate([Request(text, ENGLISH, TARGET) for text in bare.texts], full=True)
    if work.fixed:
        assert all(one.cut_off for one in translations), "a hypothesis ended by itself"
    pieces = (result.hypotheses[0][1:] for result in bare.made)
    same = (
        bare.tokenizer.decode(some).strip() == one.text
        for some, one in zip(pieces, translations, strict=True)
    )
    return round(statistics.mean(same), 4)


class Reference:
    """The same weights in `transformers`."""

    def __init__(self, checkpoint: Path, effort: Effort) -> None:
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self._checkpoint, self._effort = checkpoint, effort
        content = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf-8"))
        self._ids: dict[str, int] = content["model"]["vocab"]
        self._ids |= {token["content"]: token["id"] for token in content["added_tokens"]}
        self._models: dict[str, Any] = {}
        self._threads: dict[str, int] = {}
        """By data type."""

    def sides(
        self, sources: Sequence[Sequence[str]], new_tokens: int, beam: int
    ) -> tuple[dict[str, Side], dict[str, float], dict[str, dict[int, float]]]:
        """A side for each data type with its fastest batch size, for every nth of the sources.

        Returns:
            Sides by data type, texts a second of data types that are far too slow, and of all that was tried
            by data type and batch size.
        """
        number = self._effort.theirs
        some = sources[:: max(1, len(sources) // number)][:number]
        sides: dict[str, Side] = {}
        slow: dict[str, float] = {}
        tried: dict[str, dict[int, float]] = {}
        best = 0.0
        for data_type in self._effort.data_types:
            self._choose_threads(data_type, some[: self._effort.batch_sizes[0]], beam)
            rates = tried[data_type] = self._trials(data_type, some, beam, new_tokens, best)
            best = max(best, *rates.values())
            size = max(rates, key=rates.__getitem__)
            if rates[size] * TOO_SLOW < best:
                slow[data_type] = rates[size]
                del self._models[data_type]
            else:
                sides[data_type] = Side(len(some), self._all(data_type, some, size, beam, new_tokens))
        return sides, slow, tried

    def _choose_threads(self, data_type: str, batch: Sequence[Sequence[str]], beam: int) -> None:
        """All cores or one, the faster: on a busy machine threads that wait for each other lose much."""
        self._threads[data_type] = self._effort.cores
        self._generate(data_type, batch[:1], beam, 2)  # Loads the model.
        seconds: dict[int, float] = {}
        for threads in sorted({self._effort.cores, 1}, reverse=True):
            self._threads[data_type] = threads
            started = time.perf_counter()
            self._generate(data_type, batch, beam, 2)
            seconds[threads] = time.perf_counter() - started
        self._threads[data_type] = min(seconds, key=seconds.__getitem__)
        say(f"transformers, {data_type}, beam {beam}: {self._threads[data_type]} threads")

    def _trials(
        self, data_type: str, sources: Sequence[Sequence[str]], beam: int, new_tokens: int, best: float
    ) -> dict[int, float]:
        """Texts a second by batch size; only the first one if that is far below the best of other types."""
        rates: dict[int, float] = {}
        for size in self._effort.batch_sizes:
            if rates and (size > len(sources) or max(rates.values()) * TOO_SLOW < best):
                break
            # Of middle length, as the mean of all.
            batch = sources[max(0, len(sources) - size) // 2 :][:size]
            started = time.perf_counter()
            try:
                self._generate(data_type, batch, beam, new_tokens)
            except RuntimeError as error:
                if not rates or not out_of_memory(error):
                    raise
                say(f"transformers has no memory for batches of {size}: {error}")
                break
            rates[size] = round(len(batch) / (time.perf_counter() - started), 3)
        return rates

    def _all(
        self, data_type: str, sources: Sequence[Sequence[str]], size: int, beam: int, new_tokens: int
    ) -> Callable[[], None]:
        def run() -> None:
            for start in range(0, len(sources), size):
                self._generate(data_type, sources[start : start + size], beam, new_tokens)

        return run

    def _generate(self, data_type: str, sources: Sequence[Sequence[str]], beam: int, new_tokens: int) -> None:
        import torch
        from transformers import GenerationConfig, M2M100ForConditionalGeneration

        if data_type not in self._models:
            self._models[data_type] = (
                M2M100ForConditionalGeneration.from_pretrained(
                    self._checkpoint, dtype=getattr(torch, data_type)
                )
                .eval()
                .to(self._effort.device)
            )
        model = self._models[data_type]
        torch.set_num_threads(self._threads[data_type])
        width = max(map(len, sources))
        pad = model.config.pad_token_id
        ids = [[self._ids[token] for token in source] for source in sources]
        padded = torch.tensor([row + [pad] * (width - len(row)) for row in ids], device=self._effort.device)
        prefix = torch.tensor(
            [[model.config.decoder_start_token_id, self._ids[TARGET]]], device=self._effort.device
        )
        with torch.inference_mode():
            made = model.generate(
                input_ids=padded,
                attention_mask=(padded != pad).long(),
                decoder_input_ids=prefix.expand(len(ids), -1),
                generation_config=GenerationConfig(
                    num_beams=beam,
                    max_new_tokens=new_tokens + 1,
                    eos_token_id=model.config.eos_token_id,
                    pad_token_id=pad,
                    decoder_start_token_id=model.config.decoder_start_token_id,
                ),
            ).cpu()
        assert made.shape == (len(ids), new_tokens + 3), f"transformers made {tuple(made.shape)}"


def in_turn(sides: Mapping[str, Side], runs: int) -> dict[str, float]:
    """Texts a second of each side, the median of its runs; who is first changes from round to round."""
    names = list(sides)
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(runs):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            time.sleep(PAUSE_SECONDS)
            started = time.perf_counter()
            sides[name].run()
            rates[name].append(sides[name].texts / (time.perf_counter() - started))
    return {name: statistics.median(some) for name, some in rates.items()}


def agreement(model: Path, effort: Effort) -> dict[str, Any]:
    """What shortlists change.

    Returns:
        By beam size the share of equal translations with and without a list, and 100 minus the chrF of those
        with against those without: for names, which the small model was trained on, and for captions of many
        names, of which it makes little sense.
    """
    figures: dict[str, Any] = {}
    kinds = {"": sample_names()[: effort.compared], "_captions": make_texts(effort.compared)}
    for beam in BEAMS:
        with Engine(model, Decoding(beam_size=beam, second_tries=0), check=False) as engine:
            languages = sorted(engine.shortlisted)
            languages = languages[:: max(1, len(languages) // effort.languages)][: effort.languages]
            if not languages:
                say(f"{model}: no shortlists, so no agreement of translations with them")
                return {}
            for kind, texts in kinds.items():
                requests = [Request(text, ENGLISH, code) for code in languages for text in texts]
                without = [one.text for one in engine.translate(requests, full=True)]
                restricted = [one.text for one in engine.translate(requests)]
                same = round(statistics.mean(map(str.__eq__, without, restricted)), 5)
                chrf = CHRF().corpus_score(restricted, [without]).score
                figures.setdefault(f"shortlist_agreement{kind}", {})[str(beam)] = same
                figures.setdefault(f"shortlist_chrf_difference{kind}", {})[str(beam)] = round(100 - chrf, 3)
    return figures | {"shortlist_compared": {"texts": effort.compared, "languages": len(languages)}}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
