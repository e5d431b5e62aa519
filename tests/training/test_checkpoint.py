from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor, Blip2ForConditionalGeneration

from tests.training import tiny
from training import checkpoint as module
from training.adapters import Lora
from training.assembly import PartError, Parts, assemble
from training.checkpoint import TRAINED, Loaded, load, load_trained, load_unrounded, save_weights
from training.connectors import QFormerShape
from training.merging import merged
from training.parameters import trainable
from training.texts import TextSettings
from training.vision import VisionFeatures
from training.weight_files import INDEX, CheckpointError, WeightFiles

MAIN = {"qformer", "projection", "lora"}
LLMS = ["mt5", "bloom"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    for kind in ("t5", "opt", "mt5", "bloom"):
        tiny.write_blip2(folder / f"blip2-{kind}", kind)
    for kind in ("llama", "qwen2", "mt5", "bloom"):
        tiny.write_language_model(folder / kind, kind)
    for kind in ("clip", "siglip"):
        tiny.write_vision_encoder(folder / kind, kind)
    return folder


def trained(parts: Parts, seed: int = 0, dtype: torch.dtype = torch.float32, scale: float = 0.2) -> Loaded:
    """As after some steps: everything that is trained has other values."""
    made = assemble(parts, dtype=dtype)
    trainable(made.model, MAIN if made.base.has_qformer else {"projection", "lora"})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
    texts = replace(made.texts, separator=" ", max_target_tokens=40)
    made.model.eval()
    return replace(made, texts=texts, training={"name": "tiny"}, digest="0123456789abcdef")


def blip2_parts(hub: Path, llm: str) -> Parts:
    return Parts(vision=str(hub / f"blip2-{'t5' if llm == 'mt5' else 'opt'}"), llm=str(hub / llm))


def mlp_parts(hub: Path) -> Parts:
    features = VisionFeatures(layer=-2, drop_class_token=True)
    return Parts(vision=str(hub / "clip"), llm=str(hub / "llama"), connector="mlp", features=features)


def written(made: Loaded, folder: Path) -> Path:
    save_weights(made, folder / "step", folder / "frozen")
    return folder / "step"


def asked(made: Loaded, pictures: int = 2) -> dict[str, Any]:
    """Two examples, the first with all pictures but one."""
    places = made.base.visual_tokens
    token = made.image_token_id
    ids = torch.tensor(
        [[token] * (places * (pictures - 1)) + [10, 11, 12], [token] * places + [20, 21, 22]]
        if pictures == 2
        else [[token] * (places * pictures) + [10, 11, 12]]
    )
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": tiny.pictures(pictures)}


def logits(model: Any, inputs: dict[str, Any], decoder_only: bool) -> torch.Tensor:
    decoder = (
        {} if decoder_only else {"decoder_input_ids": torch.tensor([[0, 40, 41]] * len(inputs["input_ids"]))}
    )
    with torch.no_grad():
        found: torch.Tensor = model(**inputs, **decoder).logits
    return found


@pytest.mark.parametrize("kind", ["t5", "opt", "mt5", "bloom"])
@pytest.mark.parametrize("pictures", [1, 2])
def test_the_layouts_of_blip2_and_mblip_give_transformers_logits(hub: Path, kind: str, pictures: int) -> None:
    ours = load(hub / f"blip2-{kind}")
    theirs = Blip2ForConditionalGeneration.from_pretrained(hub / f"blip2-{kind}").eval()
    theirs.config.image_token_index = ours.image_token_id
    ids = torch.tensor([[ours.image_token_id] * (4 * pictures) + [10, 11, 12]] * 2)
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": tiny.pictures(2 * pictures),
    }
    expected = logits(theirs, inputs, ours.base.decoder_only)
    torch.testing.assert_close(
        logits(ours.model, inputs, ours.base.decoder_only), expected, rtol=0, atol=1e-5
    )
    assert not ours.model.training
    assert ours.texts == TextSettings(decoder_only=kind in ("opt", "bloom"), chat=False)


