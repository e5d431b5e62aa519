from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from training.configuration import LogSection
from training.figures import METRICS, TENSORBOARD, Figures, FiguresError, read_figures

PLAIN = LogSection(tensorboard=False)


def test_a_line_holds_step_kind_and_figures(tmp_path: Path) -> None:
    with Figures(tmp_path, PLAIN, "run", 0, {}) as figures:
        figures.write(3, "train", {"loss": 2.5, "loss_by_task": {"caption": 2.5}})
    assert read_figures(tmp_path / METRICS) == [
        {"step": 3, "kind": "train", "loss": 2.5, "loss_by_task": {"caption": 2.5}}
    ]


def test_undefined_numbers_are_null(tmp_path: Path) -> None:
    with Figures(tmp_path, PLAIN, "run", 0, {}) as figures:
        figures.write(1, "train", {"loss": float("nan"), "rate": {"a": float("inf")}})
    assert json.loads((tmp_path / METRICS).read_text())["loss"] is None


def test_a_run_that_goes_on_takes_later_and_cut_off_lines_out(tmp_path: Path) -> None:
    with Figures(tmp_path, PLAIN, "run", 0, {}) as figures:
        for step in (10, 20, 30):
            figures.write(step, "train", {"loss": 1.0 / step})
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"step": 40, "ki')
    with Figures(tmp_path, PLAIN, "run", 20, {}) as figures:
        figures.write(30, "train", {"loss": 7.0})
    assert [(line["step"], line["loss"]) for line in read_figures(tmp_path / METRICS)] == [
        (10, 0.1),
        (20, 0.05),
        (30, 7.0),
    ]


def test_tensorboard_gets_the_same_figures(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with Figures(tmp_path, LogSection(), "run", 0, {}) as figures:
        figures.write(5, "train", {"loss": 2.5, "loss_by_task": {"vqa": 1.5}})
    events = accumulator.EventAccumulator(str(tmp_path / TENSORBOARD))
    events.Reload()
    assert events.Tags()["scalars"] == ["train/loss", "train/loss_by_task/vqa"]
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(5, 2.5)]


@pytest.mark.parametrize("package", ["wandb", "trackio"])
def test_a_package_that_is_missing_is_named(
    tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    settings = LogSection(tensorboard=False, **{package: "project"})
    with pytest.raises(FiguresError, match=f"pip install {package}"):
        Figures(tmp_path, settings, "run", 0, {})


@pytest.mark.parametrize("package", ["wandb", "trackio"])
def test_remote_services_get_the_same_figures(
    tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    service = ModuleType(package)
    service.init = lambda **options: calls.append(("init", options["project"]))  # type: ignore[attr-defined]
    service.log = lambda figures, step: calls.append((figures, step))  # type: ignore[attr-defined]
    service.finish = lambda: calls.append("finish")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, package, service)
    settings = LogSection(tensorboard=False, **{package: "mine"})
    with Figures(tmp_path, settings, "run", 0, {}) as figures:
        figures.write(2, "validation", {"loss": 1.0})
    assert calls == [("init", "mine"), ({"validation/loss": 1.0}, 2), "finish"]
