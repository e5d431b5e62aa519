"""Small mixes as `translate-mix run` writes them, made here in milliseconds, and small tokenizers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from translation.row import ACCEPT, ROW_FIELDS, row_schema

Row = dict[str, Any]

_WORDS = "a the dog cat house tree red blue runs sits two three under over big small Describe picture in"
_MARKS = (".", "_", "\n", "user", "assistant", "eng", "Latn", "deu", "swh")

_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""In the manner of Qwen's."""


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Models this small are slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def jpeg(number: int, width: int = 40, height: int = 30) -> bytes:
    """A smooth picture, another one for each number."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    coarse.resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def row_of(number: int, language: str, **values: Any) -> Row:
    """An accepted caption row; its texts have lengths of their own."""
    rng = np.random.default_rng(number)
    words = [str(word) for word in rng.choice(_WORDS.split(), int(rng.integers(2, 20)))]
    row: Row = dict.fromkeys(field.name for field in ROW_FIELDS)
    row |= {
        "id": f"tiny/{number}/caption/{language}",
        "dataset": "tiny",
        "task": "caption",
        "image": {"bytes": jpeg(number), "path": f"{number}.jpg"},
        "image_id": str(number),
        "prompt_language": "eng_Latn",
        "language": language,
        "prompt": f"Describe the picture in {language}.",
        "target": " ".join(words),
        "verdict": ACCEPT,
    }
    return row | values


def rows_of(counts: Mapping[str, int]) -> dict[str, list[Row]]:
    """Language -> so many rows, with numbers of their own."""
    rows, number = {}, 0
    for language, count in counts.items():
        rows[language] = [row_of(number + offset, language) for offset in range(count)]
        number += count
    return rows


def write_mix(
    folder: Path,
    rows: Mapping[str, Sequence[Row]],
    *,
    split: str = "train",
    group_rows: int = 10,
    shards: int = 1,
) -> Path:
    """Shards, card and manifest of a finished mix."""
    files = []
    folder.mkdir(exist_ok=True)
    for language, of_language in rows.items():
        for shard in range(shards):
            name = f"data/{language}/{split}-{shard:05d}-of-{shards:05d}.parquet"
            part = list(of_language[shard::shards])
            write_shard(folder / name, part, group_rows)
            files.append({"path": name, "rows": len(part), "accepted": True})
    (folder / "README.md").write_text("# tiny\n", encoding="utf-8")
    known = folder / "manifest.json"
    earlier = json.loads(known.read_text(encoding="utf-8"))["files"] if known.exists() else []
    known.write_text(json.dumps({"format": 1, "files": earlier + files}), encoding="utf-8")
    return folder


def write_shard(path: Path, rows: Sequence[Row], group_rows: int = 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(rows), schema=row_schema())
    pq.write_table(table, path, row_group_size=group_rows)


MakeMix = Callable[..., Path]


@pytest.fixture
def make_mix(tmp_path: Path) -> MakeMix:
    """Counts by language, or rows by language -> a mix in a folder of its own."""
    made = 0

    def make(content: Mapping[str, Any], **options: Any) -> Path:
        nonlocal made
        made += 1
        counts = all(isinstance(value, int) for value in content.values())
        return write_mix(tmp_path / f"mix{made}", rows_of(content) if counts else content, **options)

    return make


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A word tokenizer of a T5-like layout: the end token stands after each text."""
    return _tokenizer("$A </s>")


@pytest.fixture
def bos_tokenizer() -> Any:
    """A word tokenizer of a Llama-like layout, with a start token and no padding token."""
    made = _tokenizer("<s> $A")
    made.pad_token = None
    return made


@pytest.fixture
def chat_tokenizer() -> Any:
    """A word tokenizer with a chat template."""
    made = _tokenizer("$A")
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    made.chat_template = _CHAT_TEMPLATE
    return made


@pytest.fixture(scope="session")
def sentencepiece_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model that puts a space before a text, as Llama 2's, Mistral's and Zephyr's do."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("sentencepiece")
    texts = (
        "[INST] Describe the image in German. [/INST]",
        "<|user|> <|assistant|> [INST](ein [/INST](der",
        "What is there? Say it in German.",
        "Ein Hund im Gras. Ein Hund sitzt im Gras.",
        "A dog sits in the grass (a big one).",
        "草地上的狗。 หมา",
    )
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts * 20),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=430,
        hard_vocab_limit=False,
        model_type="bpe",
        byte_fallback=True,
        add_dummy_prefix=True,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        character_coverage=1.0,
        minloglevel=2,
    )
    return folder


LLAMA_KINDS = ("every section", "the first", "normalizer")


@pytest.fixture(params=LLAMA_KINDS)
def llama_tokenizer(request: pytest.FixtureRequest, sentencepiece_folder: Path) -> Any:
    """A tokenizer that puts a space before all text between special tokens, or before the first alone; or as
    older files on the hub have it."""
    from tokenizers import normalizers
    from transformers import LlamaTokenizer

    made = LlamaTokenizer.from_pretrained(sentencepiece_folder, legacy=request.param != "the first")
    if request.param == "normalizer":
        backend = made.backend_tokenizer
        backend.pre_tokenizer = None
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return made


def _tokenizer(template: str) -> Any:
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    names = ["<pad>", "</s>", "<unk>", "<s>", *_WORDS.split(), *_MARKS]
    vocabulary = {name: number for number, name in enumerate(names)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", "isolated"),
            pre_tokenizers.Split(" ", "removed"),
            pre_tokenizers.Punctuation(),
        ]
    )
    special = [(name, vocabulary[name]) for name in ("<s>", "</s>")]
    backend.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", bos_token="<s>"
    )
