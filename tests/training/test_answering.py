from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Blip2ForConditionalGeneration, MistralConfig

import training.answering
from tests.training import tiny
from tests.training.conftest import jpeg
from training.adapters import Lora
from training.answering import Answering
from training.architecture import VisionLanguageConfig, VisionLanguageModel
from training.asking import BadPrompt, Generation, Likelihood, Request
from training.assembly import Parts, assemble
from training.batches import IGNORED, Batch
from training.checkpoint import save_weights
from training.parameters import trainable
from training.pictures import BadPicture, PictureSettings, pixels_of
from training.portions import OutOfMemory
from training.preprocessing import Preprocessing
from training.sequences import expanded
from training.texts import TextSettings, TokenizerError

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = PictureSettings(height=tiny.SIZE, width=tiny.SIZE)
GREEDY = Generation(beams=1, max_new_tokens=10)
BEAMS = Generation(beams=3, max_new_tokens=10, length_penalty=-1.0)
KINDS = (*tiny.ENCODER_DECODERS, *tiny.DECODERS)


def request(prompt: str, *pictures: int, language: str = "deu_Latn") -> Request:
    return Request(prompt, "eng_Latn", language, tuple(jpeg(number) for number in pictures))


REQUESTS = [
    request("What?", 1),
    request("Text alone."),
    request("What do they have in common?", 2, 3),
    request("Describe the picture, please.", 4),
]


def model_of(kind: str, config: Any = None) -> VisionLanguageModel:
    """Random weights; of another language model with `config`."""
    whole = tiny.blip2_config(kind)
    if config is not None:
        whole.text_config = config
    made: VisionLanguageModel = tiny.randomise(VisionLanguageModel(VisionLanguageConfig.from_blip2(whole)))
    return made


def answering(kind: str = "mt5", config: Any = None, tokenizer: Any = None, **options: Any) -> Answering:
    model = model_of(kind, config)
    texts = TextSettings(decoder_only=model.decoder_only, **options)
    return Answering(model, tokenizer or tiny.tokenizer(kind), texts, Preprocessing(SETTINGS))


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_answers_as_one_request_at_a_time_does(kind: str) -> None:
    model = answering(kind)
    said = set()
    for settings in (GREEDY, BEAMS):
        together = model.answers(REQUESTS, settings)
        assert together == [model.answers([one], settings)[0] for one in REQUESTS]
        said |= set(map(str, together))
    assert len(said) > 1


def test_pictures_that_training_left_out_can_be_asked_about() -> None:
    model = model_of("mt5", None)
    texts, small = TextSettings(decoder_only=False), Preprocessing(replace(SETTINGS, max_pixels=1))
    (answer,) = Answering(model, tiny.tokenizer("mt5"), texts, small).answers(REQUESTS[:1], GREEDY)
    assert answer == answering("mt5").answers(REQUESTS[:1], GREEDY)[0]
    assert isinstance(answer, str)


@pytest.mark.parametrize("kind", ["t5", "mt5", "opt", "bloom"])
def test_a_checkpoint_of_blip2_answers_as_in_transformers(kind: str, tmp_path: Path) -> None:
    folder = tiny.write_blip2(tmp_path / "blip2", kind)
    model = Answering.load(folder, device="cpu")
    loaded = Blip2ForConditionalGeneration.from_pretrained(folder).eval()
    loaded.config.image_token_index = model._model.config.image_token_index
    tokenizer = tiny.tokenizer(kind)
    text = "Describe." if kind in tiny.ENCODER_DECODERS else "Describe.\n"
    prompt = tokenizer(text)["input_ids"]
    # Pictures come after what starts a sequence.
    start = 1 if kind == "opt" else 0
    placeholders = [loaded.config.image_token_index] * tiny.QUERIES
    ids = torch.tensor([[*prompt[:start], *placeholders, *prompt[start:]]])
    pixels = pixels_of(jpeg(1), SETTINGS).permute(2, 0, 1)[None]
    for beams in (1, 4):
        said = loaded.generate(
            pixel_values=Preprocessing(SETTINGS).normalise(pixels),
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            num_beams=beams,
            max_new_tokens=12,
            suppress_tokens=[loaded.config.image_token_index],
        )
        # Of decoder-only models transformers gives the prompt too.
        new = said[0, 0 if kind in tiny.ENCODER_DECODERS else ids.shape[1] :]
        wanted = tokenizer.decode(new, skip_special_tokens=True).strip()
        settings = Generation(beams=beams, max_new_tokens=12)
        assert model.answers([request("Describe.", 1)], settings) == [wanted]


