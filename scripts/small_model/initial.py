"""Where the small model's training begins: with pieces that already know which pieces translate them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse
from transformers import M2M100ForConditionalGeneration

from scripts.small_model.examples import Encoded

ENGLISH_WEIGHT = 3.0
"""Of a piece of the English text, beside log(1 + n) of one that its translations have n times."""
COMMON = 4
"""Leading components that are left out: they say how common a piece is, not what it means."""
ROUNDS = 3
"""Of the power iteration; the components need not be exact."""
SCALE = 2.0
"""Length of a vector over that of a random one."""

Vectors = np.ndarray[tuple[int, int], np.dtype[np.float32]]


def aligned_vectors(
    sources: Sequence[str], english: Encoded, others: Encoded, vocabulary: int, width: int, seed: int
) -> Vectors:
    """Unit vectors of pieces, (vocabulary, width), alike where pieces stand in translations of each other.

    Latent semantic analysis (Deerwester et al. 1990; across languages, Dumais et al. 1997): an English text
    and all its translations are a document, pieces weigh the more the rarer they are, and the leading right
    singular vectors of documents by pieces come from a randomised power iteration (Halko et al. 2011).

    Args:
        sources: English text of each pair.
        english: its pieces.
        others: pieces of its translation.

    Returns:
        0 for pieces that stand nowhere, and in the last components where there are few documents.
    """
    numbers: dict[str, int] = {}
    documents = np.asarray([numbers.setdefault(source, len(numbers)) for source in sources])
    shape = (len(numbers), vocabulary)
    of_others = _counts(others, documents, shape)
    of_others.data = np.log1p(of_others.data)
    of_english = _counts(english, documents, shape)
    # A text stands once in its document, however many translations it has.
    of_english.data = np.full_like(of_english.data, ENGLISH_WEIGHT)
    weights = sparse.csr_array(of_others + of_english)
    having = np.bincount(weights.indices, minlength=vocabulary)
    rarity = np.log(shape[0] / np.maximum(having, 1)).astype(np.float32)
    weights = sparse.csr_array(weights * rarity[None, :])
    lengths = np.sqrt((weights * weights).sum(axis=1))
    weights = sparse.csr_array(weights / np.maximum(lengths, 1e-9)[:, None]).astype(np.float32)

    size = min(width + COMMON + 20, *shape)
    basis = np.random.default_rng(seed).standard_normal((vocabulary, size)).astype(np.float32)
    for _ in range(ROUNDS):
        basis, _ = np.linalg.qr(basis)
        left, _ = np.linalg.qr(np.asarray(weights @ basis))
        basis = np.asarray(weights.T @ left)
    right, values, _ = np.linalg.svd(basis, full_matrices=False)
    kept = (right * np.sqrt(values))[:, COMMON : COMMON + width]
    kept[having > 0] -= kept[having > 0].mean(axis=0)
    norms = np.linalg.norm(kept, axis=1)
    there = (having > 0) & (norms > 0)
    vectors = np.zeros((vocabulary, width), dtype=np.float32)
    vectors[there, : kept.shape[1]] = kept[there] / norms[there, None]
    return vectors


def _counts(texts: Encoded, documents: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    """How often each piece stands in each document."""
    rows = np.repeat(documents, np.diff(texts.starts))
    found = sparse.csr_array((np.ones(len(rows), np.float32), (rows, texts.ids)), shape=shape)
    found.sum_duplicates()
    return found


@torch.no_grad()
def begin_with(model: M2M100ForConditionalGeneration, vectors: Vectors) -> None:
    """Gives pieces their vectors, and lets the decoder hand on what it attends to.

    With `SCALE` and without a trained layer, the likeliest pieces are then translations of some piece of the
    source: what takes a training on few examples longest to find.
    """
    weight = model.model.shared.weight
    ours = torch.from_numpy(vectors[: len(weight)]).to(weight)
    usual = model.config.init_std * weight.shape[1] ** 0.5
    weight[: len(ours)] = torch.where(
        ours.any(dim=1, keepdim=True), ours * usual * SCALE, weight[: len(ours)]
    )
    for layer in model.model.decoder.layers:
        for projection in (layer.encoder_attn.v_proj, layer.encoder_attn.out_proj):
            projection.weight += torch.eye(weight.shape[1]).to(weight)
