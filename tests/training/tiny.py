"""Tiny random models and tokenizers in the layouts of the hub, made in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    BloomConfig,
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    LlamaConfig,
    M2M100Config,
    MT5Config,
    OPTConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
    SiglipVisionModel,
    T5Config,
)

SPECIAL = ("<pad>", "</s>", "<unk>", "<s>")
PAD, END, START = 0, 1, 3
ROWS = 272
"""Of embeddings: 4 special tokens, 256 bytes, and room, as mT5 and BLOOM have it."""
SIZE = 28
"""Of pictures: 2 x 2 patches of 14."""
QUERIES = 4

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""In the manner of Qwen's."""

ENCODER_DECODERS = ("t5", "mt5", "m2m100")
DECODERS = ("opt", "bloom", "llama", "qwen2")


def tokenizer(kind: str = "mt5") -> Any:
    """One token for each byte; special tokens around a text as the kind of model has them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *alphabet])}
    backend = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    around = {"opt": "</s> $A", "llama": "<s> $A", "bloom": "$A", "qwen2": "$A"}.get(kind, "$A </s>")
    backend.post_processor = processors.TemplateProcessing(
        single=around, special_tokens=[("</s>", END), ("<s>", START)]
    )
    options = {} if kind == "llama" else {"pad_token": "<pad>"}
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="</s>", unk_token="<unk>", bos_token="<s>", **options
    )
    if kind == "qwen2":
        chat = [AddedToken(token, special=True) for token in ("<|im_start|>", "<|im_end|>")]
        made.add_special_tokens({"additional_special_tokens": chat})
        made.chat_template = CHAT_TEMPLATE
    return made


def text_config(kind: str, rows: int = ROWS) -> Any:
    """The configuration of a tiny language model of 2 layers."""
    ids = {"pad_token_id": PAD, "eos_token_id": END, "bos_token_id": START, "vocab_size": rows}
    t5 = {
        **{
            "d_model": 16,
            "d_kv": 4,
            "d_ff": 32,
            "num_layers": 2,
            "num_heads": 4,
            "decoder_start_token_id": PAD,
        },
        **{"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    }
    llama = {
        **{"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
        **{"num_key_value_heads": 2, "max_position_embeddings": 256},
    }
    makers = {
        "t5": lambda: T5Config(**t5, **ids),
        "mt5": lambda: MT5Config(**t5, **ids),
        "m2m100": lambda: M2M100Config(
            **{"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4},
            **{"decoder_attention_heads": 4, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32},
            **{"max_position_embeddings": 256, "decoder_start_token_id": END},
            **ids,
        ),
        "opt": lambda: OPTConfig(
            **{"hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 32, "num_hidden_layers": 2},
            **{"num_attention_heads": 4, "max_position_embeddings": 256},
            **ids,
        ),
        "bloom": lambda: BloomConfig(hidden_size=16, n_layer=2, n_head=4, **ids),
        "llama": lambda: LlamaConfig(**llama, **ids),
        "qwen2": lambda: Qwen2Config(**llama, **(ids | {"tie_word_embeddings": True})),
    }
    return makers[kind]()


def vision_config() -> Any:
    """Of a tiny encoder of BLIP-2's kind."""
    return Blip2VisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=SIZE,
        patch_size=14,
    )


def qformer_config() -> Any:
    """Of a tiny Q-Former of 2 layers, the first with cross attention."""
    return Blip2QFormerConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        vocab_size=8,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def blip2_config(kind: str, image_token: int | None = ROWS - 1) -> Any:
    """Of a tiny BLIP-2 with a language model of this kind."""
    return Blip2Config(
        vision_config=vision_config(),
        qformer_config=qformer_config(),
        text_config=text_config(kind),
        num_query_tokens=QUERIES,
        image_token_index=image_token,
    )


def randomise(model: Any, seed: int = 0) -> Any:
    """Weights so large that every part shows in what comes out."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            # Norms' weights stay about 1.
            norm = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(1 + noise * 0.1 if norm else noise * 0.3)
    return model.eval()


def blip2(kind: str, seed: int = 0, image_token: int | None = ROWS - 1) -> Any:
    """A `Blip2ForConditionalGeneration` of transformers with random weights."""
    return randomise(Blip2ForConditionalGeneration(blip2_config(kind, image_token)), seed)


def write_picture_settings(folder: Path, size: int = SIZE) -> None:
    """The preprocessor_config.json of a BLIP-2 checkpoint."""
    values = {
        "image_processor_type": "BlipImageProcessor",
        "size": {"height": size, "width": size},
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(values), encoding="utf-8")


def write_blip2(folder: Path, kind: str, seed: int = 0, image_token: int | None = None) -> Path:
    """A checkpoint in the hub's layout of Salesforce's BLIP-2 (`t5`, `opt`) or mBLIP (`mt5`, `bloom`)."""
    model = blip2(kind, seed, image_token)
    if kind == "mt5":
        # Its output head is its own, other than T5's.
        head = model.language_model.lm_head
        head.weight = torch.nn.Parameter(head.weight.detach().flip(0).contiguous())
    model.save_pretrained(folder)
    tokenizer(kind).save_pretrained(folder)
    write_picture_settings(folder)
    return folder


def write_language_model(folder: Path, kind: str, seed: int = 1, rows: int = ROWS) -> Path:
    """A language model and its tokenizer, as on the hub."""
    auto = AutoModelForSeq2SeqLM if kind in ENCODER_DECODERS else AutoModelForCausalLM
    randomise(auto.from_config(text_config(kind, rows)), seed).save_pretrained(folder)
    tokenizer(kind).save_pretrained(folder)
    return folder


def write_vision_encoder(folder: Path, kind: str, seed: int = 2) -> Path:
    """A vision encoder as on the hub: `clip` with both towers, `siglip` and `dinov2` alone."""
    shape = {
        **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4},
        **{"image_size": SIZE, "patch_size": 14},
    }
    if kind == "clip":
        vision, text = {**shape, "intermediate_size": 32}, {**shape, "intermediate_size": 32, "vocab_size": 8}
        del text["image_size"], text["patch_size"]
        model: Any = CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=16))
    elif kind == "siglip":
        model = SiglipVisionModel(SiglipVisionConfig(**shape, intermediate_size=32))
    else:
        model = Dinov2Model(Dinov2Config(**shape, mlp_ratio=2))
    randomise(model, seed).save_pretrained(folder)
    write_picture_settings(folder)
    return folder


def pictures(count: int, seed: int = 5) -> torch.Tensor:
    """Normalised pictures, another for each number."""
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