def losses_as_in_training(model: Answering, asked: Request, choice: str) -> Likelihood:
    """The loss of one row with this target, from the tensors that the training loop makes."""
    texts, core = model._texts, model._model
    prompt = texts.prompts([asked.prompt], [asked.prompt_language])[0]
    target = texts.targets([choice], [asked.language])[0]
    assert prompt is not None
    assert target is not None
    joined = core.decoder_only
    ids = [*prompt.ids, *target.ids] if joined else prompt.ids
    labels = [*([IGNORED] * len(prompt.ids)), *target.ids] if joined else target.ids
    pixels = model._pixels(asked)
    batch = Batch(
        index=0,
        ids=("",),
        tasks=("",),
        languages=("",),
        pixel_values=pixels,
        image_counts=torch.tensor([len(pixels)]),
        image_position=texts.layout.image_position,
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.int64),
        labels=torch.tensor([labels]),
        joined=joined,
    )
    sequences = expanded(batch, core.visual_tokens, core.config.image_token_index)
    pixel_values = Preprocessing(SETTINGS).normalise(pixels) if len(pixels) else None
    with torch.no_grad():
        return Likelihood(-float(core.token_losses(sequences, pixel_values).sum()), len(target.ids))


CHOICES = ["yes", "a longer answer", "no", ""]


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_choices_have_the_losses_of_training(
    kind: str, cached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not cached:
        monkeypatch.setattr(training.answering, "_selectable", lambda cache: False)
    model = answering(kind)
    scores = model.choice_scores(REQUESTS, [CHOICES] * len(REQUESTS))
    for asked, found in zip(REQUESTS, scores, strict=True):
        assert isinstance(found, list)
        for choice, likelihood in zip(CHOICES, found, strict=True):
            wanted = losses_as_in_training(model, asked, choice)
            assert likelihood.tokens == wanted.tokens
            assert likelihood.total == pytest.approx(wanted.total, abs=2e-4)
            assert likelihood.mean == pytest.approx(wanted.total / wanted.tokens, abs=1e-4)


@pytest.mark.parametrize("setting", ["beams", "max_new_tokens"])
def test_a_search_has_a_beam_and_room_for_a_word(setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting}: 0 must be at least 1"):
        Generation(**{setting: 0})


def test_a_sliding_window_shorter_than_the_prompt_scores_as_in_training() -> None:
    window = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "sliding_window": 6}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": tiny.ROWS}
    model = answering("llama", MistralConfig(**window, **heads))
    found = model.choice_scores(REQUESTS, [CHOICES] * len(REQUESTS))
    for asked, scores in zip(REQUESTS, found, strict=True):
        assert isinstance(scores, list)
        totals = [losses_as_in_training(model, asked, choice).total for choice in CHOICES]
        assert [one.total for one in scores] == pytest.approx(totals, abs=2e-4)
    assert model.answers(REQUESTS, BEAMS) == [model.answers([one], BEAMS)[0] for one in REQUESTS]


def test_requests_may_have_different_numbers_of_choices() -> None:
    model = answering()
    listed = [["a"], [], ["b", "c", "a"], ["c"]]
    scores = model.choice_scores(REQUESTS, listed)
    assert [len(found) if isinstance(found, list) else -1 for found in scores] == [1, 0, 3, 1]
    (alone,) = model.choice_scores([REQUESTS[2]], [["a"]])
    assert isinstance(alone, list)
    assert isinstance(scores[2], list)
    assert scores[2][2].total == pytest.approx(alone[0].total, abs=1e-4)


def marking_tokenizer(codes: Sequence[str]) -> Any:
    """One that marks languages as NLLB's does."""
    tokenizer = tiny.tokenizer("m2m100")
    tokenizer.add_special_tokens({"additional_special_tokens": list(codes)})
    tokenizer.src_lang = None
    return tokenizer


