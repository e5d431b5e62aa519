"""Trains the small NLLB-format (M2M100) model on the pairs of `data.py`, both directions, on CPU or GPU.

    python -m scripts.small_model.train --data build/small-model/data/pairs.parquet \\
        --output build/small-model/run

Goes on from `OUTPUT/state.safetensors` when that exists; what is drawn depends on (seed, round) alone, so a
killed training goes on as if it had not been. The learning rate warms up, stays, and falls linearly over the
last `--decay-steps`: when `--steps` are nearly done, or when held-out chrF has not risen for `--patience`
evaluations. To end one early give `--steps` a bit more than its step plus `--decay-steps`; to train on, a
larger one, as long as the fall has not begun. `OUTPUT/hf` is the mean of the last snapshots at its best so
far, a Hugging Face directory for `translate-mix model add`; `metrics.jsonl` has a line a report.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import sentencepiece
import torch
from sacrebleu.metrics.chrf import CHRF
from transformers import M2M100Config, M2M100ForConditionalGeneration

from scripts.small_model.candidates import Candidates
from scripts.small_model.data import HELD_OUT, NAME, TRAIN
from scripts.small_model.examples import (
    END,
    PAD,
    UNKNOWN,
    Draws,
    Example,
    Ids,
    Pairs,
    batches,
    licences_of,
    read_pairs,
    sample_of,
)
from scripts.small_model.initial import aligned_vectors, begin_with
from scripts.small_model.loss import smoothed_cross_entropy
from scripts.small_model.optimizer import Muon
from scripts.small_model.state import (
    Progress,
    averaged,
    drop_snapshots_after,
    load_state,
    save_snapshot,
    save_state,
)
from scripts.small_model.vocabulary import load_tokenizer, train_sentencepiece, unknown_rates
from translation.languages import ENGLISH

LONGEST_OUTPUT = 64
"""Tokens that greedy decoding writes at most while training."""
AUTO, FLOAT32, BFLOAT16 = "auto", "float32", "bfloat16"
PICTURED = 12
"""English names with a translation in this many languages fewer than all are still everybody's words."""


def build_model(
    arguments: argparse.Namespace, vocabulary: int, device: str
) -> M2M100ForConditionalGeneration:
    """A new model of the given shape; random by torch's seed."""
    model = M2M100ForConditionalGeneration(
        M2M100Config(
            vocab_size=vocabulary,
            d_model=arguments.width,
            encoder_layers=arguments.encoder_layers,
            decoder_layers=arguments.decoder_layers,
            encoder_attention_heads=arguments.heads,
            decoder_attention_heads=arguments.heads,
            encoder_ffn_dim=arguments.feed_forward,
            decoder_ffn_dim=arguments.feed_forward,
            dropout=arguments.dropout,
            attention_dropout=0.0,
            activation_dropout=0.0,
            encoder_layerdrop=0.0,
            decoder_layerdrop=0.0,
            max_position_embeddings=1024,
            scale_embedding=True,
            tie_word_embeddings=True,
        )
    )
    if device == "cpu":
        # Texts are short: plain products go backwards faster than torch's fused attention does on a CPU.
        model.set_attn_implementation("eager")
    return model.to(device)


def precision_of(wanted: str, device: str) -> str:
    """In which format matrices are multiplied: `auto` is bfloat16 where the device has such products."""
    if wanted != AUTO:
        return wanted
    capabilities = torch.cpu.get_capabilities()
    native = device == "cuda" or any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return BFLOAT16 if native else FLOAT32


