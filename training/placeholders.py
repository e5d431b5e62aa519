"""The token that holds the place of a picture's features in a text."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import AddedToken
from torch import nn

NAME = "<image>"
ROWS_AT_ONCE = 8
"""Embeddings grow to a multiple of it, which suits tensor cores."""


class PlaceholderError(ValueError):
    """A tokenizer and a model that do not fit each other; the message says how."""


def with_placeholder(model: Any, tokenizer: Any) -> int:
    """The placeholder's id, in the model's configuration and the tokenizer's vocabulary from then on.

    It is the tokenizer's own (`image_token`, `<image>`), or `<image>` is added. The embeddings get a row for
    it only if they have none: mT5's and BLOOM's have room.

    Args:
        model: a `VisionLanguageModel`.

    Raises:
        PlaceholderError: the tokenizer has more tokens than the embeddings, or calls another token so.
    """
    rows = model.get_input_embeddings().num_embeddings
    config = model.config
    token = _own(tokenizer)
    known = config.image_token_index
    if token is None and known is not None and known < rows:
        # The model has learnt with this one, whatever it is called.
        return int(known)
    size = _size(tokenizer)
    if size > rows and token is None:
        raise PlaceholderError(_too_large(size, rows))
    if token is None:
        token = NAME
        tokenizer.add_tokens([AddedToken(NAME, normalized=False, special=True)], special_tokens=True)
    place = int(tokenizer.convert_tokens_to_ids(token))
    if known is not None and known != place:
        raise PlaceholderError(
            f"config.json says that token {known} stands for pictures (`image_token_index`), but {token} is "
            f"{place} for the tokenizer; they are of different checkpoints"
        )
    if place >= rows:
        if _size(tokenizer) - 1 > rows:
            raise PlaceholderError(_too_large(_size(tokenizer), rows))
        resize(model.language_model, -(-(place + 1) // ROWS_AT_ONCE) * ROWS_AT_ONCE)
        model.config.text_config.get_text_config().vocab_size = model.get_input_embeddings().num_embeddings
    model.config.image_token_index = place
    return place


def resize(language_model: Any, rows: int) -> None:
    """More embeddings for a language model; the new ones are zeros, since they are never read.

    An output head of its own stays one: transformers ties it on this occasion where the kind of model usually
    has none (T5, whose mT5 has).
    """
    before, head = language_model.get_input_embeddings().weight, language_model.get_output_embeddings()
    own = None if head is None or head.weight is before else head.weight.detach()
    language_model.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():
        language_model.get_input_embeddings().weight[len(before) :] = 0
        if own is not None:
            head = language_model.get_output_embeddings()
            grown = own.new_zeros(rows, own.shape[1])
            grown[: len(own)] = own
            head.weight = nn.Parameter(grown, requires_grad=False)


def _own(tokenizer: Any) -> str | None:
    """The placeholder that a tokenizer already has."""
    for token in (getattr(tokenizer, "image_token", None), NAME):
        if token is not None and str(token) in tokenizer.get_vocab():
            return str(token)
    return None


def _size(tokenizer: Any) -> int:
    """One more than its highest id."""
    return int(max(tokenizer.get_vocab().values())) + 1


def _too_large(size: int, rows: int) -> str:
    return (
        f"the tokenizer has {size:,} tokens, but the language model embeddings for {rows:,}; they are not of "
        "the same model"
    )