@pytest.mark.parametrize("llm", LLMS)
def test_plain_transformers_and_peft_say_the_same(hub: Path, tmp_path: Path, llm: str) -> None:
    ours = trained(blip2_parts(hub, llm))
    folder = written(ours, tmp_path)
    base = Blip2ForConditionalGeneration.from_pretrained(folder)
    theirs = PeftModel.from_pretrained(base, folder / "adapter").eval()
    inputs = asked(ours)
    expected = logits(ours.model, inputs, ours.base.decoder_only)
    torch.testing.assert_close(logits(theirs, inputs, ours.base.decoder_only), expected, rtol=0, atol=1e-5)
    for beams in (1, 4):
        options = {"num_beams": beams, "max_new_tokens": 8, "do_sample": False}
        said = theirs.generate(**inputs, **options)
        if ours.base.decoder_only:
            said = said[:, inputs["input_ids"].shape[1] :]
        assert ours.base.generate(**inputs, **options).tolist() == said.tolist()


@pytest.mark.parametrize("llm", LLMS)
def test_the_adapter_is_needed(hub: Path, tmp_path: Path, llm: str) -> None:
    """So that the test above cannot pass with an adapter that does nothing."""
    ours = trained(blip2_parts(hub, llm))
    base = Blip2ForConditionalGeneration.from_pretrained(written(ours, tmp_path)).eval()
    inputs = asked(ours)
    difference = logits(base, inputs, ours.base.decoder_only) - logits(
        ours.model, inputs, ours.base.decoder_only
    )
    assert difference.abs().max() > 0.1


