"""Packages are fetched once, and those of another version in place of what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import packages
from scripts.identifier.sources import Source, fetch


def test_a_fetch_that_was_interrupted_does_not_keep_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fetched(package: str, target: Path, label: str) -> None:
        asked.append(package)
        if package == "npm:b@1.0.0":
            raise KeyboardInterrupt
        (target / label).mkdir(parents=True, exist_ok=True)
        if not (target / label / "version").exists():
            (target / label / "version").write_text(package)

    monkeypatch.setattr(packages, "fetch", fetched)

    def source(*packages: str) -> Source:
        return Source("test", "MIT", packages, lambda folder: iter(()))

    with pytest.raises(KeyboardInterrupt):
        fetch(source("npm:a@1.0.0", "npm:b@1.0.0"), tmp_path)
    folder = fetch(source("npm:a@2.0.0", "npm:b@2.0.0"), tmp_path)
    assert (folder / "a" / "version").read_text() == "npm:a@2.0.0"
    before = len(asked)
    assert fetch(source("npm:a@2.0.0", "npm:b@2.0.0"), tmp_path) == folder
    assert len(asked) == before
