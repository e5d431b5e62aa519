"""Trains the small NLLB-format (M2M100) model on name pairs, both directions, on CPU or GPU.

    python scripts/small_model/train.py --data build/small/pairs.jsonl --output build/small --steps 20000

Resumes from `OUTPUT/state.pt` when that exists; the order of batches depends on (seed, epoch)
alone, so a killed training goes on as if it had not been. The learning rate warms up, stays, and
falls linearly over the last `--decay-steps`: give a larger `--steps` to train on, as long as the
fall has not begun. Writes a Hugging Face directory `OUTPUT/hf` that `translate-mix model add` converts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import sentencepiece
import torch
from sacrebleu.metrics import CHRF
from torch.nn import functional
from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

ENGLISH = "eng_Latn"
PAD, END, UNKNOWN = 1, 2, 3
"""Ids of NLLB's dictionary: <s> 0, <pad> 1, </s> 2, <unk> 3, then the SentencePiece pieces."""

VARIED = 0.1
"""Share of English sources that get an article or a capital, so that "A red apple" is understood too."""


@dataclass(frozen=True)
class Example:
    """One direction of a pair, as ids. `source`: [lang, ..., </s>]; `target`: the same layout."""

    source: list[int]
    target: list[int]
    into_english: bool
    variants: tuple[list[int], ...] = ()
    """Other spellings of an English source: with an article, with a capital."""


def train_sentencepiece(pairs: list[dict[str, str]], folder: Path, size: int) -> Path:
    """A BPE SentencePiece model (as NLLB has) with every character of the names in it."""
    path = folder / "sentencepiece.bpe.model"
    if not path.exists():
        english = sorted({pair["english"] for pair in pairs})
        lines = [pair["name"] for pair in pairs] + english * 20
        # Sentence-final marks, digits and letters that no name holds but a caption may.
        lines += [".,;:!?'\"()-–—…0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"] * 5
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_prefix=str(path.with_suffix("")),
            vocab_size=size,
            character_coverage=1.0,
            model_type="bpe",
            normalization_rule_name="identity",
            max_sentence_length=10_000,
            num_threads=2,
            hard_vocab_limit=False,
            minloglevel=1,
        )
    return path


