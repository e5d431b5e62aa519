"""Pictures a second that a training loop gets: ours against bare Pillow, `datasets` and webdataset.

All sides decode the same JPEGs of COCO's size to 224 x 224 with the same number of processes (2), in turns,
and every figure is a median of rounds. Bare Pillow decodes and resizes bytes in memory and hands nothing on.
The loaders read the same rows from their own files (Parquet, Arrow, tar), shuffle, tokenise, and hand over
batches. `vs_own_resize` is ours over bare Pillow with the loader's way to resize: what the rest costs.

`padding_share` is that of texts with lengths and proportions as in mBLIP's mix, in batches of 16;
`padding_share_shuffled` that of the same texts in random batches. `variety` tells how well rows are shuffled:
the mean number of (language, task) pairs in 128 examples in a row, over that of a perfect shuffle.
The last line of standard output is one JSON object. Needs the extras `train` and `test`, and webdataset.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import multiprocessing
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

# Else `training` would be the benchmark of that name, beside this file.
sys.path.insert(0, str(Path(__file__).parent.parent))

from training.loader import Loader, LoaderSettings, MixWeight
from training.order import OrderSettings
from training.pictures import resize
from translation.row import ACCEPT, ROW_FIELDS, row_schema

SIZE = 224
BATCH = 16
PROCESSES = 2

DISTINCT = 48
"""Pictures that are made; the rows repeat them, which no side can make use of."""

LANGUAGES = ("eng_Latn", "deu_Latn", "swh_Latn", "tha_Thai")

TASKS = {
    "caption": (0.52, 8, 2, 11, 3),
    "vqa": (0.09, 14, 4, 1.2, 0.5),
    "vqg": (0.09, 12, 3, 6, 2),
    "matching": (0.12, 22, 5, 1, 0.1),
    "classify": (0.12, 10, 3, 1.5, 0.7),
    "instruct": (0.05, 11, 5, 25, 15),
    "detail": (0.01, 10, 3, 90, 20),
}
"""Task -> share of the rows, mean and deviation of the words of prompts and of targets, as in mBLIP."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--rows", type=int, help="of a round; default 1,920, quick 320")
    options.add_argument("--rounds", type=int, help="default 5, quick 3")
    parsed = options.parse_args()
    for package in ("datasets", "webdataset"):
        if importlib.util.find_spec(package) is None:
            raise SystemExit(
                f"this benchmark compares with {package}, which is not installed: pip install {package}"
            )
    rows = parsed.rows or (320 if parsed.quick else 1920)
    rounds = parsed.rounds or (3 if parsed.quick else 5)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = make_tokenizer()
        pictures = [make_jpeg(number) for number in range(DISTINCT)]
        kib = statistics.mean(map(len, pictures)) / 1024
        print(
            f"{rows:,} rows, {DISTINCT} JPEGs of 640 x 480, {kib:.0f} KiB on average, {PROCESSES} processes"
        )
        sides = prepare(folder, rows, pictures, tokenizer)
        rates = measure(sides, rounds)
        figures = padding(folder, tokenizer, 10_000 if parsed.quick else 40_000)
    figures |= {f"vs_{side}": ratio(rates["ours"], rates[side]) for side in sides if side != "ours"}
    figures |= {
        f"{side}_images_per_second": round(statistics.median(found), 1) for side, found in rates.items()
    }
    print(json.dumps(figures))
    return 0


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Of rounds that ran one after the other, the median."""
    return round(statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True)), 3)


def measure(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Images a second of each side, the sides in turns."""
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds):
        for side, run in sides.items():
            rates[side].append(run())
        print(f"round {number + 1}: " + ", ".join(f"{side} {found[-1]:.0f}" for side, found in rates.items()))
    return rates


def prepare(
    folder: Path, rows: int, pictures: Sequence[bytes], tokenizer: Any
) -> dict[str, Callable[[], float]]:
    """The sides, with their files."""
    texts = make_texts(rows, seed=1)
    mix = write_mix(folder / "mix", texts, pictures)
    tars = write_tars(folder / "tars", texts, pictures)
    encoded = [pictures[row % len(pictures)] for row in range(rows)]
    collate = Collate(tokenizer)
    return {
        "ours": lambda: ours(mix, tokenizer),
        "pillow": lambda: bare(encoded, pillow),
        "own_resize": lambda: bare(encoded, own_resize),
        "datasets": datasets_side(mix, folder / "cache", collate),
        "webdataset": lambda: webdataset_side(tars, collate, rows),
    }


# The sides.


def ours(mix: Path, tokenizer: Any) -> float:
    settings = LoaderSettings((MixWeight(str(mix)),), OrderSettings(batch_size=BATCH))
    with Loader(settings, tokenizer, workers=PROCESSES) as loader:
        return rate((len(batch.pixel_values), batch.pixel_values) for batch in loader)