def test_languages_of_one_batch_each_start_with_their_mark() -> None:
    tokenizer = marking_tokenizer(["eng_Latn", "deu_Latn", "swh_Latn"])
    model = answering("m2m100", tokenizer=tokenizer)
    requests = [request("Describe it.", 1, language=code) for code in ("swh_Latn", "deu_Latn", "swh_Latn")]
    swahili, german, same = model.answers(requests, BEAMS)
    assert swahili == same
    core = model._model
    prompt = tokenizer("Describe it.", add_special_tokens=False)["input_ids"]
    english = tokenizer.convert_tokens_to_ids("eng_Latn")
    placeholders = [core.config.image_token_index] * tiny.QUERIES
    ids = torch.tensor([[*placeholders, english, *prompt, tiny.END]])
    pixels = Preprocessing(SETTINGS).normalise(model._pixels(requests[0]))
    for code, answer in (("swh_Latn", swahili), ("deu_Latn", german)):
        said = core.generate(
            ids,
            pixel_values=pixels,
            forced_bos_token_id=tokenizer.convert_tokens_to_ids(code),
            num_beams=3,
            max_new_tokens=11,
            length_penalty=-1.0,
            suppress_tokens=[core.config.image_token_index],
        )
        assert answer == tokenizer.decode(said[0], skip_special_tokens=True).strip()
    with pytest.raises(TokenizerError, match="no token for fra_Latn; it knows 3 languages"):
        model.answers([request("Describe it.", 1, language="fra_Latn")], GREEDY)


THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_what_a_chat_template_puts_before_answers_is_given_not_generated() -> None:
    tokenizer = tiny.tokenizer("qwen2")
    tokenizer.chat_template = THINKING
    model = answering("qwen2", tokenizer=tokenizer)
    whole = "<|im_start|>user\nHow are you?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    ids = torch.tensor([tokenizer(whole, add_special_tokens=False)["input_ids"]])
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    said = model._model.language_model.generate(
        ids, max_new_tokens=10, do_sample=False, eos_token_id=[tiny.END, end]
    )
    wanted = tokenizer.decode(said[0, ids.shape[1] :], skip_special_tokens=True).strip()
    assert model.answers([request("How are you?")], GREEDY) == [wanted]


