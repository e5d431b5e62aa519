from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.training import tiny
from training.architecture import VisionLanguageConfig, VisionLanguageModel, arguments_of
from training.batches import IGNORED, Batch
from training.parameters import trainable
from training.sequences import expanded

PLACE = tiny.ROWS - 1
KINDS = ["t5", "mt5", "opt", "bloom"]


def ours_of(theirs: Any) -> VisionLanguageModel:
    """The same model, of our class."""
    model = VisionLanguageModel(VisionLanguageConfig.from_blip2(theirs.config))
    model.load_state_dict(theirs.state_dict(), strict=True)
    return model.eval()


def batch(joined: bool) -> Batch:
    """Two pictures, one, and none; prompts and targets of other lengths."""
    prompts, targets = [[10, 11, 12], [20, 21], [30, 31, 32, 33]], [[40, 41, 1], [50, 1], [60, 1]]
    rows = [p + t for p, t in zip(prompts, targets, strict=True)] if joined else prompts
    labels = targets
    if joined:
        labels = [[IGNORED] * len(p) + t for p, t in zip(prompts, targets, strict=True)]

    def padded(values: list[list[int]], filler: int) -> torch.Tensor:
        width = max(len(row) for row in values)
        return torch.tensor([row + [filler] * (width - len(row)) for row in values])

    return Batch(
        *(0, ("a", "b", "c"), ("vqa",) * 3, ("eng_Latn",) * 3, torch.zeros(3, 3, 2, 2, dtype=torch.uint8)),
        *(torch.tensor([2, 1, 0]), 0, padded(rows, 0), padded([[1] * len(row) for row in rows], 0)),
        *(padded(labels, IGNORED), joined),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_transformers(kind: str) -> None:
    theirs = tiny.blip2(kind)
    ours = ours_of(theirs)
    ids = torch.tensor([[PLACE] * 8 + [10, 11, 12], [PLACE] * 4 + [20, 21, 0, 0, 0, 0, 0]])
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    decoder = {} if ours.decoder_only else {"decoder_input_ids": torch.tensor([[0, 40, 41], [0, 50, 1]])}
    with torch.no_grad():
        expected = theirs(pixel_values=tiny.pictures(3), input_ids=ids, attention_mask=mask, **decoder).logits
        found = ours(input_ids=ids, attention_mask=mask, pixel_values=tiny.pictures(3), **decoder).logits
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_those_of_transformers_logits(kind: str) -> None:
    theirs = tiny.blip2(kind)
    ours = ours_of(theirs)
    sequences = expanded(batch(ours.decoder_only), tiny.QUERIES, PLACE)
    found = ours.token_losses(sequences, tiny.pictures(3))
    decoder = {} if ours.decoder_only else {"labels": sequences.labels}
    out = theirs(
        pixel_values=tiny.pictures(3),
        input_ids=sequences.input_ids,
        attention_mask=sequences.attention_mask,
        **decoder,
    )
    logits, labels = out.logits, sequences.labels
    if ours.decoder_only:
        logits, labels = logits[:, :-1], labels[:, 1:]
    expected = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
    wanted = labels != IGNORED
    assert found.dtype == torch.float32
    assert found[sequences.targets == IGNORED].eq(0).all()
    torch.testing.assert_close(found[sequences.targets != IGNORED], expected[wanted], rtol=1e-5, atol=1e-5)
    assert int((sequences.targets != IGNORED).sum()) == 7
    output = ours(**arguments_of(sequences), pixel_values=tiny.pictures(3))
    torch.testing.assert_close(output.loss, expected[wanted].mean(), rtol=1e-5, atol=1e-5)
    assert output.logits is None


@pytest.mark.parametrize("kind", ["opt", "bloom"])
def test_a_decoder_computes_logits_of_targets_alone(kind: str) -> None:
    ours = ours_of(tiny.blip2(kind))
    sequences = expanded(batch(True), tiny.QUERIES, PLACE)
    arguments = arguments_of(sequences) | {"losses_only": False}
    output = ours(**arguments, pixel_values=tiny.pictures(3))
    assert output.logits.shape[:2] == (3, 3)
    # All places, as transformers' models do it: the same losses.
    whole = ours(
        input_ids=sequences.input_ids,
        attention_mask=sequences.attention_mask,
        labels=sequences.labels,
        pixel_values=tiny.pictures(3),
    )
    assert whole.logits.shape[1] == sequences.input_ids.shape[1]
    torch.testing.assert_close(whole.loss, output.loss)


@pytest.mark.parametrize("kind", ["mt5", "qwen2"])
def test_kept_in_step_text_alone_is_computed_as_before_by_all_parts(kind: str) -> None:
    model = ours_of(tiny.blip2(kind))
    trainable(model, ["qformer", "projection", "llm"])
    model.train()
    ids, labels = torch.tensor([[10, 11, 12]]), torch.tensor([[IGNORED, 11, 12]])
    seen: list[str] = []
    for name in ("vision_model", "qformer", "language_projection"):
        getattr(model, name).register_forward_hook(lambda *_, name=name: seen.append(name))

    def losses() -> torch.Tensor:
        torch.manual_seed(3)
        found: torch.Tensor = model(input_ids=ids, labels=labels).token_losses
        return found

    before = losses()
    assert not seen
    model.keep_in_step(tiny.SIZE, tiny.SIZE)
    after = losses()
    assert seen == ["vision_model", "qformer", "language_projection"]
    # Dropout of the language model is the same too.
    assert torch.equal(before, after)
    after.sum().backward()
    assert all(
        not parameter.grad.any() for parameter in model.qformer.parameters() if parameter.grad is not None
    )
    assert model.language_projection.weight.grad is not None
    with torch.no_grad():
        losses()
    assert len(seen) == 6


@pytest.mark.parametrize("kind", KINDS)
def test_text_alone_works_and_gives_the_connector_zero_gradients(kind: str) -> None:
    ours = ours_of(tiny.blip2(kind))
    trainable(ours, {"qformer", "projection"})
    one = batch(ours.decoder_only)
    text = Batch(
        *(0, one.ids, one.tasks, one.languages, one.pixel_values[:0], torch.zeros(3, dtype=torch.int64)),
        *(0, one.input_ids, one.attention_mask, one.labels, one.joined),
    )
    sequences = expanded(text, tiny.QUERIES, PLACE)
    losses = ours.token_losses(sequences, one.pixel_values[:0].float())
    losses.sum().backward()
    for name, parameter in ours.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.eq(0).all(), name


def test_gradients_reach_all_that_is_trained_and_nothing_else() -> None:
    ours = ours_of(tiny.blip2("mt5"))
    trainable(ours, {"qformer", "projection"})
    ours.train()
    sequences = expanded(batch(False), tiny.QUERIES, PLACE)
    ours.token_losses(sequences, tiny.pictures(3)).sum().backward()
    for name, parameter in ours.named_parameters():
        changed = parameter.grad is not None and bool(parameter.grad.ne(0).any())
        # What is added to all keys alike changes no attention.
        assert changed == parameter.requires_grad or name.endswith("key.bias"), name


def test_placeholders_and_pictures_must_agree() -> None:
    ours = ours_of(tiny.blip2("mt5"))
    ids = torch.tensor([[PLACE] * 4 + [10]])
    with pytest.raises(ValueError, match="4 placeholders in the text for 2 pictures of 4 visual tokens"):
        ours(input_ids=ids, pixel_values=tiny.pictures(2), labels=torch.tensor([[1]]))


def test_frozen_parts_have_no_dropout() -> None:
    config = tiny.blip2_config("mt5", PLACE)
    config.qformer_config.hidden_dropout_prob = 0.5
    model = VisionLanguageModel(VisionLanguageConfig.from_blip2(config))
    trainable(model, {"projection"})
    model.train()
    assert model.training
    assert model.language_projection.training
    assert not any(m.training for part in (model.vision_model, model.qformer) for m in part.modules())
    assert not model.language_model.training
    trainable(model, {"qformer"})
    model.train()
    assert model.qformer.training
    assert not model.language_projection.training


@pytest.mark.parametrize("kind", ["t5", "opt", "llama"])
def test_gradient_checkpointing_changes_memory_not_results(kind: str) -> None:
    if kind == "llama":
        config = tiny.blip2_config("llama", PLACE)
        ours = tiny.randomise(VisionLanguageModel(VisionLanguageConfig.from_blip2(config)))
    else:
        ours = ours_of(tiny.blip2(kind))
    sequences = expanded(batch(ours.decoder_only), tiny.QUERIES, PLACE)
    trainable(ours, {"qformer", "projection"})
    gradients = []
    for checkpointed in (False, True):
        if checkpointed:
            ours.gradient_checkpointing_enable()
        ours.train()
        ours.zero_grad()
        kept = _kept_values(ours, sequences)
        gradients.append((kept, ours.query_tokens.grad.clone()))  # type: ignore[union-attr]
    (plain_kept, plain), (checkpointed_kept, same) = gradients
    torch.testing.assert_close(same, plain)
    assert checkpointed_kept < 0.8 * plain_kept
    frozen = [module for module in ours.language_model.modules() if isinstance(module, torch.nn.Dropout)]
    assert not any(module.training for module in frozen)


def _kept_values(model: VisionLanguageModel, sequences: Any) -> int:
    """How many values a forward pass keeps for its backward pass."""
    kept = 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model.token_losses(sequences, tiny.pictures(3)).sum()
    loss.backward()
    return kept


def test_the_connector_computes_in_float32_under_autocast() -> None:
    ours = ours_of(tiny.blip2("mt5"))
    for part in (ours.vision_model, ours.language_model):
        part.to(torch.bfloat16)
    seen: list[torch.dtype] = []
    ours.qformer.register_forward_hook(lambda *arguments: seen.append(arguments[2].last_hidden_state.dtype))
    with torch.no_grad():
        plain = ours.image_features(tiny.pictures(2))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = ours.image_features(tiny.pictures(2))
    assert seen == [torch.float32, torch.float32]
    # The projection is in 16 bits under autocast, and the encoder in both cases.
    torch.testing.assert_close(mixed.float(), plain, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beams", [1, 3])
def test_what_is_generated_is_what_transformers_generates(kind: str, beams: int) -> None:
    theirs = tiny.blip2(kind)
    ours = ours_of(theirs)
    ids = torch.tensor([[PLACE] * 4 + [10, 11, 12], [PLACE] * 4 + [20, 21, 22]])
    options = {"num_beams": beams, "max_new_tokens": 6, "do_sample": False}
    expected = theirs.generate(
        pixel_values=tiny.pictures(2), input_ids=ids, attention_mask=torch.ones_like(ids), **options
    )
    if ours.decoder_only:
        expected = expected[:, ids.shape[1] :]
    found = ours.generate(input_ids=ids, pixel_values=tiny.pictures(2), **options)
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing_that_is_generated(kind: str) -> None:
    ours = ours_of(tiny.blip2(kind))
    ids = torch.tensor([[PLACE] * 8 + [10, 11, 12], [PLACE] * 4 + [20, 21, 0, 0, 0, 0, 0]])
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    options = {"max_new_tokens": 5, "do_sample": False, "min_new_tokens": 5}
    together = ours.generate(ids, mask, tiny.pictures(3), **options)
    alone = ours.generate(ids[1:, :6], None, tiny.pictures(3)[2:], **options)
    assert together[1].tolist() == alone[0].tolist()


def test_a_start_token_is_needed_to_shift_labels() -> None:
    ours = ours_of(tiny.blip2("t5"))
    assert ours.shifted(torch.tensor([[5, 6, IGNORED, IGNORED]])).tolist() == [[0, 5, 6, 0]]
    ours.config.text_config.decoder_start_token_id = None
    ours.language_model.generation_config.decoder_start_token_id = None
    with pytest.raises(ValueError, match="decoder_start_token_id"):
        ours.shifted(torch.tensor([[5, 1]]))


def test_blip2_and_its_configuration_stay_each_others() -> None:
    config = VisionLanguageConfig.from_blip2(tiny.blip2_config("bloom"))
    config.text_config._attn_implementation = "eager"
    assert config.is_blip2
    back = config.blip2_config()
    # Building it must not reach into the model's own configuration.
    assert config.text_config._attn_implementation == "eager"
    assert back.architectures == ["Blip2ForConditionalGeneration"]
    assert back.text_config.to_dict() == config.text_config.to_dict()
    config.drop_class_token = True
    with pytest.raises(ValueError, match="BLIP-2"):
        config.blip2_config()
