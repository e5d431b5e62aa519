"""Cores and memory as the system tells them, in a container and out of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from translation import machine
from translation.machine import available_cores, available_memory


def test_the_machine_has_cores_and_memory() -> None:
    assert available_cores() >= 1
    assert 1 << 20 < available_memory() <= sys.maxsize


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("1600000 100000", 8),
    ],
)
def test_a_container_has_the_cores_that_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int
) -> None:
    monkeypatch.setattr(machine, "CONTAINER", tmp_path)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(machine.sys, "platform", "linux")
    assert available_cores() == 8
    (tmp_path / "cpu.max").write_text(f"{quota}\n", encoding="ascii")
    assert available_cores() == cores


def test_files_that_a_container_has_read_take_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CONTAINER", tmp_path)
    for name, content in (
        ("memory.max", "5000000"),
        ("memory.current", "4900000"),
        ("memory.stat", "anon 900000\nfile 4000000\ninactive_file 3000000\nactive_file 1000000"),
    ):
        (tmp_path / name).write_text(f"{content}\n", encoding="ascii")
    assert available_memory() == 3_100_000
    (tmp_path / "memory.max").write_text("max\n", encoding="ascii")
    assert available_memory() > 5_000_000


def test_other_systems_have_cores_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(machine.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    assert available_cores() >= 1