@pytest.mark.parametrize("kind", ["mt5", "qwen2"])
@pytest.mark.parametrize("settings", [GREEDY, BEAMS])
def test_an_answer_stops_at_its_end_and_never_holds_the_placeholder(
    kind: str, settings: Generation, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = answering(kind)
    placeholder = model._model.config.image_token_index
    ends = (
        {tiny.END} if kind == "mt5" else {tiny.END, tiny.tokenizer(kind).convert_tokens_to_ids("<|im_end|>")}
    )
    assert set(model._ends) == ends
    said: list[Any] = []
    generate = model._model.generate
    monkeypatch.setattr(model._model, "generate", lambda *a, **k: said.append(generate(*a, **k)) or said[-1])

    def prefer(module: Any, inputs: Any, logits: torch.Tensor) -> torch.Tensor:
        favoured = logits.clone()
        favoured[..., placeholder] += 1e4
        favoured[..., max(ends)] += 1e3
        return favoured

    model._model.get_output_embeddings().register_forward_hook(prefer)
    assert model.answers(REQUESTS[:2], settings) == ["", ""]
    assert placeholder not in said[0]
    assert max(ends) in said[0]


def test_sampling_that_a_language_model_asks_for_by_default_is_not_done() -> None:
    model, other = answering("qwen2"), answering("qwen2")
    own = other._model.language_model.generation_config
    own.do_sample, own.temperature, own.top_k, own.repetition_penalty = True, 5.0, 3, 9.0
    assert model.answers(REQUESTS, GREEDY) == other.answers(REQUESTS, GREEDY)
    assert model.answers(REQUESTS, BEAMS) == other.answers(REQUESTS, BEAMS)


@pytest.mark.parametrize("kind", ["mt5", "llama"])
def test_repetition_can_be_ruled_out(kind: str, recwarn: pytest.WarningsRecorder) -> None:
    model = answering(kind)
    plain = model.answers(REQUESTS, GREEDY)
    assert any(len(set(str(text))) < len(str(text)) for text in plain)
    settings = Generation(beams=1, max_new_tokens=10, no_repeat_ngram=1)
    assert model.answers(REQUESTS, settings) != plain
    settings = Generation(beams=1, max_new_tokens=10, repetition_penalty=5.0)
    assert model.answers(REQUESTS, settings) != plain
    assert not [one for one in recwarn if "Passing `" in str(one.message)]


def test_what_cannot_be_asked_is_an_outcome_and_the_rest_is_answered() -> None:
    model = answering(max_prompt_tokens=16, max_target_tokens=8)
    broken = Request("What?", "eng_Latn", "deu_Latn", (jpeg(1), jpeg(2)[:200]))
    asked = [REQUESTS[0], broken, request("Say </s> now", 1), request("x" * 40, 1)]
    answers = model.answers(asked, GREEDY)
    assert answers[0] == model.answers(REQUESTS[:1], GREEDY)[0]
    assert isinstance(answers[1], BadPicture)
    assert answers[1].reason == "broken"
    assert isinstance(answers[2], BadPrompt)
    assert (answers[2].reason, "</s> now" in answers[2].detail) == ("special token", True)
    assert isinstance(answers[3], str)
    assert model.cut_prompts(asked) == [False, False, False, True]
    scores = model.choice_scores(asked, [["a"], ["a"], ["a"], ["a", "0123456789"]])
    assert [type(one) for one in scores] == [list, BadPicture, BadPrompt, BadPrompt]
    assert isinstance(scores[3], BadPrompt)
    assert scores[3].detail == "more than 8 tokens: '0123456789'"
    (special,) = model.choice_scores([REQUESTS[0]], [["<pad>"]])
    assert isinstance(special, BadPrompt)


@pytest.mark.parametrize("kind", ["mt5", "llama"])
def test_nothing_of_the_models_own_generation_settings_is_taken(kind: str) -> None:
    model = answering(kind)
    plain = {settings: model.answers(REQUESTS, settings) for settings in (GREEDY, BEAMS)}
    core = model._model.language_model
    core.generation_config.update(
        min_new_tokens=10, forced_bos_token_id=9, forced_eos_token_id=9,
        bad_words_ids=[[n] for n in range(5, 90)],
        begin_suppress_tokens=list(range(5, 60)), no_repeat_ngram_size=1, encoder_no_repeat_ngram_size=1,
        sequence_bias=[[[7], 50.0]], num_beam_groups=1, do_sample=True, temperature=9.0,
    )  # fmt: skip
    own = core.generation_config
    assert {settings: model.answers(REQUESTS, settings) for settings in plain} == plain
    assert core.generation_config is own


def test_a_model_says_what_it_computes_with(tmp_path: Path) -> None:
    folder = tiny.write_blip2(tmp_path / "blip2", "mt5")
    whole = {"device": "cpu", "precision": "float32", "quantization": "none"}
    assert Answering.load(folder, device="cpu").computed_with == whole
    half = Answering.load(folder, device="cpu", precision="bfloat16")
    assert half.computed_with == {**whole, "precision": "bfloat16"}


def test_nothing_asked_is_nothing_answered() -> None:
    model = answering()
    assert model.answers([], GREEDY) == []
    assert model.choice_scores([], []) == []
    broken = Request("What?", "eng_Latn", "deu_Latn", (b"no picture",))
    (outcome,) = model.answers([broken], GREEDY)
    assert isinstance(outcome, BadPicture)


def test_memory_that_runs_out_halves_the_batch_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    model = answering()
    requests = [request(f"What {'x' * (number % 5)}?", number) for number in range(7)]
    wanted = model.answers(requests, GREEDY)
    tried: list[int] = []
    room = 2
    generate = model._model.generate

    def scarce(input_ids: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        tried.append(len(input_ids))
        if len(input_ids) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return generate(input_ids, *arguments, **options)

    monkeypatch.setattr(model._model, "generate", scarce)
    assert model.answers(requests, GREEDY) == wanted
    assert tried == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    tried.clear()
    assert model.answers(requests[:3], GREEDY) == wanted[:3]
    assert tried == [1, 1, 1]
    room = 0
    with pytest.raises(OutOfMemory):
        model.answers(requests, GREEDY)


def test_memory_that_runs_out_over_choices_halves_them(monkeypatch: pytest.MonkeyPatch) -> None:
    model = answering("llama")
    choices = [[f"answer {number}" for number in range(9)]]
    wanted = model.choice_scores(REQUESTS[:1], choices)
    forward = model._model.language_model.forward
    tried: list[int] = []

    def scarce(*arguments: Any, **options: Any) -> Any:
        tried.append(len(options["inputs_embeds"]))
        if tried[-1] > 4:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
        return forward(*arguments, **options)

    monkeypatch.setattr(model._model.language_model, "forward", scarce)
    (found,) = model.choice_scores(REQUESTS[:1], choices)
    assert tried == [1, 9, 4, 4, 1]
    assert isinstance(found, list)
    assert isinstance(wanted[0], list)
    assert [one.total for one in found] == pytest.approx([one.total for one in wanted[0]], abs=1e-4)


def test_a_checkpoint_of_the_trainer_answers_as_the_model_did(tmp_path: Path) -> None:
    source = tiny.write_blip2(tmp_path / "blip2", "mt5")
    loaded = assemble(Parts(start=str(source), lora=Lora()))
    trainable(loaded.model, ("qformer", "projection", "lora"))
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    run = tmp_path / "run"
    best, last = run / "checkpoints" / "step-00000001", run / "checkpoints" / "step-00000002"
    save_weights(loaded, best, run / "frozen")
    loaded.model.eval()
    wanted = Answering.of(loaded).answers(REQUESTS, BEAMS)
    assert Answering.load(best, "cpu").answers(REQUESTS, BEAMS) == wanted
    assert Answering.load(source, "cpu").answers(REQUESTS, BEAMS) != wanted

    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if "lora_B" in name:
                parameter.zero_()
    save_weights(loaded, last, run / "frozen")
    latest = Answering.load(run, "cpu")
    assert latest.answers(REQUESTS, BEAMS) != wanted
    for folder, loss in ((best, 1.0), (last, None)):
        (folder / "training_state").mkdir()
        (folder / "training_state" / "state.json").write_text(json.dumps({"stage": 0, "best": loss}))
    chosen = Answering.load(run, "cpu")
    assert chosen.answers(REQUESTS, BEAMS) == wanted
    copied = shutil.copytree(best, tmp_path / "copied")
    (copied / "training_state" / "state.json").write_text("{}", encoding="utf-8")
    assert chosen.digest == Answering.load(copied, "cpu").digest
    assert chosen.digest != latest.digest


def test_an_encoder_with_a_projector_answers_in_a_chat(tmp_path: Path) -> None:
    vision = tiny.write_vision_encoder(tmp_path / "clip", "clip")
    llm = tiny.write_language_model(tmp_path / "qwen2", "qwen2")
    loaded = assemble(Parts(vision=str(vision), llm=str(llm), connector="mlp", lora=Lora()))
    trainable(loaded.model, ("projection", "lora"))
    save_weights(loaded, tmp_path / "checkpoint", tmp_path / "frozen")
    loaded.model.eval()
    model = Answering.load(tmp_path / "checkpoint", "cpu")
    wanted = Answering.of(loaded)
    for settings in (GREEDY, BEAMS):
        together = model.answers(REQUESTS, settings)
        assert together == wanted.answers(REQUESTS, settings)
        assert together == [model.answers([one], settings)[0] for one in REQUESTS]


def test_mixed_precision_answers_and_scores() -> None:
    plain = answering("llama")
    model = Answering(
        model_of("llama"),
        tiny.tokenizer("llama"),
        TextSettings(decoder_only=True),
        Preprocessing(SETTINGS),
        mixed=torch.bfloat16,
    )
    assert all(isinstance(text, str) for text in model.answers(REQUESTS, BEAMS))
    for mine, other in zip(
        model.choice_scores(REQUESTS, [CHOICES] * 4),
        plain.choice_scores(REQUESTS, [CHOICES] * 4),
        strict=True,
    ):
        assert isinstance(mine, list)
        assert isinstance(other, list)
        assert [one.total for one in mine] == pytest.approx([one.total for one in other], rel=0.05)