def optimizers_of(model: torch.nn.Module, arguments: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for embeddings, norms and biases."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "layers." in n]
    hidden = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in hidden]
    return [
        torch.optim.AdamW(rest, lr=arguments.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        Muon(matrices, lr=arguments.muon_rate, dtype=getattr(torch, arguments.precision)),
    ]


def padded(rows: Sequence[Ids], device: str) -> torch.Tensor:
    """Ids of texts as one tensor, (texts, longest)."""
    out = np.full((len(rows), max(map(len, rows))), PAD, dtype=np.int64)
    for number, row in enumerate(rows):
        out[number, : len(row)] = row
    return torch.from_numpy(out).to(device)


def loss_of(
    model: M2M100ForConditionalGeneration,
    batch: Sequence[Example],
    device: str,
    smoothing: float,
    dtype: torch.dtype,
    candidates: Candidates | None = None,
) -> torch.Tensor:
    """Mean cross-entropy of the target tokens after the language code (which decoding is given), smoothed.

    Args:
        dtype: what the logits' matrices are multiplied in.
        candidates: which ids the softmax is over; all without it.
    """
    source = padded([example.source for example in batch], device)
    target = padded([example.target for example in batch], device)
    first = torch.full_like(target[:, :1], END)
    hidden = model.model(
        input_ids=source,
        attention_mask=source.ne(PAD).long(),
        decoder_input_ids=torch.cat([first, target[:, :-1]], dim=1),
        use_cache=False,
    ).last_hidden_state[:, 1:]
    labels = target[:, 1:]
    real = labels.ne(PAD)
    states, labels, weight = hidden[real], labels[real], model.lm_head.weight
    corrections = weight.new_zeros(len(weight))
    if candidates is not None:
        ids, corrections, labels = candidates.of(labels)
        weight = weight[ids]
    with torch.autocast(device, enabled=False):
        return smoothed_cross_entropy(states, weight, corrections, labels, smoothing, dtype)


def learning_rate(step: int, fall: int | None, arguments: argparse.Namespace) -> float:
    """Share of the peak rate: warm-up, plateau, linear fall over `--decay-steps` from `fall` on."""
    left = arguments.steps - step if fall is None else fall + arguments.decay_steps - step
    return float(min(1.0, (step + 1) / arguments.warmup_steps, max(0.0, left / arguments.decay_steps)))


@torch.inference_mode()
def greedy(
    model: M2M100ForConditionalGeneration, examples: Sequence[Example], device: str
) -> list[list[int]]:
    """Ids that the model writes for each example, without language code and end."""
    model.eval()
    outputs: list[list[int]] = [[] for _ in examples]
    order = sorted(range(len(examples)), key=lambda n: len(examples[n].source))
    for start in range(0, len(order), 256):
        part = order[start : start + 256]
        source = padded([examples[n].source for n in part], device)
        mask = source.ne(PAD).long()
        encoded = model.model.encoder(source, attention_mask=mask).last_hidden_state
        output = torch.tensor([[END, int(examples[n].target[0])] for n in part], device=device)
        ended = torch.zeros(len(part), dtype=torch.bool, device=device)
        longest = min(LONGEST_OUTPUT, 2 * source.shape[1] + 10)
        for _ in range(longest):
            hidden = model.model.decoder(
                input_ids=output, encoder_hidden_states=encoded, encoder_attention_mask=mask, use_cache=False
            ).last_hidden_state[:, -1]
            chosen = model.lm_head(hidden).argmax(-1)
            output = torch.cat([output, chosen[:, None]], dim=1)
            ended |= chosen.eq(END)
            if bool(ended.all()):
                break
        for n, row in zip(part, output[:, 2:].tolist(), strict=True):
            outputs[n] = row[: row.index(END)] if END in row else row
    model.train()
    return outputs


def text_of(ids: Sequence[int], processor: sentencepiece.SentencePieceProcessor) -> str:
    """The text of NLLB ids; language codes are left out."""
    return str(processor.decode([int(i) - 1 for i in ids if UNKNOWN < i <= processor.get_piece_size()]))


def chrf_by_kind(
    model: M2M100ForConditionalGeneration,
    processor: sentencepiece.SentencePieceProcessor,
    pairs: Pairs,
    chosen: Sequence[int],
    codes: Mapping[str, int],
    device: str,
) -> dict[str, float]:
    """Corpus chrF (0..100) of greedy output, by kind and direction, over all languages together."""
    examples, keys, references = [], [], []
    for number in chosen:
        english = [codes[ENGLISH], *(i + 1 for i in processor.encode(pairs.sources[number])), END]
        other = [codes[pairs.codes[number]], *(i + 1 for i in processor.encode(pairs.targets[number])), END]
        ours, theirs = np.asarray(english, np.int32), np.asarray(other, np.int32)
        examples += [Example(ours, theirs), Example(theirs, ours)]
        keys += [f"{pairs.kinds[number]}_from_english", f"{pairs.kinds[number]}_into_english"]
        references += [pairs.targets[number], pairs.sources[number]]
    grouped: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for key, ids, reference in zip(keys, greedy(model, examples, device), references, strict=True):
        grouped[key][0].append(text_of(ids, processor))
        grouped[key][1].append(reference)
    return {
        key: round(CHRF().corpus_score(hypotheses, [theirs]).score, 2)
        for key, (hypotheses, theirs) in sorted(grouped.items())
    }


def export(
    model: M2M100ForConditionalGeneration, folder: Path, languages: set[str], licences: Sequence[str]
) -> None:
    """The Hugging Face directory, and beside it what `translate-mix model add` cannot know."""
    model.save_pretrained(folder)
    description = {
        "name": "small",
        "licence": f"Apache-2.0; trained on texts under {', '.join(licences)}",
        "languages": sorted(languages),
    }
    (folder / "translate_mix.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def settings_of(arguments: argparse.Namespace) -> dict[str, object]:
    """What decides the result, with the data's digest: a training that goes on must have the same."""
    free = {
        "data", "output", "steps", "report_steps", "save_steps", "stop_after", "patience", "threads",
    }  # fmt: skip
    settings = {name: value for name, value in sorted(vars(arguments).items()) if name not in free}
    with arguments.data.open("rb") as file:
        settings["data_sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    return settings


def pictured_names(pairs: Pairs) -> frozenset[str]:
    """Names that nearly all languages have: those of things, and the best known."""
    languages: dict[str, set[str]] = defaultdict(set)
    for source, code, kind in zip(pairs.sources, pairs.codes, pairs.kinds, strict=True):
        if kind == NAME:
            languages[source].add(code)
    most = max(map(len, languages.values()), default=0)
    return frozenset(source for source, codes in languages.items() if len(codes) >= most - PICTURED)


class Metrics:
    """`metrics.jsonl`: a JSON object a line; also printed."""

    def __init__(self, path: Path, step: int) -> None:
        """Lines of steps after `step` are dropped: the training that goes on writes them again."""
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def write(self, line: Mapping[str, object]) -> None:
        text = json.dumps(line)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
        print(text, flush=True)


def train(arguments: argparse.Namespace) -> Progress:
    """Trains as the command line says, from where an earlier call stopped.

    Raises:
        ValueError: the data has no pairs, or an earlier call had other settings.
    """
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # By name from here on: a training does not go on in the precision of another machine.
    arguments.precision = precision_of(arguments.precision, device)
    precision: torch.dtype = getattr(torch, arguments.precision)
    folder, output = arguments.output / "hf", arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    settings = settings_of(arguments)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    pairs, held = read_pairs(arguments.data, TRAIN), read_pairs(arguments.data, HELD_OUT)
    licences = licences_of(arguments.data)
    pieces = train_sentencepiece(
        pairs.sources, list(zip(pairs.codes, pairs.targets, strict=True)), folder, arguments.vocabulary,
        arguments.seed,
    )  # fmt: skip
    tokenizer = load_tokenizer(pieces, folder)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(pieces))
    codes = {code: int(tokenizer.convert_tokens_to_ids(code)) for code in {ENGLISH, *pairs.codes}}
    draws = Draws(pairs, processor, codes, pictured_names(pairs), arguments.into_english, arguments.seed)
    judged = sample_of(held, arguments.evaluated, lambda kind: True)
    remembered = sample_of(pairs, arguments.evaluated // 4, lambda kind: kind == NAME)

    model = build_model(arguments, len(tokenizer), device)
    counts = np.bincount(np.concatenate([draws.english.ids, draws.other.ids]), minlength=len(tokenizer))
    candidates = Candidates(counts, arguments.candidates, device) if arguments.candidates else None
    optimizers = optimizers_of(model, arguments)
    peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    progress = load_state(output, model, optimizers, digest)
    drop_snapshots_after(output, progress.step)
    metrics = Metrics(output / "metrics.jsonl", progress.step)
    if not progress.step:
        vectors = aligned_vectors(
            pairs.sources, draws.english, draws.other, len(tokenizer), arguments.width, arguments.seed
        )
        begin_with(model, vectors)
        settings |= {"parameters": sum(p.numel() for p in model.parameters()), "device": device}
        settings["pieces_per_character_and_bytes"] = unknown_rates(
            processor, list(zip(held.codes, held.targets, strict=True))
        )
        (output / "settings.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    print(f"{len(draws):,} pairs, {sum(p.numel() for p in model.parameters()):,} parameters, {device}, "
          f"from step {progress.step}", flush=True)  # fmt: skip

    def evaluate() -> dict[str, object]:
        """chrF of the averaged weights, which are exported if they are the best so far."""
        shadow = build_model(arguments, len(tokenizer), device)
        shadow.load_state_dict(averaged(output, arguments.averaged), strict=False)
        shadow.tie_weights()
        scores = chrf_by_kind(shadow, processor, held, judged, codes, device)
        mean = round(fmean(scores.values()), 3)
        known = chrf_by_kind(shadow, processor, pairs, remembered, codes, device)
        if mean > progress.best:
            progress.best, progress.best_step = mean, progress.step
            export(shadow, folder, set(codes), licences)
        return {"chrf_held_out": mean, **scores, **{f"trained_{key}": value for key, value in known.items()}}

    model.train()
    began, before = time.monotonic(), progress.seconds
    total, count, counted, since = 0.0, 0, 0, time.monotonic()

    def last() -> int:
        return int(arguments.steps if progress.fall is None else progress.fall + arguments.decay_steps)

    def ended() -> bool:
        return progress.step >= min(last(), arguments.stop_after or last())

    while not ended():
        shuffle = np.random.default_rng([arguments.seed, progress.round, 1])
        made = list(batches(draws.round(progress.round, arguments.round), arguments.tokens, shuffle))
        for batch in made[progress.done :]:
            if ended():
                break
            if progress.fall is None and arguments.steps - progress.step <= arguments.decay_steps:
                progress.fall = arguments.steps - arguments.decay_steps
            scale = learning_rate(progress.step, progress.fall, arguments)
            for optimizer, rates in zip(optimizers, peaks, strict=True):
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * scale
            with torch.autocast(device, torch.bfloat16, enabled=arguments.precision == BFLOAT16):
                loss = loss_of(model, batch, device, arguments.smoothing, precision, candidates)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            tokens = sum(len(example.target) - 1 for example in batch)
            progress.step, progress.done = progress.step + 1, progress.done + 1
            progress.tokens += tokens
            total, count, counted = total + loss.item(), count + 1, counted + tokens
            if progress.step % arguments.snapshot_steps == 0 or progress.step == last():
                save_snapshot(output, model, progress.step, arguments.averaged)
            line: dict[str, object] = {}
            if progress.step % arguments.evaluate_steps == 0 or progress.step == last():
                line |= evaluate()
                waited = (progress.step - progress.best_step) // arguments.evaluate_steps
                if progress.fall is None and waited >= arguments.patience:
                    progress.fall = progress.step
            progress.seconds = before + time.monotonic() - began
            if line or progress.step % arguments.report_steps == 0:
                now = time.monotonic()
                metrics.write(
                    {
                        "step": progress.step,
                        "round": round(progress.round + progress.done / len(made), 2),
                        "loss": round(total / count, 4),
                        "rate": round(scale, 4),
                        "tokens": progress.tokens,
                        "tokens_per_second": round(counted / (now - since)),
                        "hours": round(progress.seconds / 3600, 3),
                        **line,
                    }
                )
                total, count, counted, since = 0.0, 0, 0, time.monotonic()
            if progress.step % arguments.save_steps == 0:
                save_state(output, model, optimizers, progress)
        else:
            progress.round, progress.done = progress.round + 1, 0
    save_state(output, model, optimizers, progress)
    return progress


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="pairs.parquet of data.py")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200_000, help="at most (default: %(default)s)")
    parser.add_argument("--decay-steps", type=int, default=2000)
    parser.add_argument("--warmup-steps", type=int, default=100)
    parser.add_argument("--report-steps", type=int, default=50)
    parser.add_argument("--evaluate-steps", type=int, default=1000, help="a multiple of --snapshot-steps")
    parser.add_argument("--evaluated", type=int, default=800, help="held-out pairs, in both directions")
    parser.add_argument("--patience", type=int, default=8, help="evaluations without a rise")
    parser.add_argument("--snapshot-steps", type=int, default=250)
    parser.add_argument("--averaged", type=int, default=5, help="last snapshots whose mean is taken")
    parser.add_argument("--save-steps", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=6000, help="padded tokens of a batch, of both sides")
    parser.add_argument("--round", type=int, default=200_000, help="examples that are drawn at once")
    parser.add_argument("--vocabulary", type=int, default=24_000)
    parser.add_argument(
        "--candidates", type=int, default=3000,
        help="ids drawn into the softmax beside those of the batch; 0: all (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--into-english", type=float, default=0.4, help="share of that direction")
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--feed-forward", type=int, default=768)
    parser.add_argument("--encoder-layers", type=int, default=3)
    parser.add_argument("--decoder-layers", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--smoothing", type=float, default=0.1, help="of the labels")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--muon-rate", type=float, default=3e-3)
    parser.add_argument(
        "--precision", choices=(AUTO, FLOAT32, BFLOAT16), default=AUTO,
        help="of matrix products; auto: bfloat16 where the device has them",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="0: as torch finds them")
    parser.add_argument("--stop-after", type=int, help="stop at this step, as if killed after its checkpoint")
    return parser


def main() -> int:
    arguments = parser().parse_args()
    if arguments.evaluate_steps % arguments.snapshot_steps:
        print(f"--evaluate-steps {arguments.evaluate_steps}: give a multiple of --snapshot-steps "
              f"{arguments.snapshot_steps}", file=sys.stderr)  # fmt: skip
        return 2
    try:
        progress = train(arguments)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(
        json.dumps({"step": progress.step, "chrf_held_out": progress.best, "best_step": progress.best_step})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
