from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from training.configuration import Stage
from training.optimisation import factor, load_optimiser, optimiser_of, optimiser_state, set_rates
from training.run_directory import RunError


def stage(**values: Any) -> Stage:
    rates = {"projection": 1e-3, "qformer": 1e-5}
    return Stage(**{"name": "main", "learning_rates": rates, "steps": 10, "warm_up_steps": 4, **values})


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query_tokens = nn.Parameter(torch.zeros(1, 2, 3))
        self.qformer = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
        self.language_projection = nn.Linear(3, 2)


def test_a_warm_up_rises_to_the_peak_and_cosine_falls_to_the_end() -> None:
    found = [factor(stage(), step, 10) for step in range(10)]
    assert found[:4] == [0.25, 0.5, 0.75, 1.0]
    assert found[4] == pytest.approx(1.0)
    assert found[7] == pytest.approx((1 + math.cos(math.pi / 2)) / 2)
    assert found == sorted(found[:4]) + sorted(found[4:], reverse=True)


def test_schedules_end_where_they_should() -> None:
    assert factor(stage(schedule="constant"), 9, 10) == 1.0
    assert factor(stage(schedule="linear", warm_up_steps=0), 5, 10) == pytest.approx(0.5)
    assert factor(stage(final=0.1), 10, 10) == pytest.approx(0.1)


def test_a_warm_up_longer_than_the_stage_reaches_the_peak() -> None:
    assert factor(stage(warm_up_steps=1000), 9, 10) == 1.0


def test_each_part_has_its_rate_and_norms_biases_and_queries_do_not_decay() -> None:
    model = Small()
    optimiser = optimiser_of(model, stage(weight_decay=0.1))
    assert set_rates(optimiser.param_groups, 0.5) == {"qformer": 5e-6, "projection": 5e-4}
    decaying = {
        id(one) for group in optimiser.param_groups if group["weight_decay"] for one in group["params"]
    }
    assert decaying == {id(model.qformer[0].weight), id(model.language_projection.weight)}
    assert {group["weight_decay"] for group in optimiser.param_groups} == {0.0, 0.1}


def step(model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, 0.1 + number)
    optimiser.step()


def test_an_optimiser_goes_on_from_its_state() -> None:
    torch.manual_seed(3)
    first, second = Small(), Small()
    optimisers = [optimiser_of(one, stage()) for one in (first, second)]
    step(first, optimisers[0])
    second.load_state_dict(first.state_dict())
    load_optimiser(second, optimisers[1], optimiser_state(first, optimisers[0]))
    for model, optimiser in zip((first, second), optimisers, strict=True):
        step(model, optimiser)
        assert all(torch.isfinite(one).all() for one in model.parameters())
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_state_of_other_parameters_is_refused() -> None:
    model = Small()
    optimiser = optimiser_of(model, stage())
    with pytest.raises(RunError, match="does not belong to this model"):
        load_optimiser(model, optimiser, {"lm_head.weight/exp_avg": torch.zeros(2)})
