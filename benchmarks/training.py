"""What the training loop costs around the model: its steps against a bare loop over the same batches.

`step_overhead` is the time of a step of `realign train` over that of forward, backward, clipping and update
written out, less 1: both with the same model, weights, batches and optimiser, in turns; medians of rounds. A
core is left to the loader's process: where decoding has to share the cores with the model, it takes its time.
The loop's time has everything in it: waiting for data, figures, random numbers. `data_wait_share` and
`padding_share` are what the loop tells of itself. On a GPU, `--configuration mblip-mt0-xl` times that model
with random weights (nothing is downloaded) and gives `samples_per_second` and `mfu`. `loss_bfloat16` and
`loss_float32` say how many times as fast as torch's our cross entropy is, forward and backward over a
vocabulary of 262,144: medians of rounds in turns.
The last line of standard output is one JSON object. Needs the extras `train` and `test`.
"""

from __future__ import annotations

import argparse
import functools
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch.nn.functional import cross_entropy
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    MT5Config,
    MT5ForConditionalGeneration,
)

# Else this file would be what `training` names.
sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.loader import DISTINCT, make_jpeg, make_texts, make_tokenizer, write_mix
from training.architecture import arguments_of
from training.configuration import Configuration, load_configuration, shipped_configurations
from training.figures import METRICS, read_figures
from training.loader import Loader, LoaderSettings, MixWeight
from training.losses import token_cross_entropy
from training.optimisation import factor, optimiser_of, set_rates
from training.order import OrderSettings
from training.parameters import trainable
from training.precision import precisions_of
from training.requested import assembled, with_settings
from training.sequences import expanded
from training.train import train
from translation.machine import available_cores

