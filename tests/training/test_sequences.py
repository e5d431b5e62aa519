from __future__ import annotations

import torch

from training.batches import IGNORED, Batch
from training.sequences import Expanded, expanded, left_padded

PLACE = 99


def batch(
    rows: list[list[int]], counts: list[int], labels: list[list[int]], position: int, joined: bool
) -> Batch:
    def padded(values: list[list[int]], filler: int) -> torch.Tensor:
        width = max(len(row) for row in values)
        return torch.tensor([row + [filler] * (width - len(row)) for row in values])

    n = len(rows)
    return Batch(
        *(0, ("x",) * n, ("caption",) * n, ("eng_Latn",) * n, torch.zeros(sum(counts), 3, 2, 2)),
        *(torch.tensor(counts), position, padded(rows, 0), padded([[1] * len(row) for row in rows], 0)),
        *(padded(labels, IGNORED), joined),
    )


def test_each_picture_gets_its_places_where_the_batch_says() -> None:
    made = expanded(batch([[5, 6, 7], [8, 9]], [2, 1], [[3, 1], [4]], 1, False), 2, PLACE)
    assert made.input_ids.tolist() == [
        [5, PLACE, PLACE, PLACE, PLACE, 6, 7],
        [8, PLACE, PLACE, 9, *made_pad(made)],
    ]
    assert made.attention_mask.tolist() == [[1] * 7, [1, 1, 1, 1, 0, 0, 0]]
    assert made.labels.tolist() == [[3, 1], [4, IGNORED]]
    assert made.image_places.tolist() == [1, 2, 3, 4, 8, 9]
    assert made.target_places is None


def made_pad(made: Expanded) -> list[int]:
    """Ids of padding mean nothing, but never that of a placeholder."""
    padding = made.input_ids[made.attention_mask == 0].tolist()
    assert PLACE not in padding
    return padding


def test_joined_sequences_have_labels_where_their_targets_went() -> None:
    rows, labels = [[5, 6, 7, 1], [8, 3, 1]], [[IGNORED, IGNORED, 7, 1], [IGNORED, 3, 1]]
    made = expanded(batch(rows, [0, 1], labels, 0, True), 3, PLACE)
    assert made.input_ids[1].tolist() == [PLACE, PLACE, PLACE, 8, 3, 1]
    assert made.labels.tolist() == [
        [IGNORED, IGNORED, 7, 1, IGNORED, IGNORED],
        [IGNORED, IGNORED, IGNORED, IGNORED, 3, 1],
    ]
    assert made.target_places is not None
    assert made.target_places.tolist() == [[1, 2], [3, 4]]
    assert made.targets.tolist() == [[7, 1], [3, 1]]


def test_targets_of_other_lengths_are_ignored_behind_their_end() -> None:
    rows, labels = [[5, 7, 8, 1], [5, 6, 9, 1]], [[IGNORED, 7, 8, 1], [IGNORED, IGNORED, IGNORED, 1]]
    made = expanded(batch(rows, [1, 1], labels, 0, True), 1, PLACE)
    assert made.targets.tolist() == [[7, 8, 1], [1, IGNORED, IGNORED]]


def test_text_alone_stays_as_it_is() -> None:
    one = batch([[5, 6], [7, 8]], [0, 0], [[1], [2]], 0, False)
    made = expanded(one, 4, PLACE)
    assert torch.equal(made.input_ids, one.input_ids)
    assert made.image_places.numel() == 0


def test_padding_to_a_multiple_stays_where_all_have_as_many_pictures() -> None:
    one = batch([[5, 6, 0, 0], [7, 8, 9, 0]], [1, 1], [[1], [2]], 0, False)
    one.attention_mask[0, 2:] = 0
    one.attention_mask[1, 3:] = 0
    made = expanded(one, 4, PLACE)
    assert made.input_ids.shape == (2, 8)
    assert made.attention_mask.sum(1).tolist() == [6, 7]


def test_what_stands_at_the_very_start_is_foretold_by_nothing() -> None:
    made = expanded(batch([[7, 8, 1]], [0], [[7, 8, 1]], 0, True), 4, PLACE)
    assert [target for target in made.targets[0].tolist() if target != IGNORED] == [8, 1]


def test_sequences_move_as_a_whole() -> None:
    made = expanded(batch([[5, 6, 7]], [1], [[3, 1]], 1, False), 2, PLACE)
    assert made.to("cpu").input_ids.tolist() == made.input_ids.tolist()
    assert made.to("meta").image_places.device.type == "meta"


def test_padding_goes_to_the_left() -> None:
    ids = torch.tensor([[5, 6, 0, 0], [1, 2, 3, 4], [0, 0, 8, 9]])
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]])
    moved, masked = left_padded(ids, mask)
    assert moved.tolist() == [[0, 0, 5, 6], [1, 2, 3, 4], [0, 0, 8, 9]]
    assert masked.tolist() == [[0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1]]
