from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPVisionConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tests.training import tiny
from tests.training.conftest import jpeg
from training.answerers import load_answerer
from training.answering import Answering
from training.asking import BadPrompt, Generation, Request
from training.generic_answering import GenericAnswering, _Shown
from training.pictures import BadPicture, PictureSettings, decode
from training.weight_files import CheckpointError

pytestmark = pytest.mark.usefixtures("one_thread")

GREEDY = Generation(beams=1, max_new_tokens=10)
BEAMS = Generation(beams=3, max_new_tokens=10)
CHOICES = ["yes", "a longer answer", "no", ""]
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 4}
VISION = {"hidden_size": 16, "intermediate_size": 32, "image_size": 28, "patch_size": 14, **LAYERS}
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}"
    "{% if c.type == 'image' %}PICTURE{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def request(prompt: str, *pictures: bytes) -> Request:
    return Request(prompt, "eng_Latn", "deu_Latn", pictures)


REQUESTS = [
    request("What?", jpeg(1)),
    request("Text alone."),
    request("What do they have in common?", jpeg(2), jpeg(3)),
    request("Describe the picture, please.", jpeg(4, 60, 40)),
    request("Text alone, but a longer one."),
]


def tokenizer_with(*special: str) -> Any:
    made = tiny.tokenizer("qwen2")
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>", *special]})
    return made


def write(folder: Path, model: Any, processor: Any) -> Path:
    tiny.randomise(model).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def llava_processor(tokenizer: Any, template: str | None) -> LlavaProcessor:
    """Of pictures of 28 x 28 points."""
    size = {"height": 28, "width": 28}
    return LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=size),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )


