"""The softmax over a part of the vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scripts.small_model.candidates import Candidates


def test_labels_are_candidates_and_stand_where_it_says() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([5, 7, 5, 40])
    ids, corrections, places = Candidates(np.arange(50), 10, "cpu").of(labels)
    assert len(ids) == len(ids.unique()) == len(corrections)
    assert torch.equal(ids[places], labels)
    assert not corrections[places].any()
    assert (corrections >= 0).all()


def test_about_as_many_are_drawn_as_asked_for() -> None:
    torch.manual_seed(0)
    counts = np.random.default_rng(0).integers(0, 10_000, 2000)
    candidates = Candidates(counts, 300, "cpu")
    drawn = [len(candidates.of(torch.tensor([1]))[0]) for _ in range(100)]
    assert np.mean(drawn) == pytest.approx(300, rel=0.03)


def test_all_ids_as_candidates_are_the_whole_softmax() -> None:
    ids, corrections, _ = Candidates(np.ones(20, dtype=np.int64), 99, "cpu").of(torch.tensor([3]))
    assert ids.tolist() == list(range(20))
    assert not corrections.any()


def test_the_sum_over_candidates_is_in_the_mean_that_over_all() -> None:
    torch.manual_seed(0)
    counts = np.random.default_rng(0).integers(1, 1000, 400)
    logits = torch.randn(400, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([1, 2, 3])
    candidates = Candidates(counts, 60, "cpu")
    sums = []
    for _ in range(400):
        ids, corrections, _ = candidates.of(labels)
        sums.append(float((logits[ids] + corrections).exp().sum()))
    assert np.mean(sums) == pytest.approx(float(logits.exp().sum()), rel=0.05)