def test_the_processor_makes_the_same_prompt(hub: Path, tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image
    from transformers import BlipImageProcessorPil
    from transformers.models.blip_2 import Blip2Processor

    ours = trained(blip2_parts(hub, "mt5"))
    folder = written(ours, tmp_path)
    tokenizer = load(folder).tokenizer
    queries = json.loads((folder / "processor_config.json").read_text())["num_query_tokens"]
    processor = Blip2Processor(BlipImageProcessorPil.from_pretrained(folder), tokenizer, queries)
    picture = Image.fromarray(np.zeros((tiny.SIZE, tiny.SIZE, 3), dtype=np.uint8))
    made = processor(images=picture, text="ab", return_tensors="pt")
    prompt = tokenizer("ab")["input_ids"]
    assert made["input_ids"].tolist() == [[ours.image_token_id] * 4 + prompt]


def test_automatic_classes_find_the_processor(hub: Path, tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    folder = written(trained(blip2_parts(hub, "mt5")), tmp_path)
    assert type(AutoProcessor.from_pretrained(folder)).__name__ == "Blip2Processor"


@pytest.mark.parametrize(
    "make",
    [
        lambda hub: blip2_parts(hub, "mt5"),
        lambda hub: blip2_parts(hub, "bloom"),
        mlp_parts,
        lambda hub: Parts(
            vision=str(hub / "siglip"), llm=str(hub / "qwen2"), qformer=QFormerShape(3, 2, 16, 4)
        ),
        lambda hub: Parts(start=str(hub / "blip2-mt5")),
    ],
    ids=["blip2+mt5", "blip2+bloom", "clip+mlp+llama", "siglip+qformer+qwen2", "mblip"],
)
def test_what_was_written_is_read(hub: Path, tmp_path: Path, make: Any) -> None:
    ours = trained(make(hub))
    folder = written(ours, tmp_path)
    again = load(folder)
    inputs = asked(ours)
    expected = logits(ours.model, inputs, ours.base.decoder_only)
    torch.testing.assert_close(
        logits(again.model, inputs, ours.base.decoder_only), expected, rtol=0, atol=1e-6
    )
    assert again.texts == ours.texts
    assert again.preprocessing == ours.preprocessing
    assert again.image_token_id == ours.image_token_id
    assert (again.training, again.digest) == ({"name": "tiny"}, "0123456789abcdef")
    assert again.tokenizer.get_vocab() == ours.tokenizer.get_vocab()
    assert not any(parameter.requires_grad for parameter in again.model.parameters())
    left, right = ours.base.language_model.generation_config, again.base.language_model.generation_config
    assert left.to_dict() == right.to_dict()
    for path in folder.rglob("*"):
        assert path.suffix not in (".bin", ".pt", ".pkl"), path


def test_frozen_weights_are_written_once_and_linked(hub: Path, tmp_path: Path) -> None:
    ours = trained(blip2_parts(hub, "mt5"))
    save_weights(ours, tmp_path / "step-1", tmp_path / "frozen")
    frozen = next((tmp_path / "frozen").glob("model-frozen-*"))
    written_at = frozen.stat().st_mtime_ns
    save_weights(ours, tmp_path / "step-2", tmp_path / "frozen")
    assert frozen.stat().st_mtime_ns == written_at
    for step in ("step-1", "step-2"):
        assert os.path.samefile(tmp_path / step / frozen.name, frozen)
    names = set(WeightFiles(tmp_path / "step-1").read(lambda name: True))
    stored = {name for name, file in WeightFiles(tmp_path / "step-1").files.items() if file == TRAINED}
    assert all(name.startswith(("qformer", "query_tokens", "language_projection")) for name in stored)
    assert all(name.startswith(("vision_model", "language_model")) for name in names - stored)


def test_frozen_weights_are_copied_where_links_do_not_work(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    ours = trained(blip2_parts(hub, "bloom"))
    folder = written(ours, tmp_path)
    frozen = next((tmp_path / "frozen").glob("model-frozen-*"))
    assert not os.path.samefile(folder / frozen.name, frozen)
    assert (folder / frozen.name).read_bytes() == frozen.read_bytes()


def test_frozen_weights_of_an_interrupted_run_are_written_again(hub: Path, tmp_path: Path) -> None:
    ours = trained(blip2_parts(hub, "bloom"))
    written(ours, tmp_path)
    (tmp_path / "frozen" / "frozen.json").unlink()
    frozen = next((tmp_path / "frozen").glob("model-frozen-*"))
    frozen.unlink()
    frozen.write_bytes(b"half")
    save_weights(ours, tmp_path / "again", tmp_path / "frozen")
    load(tmp_path / "again")


def test_frozen_weights_that_were_cut_short_are_written_again(hub: Path, tmp_path: Path) -> None:
    ours = trained(blip2_parts(hub, "mt5"))
    save_weights(ours, tmp_path / "step", tmp_path / "frozen")
    frozen = next((tmp_path / "frozen").glob("model-frozen-*"))
    whole = frozen.read_bytes()
    frozen.write_bytes(whole[:-1])
    save_weights(ours, tmp_path / "again", tmp_path / "frozen")
    assert frozen.read_bytes() == whole
    assert (tmp_path / "again" / frozen.name).read_bytes() == whole


def test_the_index_of_frozen_weights_is_on_disk_before_it_has_its_name(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a filesystem that does not sync folders is borne."""
    fsync, replace, done = os.fsync, Path.replace, list[Any]()

    def noted_fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        done.append(found.st_ino)
        if stat.S_ISDIR(found.st_mode):
            raise OSError(errno.EINVAL, "no folders here")
        fsync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        done.append((path.stat().st_ino, target.name))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    written(trained(blip2_parts(hub, "bloom")), tmp_path)
    index = (tmp_path / "frozen/frozen.json").stat().st_ino
    assert index in done[: done.index((index, "frozen.json"))]


def test_frozen_weights_of_another_model_are_told(hub: Path, tmp_path: Path) -> None:
    written(trained(blip2_parts(hub, "bloom")), tmp_path)
    with pytest.raises(CheckpointError, match="holds the frozen weights of another model"):
        save_weights(trained(blip2_parts(hub, "mt5")), tmp_path / "other", tmp_path / "frozen")


def test_large_models_are_written_in_several_files(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", 20_000)
    ours = trained(blip2_parts(hub, "mt5"))
    folder = written(ours, tmp_path)
    shards = sorted(path.name for path in folder.glob("model-frozen-*"))
    assert len(shards) > 3
    assert shards[0] == f"model-frozen-00001-of-{len(shards):05d}.safetensors"
    inputs = asked(ours)
    assert torch.equal(logits(load(folder).model, inputs, False), logits(ours.model, inputs, False))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_goes_on_bit_by_bit(hub: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    parts = blip2_parts(hub, "bloom")
    ours = trained(parts, dtype=dtype)
    folder = written(ours, tmp_path)
    again = assemble(parts, dtype=dtype)
    trainable(again.model, MAIN)
    load_trained(again.model, folder)
    expected, found = dict(ours.model.named_parameters()), dict(again.model.named_parameters())
    assert expected.keys() == found.keys()
    for name, parameter in expected.items():
        assert torch.equal(parameter, found[name]), name
        assert parameter.dtype == found[name].dtype, name


def test_all_that_a_run_trains_goes_on_whichever_stage_it_stands_in(hub: Path, tmp_path: Path) -> None:
    parts = blip2_parts(hub, "bloom")
    ours = trained(parts, dtype=torch.bfloat16)
    trainable(ours.model, {"projection", "vision"})
    save_weights(ours, tmp_path / "step", tmp_path / "frozen", parts={*MAIN, "vision"})
    again = assemble(parts, dtype=torch.bfloat16)
    load_trained(again.model, tmp_path / "step")
    for name, parameter in ours.model.named_parameters():
        found = again.model.get_parameter(name)
        assert torch.equal(parameter, found), name
        assert parameter.dtype == found.dtype, name


def test_what_was_trained_in_32_bits_is_not_rounded_where_the_next_run_starts(
    hub: Path, tmp_path: Path
) -> None:
    ours = trained(blip2_parts(hub, "bloom"), dtype=torch.bfloat16, scale=0.0)
    trainable(ours.model, {*MAIN, "vision"})
    encoder = dict(ours.base.vision_model.named_parameters())
    with torch.no_grad():
        for parameter in encoder.values():
            parameter.mul_(1 + 1e-4)
    folder = written(ours, tmp_path)
    merged(folder, tmp_path / "merged")
    for start, lora in ((folder, Lora()), (tmp_path / "merged", Lora(r=2))):
        again = assemble(Parts(start=str(start), lora=lora), dtype=torch.bfloat16)
        trainable(again.model, {"vision"})
        load_unrounded(again.model, start, {"vision"})
        for name, parameter in again.base.vision_model.named_parameters():
            assert torch.equal(parameter, encoder[name]), name
        assert {p.dtype for p in again.base.language_model.parameters()} == {torch.bfloat16, torch.float32}


def test_what_another_model_trained_is_told(hub: Path, tmp_path: Path) -> None:
    folder = written(trained(blip2_parts(hub, "bloom")), tmp_path)
    with pytest.raises(CheckpointError, match=r"of another model: .* and nothing in this one"):
        load_trained(assemble(mlp_parts(hub)).model, folder)


@pytest.mark.parametrize("llm", ["mt5", "bloom", "llama"])
def test_a_merged_checkpoint_says_what_its_parts_said(hub: Path, tmp_path: Path, llm: str) -> None:
    # Small, since attention of random weights makes much of the last bits.
    ours = trained(mlp_parts(hub) if llm == "llama" else blip2_parts(hub, llm), scale=0.1)
    folder = written(ours, tmp_path)
    merged(folder, tmp_path / "merged")
    again = load(tmp_path / "merged")
    assert not again.has_adapter
    assert not list((tmp_path / "merged").glob("adapter*"))
    inputs = asked(ours)
    expected = logits(ours.model, inputs, ours.base.decoder_only)
    torch.testing.assert_close(
        logits(again.model, inputs, ours.base.decoder_only), expected, rtol=0, atol=1e-5
    )
    assert again.texts == ours.texts
    start = assemble(Parts(start=str(tmp_path / "merged"), lora=Lora(r=2)))
    found = logits(start.model.eval(), inputs, ours.base.decoder_only)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    if llm != "llama":
        plain = Blip2ForConditionalGeneration.from_pretrained(tmp_path / "merged").eval()
        found = logits(plain, inputs, ours.base.decoder_only)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_sums_of_a_merge_are_rounded_once(hub: Path, tmp_path: Path) -> None:
    ours = trained(blip2_parts(hub, "bloom"), dtype=torch.bfloat16)
    merged(written(ours, tmp_path), tmp_path / "merged")
    found = dict(load(tmp_path / "merged").base.named_parameters())
    layers = [(name, one) for name, one in ours.base.named_modules() if isinstance(one, BaseTunerLayer)]
    assert layers
    for name, layer in layers:
        weight = layer.get_base_layer().weight
        assert weight.dtype == torch.bfloat16
        total = weight.float() + layer.get_delta_weight("default")
        assert torch.equal(found[f"{name}.weight"], total.bfloat16()), name


def test_an_output_head_of_its_own_stays_one(hub: Path, tmp_path: Path) -> None:
    parts = Parts(start=str(hub / "blip2-mt5"))
    ours = trained(parts)
    merged(written(ours, tmp_path), tmp_path / "merged")
    model = load(tmp_path / "merged").base.language_model
    assert not torch.equal(model.lm_head.weight, model.shared.weight)
    assert model.encoder.embed_tokens.weight is model.shared.weight


def test_where_a_merged_model_cannot_be_written_is_told(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(trained(blip2_parts(hub, "mt5")), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"file/merged: cannot be written \(.*\); make room, or name"):
        merged(folder, tmp_path / "file" / "merged")

    def full(*_: Any, **__: Any) -> None:
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("training.merging.save_weights", full)
    with pytest.raises(CheckpointError, match=r"merged: cannot be written \(I/O error: No space left"):
        merged(folder, tmp_path / "merged")
    assert not [path for path in tmp_path.iterdir() if "merged" in path.name]


def test_merging_needs_an_adapter_and_a_new_directory(hub: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no adapter to merge"):
        merged(hub / "blip2-mt5", tmp_path / "merged")
    with pytest.raises(ValueError, match="exists; name a directory that does not"):
        merged(hub / "blip2-mt5", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("llm", "quantization"), [("mt5", "int8"), ("bloom", "nf4")])
def test_a_quantised_run_stores_what_was_quantised(
    hub: Path, tmp_path: Path, llm: str, quantization: Any
) -> None:
    pytest.importorskip("bitsandbytes")
    for number, parts in enumerate([blip2_parts(hub, llm), Parts(start=str(hub / f"blip2-{llm}"))]):
        ours = trained(replace(parts, quantization=quantization))
        folder = written(ours, tmp_path / str(number))
        source = assemble(replace(parts, lora=None)).base
        stored = WeightFiles(folder).read(lambda name: name.startswith("language_model."))
        for name, tensor in stored.items():
            assert torch.equal(tensor, source.get_parameter(name)), name
        assert "quantization_config" not in (folder / "config.json").read_text()
        # Packed again, it is the model that was trained.
        repacked, inputs = load(folder, quantization=quantization), asked(ours)
        expected = logits(ours.model, inputs, ours.base.decoder_only)
        torch.testing.assert_close(logits(repacked.model, inputs, ours.base.decoder_only), expected)


def test_an_adapter_is_trained_on_or_merged_first(hub: Path, tmp_path: Path) -> None:
    ours = trained(blip2_parts(hub, "bloom"))
    folder = written(ours, tmp_path)
    again = assemble(Parts(start=str(folder)))
    inputs = asked(ours)
    torch.testing.assert_close(logits(again.model.eval(), inputs, True), logits(ours.model, inputs, True))
    trainable(again.model, MAIN)
    with pytest.raises(PartError, match=r"has a LoRA adapter \(r 8, .*realign merge"):
        assemble(Parts(start=str(folder), lora=Lora(r=4)))
    with pytest.raises(PartError, match="realign merge"):
        assemble(Parts(start=str(folder), lora=None))


def edit_json(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def cut(path: Path) -> None:
    data = path.read_bytes()
    # Frozen files are links to those of the run.
    path.unlink()
    path.write_bytes(data[: len(data) // 2])


def drop(folder: Path, name: str) -> None:
    """Removes a tensor, as if it had never been written."""
    index = json.loads((folder / INDEX).read_text())
    del index["weight_map"][name]
    (folder / INDEX).write_text(json.dumps(index))
    tensors = load_file(folder / TRAINED)
    del tensors[name]
    save_file(tensors, folder / TRAINED, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda f: (f / TRAINED).unlink(), r"model-trained.safetensors: missing"),
        (lambda f: cut(next(f.glob("model-frozen*"))), r"model-frozen-00001.*damaged or cut short"),
        (lambda f: cut(f / TRAINED), r"model-trained.safetensors: damaged or cut short"),
        (lambda f: (f / INDEX).unlink(), "this is no checkpoint, or an incomplete one"),
        (lambda f: (f / INDEX).write_text("{"), rf"{INDEX}: damaged"),
        (lambda f: drop(f, "query_tokens"), "no weights for query_tokens; the checkpoint is incomplete"),
        (lambda f: (f / "config.json").unlink(), r"config.json: missing"),
        (lambda f: edit_json(f / "config.json", model_type="llava"), "a model of the kind 'llava'"),
        (lambda f: edit_json(f / "config.json", num_query_tokens=9), r"query_tokens is \(1, 4, 16\), where"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "the tokenizer cannot be read"),
        (lambda f: (f / "preprocessor_config.json").write_text("{"), "preprocessor_config.json: damaged"),
        (lambda f: (f / "adapter" / "adapter_config.json").unlink(), "adapter_config.json: missing"),
        (lambda f: cut(f / "adapter" / "adapter_model.safetensors"), "adapter_model.safetensors: damaged"),
        (
            lambda f: edit_json(f / "adapter" / "adapter_config.json", r=2),
            r"^\S*model.safetensors: of another .* is \(8, 64\), and \(2",
        ),
        (
            lambda f: edit_json(
                f / "adapter" / "adapter_config.json", target_modules="language_model.*[.]q_proj"
            ),
            "adapter_config.json: of another model",
        ),
        (
            lambda f: edit_json(
                f / "adapter" / "adapter_config.json", target_modules="language_model.*[.]dense"
            ),
            "adapter_model.safetensors: of another model: it has",
        ),
        (lambda f: (f / "realign.json").write_text("{"), "realign.json: damaged"),
        (
            lambda f: edit_json(f / "realign.json", format=99),
            "realign.json: format 99, and this version reads 1",
        ),
        (lambda f: edit_json(f / "realign.json", texts={"words": 3}), "realign.json: damaged: TypeError"),
        (lambda f: edit_json(f / "realign.json", image_token_id=3), "the placeholder is token 3, but 260"),
    ],
)
def test_a_damaged_checkpoint_is_told_in_one_message(
    hub: Path, tmp_path: Path, damage: Any, told: str
) -> None:
    folder = written(trained(blip2_parts(hub, "bloom")), tmp_path)
    damage(folder)
    with pytest.raises(CheckpointError, match=told):
        load(folder)
