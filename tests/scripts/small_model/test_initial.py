"""Vectors of pieces that stand in translations of each other."""

from __future__ import annotations

import numpy as np
from transformers import M2M100Config, M2M100ForConditionalGeneration

from scripts.small_model.examples import Encoded
from scripts.small_model.initial import SCALE, aligned_vectors, begin_with

THINGS, OFFSET = 30, 40
"""Thing n is piece n in English and piece OFFSET + n in the other language; texts name two things."""


def encoded(texts: list[list[int]]) -> Encoded:
    flat = np.asarray([piece for text in texts for piece in text], dtype=np.int32)
    return Encoded(flat, np.cumsum([0, *map(len, texts)]))


def vectors(seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    english = [rng.permutation(THINGS)[:2].tolist() for _ in range(600)]
    others = [[OFFSET + piece for piece in reversed(text)] for text in english]
    names = [" ".join(map(str, text)) for text in english]
    return aligned_vectors(names, encoded(english), encoded(others), 80, 24, seed)


def test_a_piece_is_nearest_to_its_translation() -> None:
    found = vectors()
    nearest = (found[:THINGS] @ found[OFFSET:].T).argmax(axis=1)
    assert nearest.tolist() == list(range(THINGS))


def test_vectors_have_length_one_and_pieces_that_stand_nowhere_none() -> None:
    lengths = np.linalg.norm(vectors(), axis=1)
    there = np.zeros(80, dtype=bool)
    there[:THINGS] = there[OFFSET : OFFSET + THINGS] = True
    assert np.allclose(lengths[there], 1, atol=1e-5)
    assert not lengths[~there].any()


def test_a_seed_gives_the_same_vectors() -> None:
    assert np.array_equal(vectors(), vectors())


def test_a_model_begins_with_the_vectors_and_keeps_chance_where_there_is_none() -> None:
    model = M2M100ForConditionalGeneration(
        M2M100Config(
            vocab_size=84, d_model=24, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        )
    )  # fmt: skip
    before = model.model.shared.weight.detach().clone()
    begin_with(model, vectors())
    after = model.model.shared.weight.detach()
    lengths = after[:THINGS].norm(dim=1).numpy()
    assert np.allclose(lengths, SCALE * model.config.init_std * 24**0.5, atol=1e-5)
    assert after[THINGS:OFFSET].equal(before[THINGS:OFFSET])
    assert after[80:].equal(before[80:])
    assert model.lm_head.weight is model.model.shared.weight