def load_tokenizer(vocabulary: Path, folder: Path) -> NllbTokenizer:
    """The Hugging Face tokenizer of the same vocabulary, saved where the converter looks."""
    tokenizer = NllbTokenizer.from_pretrained(
        str(vocabulary.parent), src_lang=ENGLISH, extra_special_tokens=FAIRSEQ_LANGUAGE_CODES
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def encode(
    pairs: list[dict[str, str]], processor: sentencepiece.SentencePieceProcessor, codes: dict[str, int]
) -> list[Example]:
    """Both directions of every pair."""

    def ids(text: str, code: str) -> list[int]:
        return [codes[code], *(piece + 1 for piece in processor.encode(text)), END]

    examples = []
    for pair in pairs:
        name = pair["english"]
        english = ids(name, ENGLISH)
        other = ids(pair["name"], pair["nllb_code"])
        article = "an" if name[0] in "aeiou" else "a"
        spellings = (f"{article} {name}", f"{article.capitalize()} {name}", f"the {name}", name.capitalize())
        variants = tuple(ids(spelling, ENGLISH) for spelling in spellings)
        examples += [Example(english, other, False, variants), Example(other, english, True)]
    return examples


def batches(
    examples: list[Example], tokens: int, into_english: float, seed: int, epoch: int
) -> Iterator[list[Example]]:
    """Random batches of about `tokens` padded tokens, of similar length, in an order of (seed, epoch).

    Only the share `into_english` of the examples into English takes part: that direction is learnt sooner.
    One English source in ten is spelt otherwise.
    """
    order = random.Random(f"{seed}/{epoch}")
    chosen = [example for example in examples if not example.into_english or order.random() < into_english]
    chosen = [
        replace(example, source=order.choice(example.variants))
        if example.variants and order.random() < VARIED
        else example
        for example in chosen
    ]
    shuffled = sorted(
        chosen, key=lambda example: len(example.target) + len(example.source) + order.random() * 2
    )
    made: list[list[Example]] = [[]]
    width = 0
    for example in shuffled:
        width = max(width, len(example.target), len(example.source))
        if (len(made[-1]) + 1) * width > tokens:
            made.append([])
            width = max(len(example.target), len(example.source))
        made[-1].append(example)
    order.shuffle(made)
    yield from made


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised (Jordan et al. 2024), for the hidden matrices.

    In float32 and with the matrices of one shape in one batch: `torch.optim.Muon` works in
    bfloat16, one matrix at a time, which takes most of the time on a CPU.
    """

    def __init__(self, params: list[torch.nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes = defaultdict(list)
            for parameter in group["params"]:
                shapes[min(parameter.shape), max(parameter.shape)].append(parameter)
            for (rows, columns), parameters in shapes.items():
                updates = []
                for parameter in parameters:
                    state = self.state[parameter]
                    if not state:
                        state["momentum"] = torch.zeros_like(parameter)
                    momentum = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                    update = parameter.grad.lerp(momentum, group["momentum"])
                    updates.append(update.T if parameter.shape[0] > rows else update)
                stacked = orthogonalised(torch.stack(updates)) * 0.2 * columns**0.5
                for parameter, update in zip(parameters, stacked, strict=True):
                    update = update.T if parameter.shape[0] > rows else update
                    parameter.add_(update, alpha=-group["lr"])


def orthogonalised(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrices; (count, rows, columns)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def pad(rows: list[list[int]]) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [PAD] * (width - len(row)) for row in rows])


def loss_of(
    model: M2M100ForConditionalGeneration, batch: list[Example], device: str, candidates: int
) -> torch.Tensor:
    """Mean cross-entropy of the target tokens after the language code (which decoding is given).

    With `candidates` > 0 the softmax runs over the batch's own tokens and that many random others:
    the output layer is half of the work on a CPU. The last steps use the whole vocabulary.
    """
    source = pad([example.source for example in batch]).to(device)
    target = pad([example.target for example in batch]).to(device)
    first = torch.full_like(target[:, :1], END)
    hidden = model.model(
        input_ids=source,
        attention_mask=source.ne(PAD).long(),
        decoder_input_ids=torch.cat([first, target[:, :-1]], dim=1),
        use_cache=False,
    ).last_hidden_state[:, 1:]
    labels = target[:, 1:]
    real = labels.ne(PAD)
    hidden, labels = hidden[real], labels[real]
    embeddings = model.lm_head.weight
    if candidates:
        chosen = torch.zeros(len(embeddings), dtype=torch.bool, device=device)
        chosen[torch.randint(len(embeddings), (candidates,), device=device)] = True
        chosen[labels] = True
        labels = (chosen.cumsum(0) - 1)[labels]
        embeddings = embeddings[chosen]
    return functional.cross_entropy(hidden @ embeddings.T, labels)


def learning_rate(step: int, arguments: argparse.Namespace) -> float:
    """Share of the peak rate: warm-up, plateau, linear fall."""
    left = arguments.steps - step
    return min(1.0, (step + 1) / arguments.warmup_steps, max(0.0, left / arguments.decay_steps))


@torch.inference_mode()
def chrf_of(
    model: M2M100ForConditionalGeneration,
    processor: sentencepiece.SentencePieceProcessor,
    examples: list[Example],
    device: str,
) -> float:
    """chrF of greedy output on the given examples."""
    model.eval()
    hypotheses, references = [], []
    for start in range(0, len(examples), 256):
        batch = examples[start : start + 256]
        source = pad([example.source for example in batch]).to(device)
        encoded = model.model.encoder(source, attention_mask=source.ne(PAD).long())
        output = torch.tensor([[END, example.target[0]] for example in batch], device=device)
        for _ in range(24):
            hidden = model.model.decoder(
                input_ids=output,
                encoder_hidden_states=encoded.last_hidden_state,
                encoder_attention_mask=source.ne(PAD).long(),
                use_cache=False,
            ).last_hidden_state[:, -1]
            output = torch.cat([output, model.lm_head(hidden).argmax(-1, keepdim=True)], dim=1)
        for row, example in zip(output.tolist(), batch, strict=True):
            row = row[2:]
            row = row[: row.index(END)] if END in row else row
            hypotheses.append(text_of(row, processor))
            references.append(text_of(example.target[1:-1], processor))
    model.train()
    return float(CHRF().corpus_score(hypotheses, [references]).score)


def text_of(ids: list[int], processor: sentencepiece.SentencePieceProcessor) -> str:
    return str(processor.decode([i - 1 for i in ids if UNKNOWN < i <= processor.get_piece_size()]))


def save(model: M2M100ForConditionalGeneration, folder: Path, languages: set[str]) -> None:
    """The Hugging Face directory, and beside it what `translate-mix model add` cannot know."""
    model.save_pretrained(folder)
    description = {
        "name": "small",
        "licence": "Apache-2.0; trained on CLDR names (Unicode-3.0)",
        "languages": sorted(languages),
    }
    (folder / "translate_mix.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def train(arguments: argparse.Namespace) -> None:
    torch.manual_seed(arguments.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pairs = [json.loads(line) for line in arguments.data.open(encoding="utf-8")]
    training = [pair for pair in pairs if pair["split"] == "train"]
    folder = arguments.output / "hf"
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = train_sentencepiece(training, folder, arguments.vocabulary)
    tokenizer = load_tokenizer(vocabulary, folder)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary))
    codes = {code: tokenizer.convert_tokens_to_ids(code) for code in {p["nllb_code"] for p in training}}
    codes[ENGLISH] = tokenizer.convert_tokens_to_ids(ENGLISH)
    examples = encode(training, processor, codes)
    sample = random.Random(0).sample(examples, min(600, len(examples)))

    model = M2M100ForConditionalGeneration(
        M2M100Config(
            vocab_size=len(tokenizer),
            d_model=arguments.width,
            encoder_layers=arguments.encoder_layers,
            decoder_layers=arguments.decoder_layers,
            encoder_attention_heads=arguments.width // 48,
            decoder_attention_heads=arguments.width // 48,
            encoder_ffn_dim=arguments.width * 4,
            decoder_ffn_dim=arguments.width * 4,
            dropout=arguments.dropout,
            attention_dropout=0.0,
            activation_dropout=0.0,
            encoder_layerdrop=0.0,
            decoder_layerdrop=0.0,
            max_position_embeddings=1024,
            scale_embedding=True,
            tie_word_embeddings=True,
        )
    ).to(device)
    model.train()
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "layers." in n]
    hidden = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in hidden]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr=arguments.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]
    if arguments.optimizer == "muon":
        optimizers.append(Muon(matrices, lr=arguments.muon_rate))
    else:
        optimizers[0].add_param_group({"params": matrices})
    peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{len(examples):,} examples, {parameters:,} parameters, {device}", flush=True)

    state_file = arguments.output / "state.pt"
    step, epoch, done = 0, 0, 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True, map_location=device)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        torch.set_rng_state(state["random"].cpu())
        step, epoch, done = state["step"], state["epoch"], state["done"]

    def checkpoint() -> None:
        partial = state_file.with_suffix(".partial")
        torch.save(
            {
                "model": model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "random": torch.get_rng_state(),
                "step": step,
                "epoch": epoch,
                "done": done,
            },
            partial,
        )
        os.replace(partial, state_file)

    started, first_step, tokens, total, count = time.monotonic(), step, 0, 0.0, 0
    last = min(arguments.steps, arguments.stop_after or arguments.steps)
    while step < last:
        epoch_batches = list(
            batches(examples, arguments.tokens, arguments.into_english, arguments.seed, epoch)
        )
        for number, batch in enumerate(epoch_batches):
            if number < done:
                continue
            if step >= last:
                break
            scale = learning_rate(step, arguments)
            for optimizer, rates in zip(optimizers, peaks, strict=True):
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * scale
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                whole = step >= arguments.steps - arguments.decay_steps
                loss = loss_of(model, batch, device, 0 if whole else arguments.candidates)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            step, done = step + 1, number + 1
            tokens += sum(len(example.target) for example in batch)
            total, count = total + loss.item(), count + 1
            if step % arguments.report_steps == 0:
                seconds = time.monotonic() - started
                line = {
                    "step": step,
                    "epoch": round(epoch + done / len(epoch_batches), 2),
                    "loss": round(total / count, 4),
                    "seconds": round(seconds),
                    "steps_per_second": round((step - first_step) / seconds, 3),
                    "target_tokens_per_second": round(tokens / seconds),
                }
                total, count = 0.0, 0
                if step % arguments.evaluate_steps == 0:
                    line["chrf_trained"] = round(chrf_of(model, processor, sample, device), 2)
                print(json.dumps(line), file=sys.stdout, flush=True)
            if step % arguments.save_steps == 0:
                checkpoint()
        else:
            epoch, done = epoch + 1, 0
    checkpoint()
    if step >= arguments.steps:
        save(model, folder, set(codes))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--decay-steps", type=int, default=2000)
    parser.add_argument("--warmup-steps", type=int, default=400)
    parser.add_argument("--report-steps", type=int, default=100)
    parser.add_argument("--evaluate-steps", type=int, default=4000, help="chrF of 600 trained pairs")
    parser.add_argument("--save-steps", type=int, default=500)
    parser.add_argument("--tokens", type=int, default=3500, help="padded target tokens of a batch")
    parser.add_argument("--vocabulary", type=int, default=8000)
    parser.add_argument("--candidates", type=int, default=1000, help="random softmax entries; 0: all")
    parser.add_argument("--into-english", type=float, default=0.5, help="share of that direction")
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--encoder-layers", type=int, default=3)
    parser.add_argument("--decoder-layers", type=int, default=3)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--optimizer", choices=("adamw", "muon"), default="muon")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--muon-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stop-after", type=int, help="stop at this step, as if killed after its checkpoint")
    return parser


def main() -> None:
    train(parser().parse_args())


if __name__ == "__main__":
    main()