def pillow(data: bytes) -> Any:
    """What a script does: decode, convert, resize."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def own_resize(data: bytes) -> Any:
    with Image.open(io.BytesIO(data)) as picture:
        return resize(torch.from_numpy(np.array(picture.convert("RGB"))), SIZE, SIZE)


def bare(encoded: Sequence[bytes], decode: Callable[[bytes], Any]) -> float:
    """Processes that each decode their part; the clock runs from when all are ready."""
    context = multiprocessing.get_context("fork")
    ready, done = context.Barrier(PROCESSES + 1), context.Barrier(PROCESSES + 1)

    def work(part: Sequence[bytes]) -> None:
        torch.set_num_threads(1)
        decode(part[0])
        ready.wait()
        for data in part:
            decode(data)
        done.wait()

    processes = [
        context.Process(target=work, args=(encoded[number::PROCESSES],)) for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    ready.wait()
    began = time.perf_counter()
    done.wait()
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    return len(encoded) / seconds


class Collate:
    """Rows of (picture, prompt, target) -> what a training step takes, as a script would make it."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __call__(self, rows: Sequence[dict[str, Any]]) -> tuple[Tensor, Any, Any]:
        pixels = torch.stack([torch.from_numpy(resized(row["image"])) for row in rows])
        prompts = self.tokenizer([row["prompt"] for row in rows], padding=True, return_tensors="pt")
        targets = self.tokenizer([row["target"] for row in rows], padding=True, return_tensors="pt")
        return pixels, prompts["input_ids"], targets["input_ids"]


def resized(picture: Image.Image) -> Any:
    return np.array(picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def datasets_side(mix: Path, cache: Path, collate: Collate) -> Callable[[], float]:
    import datasets

    datasets.disable_progress_bars()
    files = str(mix / "data" / "*" / "train-*.parquet")
    loaded = datasets.load_dataset(
        "parquet", data_files={"train": files}, split="train", cache_dir=str(cache)
    )
    wanted = loaded.select_columns(["image", "prompt", "target"])

    def run() -> float:
        loader = DataLoader(
            wanted,
            batch_size=BATCH,
            shuffle=True,
            num_workers=PROCESSES,
            collate_fn=collate,
        )
        return rate((len(pixels), pixels) for pixels, _, _ in loader)

    return run


def webdataset_side(tars: str, collate: Collate, rows: int) -> float:
    import webdataset

    pipeline = (
        webdataset.WebDataset(tars, shardshuffle=PROCESSES, workersplitter=webdataset.split_by_worker, seed=1)
        .shuffle(200)
        .decode("pil")
        .map(lambda sample: {"image": sample["jpg"], **sample["json"]})
        .batched(BATCH, collation_fn=collate)
    )
    loader = webdataset.WebLoader(pipeline, batch_size=None, num_workers=PROCESSES)
    return rate((len(pixels), pixels) for pixels, _, _ in loader)


def rate(batches: Iterable[tuple[int, Tensor]]) -> float:
    """Images a second from when every worker has handed over a batch to the last; each batch is looked at."""
    began, images = 0.0, 0
    for number, (count, pixels) in enumerate(batches):
        int(pixels[0, 0, 0, 0])
        if number < PROCESSES:
            began = time.perf_counter()
        else:
            images += count
    return images / (time.perf_counter() - began)


# The data.


def make_jpeg(number: int) -> bytes:
    """Noise with a natural picture's spectrum and some edges: as many bytes as a COCO picture has."""
    rng = np.random.default_rng(number)
    height, width = (480, 640) if number % 3 else (640, 480)
    frequency = np.hypot(*np.meshgrid(np.fft.rfftfreq(width), np.fft.fftfreq(height)))
    spectrum = rng.normal(size=(3, *frequency.shape)) + 1j * rng.normal(size=(3, *frequency.shape))
    planes = np.fft.irfft2(spectrum / np.maximum(frequency, 1 / width) ** 1.1, s=(height, width))
    planes = planes / planes.std(axis=(1, 2), keepdims=True) * 45 + 120
    for _ in range(12):
        top, left = rng.integers(0, height - 60), rng.integers(0, width - 60)
        bottom, right = top + rng.integers(20, 200), left + rng.integers(20, 200)
        planes[:, top:bottom, left:right] += rng.normal(0, 40, (3, 1, 1))
    pixels = np.clip(planes, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def make_texts(rows: int, seed: int) -> list[dict[str, str]]:
    """Rows without pictures: half of them English, the words of other languages longer."""
    rng = np.random.default_rng(seed)
    vocabulary = words()
    names = list(TASKS)
    made = []
    for row in range(rows):
        task = names[int(rng.choice(len(names), p=[TASKS[name][0] for name in names]))]
        _, prompt_mean, prompt_spread, target_mean, target_spread = TASKS[task]
        other = int(rng.integers(1, len(LANGUAGES)))
        language = LANGUAGES[0] if rng.random() < 0.5 else LANGUAGES[other]
        longer = 1.0 if language == LANGUAGES[0] else 1 + 0.4 * other
        text = [
            " ".join(rng.choice(vocabulary, max(1, round(longer * rng.normal(mean, deviation)))))
            for mean, deviation in ((prompt_mean, prompt_spread), (target_mean, target_spread))
        ]
        made.append(
            {"id": f"bench/{row}", "task": task, "language": language, "prompt": text[0], "target": text[1]}
        )
    return made


def words() -> list[str]:
    rng = np.random.default_rng(0)
    letters = list("etaoinshrdlucmfw")
    return ["".join(rng.choice(letters, int(rng.integers(2, 9)))) for _ in range(2000)]


def make_tokenizer() -> Any:
    """A fast byte-pair tokenizer, trained on the words here."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=["<pad>", "</s>", "<unk>"], show_progress=False
    )
    backend.train_from_iterator(words(), trainer)
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def write_mix(folder: Path, texts: Sequence[dict[str, str]], pictures: Sequence[bytes]) -> Path:
    """A mix with its pictures in the rows, as the sink writes it; without pictures if there are none."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for number, text in enumerate(texts):
        row = (
            dict.fromkeys(field.name for field in ROW_FIELDS) | text | {"verdict": ACCEPT, "dataset": "bench"}
        )
        if pictures:
            row["image"] = {"bytes": pictures[number % len(pictures)], "path": f"{number}.jpg"}
        rows.setdefault(text["language"], []).append(row)
    files = []
    for language, of_language in rows.items():
        name = f"data/{language}/train-00000-of-00001.parquet"
        files.append({"path": name, "rows": len(of_language), "accepted": True})
        path = folder / name
        path.parent.mkdir(parents=True)
        table = pa.Table.from_pylist(of_language, schema=row_schema())
        # The sink's: at most 1,000 rows or 64 MiB of them, pictures as they are.
        rows_of_group = min(1000, int(64 * 2**20 / max(1.0, table.nbytes / len(table))))
        pq.write_table(table, path, row_group_size=rows_of_group, compression="none", use_dictionary=["task"])
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "files": files}), encoding="utf-8")
    return folder


