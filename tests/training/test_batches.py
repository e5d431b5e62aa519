from __future__ import annotations

import pytest
import torch

from training.batches import batch_of
from training.examples import Example
from training.texts import Tokens


def example(number: int, prompt: list[int], target: list[int], pictures: int = 0) -> Example:
    # Batches only count the pictures.
    return Example(
        f"id{number}",
        "caption",
        "deu_Latn",
        Tokens(tuple(prompt), False),
        Tokens(tuple(target), False),
        (None,) * pictures,  # type: ignore[arg-type]
    )


EXAMPLES = [example(0, [5, 6, 1], [7, 1], 2), example(1, [8, 1], [9, 9, 9, 1]), example(2, [4, 1], [3, 1], 1)]
PIXELS = torch.zeros((3, 3, 8, 8), dtype=torch.uint8)


def test_encoder_decoders_get_prompts_and_targets_apart() -> None:
    batch = batch_of(4, EXAMPLES, PIXELS, pad_id=0, joined=False, image_position=0)
    assert batch.input_ids.tolist() == [[5, 6, 1], [8, 1, 0], [4, 1, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 1, 0], [1, 1, 0]]
    assert batch.labels.tolist() == [[7, 1, -100, -100], [9, 9, 9, 1], [3, 1, -100, -100]]
    assert batch.image_counts.tolist() == [2, 0, 1]
    assert (batch.index, batch.ids, len(batch)) == (4, ("id0", "id1", "id2"), 3)
    assert (batch.tokens, batch.places) == (7 + 8, 9 + 12)


def test_decoders_get_one_sequence_with_the_prompt_masked() -> None:
    batch = batch_of(0, EXAMPLES, PIXELS, pad_id=0, joined=True, image_position=1)
    assert batch.input_ids.tolist() == [[5, 6, 1, 7, 1, 0], [8, 1, 9, 9, 9, 1], [4, 1, 3, 1, 0, 0]]
    assert batch.labels.tolist() == [
        [-100, -100, -100, 7, 1, -100],
        [-100, -100, 9, 9, 9, 1],
        [-100, -100, 3, 1, -100, -100],
    ]
    assert batch.attention_mask.sum().item() == batch.tokens == 15
    assert (batch.places, batch.image_position) == (18, 1)


def test_padding_goes_to_a_multiple() -> None:
    batch = batch_of(0, EXAMPLES, PIXELS, pad_id=0, joined=False, image_position=0, pad_to_multiple=8)
    assert batch.input_ids.shape == batch.labels.shape == (3, 8)
    assert batch.labels[0].tolist() == [7, 1, *[-100] * 6]


def test_another_number_of_pictures_is_refused() -> None:
    with pytest.raises(ValueError, match="2 pictures for examples that have 3"):
        batch_of(0, EXAMPLES, PIXELS[:2], pad_id=0, joined=False, image_position=0)


def test_a_batch_goes_to_a_device() -> None:
    batch = batch_of(0, EXAMPLES, PIXELS, pad_id=0, joined=False, image_position=0).to("meta")
    assert batch.pixel_values.device.type == batch.labels.device.type == "meta"
    assert batch.ids == ("id0", "id1", "id2")
