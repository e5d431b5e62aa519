"""What a run says of itself before its first step."""

from __future__ import annotations

from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from training.checkpoint import Loaded
from training.configuration import Configuration
from training.parameters import counts
from training.run_directory import Progress


def introduce(
    configuration: Configuration,
    digest: str,
    assembled: Loaded,
    progress: Progress,
    processes: int,
    console: Console,
) -> None:
    """The configuration as a whole, its digest, and what is trained of the model."""
    values = configuration.model_dump(mode="json", exclude_none=True)
    console.print(
        yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100).rstrip(), markup=False
    )
    console.print(f"configuration {digest}, {processes} process{'es' if processes > 1 else ''}")
    console.print(_parts(configuration, assembled))
    if progress.step:
        stage = configuration.stages[progress.stage].name
        console.print(f"going on after step {progress.step:,}, in stage `{stage}`", highlight=False)


def _parts(configuration: Configuration, assembled: Loaded) -> Table:
    """Part -> its parameters, and its learning rate in each stage."""
    table = Table(box=None, pad_edge=False)
    table.add_column("part")
    table.add_column("parameters", justify="right")
    for stage in configuration.stages:
        table.add_column(f"rate in {stage.name}", justify="right")
    for part, count in counts(assembled.model).items():
        rates: list[Any] = [stage.learning_rates.get(part) for stage in configuration.stages]
        table.add_row(part, f"{count.all:,}", *("frozen" if rate is None else f"{rate:g}" for rate in rates))
    return table