BATCH = 8
VOCABULARY = 262_144
"""Gemma's, the largest in use."""
LOADED = 2
"""Steps at the beginning of a run that are not timed: allocators and threads warm up."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--steps", type=int, help="of a round; default 40, quick 5")
    options.add_argument("--rounds", type=int, help="default 5, quick 3")
    options.add_argument("--configuration", help="one that ships, with random weights, on a GPU")
    options.add_argument("--per-device", type=int, help="with --configuration: default, as it says")
    parsed = options.parse_args()
    steps = parsed.steps or (5 if parsed.quick else 40)
    rounds = parsed.rounds or (3 if parsed.quick else 5)
    # A core is left to the process that decodes pictures, as there is one beside a GPU.
    torch.set_num_threads(max(1, available_cores() - 1))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mix").mkdir()
        pictures = [make_jpeg(number) for number in range(DISTINCT)]
        if parsed.configuration is not None:
            configuration = shipped(folder, parsed.configuration, parsed.per_device, steps + LOADED)
        else:
            configuration = small(folder, steps + LOADED)
        rows = (steps + LOADED + 2) * configuration.stages[0].batch_size * 2
        write_mix(folder / "mix", make_texts(rows, seed=1), pictures)
        figures = compare(configuration, folder, steps, rounds) | {
            f"loss_{str(dtype).removeprefix('torch.')}": loss_against_torch(dtype, rounds)
            for dtype in (torch.bfloat16, torch.float32)
        }
    print(json.dumps(figures))
    return 0


def small(folder: Path, steps: int) -> Configuration:
    """A model of BLIP-2's kind of 20 M weights, whose step takes some hundred milliseconds on a core."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    text = MT5Config(
        **{"d_model": 256, "d_kv": 64, "d_ff": 1024, "num_layers": 3, "num_heads": 4},
        **{"vocab_size": len(tokenizer) + 64, "decoder_start_token_id": 0, "tie_word_embeddings": False},
    )
    vision = Blip2VisionConfig(
        **{"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4},
        **{"image_size": 224, "patch_size": 16},
    )
    qformer = Blip2QFormerConfig(
        hidden_size=256, intermediate_size=1024, num_hidden_layers=4, num_attention_heads=4
    )
    whole = Blip2Config(vision_config=vision, qformer_config=qformer, text_config=text, num_query_tokens=32)
    Blip2ForConditionalGeneration(whole).save_pretrained(folder / "blip2")
    MT5ForConditionalGeneration(text).save_pretrained(folder / "llm")
    tokenizer.save_pretrained(folder / "llm")
    (folder / "training.yaml").write_text(
        f"""
name: benchmark
output: run
model: {{vision: blip2, llm: llm}}
data: {{mixes: [mix]}}
stages:
  - name: main
    learning_rates: {{qformer: 1e-5, projection: 1e-5, lora: 2e-4}}
    steps: {steps}
    batch_size: {BATCH}
per_device: {BATCH}
checkpoints: {{every_minutes: null}}
validation: null
log: {{every_steps: {LOADED}, tensorboard: true}}
"""
    )
    return load_configuration(folder / "training.yaml")


def shipped(folder: Path, name: str, per_device: int | None, steps: int) -> Configuration:
    """A configuration of the package with random weights in its model's shapes, for `steps` steps."""
    shapes = shipped_configurations()[name].parent / "shapes"
    llm = folder / "llm"
    shutil.copytree(shapes / name.removeprefix("mblip-").replace("bloomz-7b", "bloomz-7b1"), llm)
    # Token ids are token ids; the model's own tokenizer would have to be downloaded.
    make_tokenizer().save_pretrained(llm)
    overrides = [
        *(f"model.vision={shapes / 'blip2-vit-g'}", f"model.llm={llm}", "model.random=true"),
        *("model.quantization=null", f"data.mixes=[{folder / 'mix'}]", f"output={folder / 'run'}"),
        *("stages.0.epochs=null", f"stages.0.steps={steps}", "validation=null"),
        *("checkpoints.every_minutes=null", f"log.every_steps={LOADED}"),
    ]
    # One batch a step, so that both loops do the same.
    batch = per_device or load_configuration(name, overrides).per_device
    overrides += [f"per_device={batch}", f"stages.0.batch_size={batch}"]
    return load_configuration(name, overrides)


def compare(configuration: Configuration, folder: Path, steps: int, rounds: int) -> dict[str, Any]:
    """Both loops in turns."""
    ratios: list[float] = []
    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    told: list[dict[str, Any]] = []
    for number in range(rounds):
        output = configuration.model_copy(update={"output": str(folder / f"run{number}")})
        output._written = configuration._written
        train(output, Console(quiet=True), quiet=True)
        lines = read_figures(folder / f"run{number}" / METRICS)
        first = next(line for line in lines if line["step"] == LOADED)
        ours = (lines[-1]["seconds"] - first["seconds"]) / (lines[-1]["step"] - LOADED)
        bare = bare_loop(configuration, steps)
        ratios.append(ours / bare)
        seconds["ours"].append(ours)
        seconds["bare"].append(bare)
        told += [line for line in lines if line["kind"] == "train" and line["step"] > LOADED]
        print(f"round {number + 1}: a step takes {ours * 1000:.0f} ms, bare {bare * 1000:.0f} ms")
    return {
        "step_overhead": round(statistics.median(ratios) - 1, 4),
        "padding_share": round(told[-1]["padding_share"], 4),
        "data_wait_share": round(statistics.mean(line["data_wait_share"] for line in told), 5),
        **{
            name: round(statistics.median(line[key] for line in told), 3)
            for name, key in (("samples_per_second", "examples_per_second"), ("mfu", "mfu"))
            if torch.cuda.is_available() and key in told[-1]
        },
        **{f"{side}_ms": round(statistics.median(found) * 1000, 1) for side, found in seconds.items()},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def loss_against_torch(dtype: torch.dtype, rounds: int) -> float:
    """How many times as fast as torch's our loss of 96 tokens is."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    logits = torch.randn(96, VOCABULARY, device=device).to(dtype).requires_grad_()
    targets = torch.randint(0, VOCABULARY, (96,), device=device)
    ratios = []
    for _ in range(rounds + 1):
        seconds = []
        for loss in (token_cross_entropy, functools.partial(cross_entropy, reduction="none")):
            logits.grad = None
            began = time.perf_counter()
            loss(logits, targets).sum().backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
        ratios.append(seconds[1] / seconds[0])
    return round(statistics.median(ratios[1:]), 3)


def bare_loop(configuration: Configuration, steps: int) -> float:
    """Seconds of a step of a loop without anything around it; batches lie ready in memory."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precisions = precisions_of(configuration.precision, device)
    model = assembled(configuration, dtype=precisions.frozen, device=device)
    loaded = with_settings(model, configuration, configuration.data, "")
    if configuration.gradient_checkpointing:
        loaded.base.gradient_checkpointing_enable()
    model, stage = loaded.model, configuration.stages[0]
    trainable(model, configuration.trained_parts)
    model.train()
    optimiser = optimiser_of(model, stage)
    batches = ready(configuration, loaded, steps + LOADED, device, precisions.frozen)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    began = time.perf_counter()
    for step, (arguments, targets) in enumerate(batches):
        if step == LOADED:
            began = time.perf_counter()
        set_rates(optimiser.param_groups, factor(stage, step, len(batches)))
        with torch.autocast(device.type, precisions.frozen, enabled=precisions.mixed != "no"):
            losses = model(**arguments).token_losses
        (losses.sum() / targets).backward()
        torch.nn.utils.clip_grad_norm_(trained, stage.clip).item()
        optimiser.step()
        optimiser.zero_grad()
    return (time.perf_counter() - began) / steps


def ready(
    configuration: Configuration, loaded: Any, count: int, device: torch.device, dtype: torch.dtype
) -> list[tuple[dict[str, Any], int]]:
    """The batches that the loop of the product sees, as the model takes them."""
    (mix,) = configuration.mixes_of(configuration.data)
    settings = LoaderSettings(
        (MixWeight(mix.path),),
        OrderSettings(configuration.per_device, picture_tokens=loaded.base.visual_tokens),
        seed=configuration.seed,
        texts=loaded.texts,
        pictures=loaded.preprocessing.pictures,
    )
    made = []
    with Loader(settings, loaded.tokenizer) as loader:
        for batch in loader:
            sequences = expanded(batch, loaded.base.visual_tokens, loaded.image_token_id).to(device)
            pixels = loaded.preprocessing.normalise(batch.pixel_values.to(device), dtype)
            targets = int((batch.labels != -100).sum())
            made.append(({**arguments_of(sequences), "pixel_values": pixels}, targets))
            if len(made) == count:
                break
    return made


if __name__ == "__main__":
    raise SystemExit(main())
