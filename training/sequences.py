"""Text tokens and counts of pictures -> the sequences that the model sees, with places for features."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from training.batches import IGNORED, Batch


@dataclass(frozen=True)
class Expanded:
    """N sequences of S tokens, in which each picture has `visual_tokens` placeholders."""

    input_ids: Tensor
    """(N, S), int64, padded on the right; the id of new padding means nothing, since it is masked."""
    attention_mask: Tensor
    """(N, S), int64."""
    labels: Tensor
    """(N, L) of an encoder-decoder; of a decoder-only model (N, S), ignored at prompts and pictures."""
    image_places: Tensor
    """(pictures * visual_tokens,), int64: the placeholders in `input_ids.flatten()`, in order."""
    target_places: Tensor | None
    """Of a decoder-only model (N, T), int64: the places whose logits foretell the example's T targets, so
    `labels` one further; where it has fewer, the places after them, whose labels are ignored."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Expanded:
        """The same sequences on a device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved = {
            name: value.to(device, non_blocking=non_blocking)
            for name, value in values.items()
            if value is not None
        }
        return replace(self, **moved)

    @property
    def targets(self) -> Tensor:
        """What is foretold at each place: `labels`, or (N, T), those one after `target_places`."""
        if self.target_places is None:
            return self.labels
        return targets_at(self.labels, self.target_places)


def targets_at(labels: Tensor, target_places: Tensor) -> Tensor:
    """The labels one after each place, (N, T); ignored behind the end.

    Args:
        labels: (N, S).
        target_places: (N, T).
    """
    width = labels.shape[1]
    following = labels.gather(1, (target_places + 1).clamp(max=width - 1))
    return following.masked_fill(target_places + 1 >= width, IGNORED)


def nothing_expanded() -> Expanded:
    """One token without a picture and without a target, for a forward pass of which nothing is used."""
    token = torch.zeros(1, 1, dtype=torch.int64)
    return Expanded(token, torch.ones_like(token), torch.full_like(token, IGNORED), token[0, :0], None)


def expanded(batch: Batch, visual_tokens: int, image_token_id: int) -> Expanded:
    """The sequences of a batch; to be called while it is in main memory, since lengths depend on values.

    Args:
        visual_tokens: of one picture.
        image_token_id: the placeholder's.
    """
    counts = batch.image_counts * visual_tokens
    lengths = batch.attention_mask.sum(1) + counts
    # Where all have as many pictures, the padding to a multiple stays.
    alike = bool((counts == counts[0]).all())
    width = int(batch.input_ids.shape[1] + counts[0]) if alike else int(lengths.max())
    places = torch.arange(width, device=counts.device).expand(len(counts), width)
    start, end = batch.image_position, batch.image_position + counts[:, None]
    visual = (places >= start) & (places < end)
    source = torch.where(places < start, places, places - counts[:, None])
    source = source.clamp(0, batch.input_ids.shape[1] - 1)
    present = places < lengths[:, None]
    text = present & ~visual
    input_ids = batch.input_ids.gather(1, source).masked_fill(visual, image_token_id)
    labels, target_places = batch.labels, None
    if batch.joined:
        labels = batch.labels.gather(1, source).masked_fill(~text, IGNORED)
        target_places = _target_places(labels)
    image_places = visual.flatten().nonzero().flatten()
    return Expanded(input_ids, present.to(torch.int64), labels, image_places, target_places)


def _target_places(labels: Tensor) -> Tensor:
    """One before each target; targets of an example stand together."""
    wanted = labels != IGNORED
    longest = max(int(wanted.sum(1).max()), 1)
    # argmax gives the first of equal values; nothing foretells what stands at the very start.
    first = wanted.to(torch.int8).argmax(1).clamp(min=1)
    places = (first - 1)[:, None] + torch.arange(longest, device=labels.device)
    return places.clamp(max=labels.shape[1] - 1)


def left_padded(input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """The same sequences with all padding on the left, as decoder-only models generate from them.

    Args:
        input_ids: (N, S).
        attention_mask: (N, S); tokens may have padding on either side, not between them.
    """
    width = input_ids.shape[1]
    # Tokens behind the last real one: what the sequence is rolled by.
    behind = attention_mask.flip(1).to(torch.int8).argmax(1)
    source = (torch.arange(width, device=input_ids.device) - behind[:, None]) % width
    return input_ids.gather(1, source), attention_mask.gather(1, source)
