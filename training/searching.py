"""How answers are searched for: what a request for answers says, and nothing that a model brings along."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from transformers import GenerationConfig

from training.asking import Generation


def search_of(
    settings: Generation,
    model: Any,
    *,
    never: Collection[int],
    ends: Collection[int],
    pad: int | None,
    decoder_start: int | None = None,
) -> GenerationConfig:
    """Deterministic search, whatever the model's own generation_config.json asks for.

    Args:
        model: whose own tokens that must not be said are kept.
        never: more tokens that must not be said, such as placeholders of pictures.
        ends: tokens that end an answer.
    """
    own = getattr(model.generation_config, "suppress_tokens", None) or ()
    return GenerationConfig(
        do_sample=False,
        temperature=1.0,
        top_k=50,
        top_p=1.0,
        num_beams=settings.beams,
        num_return_sequences=1,
        early_stopping=False,
        max_new_tokens=settings.max_new_tokens,
        min_length=0,
        length_penalty=settings.length_penalty,
        repetition_penalty=settings.repetition_penalty,
        no_repeat_ngram_size=settings.no_repeat_ngram,
        suppress_tokens=sorted({*own, *never}) or None,
        eos_token_id=list(ends),
        pad_token_id=pad,
        decoder_start_token_id=decoder_start,
        use_cache=True,
    )


@contextmanager
def only_asked_for(model: Any) -> Iterator[None]:
    """Keeps what a model's own generation_config.json asks for out of a search.

    transformers takes from there whatever the settings of a call leave open: least lengths, forced tokens.
    """
    own = model.generation_config
    ids = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
    model.generation_config = GenerationConfig(**{name: getattr(own, name, None) for name in ids})
    try:
        with warnings.catch_warnings():
            # Penalties are meant for what is said alone.
            warnings.filterwarnings("ignore", "Passing `(repetition_penalty|no_repeat_ngram_size)`")
            yield
    finally:
        model.generation_config = own