def write_tars(folder: Path, texts: Sequence[dict[str, str]], pictures: Sequence[bytes]) -> str:
    """The same rows as webdataset has them; returns the pattern of the shards."""
    folder.mkdir()
    shards = 4 * PROCESSES
    for shard in range(shards):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as archive:
            for number in range(shard, len(texts), shards):
                for suffix, data in (
                    ("jpg", pictures[number % len(pictures)]),
                    ("json", json.dumps(texts[number]).encode()),
                ):
                    member = tarfile.TarInfo(f"{number:08d}.{suffix}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
    return f"{folder}/{{00000..{shards - 1:05d}}}.tar"


# Padding, and how well rows are shuffled.


def padding(folder: Path, tokenizer: Any, rows: int) -> dict[str, float]:
    texts = make_texts(rows, seed=2)
    mix = write_mix(folder / "texts", texts, [])
    # As many as 256 MiB hold with COCO's pictures, which is how large a window is by default.
    order = OrderSettings(batch_size=BATCH, window_rows=2000)
    settings = LoaderSettings((MixWeight(str(mix)),), order)
    with Loader(settings, tokenizer) as loader:
        seen = [pair for batch in loader for pair in zip(batch.languages, batch.tasks, strict=True)]
        padded = loader.report.padding_share
    rng = np.random.default_rng(3)
    random = rng.permutation(rows)
    ids = [
        (len(tokenizer(text["prompt"])["input_ids"]), len(tokenizer(text["target"])["input_ids"]))
        for text in texts
    ]
    lengths = np.minimum(np.array(ids), 128)[random[: rows // BATCH * BATCH]].reshape(-1, BATCH, 2)
    places = lengths.max(axis=1).sum() * BATCH
    shuffled = [(texts[row]["language"], texts[row]["task"]) for row in random]
    return {
        "padding_share": round(padded, 4),
        "padding_share_shuffled": round(1 - lengths.sum() / places, 4),
        "variety": round(kinds(seen) / kinds(shuffled), 3),
    }


def kinds(seen: Sequence[tuple[str, str]]) -> float:
    """Mean number of different pairs in 128 examples in a row: in a step of the paper's."""
    steps = range(0, len(seen) - 127, 128)
    return statistics.mean(len(set(seen[start : start + 128])) for start in steps)


if __name__ == "__main__":
    sys.exit(main())