def llava(
    folder: Path, template: str | None = TEMPLATE.replace("PICTURE", "<image>"), own: str | None = None
) -> Path:
    """With a template of the processor, and one of the tokenizer."""
    tokenizer = tokenizer_with("<image>")
    tokenizer.chat_template = own
    tokenizer.image_token = "<image>"
    processor = llava_processor(tokenizer, template)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=tiny.text_config("llama"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    return write(folder, LlavaForConditionalGeneration(config), processor)


def idefics(folder: Path) -> Path:
    tokenizer = tokenizer_with("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
    pictures = Idefics3ImageProcessorPil(
        do_image_splitting=False, size={"longest_edge": 28}, max_image_size={"longest_edge": 28}
    )
    template = TEMPLATE.replace("PICTURE", "<image>")
    processor = Idefics3Processor(pictures, tokenizer, image_seq_len=1, chat_template=template)
    config = Idefics3Config(
        vision_config=VISION,
        text_config=tiny.text_config("llama"),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    return write(folder, Idefics3ForConditionalGeneration(config), processor)


def qwen2_vl(folder: Path) -> Path:
    """Pictures of different sizes have different numbers of tokens, and places in three dimensions."""
    from transformers import Qwen2VLVideoProcessor

    marks = ("<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>")
    tokenizer = tokenizer_with(*marks)
    pictures = Qwen2VLImageProcessorPil(patch_size=14, merge_size=2, min_pixels=28 * 28, max_pixels=56 * 56)
    template = TEMPLATE.replace("PICTURE", "".join(marks[:3]))
    processor = Qwen2VLProcessor(pictures, tokenizer, Qwen2VLVideoProcessor(), chat_template=template)
    start, image, end, video = tokenizer.convert_tokens_to_ids(list(marks))
    rope = {"rope_type": "default", "mrope_section": [1, 1, 0], "rope_theta": 1e4}
    text = {"hidden_size": 16, "intermediate_size": 32, "num_key_value_heads": 2, **LAYERS}
    ids = {"vocab_size": tiny.ROWS, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 3}
    config = Qwen2VLConfig(
        vision_config={
            **{"depth": 2, "embed_dim": 16, "num_heads": 2, "hidden_size": 16},
            **{"patch_size": 14, "mlp_ratio": 2},
        },
        text_config={**text, **ids, "rope_parameters": rope, "max_position_embeddings": 512},
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    return write(folder, Qwen2VLForConditionalGeneration(config), processor)


needs_torchvision = pytest.mark.skipif(
    find_spec("torchvision") is None, reason="transformers has Qwen-VL's processor only with torchvision"
)
KINDS = [llava, idefics, pytest.param(qwen2_vl, marks=needs_torchvision)]


@pytest.mark.parametrize("make", KINDS)
def test_a_batch_answers_as_one_request_at_a_time_does(make: Callable[[Path], Path], tmp_path: Path) -> None:
    model = load_answerer(make(tmp_path), device="cpu")
    assert isinstance(model, GenericAnswering)
    for settings in (GREEDY, BEAMS):
        together = model.answers(REQUESTS, settings)
        assert together == [model.answers([one], settings)[0] for one in REQUESTS]
        assert len(set(map(str, together))) > 1


@pytest.mark.parametrize("make", KINDS)
def test_choices_score_as_their_sequences_do(make: Callable[[Path], Path], tmp_path: Path) -> None:
    model = GenericAnswering.load(make(tmp_path), device="cpu")
    together = model.choice_scores(REQUESTS, [CHOICES] * len(REQUESTS))
    for asked, scores in zip(REQUESTS, together, strict=True):
        assert isinstance(scores, list)
        inputs = model._inputs([shown(asked)])
        for choice, likelihood in zip(CHOICES, scores, strict=True):
            said = [*model._tokenizer(choice)["input_ids"], *model._tokenizer("<|im_end|>")["input_ids"]]
            assert likelihood.tokens == len(said)
            assert likelihood.total == pytest.approx(forced_total(model, inputs, said), abs=2e-4)


def llama_like(folder: Path, tokenizer: Any, template: str) -> GenericAnswering:
    """A model with a SentencePiece tokenizer that puts a space before texts."""
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.image_token = "<image>"
    processor = llava_processor(tokenizer, template)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=tiny.text_config("llama", len(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    write(folder, LlavaForConditionalGeneration(config), processor)
    return GenericAnswering.load(folder, device="cpu")


CONTENT = "{% for c in m.content %}{% if c.type == 'text' %}{{ c.text }}{% endif %}{% endfor %}"
SPLIT = "{% for m in messages %}{% if m.role == 'user' %}USER{% else %}ANSWER{% endif %}{% endfor %}ASK"


@pytest.mark.parametrize(
    ("user", "ask", "answer"),
    [
        ("<s>[INST] {} [/INST]", "", "{}</s>"),
        ("<s>[INST] {} [/INST]", "", " {}</s>"),
        ("<s>USER: {}", " ASSISTANT:", " ASSISTANT: {}</s>"),
        ("<s>USER: {}", " ASSISTANT: ", " ASSISTANT: {}</s>"),
        ("<s><|user|>\n{}</s>\n", "<|assistant|>\n", "<|assistant|>\n{}</s>\n"),
    ],
)
def test_choices_have_the_tokens_of_the_whole_conversation(
    user: str, ask: str, answer: str, llama_tokenizer: Any, tmp_path: Path
) -> None:
    template = SPLIT.replace("USER", user.replace("{}", CONTENT)).replace(
        "ASK", f"{{% if add_generation_prompt %}}{ask}{{% endif %}}"
    )
    model = llama_like(tmp_path, llama_tokenizer, template.replace("ANSWER", answer.replace("{}", CONTENT)))
    choices = ["Ein Hund im Gras.", "A dog", "草地"]
    (scores,) = model.choice_scores([request("What is there?")], [choices])
    assert isinstance(scores, list)
    for choice, likelihood in zip(choices, scores, strict=True):
        whole = f"{user.format('What is there?')}{answer.format(choice)}".rstrip()
        ids = model._tokenizer(whole, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            logits = model._model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        said = ids[0, 1:]
        each = logits[range(len(said)), said].double()
        assert likelihood.total == pytest.approx(float(each[-likelihood.tokens :].sum()), abs=2e-4)
        assert model._tokenizer.decode(said[-likelihood.tokens :]).split("</s>")[0].strip() == choice


def shown(asked: Request) -> _Shown:
    pictures = [Image.fromarray(decode(one, PictureSettings()).numpy()) for one in asked.pictures]
    return _Shown(asked.prompt, tuple(pictures))


def forced_total(model: GenericAnswering, inputs: dict[str, Any], said: list[int]) -> float:
    """The log-probability of tokens, each forced while `generate` searches."""
    prompt = inputs["input_ids"].shape[1]

    def next_one(_: int, ids: torch.Tensor) -> list[int]:
        return [said[len(ids) - prompt]] if len(ids) - prompt < len(said) else [tiny.END]

    found = model._model.generate(
        **inputs,
        max_new_tokens=len(said),
        do_sample=False,
        eos_token_id=None,
        prefix_allowed_tokens_fn=next_one,
        output_logits=True,
        return_dict_in_generate=True,
    )
    logits = torch.stack([one[0] for one in found.logits]).float().log_softmax(-1)
    return float(logits[range(len(said)), said].sum())


@pytest.mark.parametrize("of_texts", [True, False])
def test_a_model_without_a_template_of_pictures_is_asked_with_its_placeholder(
    of_texts: bool, tmp_path: Path
) -> None:
    # Where the processor has no template, it takes the tokenizer's, which knows of no pictures.
    folder = llava(tmp_path, None, tiny.CHAT_TEMPLATE if of_texts else None)
    model = GenericAnswering.load(folder, device="cpu")
    text = model._tokenizer.decode(model._inputs([shown(REQUESTS[0])])["input_ids"][0])
    begin, end = ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n") if of_texts else ("", "")
    assert text == f"{begin}{'<image>' * 4}What?{end}"
    for settings in (GREEDY, BEAMS):
        together = model.answers(REQUESTS, settings)
        assert together == [model.answers([one], settings)[0] for one in REQUESTS]
    (scores,) = model.choice_scores(REQUESTS[:1], [["yes"]])
    assert isinstance(scores, list)
    assert scores[0].tokens == len("yes") + 1


def test_what_cannot_be_asked_is_an_outcome_and_the_rest_is_answered(tmp_path: Path) -> None:
    model = GenericAnswering.load(llava(tmp_path), device="cpu")
    asked = [REQUESTS[0], request("What?", jpeg(1)[:200]), request("An <image> more", jpeg(1)), REQUESTS[1]]
    answers = model.answers(asked, GREEDY)
    assert [type(one) for one in answers] == [str, BadPicture, BadPrompt, str]
    assert answers[0] == model.answers(asked[:1], GREEDY)[0]
    scores = model.choice_scores(asked, [["a"], ["a"], ["a"], ["</s>"]])
    assert [type(one) for one in scores] == [list, BadPicture, BadPrompt, BadPrompt]
    assert model.answers([], GREEDY) == []


def test_placeholders_are_never_said_and_turns_end_answers(tmp_path: Path) -> None:
    model = GenericAnswering.load(llava(tmp_path), device="cpu")
    placeholder, turn = model._tokenizer.convert_tokens_to_ids(["<image>", "<|im_end|>"])

    def prefer(module: Any, inputs: Any, logits: torch.Tensor) -> torch.Tensor:
        favoured = logits.clone()
        favoured[..., placeholder] += 1e4
        favoured[..., turn] += 1e3
        return favoured

    model._model.get_output_embeddings().register_forward_hook(prefer)
    assert model.answers(REQUESTS, GREEDY) == [""] * len(REQUESTS)


def test_the_checkpoint_says_what_answers(tmp_path: Path) -> None:
    generic = load_answerer(llava(tmp_path / "llava"), device="cpu")
    assert len(generic.digest) == 64
    own = load_answerer(tiny.write_blip2(tmp_path / "blip2", "mt5"), device="cpu")
    assert isinstance(own, Answering)
    assert own.digest != generic.digest
    language_model = tiny.write_language_model(tmp_path / "llm", "llama")
    with pytest.raises(CheckpointError, match="kind 'llama', which takes no pictures"):
        load_answerer(language_model, device="cpu")
    with pytest.raises(CheckpointError, match="no such directory"):
        load_answerer(str(tmp_path / "absent"), device="cpu")


def test_a_broken_checkpoint_gives_one_line(tmp_path: Path) -> None:
    folder = llava(tmp_path)
    weights = folder / "model.safetensors"
    stored = load_file(weights)
    save_file({name: stored[name] for name in sorted(stored)[1:]}, weights, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"no weights for lm_head\.weight"):
        load_answerer(folder, device="cpu")
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=str(weights)):
        load_answerer(folder, device="cpu")
    weights.unlink()
    with pytest.raises(CheckpointError, match=str(folder)):
        load_answerer(folder, device="cpu")
    again = llava(tmp_path / "again")
    (again / "processor_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"transformers cannot read it: \S.*$") as caught:
        load_answerer(again, device="cpu")
    assert "\n" not in str(caught.value)


def test_code_that_comes_with_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    folder = llava(tmp_path / "checkpoint")
    trace = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(trace)!r}, 'w').close()\n", encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoConfig": "evil.C", "AutoModelForImageTextToText": "evil.M"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    model = load_answerer(folder, device="cpu")
    assert isinstance(model.answers(REQUESTS[:1], GREEDY)[0], str)
    assert not trace.exists()


def test_nothing_of_the_models_own_generation_settings_is_taken(tmp_path: Path) -> None:
    model = GenericAnswering.load(llava(tmp_path / "llava"), device="cpu")
    plain = model.answers(REQUESTS, GREEDY)
    model._model.generation_config.update(
        min_new_tokens=10,
        forced_eos_token_id=9,
        no_repeat_ngram_size=1,
        bad_words_ids=[[n] for n in range(5, 90)],
    )
    assert model.answers(REQUESTS, GREEDY) == plain


def test_what_it_computes_with_is_told_and_no_prompt_is_cut(tmp_path: Path) -> None:
    model = GenericAnswering.load(llava(tmp_path / "llava"), device="cpu", precision="bfloat16")
    assert model.computed_with == {"device": "cpu", "precision": "bfloat16", "quantization": "none"}
    assert model.cut_prompts(REQUESTS) == [False] * len(REQUESTS)


def test_quantization_of_models_of_other_kinds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"kind 'llava'; only BLIP-2's.*\(int8\), so leave it out"):
        load_answerer(llava(tmp_path / "llava"), "cpu", quantization="int8")


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="needs bitsandbytes")
def test_a_models_own_weights_may_be_read_with_quantization(tmp_path: Path) -> None:
    model = load_answerer(tiny.write_blip2(tmp_path / "blip2", "mt5"), "cpu", quantization="int8")
    assert model.computed_with == {"device": "cpu", "precision": "float32", "quantization": "int8"}
    assert all(isinstance(one, str) for one in model.answers(REQUESTS, GREEDY))
